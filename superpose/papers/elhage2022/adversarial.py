"""Superposition opens the door to adversarial attacks, and training against them closes it.

An attack is a small change of the input that does as much harm as it can. Without superposition an output
listens to its own feature only; with it, to small parts of many others, which an attack can change all at
once. So models become more vulnerable as they store more features in a dimension. The other way around,
models trained under attack have less superposition, at the price of a higher loss.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy import stats

from superpose import costs, draws, grid, plot, settings
from superpose.attacks import Attacked
from superpose.claims import Claim, about, as_claims, at_least, at_most, from_section
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput

SECTION = "Superposition and Adversarial Robustness"
TAKES = 25
QUICK = {"densities": 8, "members": 1, "steps": 1200, "budgets": 8, "samples": 4096}

N, M = 100, 10
HARDENED_N, HARDENED_M = 20, 5
HARDENED = (0.2, 0.15, 0.1)
CHOICES = {"model": "one attack for all samples", "sample": "the worst for each sample"}


@dataclass(frozen=True)
class Config:
    budget: float = 0.1
    """The length of an attack, as a share of the mean length of the inputs."""
    densities: int = 14
    """How many densities, from 1 to 1/20, models of 100 features in 10 dimensions are trained at."""
    members: int = 2
    """Models at each point, from different initial weights; the one of least loss is kept."""
    steps: int = 4000
    """Steps of training, on 256 samples each."""
    budgets: int = 15
    """How many lengths of attacks, from 0 to 1.4 mean inputs, 20 features in 5 dimensions are trained under."""
    samples: int = 16384
    """Samples that the models are attacked on."""
    seed: int = 0

    def __post_init__(self):
        if self.budget <= 0:
            raise ValueError(f"budget must be positive, got {self.budget}")
        settings.at_least(self, densities=3, budgets=3, members=1, steps=1, samples=1)

    @property
    def cost(self) -> costs.Cost:
        hardened = costs.training(3 * self.budgets * self.members, HARDENED_N, 120, self.steps, 256)
        attacked = costs.evaluating(2 * N * self.densities, self.samples * N)
        return costs.training(self.densities * self.members, N, N * M, self.steps, 256) + hardened + attacked


def run(config: Config) -> xr.Dataset:
    often: dict[str, Any] = {"members": config.members, "steps": config.steps, "key": config.seed}
    density, budget = 20.0 ** -np.linspace(0, 1, config.densities), np.linspace(0, 1.4, config.budgets)
    models = grid.fitted(
        lambda key: ReluOutput.init(N, M, key=key),
        lambda p: Sampled(Independent(p, n_features=N), 256),
        {"density": density},
        **often,
    )
    hardened = grid.fitted(
        lambda key: ReluOutput.init(HARDENED_N, HARDENED_M, key=key),
        lambda p, size: Attacked(Independent(p, n_features=HARDENED_N), size, 256, "random"),
        {"hardened": HARDENED, "budget": budget},
        **often,
    )
    W, b = _weights(models)
    hardened_W, hardened_b = _weights(hardened)
    # Without superposition: as many features as there are dimensions have one each, the others their mean.
    plain = np.broadcast_to(np.eye(M, N), W.shape), np.where(np.arange(N) < M, 0.0, density[:, None] / 2)
    harm = {name: _harm(*model, density, config) for name, model in {"": (W, b), "plain_": plain}.items()}
    return xr.Dataset(
        {
            "W": (("density", "hidden", "feature"), W),
            "hardened_W": (("hardened", "budget", "hardened_hidden", "hardened_feature"), hardened_W),
            "hardened_loss": (("hardened", "budget"), _clean(hardened_W, hardened_b, config)),
            **{f"{name}{of}": value for name, values in harm.items() for of, value in values.items()},
            "attack": config.budget,
        },
        {"density": density, "choice": list(CHOICES), "hardened": list(HARDENED), "budget": budget},
    )


def _weights(models: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The weights and biases of the best model at each point of the grid."""
    best = grid.best(models)
    return best.W.values.astype(float), best.b.values.astype(float)


def _for_each(measure, W: np.ndarray, b: np.ndarray, density: np.ndarray):
    """`measure(model, density)` for each model, one after the other: all at once, they would not fit into memory."""
    models = ReluOutput(jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32))
    mapped = jax.jit(lambda each: jax.lax.map(lambda pair: measure(*pair), each))
    return jax.tree.map(lambda leaf: np.asarray(leaf, float), mapped((models, jnp.asarray(density))))


def _harm(W, b, density, config) -> dict:
    """The loss of each model on samples, and what an attack adds that is the worst for the model or for each sample.

    Also the mean length of the attack, whose square is what it adds where it moves one output.
    """
    key = draws.stream(config.seed, "harm")

    def measure(model, p):
        world = Independent(p, n_features=N)
        attacked = [Attacked(world, config.budget, config.samples, choice)(model, key) for choice in CHOICES]
        loss = Sampled(world, config.samples)(model, key)
        length = config.budget * jnp.linalg.norm(world.sample(key, config.samples), axis=1).mean()
        return {"loss": loss, "added": jnp.stack(attacked) - loss, "length": length}

    harm = _for_each(measure, W, b, density)
    return {name: (("density", "choice")[: values.ndim], values) for name, values in harm.items()}


def _clean(W, b, config) -> np.ndarray:
    """The loss, without an attack, of the models that were trained under attacks."""
    key = draws.stream(config.seed, "loss without an attack")

    def loss(model, p):
        return Sampled(Independent(p, n_features=HARDENED_N), config.samples)(model, key)

    p = np.repeat(HARDENED, W.shape[1])
    return _for_each(loss, W.reshape(-1, *W.shape[2:]), b.reshape(-1, b.shape[2]), p).reshape(W.shape[:2])


def measured(data: xr.Dataset) -> xr.Dataset:
    """With `per_dimension`, the features per dimension 1/D*, and `vulnerability`.

    `vulnerability` is what an attack adds to the loss, relative to the model without superposition; NaN where W is 0.
    For models trained under attacks, `hardened_per_dimension` is 1/D*, and `removed` the attack that leaves one feature
    per dimension.
    """
    stores = abs(data.W).max(("hidden", "feature")) > 0
    left = (data.hardened_W**2).sum(("hardened_hidden", "hardened_feature")) / HARDENED_M
    return data.assign(
        per_dimension=(data.W**2).sum(("hidden", "feature")) / M,
        vulnerability=(data.added / data.plain_added).where(stores),
        hardened_per_dimension=left,
        removed=("hardened", np.array([_removed(data.budget.values, row) for row in left.values])),
    )


def _removed(budget: np.ndarray, left: np.ndarray) -> float:
    """The attack that leaves one feature per dimension; infinite if none does, NaN if there never were more."""
    first = _first(left)
    if first in (0, len(left)):
        return np.nan if first == 0 else np.inf
    return float(np.interp(-1, -left[first - 1 : first + 1], budget[first - 1 : first + 1]))


def _first(left: np.ndarray) -> int:
    """The index of the first attack that leaves at most one feature per dimension; how many attacks there are if none does."""
    return int(np.append(left <= 1, True).argmax())


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(11, 7.6)
    ((above, against), (below, hardened)) = fig.subplots(2, 2)
    sparsity, features = 1 / data.density, data.per_dimension
    faint: dict[str, Any] = {"color": plot.FAINT, "lw": 0.7}
    for color, (choice, label) in zip((plot.BLUE, plot.RED), CHOICES.items(), strict=True):
        harm = data.vulnerability.sel(choice=choice)
        above.plot(sparsity, harm, "o-", ms=4, color=color, label=label)
        against.plot(features, harm, "o", ms=5, color=color, label=label)
    above.set(ylabel="added loss, relative to that of\na model without superposition")
    above.set_title(f"vulnerability to attacks of {float(data.attack):.0%} of the mean input's length")
    below.plot(sparsity, features, "o-", ms=4, color=plot.INK)
    below.set(xlabel="1 / (1 − S)", ylabel="features per dimension, 1/D*", title="superposition")
    least = np.array([1, max(float(features.max()), 2)])
    against.plot(least, least, ":", color=plot.INK, lw=1, label="theory: as 1/D*, without biases")
    against.set(xlabel="features per dimension, 1/D*", ylabel="added loss, relative")
    against.set_title("vulnerability against superposition")
    for ax in (above, below, against):
        plot.log_axis(ax.xaxis, [1, 2, 5, 10, 20] if ax is not against else [1, 2, 3, 4, 6])
        plot.log_axis(ax.yaxis, [1, 2, 3, 5, 10, 20] if ax is not below else [1, 2, 3, 5])
        for level in (1, 2):
            plot.level(ax, level, ls=(0, (3, 3)), zorder=0, **faint)
    above.legend(loc="upper left")
    against.legend(loc="upper left")
    for color, left in zip(plot.SETS, data.hardened_per_dimension, strict=False):
        label = f"density {float(left.hardened):g}"
        hardened.plot(data.budget, left, "o-", ms=4, color=color, label=label)
    plot.level(hardened, 1, ls=(0, (3, 3)), zorder=0, **faint)
    hardened.axvline(0.8, color=plot.INK, lw=1, ls=":", label="the paper: removed at 80%")
    hardened.set(xlabel="length of the attacks in training, as a share of the mean input's", ylim=(0, None))
    hardened.set(ylabel="features per dimension, 1/D*", title="adversarial training removes superposition")
    hardened.legend(loc="upper right")
    return fig


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    features, left = data.per_dimension.values, data.hardened_per_dimension
    model, sample = (data.vulnerability.sel(choice=choice).values for choice in CHOICES)
    few, pairs, many = features <= 2.3, (features > 1.8) & (features < 2.2), features >= 4
    theory = data.plain_added.sel(choice="model") / data.plain_length**2
    kept = (left.interp(budget=0.1) / left[:, 0]).where(left[:, 0] > 0)
    # Once no superposition is left, the features that remain go up and down in number by chance.
    ranks = [_rank(data.budget[: _first(row) + 1], row[: _first(row) + 1]) for row in left.values]
    price = data.hardened_loss.interp(budget=0.8) / data.hardened_loss[:, 0]
    says = from_section(SECTION, "the paper")
    ours = from_section("ours")
    # fmt: off
    return [
        ours("plain", "Without superposition an attack adds the square of its length: it moves one output",
             "added loss over that", theory, about(1, 0.02), source="theory"),
        says("dense", "Models of dense features have no superposition, and are no more vulnerable",
             "relative vulnerability", model[0], about(1, 0.05), source="the reference is the same model"),
        says("pairs", "Antipodal pairs are twice as vulnerable",
             "relative vulnerability at 1.8 to 2.2 features per dimension", model[pairs], about(2, 0.3), source="theory: 1/D_i = 2"),
        says("three", "Vulnerability rises by a factor of more than 3",
             "largest relative vulnerability, one attack for all samples", model.max(), at_least(3)),
        says("tracks", "Vulnerability rises with the number of features per dimension",
             "rank correlation, of one attack for all samples and of the worst for each",
             [_rank(model, features), _rank(sample, features)], at_least(0.9), source="the paper: closely tracks"),
        says("near", "Up to antipodal pairs vulnerability is about the number of features per dimension",
             "their ratio", (model / features)[few], about(1, 0.2), source="theory: 1/D_i"),
        ours("below", "Denser packed, biases protect: vulnerability stays below the number of features per dimension",
             "their ratio at 4 features or more", (model / features)[many], at_most(0.85),
             source="theory: a negative bias absorbs small changes"),
        ours("worst", "An attack chosen for each sample does more than one for all: it adds to interference that is there already",
             "over one attack for all samples, with superposition", (sample / model)[features > 1.8], at_least(1.5),
             source="(e + d)² = e² + d² + 2ed"),
        says("hardened", "Training under attacks reduces superposition, the more the stronger they are, until there is none",
             "rank correlation of features and length at three densities", ranks, at_most(-0.85), source="ours: nearly in order"),
        says("hardened-small", "Training under attacks of 10% of the mean input's length hardly reduces superposition",
             "features per dimension left by attacks of 10%", kept, at_least(0.85), source="the paper: it took large attacks"),
        says("hardened-80", "To remove superposition takes attacks of 80% of the mean input's length",
             "length that leaves 1 feature per dimension, at densities 0.2, 0.15 and 0.1", data.removed, about(0.8, 0.1),
             source="the paper, whose setting is not given", instead="hardened-sparser"),
        ours("hardened-sparser", "How large attacks must be to remove superposition depends on density: the sparser, the larger",
             "rise from density to density", np.diff(np.minimum(data.removed, 2)), at_least(0.05), source="measured order"),
        ours("price", "Robustness has its price: a higher loss without an attack",
             "loss of models trained under attacks of 80%, over that of the others", price, at_least(1.2),
             source="ours: clearly higher"),
    ]
    # fmt: on


def _rank(a, b) -> float:
    """Spearman's rank correlation; NaN where one of the two does not vary."""
    a, b = (stats.rankdata(each) - (len(each) + 1) / 2 for each in (a, b))
    with np.errstate(invalid="ignore"):
        return a @ b / np.sqrt((a @ a) * (b @ b))


def notes(data: xr.Dataset) -> list[str]:
    sizes = [f"{size:.2f}" if np.isfinite(size) else "none of those tried" for size in data.removed.values]
    return [
        f"The paper does not give sizes and importances: here {N} features in {M} dimensions, all of the same "
        "importance, and for training under attack 20 in 5, each sample under the attack of a random feature.",
        "Nor whether the worst attack is the worst for a sample or for all together; both are shown, the vulnerability "
        "of the model is that to one attack for all samples. Outputs are compared with the input before the attack.",
        f"The attacks that leave one feature per dimension are of {', '.join(sizes)} mean inputs at densities 0.2, "
        "0.15, 0.1; they also depend on the number of features, with which the mean input grows.",
    ]
