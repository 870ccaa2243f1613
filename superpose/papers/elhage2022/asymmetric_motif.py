"""Asymmetric superposition: a neuron shared unequally, and another that undoes the harm.

Six features whose absolute values ten neurons compute, two too few for two neurons a feature. In many
of the trained models a neuron serves two features so that one, A, disturbs the other, B, a lot, and B
hardly disturbs A. Another neuron, the inhibitor, takes away what A does to B, and more than that costs
nothing, because the output's ReLU cuts off what is below zero.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import Untied
from superpose.values import Uniform

SECTION = "Computation in Superposition"
TAKES = 18
QUICK = {"members": 20, "steps": 2000}

FEATURES, HIDDEN, DENSITY = 6, 10, 0.2
IMPORTANCE = 0.7 ** np.arange(FEATURES)
PAIR = {
    "symmetric": ([[1, -1], [-1, 0], [0, 1]], [[1, 1, 0], [1, 0, 1]]),
    "asymmetric": ([[2, -1 / 2], [-1, 0], [0, 1]], [[1 / 2, 1, 0], [2, 0, 1]]),
    "inhibited": ([[2, -1 / 2], [-1, 0], [0, 1], [1, 0]], [[1 / 2, 1, 0, 0], [2, 0, 1, -4]]),
}
"""Input and output weights of circuits for |A| and |B|, of which the first neuron serves A > 0 and B < 0."""


@dataclass(frozen=True)
class Config:
    members: int = 80
    """Models, from different initial weights."""
    steps: int = 6000
    """Their training steps."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1, steps=1)

    @property
    def cost(self) -> costs.Cost:
        return costs.training(self.members, FEATURES, 2 * FEATURES * HIDDEN, self.steps, 256)


def run(config: Config) -> xr.Dataset:
    world = Independent(DENSITY, IMPORTANCE, Uniform(-1, 1))
    data = grid.fitted(
        lambda key: Untied.init(FEATURES, HIDDEN, key=key, hidden_activation="relu"),
        lambda: Sampled(world, batch=256, target="abs", stratified=True),
        {}, members=config.members, key=config.seed, steps=config.steps,
        judged=lambda: Sampled(world, batch=2**15, target="abs", stratified=True),
    )  # fmt: skip
    found = [
        (at, *motif)
        for at in range(config.members)
        for motif in measures.asymmetric_motifs(data.W.values[at], data.W_out.values[at])
    ]
    places = np.array(found, int).reshape(-1, 5)
    with_it, without = _ablated(data, places, world, draws.stream(config.seed, "ablation"))
    line = np.linspace(-1, 1, 41)
    return data.assign(
        importance=("feature", IMPORTANCE),
        motif=(("found", "part"), places),
        loss_with=("found", with_it),
        loss_without=("found", without),
        input=("x", line),
        circuit=(("kind", "alone", "x", "output"), _circuits(line)),
    ).assign_coords(part=["member", "neuron", "inhibitor", "A", "B"], kind=list(PAIR), alone=["A", "B"])


def _outputs(W, W_out, b, x) -> Float[np.ndarray, "sample feature"]:
    return np.maximum(np.maximum(x @ W.T, 0) @ W_out.T + b, 0)


def _ablated(data, motifs, world, key) -> tuple[np.ndarray, np.ndarray]:
    """The loss where A is active with the neuron's sign, with the inhibitor and when it does not write to B."""
    x = np.asarray(world.sample(key, 2**14), float)
    size = np.abs(
        np.asarray(Uniform(0, 1).quantile(jnp.linspace(0.5 / 2**14, 1 - 0.5 / 2**14, 2**14)), float)
    )
    losses = []
    for member, neuron, inhibitor, a, b in motifs:
        W, W_out, bias = (data[name].values[member].astype(float) for name in ("W", "W_out", "b"))
        active = x.copy()
        active[:, a] = np.sign(W[neuron, a]) * size
        without = W_out.copy()
        without[b, inhibitor] = 0
        losses.append(
            [
                (((np.abs(active) - _outputs(W, out, bias, active)) ** 2).mean(axis=0) * IMPORTANCE).sum()
                for out in (W_out, without)
            ]
        )
    return tuple(np.array(losses).reshape(-1, 2).T)


def _circuits(line) -> np.ndarray:
    """What the circuits built by hand give for A alone and for B alone."""
    alone = [np.stack([line, 0 * line], axis=1), np.stack([0 * line, line], axis=1)]
    return np.array(
        [[_outputs(np.array(W), np.array(W_out), 0, x) for x in alone] for W, W_out in PAIR.values()], float
    )


def _shown(data) -> np.ndarray:
    """The motifs, by their places, of the best model that has any; the strongest first."""
    if not data.sizes["found"]:
        return np.array([], int)
    member = data.motif.sel(part="member").values
    best = member[np.argmin(data.loss.values[member])]
    own = np.flatnonzero(member == best)
    return own[np.argsort(-(data.loss_without / data.loss_with).values[own])]


def _alone(data, place, which):
    """What a motif's model gives for one of its features alone: inputs, outputs, those without the inhibitor."""
    member, _, inhibitor, a, b = data.motif.values[place]
    W, W_out, bias = (data[name].values[member].astype(float) for name in ("W", "W_out", "b"))
    x = np.zeros((len(data.input), FEATURES))
    x[:, {"A": a, "B": b}[which]] = data.input.values
    without = W_out.copy()
    without[b, inhibitor] = 0
    return data.input.values, _outputs(W, W_out, bias, x), _outputs(W, without, bias, x), (a, b)


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(12, 7.6)
    top, bottom = fig.subfigures(2, 1)
    _hand(top, data)
    axes = bottom.subplots(1, 4, width_ratios=[1.25, 1, 1, 1.15])
    own = _shown(data)
    if len(own):
        member, _, _, a, b = data.motif.values[own[0]]
        bottom.suptitle(f"found in training: model {member}, A is feature {a}, B is feature {b}")
        _network(axes[0], data, own[0])
        for ax, which in zip(axes[1:3], "AB", strict=True):
            x, outputs, without, (a, b) = _alone(data, own[0], which)
            _response(ax, x, outputs[:, [a, b]], which)
            if which == "A":
                ax.plot(x, without[:, b], color=plot.SETS[3], lw=1.3, label="for |B| without the inhibitor")
            ax.legend(loc="upper center", fontsize=7)
    count = np.bincount(data.motif.sel(part="member").values, minlength=data.sizes["member"])
    order = np.argsort(data.loss.values)
    for n in range(int(count.max()) + 1):
        ranks = np.flatnonzero(count[order] == n)
        color = [plot.FAINT, plot.SETS[0], plot.SETS[4], plot.SETS[2]][min(n, 3)]
        axes[3].bar(ranks, data.loss.values[order][ranks], width=1, color=color, label=f"{n} motifs")
    apart = _apart()
    axes[3].axhline(
        apart, color=plot.INK, lw=1, ls=(0, (4, 3)), label="theory: two neurons for each\nof five features"
    )
    axes[3].set(title=f"{(count > 0).mean():.0%} of {len(count)} models have the motif")
    axes[3].set(xlabel="models, by loss", ylabel="loss", ylim=(0, 1.7 * data.loss.quantile(0.95).item()))
    axes[3].legend(loc="upper left", fontsize=7)
    return fig


def _apart() -> float:
    """The loss of two neurons for each of the five most important features, and nothing for the last."""
    return float(IMPORTANCE[HIDDEN // 2 :].sum() * theory.dropped_cost(DENSITY))


def _response(ax, x, outputs, which):
    ax.plot(x, np.abs(x), color=plot.GRAY, lw=5, label=f"|{which}|, the target")
    for o, name in enumerate("AB"):
        style = "-" if o == 0 else (0, (4, 1.5))
        ax.plot(x, outputs[:, o], color=plot.SETS[o], lw=1.7, ls=style, label=f"output for |{name}|")
    ax.set(xlabel=f"{which}, other features 0", ylim=(-0.06, 1.6), xticks=[-1, 0, 1], yticks=[0, 0.5, 1, 1.5])


def _hand(fig, data):
    fig.suptitle("circuits built by hand: the neuron that serves A > 0 and B < 0")
    said = {
        "symmetric": "inputs 1, −1, outputs 1, 1",
        "asymmetric": "inputs 2, −1/2, outputs 1/2, 2",
        "inhibited": "the same, and an inhibitor: 1 from A, −4 to B",
    }
    for part, kind in zip(fig.subfigures(1, 3), PAIR, strict=True):
        part.suptitle(said[kind], fontsize=9, color="#555555")
        for ax, which in zip(part.subplots(1, 2, sharey=True), "AB", strict=True):
            _response(ax, data.input.values, data.circuit.sel(kind=kind, alone=which).values, which)
            if kind == "symmetric":
                ax.legend(loc="upper center", fontsize=7)


def _network(ax, data, place):
    """The neuron and its inhibitor, with the inhibitor's own feature C, drawn as a network."""
    member, neuron, inhibitor, a, b = data.motif.values[place]
    W, W_out = (data[name].values[member].astype(float) for name in ("W", "W_out"))
    others = np.abs(W[inhibitor]) * (~np.isin(np.arange(FEATURES), [a, b]))
    features = {"A": a, "B": b, "C": int(others.argmax())}
    units = {"neuron": (neuron, 0.25), "inhibitor": (inhibitor, 1.75)}
    for at, (unit, y) in enumerate(units.values()):
        # Input weights are divided by what output weights are multiplied with, so that A's way in and B's
        # way out have weights of one size, as in the paper's drawing.
        scale = np.sqrt(abs(W[unit, a] / W_out[b, unit]))
        for row, i in enumerate(features.values()):
            for x, weight, near in ((0, W[unit, i] / scale, 0.4), (1, W_out[i, unit] * scale, 0.6)):
                if abs(weight) > 0.15:
                    ends = (row, y) if x == 0 else (y, row)
                    color = plot.RED if weight > 0 else plot.BLUE
                    ax.plot([x, x + 1], ends, color=color, lw=0.6 + 0.9 * abs(weight), alpha=0.8, zorder=1)
                    height = ends[0] + (near + (0.16 if at else -0.16)) * (ends[1] - ends[0])
                    ax.text(
                        x + near + (0.16 if at else -0.16), height, f"{weight:+.2g}", fontsize=7, ha="center", va="center",
                        bbox={"fc": "white", "ec": "none", "pad": 0.6},
                    )  # fmt: skip
    for x, ys, told in (
        (0, range(3), list(features)),
        (1, [0.25, 1.75], list(units)),
        (2, range(3), [f"|{name}|" for name in features]),
    ):
        for y, name in zip(ys, told, strict=True):
            ax.text(
                x, y, name, ha="center", va="center", fontsize=8.5,
                bbox={"boxstyle": "round,pad=0.35", "fc": "white", "ec": plot.INK, "lw": 0.8},
            )  # fmt: skip
    ax.set(xlim=(-0.3, 2.3), ylim=(2.4, -0.4), title="red: positive weights, blue: negative")
    ax.set_axis_off()


CHECK = "the paper's drawing of the motif"


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    count = np.bincount(data.motif.sel(part="member").values, minlength=data.sizes["member"])
    harm = (data.loss_without / data.loss_with).values
    own = _shown(data)
    pushed, kept, back = [], [], []
    for place in own:
        _, outputs, without, (a, b) = _alone(data, place, "A")
        pushed.append(without[:, b].max())
        kept.append(outputs[:, b].max())
        back.append(_alone(data, place, "B")[1][:, a].max())
    circuit = data.circuit.max("x")
    return [
        Claim(
            "found", "Some trained models have an asymmetric neuron with an inhibitor", SECTION,
            at_least(1), (count > 0).sum(), source=CHECK, what="models with one",
        ),
        Claim(
            "not-all", "Others do not", "ours",
            at_least(1), (count == 0).sum(), source="a replication: only some of six seeds show it",
            what="models without",
        ),
        Claim(
            "two", "There are models with two instances, as the one that the paper takes apart", SECTION,
            at_least(2), count.max(), source=CHECK, what="most in one model", quick=False,
        ),
        Claim(
            "disturbs", "Without the inhibitor, A alone would push the output of B far up", SECTION,
            at_least(1), pushed, source="the largest that |B| can be", what="output of B, in the best model",
        ),
        Claim(
            "inhibited", "With it, A alone leaves the output of B near 0", SECTION,
            at_most(0.25), kept, source="ours: a quarter of the largest |B|", what="largest output of B, in the best model",
        ),
        Claim(
            "barely-back", "B alone hardly disturbs A", SECTION,
            at_most(0.3), back, source="1/4 in the paper's drawing", what="largest output of A, in the best model",
        ),
        Claim(
            "ablation", "Where A is active, the loss rises without the inhibitor", SECTION,
            at_least(1.5), harm, source="ours: by half", what="times, in each motif found",
        ),
        Claim(
            "better", "The best model with the motif beats two neurons for each of five features", "ours",
            at_most(0.95), data.loss.values[count > 0].min(initial=np.inf) / _apart(),
            source="theory: the variance of the sixth", what="loss, relative",
        ),
        Claim(
            "hand-symmetric", "Built by hand, shared equally: each disturbs the other in full", SECTION,
            about([1, 1], 1e-9), _disturbed(circuit, "symmetric"), source="arithmetic",
            what="output of B by A alone, of A by B alone",
        ),
        Claim(
            "hand-asymmetric", "Built by hand, shared unequally: A disturbs B the more, B disturbs A the less", SECTION,
            about([4, 0.25], 1e-9), _disturbed(circuit, "asymmetric"), source="arithmetic",
            what="output of B by A alone, of A by B alone",
        ),
        Claim(
            "hand-inhibited", "Built by hand, with an inhibitor: only the small disturbance is left", SECTION,
            about([0, 0.25], 1e-9), _disturbed(circuit, "inhibited"), source="arithmetic",
            what="output of B by A alone, of A by B alone",
        ),
    ]  # fmt: skip


def _disturbed(circuit, kind) -> np.ndarray:
    return np.array([circuit.sel(kind=kind, alone=on, output=to).item() for on, to in (("A", 1), ("B", 0))])


def notes(data: xr.Dataset) -> list[str]:
    return [
        "The paper does not give the sizes; here, as in a replication, 6 features in 10 neurons at density 0.2, with "
        "importances 0.7^i.",
        "What counts as the motif: a neuron that reads A and B with opposite signs, A at least twice as strongly, and "
        "adds to both outputs, to B at least twice as strongly; and another that reads A with the same sign and takes "
        "at least half of that away from B.",
        f"{data.sizes['member']} models were trained; the one drawn is the best of those with the motif.",
    ]
