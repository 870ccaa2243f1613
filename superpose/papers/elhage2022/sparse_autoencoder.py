"""A sparse autoencoder, which sees only the hidden layer, finds the features of a model in superposition again.

It has more latents than the hidden layer has units, and an L1 penalty keeps few of them active at once. With the right
penalty each feature's direction is that of one latent. Two dictionaries of different sizes agree best near that
penalty, which can be seen without knowing the features.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings
from superpose.claims import Claim, as_claims, at_least, between, from_section
from superpose.dictionaries import Activations, Relu, fit_each, scores
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput
from superpose.train import member_keys, stack

SECTION = "The Strategic Picture of Superposition"
TAKES = 33
QUICK = {
    "members": 2,
    "steps": 1200,
    "dictionary_features": 20,
    "dictionary_penalties": (0.0, 0.03, 0.3),
    "dictionary_steps": 1200,
}

HIDDEN = 10
LIVE = 1e-3
"""The share of samples on which a latent must be active to count."""


@dataclass(frozen=True)
class Config:
    members: int = 4
    """Models, and autoencoders, from different starts at each setting; the best is kept."""
    steps: int = 5000
    """Steps of Adam on 512 samples each, with a learning rate that falls to 0."""
    dictionary_features: int = 40
    """Features, in 10 dimensions, of the model that autoencoders look into; 0.8 of them are active on average."""
    dictionary_penalties: tuple[float, ...] = (0.0, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8)
    """L1 penalties of the autoencoders."""
    dictionary_steps: int = 5000
    """Steps of Adam for each autoencoder, on 256 samples each."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1, steps=1, dictionary_steps=1, dictionary_features=10)
        if not self.dictionary_penalties or min(self.dictionary_penalties) < 0:
            raise ValueError("dictionary-penalties must name at least one, none of them negative")

    @property
    def cost(self) -> costs.Cost:
        n, tries = self.dictionary_features, len(self.dictionary_penalties) * self.members
        latents = costs.training(tries, 3 * n, 60 * n, self.dictionary_steps, 256)
        return latents + costs.training(self.members, n, 10 * n, self.steps, 512)


def run(config: Config) -> xr.Dataset:
    n, key = config.dictionary_features, draws.key_of(config.seed)
    world = Independent(0.8 / n, n_features=n)
    models = grid.fitted(
        lambda key: ReluOutput.init(n, HIDDEN, key=key),
        lambda: Sampled(world, batch=512),
        {},
        members=config.members,
        key=key,
        steps=config.steps,
    )
    best = grid.best(models)
    model = ReluOutput(jnp.asarray(best.W.values), jnp.asarray(best.b.values))
    sizes = {latents: _dictionaries(model, world, latents, config, key) for latents in (n, 2 * n)}
    dictionaries = grid.stacked(sizes, "latents").drop_vars(["hidden", "latent"])
    return dictionaries.assign(dictionary_W=(("hidden", "dictionary_feature"), best.W.values))


def _dictionaries(model, world, latents, config, key) -> xr.Dataset:
    """The best autoencoder with this many latents at each penalty: its directions, and how it does on other samples."""
    penalties, inside = config.dictionary_penalties, draws.stream(key, "dictionaries")
    penalty, place = grid.points(penalties, range(config.members))
    activations = Activations(model, world, active=True)
    methods = [Relu(each, steps=config.dictionary_steps, batch=256, rate=0.005, revive=0) for each in penalty]
    trained = stack(fit_each(methods, activations, latents, key=member_keys(inside, place)))
    h = activations.sample(draws.stream(key, "evaluation"), 10_000)
    directions, fires, unexplained, loss = (
        np.asarray(values, float) for values in jax.jit(jax.vmap(_shown, (0, None)))(trained, h)
    )
    least = loss.reshape(len(penalties), config.members).argmin(axis=1)
    best = np.arange(len(penalties)) * config.members + least
    return xr.Dataset(
        {
            "directions": (("dictionary_penalty", "hidden", "latent"), directions[best]),
            "fires": (("dictionary_penalty", "latent"), fires[best]),
            "unexplained": ("dictionary_penalty", unexplained[best]),
        },
        {"dictionary_penalty": list(penalties)},
    )


def _shown(sae, h):
    z = jax.vmap(sae.encode)(h)
    error = ((h - jax.vmap(sae.decode)(z)) ** 2).sum()
    spread = ((h - h.mean(axis=0, keepdims=True)) ** 2).sum()
    loss = error + sae.method.penalty * z.sum()
    return sae.directions, (z > 0).mean(axis=0), error / spread, loss


def measured(data: xr.Dataset) -> xr.Dataset:
    """How well each dictionary has each feature that the model stores: `recovered`, its largest cosine to a live latent.

    `agreement` says at each penalty how well the larger dictionary has the columns of the smaller one, by the mean of
    their largest cosines; `chosen` is the index of the penalty at which it is largest.
    """
    W, live = data.dictionary_W, data.fires > LIVE
    columns = data.directions.where(live, 0)
    represented = np.sqrt((W**2).sum("hidden")) > 0.5
    recovered = _recovered(W, columns, "dictionary_feature")
    agreement = _recovered(columns[0], columns[-1].rename(latent="other"), "latent", "other")
    agreement = agreement.where(live[0]).mean("latent")
    return data.assign(
        live=live,
        represented=represented,
        excess=float(measures.excess_features(W.values)),
        recovered=recovered.where(represented & live.any("latent")),
        agreement=agreement,
        chosen=agreement.fillna(-1).argmax("dictionary_penalty"),
    )


def _recovered(W, directions, column, latent="latent") -> xr.DataArray:
    """`scores.recovery` of the columns of `W` along `column`, for each dictionary."""
    return xr.apply_ufunc(
        lambda W, directions: scores.recovery(directions, W),
        W,
        directions,
        vectorize=True,
        input_core_dims=[["hidden", column], ["hidden", latent]],
        output_core_dims=[[column]],
    )


@plot.style()
def figure(dictionaries: xr.Dataset) -> Figure:
    fig = plot.figure(12.5, 4.4)
    fig.suptitle(
        f"{dictionaries.sizes['dictionary_feature']} features found in {dictionaries.sizes['hidden']} hidden units"
    )
    ax, *maps = fig.subplots(1, 3, width_ratios=[1.1, 1, 1])
    at = plot.log_axis_from_zero(ax, dictionaries.dictionary_penalty.values)
    for color, marker, latents in zip(plot.SETS, "os", dictionaries.latents.values, strict=False):
        cosines = dictionaries.recovered.sel(latents=latents)
        look = {"marker": marker, "color": color, "ms": 4, "label": f"{latents} latents"}
        ax.plot(at, cosines.mean("dictionary_feature"), **look)
        ax.plot(at, cosines.min("dictionary_feature"), color=color, lw=0.9, ls=":")
    ax.plot([], [], color=plot.FAINT, lw=0.9, ls=":", label="the feature recovered least")
    ax.plot(at, dictionaries.agreement, color=plot.INK, lw=1, ls="--", label="agreement of the two")
    ax.set(
        xlabel="penalty of the autoencoder",
        ylabel="largest cosine of a latent to a feature, mean",
        ylim=(0, 1.05),
    )
    ax.legend(loc="lower left")
    for ax, place in zip(maps, (0, int(dictionaries.chosen)), strict=True):
        _map(ax, dictionaries.isel(latents=-1, dictionary_penalty=place))
    plot.colorbar(fig, maps, plot.weight_colors, "cosine", low=-1, ticks=[-1, 0, 1], aspect=25, pad=0.02)
    return fig


def _map(ax, dictionaries) -> None:
    """The cosine of each feature to each live latent: first the closest latent of each feature, then the others."""
    W = dictionaries.dictionary_W.where(dictionaries.represented, 0).values
    directions = dictionaries.directions.where(dictionaries.live, 0).values
    cosines = (W / (np.linalg.norm(W, axis=0) + 1e-12)).T @ directions
    order = list(
        dict.fromkeys([*cosines.argmax(axis=1), *np.argsort(~dictionaries.live.values, kind="stable")])
    )
    ax.imshow(
        cosines[:, order], cmap=plot.weight_colors, vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
    )
    ax.set(xlabel="latents, each feature's closest first", ylabel="features", xticks=[], yticks=[])
    active = f"{int(dictionaries.live.sum())} of {len(order)} latents active"
    ax.set_title(f"penalty {dictionaries.dictionary_penalty:g}: {active}")


@as_claims
def claims(dictionaries: xr.Dataset) -> list[Claim]:
    mean = dictionaries.recovered[-1].mean("dictionary_feature")
    chosen = dictionaries.recovered[-1, int(dictionaries.chosen)][dictionaries.represented]
    says = from_section("A comment of L. Sharkey and others", "1 is perfect")
    paper = from_section(SECTION, "0 without superposition")
    ours = from_section("ours", "1 is perfect")
    # fmt: off
    return [
        paper("dictionary-superposition", "The model that is looked into is in superposition",
              "features beyond the dimensions that they span", dictionaries.excess, at_least(5)),
        says("dictionary-recovers", "A sparse autoencoder on the hidden layer recovers the features",
             "mean largest cosine, at the penalty at which two dictionaries agree best", chosen.mean(), at_least(0.95)),
        ours("dictionary-each", "A sparse autoencoder recovers each of the features",
             "largest cosine", chosen, at_least(0.85)),
        says("dictionary-agreement", "The agreement of dictionaries of two sizes tells the penalty, without knowing the features",
             "recovered at the best penalty, less at that one", mean.max() - chosen.mean(), between(-1e-9, 0.02), source="ours: little is lost"),
        *(ours("dictionary-penalty", "Without a penalty the features are not recovered", "mean largest cosine", mean[0],
               between(0.3, 0.85), source="ours: more than chance of 2 random directions, less than recovery")
          for penalty in dictionaries.dictionary_penalty.values[:1] if penalty == 0),
    ]
    # fmt: on


def notes(dictionaries: xr.Dataset) -> list[str]:
    size = dictionaries.sizes["dictionary_feature"]
    return [
        "The paper gives no settings; they are ours.",
        f"The autoencoders' model has {size} features, of which 0.8 are active on average; samples without any are left out.",
    ]
