"""Superposition opens the door to adversarial attacks, and training against them closes it.

An attack is a small change of the input that does as much harm as it can. Without superposition an output
listens to its own feature only; with it, to small parts of many others, which an attack can change all at
once. So models become more vulnerable as they store more features in a dimension. The other way around,
models trained under attack have less superposition, at the price of a higher loss.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from scipy import stats

from superpose import costs, draws, grid, plot, settings
from superpose.attacks import Attacked
from superpose.claims import Claim, about, as_claims, at_least, at_most
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit

SECTION = "Superposition and Adversarial Robustness"
TAKES = 25
QUICK = {"densities": 8, "members": 1, "steps": 1200, "budgets": 8, "samples": 4096}

N, M = 100, 10
HARDENED_N, HARDENED_M = 20, 5
HARDENED = (0.2, 0.15, 0.1)
CHOICES = ("model", "sample")


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
    density = 20.0 ** -np.linspace(0, 1, config.densities)
    p, place = grid.points(density, range(config.members))
    losses = grid.each(lambda p: Sampled(Independent(p, n_features=N), 256), p)
    W, b = _best(_trained(N, M, losses, place, config), {"density": density}, config)
    # Without superposition: a dimension for each of as many features, and the mean for the others.
    plain = np.broadcast_to(np.eye(M, N), W.shape), np.where(np.arange(N) < M, 0.0, density[:, None] / 2)
    harm = {name: _harm(*model, density, config) for name, model in {"": (W, b), "plain_": plain}.items()}

    budget = np.linspace(0, 1.4, config.budgets)
    p, size, place = grid.points(HARDENED, budget, range(config.members))
    under = grid.each(
        lambda p, size: Attacked(Independent(p, n_features=HARDENED_N), size, 256, "random"), p, size
    )
    axes = {"hardened": HARDENED, "budget": budget}
    hard_W, hard_b = _best(_trained(HARDENED_N, HARDENED_M, under, place, config), axes, config)
    return xr.Dataset(
        {
            "W": (("density", "hidden", "feature"), W),
            "hardened_W": (("hardened", "budget", "hardened_hidden", "hardened_feature"), hard_W),
            "hardened_loss": (("hardened", "budget"), _clean(hard_W, hard_b, config)),
            **{f"{name}{of}": value for name, values in harm.items() for of, value in values.items()},
            "attack": config.budget,
        },
        {"density": density, "choice": list(CHOICES), "hardened": list(HARDENED), "budget": budget},
    )


def _trained(n, m, losses, place, config):
    key = draws.key_of(config.seed)
    models = ensemble(lambda key: ReluOutput.init(n, m, key=key), members=place, key=key)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.01, config.steps))
    return fit(models, losses, own_loss=True, steps=config.steps, key=key, optimizer=optimizer)


def _best(trained, axes, config) -> tuple[np.ndarray, np.ndarray]:
    """The weights and biases of the member of least loss at the end of training, at each point of the grid."""
    axes = {**axes, "member": range(config.members)}
    best = grid.best(grid.dataset(trained.models, trained.history[:, -1], axes=axes))
    return best.W.values.astype(float), best.b.values.astype(float)


def _models(W, b) -> ReluOutput:
    return ReluOutput(jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32))


def _harm(W, b, density, config) -> dict:
    """The loss of each model on samples and what an attack adds, worst for the model or for each sample.

    Also the mean square of the attack's length, which is what it adds where one output is moved by it.
    """
    key = draws.stream(config.seed, "harm")

    def one(each):
        model, p = each
        world = Independent(p, n_features=N)
        attacked = [Attacked(world, config.budget, config.samples, choice)(model, key) for choice in CHOICES]
        length = config.budget * jnp.linalg.norm(world.sample(key, config.samples), axis=1).mean()
        return Sampled(world, config.samples)(model, key), jnp.stack(attacked), length

    loss, attacked, length = jax.jit(lambda each: jax.lax.map(one, each))(
        (_models(W, b), jnp.asarray(density))
    )
    return {
        "loss": ("density", np.asarray(loss, float)),
        "added": (("density", "choice"), np.asarray(attacked - loss[:, None], float)),
        "length": ("density", np.asarray(length, float)),
    }


def _clean(W, b, config) -> np.ndarray:
    """The loss without an attack of the models that were trained under attacks."""
    key = draws.stream(config.seed, "loss without an attack")

    def loss(model, p):
        return Sampled(Independent(p, n_features=HARDENED_N), config.samples)(model, key)

    flat = _models(W.reshape(-1, *W.shape[2:]), b.reshape(-1, b.shape[2]))
    p = jnp.repeat(jnp.asarray(HARDENED), W.shape[1])
    return np.asarray(jax.jit(lambda each: jax.lax.map(lambda one: loss(*one), each))((flat, p))).reshape(
        W.shape[:2]
    )


def per_dimension(W) -> np.ndarray:
    """Features per dimension, 1/D*, of each model."""
    return (np.asarray(W) ** 2).sum(axis=(-2, -1)) / W.shape[-2]


def vulnerability(data: xr.Dataset) -> xr.DataArray:
    """What an attack adds to the loss, relative to the model without superposition; NaN where W is 0."""
    return (data.added / data.plain_added).where(np.abs(data.W).max(("hidden", "feature")) > 0)


def removed(data: xr.Dataset) -> np.ndarray:
    """For each density the attack in training that leaves one feature per dimension; infinite if none does."""
    found = []
    for features in per_dimension(data.hardened_W.values):
        at = np.flatnonzero(features <= 1)[:1]
        if len(at) == 0 or at[0] == 0:
            found.append(np.inf if len(at) == 0 else np.nan)
            continue
        here = slice(at[0] - 1, at[0] + 1)
        found.append(np.interp(-1, -features[here], data.budget.values[here]))
    return np.array(found)


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(11, 7.6)
    ((above, against), (below, hardened)) = fig.subplots(2, 2)
    sparsity, features, harm = 1 / data.density.values, per_dimension(data.W.values), vulnerability(data)
    label = {"model": "one attack for all samples", "sample": "the worst for each sample"}
    for color, choice in zip((plot.BLUE, plot.RED), CHOICES, strict=True):
        above.plot(sparsity, harm.sel(choice=choice), "o-", ms=4, color=color, label=label[choice])
        against.plot(features, harm.sel(choice=choice), "o", ms=5, color=color, label=label[choice])
    share = float(data.attack)
    above.set(ylabel="added loss, relative to that of\na model without superposition")
    above.set_title(f"vulnerability to attacks of {share:.0%} of the mean input's length")
    below.plot(sparsity, features, "o-", ms=4, color=plot.INK)
    below.set(xlabel="1 / (1 − S)", ylabel="features per dimension, 1/D*", title="superposition")
    least = np.array([1, max(features.max(), 2)])
    against.plot(least, least, ":", color=plot.INK, lw=1, label="theory: as 1/D*, without biases")
    against.set(xlabel="features per dimension, 1/D*", ylabel="added loss, relative")
    against.set_title("vulnerability against superposition")
    for ax in (above, below, against):
        ax.set(xscale="log", yscale="log")
        ticks = [1, 2, 5, 10, 20] if ax is not against else [1, 2, 3, 4, 6]
        ax.set_xticks(ticks, ticks)
        ax.set_yticks([1, 2, 3, 5, 10, 20] if ax is not below else [1, 2, 3, 5], labels=None)
        ax.yaxis.set_major_formatter("{x:g}")
        for minor in (ax.xaxis, ax.yaxis):
            minor.set_minor_formatter(NullFormatter())
        for level in (1, 2):
            ax.axhline(level, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    above.legend(loc="upper left")
    against.legend(loc="upper left")
    for color, one in zip(plot.SETS, data.hardened.values, strict=False):
        features = per_dimension(data.hardened_W.sel(hardened=one).values)
        hardened.plot(data.budget, features, "o-", ms=4, color=color, label=f"density {one:g}")
    hardened.axhline(1, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    hardened.axvline(0.8, color=plot.INK, lw=1, ls=":", label="the paper: removed at 80%")
    hardened.set(xlabel="length of the attacks in training, as a share of the mean input's", ylim=(0, None))
    hardened.set(ylabel="features per dimension, 1/D*", title="adversarial training removes superposition")
    hardened.legend(loc="upper right")
    return fig


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    features, harm = per_dimension(data.W.values), vulnerability(data)
    model, sample = (harm.sel(choice=choice).values for choice in CHOICES)
    plateau = (features > 1.8) & (features < 2.2)
    few, many = features <= 2.3, features >= 4
    theory = data.plain_added.sel(choice="model") / data.plain_length**2
    hard, budget = per_dimension(data.hardened_W.values), data.budget.values
    small = np.interp(0.1, budget, np.arange(len(budget)))
    kept = [np.interp(small, np.arange(len(budget)), row) / row[0] if row[0] > 0 else np.nan for row in hard]
    at = removed(data)
    # Where there is no superposition left, what is left of features goes up and down by chance.
    ends = [len(row) if (row > 1).all() else int(np.argmax(row <= 1)) + 1 for row in hard]
    price = [np.interp(0.8, budget, row) / row[0] for row in data.hardened_loss.values]

    def rank(a, b):
        return stats.spearmanr(a, b).statistic if np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan

    return [
        Claim(
            "plain", "Without superposition an attack adds the square of its length: it moves one output", "ours",
            about(1, 0.02), theory.values, what="added loss over that", source="theory",
        ),
        Claim(
            "dense", "Dense features: no superposition, and no more vulnerable", SECTION, about(1, 0.05), model[0],
            what="relative vulnerability", source="the reference is the same model",
        ),
        Claim(
            "pairs", "Antipodal pairs are twice as vulnerable", SECTION, about(2, 0.3), model[plateau],
            what="relative vulnerability at 1.8 to 2.2 features per dimension", source="theory: 1/D_i = 2",
        ),
        Claim(
            "three", "Vulnerability rises by a factor of more than 3", SECTION, at_least(3), model.max(),
            what="largest relative vulnerability, one attack for all samples", source="the paper",
        ),
        Claim(
            "tracks", "Vulnerability rises with the number of features per dimension", SECTION, at_least(0.9),
            [rank(model, features), rank(sample, features)], source="the paper: closely tracks",
            what="rank correlation, of one attack for all samples and of the worst for each",
        ),
        Claim(
            "near", "Up to antipodal pairs it is about the number of features per dimension", SECTION,
            about(1, 0.2), model[few] / features[few], what="their ratio", source="theory: 1/D_i",
        ),
        Claim(
            "below", "Denser packed, biases protect: it stays below the number of features per dimension", "ours",
            at_most(0.85), model[many] / features[many] if many.any() else np.nan,
            what="their ratio at 4 features or more", source="theory: a negative bias absorbs small changes",
        ),
        Claim(
            "worst", "An attack chosen for each sample does more: it adds to interference that is there already",
            "ours", at_least(1.5), (sample / model)[features > 1.8] if (features > 1.8).any() else np.nan,
            what="over one attack for all samples, with superposition", source="(e + d)² = e² + d² + 2ed",
        ),
        Claim(
            "hardened", "Training under attacks reduces superposition, the more the stronger they are, until there is none",
            SECTION, at_most(-0.85), [rank(budget[:end], row[:end]) for end, row in zip(ends, hard, strict=True)],
            what="rank correlation of features and length at three densities", source="ours: nearly in order",
        ),
        Claim(
            "hardened-small", "Attacks as small as those above hardly do so", SECTION, at_least(0.85), kept,
            what="features per dimension left by attacks of 10%", source="the paper: it took large attacks",
        ),
        Claim(
            "hardened-80", "To remove superposition takes attacks of 80% of the mean input's length", SECTION,
            about(0.8, 0.1), at, what="length that leaves 1 feature per dimension, at densities 0.2, 0.15 and 0.1",
            source="the paper, whose setting is not given", instead="hardened-sparser",
        ),
        Claim(
            "hardened-sparser", "How large the attacks must be depends on density: the sparser, the larger", "ours",
            at_least(0.05), np.diff(np.minimum(at, 2)), what="rise from density to density", source="measured order",
        ),
        Claim(
            "price", "Robustness has its price: a higher loss without an attack", "ours", at_least(1.2), price,
            what="loss of models trained under attacks of 80%, over that of the others", source="ours: clearly higher",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    at = ", ".join(f"{size:.2f}" if np.isfinite(size) else "none of those tried" for size in removed(data))
    return [
        f"The paper does not give sizes and importances: here {N} features in {M} dimensions, all of the same "
        "importance, and for training under attack 20 in 5, each sample under the attack of a random feature.",
        "Nor whether the worst attack is the worst for a sample or for all together; both are shown, the vulnerability "
        "of the model is that to one attack for all samples. Outputs are compared with the input before the attack.",
        f"The attacks that leave one feature per dimension are of {at} mean inputs at densities 0.2, 0.15, 0.1; they "
        "also depend on the number of features, with which the mean input grows.",
    ]
