"""Words of real text: which are stored, and whether those that occur together lie side by side.

A sample is a window of running text, a feature says whether a word is in it. The control has as many
windows and each word in as many of them, but its words come and go independently: each word's
windows are shuffled by themselves.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import matplotlib
import numpy as np
import optax
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from scipy import optimize, stats

from superpose import costs, draws, fonts, grid, measures, plot, settings
from superpose.claims import Claim, about, as_claims, at_least, at_most
from superpose.features import Empirical
from superpose.losses import Population, Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit

SECTION = "ours: real text"
TAKES = 65
QUICK = {"n_hidden": (2, 3, 10), "members": 2, "steps": 400}

# Function words hold sentences together and occur whatever the subject: "the" is in three of four
# windows of the default text. As features they would be nearly dense, would fill the dimensions
# first, and would say of each other only what English grammar says.
STOP_WORDS = """
the an this that these those each every either neither both all any some no none such other others another
same own few many much more most less least several enough
it its he him his she her hers they them their theirs we us our ours you your yours me my mine itself himself
herself themselves ourselves yourself myself one ones something anything nothing everything someone anyone
everyone who whom whose which what whatever whichever
of in to for with by from on at as into onto upon up down out off over under above below between among within
without through during before after since until till about against around along across behind beyond beside
besides near per via toward towards than like unlike except despite
and or nor but so yet if then else because although though while whereas unless whether when whenever where
wherever why how once
is are be been being am was were have has having had do does doing did done will would shall should can could
may might must ought cannot let
not only also too very just even still already again ever never always often sometimes however therefore thus
hence otherwise instead rather quite almost perhaps here there now later soon ago further furthermore moreover
well far away back
isn't aren't wasn't weren't haven't hasn't hadn't don't doesn't didn't won't wouldn't can't couldn't shouldn't
mustn't it's that's there's he's she's i'm i've i'll i'd you're you've you'll we're we've we'll they're let's
"""


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
        trained = [
            costs.training(2 * self.members, self.n_words, self.n_words * m, self.steps, self.batch)
            for m in self.n_hidden
        ]
        return sum(trained, costs.evaluating(2, self.n_words**2))

    @cached_property
    def windows(self) -> list[list[str]]:
        """The text in pieces of `window` words; what is left over at the end of a file or topic is dropped."""
        n, documents = self.window, [_words(text) for text in _documents(self.text)]
        return [words[at : at + n] for words in documents for at in range(0, len(words) - n + 1, n)]

    @cached_property
    def words(self) -> list[str]:
        """The features, by the number of windows that they are in; ties in the alphabet's order."""
        count = Counter(word for window in self.windows for word in set(window))
        lists = _documents(self.stop_words) if self.stop_words else [STOP_WORDS]
        stopped = {word for text in lists for word in _words(text)}
        there = [word for word in count if not _is_letter(word) and word not in stopped]
        return sorted(there, key=lambda word: (-count[word], word))[: self.n_words]

    def bags(self) -> np.ndarray:
        """Whether a window has a word: 0 or 1, of shape (window, word)."""
        place = {word: i for i, word in enumerate(self.words)}
        bags = np.zeros((len(self.windows), self.n_words), np.uint8)
        for row, window in zip(bags, self.windows, strict=True):
            row[[place[word] for word in window if word in place]] = 1
        return bags


def _words(text: str) -> list[str]:
    # Runs of letters in lower case, with the marks on them, such as the vowels of Hindi, and with apostrophes
    # and joiners within a word. So what is left of reStructuredText in Python's topics (rules, asterisks, quotes,
    # indentation) falls away, and names of programs are cut at underscores, dots and digits.
    text = unicodedata.normalize("NFKC", text).lower().replace("\N{SOFT HYPHEN}", "")
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    marks = re.escape(
        "".join(sorted(char for char in set(text) if unicodedata.category(char) in ("Mn", "Mc")))
    )
    letter = rf"[^\W\d_][{marks}]*" if marks else r"[^\W\d_]"
    return re.findall(rf"(?:{letter})+(?:['\u200c\u200d](?:{letter})+)*", text)


def _is_letter(word) -> bool:
    """Single letters count as words of a window, but are no features: they are "a", "I", and names of variables.

    A syllable of Korean or a Chinese character is more than that.
    """
    return len(word) == 1 and unicodedata.east_asian_width(word) != "W"


UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)
"""Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which are written without spaces between words."""


def _is_unspaced(words: list[str]) -> bool:
    """Whether these are clauses rather than words: most in such a script, and too long for words of it."""
    letters = [len(UNSPACED.findall(word)) for word in words]
    long = [n for n in letters if n]
    return len(long) > len(words) / 2 and sum(long) >= 5 * len(long)


def _documents(paths: tuple[str, ...]) -> list[str]:
    return [_read(path) for path in paths] if paths else _topics()


def _read(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}; name a readable file") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text (byte {error.start}); convert it or name another"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path} is not text: it has zero bytes; name a text file")
    words = _words(text)
    if not words:
        raise ValueError(f"{path} has no words; name a file with text")
    if _is_unspaced(words):
        raise ValueError(
            f"{path} has no spaces between its words; put them there first, with a segmenter such as jieba for "
            "Chinese, MeCab for Japanese or PyThaiNLP for Thai"
        )
    return text


def _topics() -> list[str]:
    """Python's help topics. A paragraph that several of them share is in the first one only."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise ValueError("this Python comes without its help topics; give files with --text") from None
    seen: set[str] = set()
    documents = []
    for _, topic in sorted(topics.items()):
        paragraphs = [(" ".join(part.split()), part) for part in topic.split("\n\n")]
        documents.append("\n".join(part for same, part in paragraphs if same not in seen))
        seen.update(same for same, _ in paragraphs)
    return documents


def pointwise_information(bags: np.ndarray) -> np.ndarray:
    """How much oftener two words are in one window than if they were independent.

    `log((n_ij + 1) / (n_i n_j / n + 1))`, with the number of windows `n_ij` that have both, and
    `n_i n_j / n` expected. The 1 draws pairs too rare to tell towards 0.
    """
    bags = bags.astype(float)
    together, count = bags.T @ bags, bags.sum(0)
    return np.log((together + 1) / (np.outer(count, count) / len(bags) + 1))


def shuffled(bags: np.ndarray, seed: int) -> np.ndarray:
    """The same number of windows, with each word in as many of them, but in which ones is chance.

    Unlike fresh draws, these are as few as the text's. That matters: models also learn by heart what
    happens to be in the windows. With 40 dimensions, fresh draws would leave 23% of the variance
    as loss, these leave 5%, and the text leaves 2%.
    """
    random = np.random.default_rng(seed)
    return np.stack([random.permutation(word) for word in bags.T], axis=1)


def run(config: Config) -> xr.Dataset:
    bags = config.bags()
    worlds = {"text": bags, "independent": shuffled(bags, config.seed)}
    data = grid.stacked({name: _trained(world, config) for name, world in worlds.items()}, "world")
    return data.assign_coords(
        word=("feature", np.array(config.words, object)),
        density=("feature", bags.mean(0)),
    ).assign(pmi=(("feature", "feature_2"), pointwise_information(bags)), n_windows=len(bags))


def _trained(bags, config: Config) -> xr.Dataset:
    key, world, n = draws.key_of(config.seed), Empirical(bags), config.n_words
    training = Sampled(world, config.batch)
    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    sized = {}
    for m in config.n_hidden:

        def init(key, m=m):
            return ReluOutput.init(n, m, key=key)

        models = ensemble(init, members=config.members, key=key)
        models = fit(models, training, steps=config.steps, key=key, optimizer=optimizer).models
        loss = jax.jit(jax.vmap(Population(world)))(models)
        sized[m] = grid.dataset(models, loss, axes={"member": range(config.members)})
    return grid.stacked(sized, "n_hidden")


def measured(data: xr.Dataset) -> xr.Dataset:
    """What the best model of each size has done with the words, in the text and in the control.

    `represented` counts the words with norm > 0.5; `oftener` is the chance that one of them is in more
    windows than a word that is not represented. The others are of represented words: `by_density` is the
    rank correlation of dimensionality with density, `by_pmi` that of the cosine of two words with
    their pointwise mutual information, and `apart` and `beside` are the mean cosines of the tenth of
    pairs with the least and with the most of it. Their `_error`s are how much they vary when the words
    exchange their directions at random. NaN where there are fewer than 5 words to go by.
    """
    worlds = [[_measures(data, best) for best in _best(data, world).values()] for world in data.world.values]
    values = {name: [[one[name] for one in sizes] for sizes in worlds] for name in worlds[0][0]}
    dims = ("world", "n_hidden")
    return xr.Dataset(
        {name: (dims, value) for name, value in values.items()}, {dim: data[dim] for dim in dims}
    )


def _best(data, world) -> dict[int, xr.Dataset]:
    """The best model of each size, without the padding."""
    one = grid.one(data, "world", world)
    return {m: grid.best(grid.one(one, "n_hidden", m)) for m in data.n_hidden.values.tolist()}


def _measures(data, best) -> dict[str, float]:
    W, density = best.W.values, data.density.values
    there, n = _represented(W), int(_represented(W).sum())
    told = dict.fromkeys(("oftener", "by_density", "by_pmi", "apart", "beside"), np.nan)
    told |= {f"{name}_error": np.nan for name in told if name != "oftener"}
    told |= {"loss": float(best.loss), "represented": n}
    if 5 <= n <= len(there) - 5:
        told["oftener"] = (np.sign(density[there][:, None] - density[~there]) / 2 + 0.5).mean()
    if n < 5:
        return told
    share = np.asarray(measures.dimensionality(W))[there]
    told["by_density"] = (_ranked(share) * _ranked(density[there])).mean()
    told["by_density_error"] = (n - 1) ** -0.5
    cosine, pmi = (np.asarray(square)[np.ix_(there, there)] for square in (measures.cosines(W), data.pmi))
    pairs = np.triu_indices(n, 1)
    least, most = pmi[pairs] <= np.quantile(pmi[pairs], 0.1), pmi[pairs] >= np.quantile(pmi[pairs], 0.9)
    pmi_rank, cosine_rank = _ranked(pmi[pairs]), np.zeros((n, n))
    cosine_rank[pairs] = _ranked(cosine[pairs])
    cosine_rank += cosine_rank.T
    # Pairs that share a word are not independent of each other: words change places, not pairs.
    random, tries = np.random.default_rng(0), []
    for order in [np.arange(n), *(random.permutation(n) for _ in range(300))]:
        at = order[pairs[0]], order[pairs[1]]
        tries.append([(cosine_rank[at] * pmi_rank).mean(), cosine[at][least].mean(), cosine[at][most].mean()])
    for name, values in zip(("by_pmi", "apart", "beside"), np.array(tries).T, strict=True):
        told |= {name: values[0], f"{name}_error": values[1:].std()}
    return told


def _represented(W) -> np.ndarray:
    return np.asarray(measures.norms(W)) > 0.5


def _ranked(values) -> np.ndarray:
    """Ranks with mean 0 and standard deviation 1; all 0 where all values are the same."""
    rank = stats.rankdata(values) - (len(values) + 1) / 2
    return rank / (rank.std() or 1.0)


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    text, control = (measured(data).sel(world=world) for world in ("text", "independent"))
    sizes, n_words = data.n_hidden.values, data.sizes["feature"]
    # With fewer than 11 words not even a rank correlation of 1 is 3 standard errors, 3 / sqrt(n - 1), from 0.
    in_text, in_both = text.represented > 10, (text.represented > 10) & (control.represented > 10)
    by_density = text.by_density / text.by_density_error
    by_chance = control.by_pmi / control.by_pmi_error

    def claim(id, statement, expected, values, what, asked=sizes > 0, combined=np.asarray, **more):
        """A claim of ours at the sizes `asked`, of each of their values or of what is `combined` of all."""
        values, asked = np.asarray(values, float), np.asarray(asked)
        there = ", ".join(f"{m}" for m in sizes[asked])
        more = {"source": "three standard errors", "number": "{:.2f}"} | more
        return Claim(
            id, statement, "ours", expected, combined(values[asked]), what=f"{what}, m = {there}", **more
        )

    def of_all(errors):
        """Differences in standard errors, each of another size, as one (Stouffer)."""
        return errors.sum() / np.sqrt(len(errors)) if len(errors) else errors

    def above_control(of):
        return (text[of] - control[of]) / np.hypot(text[f"{of}_error"], control[f"{of}_error"])

    made = [
        claim(
            "superposition", "Text: more words are represented than there are dimensions", at_least(1.01),
            text.represented / sizes, "words for each dimension", source="superposition",
        ),
        claim(
            "frequent", "Text: the words that are represented are the frequent ones", at_least(0.7),
            text.oftener, "chance that a represented word is in more windows than another one",
            text.oftener.notnull(), source="a half is chance",
        ),
        claim(
            "shares", "Text: of the represented words, a more frequent one has more of a dimension", at_least(3),
            by_density, "rank correlation of dimensionality with frequency, in standard errors of all sizes together",
            in_text, of_all, quick=False,
        ),
        claim(
            "together", "Words that occur together are stored side by side", at_least(0.1),
            text.by_pmi, "rank correlation of cosine with pointwise mutual information", in_both,
            source="a weak correlation",
        ),
        claim(
            "together-control", "They are so more than independent words of equal densities", at_least(3),
            above_control("by_pmi"), "difference in standard errors", in_both,
        ),
        claim(
            "beside", "The tenth of pairs that occur together most are nearer to each other than in the control",
            at_least(3), above_control("beside"), "difference of mean cosines in standard errors of all sizes together",
            in_both, of_all, quick=False,
        ),
        claim(
            "apart", "The tenth of pairs that occur together least are pushed apart",
            at_most(-3), above_control("apart"), "difference of mean cosines in standard errors of all sizes together",
            in_both, of_all, quick=False,
        ),
        claim(
            "control", "Control: independent words of equal densities show no such correlation", about(0, 3),
            by_chance, "rank correlation of cosine with the text's information, in standard errors", in_both,
        ),
        claim(
            "cheaper", "Text costs less than independent words of equal densities", at_most(0.999),
            text.loss / control.loss, "loss of text / loss of control", source="the data",
            number="{:.3f}",
        ),
        claim(
            "more", "More words of text are stored than independent ones, until all of those are", at_least(10),
            text.represented - control.represented, "words more at all sizes together", control.represented < n_words,
            np.sum, source="ours: clearly more", number="{:.0f}", quick=False,
        ),
    ]  # fmt: skip
    # In 2 and 3 dimensions alone there may be too few words to say anything.
    return [claim for claim in made if sizes.max() > 3 or claim.values.size]


def notes(data: xr.Dataset) -> list[str]:
    members = data.sizes["member"]
    return [
        "Not in the paper, which has no real text: all claims here are ours. The text is that of --text, or else the "
        f"help that comes with Python; its {data.sizes['feature']} most frequent words are the features, and "
        "windows of running text are the samples.",
        f"Best of {members} models of each size. Two claims need many words: in 2 and 3 dimensions few are stored, "
        "and with few words a correlation says little.",
        *_words_drawn(data),
    ]


def _words_drawn(data) -> list[str]:
    """The words of the figure as text, which browsers can show and search; with the numbers that stand for them."""
    there = sorted({i for W in _drawn(data).values() for i in _longest(W).tolist()})
    words = {i: str(data.word.values[i]) for i in there}
    if not words:
        return []
    # Isolated, so that words from right to left do not carry along the commas and numbers beside them.
    told = [f"#{i}\xa0" * (not fonts.drawable(word)) + f"\u2068{word}\u2069" for i, word in words.items()]
    why = [f"{line[0].upper()}{line[1:]}." for line in fonts.lacking(words.values())]
    return [f"The words in the figure: {', '.join(told)}.", *why]


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    drawn = _drawn(data)
    if not drawn:
        fig = plot.figure(12, 3.4)
        _numbers(fig.subplots(1, 4), data)
        return fig
    fig = plot.figure(12, 7.9)
    top, bottom = fig.subfigures(2, 1, squeeze=False, height_ratios=[4.5, 3.4])[:, 0]
    share = LogNorm(data.density.min() / 1.01, data.density.max())
    color = plot.importance_colors(share(data.density.values))
    names = fonts.labels([str(word) for word in data.word.values])
    axes = np.ravel(top.subplots(1, len(drawn), width_ratios=[{2: 4.4, 3: 5.8}[m] for m in drawn]))
    for ax, (m, W) in zip(axes, drawn.items(), strict=True):
        (_plane if m == 2 else _sphere)(ax, W, names, color)
        what = f"{m} hidden dimensions{' as a map of the sphere' if m == 3 else ''}"
        numbers = any(not fonts.drawable(str(data.word.values[i])) for i in _longest(W))
        key = "; numbers stand for words, see the notes" if numbers else ""
        ax.set_title(f"{what}: {_represented(W).sum()} words represented;\nin gray, the next by norm{key}")
    colors = matplotlib.cm.ScalarMappable(share, plot.importance_colors)
    bar = top.colorbar(colors, ax=axes, shrink=0.7, pad=0.01, label="windows that have the word")
    bar.outline.set_visible(False)
    _in_percent(bar.ax.yaxis)
    _numbers(bottom.subplots(1, 4), data)
    return fig


def _drawn(data) -> dict[int, np.ndarray]:
    """The weights that are drawn as a picture, by the number of hidden dimensions."""
    return {m: best.W.values for m, best in _best(data, "text").items() if m in (2, 3)}


def _longest(W) -> np.ndarray:
    """The words that are named, the longest first: so many as there is room for."""
    return np.argsort(-np.asarray(measures.norms(W)))[: {2: 22, 3: 26}[len(W)]]


def _numbers(axes, data) -> None:
    stored, share, together, rank = axes
    shown, sizes, n_words = measured(data), data.n_hidden.values, data.sizes["feature"]
    middle = min(sizes.tolist(), key=lambda m: abs(np.log(20 * m / n_words)))
    for world, color, name in (("text", plot.BLUE, "text"), ("independent", plot.RED, "independent words")):
        one, W = shown.sel(world=world), _best(data, world)[middle].W.values
        there, D = _represented(W), np.asarray(measures.dimensionality(W))
        stored.plot(sizes, one.represented, "o-", ms=4, color=color, label=name)
        share.plot(data.density[there], D[there], "o", ms=3.5, mew=0, alpha=0.8, color=color)
        share.plot(data.density[~there], D[~there], "o", ms=3, mfc="none", mew=0.5, alpha=0.6, color=color)
        rank.errorbar(sizes, one.by_pmi, 2 * one.by_pmi_error, fmt="o-", ms=4, capsize=2, lw=1.2, color=color)
        if there.sum() >= 5:
            label = f"rank correlation {float(one.by_pmi.sel(n_hidden=middle)):+.2f}"
            parts = np.array_split(_by_information(W, data.pmi.values), 10, axis=1)
            low, high = np.array([np.quantile(cosine, [0.1, 0.9]) for _, cosine in parts]).T
            x, mean = np.array([part.mean(axis=1) for part in parts]).T
            together.fill_between(x, low, high, color=color, alpha=0.13, lw=0)
            together.plot(x, mean, "o-", ms=3.5, color=color, label=label)
            together.legend(loc="upper left")
    stored.plot(sizes, sizes, "--", color=plot.FAINT, lw=1, label="one for each dimension")
    stored.set(xscale="log", yscale="log", ylim=(sizes.min() * 0.8, n_words * 6))
    ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1000) if sizes.min() <= tick <= n_words]
    if len(ticks) > 2:
        stored.set_yticks(ticks, ticks)
    else:
        stored.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    stored.set(ylabel="words represented (norm > 0.5)", title=f"how many of {n_words} words")
    stored.legend(loc="upper left")
    share.set(xscale="log", xlabel="windows that have the word", ylabel="dimensionality")
    share.set(ylim=(0, 1.1 * share.get_ylim()[1]), title=f"how much of {middle} dimensions")
    share.text(0.03, 0.98, "open: not represented", transform=share.transAxes, va="top", fontsize=8)
    _in_percent(share.xaxis)
    together.set(xlabel="pointwise mutual information", ylabel="cosine (mean, middle 80%)")
    together.set(title=f"pairs of words in {middle} dimensions", ylim=(-1, 1.35))
    together.set_yticks([-1, -0.5, 0, 0.5, 1])
    if not together.lines:
        few = "too few words\nare represented"
        together.text(0.5, 0.5, few, transform=together.transAxes, ha="center", color="#666666")
    rank.axhline(0, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    rank.set(xscale="log", ylim=(-1, 1), title="cosine with information")
    rank.set_ylabel("rank correlation (± 2 s.e.)")
    for ax in (stored, rank):
        ax.set_xticks(sizes, sizes)
        ax.set_xlabel("hidden dimensions")
        ax.minorticks_off()


def _by_information(W, pmi) -> np.ndarray:
    """Information and cosine of each pair of represented words, sorted by information."""
    there = np.ix_(_represented(W), _represented(W))
    pairs = np.triu_indices(there[0].size, 1)
    both = np.array([pmi[there][pairs], np.asarray(measures.cosines(W))[there][pairs]])
    return both[:, np.argsort(both[0])]


def _in_percent(axis) -> None:
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 5 * low else MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    axis.set_minor_locator(NullLocator())


def _plane(ax: Axes, W, words, color) -> None:
    """Two hidden dimensions; the names stand left and right, each on a line of its own."""
    W, norm = plot.upright(W), np.asarray(measures.norms(W))
    plot.directions(ax, np.zeros((2, 1)), np.ones(1))
    for i in np.argsort(norm):
        ax.plot([0, W[0, i]], [0, W[1, i]], color=color[i], lw=1.8, solid_capstyle="round")
        ax.plot(*W[:, i], "o", color=color[i], ms=5, mec="white", mew=0.5)
    up = np.clip(1.25 * W[1] / np.maximum(norm, 1e-9), -1.25, 1.25)
    for side, place in ((-1, "right"), (1, "left")):
        here = [i for i in _longest(W) if (W[0, i] >= 0) == (side > 0)]
        here.sort(key=lambda i: up[i])
        room = 0.14 * np.arange(len(here))  # the least between two lines
        height = optimize.isotonic_regression(up[here] - room).x + room if here else room
        for i, y in zip(here, height, strict=True):
            ax.plot([W[0, i], side * 1.25, side * 1.36], [W[1, i], y, y], color=plot.FAINT, lw=0.5, zorder=0)
            _name(ax, side * 1.4, y, words[i], norm[i], place)
    ax.set(xlim=(-2.2, 2.2), ylim=(-1.6, 1.6))
    ax.set_axis_off()


def _name(ax, x, y, word, norm, place) -> None:
    look = {"ha": place, "va": "center", "fontsize": 8.5, "color": plot.INK if norm > 0.5 else "#777777"}
    plot.write(ax, x, y, word, **look)


def _sphere(ax: Axes, W, words, color) -> None:
    """Directions in three hidden dimensions on a map of the sphere that keeps areas (Hammer's)."""
    norm = np.asarray(measures.norms(W))
    shown = _longest(W)
    axes = np.linalg.svd(W)[0]  # the words' own axes: where they spread least is up
    turned = (axes * np.linalg.det(axes)).T @ W[:, shown] / np.maximum(norm[shown], 1e-9)
    east, up = np.arctan2(turned[1], turned[0]), np.arcsin(np.clip(turned[2], -1, 1))
    around = np.sort(east)
    gaps = np.diff(around, append=around[0] + 2 * np.pi)
    cut = around[gaps.argmax()] + gaps.max() / 2  # the map ends where no word is
    points = _map((east - cut) % (2 * np.pi) - np.pi, up).T
    line = np.linspace(-np.pi, np.pi, 181)
    net = [_map(line, angle + 0 * line) for angle in np.radians([-60, -30, 0, 30, 60])]
    net += [_map(angle + 0 * line, line / 2) for angle in np.radians(range(-180, 181, 45))]
    for at, curve in enumerate(net):
        ax.plot(*curve, color=plot.FAINT if at in (5, len(net) - 1) else plot.GRAY, lw=0.5, zorder=0)
    area = np.clip(55 * norm[shown], 8, None)
    ax.scatter(points[:, 0], points[:, 1], s=area, color=color[shown], ec="white", lw=0.5, zorder=3)

    # Each name in turn goes to the place around its point where it covers least of the others and of points.
    angles, reach = np.meshgrid([0, 180, 35, 145, -35, -145, 90, -90], [0.07, 0.16, 0.28, 0.42])
    angle, far = np.radians(angles.ravel()), reach.ravel()
    taken = [*np.hstack([points - 0.05, points + 0.05])]
    for i, point in zip(shown, points, strict=True):
        size = np.array([0.083 * fonts.columns(words[i]) + 0.04, 0.14])
        low = point + np.stack([far * np.cos(angle), (far + 0.04) * np.sin(angle)], -1)
        low -= np.stack([(1 - np.round(np.cos(angle))) / 2, np.full(angle.shape, 0.5)], -1) * size
        sides = [np.minimum(low + size, box[2:]) - np.maximum(low, box[:2]) for box in taken]
        place = low[np.clip(sides, 0, None).prod(-1).sum(0).argmin()]
        taken.append(np.hstack([place, place + size]))
        near = np.clip(point, place, place + size)
        if np.hypot(*(near - point)) > 0.1:
            ax.plot(*np.transpose([point, near]), color=plot.FAINT, lw=0.5, zorder=1)
        x, y = place + size / 2
        _name(ax, x, y, words[i], norm[i], "center")
    ax.set(xlim=(-2.95, 2.95), ylim=(-1.6, 1.6), aspect="equal")
    ax.set_axis_off()


def _map(east, up) -> np.ndarray:
    scale = np.sqrt(2 / (1 + np.cos(up) * np.cos(east / 2)))
    return np.array([2 * scale * np.cos(up) * np.sin(east / 2), scale * np.sin(up)])
