"""Learning as a chain of simple geometric changes: a line, two triangles, then an octahedron.

Two sets of three correlated features in three dimensions. First each set is one point, the two at the ends of a line;
then each opens into a triangle; then the triangles turn until they are the faces of an octahedron, in which each feature is opposite to
one of the other set. In between the loss stands still, and what it stands at can be computed.
"""

from dataclasses import dataclass

import jax
import numpy as np
import optax
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpose import costs, curves, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, from_section
from superpose.features import Correlated
from superpose.losses import Population, Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit

SECTION = "Learning Dynamics"
TAKES = 12
QUICK = {"members": 64, "snapshots": 120}


@dataclass(frozen=True)
class Config:
    density: float = 0.01
    """Each set's chance to be active."""
    members: int = 96
    """Models, from different initial weights."""
    steps: int = 6_000
    """Training steps of each model."""
    batch: int = 256
    """Samples with some feature active, drawn at each step."""
    learning_rate: float = 5e-3
    """Of Adam, at all steps."""
    scale: float = 0.1
    """The initial weights are so many times the usual ones."""
    snapshots: int = 160
    """Models kept from each training, at equal distances on a log scale of steps."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1, batch=1, steps=100, snapshots=2)
        settings.shares(self, "density")

    @property
    def cost(self) -> costs.Cost:
        kept = costs.evaluating(self.snapshots * self.members, 1000, held=24)
        return costs.training(self.members, 6, 24, self.steps, self.batch) + kept


FIRST, SECOND = slice(3), slice(3, 6)
LINE, STRAIGHT = 0.9, -0.9
"""At B the two sets are on a line where `line` is above; a model is straight where `partner` at C is below."""
STAGES = {"A": "nothing", "B": "a line", "C": "two triangles", "D": "an octahedron"}


def run(config: Config) -> xr.Dataset:
    key, world = draws.key_of(config.seed), Correlated(config.density, (3, 3))
    models = ensemble(
        lambda key: ReluOutput.init(6, 3, key=key, scale=config.scale), members=config.members, key=key
    )
    at = np.unique(np.geomspace(5, config.steps, config.snapshots).astype(int))
    sampled, adam = Sampled(world, config.batch, stratified=True), optax.adam(config.learning_rate)
    kept = {"snapshots": at.tolist(), "window": config.steps}
    trained = fit(models, sampled, steps=config.steps, key=key, optimizer=adam, **kept)
    loss = jax.lax.map(jax.vmap(Population(world)), trained.snapshots)
    axes = {"step": at, "member": range(config.members)}
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), trained.snapshots)
    return (
        grid.dataset(flat, loss.ravel(), axes=axes)
        .assign(density=config.density)
        .assign_attrs(grid.law(world))
    )


def levels(density: float) -> dict[str, float]:
    """The losses at which training stands still: nothing is stored, then parts of the two sets, then all.

    While all features of a set share one direction it keeps their sum, and costs what they vary about it:
    in 2 of its 3 directions, `p/12` each.
    """
    octahedron = float(3 * theory.antipodal_cost(density))
    return {"nothing": 2 * density, "two points": 4 * (density / 12), "octahedron": octahedron}


def measured(data: xr.Dataset) -> xr.Dataset:
    """What each model looks like at the four stages of its training, and the path of the one that is `shown`.

    `when` is the step of a stage: the start (A), the middle of the plateau of two points (B), when both sets are
    open (C), and the end (D); NaN if there is none. `line` is then the share of the weights in their first direction,
    `partner` the largest of the features' cosines to their opposites, -1 in an octahedron, and `angle`
    that between the two sets. `solved` tells whether a model ends as an octahedron.

    Of the models on a line at B, the one with the furthest to turn from C on is shown: `path` has its features in
    training and `view` at the stages, turned so that the line at B is upright; `norm` and `cosine` are of its end;
    `stands` has, for each of the `levels`, the nearest plateau of its loss, relative to that level.
    """
    W, step, shapes, goals = data.W.values, data.step.values, _shapes(data.W), levels(float(data.density))
    flat, goal = [_plateaus(each, step) for each in data.loss.values.T], goals["two points"]
    # The indices of the stages among the steps; -1 for a stage that does not occur.
    line = [next((at for at, high in each if 1 / 1.15 < high / goal < 1.15), -1) for each in flat]
    wide = shapes.open > 0.9
    triangles = wide.argmax("step").where(wide.any("step"), -1)
    stage = xr.Dataset().assign(A=0, B=("member", line), C=triangles, D=len(step) - 1).to_array("stage")
    at = shapes.assign(when=("step", step.astype(float))).isel(step=stage).where(stage >= 0)
    on_line, to_turn = at.line.sel(stage="B").fillna(0), at.partner.sel(stage="C").fillna(-1)
    shown = int(to_turn.where(on_line >= LINE, to_turn + on_line - 10).argmax("member"))

    place, heights = stage.isel(member=shown), np.array([high for _, high in flat[shown]])
    path = xr.DataArray(_upright(W[:, shown], W[int(place[1]), shown]), dims=("step", "axis", "feature"))
    stands = [min(heights / goal, key=lambda x: abs(np.log(x)), default=np.nan) for goal in goals.values()]
    return at.merge(data[["loss", "density"]]).assign(
        solved=(shapes.partner[-1] < -0.97) & (shapes.open[-1] > 0.9),
        shown=shown,
        path=path,
        view=path.isel(step=place).where(place >= 0),
        norm=("feature", np.asarray(measures.norms(path[-1]))),
        cosine=(("feature", "other"), np.asarray(measures.cosines(path[-1]))),
        stands=xr.DataArray(stands, {"level": list(goals)}, "level"),
    )


def _shapes(W: xr.DataArray) -> xr.Dataset:
    """What each model looks like, at each step; `open` is the narrowest side of the two sets, 1 for right angles."""
    sets = np.stack([W.values[..., FIRST], W.values[..., SECOND]])
    middle, squares = sets.mean(axis=-1, keepdims=True), np.linalg.svd(W.values, compute_uv=False) ** 2
    unit = np.concatenate([sets, middle], axis=-1)
    unit /= np.maximum(np.linalg.norm(unit, axis=-2, keepdims=True), 1e-9)
    cosine = np.swapaxes(unit[0], -1, -2) @ unit[1]
    across, between = cosine[..., :3, :3], cosine[..., 3, 3]
    shapes = {
        "line": squares[..., 0] / np.maximum(squares.sum(axis=-1), 1e-30),
        "open": np.linalg.svd(sets - middle, compute_uv=False)[..., 1].min(axis=0),
        "partner": np.maximum(across.min(axis=-1).max(axis=-1), across.min(axis=-2).max(axis=-1)),
        "angle": np.degrees(np.arccos(np.clip(between, -1, 1))),
    }
    return xr.Dataset({name: (W.dims[:-2], values) for name, values in shapes.items()})


def _plateaus(loss: np.ndarray, step: np.ndarray) -> list[tuple[int, float]]:
    """The index of the middle of each plateau of one training run, on a log scale of steps, and the loss there."""
    spans = curves.plateaus(loss, step, ratio=1.15, factor=1.3)
    middles = np.searchsorted(step, np.sqrt(step[spans].prod(axis=1)))
    return [(int(at), loss[a : b + 1].mean()) for at, (a, b) in zip(middles, spans, strict=True)]


def _upright(W: np.ndarray, at_line: np.ndarray) -> np.ndarray:
    """The features in training, (step, 3, feature), turned so that the line of the two sets at B is upright."""
    up = at_line[:, FIRST].mean(axis=1) - at_line[:, SECOND].mean(axis=1)
    up = up / max(np.linalg.norm(up), 1e-9)
    flat = np.linalg.svd(np.eye(3) - np.outer(up, up))[0][:, :2]
    x, y = flat.T @ W[-1][:, 0]
    turn = np.array([[y, -x], [x, y]]) / max(np.hypot(x, y), 1e-9)
    return np.concatenate([turn @ flat.T, up[None]]) @ W


@plot.style()
def figure(models: xr.Dataset) -> Figure:
    model = models.isel(member=int(models.shown))
    fig = plot.figure(9.5, 8.2)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.45])
    loss, branch = top.subplots(1, 2, width_ratios=[1.9, 1])
    _loss(loss, models, model)
    _branches(branch, models)
    axes = bottom.subplots(2, 4)
    since, columns = model.step[0], dict(zip(STAGES, axes.T, strict=True))
    for when in model.when.dropna("stage"):
        name = when.stage.item()
        path, view = model.path.sel(step=slice(since, when)).values, model.view.sel(stage=name).values
        columns[name][0].set_title(f"{name}: {STAGES[name]}\nstep {int(when):,}", fontsize=9)
        for ax, sides in zip(columns[name], ([0, 1], [0, 2]), strict=True):
            for of, color in zip((FIRST, SECOND), plot.SETS, strict=False):
                ax.plot(*path[:, sides, of].swapaxes(0, 1), color=color, lw=0.8, alpha=0.5)
                ax.fill(*view[sides, of], fc=color, ec=color, alpha=0.25, lw=1)
                ax.scatter(*view[sides, of], c=[color] * 3, s=26, ec="white", lw=0.6, zorder=3)
        since = max(since, when)
    for ax in axes.flat:
        ax.axhline(0, color=plot.FAINT, lw=0.6, zorder=0)
        ax.axvline(0, color=plot.FAINT, lw=0.6, zorder=0)
        ax.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set(visible=True, color=plot.FAINT)
    axes[0, 0].set_ylabel("from the top,\nalong the line of B")
    axes[1, 0].set_ylabel("from the side")
    return fig


def _loss(ax: Axes, models: xr.Dataset, model: xr.Dataset) -> None:
    """The losses in training, with the levels at which they stand still, and the stages of the model shown."""
    ax.plot(models.step, models.loss, color=plot.FAINT, lw=0.6, zorder=1)
    ax.plot(model.step, model.loss, color=plot.INK, lw=1.5)
    outside, formulas = ax.get_yaxis_transform(), ("$2p$", "$p/3$", "$p^2$")
    for (name, y), formula in zip(levels(float(models.density)).items(), formulas, strict=True):
        ax.axhline(y, color=plot.RED, lw=0.8, ls="--", zorder=0)
        ax.text(1.01, y, f"{name}: {formula}", color=plot.RED, va="center", fontsize=8, transform=outside)
    for when in model.when.dropna("stage"):
        at = (float(when), float(model.loss.sel(step=when)))
        ax.plot(*at, "o", color=plot.INK, ms=5)
        ax.annotate(when.stage.item(), at, (0, 6), textcoords="offset points", ha="center", weight="bold")
    ax.set(xscale="log", yscale="log", ylim=(7e-3 * float(model.loss[0]) / 2, None))
    ax.set(xlabel="training steps", ylabel="exact loss")
    ax.set_title(f"training; gray: the other {models.sizes['member'] - 1} models")


def _branches(ax: Axes, models: xr.Dataset) -> None:
    """How far models still have to turn at C, by the angle between their sets at B."""
    angle, partner = models.angle.sel(stage="B"), models.partner.sel(stage="C")
    ax.plot(angle, partner, "o", color=plot.BLUE, ms=4, mew=0, alpha=0.6)
    ax.plot(angle[int(models.shown)], partner[int(models.shown)], "o", color=plot.RED, ms=6, mew=0)
    ax.axhline(-1, color=plot.FAINT, lw=0.8, ls="--", zorder=0)
    ax.text(88, -0.985, "octahedron already", fontsize=8, va="bottom", color="#666666")
    ax.set(xlim=(85, 185), xticks=[90, 120, 150, 180], ylim=(-1.02, -0.35))
    ax.set(xlabel="angle between the sets at B (degrees)", ylabel="cosine to the later opposite at C")
    ax.set_title("where models branch; red: shown")


@plot.style()
def animation(models: xr.Dataset) -> plot.Animation:
    """The features' way through space, seen from all around."""
    path, step, loss = models.path.values, models.step.values, models.loss.values[:, int(models.shown)]
    fig = plot.figure(4.4, 5.4)
    upper, lower = fig.subfigures(2, 1, height_ratios=[3, 1])
    space = upper.add_subplot(projection="3d")
    space.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), zlim=(-0.8, 0.8), xticks=[], yticks=[], zticks=[])
    space.set_box_aspect((1, 1, 1), zoom=1.25)
    trails = [space.plot([], [], [], color=plot.SETS[i // 3], lw=0.8, alpha=0.5)[0] for i in range(6)]
    sides = [space.plot([], [], [], color=color, lw=2, marker="o", ms=6)[0] for color in plot.SETS[:2]]
    curve = lower.subplots()
    curve.plot(step, loss, color=plot.INK, lw=1)
    (now,) = curve.plot([], [], "o", color=plot.RED, ms=5)
    curve.set(xscale="log", yscale="log", xlabel="training steps", ylabel="loss", xlim=(10, 1.3 * step[-1]))
    shown = np.searchsorted(step, np.geomspace(12, step[-1], 52)).clip(max=len(step) - 1)
    frames = [*enumerate([*shown, *[shown[-1]] * 8])]

    def draw(frame):
        turn, at = frame
        for i, trail in enumerate(trails):
            trail.set_data_3d(*path[: at + 1, :, i].T)
        for line, of in zip(sides, ([0, 1, 2, 0], [3, 4, 5, 3]), strict=True):
            line.set_data_3d(*path[at][:, of])
        now.set_data([step[at]], [loss[at]])
        space.view_init(elev=22, azim=40 + 4 * turn)
        return [*trails, *sides, now]

    return plot.Animation(fig, draw, frames=frames, interval=100)


@as_claims
def claims(models: xr.Dataset) -> list[Claim]:
    model = models.isel(member=int(models.shown))
    when, partner, turning = model.when.values, model.partner.values, models.partner.sel(stage="C")
    at_line, triangles = model.view.values[1], model.view.values[2]
    sides = np.linalg.norm(triangles - triangles[:, [1, 2, 0, 4, 5, 3]], axis=0)
    cosine = model.cosine.where((model.norm > 0.5).all()).values
    within = cosine[[0, 0, 1, 3, 3, 4], [1, 2, 2, 4, 5, 5]]
    across = model.cosine.values[FIRST, SECOND]
    says = from_section(SECTION, "the paper's figure")
    ours = from_section("ours", "the exact optimum")
    # fmt: off
    return [
        says("plateaus", "Between the changes of geometry the loss stands still, at losses that can be computed",
             "plateaus, as shares of what theory says: nothing, two points, octahedron", models.stands, about(1, 0.15),
             source="theory: 2p, p/3, p^2; on a plateau the loss keeps within 15%"),
        says("stages", "The stages of training follow one another",
             "how many times as long training is at B, C, D as at the stage before", when[1:] / when[:-1], at_least(1.5), number="{:.1f}"),
        says("line", "At stage B the features are on a line",
             "share of the squared weights in one direction", model.line[1], at_least(LINE)),
        says("ends", "At stage B one set is at one end, the other at the other",
             "distance of each feature from the middle", [*at_line[2, FIRST], *-at_line[2, SECOND]], at_least(0.3),
             source="1/sqrt(3) = 0.58 if only the sum of a set is stored", number="{:.2f}"),
        says("triangles", "At stage C each set has opened into a triangle of equal sides",
             "sides of both", sides, about(2**0.5, 0.2), source="features at right angles, length 1", number="{:.2f}"),
        says("turn", "At stage D the triangles have turned against each other",
             "how far the cosine to the opposite has fallen since C", partner[2] - partner[3], at_least(0.05)),
        says("opposites", "At stage D each feature is the opposite of one of the other set",
             "cosine", [*across.min(axis=0), *across.min(axis=1)], at_most(-0.97), source="the exact optimum", number="{:.4f}"),
        says("octahedron", "At stage D the features of a set are at right angles, so that all form an octahedron",
             "|cosine|", np.abs(within), at_most(0.05), source="the exact optimum", number="{:.4f}"),
        ours("norms", "At stage D all features are stored at length 1",
             "norms", model.norm, about(1, 0.03), number="{:.3f}"),
        ours("solved", "Whatever their way, nearly all models end as an octahedron",
             "share of models", models.solved.mean(), at_least(0.8), source="80 to 90% of exact minimizations do", number="{:.0%}"),
        says("branches", "Models branch at stage C: for some the triangles have to turn, others come straight to the octahedron",
             "models that turn, models that do not", [(turning > STRAIGHT).sum(), (turning <= STRAIGHT).sum()], at_least(1),
             source="the paper's text; one in 6 does not turn", number="{:.0f}"),
    ]
    # fmt: on


def notes(models: xr.Dataset) -> list[str]:
    on_line = int((models.line.sel(stage="B") > LINE).sum())
    return [
        f"The paper does not give the density; it is {float(models.density):g} here. Weights begin at a tenth of their usual size.",
        f"Of {models.sizes['member']} models {on_line} have both sets on one line at B; in the others the sets are at other "
        "angles, from 90 degrees on, where they do not disturb each other. Shown is, of those on a line, the one whose "
        "triangles have furthest to turn.",
        "B is the middle of the plateau of two points, C where both sets are open: no side is narrower than 0.9.",
    ]
