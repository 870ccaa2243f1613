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
from matplotlib.figure import Figure

from superpose import costs, curves, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most
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


SIZES = (3, 3)


def run(config: Config) -> xr.Dataset:
    key, world = draws.key_of(config.seed), Correlated(config.density, SIZES)
    models = ensemble(
        lambda key: ReluOutput.init(6, 3, key=key, scale=config.scale), members=config.members, key=key
    )
    at = np.unique(np.geomspace(5, config.steps, config.snapshots).astype(int))
    trained = fit(
        models, Sampled(world, config.batch, stratified=True), steps=config.steps, key=key,
        optimizer=optax.adam(config.learning_rate), snapshots=at.tolist(), window=config.steps,
    )  # fmt: skip
    loss = jax.lax.map(jax.vmap(Population(world)), trained.snapshots)
    axes = {"step": at, "member": range(config.members)}
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), trained.snapshots)
    return grid.dataset(flat, loss.ravel(), axes=axes).assign(density=config.density)


def levels(density: float) -> dict[str, float]:
    """The losses at which training stands still: nothing is stored, then parts of the two sets, then all.

    While all features of a set share one direction it keeps their sum, and costs what they vary about it:
    in 2 of its 3 directions, `p/12` each.
    """
    one = density / 12
    return {
        "nothing": 2 * density,
        "two points": 4 * one,
        "octahedron": float(3 * theory.antipodal_cost(density)),
    }


def geometry(data: xr.Dataset) -> xr.Dataset:
    """What each model looks like, (step, member); and the places of the stages in each training.

    `line`: the share of the weights in their first direction. `open`: the smaller side of the flatter of
    the two sets, by singular values about its middle, 1 for a right-angled set. `partner`: the largest of
    the features' cosines to their opposites; -1 in an octahedron. `stage` is the place of the snapshot at the start (A),
    in the middle of the plateau of two points (B), when both sets are open (C) and at the end (D), -1 if there is none.
    """
    W, loss = data.W.values, data.loss.values
    squares = np.linalg.svd(W, compute_uv=False) ** 2
    about_middle = [part - part.mean(axis=-1, keepdims=True) for part in (W[..., :3], W[..., 3:])]
    opened = np.min([np.linalg.svd(part, compute_uv=False)[..., 1] for part in about_middle], axis=0)
    unit = W / np.maximum(np.linalg.norm(W, axis=-2, keepdims=True), 1e-9)
    across = (np.swapaxes(unit, -1, -2) @ unit)[..., :3, 3:]
    partner = np.maximum(across.min(axis=-1).max(axis=-1), across.min(axis=-2).max(axis=-1))
    goal = levels(float(data.density))["two points"]
    stage = np.full((data.sizes["member"], 4), -1)
    for k in range(data.sizes["member"]):
        flat = curves.plateaus(loss[:, k], data.step.values, ratio=1.15, factor=1.3)
        flat = [
            pair for pair in flat if abs(np.log(loss[pair[0] : pair[1] + 1, k].mean() / goal)) < np.log(1.15)
        ]
        middle = [int(np.searchsorted(data.step, np.sqrt(data.step[a] * data.step[b]))) for a, b in flat]
        wide = np.flatnonzero(opened[:, k] > 0.9)
        stage[k] = 0, middle[0] if middle else -1, wide[0] if len(wide) else -1, len(loss) - 1
    dims = ("step", "member")
    return xr.Dataset(
        {
            "line": (dims, squares[..., 0] / np.maximum(squares.sum(axis=-1), 1e-30)),
            "open": (dims, opened),
            "partner": (dims, partner),
            "stage": (("member", "name"), stage),
        },
        {"name": list("ABCD"), "step": data.step, "member": data.member},
    )


LINE, STRAIGHT = 0.9, -0.9
"""At B the two sets are on a line where `line` is above; a model is straight where `partner` at C is below."""


def _at_stages(values, stage) -> np.ndarray:
    """The values at the four stages, (stage, ...); NaN for a stage that there is not."""
    found = np.array(values)[stage]
    found[stage < 0] = np.nan
    return found


def _shown(data) -> tuple[xr.Dataset, xr.Dataset]:
    """The model shown and its geometry: of those on a line at B the one that has furthest to turn from C on."""
    shape = geometry(data)
    at = np.array([_at_stages(shape[["line", "partner"]].isel(member=k).to_array().values.T, shape.stage.values[k])
                   for k in range(data.sizes["member"])])  # fmt: skip
    line, partner = np.nan_to_num(at[:, 1, 0]), np.nan_to_num(at[:, 2, 1], nan=-1.0)
    k = int(np.argmax(partner - 10 * (line < LINE) + (line if (line < LINE).all() else 0)))
    return data.isel(member=k), shape.isel(member=k)


def _views(one, stage) -> np.ndarray:
    """The features' places in training, (step, 3, feature): turned so that the two sets' line at B is upright."""
    W = one.W.values
    at_line = W[stage[1]]
    up = at_line[:, :3].mean(axis=1) - at_line[:, 3:].mean(axis=1)
    up = up / max(np.linalg.norm(up), 1e-9)
    flat = np.linalg.svd(np.eye(3) - np.outer(up, up))[0][:, :2]
    x, y = flat.T @ W[-1][:, 0]
    turn = np.array([[y, -x], [x, y]]) / max(np.hypot(x, y), 1e-9)
    return np.concatenate([turn @ flat.T, up[None]]) @ W


COLOR = [plot.SETS[0]] * 3 + [plot.SETS[1]] * 3


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    one, shape = _shown(data)
    stage = shape.stage.values
    fig = plot.figure(9.5, 8.2)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.45])
    loss, branch = top.subplots(1, 2, width_ratios=[1.9, 1])
    _loss(loss, data, one, stage)
    _branches(branch, data, one)
    place = _views(one, stage)
    axes = bottom.subplots(2, 4)
    told = ["A: nothing", "B: a line", "C: two triangles", "D: an octahedron"]
    for column, (at, title) in enumerate(zip(stage, told, strict=True)):
        if at < 0:
            continue
        since = stage[:column].max(initial=0)
        axes[0, column].set_title(f"{title}\nstep {int(one.step[at]):,}", fontsize=9)
        for ax, (x, y) in zip(axes[:, column], ((0, 1), (0, 2)), strict=True):
            for i in range(6):
                ax.plot(*place[since : at + 1, [x, y], i].T, color=COLOR[i], lw=0.8, alpha=0.5)
            for of in (slice(3), slice(3, 6)):
                triangle = place[at][[x, y], of]
                ax.fill(*triangle, fc=COLOR[of.start or 0], ec=COLOR[of.start or 0], alpha=0.25, lw=1)
            ax.scatter(*place[at][[x, y]], c=COLOR, s=26, ec="white", lw=0.6, zorder=3)
    for ax in axes.flat:
        ax.axhline(0, color=plot.FAINT, lw=0.6, zorder=0)
        ax.axvline(0, color=plot.FAINT, lw=0.6, zorder=0)
        ax.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(True)
        ax.spines[:].set_color(plot.FAINT)
    axes[0, 0].set_ylabel("from the top,\nalong the line of B")
    axes[1, 0].set_ylabel("from the side")
    return fig


def _loss(ax, data, one, stage) -> None:
    step = data.step.values
    for k in range(data.sizes["member"]):
        ax.plot(step, data.loss.values[:, k], color=plot.FAINT, lw=0.6, zorder=1)
    ax.plot(step, one.loss, color=plot.INK, lw=1.5)
    told = {"nothing": "nothing: $2p$", "two points": "two points: $p/3$", "octahedron": "octahedron: $p^2$"}
    for name, level in levels(float(data.density)).items():
        ax.axhline(level, color=plot.RED, lw=0.8, ls="--", zorder=0)
        ax.text(
            1.01,
            level,
            told[name],
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=plot.RED,
        )
    for name, at in zip("ABCD", stage, strict=True):
        if at >= 0:
            ax.plot(step[at], one.loss[at], "o", color=plot.INK, ms=5)
            ax.annotate(
                name, (step[at], one.loss[at]), (0, 6), textcoords="offset points", ha="center", weight="bold"
            )
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="training steps",
        ylabel="exact loss",
        ylim=(7e-3 * one.loss[0].item() / 2, None),
    )
    ax.set_title(f"training; gray: the other {data.sizes['member'] - 1} models")


def _branches(ax, data, one) -> None:
    shape = geometry(data)
    W = data.W.values
    for k in range(data.sizes["member"]):
        _, b, c, _ = shape.stage.values[k]
        if min(b, c) < 0:
            continue
        first, second = W[b, k, :, :3].mean(axis=1), W[b, k, :, 3:].mean(axis=1)
        cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
        shown = k == int(one.member)
        ax.plot(
            np.degrees(np.arccos(np.clip(cosine, -1, 1))), shape.partner.values[c, k], "o",
            color=plot.RED if shown else plot.BLUE, ms=6 if shown else 4, mew=0, alpha=1 if shown else 0.6,
        )  # fmt: skip
    ax.axhline(-1, color=plot.FAINT, lw=0.8, ls="--", zorder=0)
    ax.text(88, -0.985, "octahedron already", fontsize=8, va="bottom", color="#666666")
    ax.set(xlim=(85, 185), xticks=[90, 120, 150, 180], ylim=(-1.02, -0.35))
    ax.set(xlabel="angle between the sets at B (degrees)", ylabel="cosine to the later opposite at C")
    ax.set_title("where models branch; red: shown")


@plot.style()
def animation(data: xr.Dataset) -> plot.Animation:
    """The features' way through space, seen from all around."""
    one, shape = _shown(data)
    place, step, loss = _views(one, shape.stage.values), one.step.values, one.loss.values
    fig = plot.figure(4.4, 5.4)
    upper, lower = fig.subfigures(2, 1, height_ratios=[3, 1])
    space = upper.add_subplot(projection="3d")
    space.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), zlim=(-0.8, 0.8), xticks=[], yticks=[], zticks=[])
    space.set_box_aspect((1, 1, 1), zoom=1.25)
    trails = [space.plot([], [], [], color=color, lw=0.8, alpha=0.5)[0] for color in COLOR]
    sides = [space.plot([], [], [], color=COLOR[i], lw=2, marker="o", ms=6)[0] for i in (0, 3)]
    curve = lower.subplots()
    curve.plot(step, loss, color=plot.INK, lw=1)
    (now,) = curve.plot([], [], "o", color=plot.RED, ms=5)
    curve.set(xscale="log", yscale="log", xlabel="training steps", ylabel="loss", xlim=(10, 1.3 * step[-1]))
    shown = np.searchsorted(step, np.geomspace(12, step[-1], 52)).clip(max=len(step) - 1)
    frames = [*enumerate([*shown, *[shown[-1]] * 8])]

    def draw(frame):
        turn, at = frame
        for i, trail in enumerate(trails):
            trail.set_data_3d(*place[: at + 1, :, i].T)
        for line, of in zip(sides, ([0, 1, 2, 0], [3, 4, 5, 3]), strict=True):
            line.set_data_3d(*place[at][:, of])
        now.set_data([step[at]], [loss[at]])
        space.view_init(elev=22, azim=40 + 4 * turn)
        return [*trails, *sides, now]

    return plot.Animation(fig, draw, frames=frames, interval=100)


THEORY = "theory: 2p, p/3, p^2"


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    one, shape = _shown(data)
    stage, step, loss = shape.stage.values, one.step.values, one.loss.values
    line, partner = _at_stages(shape.line.values, stage), _at_stages(shape.partner.values, stage)
    W = _at_stages(_views(one, stage).astype(float), stage)
    when = _at_stages(step.astype(float), stage)
    flat = [loss[a : b + 1].mean() for a, b in curves.plateaus(loss, step, ratio=1.15, factor=1.3)]
    stands = [min((mean / level for mean in flat), key=lambda share: abs(np.log(share)), default=np.nan)
              for level in levels(float(data.density)).values()]  # fmt: skip
    corners = W[2][:, [[0, 1], [1, 2], [2, 0], [3, 4], [4, 5], [5, 3]]]
    cosine = np.asarray(measures.cosines(W[3]))
    opposite = np.concatenate([cosine[:3, 3:].min(axis=0), cosine[:3, 3:].min(axis=1)])
    within = np.abs([cosine[i, j] for i, j in ((0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5))])
    norms = np.asarray(measures.norms(W[3]))
    every = geometry(data)
    wide = np.array(
        [_at_stages(every.partner.values[:, k], every.stage.values[k])[2] for k in data.member.values]
    )
    solved = (every.partner.values[-1] < -0.97) & (every.open.values[-1] > 0.9)
    return [
        Claim(
            "plateaus", "In between the loss stands still, at losses that can be computed", SECTION,
            about(1, 0.15), stands, what="plateaus, as shares of what theory says: nothing, two points, octahedron",
            source=THEORY + "; on a plateau the loss keeps within 15%",
        ),
        Claim(
            "stages", "The stages follow one another", SECTION,
            at_least(1.5), when[1:] / when[:-1], what="how many times as long training is at B, C, D as at the stage before",
            source="the paper's figure", number="{:.1f}",
        ),
        Claim(
            "line", "B: the features are on a line", SECTION,
            at_least(LINE), line[1], what="share of the squared weights in one direction", source="the paper's figure",
        ),
        Claim(
            "ends", "B: one set is at one end, the other at the other", SECTION,
            at_least(0.3), np.concatenate([W[1][2, :3], -W[1][2, 3:]]), what="distance of each feature from the middle",
            source="1/sqrt(3) = 0.58 if only the sum of a set is stored", number="{:.2f}",
        ),
        Claim(
            "triangles", "C: each set has opened into a triangle of equal sides", SECTION,
            about(2**0.5, 0.2), np.linalg.norm(corners[..., 0] - corners[..., 1], axis=0), what="sides of both",
            source="features at right angles, length 1", number="{:.2f}",
        ),
        Claim(
            "turn", "D: the triangles have turned against each other", SECTION,
            at_least(0.05), partner[2] - partner[3], what="how far the cosine to the opposite has fallen since C",
            source="the paper's figure",
        ),
        Claim(
            "opposites", "D: each feature is the opposite of one of the other set", SECTION,
            at_most(-0.97), opposite, what="cosine", source="the exact optimum", number="{:.4f}",
        ),
        Claim(
            "octahedron", "D: the features of a set are at right angles, so that all form an octahedron", SECTION,
            at_most(0.05), within if norms.min() > 0.5 else np.full(6, np.nan), what="|cosine|", source="the exact optimum",
            number="{:.4f}",
        ),
        Claim(
            "norms", "D: all features are stored at length 1", "ours",
            about(1, 0.03), norms, what="norms", source="the exact optimum", number="{:.3f}",
        ),
        Claim(
            "solved", "Whatever their way, nearly all models end as an octahedron", "ours",
            at_least(0.8), solved.mean(), what="share of models", source="80 to 90% of exact minimizations do", number="{:.0%}",
        ),
        Claim(
            "branches", "Models branch at C: for some the triangles have to turn, others come straight to the octahedron", SECTION,
            at_least(1), [(wide > STRAIGHT).sum(), (wide <= STRAIGHT).sum()], what="models that turn, models that do not",
            source="the paper's text; one in 6 does not turn", number="{:.0f}",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    every, members = geometry(data), data.sizes["member"]
    lines = [_at_stages(every.line.values[:, k], every.stage.values[k])[1] > LINE for k in range(members)]
    return [
        f"The paper does not give the density; it is {float(data.density):g} here. Weights begin at a tenth of their usual size.",
        f"Of {members} models {sum(lines)} have both sets on one line at B; in the others the sets are at other angles, from 90 "
        "degrees on, where they do not disturb each other. Shown is, of those on a line, the one whose triangles have furthest to turn.",
        "B is the middle of the plateau of two points, C where both sets are open: no side is narrower than 0.9.",
    ]
