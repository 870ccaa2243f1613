"""Three ways out of superposition: pay for hidden units, have more of them at rest, or read features out.

An L1 penalty on the hidden layer drops features until the others have a unit each. A mixture of experts,
with as many units at work on each sample, needs less superposition and still has a lower loss. And a sparse
autoencoder, which sees only the hidden layer, finds the directions of all features of a model that is in superposition.
"""

from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import numpy as np
import optax
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, dictionaries, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, between, exactly
from superpose.dictionaries import Reconstruction, SparseAutoencoder
from superpose.features import Independent
from superpose.losses import Population, Sampled, mean_activation
from superpose.models import Mixture, ReluOutput
from superpose.train import ensemble, fit, member

SECTION = "The Strategic Picture of Superposition"
TAKES = 95
QUICK = {
    "members": 2, "steps": 1200, "penalties": (0.0, 0.01, 0.03, 0.1, 0.3, 0.5, 1.0),
    "densities": (0.1, 0.01), "dictionary_features": 20, "dictionary_steps": 1200, "dictionary_penalties": (0.0, 0.03, 0.3),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    members: int = 4
    """Models, and autoencoders, from different starts at each setting; the best is kept."""
    steps: int = 5000
    """Steps of Adam on 512 samples each, with a learning rate that falls to 0."""
    penalties: tuple[float, ...] = (
        0.0,
        0.01,
        0.02,
        0.03,
        0.06,
        0.1,
        0.15,
        0.2,
        0.25,
        0.3,
        0.4,
        0.5,
        0.6,
        1.0,
    )
    """L1 penalties on the hidden layer of 20 features in 10 dimensions; the first is 0."""
    densities: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01)
    """Densities of the 20 features that mixtures of experts have 5 active hidden units for."""
    dictionary_features: int = 40
    """Features, in 10 dimensions, of the model that autoencoders look into; 0.8 of them are active on average."""
    dictionary_penalties: tuple[float, ...] = (0.0, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8)
    """L1 penalties of the autoencoders."""
    dictionary_steps: int = 5000
    """Steps of Adam for each autoencoder, on 256 samples each."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1, steps=1, dictionary_steps=1, dictionary_features=10)
        if len(self.penalties) < 3 or self.penalties[0] != 0 or np.any(np.diff(self.penalties) <= 0):
            raise ValueError("penalties must rise from 0, and be at least 3, such as --penalties 0 0.03 0.3")
        if not self.densities or not self.dictionary_penalties or min(self.dictionary_penalties) < 0:
            raise ValueError(
                "densities and dictionary-penalties must name at least one, dictionary-penalties not negative"
            )

    @property
    def cost(self) -> costs.Cost:
        starts, n = 2 * self.members + 10, self.dictionary_features
        penalized = costs.training(len(self.penalties) * starts, 20, 220, self.steps, 512)
        mixed = costs.training(len(self.densities) * self.members, 60, 1200, self.steps, 512)
        tries = len(self.dictionary_penalties) * self.members
        latents = costs.training(tries, 3 * n, 60 * n, self.dictionary_steps, 256)
        return penalized + mixed + latents + costs.training(self.members, n, 10 * n, self.steps, 512)


PENALIZED = (20, 10, 0.05)  # features, hidden dimensions, density
IMPORTANCE = 0.9 ** np.arange(20)
ACTIVE = 5  # hidden units at work on each sample
KINDS = ("dense", "4 experts of 5 units, 1 active", "20 experts of 1 unit, 5 active")


def run(config: Config) -> xr.Dataset:
    return xr.merge([_penalized(config), _mixtures(config), _per_activation(), _dictionaries(config)])


def _adam(rate, steps):
    return optax.adam(optax.cosine_decay_schedule(rate, steps))


def _penalized(config) -> xr.Dataset:
    """For each penalty the best of models from three kinds of start, of which `won` says which it was.

    The kinds are small random weights; a model that was trained without a penalty; and the k most important features
    with lengths 1 along the hidden units, from the 11th on opposite to others, for k = 2, 4, ..., 20.
    `W_found` is the best without the third kind.
    """
    n, m, density = PENALIZED
    key, members = draws.key_of(config.seed), config.members
    world = Independent(density, IMPORTANCE)
    train = partial(fit, steps=config.steps, own_loss=True, optimizer=_adam(0.01, config.steps))

    def losses(values):
        return grid.each(lambda penalty: Sampled(world, batch=512, penalty=penalty), values)

    fresh = ensemble(lambda key: ReluOutput.init(n, m, key=key), members=members, key=key)
    free = train(fresh, losses(np.zeros(members)), key=key).models
    pairs = np.concatenate([np.eye(m), -np.eye(m)[:, ::-1]], axis=1)
    along = [pairs * (np.arange(n) < kept) for kept in range(2, n + 1, 2)]
    W = np.concatenate([fresh.W, free.W, np.array(along, np.float32)])
    b = np.concatenate([fresh.b, free.b, np.zeros((len(along), n), np.float32)])
    kind = np.repeat([0, 1, 2], [members, members, len(along)])

    penalty, start = grid.points(config.penalties, range(len(kind)))
    starts = eqx.tree_at(
        lambda model: (model.W, model.b), member(fresh, np.zeros_like(start)), (W[start], b[start])
    )
    models = train(starts, losses(penalty), key=draws.stream(key, "penalized")).models
    population, x = Population(world), world.sample(draws.stream(key, "evaluation"), 20_000)
    evaluate = partial(jax.lax.map, lambda model: (population(model), mean_activation(model, x)))
    loss, activation = jax.jit(evaluate)(models)
    axes = {"penalty": config.penalties, "member": range(len(kind))}
    data = grid.dataset(models, loss, axes=axes, activation=activation)
    data = data.assign(won=("member", kind), importance=("feature", IMPORTANCE))
    total = data.loss + data.penalty * data.activation
    best = data.isel(member=total.argmin("member")).drop_vars("member")
    return best.assign(
        W_found=data.isel(member=total.where(data.won < 2).argmin("member")).W.drop_vars("member")
    )


def _mixtures(config) -> xr.Dataset:
    """The best model of each kind at each density, with the same number of hidden units active."""
    n, key = 20, draws.key_of(config.seed)
    density, place = grid.points(config.densities, range(config.members))
    world = grid.each(lambda density: Independent(density, n_features=n), density)
    kinds = {
        KINDS[0]: partial(ReluOutput.init, n, ACTIVE),
        KINDS[1]: partial(Mixture.init, n, ACTIVE, experts=4),
        KINDS[2]: partial(Mixture.init, n, ACTIVE, experts=20, active=ACTIVE),
    }
    found = []
    for init in kinds.values():
        trained = fit(
            ensemble(lambda key: init(key=key), members=place, key=key),  # noqa: B023
            Sampled(world, batch=512), steps=config.steps, key=key, own_loss=True,
            optimizer=_adam(0.01, config.steps),
        )  # fmt: skip
        axes = {"density": config.densities, "member": range(config.members)}
        best = grid.best(grid.dataset(trained.models, trained.history[:, -2:].mean(axis=1), axes=axes))
        kind = {"mixture_loss": best.loss}
        for name, measure in (("mixture_norm", measures.norms), ("mixture_share", measures.dimensionality)):
            kind[name] = grid.over_models(measure, best.W, "feature")
        found.append(xr.Dataset(kind).drop_vars("member"))
    return xr.concat(found, "kind").assign_coords(kind=list(KINDS))


def _per_activation() -> xr.Dataset:
    """The loss that a hidden unit saves for each time that it is active: with one feature, and with a pair."""
    chance, w = np.geomspace(0.001, 0.5, 40), np.linspace(0.8, 1.2, 401)
    pair = theory.pair_loss(w, -w, chance[:, None]).min(axis=1)
    alone = theory.dropped_cost(chance)
    saved = np.stack([alone / chance, (2 * alone - pair) / (1 - (1 - chance) ** 2)])
    return xr.Dataset(
        {"per_activation": (("unit", "chance"), saved)},
        {"unit": ["one feature", "antipodal pair"], "chance": chance},
    )


def _dictionaries(config) -> xr.Dataset:
    n, m = config.dictionary_features, PENALIZED[1]
    world, key = Independent(0.8 / n, n_features=n), draws.key_of(config.seed)
    trained = fit(
        ensemble(lambda key: ReluOutput.init(n, m, key=key), members=config.members, key=key),
        Sampled(world, batch=512), steps=config.steps, key=key, optimizer=_adam(0.01, config.steps),
    )  # fmt: skip
    model = member(trained.models, int(np.asarray(trained.history)[:, -1].argmin()))
    sizes = (n, 2 * n)
    penalty, place = grid.points(config.dictionary_penalties, range(config.members))
    objective = grid.each(lambda penalty: Reconstruction(model, world, penalty, 256), penalty)
    inside, evaluation = (draws.stream(key, purpose) for purpose in ("dictionaries", "evaluation"))
    h = jax.jit(lambda model: Reconstruction(model, world, 0.0).activations(evaluation, 10_000))(model)
    shape = (len(config.dictionary_penalties), config.members)
    directions = np.full((len(sizes), *shape[:1], m, max(sizes)), np.nan)
    fires, unexplained = np.full((len(sizes), shape[0], max(sizes)), np.nan), np.zeros((len(sizes), shape[0]))
    for at, latents in enumerate(sizes):
        trained = fit(
            ensemble(lambda key: SparseAutoencoder.init(m, latents, key=key), members=place, key=inside),  # noqa: B023
            objective, steps=config.dictionary_steps, key=inside, own_loss=True,
            optimizer=_adam(0.005, config.dictionary_steps),
        )  # fmt: skip
        least = np.asarray(trained.history)[:, -1].reshape(shape).argmin(axis=1)
        best = member(trained.models, np.arange(shape[0]) * config.members + least)
        shown = jax.jit(jax.vmap(_shown, (0, None)))(best, h)
        directions[at, ..., :latents], fires[at, ..., :latents], unexplained[at] = shown
    setting = ("latents", "dictionary_penalty")
    return xr.Dataset(
        {
            "dictionary_W": (("hidden", "dictionary_feature"), np.asarray(model.W)),
            "directions": ((*setting, "hidden", "latent"), directions),
            "fires": ((*setting, "latent"), fires),
            "unexplained": (setting, unexplained),
        },
        {"latents": list(sizes), "dictionary_penalty": list(config.dictionary_penalties)},
    )


def _shown(sae, h):
    error = ((h - jax.vmap(sae)(h)) ** 2).sum() / ((h - h.mean(axis=0)) ** 2).sum()
    return sae.directions, dictionaries.firing(sae, h), error


def penalized(data: xr.Dataset) -> xr.Dataset:
    """Numbers of the model at each penalty; of `W_found`, which had to find the axes itself, for `along`."""
    W, found = data.W, data.W_found.values
    norm = np.linalg.norm(W.values, axis=1)
    gram = np.swapaxes(W.values, 1, 2) @ W.values
    aligned = [np.asarray(measures.basis_alignment(w))[np.linalg.norm(w, axis=0) > 0.5] for w in found]
    numbers = {
        "count": (norm > 0.5).sum(axis=1),
        "excess": grid.over_models(measures.excess_features, W).values,
        "per_dimension": 1 / grid.over_models(measures.dimensions_per_feature, W).values,
        "shared": grid.over_models(measures.superposition, W, "feature").mean("feature").values,
        "off": np.abs(gram * (1 - np.eye(len(data.feature)))).max(axis=(1, 2)),
        "shortest": np.where(norm > 0.5, norm, np.inf).min(axis=1),
        "along": [one.min(initial=np.inf) for one in aligned],
        "predicted": [(data.importance > penalty / LIMIT).sum() for penalty in data.penalty.values],
        "swaps": [_swaps(one, data.importance.values) for one in norm > 0.5],
    }
    return xr.Dataset({name: ("penalty", np.asarray(value)) for name, value in numbers.items()})


LIMIT = theory.penalty_limit(PENALIZED[2])


def _swaps(stored, importance) -> int:
    """How many pairs of features there are of which the less important is stored and the other not."""
    return int((stored[:, None] & ~stored & (importance[:, None] < importance)).sum())


def free_of_superposition(numbers: xr.Dataset) -> np.ndarray:
    """The places of the penalties, from the least on, at which features are stored, each in its own dimension."""
    return np.flatnonzero((numbers["count"] > 0) & (numbers.excess == 0))


def recovery(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Each represented feature's largest cosine to a latent that fires, by dictionary and penalty.

    And by penalty how far the larger dictionary has the columns of the smaller one: the mean of their
    largest cosines, which can be had without knowing the features.
    """
    live = np.where((data.fires.values > 1e-3)[:, :, None], np.nan_to_num(data.directions.values), 0.0)
    W = data.dictionary_W.values
    W = W[:, np.linalg.norm(W, axis=0) > 0.5]
    cosines = np.array([[dictionaries.recovered(W, one) for one in size] for size in live])
    agreement = []
    for small, large in zip(*live, strict=True):
        columns = small[:, (small != 0).any(axis=0)]
        agreement.append(np.mean(dictionaries.recovered(columns, large)) if columns.size else np.nan)
    return cosines, np.array(agreement)


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(12.5, 8.2)
    top, bottom = fig.subfigures(2, 1, hspace=0.04)
    _draw_penalized(top, data)
    axes = bottom.subplots(1, 4)
    _draw_mixtures(axes[:2], data)
    _draw_units(axes[2], data)
    _draw_dictionaries(axes[3], data)
    return fig


def _draw_penalized(fig, data) -> None:
    numbers = penalized(data)
    free = free_of_superposition(numbers)
    n, m, density = PENALIZED
    settings = f"{n} features in {m} dimensions, importance 0.9$^i$, density {density}"
    fig.suptitle(f"An L1 penalty on the hidden layer: {settings}")
    price, count, *maps = fig.subplots(1, 5, width_ratios=[1.5, 1.5, 1, 1, 1])
    nothing, none = (theory.linear_loss(np.full(n, density), IMPORTANCE, k) for k in (0, m))
    for ax in (price, count):
        at = _penalty_axis(ax, data.penalty.values)
        ax.set_xlabel("penalty on $\\|h\\|_1$")
        if len(free):
            ax.axvspan(at[free[0]], at[-1], color=plot.GRAY, alpha=0.45, lw=0, zorder=0)
    _guide(price, 1, "nothing stored", "left")
    _guide(price, none / nothing, "least without superposition", "left")
    price.plot(at, data.loss / nothing, "o-", color=plot.BLUE, ms=4)
    price.set(
        yscale="log", ylim=(None, 1.6), ylabel="loss (the penalty not counted),\nrelative to storing nothing"
    )
    fine = np.geomspace(at[0], at[-1], 600)
    worth = (IMPORTANCE[:, None] > fine / LIMIT).sum(axis=0)
    count.plot(at, numbers["count"], "o-", color=plot.BLUE, ms=4, label="stored")
    count.plot(fine, worth, color=plot.INK, lw=0.9, ls=":", label="worth a hidden unit (theory)")
    count.plot(at, numbers.excess, "s-", color=plot.RED, ms=4, label="stored beyond the dimensions they span")
    count.set(ylabel="features", ylim=(-0.7, 21), yticks=[0, 5, 10, 15, 20])
    count.legend(loc="lower left", bbox_to_anchor=(-0.03, 1.0), fontsize=7.5)
    shown = [0, int(np.argmin(np.abs(data.penalty.values - 0.03))), *free[:1]]
    told = ["no penalty:\nalong no axis", "the axes cost nothing:\npairs, a unit each", "no superposition"]
    for ax, place, what in zip(maps, shown, told, strict=False):
        W = (data.W if place else data.W_found).values[place]
        W = W[np.argsort(np.abs(W).argmax(axis=1))] if place else W
        ax.imshow(W.T, cmap=plot.weight_colors, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        ax.set(xlabel="hidden unit", xticks=[], yticks=[])
        ax.set_title(f"{what}\npenalty {data.penalty.values[place]:g}", fontsize=8.5)
    for ax in maps[len(shown) :]:
        ax.remove()
    maps[0].set_ylabel("feature, the most important on top")
    kept = maps[: len(shown)]
    plot.colorbar(
        fig, kept, plot.weight_colors, "weight $W$", low=-1, high=1, ticks=[-1, 0, 1], aspect=25, pad=0.02
    )


def _penalty_axis(ax, penalty) -> np.ndarray:
    """Where penalties are drawn along a log axis, 0 at its left end."""
    zero = penalty[penalty > 0].min(initial=1.0) / 2.5
    ticks = [tick for tick in (0.01, 0.1, 1.0) if zero < tick <= 1.2 * penalty.max()]
    ax.set_xscale("log")
    ax.set_xticks([zero, *ticks], ["0", *(f"{tick:g}" for tick in ticks)])
    ax.minorticks_off()
    return np.maximum(penalty, zero)


def _guide(ax, y, said, side="right") -> None:
    ax.axhline(y, color=plot.FAINT, lw=0.8, ls="--", zorder=0)
    at = {"left": 0.02, "right": 0.99}[side]
    where = ax.get_yaxis_transform()
    ax.text(at, y, said, transform=where, ha=side, va="bottom", fontsize=7, color="#666666")


def _draw_mixtures(axes, data) -> None:
    loss, share = axes
    nothing = 20 * theory.dropped_cost(data.density.values)
    for color, marker, kind in zip(plot.SETS, "os^", data.kind.values, strict=False):
        one = data.sel(kind=kind)
        loss.plot(data.density, one.mixture_loss / nothing, marker=marker, color=color, ms=4, label=kind)
        stored = one.mixture_share.where(one.mixture_norm > 0.5).mean("feature")
        share.plot(data.density, stored, marker=marker, color=color, ms=4)
    _guide(loss, 1 - ACTIVE / 20, "dense, without superposition")
    lowest = float((data.mixture_loss / nothing).min())
    loss.set(xscale="log", yscale="log", ylim=(lowest / 8, 1.3), ylabel="loss relative to storing nothing")
    loss.legend(loc="lower right", fontsize=7.5)
    loss.set_title(f"20 features, {ACTIVE} active hidden units")
    _guide(share, 1, "a dimension each")
    _guide(share, 0.5, "antipodal pairs")
    share.set(xscale="log", ylim=(0, 1.08), ylabel="share of a dimension, mean of stored features")
    share.set_title("Superposition of the same models")
    for ax in axes:
        ax.set_xlabel("density (1 − S)")


def _draw_units(ax, data) -> None:
    for color, name, value in zip(
        (plot.BLUE, plot.RED), data.unit.values, data.per_activation.values, strict=True
    ):
        ax.plot(data.chance, value, color=color, label=name)
    ax.set(xscale="log", xlabel="density (1 − S)", ylabel="loss saved for each activation", ylim=(0, 0.36))
    ax.legend(loc="lower left", title="a hidden unit with", alignment="left")
    ax.set_title("What a hidden unit earns (exact)")


def _draw_dictionaries(ax, data) -> None:
    cosines, agreement = recovery(data)
    at = _penalty_axis(ax, data.dictionary_penalty.values)
    for color, marker, size, found in zip(plot.SETS, "os", data.latents.values, cosines, strict=False):
        ax.plot(at, found.mean(axis=1), marker=marker, color=color, ms=4, label=f"{size} latents")
        ax.plot(at, found.min(axis=1), color=color, lw=0.9, ls=":")
    ax.plot([], [], color=plot.FAINT, lw=0.9, ls=":", label="the feature recovered least")
    ax.plot(at, agreement, color=plot.INK, lw=1, ls="--", label="agreement of the two")
    ax.set(
        xlabel="penalty of the autoencoder",
        ylabel="largest cosine of a latent to a feature, mean",
        ylim=(0, 1.05),
    )
    ax.legend(loc="lower left")
    sizes = data.sizes["dictionary_feature"], data.sizes["hidden"]
    ax.set_title("{} features found in {} hidden units".format(*sizes))


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    return [*_penalty_claims(data), *_mixture_claims(data), *_dictionary_claims(data)]


def _penalty_claims(data) -> list[Claim]:
    n, m, density = PENALIZED
    numbers, penalty = penalized(data), data.penalty.values
    free = free_of_superposition(numbers)
    gone = numbers.isel(penalty=free)
    rest = numbers.isel(penalty=slice(free[0], None)) if len(free) else gone
    none = theory.linear_loss(np.full(n, density), data.importance.values, m)
    price = data.loss.values - data.loss.values[0]
    removed = numbers.shared.values[0] - numbers.shared.values
    small = (penalty > 0) & (penalty <= 0.03)
    return [
        Claim(
            "penalty-before", "Without a penalty all features are stored, twice as many as there are dimensions", "ours",
            exactly(n), numbers["count"].values[0], source="antipodal pairs at this density",
        ),
        Claim(
            "penalty-gone", "A large enough penalty leaves no superposition", SECTION,
            at_most(1), gone.per_dimension.values, what="features per dimension, |W|^2 / m", source="at most a dimension for each", quick=False,
        ),
        Claim(
            "penalty-diagonal", "and then no feature interferes with another", SECTION,
            at_most(0.02), gone.off.values, what="largest entry of W^T W off its diagonal", source="0 but for training", quick=False,
        ),
        Claim(
            "penalty-axes", "It turns the features onto the hidden units, in models that did not start there", SECTION,
            at_least(0.95), numbers.along.values[(penalty >= 0.03) & np.isfinite(numbers.along.values)],
            what="least share of a stored feature on one unit", source="1 along an axis, but for training",
        ),
        Claim(
            "penalty-price", "Getting rid of superposition has its price", SECTION,
            at_least(1), data.loss.values[free] / none,
            what="loss, relative to the least of models without superposition", source="closed form", quick=False,
        ),
        Claim(
            "penalty-price-before", "which models with superposition do not pay", SECTION,
            at_most(0.5), data.loss.values[0] / none if numbers["count"].values[0] > 0 else np.nan,
            what="loss without a penalty, relative to the same", source="ours: antipodal pairs cost less than half",
        ),
        Claim(
            "penalty-least-important", "It drops the less important features first", SECTION,
            exactly(0), numbers.swaps.values.sum() if len(free) else np.nan,
            what="pairs of which only the less important is stored", source="all else is equal", quick=False,
        ),
        Claim(
            "penalty-threshold", "Once there is no superposition, a feature is stored where it is worth a hidden unit", "ours",
            about(rest.predicted.values, 1), rest["count"].values, what="features stored", source="theory.penalty_limit", quick=False,
        ),
        Claim(
            "penalty-jump", "A feature is dropped at once: none is stored shorter than the square root of 1/3", "ours",
            between(3**-0.5, 1.02), gone.shortest.values, what="least norm of a stored feature",
            source="theory: shorter ones are at no minimum, and from the square root of 2/3 at none that is the best", quick=False,
        ),
        Claim(
            "penalty-free", "The first bit of superposition is removed at no price to first order", SECTION + ", footnote",
            between(1.6, 2.4), _power(penalty[small], price[small]), what="power of the penalty with which the loss rises",
            source="2, as the loss is at its minimum",
        ),
        Claim(
            "penalty-removes", "while superposition falls in proportion to the penalty", SECTION + ", footnote",
            between(0.7, 1.3), _power(penalty[small], removed[small]), what="power of the penalty", source="1: minima move smoothly",
        ),
    ]  # fmt: skip


def _power(x, y) -> float:
    """The exponent of a power law through the points, NaN where there is none."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0]) if len(x) > 1 and (y > 0).all() else np.nan


def _mixture_claims(data) -> list[Claim]:
    share = data.mixture_share.where(data.mixture_norm > 0.5).mean("feature").values
    loss = data.mixture_loss.values
    alone, pair = data.per_activation.values
    return [
        Claim(
            "mixture-loss", "With as many active hidden units, mixtures of experts have the lower loss", SECTION,
            at_most(0.8), (loss[1:] / loss[0]).ravel(), what="loss relative to the dense model's", source="ours: well below 1",
        ),
        Claim(
            "mixture-share", "and their features share dimensions less", SECTION,
            at_least(0.2), (share[1:] - share[0]).ravel(), what="share of a dimension, beyond that in the dense model",
            source="ours: well above 0",
        ),
        Claim(
            "mixture-units", "With experts of one unit each, features have nearly a dimension each", "ours",
            at_least(0.8), share[-1], what="mean share of a dimension", source="ours: near 1",
        ),
        Claim(
            "activation-dedicated", "For each activation a unit earns more with one feature than with an antipodal pair", SECTION,
            at_least(1), np.min(alone / pair), what="least ratio of the two", source="closed form", number="{:.6f}",
        ),
        Claim(
            "activation-dense", "clearly so where features are dense", SECTION,
            at_least(1.03), alone[-1] / pair[-1], what="ratio at density 0.5", source="1 + p^2 / 8 / (1/3 - 5p/12) with unit weights",
        ),
        Claim(
            "activation-asymptotic", "and the pair is as good only in the limit of sparse features", SECTION,
            about(1, 1e-5), alone[0] / pair[0], what="ratio at density 0.001", source="the same", number="{:.8f}",
        ),
    ]  # fmt: skip


def _dictionary_claims(data) -> list[Claim]:
    cosines, agreement = recovery(data)
    chosen = int(np.nanargmax(agreement)) if np.isfinite(agreement).any() else None
    found = cosines[-1, chosen] if chosen is not None and cosines.size else np.array([])
    mean = cosines[-1].mean(axis=1) if cosines.size else np.full(len(agreement), np.nan)
    found_claims = [
        Claim(
            "dictionary-superposition", "The model that is looked into is in superposition", SECTION,
            at_least(5), float(measures.excess_features(data.dictionary_W.values)),
            what="features beyond the dimensions that they span", source="0 without superposition",
        ),
        Claim(
            "dictionary-recovers", "A sparse autoencoder on the hidden layer recovers the features", "A comment of L. Sharkey and others",
            at_least(0.95), found.mean() if found.size else np.nan,
            what="mean largest cosine, at the penalty at which two dictionaries agree best", source="1 is perfect",
        ),
        Claim(
            "dictionary-each", "each of them", "ours",
            at_least(0.85), found, what="largest cosine", source="1 is perfect",
        ),
        Claim(
            "dictionary-agreement", "The agreement of dictionaries of two sizes tells the penalty, without knowing the features",
            "A comment of L. Sharkey and others", between(-1e-9, 0.02), np.max(mean) - found.mean() if found.size else np.nan,
            what="recovered at the best penalty, less at that one", source="ours: little is lost",
        ),
    ]  # fmt: skip
    if data.dictionary_penalty.values[0] == 0:
        found_claims.append(
            Claim(
                "dictionary-penalty", "Without a penalty the features are not recovered", "ours",
                between(0.3, 0.85), mean[0], what="mean largest cosine",
                source="ours: more than chance of 2 random directions, less than recovery",
            )
        )  # fmt: skip
    return found_claims


def notes(data: xr.Dataset) -> list[str]:
    won = data.won.values
    size = data.sizes["dictionary_feature"]
    kinds = [int((won == kind).sum()) for kind in range(3)]
    return [
        "The paper gives no settings for any of the three; they are ours.",
        "At each penalty models start from small random weights, from a model trained without a penalty, and with features "
        "along the hidden units; the one of least loss and penalty together is kept. "
        f"The best had these starts at {kinds[0]}, {kinds[1]} and {kinds[2]} penalties: training by itself finds the axes, but not "
        "which features are best dropped.",
        "Samples go to the experts whose own hidden units respond most; no router is trained, and it takes all experts' "
        "first layers to choose. In experts of one unit, features often lie across several units, at right angles.",
        f"The autoencoders' model has {size} features, of which 0.8 are active on average; samples without any are left out.",
    ]
