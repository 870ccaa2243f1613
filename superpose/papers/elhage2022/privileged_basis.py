"""A ReLU on the hidden layer gives it a preferred basis: neurons mean one feature each, or a few.

With a linear hidden layer any rotation of it is the same model, so single neurons mean nothing. With a
ReLU there, dense features get a neuron each. As features become sparser, more and more neurons respond
to several features, in regular codes, until each feature is written as a pair of neurons.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array, Float
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, between, exactly
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import Network, ReluHidden, ReluOutput
from superpose.train import ensemble, fit, member, minimize

SECTION = "Superposition in a Privileged Basis"
TAKES = 235
QUICK = {
    "members": 80, "steps": 500, "semifinalists": 20, "longer": 1000, "finalists": 5, "samples": 2048, "others": 2,
}  # fmt: skip

DENSITIES = np.array([0.75, 0.35, 0.15, 0.12, 0.06, 0.02])
FEATURES, HIDDEN = 10, 5
IMPORTANCE = 0.75 ** np.arange(FEATURES)
SHOWN = 2
"""The density, by its place, of which the linear hidden layer is drawn too."""


@dataclass(frozen=True)
class Config:
    members: int = 1000
    """Models at each density that are trained briefly, from different initial weights."""
    steps: int = 800
    """Steps of brief training."""
    semifinalists: int = 300
    """The best of them, which are trained longer."""
    longer: int = 6000
    """Steps of their training."""
    finalists: int = 30
    """The best of these, which are trained to the end; the best of all is shown."""
    samples: int = 8192
    """Samples on which the finalists are trained to the end."""
    others: int = 10
    """Models at each density with a linear hidden layer, and with a hidden bias."""
    seed: int = 0

    def __post_init__(self):
        if not 1 <= self.finalists <= self.semifinalists <= self.members:
            raise ValueError(
                "finalists must be 1 or more, semifinalists no fewer and members no fewer than those, "
                f"got {self.finalists}, {self.semifinalists} and {self.members}"
            )
        settings.at_least(self, steps=1, longer=1, samples=1, others=1)

    @property
    def cost(self) -> costs.Cost:
        at, weights = len(DENSITIES), FEATURES * HIDDEN
        first = costs.training(at * self.members, FEATURES, weights, self.steps, 128)
        second = costs.training(at * self.semifinalists, FEATURES, weights, self.longer, 256)
        last = costs.evaluating(at * self.finalists * 250, 3 * self.samples * FEATURES)
        return first + second + last + costs.evaluating(1, self.others * 2**16 * FEATURES)


class Drawn(eqx.Module):
    """The loss on the same samples every time, which `minimize` needs."""

    loss: Sampled
    seed: int = eqx.field(static=True)

    def __call__(self, model: Network) -> Float[Array, ""]:
        return self.loss(model, draws.stream(self.seed, "samples to minimize on"))


def run(config: Config) -> xr.Dataset:
    key = draws.key_of(config.seed)
    _, place = grid.points(DENSITIES, range(config.members))
    models = ensemble(lambda key: ReluHidden.init(FEATURES, HIDDEN, key=key), members=place, key=key)
    models, first = _trained(models, config.steps, 128, 1e-2, key)
    longer = draws.stream(key, "longer training")
    models, second = _trained(_best(models, first, config.semifinalists), config.longer, 256, 5e-3, longer)
    data = _solved(_best(models, second, config.finalists), config)
    data = data.assign(first_loss=(("density", "start"), first))

    for name, kind, bias in (("linear", ReluOutput, False), ("biased", ReluHidden, True)):
        _, place = grid.points(DENSITIES, range(config.others))
        starts = ensemble(
            lambda key, kind=kind, bias=bias: kind.init(FEATURES, HIDDEN, key=key, hidden_bias=bias),
            members=place,
            key=key,
        )
        other = grid.best(_solved(starts, config)).drop_vars("member")
        data = data.merge(other.rename({label: f"{name}_{label}" for label in other.data_vars}))
    return data.assign(importance=("feature", IMPORTANCE), **_positive(data, key), **_rotated(data, key))


def _losses(density, batch) -> Sampled:
    return grid.each(
        lambda density: Sampled(Independent(density, IMPORTANCE), batch=batch, stratified=True), density
    )


def _trained(models, steps, batch, rate, key):
    """Models, equally many at each density, after some steps, and their losses (density, model) on common samples."""
    density, _ = grid.points(DENSITIES, range(len(models.b) // len(DENSITIES)))
    models = fit(
        models, _losses(density, batch), steps=steps, key=key,
        optimizer=optax.adam(optax.cosine_decay_schedule(rate, steps)), own_loss=True, window=steps,
    ).models  # fmt: skip
    return models, _evaluated(models, density, 2**13, key).reshape(len(DENSITIES), -1)


def _best(models, loss, count) -> Network:
    """So many models of least loss at each density."""
    places = np.argsort(loss, axis=1)[:, :count] + loss.shape[1] * np.arange(len(loss))[:, None]
    return member(models, places.ravel())


def _solved(models, config) -> xr.Dataset:
    """Models, equally many at each density, at a minimum on common samples; their losses are on others."""
    members = range(len(models.b) // len(DENSITIES))
    density, _ = grid.points(DENSITIES, members)
    drawn = Drawn(_losses(density, config.samples), config.seed)
    solved = minimize(models, drawn, own_loss=True, evaluations=250).models
    loss = _evaluated(solved, density, 2**16, config.seed)
    return grid.dataset(solved, loss, axes={"density": DENSITIES, "member": members})


def _evaluated(models, density, samples, key) -> np.ndarray:
    losses, key = _losses(density, samples), draws.stream(key, "evaluation")
    on_common = jax.jit(
        lambda models, losses: jax.lax.map(lambda both: both[1](both[0], key), (models, losses))
    )
    return np.asarray(on_common(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), models), losses))


def _active(density, key, n=4096) -> np.ndarray:
    world = Independent(density, n_features=FEATURES)
    return np.asarray(world.sample_active(draws.stream(key, "inputs"), n))


def _positive(data, key):
    """The share of inputs, some feature active, at which a hidden neuron is above 0 before its ReLU."""
    found = {}
    best = grid.best(data)
    for name, W, bias in (
        ("positive", best.W, xr.zeros_like(data.biased_hidden_bias)),
        ("biased_positive", data.biased_W, data.biased_hidden_bias),
    ):
        share = [
            (_active(p, key) @ w.T + b > 0).mean()
            for p, w, b in zip(DENSITIES, W.values, bias.values, strict=True)
        ]
        found[name] = ("density", np.array(share))
    return found


def _rotated(data, key):
    """The largest change of an output when the hidden layer is rotated, for the densities' best models."""
    turn = np.linalg.qr(np.asarray(draws.normal(draws.stream(key, "turn"), (HIDDEN, HIDDEN)), float))[0]
    best = grid.best(data)
    found = {}
    for name, W, b, hidden in (
        ("linear_rotated", data.linear_W, data.linear_b, lambda z: z),
        ("rotated", best.W, best.b, lambda z: np.maximum(z, 0)),
    ):
        change = []
        for p, w, bias in zip(DENSITIES, W.values, b.values, strict=True):
            before, after = (np.maximum(hidden(_active(p, key) @ V.T) @ V + bias, 0) for V in (w, turn @ w))
            change.append(np.abs(after - before).max())
        found[name] = ("density", np.array(change))
    return found


def one_per_neuron(density) -> np.ndarray:
    """The loss of five neurons that hold the five most important features, and nothing of the others."""
    return theory.dropped_cost(np.asarray(density)) * IMPORTANCE[HIDDEN:].sum()


def _arranged(W) -> np.ndarray:
    """The neurons in order: those of one feature first, by that feature, then by how many they respond to."""
    mono = np.asarray(measures.monosemantic(W))
    counts = (np.abs(W) > 0.3).sum(axis=1)
    return W[np.lexsort((np.abs(W).argmax(axis=1), counts, ~mono))]


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(12.5, 8.2)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.45])
    linear, hidden, losses, shares = top.subplots(1, 4, width_ratios=[1, 1, 1.5, 1.5])
    best = grid.best(data)
    density = float(DENSITIES[SHOWN])
    _matrix(linear, data.linear_W.values[SHOWN], f"linear hidden layer\ndensity {density:g}")
    _matrix(hidden, _arranged(best.W.values[SHOWN]), f"ReLU hidden layer\ndensity {density:g}")
    linear.set_ylabel("feature")
    plot.colorbar(
        top, [linear, hidden], plot.weight_colors, "weight, cut off at ±1", low=-1, high=1, shrink=0.7
    )

    dedicated = one_per_neuron(DENSITIES)
    losses.axhline(1, color=plot.INK, lw=1, ls=(0, (4, 3)))
    losses.text(0.8, 1.015, "one neuron a feature", ha="left", va="bottom", fontsize=7.5)
    for name, label, color, mark in (
        ("loss", "ReLU hidden", plot.SETS[1], "o"),
        ("biased_loss", "ReLU hidden, with a bias", plot.SETS[0], "s"),
        ("linear_loss", "linear hidden", plot.SETS[2], "^"),
    ):
        values = (best if name == "loss" else data)[name].values
        losses.plot(DENSITIES, values / dedicated, mark + "-", color=color, lw=1.3, ms=4.5, label=label)
    losses.legend(loc="lower left")
    losses.set(title="best loss, relative to theory's\nwith one neuron a feature", ylim=(0, 1.15))
    shares.plot(
        DENSITIES, data.biased_positive, "s-", color=plot.SETS[0], ms=4.5, lw=1.3, label="with a bias"
    )
    shares.plot(DENSITIES, data.positive, "o-", color=plot.SETS[1], ms=4.5, lw=1.3, label="without")
    shares.axhline(1, color=plot.INK, lw=1, ls=(0, (4, 3)))
    shares.text(0.8, 1.015, "the ReLU never acts", ha="left", va="bottom", fontsize=7.5)
    shares.legend(loc="lower left")
    shares.set(title="a hidden bias lifts neurons above 0:\nshare of inputs where they are", ylim=(0, 1.15))
    for ax in (losses, shares):
        ax.set(xscale="log", xlim=(0.85, 0.017), xlabel="density (sparser →)")
        ax.set_xticks([0.5, 0.2, 0.1, 0.05, 0.02], ["0.5", "0.2", "0.1", "0.05", "0.02"])
        ax.minorticks_off()

    bottom.suptitle(
        f"10 features in 5 ReLU neurons: the best of {data.sizes['start']} models at each density. "
        "Above, each neuron's weights stacked; below, the same as a matrix"
    )
    axes = bottom.subplots(2, len(DENSITIES), height_ratios=[1.25, 1])
    for at, (stack, matrix) in enumerate(axes.T):
        W = _arranged(best.W.values[at])
        mono, stored = np.asarray(measures.monosemantic(W)), np.asarray(measures.norms(W)) > 0.5
        color = plot.superposition_colors(np.asarray(measures.superposition(W)) / 2)
        color[~stored] = to_rgba(plot.FAINT)
        plot.stacks(stack, W, color, names=True)
        stack.set_title(f"density {DENSITIES[at]:g}\n{stored.sum()} features stored", fontsize=9)
        stack.set_xticks(range(HIDDEN), ["mono" if one else "poly" for one in mono], fontsize=6)
        stack.tick_params(axis="x", length=0)
        _matrix(matrix, W, "")
    axes[0, 0].set_ylabel("weights of a neuron, stacked\n(boxes: number of the feature)")
    axes[1, 0].set_ylabel("feature")
    plot.colorbar(
        bottom, axes[0], plot.superposition_colors, "superposition", high=2, ticks=[0, 1, 2], shrink=0.8
    )
    plot.colorbar(bottom, axes[1], plot.weight_colors, "weight, cut off at ±1", low=-1, high=1, shrink=0.8)
    return fig


def _matrix(ax, W, title):
    ax.imshow(W.T, cmap=plot.weight_colors, vmin=-1, vmax=1, aspect="auto")
    ax.set(xticks=[], yticks=range(0, FEATURES, 3), xlabel="neuron", title=title)
    ax.spines[:].set_visible(False)


CHECK = "the paper's figure, as read for our checklist"
CLEAR, CLOSE = [0, 1, 2, 4, 5], 3
"""The densities at which one code is best, and that at which three are nearly equal, by their places."""


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    best = grid.best(data)
    W = best.W.values
    mono = np.array([measures.monosemantic(w).sum() for w in W])
    stored = np.array([measures.n_represented(w) for w in W])
    relative = best.loss.values / one_per_neuron(DENSITIES)
    alive = np.where(stored > 0, 1.0, np.nan)
    return [
        Claim(
            "linear-rotation", "A linear hidden layer can be rotated without any change of the outputs", SECTION,
            at_most(1e-5), data.linear_rotated.values * _stores(data.linear_W.values),
            source="mathematics", what="largest change of an output, at each density",
        ),
        Claim(
            "relu-rotation", "A ReLU hidden layer can not", SECTION,
            at_least(0.05), data.rotated.values * alive, source="ours: a twentieth of the largest input",
            what="largest change of an output, at each density",
        ),
        Claim(
            "dense-mono", "Densest: all five neurons hold one feature each", SECTION,
            exactly([5, 5]), [mono[0], stored[0]], source=CHECK, what="neurons of one feature, features stored",
        ),
        Claim(
            "dense-loss", "Densest: this is as good as theory's one neuron a feature", SECTION,
            about(1, 0.01), relative[0], source="theory: the variances of the features left out",
            what="loss, relative",
        ),
        Claim(
            "mono-falls", "The sparser the features, the fewer neurons hold one feature", SECTION,
            at_least(0), np.append(-np.diff(mono), mono[0] - mono[-1] - 4) * alive, source=CHECK,
            what="the fall from each density to the next, and how far it exceeds 4 in all",
        ),
        Claim(
            "features-rise", "The sparser the features, the more of them are stored", SECTION,
            at_least(0), np.append(np.diff(stored), stored[-1] - stored[0] - 3), source=CHECK,
            what="the rise from each density to the next, and how far it exceeds 3 in all",
        ),
        Claim(
            "mono-counts", "The numbers of neurons that hold one feature", SECTION,
            exactly([5, 3, 2, 0, 0]), (mono * alive)[CLEAR], source=CHECK, what="at all densities but 0.12", quick=False,
        ),
        Claim(
            "feature-counts", "The numbers of features stored", SECTION,
            about([5, 6, 7, 8, 10], 1), stored[CLEAR], source=CHECK + "; 1, as at density 0.06 seeds find 8 or 9", quick=False,
            what="at all densities but 0.12", number="{:.0f}",
        ),
        Claim(
            "mono-one", "At density 0.12 the best code has one such neuron, or is hardly better than one that has", SECTION,
            between(1, 1.02), _best_with(data.isel(density=CLOSE))[1], source="the paper; 2% as searches differ by 1%",
            what="loss of the best with one such neuron, relative to the least", number="{:.4f}", quick=False,
        ),
        Claim(
            "both-kinds", "In between, both kinds of neurons are in one model", SECTION,
            between(1, 4), mono[1:3], source=CHECK, what="neurons of one feature, of 5, densities 0.35 and 0.15",
        ),
        Claim(
            "dedicated-important", "Neurons of one feature hold the most important ones", SECTION,
            exactly(1), [_most_important(w) for w in W[:3]], source=CHECK,
            what="whether features 0, 1, ... are those, densities 0.75 to 0.15",
        ),
        Claim(
            "three-in-two", "Density 0.35: two neurons hold three features, with the codes (+, +), (+, −), (−, +)",
            SECTION, exactly([1, 1, 1]), _signs(W[1]), source=CHECK, what="features with each code",
        ),
        Claim(
            "two-of-three", "Density 0.12: six features in four neurons. One of these separates important from "
            "unimportant; of the other three, the important have two each, the others one", SECTION,
            exactly([1, 1, 1, 2, 2, 2]), _separated(_one_mono(data)), source=CHECK,
            what="in the best model with one neuron of one feature, how many neurons each of the six excites, "
            "the separating one left out", quick=False,
        ),
        Claim(
            "pairs", "Sparsest: each feature excites two neurons, and each of the ten pairs of neurons is one's code",
            SECTION, exactly(10, " different pairs"), _pairs(W[5]), source="5 choose 2", what="by weights above 0.3 of the feature's largest",
            quick=False,
        ),
        Claim(
            "better-codes", "These codes are better than one neuron a feature, the more so the sparser", SECTION,
            at_most(-0.02), np.append(relative[1] - 1, np.diff(relative[1:])), source="theory's loss of that",
            what="relative loss at density 0.35, less 1, and its changes from there", quick=False,
        ),
        Claim(
            "bias-lifts", "Given a hidden bias, the model makes it positive, and the ReLU hardly acts", SECTION,
            at_least(0.9), data.biased_positive.values * _stores(data.biased_W.values),
            source="ours: nine of ten inputs", what="share of inputs that leave a neuron above 0",
        ),
        Claim(
            "bias-linear", "Down to density 0.06, it is then as good as a linear hidden layer", "ours",
            about(1, 0.05), (data.biased_loss.values / data.linear_loss.values)[:5],
            source="a linear hidden layer is its limit", what="loss, relative", quick=False,
        ),
    ]  # fmt: skip


def _stores(W):
    """1 for each model that stores something, NaN for others."""
    return np.where(np.abs(W).max(axis=(1, 2)) > 0.5, 1.0, np.nan)


def _best_with(data) -> list[float]:
    """The least losses of models with 0, 1 and 2 neurons of one feature, relative to the least of all."""
    counts = np.array([measures.monosemantic(W).sum() for W in data.W.values])
    losses = np.where(np.arange(3)[:, None] == counts, data.loss.values, np.nan)
    kinds = [kind[~np.isnan(kind)].min() if (counts == n).any() else np.nan for n, kind in enumerate(losses)]
    return [float(kind / data.loss.min()) for kind in kinds]


def _one_mono(data) -> np.ndarray:
    """The weights of the best model at density 0.12 with one neuron of one feature; the best of all if none has."""
    close = data.isel(density=CLOSE)
    one = [measures.monosemantic(W).sum() == 1 for W in close.W.values]
    return close.W.values[np.where(one, close.loss.values, np.inf).argmin()]


def _most_important(W) -> float:
    mono = np.asarray(measures.monosemantic(W))
    held = np.sort(np.abs(W[mono]).argmax(axis=1))
    return float(len(held) > 0 and bool((held == np.arange(len(held))).all()))


def _signs(W) -> list[int]:
    """How many of features 3, 4 and 5 have each code on the two neurons that hold more than one feature."""
    poly = W[~np.asarray(measures.monosemantic(W))]
    if len(poly) != 2:
        return [0]
    codes = [tuple(np.sign(code) * (np.abs(code) > 0.3)) for code in poly[:, 3:6].T]
    return [codes.count(code) for code in ((1, 1), (1, -1), (-1, 1))]


def _excited(W) -> np.ndarray:
    """Which neurons each stored feature excites: positive weights, above 0.3 of its largest."""
    stored = W[:, np.asarray(measures.norms(W)) > 0.5]
    return stored > 0.3 * stored.max(axis=0, initial=1e-9)


def _separated(W) -> np.ndarray:
    """How many neurons each feature of the polysemantic ones excites, of three, for the best choice of these.

    The one left out is the one that three features excite and three inhibit.
    """
    poly = W[~np.asarray(measures.monosemantic(W))]
    if len(poly) != 4:
        return np.array([])
    excited = _excited(poly)
    counts = [
        np.sort(np.delete(excited, at, axis=0).sum(axis=0)) for at in range(4) if excited[at].sum() == 3
    ]
    wanted = [1, 1, 1, 2, 2, 2]
    return min(
        counts, key=lambda each: np.abs(each - wanted).sum() if len(each) == 6 else 99, default=np.array([])
    )


def _pairs(W) -> int:
    codes = _excited(W)
    return len({tuple(code) for code in codes.T if code.sum() == 2})


def notes(data: xr.Dataset) -> list[str]:
    near = (data.loss <= data.loss.min("member") * 1.01).mean("member").values
    codes = _best_with(data.isel(density=CLOSE))
    told = ", ".join(f"{code:.4f}" for code in codes)
    return [
        f"{data.sizes['start']} models at each density are trained briefly, the best of them longer, and the "
        f"{data.sizes['member']} best of these go to a minimum of the loss on a common sample; the one that is best on "
        "a second common sample is shown. The paper trains all 1000 to the end.",
        f"Of these finalists {near.min():.0%} to {near.max():.0%} come within 1% of the best loss: at low "
        "density one needs many starts, and a few may show another code that is a little worse.",
        "At density 0.12 the best models with none, one and two neurons of one feature have losses of "
        f"{told} times the least. The paper shows one; which is found best differs from seed to seed.",
        "The paper does not say at which settings it compares linear and ReLU hidden layers; here it is one of "
        "the six densities.",
    ]
