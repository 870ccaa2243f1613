"""What decomposable, linear, superposition and basis-aligned mean, each measured on a trained model.

A hidden layer is decomposable if what each feature does to it does not depend on the others, and linear if
a direction stands for each feature. It has superposition if it stores more features than it has dimensions,
and is basis-aligned if a feature is a single neuron, which only means something where the neurons are
singled out, as by an activation: otherwise turning the layer changes the weights and no output.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings
from superpose.claims import Claim, about, as_claims, at_least, at_most, exactly
from superpose.features import Empirical, Independent
from superpose.losses import Population
from superpose.models import Network, ReluHidden, ReluOutput
from superpose.train import ensemble, member, minimize, stack

SECTION = "Definitions and Motivation"
TAKES = 30
QUICK = {"members": 12}

N, M = 5, 2
DENSITIES = {"dense": 1.0, "turned": 1.0, "sparse": 0.1, "neurons": 0.75, "code": 0.3}


@dataclass(frozen=True)
class Config:
    members: int = 30
    """Models of each kind, from different initial weights; the best is shown."""
    rows: int = 8000
    """Samples that the models with a hidden ReLU are trained on, and that all are measured on."""
    turns: int = 32
    """Turns of the hidden layer, by random angles, over which the change of the output is averaged."""
    decay: float = 0.9
    """Feature i has importance decay^i."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1, rows=100, turns=1)
        settings.shares(self, "decay")

    @property
    def cost(self) -> costs.Cost:
        exact = costs.minimizing(4 * self.members, weights=3 * N)
        rows = costs.evaluating(2 * self.members * 100, self.rows * N)
        return exact + rows + costs.evaluating(len(DENSITIES) * self.turns, self.rows * N, held=100)

    @property
    def importance(self) -> np.ndarray:
        return self.decay ** np.arange(N)


def run(config: Config) -> xr.Dataset:
    key, importance = draws.key_of(config.seed), config.importance
    worlds = {name: Independent(density, importance) for name, density in DENSITIES.items()}
    drawn = draws.stream(key, "samples")
    samples = {name: world.sample(drawn, config.rows) for name, world in worlds.items()}
    # A linear hidden layer has an exact loss; one with a ReLU gets that of all rows of its samples.
    exact = [Population(worlds[name]) for name in ("dense", "sparse")]
    rows = [Population(Empirical(np.asarray(samples[name]), importance)) for name in ("neurons", "code")]
    dense, sparse = _trained(ReluOutput, exact, config.members, key)
    neurons, code = _trained(ReluHidden, rows, config.members, key)
    models, lead = {}, {}
    for name, (found, loss) in {"dense": dense, "sparse": sparse, "neurons": neurons, "code": code}.items():
        models[name] = member(found, int(loss.argmin()))
        lead[name] = _aligned(found.W), loss
    models["turned"], lead["turned"] = _turned(models["dense"], -_angle(models["dense"].W)), lead["dense"]

    angles = np.random.default_rng(config.seed).uniform(0, 2 * np.pi, config.turns)
    measured = [_measured(models[name], samples[name], angles) for name in DENSITIES]
    return xr.Dataset(
        {name: ("model", np.array([each[name] for each in measured])) for name in measured[0]}
        | {
            "W": (("model", "hidden", "feature"), np.array([models[name].W for name in DENSITIES])),
            "member_aligned": (("model", "member"), np.array([lead[name][0] for name in DENSITIES])),
            "loss": (("model", "member"), np.array([lead[name][1] for name in DENSITIES])),
            "density": ("model", list(DENSITIES.values())),
            "importance": ("feature", importance),
        },
        {"model": list(DENSITIES)},
    )


def _trained(kind, losses, members, key) -> list[tuple[Network, np.ndarray]]:
    """For each of the losses the models of all starts, and their losses."""
    _, place = grid.points(range(len(losses)), range(members))
    models = ensemble(lambda key: kind.init(N, M, key=key), members=place, key=key)
    own = stack([loss for loss in losses for _ in range(members)])
    found = minimize(models, own, own_loss=True, evaluations=400)
    parts = [slice(i * members, (i + 1) * members) for i in range(len(losses))]
    return [(member(found.models, part), found.loss[part]) for part in parts]


def _angle(W) -> float:
    """Where the first feature points, in the plane of the two neurons."""
    return float(np.arctan2(W[1, 0], W[0, 0]))


def _turned(model, angle) -> Network:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return type(model)(
        turn @ model.W, model.b, activation=model.activation, hidden_activation=model.hidden_activation
    )


def _aligned(W) -> np.ndarray:
    """For each model the least alignment of a feature that it represents; NaN if there is none."""
    aligned, norms = jax.vmap(measures.basis_alignment)(W), jax.vmap(measures.norms)(W)
    least = np.where(np.asarray(norms) > 0.5, np.asarray(aligned), np.inf).min(axis=1)
    return np.where(np.isfinite(least), least, np.nan)


def _measured(model, x, angles) -> dict[str, float]:
    """The definitions as numbers, of one model on samples."""
    W = np.asarray(model.W)
    norms, out = np.asarray(measures.norms(W)), jax.vmap(model)(x)
    stored = W[:, norms > 0.5]
    change = [jnp.mean((jax.vmap(_turned(model, angle))(x) - out) ** 2) for angle in angles]
    return {
        "represented": float(measures.n_represented(W)),
        "excess": float(measures.excess_features(W)),
        "least_eigenvalue": float(np.linalg.eigvalsh(stored.T @ stored)[0]) if stored.size else np.nan,
        "linearity": float(measures.linearity(model.encode, x)),
        "decomposability": float(measures.decomposability(model.encode, x)),
        "alignment": float(_aligned(W[None])[0]),
        "change": float(np.sqrt(np.mean(change) / jnp.mean(out**2))),
    }


TITLES = {
    "dense": "dense features,\nlinear hidden layer",
    "turned": "the same model,\nits hidden layer turned",
    "sparse": "sparse features,\nlinear hidden layer",
    "neurons": "dense features,\nReLU hidden layer",
    "code": "sparser features,\nReLU hidden layer",
}
BARS = {
    "decomposability": "decomposability",
    "linearity": "linearity",
    "alignment": "basis alignment",
    "change": "output's change\nby turning",
}


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(12, 5.2)
    above, below = fig.subplots(2, len(TITLES), height_ratios=[2.2, 1.5])
    for arrows, bars, name in zip(above, below, TITLES, strict=True):
        one = data.sel(model=name)
        plot.directions(arrows, one.W.values, data.importance.values)
        extra, stored = int(one.excess), int(one.represented)
        arrows.set_title(TITLES[name])
        told = "superposition" if extra > 0 else "no superposition"
        arrows.set_xlabel(f"neuron 1\ndensity {float(one.density):g}: {stored} features stored\n{told}")
        values = [float(one[of]) for of in BARS]
        height = np.arange(len(BARS))
        bars.barh(height, np.clip(values, 0, 1), color=[*plot.SETS[:3], plot.SETS[7]], height=0.65)
        for y, value in zip(height, values, strict=True):
            inside = value > 0.6
            bars.text(
                min(max(value, 0), 1) + (-0.03 if inside else 0.03), y, f"{value:.2f}", va="center",
                ha="right" if inside else "left", color="white" if inside else plot.INK, fontsize=8,
            )  # fmt: skip
        bars.set(xlim=(0, 1), ylim=(len(BARS) - 0.5, -0.5), yticks=[], xticks=[0, 0.5, 1])
    above[0].set_ylabel("neuron 2")
    below[0].set_yticks(np.arange(len(BARS)), list(BARS.values()))
    plot.colorbar(
        fig, above, plot.importance_colors, "importance", low=float(data.importance.min()),
        high=float(data.importance.max()), shrink=0.8, pad=0.01,
    )  # fmt: skip
    return fig


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    one = {name: data.sel(model=name) for name in TITLES}
    linear = data.sel(model=["dense", "turned", "sparse"])
    there = (linear.represented > 0).values

    def of(measure, name):
        return float(one[name][measure])

    def spread(name):
        """How the alignment differs between the members that reached the least loss."""
        best = (one[name].loss <= one[name].loss.min() * 1.001).values
        return one[name].member_aligned.values[best]

    return [
        Claim(
            "dense-none", "Dense features: no more are stored than there are dimensions", SECTION, exactly([2, 0]),
            [of("represented", "dense"), of("excess", "dense")], what="stored, and more than the rank",
            source="the exact optimum",
        ),
        Claim(
            "dense-invertible", "Without superposition WᵀW of the stored features is invertible", SECTION, at_least(0.9),
            of("least_eigenvalue", "dense"), what="least eigenvalue", source="orthogonal directions of length 1",
        ),
        Claim(
            "sparse-superposition", "Sparse features: more are stored than there are dimensions", SECTION,
            exactly([5, 3]), [of("represented", "sparse"), of("excess", "sparse")],
            what="stored, and more than the rank", source="the exact optimum",
        ),
        Claim(
            "sparse-singular", "With superposition WᵀW is not invertible", SECTION, about(0, 1e-6),
            of("least_eigenvalue", "sparse"), what="least eigenvalue", number="{:.0e}", source="its rank",
        ),
        Claim(
            "linear", "A linear hidden layer is linear: each feature has a direction, and they add up", SECTION,
            about(1, 1e-5), np.where(there, linear.linearity.values, np.nan), what="linearity", number="{:.6f}",
            source="algebra",
        ),
        Claim(
            "decomposable", "With or without superposition, a linear hidden layer is decomposable", SECTION,
            about(1, 1e-5), np.where(there, linear.decomposability.values, np.nan), what="decomposability",
            number="{:.6f}", source="algebra",
        ),
        Claim(
            "turn-free", "Turning a linear hidden layer changes no output", "Superposition in a Privileged Basis",
            at_most(1e-5), np.where(there, linear.change.values, np.nan), what="relative change", number="{:.0e}",
            source="algebra: WᵀW stays the same",
        ),
        Claim(
            "turned-aligned", "So it can be turned to be basis-aligned", SECTION, about(1, 1e-4),
            of("alignment", "turned"), what="least share of a feature in one neuron", number="{:.5f}",
            source="two directions at right angles",
        ),
        Claim(
            "no-basis", "In a linear hidden layer alignment is chance: the starts differ in it", SECTION, at_least(0.2),
            np.ptp(spread("dense")), what="range among models of the least loss",
            source="any angle is as likely: from 0.5 to 1",
        ),
        Claim(
            "neurons-aligned", "A ReLU hidden layer singles its neurons out: dense features become neurons", SECTION,
            at_least(0.98), spread("neurons"), what="least alignment in each model of the least loss",
            source="ours: within 2% of one neuron for each feature",
        ),
        Claim(
            "neurons-two", "They are as many as the neurons", SECTION, exactly([2, 0]),
            [of("represented", "neurons"), of("excess", "neurons")], what="stored, and more than the rank",
            source="the paper's monosemantic neurons",
        ),
        Claim(
            "turn-breaks", "Turning a ReLU hidden layer changes what the model does", SECTION, at_least(0.2),
            data.sel(model=["neurons", "code"]).change.values, what="change relative to the output",
            source="ours: clearly more than rounding",
        ),
        Claim(
            "code-superposition", "Sparser features are stored as codes of several neurons", SECTION,
            exactly([3, 1]), [of("represented", "code"), of("excess", "code")],
            what="stored, and more than the rank", source="the paper's three codes in two neurons",
        ),
        Claim(
            "code-not-aligned", "Such codes are not basis-aligned", SECTION, at_most(0.7), of("alignment", "code"),
            what="least share of a feature in one neuron", source="half of it in each neuron",
        ),
        Claim(
            "code-not-linear", "Nor linear or decomposable: a feature can silence a neuron that another uses", "ours",
            at_most(0.97), [of("linearity", "code"), of("decomposability", "code")],
            what="linearity, decomposability", source="ours: clearly below 1",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    share = (data.loss <= data.loss.min("member") * 1.001).mean("member").values
    return [
        "The paper defines the words; the numbers for them are ours, and so are the models: 5 features in 2 "
        "dimensions, of importance 1, 0.9, ... Decomposability and linearity are the shares of what the features do "
        "to the hidden layer that such a description explains.",
        f"Of {data.sizes['member']} starts of each kind the best is shown; {share.min():.0%} to {share.max():.0%} of "
        "the starts come within 0.1% of it.",
        "Models with a ReLU in the hidden layer have no exact loss here, and are fitted to a fixed set of samples.",
    ]
