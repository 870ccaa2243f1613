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
from superpose.claims import Claim, about, as_claims, at_least, at_most, exactly, from_section
from superpose.features import Empirical, Independent
from superpose.losses import Population
from superpose.models import Network, ReluHidden, ReluOutput
from superpose.train import member, stack

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
    importance, drawn = config.importance, draws.stream(draws.key_of(config.seed), "samples")
    worlds = {name: Independent(density, importance) for name, density in DENSITIES.items()}
    samples = {name: world.sample(drawn, config.rows) for name, world in worlds.items()}
    # A linear hidden layer has an exact loss; one with a ReLU gets the mean loss of all rows of its samples.
    exact = {name: worlds[name] for name in ("dense", "sparse")}
    rows = {name: Empirical(np.asarray(samples[name]), importance) for name in ("neurons", "code")}
    data = xr.concat([_solved(ReluOutput, exact, config), _solved(ReluHidden, rows, config)], "model")
    data = data.sel(model=["dense", "dense", "sparse", "neurons", "code"]).assign_coords(
        model=list(DENSITIES)
    )

    best = grid.best(data)
    models: dict[str, Network] = {}
    for name in DENSITIES:
        Model, weights = ReluHidden if name in rows else ReluOutput, best.sel(model=name)
        models[name] = Model(weights.W.values, weights.b.values)
    x, y = models["dense"].W[:, 0]
    models["turned"] = _turned(models["dense"], -np.arctan2(y, x))  # feature 0 along the first neuron
    angles = np.random.default_rng(config.seed).uniform(0, 2 * np.pi, config.turns)
    each = [_defined(model, samples[name], angles) for name, model in models.items()]
    W = best.W.copy(data=np.array([model.W for model in models.values()]))
    return xr.Dataset(
        {name: ("model", [numbers[name] for numbers in each]) for name in each[0]}
        | {
            "W": W,
            "alignment": _aligned(W).astype(float),
            "member_aligned": _aligned(data.W),
            "loss": data.loss,
            "density": ("model", list(DENSITIES.values())),
            "importance": ("feature", importance),
        }
    ).drop_vars("member")


def _solved(kind: type[Network], laws: dict, config: Config) -> xr.Dataset:
    """Models of one kind for each of the named laws of features."""
    together = stack(list(laws.values()))
    data = grid.solved(
        lambda key: kind.init(N, M, key=key),
        lambda at: Population(member(together, at.astype(int))),
        {"model": range(len(laws))},
        members=config.members,
        key=config.seed,
        evaluations=400,
    )
    return data.assign_coords(model=list(laws))


def _turned(model: Network, angle: float) -> Network:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return type(model)(turn @ model.W, model.b)


def _aligned(W: xr.DataArray) -> xr.DataArray:
    """For each model the least alignment of a feature that it represents; NaN if there is none."""
    represented = grid.over_models(measures.norms, W, "feature") > 0.5
    return grid.over_models(measures.basis_alignment, W, "feature").where(represented).min("feature")


def _defined(model: Network, x, angles: np.ndarray) -> dict[str, float]:
    """The definitions as numbers, for one model on samples."""
    W, out = np.asarray(model.W), jax.vmap(model)(x)
    represented = W[:, np.asarray(measures.norms(W)) > 0.5]
    eigenvalues = np.linalg.eigvalsh(represented.T @ represented)  # none where no feature is represented
    change = [jnp.mean((jax.vmap(_turned(model, angle))(x) - out) ** 2) for angle in angles]
    return {
        "represented": float(measures.n_represented(W)),
        "excess": float(measures.excess_features(W)),
        "least_eigenvalue": float(next(iter(eigenvalues), np.nan)),
        "linearity": float(measures.linearity(model.encode, x)),
        "decomposability": float(measures.decomposability(model.encode, x)),
        "change": float(np.sqrt(np.mean(change) / jnp.mean(out**2))),
    }


def measured(data: xr.Dataset) -> xr.Dataset:
    """Also which members are `leading`, within 0.1% of the least loss."""
    return data.assign(leading=data.loss <= data.loss.min("member") * 1.001)


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
    heights = np.arange(len(BARS))
    for arrows, bars, name in zip(above, below, TITLES, strict=True):
        model = data.sel(model=name)
        plot.directions(arrows, model.W.values, data.importance.values)
        arrows.set_title(TITLES[name])
        superposition = "superposition" if model.excess > 0 else "no superposition"
        arrows.set_xlabel(
            f"neuron 1\ndensity {float(model.density):g}: {int(model.represented)} features stored\n{superposition}"
        )
        values = np.array([model[of] for of in BARS])
        ends = np.clip(values, 0, 1)
        bars.barh(heights, ends, color=[*plot.SETS[:3], plot.SETS[7]], height=0.65)
        for y, value, end in zip(heights, values, ends, strict=True):
            beside, ha, color = (-0.03, "right", "white") if value > 0.6 else (0.03, "left", plot.INK)
            bars.text(end + beside, y, f"{value:.2f}", va="center", ha=ha, color=color, fontsize=8)
        bars.set(xlim=(0, 1), ylim=(len(BARS) - 0.5, -0.5), yticks=[], xticks=[0, 0.5, 1])
    above[0].set_ylabel("neuron 2")
    below[0].set_yticks(heights, list(BARS.values()))
    low, high = float(data.importance.min()), float(data.importance.max())
    where = {"low": low, "high": high, "shrink": 0.8, "pad": 0.01}
    plot.colorbar(fig, above, plot.importance_colors, "importance", **where)
    return fig


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    dense, turned, sparse, neurons, code = (data.sel(model=name) for name in TITLES)
    linear = data.sel(model=["dense", "turned", "sparse"])
    linear = linear.where(linear.represented > 0)
    size = ["represented", "excess"]
    says = from_section(SECTION, "the exact optimum")
    privileged = from_section("Superposition in a Privileged Basis", "algebra: WᵀW stays the same")
    ours = from_section("ours", "ours: clearly below 1")
    # fmt: off
    return [
        says("dense-none", "Dense features: no more are stored than there are dimensions",
             "stored, and more than the rank", dense[size].to_array(), exactly([2, 0])),
        says("dense-invertible", "Without superposition WᵀW of the stored features is invertible",
             "least eigenvalue", dense.least_eigenvalue, at_least(0.9), source="orthogonal directions of length 1"),
        says("sparse-superposition", "Sparse features: more are stored than there are dimensions",
             "stored, and more than the rank", sparse[size].to_array(), exactly([5, 3])),
        says("sparse-singular", "With superposition WᵀW is not invertible",
             "least eigenvalue", sparse.least_eigenvalue, about(0, 1e-6), source="its rank", number="{:.0e}"),
        says("linear", "A linear hidden layer is linear: each feature has a direction, and they add up",
             "linearity", linear.linearity, about(1, 1e-5), source="algebra", number="{:.6f}"),
        says("decomposable", "With or without superposition, a linear hidden layer is decomposable",
             "decomposability", linear.decomposability, about(1, 1e-5), source="algebra", number="{:.6f}"),
        privileged("turn-free", "Turning a linear hidden layer changes no output",
             "relative change", linear.change, at_most(1e-5), number="{:.0e}"),
        says("turned-aligned", "A linear hidden layer of dense features can be turned to be basis-aligned",
             "least share of a feature in one neuron", turned.alignment, about(1, 1e-4),
             source="two directions at right angles", number="{:.5f}"),
        says("no-basis", "In a linear hidden layer alignment is chance: the starts differ in it",
             "range among models of the least loss", np.ptp(dense.member_aligned.values[dense.leading]), at_least(0.2),
             source="any angle is as likely: from 0.5 to 1"),
        says("neurons-aligned", "A ReLU hidden layer singles its neurons out: dense features become neurons",
             "least alignment in each model of the least loss", neurons.member_aligned[neurons.leading], at_least(0.98),
             source="ours: within 2% of one neuron for each feature"),
        says("neurons-two", "A ReLU hidden layer stores as many dense features as it has neurons",
             "stored, and more than the rank", neurons[size].to_array(), exactly([2, 0]),
             source="the paper's monosemantic neurons"),
        says("turn-breaks", "Turning a ReLU hidden layer changes what the model does",
             "change relative to the output", [neurons.change, code.change], at_least(0.2),
             source="ours: clearly more than rounding"),
        says("code-superposition", "Sparser features are stored as codes of several neurons",
             "stored, and more than the rank", code[size].to_array(), exactly([3, 1]),
             source="the paper's three codes in two neurons"),
        says("code-not-aligned", "Codes of several neurons are not basis-aligned",
             "least share of a feature in one neuron", code.alignment, at_most(0.7), source="half of it in each neuron"),
        ours("code-not-linear",
             "Codes of several neurons are neither linear nor decomposable: a feature can silence a neuron that another uses",
             "linearity, decomposability", [code.linearity, code.decomposability], at_most(0.97)),
    ]
    # fmt: on


def notes(data: xr.Dataset) -> list[str]:
    share = data.leading.mean("member").values
    return [
        "The paper defines the words; the numbers for them are ours, and so are the models: 5 features in 2 "
        "dimensions, of importance 1, 0.9, ... Decomposability and linearity are the shares of what the features do "
        "to the hidden layer that such a description explains.",
        f"Of {data.sizes['member']} starts of each kind the best is shown; {share.min():.0%} to {share.max():.0%} of "
        "the starts come within 0.1% of it.",
        "Models with a ReLU in the hidden layer have no exact loss here, and are fitted to a fixed set of samples.",
    ]
