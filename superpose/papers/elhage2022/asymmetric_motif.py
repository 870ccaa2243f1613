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
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, from_section
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
"""Input and output weights of circuits for `|A|` and `|B|`, of which the first neuron serves A > 0 and B < 0."""
APART = float(IMPORTANCE[HIDDEN // 2 :].sum() * theory.dropped_cost(DENSITY))
"""The loss of two neurons for each of the five most important features, and nothing for the last."""


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
        {},
        members=config.members,
        key=config.seed,
        steps=config.steps,
        judged=lambda: Sampled(world, batch=2**15, target="abs", stratified=True),
    )
    motifs = [
        (at, *motif)
        for at in range(config.members)
        for motif in measures.asymmetric_motifs(data.W.values[at], data.W_out.values[at])
    ]
    motif = np.array(motifs, int).reshape(-1, 5)
    loss_with, loss_without = _ablated(data, motif, world, draws.stream(config.seed, "ablation"))
    line = np.linspace(-1, 1, 41)
    return data.assign(
        importance=("feature", IMPORTANCE),
        motif=(("found", "part"), motif),
        loss_with=("found", loss_with),
        loss_without=("found", loss_without),
        input=("x", line),
        circuit=(("kind", "alone", "x", "output"), _circuits(line)),
    ).assign_coords(part=["member", "neuron", "inhibitor", "A", "B"], kind=list(PAIR), alone=["A", "B"])


def _ablated(data, motifs, world, key) -> np.ndarray:
    """The loss where A excites the neuron: as the model is, and when the inhibitor does not write to B."""
    x = np.asarray(world.sample(key, 2**14), float)
    shares = jnp.linspace(0.5 / 2**14, 1 - 0.5 / 2**14, 2**14)
    size = np.abs(np.asarray(Uniform(0, 1).quantile(shares), float))
    losses = []
    for motif in motifs:
        W, W_out, without, b = _weights(data, motif)
        neuron, A = motif[1], motif[3]
        active = x.copy()
        active[:, A] = np.sign(W[neuron, A]) * size
        errors = [(np.abs(active) - _outputs(W, out, b, active)) ** 2 for out in (W_out, without)]
        losses.append([(error.mean(axis=0) * IMPORTANCE).sum() for error in errors])
    return np.array(losses).reshape(-1, 2).T


def _weights(data, motif) -> tuple[np.ndarray, ...]:
    """W, W_out, W_out when the inhibitor does not write to B, and b, for a motif's model."""
    member, _, inhibitor, _, B = motif
    W, W_out, b = (data[name].values[member].astype(float) for name in ("W", "W_out", "b"))
    without = W_out.copy()
    without[B, inhibitor] = 0
    return W, W_out, without, b


def _outputs(W, W_out, b, x) -> np.ndarray:
    """The outputs (..., feature) for inputs (..., feature)."""
    return np.maximum(np.maximum(x @ W.T, 0) @ W_out.T + b, 0)


def _circuits(line) -> np.ndarray:
    """What the circuits built by hand put out for A alone and for B alone."""
    alone = np.array([[[x, 0] for x in line], [[0, x] for x in line]])
    return np.array([_outputs(np.array(W), np.array(W_out), 0, alone) for W, W_out in PAIR.values()])


def measured(data: xr.Dataset) -> xr.Dataset:
    """How many motifs each model has, and what the `shown` ones do: those of the best model that has any.

    They are numbered as along `found`, the strongest first. `response` has the outputs for A and B where A or B is
    `alone`, and `uninhibited` what they are when the inhibitor does not write to B.
    """
    member = data.motif.sel(part="member").values
    n_motifs = np.bincount(member, minlength=data.sizes["member"])
    best = np.where(n_motifs > 0, data.loss, np.inf).argmin()
    shown = np.flatnonzero(member == best)
    shown = shown[np.argsort(-(data.loss_without / data.loss_with).values[shown])]
    responses = np.zeros((2, len(shown), 2, data.sizes["x"], 2))
    for at, motif in enumerate(data.motif.values[shown]):
        W, W_out, without, b = _weights(data, motif)
        pair = motif[3:]
        x = data.input.values[:, None] * np.eye(FEATURES)[pair][:, None]
        responses[:, at] = [_outputs(W, out, b, x)[..., pair] for out in (W_out, without)]
    dims = ("shown", "alone", "x", "output")
    return data.assign(
        n_motifs=("member", n_motifs),
        number=("shown", shown),
        response=(dims, responses[0]),
        uninhibited=(dims, responses[1]),
    )


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(12, 7.6)
    top, bottom = fig.subfigures(2, 1)
    _hand(top, data)
    network, *responses, losses = bottom.subplots(1, 4, width_ratios=[1.25, 1, 1, 1.15])
    for at, number in enumerate(data.number.values[:1]):
        motif, line = data.motif.values[number], data.input.values
        bottom.suptitle(
            "found in training: model {}, A is feature {}, B is feature {}".format(*motif[[0, 3, 4]])
        )
        _network(network, data, motif)
        for ax, alone in zip(responses, "AB", strict=True):
            _response(ax, line, data.response[at].sel(alone=alone).values, alone)
            if alone == "A":
                without = data.uninhibited[at].sel(alone="A", output=1)
                ax.plot(line, without, color=plot.SETS[3], lw=1.3, label="for |B| without the inhibitor")
            ax.legend(loc="upper center", fontsize=7)
    _losses(losses, data)
    return fig


def _hand(fig, data) -> None:
    fig.suptitle("circuits built by hand: the neuron that serves A > 0 and B < 0")
    titles = {
        "symmetric": "inputs 1, −1, outputs 1, 1",
        "asymmetric": "inputs 2, −1/2, outputs 1/2, 2",
        "inhibited": "the same, and an inhibitor: 1 from A, −4 to B",
    }
    for part, kind in zip(fig.subfigures(1, 3), PAIR, strict=True):
        part.suptitle(titles[kind], fontsize=9, color="#555555")
        for ax, alone in zip(part.subplots(1, 2, sharey=True), "AB", strict=True):
            _response(ax, data.input.values, data.circuit.sel(kind=kind, alone=alone).values, alone)
            if kind == "symmetric":
                ax.legend(loc="upper center", fontsize=7)


def _response(ax: Axes, x: np.ndarray, outputs: np.ndarray, alone: str) -> None:
    """The outputs for `|A|` and `|B|` where only one of them is active."""
    ax.plot(x, np.abs(x), color=plot.GRAY, lw=5, label=f"|{alone}|, the target")
    for at, (name, line) in enumerate({"A": "-", "B": (0, (4, 1.5))}.items()):
        ax.plot(x, outputs[:, at], color=plot.SETS[at], lw=1.7, ls=line, label=f"output for |{name}|")
    ax.set(xlabel=f"{alone}, other features 0", ylim=(-0.06, 1.6), xticks=[-1, 0, 1], yticks=[0, 0.5, 1, 1.5])


def _network(ax, data, motif) -> None:
    """The neuron and its inhibitor, with the inhibitor's own feature C, drawn as a network."""
    _, neuron, inhibitor, A, B = motif
    W, W_out, *_ = _weights(data, motif)
    others = np.abs(W[inhibitor]) * ~np.isin(np.arange(FEATURES), [A, B])
    features = {"A": A, "B": B, "C": int(others.argmax())}
    heights = {"neuron": 0.25, "inhibitor": 1.75}
    for unit, y, shift in ((neuron, heights["neuron"], -0.16), (inhibitor, heights["inhibitor"], 0.16)):
        # Input weights are divided by what output weights are multiplied by, so that the weights in from A
        # and out to B are equal in size, as in the paper's drawing.
        scale = np.sqrt(abs(W[unit, A] / W_out[B, unit]))
        for row, i in enumerate(features.values()):
            into, out = W[unit, i] / scale, W_out[i, unit] * scale
            for x, weight, ends, share in ((0, into, (row, y), 0.4 + shift), (1, out, (y, row), 0.6 + shift)):
                if abs(weight) > 0.15:
                    color = plot.RED if weight > 0 else plot.BLUE
                    ax.plot([x, x + 1], ends, color=color, lw=0.6 + 0.9 * abs(weight), alpha=0.8, zorder=1)
                    at = x + share, ends[0] + share * (ends[1] - ends[0])
                    box = {"fc": "white", "ec": "none", "pad": 0.6}
                    ax.text(*at, f"{weight:+.2g}", fontsize=7, ha="center", va="center", bbox=box)
    rows = {name: float(row) for row, name in enumerate(features)}
    box = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": plot.INK, "lw": 0.8}
    for x, column in enumerate((rows, heights, {f"|{name}|": row for name, row in rows.items()})):
        for name, y in column.items():
            ax.text(x, y, name, ha="center", va="center", fontsize=8.5, bbox=box)
    ax.set(xlim=(-0.3, 2.3), ylim=(2.4, -0.4), title="red: positive weights, blue: negative")
    ax.set_axis_off()


def _losses(ax, data) -> None:
    """A bar for each model, ordered by loss, colored by the number of its motifs."""
    order = data.loss.values.argsort()
    count, loss = data.n_motifs.values[order], data.loss.values[order]
    for n in range(count.max() + 1):
        color = [plot.FAINT, plot.SETS[0], plot.SETS[4], plot.SETS[2]][min(n, 3)]
        ranks = np.flatnonzero(count == n)
        ax.bar(ranks, loss[ranks], width=1, color=color, label=f"{n} motifs")
    label = "theory: two neurons for each\nof five features"
    ax.axhline(APART, color=plot.INK, lw=1, ls=(0, (4, 3)), label=label)
    ax.set(title=f"{(count > 0).mean():.0%} of {len(count)} models have the motif", xlabel="models, by loss")
    ax.set(ylabel="loss", ylim=(0, 1.7 * np.quantile(loss, 0.95)))
    ax.legend(loc="upper left", fontsize=7)


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    count = data.n_motifs
    pushed = data.uninhibited.sel(alone="A", output=1).max("x")
    kept = data.response.sel(alone="A", output=1).max("x")
    back = data.response.sel(alone="B", output=0).max("x")
    circuit = data.circuit.max("x")
    harm = xr.concat([circuit.sel(alone="A", output=1), circuit.sel(alone="B", output=0)], "to")
    says = from_section(SECTION, "the paper's drawing of the motif")
    ours = from_section("ours")
    hand, disturbed = from_section(SECTION, "arithmetic"), "output of B by A alone, of A by B alone"
    # fmt: off
    return [
        says("found", "Some trained models have an asymmetric neuron with an inhibitor",
             "models with one", (count > 0).sum(), at_least(1)),
        ours("not-all", "Some trained models have no asymmetric neuron with an inhibitor",
             "models without", (count == 0).sum(), at_least(1), source="a replication: only some of six seeds show it"),
        says("two", "There are models with two instances, as the one that the paper takes apart",
             "most in one model", count.max(), at_least(2), quick=False),
        says("disturbs", "Without the inhibitor, A alone would push the output of B far up",
             "output of B, in the best model", pushed, at_least(1), source="the largest that |B| can be"),
        says("inhibited", "With the inhibitor, A alone leaves the output of B near 0",
             "largest output of B, in the best model", kept, at_most(0.25), source="ours: a quarter of the largest |B|"),
        says("barely-back", "B alone hardly disturbs A",
             "largest output of A, in the best model", back, at_most(0.3), source="1/4 in the paper's drawing"),
        says("ablation", "Where A is active, the loss rises without the inhibitor",
             "times, in each motif found", data.loss_without / data.loss_with, at_least(1.5), source="ours: by half"),
        ours("better", "The best model with the motif beats two neurons for each of five features",
             "loss, relative", data.loss.where(count > 0).min() / APART, at_most(0.95), source="theory: the variance of the sixth"),
        hand("hand-symmetric", "Built by hand, shared equally: each disturbs the other in full",
             disturbed, harm.sel(kind="symmetric"), about([1, 1], 1e-9)),
        hand("hand-asymmetric", "Built by hand, shared unequally: A disturbs B the more, B disturbs A the less",
             disturbed, harm.sel(kind="asymmetric"), about([4, 0.25], 1e-9)),
        hand("hand-inhibited", "Built by hand, with an inhibitor: only the small disturbance is left",
             disturbed, harm.sel(kind="inhibited"), about([0, 0.25], 1e-9)),
    ]
    # fmt: on


def notes(data: xr.Dataset) -> list[str]:
    return [
        "The paper does not give the sizes; here, as in a replication, 6 features in 10 neurons at density 0.2, with "
        "importances 0.7^i.",
        "What counts as the motif: a neuron that reads A and B with opposite signs, A at least twice as strongly, and "
        "adds to both outputs, to B at least twice as strongly; and another that reads A with the same sign and takes "
        "at least half of that away from B.",
        f"{data.sizes['member']} models were trained; the one drawn is the best of those with the motif.",
    ]
