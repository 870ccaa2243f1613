"""Words of real text: which are stored, and whether those that occur together lie side by side.

A sample is a window of running text, a feature says whether a word is in it. The control has as many
windows and each word in as many of them, but its words come and go independently: each word's
windows are shuffled by themselves.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, FigureBase
from scipy import stats

from superpose import corpus, costs, fonts, grid, measures, plot, settings
from superpose.claims import Claim, about, as_claims, at_least, at_most, from_section
from superpose.features import Empirical
from superpose.losses import Population, Sampled
from superpose.models import ReluOutput
from superpose.words import named_plane, named_sphere

SECTION = "ours: real text"
TAKES = 65
QUICK = {"n_hidden": (2, 3, 10), "members": 2, "steps": 400}

ROOM = {2: 22, 3: 26}  # how many words can be named in the picture, by hidden dimensions


@dataclass(frozen=True)
class Config:
    text: tuple[str, ...] = ()
    """Your own text files, in UTF-8; without any, the help topics that come with Python. Words are runs of
    letters, as they are written: a language without spaces between its words needs them put there first."""
    stop_words: tuple[str, ...] = ()
    """Text files with words to leave out, instead of the English list that comes with superpose."""
    window: int = 20
    """Words of running text in a window, which is one sample. Windows do not overlap."""
    n_words: int = 200
    """The features: the words that are in the most windows, after the stop list."""
    n_hidden: tuple[int, ...] = (2, 3, 5, 10, 20, 40)
    """The numbers of hidden dimensions."""
    members: int = 4
    """Models of each size, from different initial weights; the best is shown."""
    steps: int = 2000
    """Training steps of each model."""
    batch: int = 512
    """Windows drawn at each step."""
    learning_rate: float = 5e-3
    """Of Adam, at the start; it falls to 0 along a cosine."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, window=2, n_words=2, members=1, steps=1, batch=1)
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning-rate must be positive, got {self.learning_rate}")
        sizes = self.n_hidden
        if not sizes or len(set(sizes)) < len(sizes) or not all(1 <= m <= self.n_words for m in sizes):
            raise ValueError(
                f"n-hidden must be different numbers from 1 to n-words = {self.n_words}, got {list(sizes)}; "
                "give --n-hidden, such as --n-hidden 2 3"
            )
        source = ", ".join(self.text) or "Python's own topics"
        if len(self.words) < self.n_words:
            raise ValueError(
                f"{source}: {len(self.words)} different words in {len(self.windows)} whole windows, and n-words "
                f"is {self.n_words}; give more text or a lower --n-words or --window"
            )
        if len(self.windows) < self.n_words:
            raise ValueError(
                f"{source}: {len(self.windows)} windows say too little of {self.n_words} words, of which there may "
                "be no more than windows; give more text or a lower --n-words or --window"
            )

    @property
    def cost(self) -> costs.Cost:
        n = self.n_words
        trained = [costs.training(2 * self.members, n, n * m, self.steps, self.batch) for m in self.n_hidden]
        return sum(trained, costs.evaluating(2, n**2))

    @cached_property
    def windows(self) -> list[list[str]]:
        return corpus.windows([corpus.read(path) for path in self.text] or corpus.topics(), self.window)

    @cached_property
    def words(self) -> list[str]:
        """The features, by the number of windows that they are in."""
        stop = {word for path in self.stop_words for word in corpus.words(corpus.read(path))}
        return corpus.frequent(self.windows, self.n_words, stop or corpus.STOP_WORDS)


def run(config: Config) -> xr.Dataset:
    often: dict[str, Any] = {"members": config.members, "steps": config.steps, "key": config.seed}

    def trained(law, m):
        models, loss = partial(ReluOutput.init, config.n_words, m), partial(Sampled, law, config.batch)
        exact, rate = partial(Population, law), config.learning_rate
        return grid.fitted(lambda key: models(key=key), loss, {}, judged=exact, rate=rate, **often)

    words, bags = np.array(config.words, object), corpus.bags(config.windows, config.words)
    # Words are shuffled, not drawn afresh: models also memorize what happens to be in the windows. With 40
    # dimensions, fresh draws would leave 23% of the variance as loss, shuffled words leave 5%, and the text 2%.
    laws = Empirical(bags), Empirical(corpus.shuffled(bags, config.seed))
    text, control = (grid.stacked({m: trained(law, m) for m in config.n_hidden}, "n_hidden") for law in laws)
    data = grid.stacked({"text": text, "independent": control}, "world").assign(n_windows=len(bags))
    data["pmi"] = ("feature", "feature_2"), corpus.pointwise_information(bags)
    return data.assign_coords(word=("feature", words), density=("feature", bags.mean(0)))


def measured(data: xr.Dataset) -> xr.Dataset:
    """What the best model of each size does with the words, in the text and in the control.

    `n_represented` counts the words with norm > 0.5; `oftener` is the chance that one of them is in more windows
    than a word that is not represented. The rest is for represented words: `by_density` is the rank correlation of
    dimensionality with density. Of `related`, `by_pmi` is that of the cosine of two words with their pointwise mutual
    information, and `beside` and `apart` are the mean cosines of the tenth of pairs with the most and with the least
    information; `error` is how much these vary when the words swap directions at random. `profile` has, for each tenth
    of pairs by information, its mean, and the mean and the 10% and 90% quantiles of the cosine. NaN where
    there are fewer than 5 words to go by.
    """
    sizes = {}
    for m in data.n_hidden.values.tolist():
        best = grid.described(grid.unstacked(data, "n_hidden", m))
        related = [_related(best.isel(world=world)) for world in range(best.sizes["world"])]
        models = best[["W", "loss", "norm", "represented", "dimensionality"]]
        sizes[m] = models.assign(xr.concat(related, best.world))
    return grid.stacked(sizes, "n_hidden").assign(members=data.sizes["member"])


def _related(best: xr.Dataset) -> xr.Dataset:
    """How the words of one model are related to their densities and to each other, see `measured`."""
    there, density = best.represented.values, best.density.values
    n, oftener, by_density = there.sum(), np.nan, np.nan
    tries, profile = 2 * [3 * [np.nan]], 10 * [4 * [np.nan]]
    if 5 <= n <= len(there) - 5:
        oftener = (np.sign(density[there][:, None] - density[~there]) / 2 + 0.5).mean()
    if n >= 5:
        by_density = (_ranked(best.dimensionality.values[there]) * _ranked(density[there])).mean()
        pairs = np.triu_indices(n, 1)
        cosine = np.asarray(measures.cosines(best.W.values))[there][:, there]
        pmi = best.pmi.values[there][:, there][pairs]
        cosine_rank = np.zeros((n, n))
        cosine_rank[pairs] = _ranked(cosine[pairs])
        cosine_rank += cosine_rank.T
        pmi_rank, least, most = _ranked(pmi), pmi <= np.quantile(pmi, 0.1), pmi >= np.quantile(pmi, 0.9)
        # Pairs that share a word are not independent of each other, so words are permuted, not pairs.
        random, tries = np.random.default_rng(0), []
        for order in [np.arange(n), *(random.permutation(n) for _ in range(300))]:
            at = order[pairs[0]], order[pairs[1]]
            by_pmi = (cosine_rank[at] * pmi_rank).mean()
            tries.append([by_pmi, cosine[at][most].mean(), cosine[at][least].mean()])
        tenths = [(pmi[part], cosine[pairs][part]) for part in np.array_split(np.argsort(pmi), 10)]
        profile = [[x.mean(), y.mean(), *np.quantile(y, [0.1, 0.9])] for x, y in tenths]
    values = {"n_represented": n, "oftener": oftener, "by_density": by_density, "related": ("kind", tries[0])}
    values |= {"error": ("kind", np.std(tries[1:], axis=0)), "profile": (("tenth", "number"), profile)}
    return xr.Dataset(values, {"kind": ["by_pmi", "beside", "apart"]})


def _ranked(values: np.ndarray) -> np.ndarray:
    """Ranks with mean 0 and standard deviation 1; all 0 where all values are the same."""
    rank = stats.rankdata(values) - (len(values) + 1) / 2
    return rank / (rank.std() or 1.0)


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    named = _named(best)
    fig = plot.figure(12, 7.9 if named else 3.4)
    parts = list(fig.subfigures(2, 1, height_ratios=[4.5, 3.4])) if named else [fig]
    if named:
        _pictures(parts[0], best.sel(world="text"), named)
    _numbers(parts[-1].subplots(1, 4), best)
    return fig


def _named(best: xr.Dataset) -> dict[int, list[int]]:
    """The words named in the picture of each size, the longest first: as many as there is room for."""
    drawn = [m for m in best.n_hidden.values.tolist() if m in ROOM]
    longest = np.argsort(-best.norm.sel(world="text", n_hidden=drawn).values)
    return {m: order[: ROOM[m]].tolist() for m, order in zip(drawn, longest, strict=True)}


def _pictures(fig: FigureBase, text: xr.Dataset, named: dict[int, list[int]]) -> None:
    words, density = text.word.values.tolist(), text.density.values
    share, labels = LogNorm(density.min() / 1.01, density.max()), fonts.labels(words)
    axes = np.ravel(fig.subplots(1, len(named), width_ratios=[{2: 4.4, 3: 5.8}[m] for m in named]))
    for ax, (m, shown) in zip(axes, named.items(), strict=True):
        draw, kind = {2: (named_plane, ""), 3: (named_sphere, " as a map of the sphere")}[m]
        model, names = text.sel(n_hidden=m), {i: labels[i] for i in shown}
        draw(ax, model.W.values[:m], names, plot.importance_colors(share(density)))
        numbers = not all(fonts.drawable(words[i]) for i in shown)
        key = "; numbers stand for words, see the notes" if numbers else ""
        title = f"{m} hidden dimensions{kind}: {int(model.n_represented)} words represented"
        ax.set_title(f"{title};\nin gray, the next by norm{key}")
    bar = plot.colorbar(fig, axes, plot.importance_colors, "windows that have the word", shrink=0.7, pad=0.01)
    bar.mappable.set_norm(share)
    plot.percent_axis(bar.ax.yaxis)


def _numbers(axes: np.ndarray, best: xr.Dataset) -> None:
    stored, share, together, rank = axes
    sizes, n_words, density = best.n_hidden.values, best.sizes["feature"], best.density
    middle = min(sizes.tolist(), key=lambda m: abs(np.log(20 * m / n_words)))
    for world, color, name in (("text", plot.BLUE, "text"), ("independent", plot.RED, "independent words")):
        every = best.sel(world=world, kind="by_pmi")
        stored.plot(sizes, every.n_represented, "o-", ms=4, color=color, label=name)
        rank.errorbar(sizes, every.related, 2 * every.error, fmt="o-", ms=4, color=color, capsize=2, lw=1.2)
        model = every.sel(n_hidden=middle)
        there, D = model.represented, model.dimensionality
        share.plot(density[there], D[there], "o", ms=3.5, mew=0, alpha=0.8, color=color)
        share.plot(density[~there], D[~there], "o", ms=3, mfc="none", mew=0.5, alpha=0.6, color=color)
        if there.sum() >= 5:
            information, mean, low, high = model.profile.values.T
            label = f"rank correlation {float(model.related):+.2f}"
            together.fill_between(information, low, high, color=color, alpha=0.13, lw=0)
            together.plot(information, mean, "o-", ms=3.5, color=color, label=label)
            together.legend(loc="upper left")
    if not together.lines:
        together.text(0.5, 0.175, "too few words\nare represented", ha="center", color="#666666")
    stored.plot(sizes, sizes, "--", color=plot.FAINT, lw=1, label="one for each dimension")
    stored.legend(loc="upper left")
    ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1000) if sizes.min() <= tick <= n_words]
    plot.log_axis(stored.yaxis, ticks if len(ticks) > 2 else [sizes.min(), n_words])
    stored.set(ylim=(sizes.min() * 0.8, n_words * 6), title=f"how many of {n_words} words")
    stored.set_ylabel("words represented (norm > 0.5)")
    share.set(xscale="log", ylim=(0, 1.1 * share.get_ylim()[1]), title=f"how much of {middle} dimensions")
    share.set(xlabel="windows that have the word", ylabel="dimensionality")
    share.text(0.03, 0.98, "open: not represented", transform=share.transAxes, va="top", fontsize=8)
    plot.percent_axis(share.xaxis)
    together.set(xlabel="pointwise mutual information", ylabel="cosine (mean, middle 80%)", ylim=(-1, 1.35))
    together.set(title=f"pairs of words in {middle} dimensions", yticks=[-1, -0.5, 0, 0.5, 1])
    rank.axhline(0, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    rank.set(ylim=(-1, 1), title="cosine with information", ylabel="rank correlation (± 2 s.e.)")
    for ax in (stored, rank):
        plot.log_axis(ax.xaxis, sizes)
        ax.set_xlabel("hidden dimensions")


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    text, control = (best.sel(world=world, drop=True) for world in ("text", "independent"))
    # With fewer than 11 words not even a rank correlation of 1 is 3 standard errors, 3 / sqrt(n - 1), from 0.
    in_text, in_both = text.n_represented > 10, best.n_represented.min("world") > 10
    beyond = ((text.related - control.related) / np.hypot(text.error, control.error))[in_both]
    by_pmi, beside, apart = beyond.transpose("kind", "n_hidden")
    together = text.related.sel(kind="by_pmi")
    by_chance = (control.related / control.error).sel(kind="by_pmi")
    by_density = text.by_density[in_text] * np.sqrt(text.n_represented[in_text] - 1)
    more = (text.n_represented - control.n_represented)[control.n_represented < best.sizes["feature"]]
    often, summed = text.oftener.dropna("n_hidden"), "in standard errors of all sizes together"
    ours = partial(from_section("ours", "three standard errors"), number="{:.2f}")

    def says(id, statement, what, values, bounds, combined=np.asarray, **kinds):
        """A claim about the sizes that have values: about each of them, or about the `combined` value of all."""
        m = ", ".join(map(str, values.n_hidden.values))
        return ours(id, statement, f"{what}, m = {m}", combined(values.values), bounds, **kinds)

    def stouffer(errors):  # combines differences in standard errors, one for each size
        return errors.sum() / np.sqrt(len(errors)) if len(errors) else errors

    # fmt: off
    rows = [
        says("superposition", "Text: more words are represented than there are dimensions",
             "words for each dimension", text.n_represented / text.n_hidden, at_least(1.01), source="superposition"),
        says("frequent", "Text: the words that are represented are the frequent ones",
             "chance that a represented word is in more windows than another one", often, at_least(0.7), source="a half is chance"),
        says("shares", "Text: of the represented words, a more frequent one has more of a dimension",
             f"rank correlation of dimensionality with frequency, {summed}", by_density, at_least(3), stouffer, quick=False),
        says("together", "Words that occur together are stored side by side",
             "rank correlation of cosine with pointwise mutual information", together[in_both], at_least(0.1), source="a weak correlation"),
        says("together-control", "Words that occur together are side by side more than independent words of equal densities",
             "difference in standard errors", by_pmi, at_least(3)),
        says("beside", "The tenth of pairs that occur together most are nearer to each other than in the control",
             f"difference of mean cosines {summed}", beside, at_least(3), stouffer, quick=False),
        says("apart", "The tenth of pairs that occur together least are pushed apart",
             f"difference of mean cosines {summed}", apart, at_most(-3), stouffer, quick=False),
        says("control", "Control: independent words of equal densities show no correlation of cosine with the text's information",
             "rank correlation of cosine with the text's information, in standard errors", by_chance[in_both], about(0, 3)),
        says("cheaper", "Text costs less than independent words of equal densities",
             "loss of text / loss of control", text.loss / control.loss, at_most(0.999), source="the data", number="{:.3f}"),
        says("more", "More words of text are stored than independent ones, until all of those are",
             "words more at all sizes together", more, at_least(10), np.sum, source="ours: clearly more", number="{:.0f}", quick=False),
    ]
    # fmt: on
    # In 2 and 3 dimensions alone there may be too few words to say anything.
    return [claim for claim in rows if best.n_hidden.max() > 3 or claim.values.size]


def notes(best: xr.Dataset) -> list[str]:
    words, named = best.word.values.tolist(), _named(best).values()
    return [
        "Not in the paper, which has no real text: all claims here are ours. The text is that of --text, or else the "
        f"help that comes with Python; its {len(words)} most frequent words are the features, and "
        "windows of running text are the samples.",
        f"Best of {int(best.members)} models of each size. Two claims need many words: in 2 and 3 dimensions few are "
        "stored, and with few words a correlation says little.",
        *fonts.notes({i: words[i] for i in sorted({i for shown in named for i in shown})}),
    ]
