"""The engine of the explorer is the library: its worlds, losses, gradients, draws, training, minima, links and lines."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from node import run

from superpose.draws import stream
from superpose.features import Anticorrelated, Correlated, Independent
from superpose.losses import Population, Sampled, mean_error
from superpose.models import Linear, Network, ReluOutput
from superpose.train import ensemble, member_keys, minimize
from superpose.values import Binary, Uniform

LAWS = {"uniform": Uniform(), "signed": Uniform(-1, 1), "binary": Binary()}
KINDS = ("independent", "correlated", "anticorrelated")


def _law(kind, values, density, sizes, importance):
    if kind == "independent":
        return Independent(density, importance, LAWS[values])
    return {"correlated": Correlated, "anticorrelated": Anticorrelated}[kind](
        density, sizes, importance, LAWS[values]
    )


# The exact loss. In the library a world of fewer features is one of the largest whose others are never active and do
# not matter, so that one program does for all.

SETS = {
    ("independent", "uniform"): (1,) * 6, ("independent", "signed"): (1,) * 4, ("independent", "binary"): (1,) * 7,
    ("correlated", "uniform"): (2, 1, 3, 1), ("correlated", "signed"): (2, 1, 1), ("correlated", "binary"): (2, 1, 3, 1),
    ("anticorrelated", "uniform"): (2, 1, 1), ("anticorrelated", "signed"): (2, 1, 1, 2), ("anticorrelated", "binary"): (2, 1, 3, 1),
}  # fmt: skip


def _random_model(rng, n, m, values):
    """Weights of all kinds: plain, with features that are ignored, of all sizes, and with columns that are equal or opposite."""
    W, b = rng.normal(size=(m, n)) * rng.choice([0.5, 1.0]), rng.normal(size=n) * rng.choice([0.02, 0.1, 0.5])
    match rng.integers(5):
        case 1:
            W[:, rng.integers(n)] = 0
        case 2:
            W *= 10.0 ** rng.uniform(-4, 0, n)
        case 3:
            W[:, rng.integers(n)] = W[:, 0] * rng.choice([-1, 1])
        case 4 if values != "binary":  # which would bring ties: no gradient is right where z = 0
            W, b = np.round(2 * W) / 2, np.zeros(n)
    return W, b


def _cases():
    """207 worlds with a model each, by what the library compiles for."""
    rng = np.random.default_rng(13)
    for (kind, values), sizes in SETS.items():
        for output, count in (("relu", 18), ("linear", 5)):
            group = []
            for _ in range(count):
                sets = sizes[: rng.integers(1, len(sizes) + 1)]
                n = sum(sets)
                W, b = _random_model(rng, n, int(rng.integers(1, n + 1)), values)
                density, importance = rng.random(len(sets)) ** rng.choice([0.1, 1, 3]), rng.random(n)
                world = {
                    "kind": kind,
                    "values": values,
                    "sizes": sets,
                    "density": density,
                    "importance": importance,
                }
                group.append((W, b, world))
            yield kind, values, sizes, output, group


@partial(jax.jit, static_argnums=(0, 1, 2, 3), compiler_options={"xla_backend_optimization_level": 0})
def _exact(kind, values, sizes, cls, W, b, density, importance):
    def loss(model, density, importance):
        return Population(_law(kind, values, density, sizes, importance), method="enumeration")(model)

    return jax.vmap(jax.value_and_grad(loss))(cls(W, b), density, importance)


def _filled(array, shape):
    return np.pad(array, [(0, most - size) for most, size in zip(shape, np.shape(array), strict=True)])


def test_exact_losses_and_gradients_of_200_random_worlds_are_those_of_population():
    code = 'import { loss } from "./engine.js"; send(data.map(([W, b, world, output]) => loss(W, b, world, { output })));'
    seen = 0
    for kind, values, sizes, output, group in _cases():
        n, cls = sum(sizes), {"relu": ReluOutput, "linear": Linear}[output]
        found = run(code, [[W.tolist(), b.tolist(), world, output] for W, b, world in group])
        with jax.enable_x64(True):
            W = np.stack([_filled(W, (n, n)) for W, _, _ in group])
            b = np.stack([_filled(b, (n,)) for _, b, _ in group])
            density = np.stack([_filled(world["density"], (len(sizes),)) for _, _, world in group])
            importance = np.stack([_filled(world["importance"], (n,)) for _, _, world in group])
            losses, gradients = _exact(kind, values, sizes, cls, W, b, density, importance)
        for (W, b, _), page, loss, dW, db in zip(group, found, losses, gradients.W, gradients.b, strict=True):
            told = kind, values, output, W
            size = max(1.0, float(loss), float(np.abs(dW).max()))
            assert page["loss"] == pytest.approx(float(loss), rel=1e-9, abs=1e-12), told
            np.testing.assert_allclose(
                page["dW"], dW[: len(W), : len(b)], atol=1e-9 * size, err_msg=str(told)
            )
            np.testing.assert_allclose(page["db"], db[: len(b)], atol=1e-9 * size, err_msg=str(told))
            seen += 1
    assert seen > 200


# Draws.


@pytest.mark.parametrize(("kind", "values"), list(product(KINDS, LAWS)))
def test_samples_are_the_library_s_bit_for_bit(kind, values):
    density, sizes = np.array([0.3, 1.0, 0.0, 0.001, 0.8]), (2, 1, 1, 3, 5)
    world = {"kind": kind, "values": values, "density": density, "sizes": sizes}
    code = """
    import { keyOf } from "./draws.js";
    import { sample, worldOf } from "./worlds.js";
    send(data.keys.map((key) => sample(worldOf(data.world, data.n), keyOf(key), data.batch)));
    """
    n = len(sizes) if kind == "independent" else sum(sizes)
    law, keys, batch = _law(kind, values, density, sizes, np.ones(n)), [0, 7, 2**32 + 5], 3000
    for key, page in zip(
        keys, run(code, {"world": world, "n": n, "keys": keys, "batch": batch}), strict=True
    ):
        x = np.asarray(law.sample(key, batch))
        assert x.dtype == np.float32
        assert x.any()
        np.testing.assert_array_equal(page.reshape(n, batch).T, x)


def test_initial_weights_are_those_of_the_ensemble():
    shapes, seeds = [(5, 2), (1, 1), (20, 5), (100, 30)], [0, 1, 17, 999_999]
    code = 'import { initial } from "./engine.js"; send(data.map(([n, m, seed]) => initial(n, m, seed)));'
    for (n, m), models in zip(
        shapes, [run(code, [[n, m, seed] for seed in seeds]) for n, m in shapes], strict=True
    ):
        theirs = ensemble(lambda key: ReluOutput.init(n, m, key=key), members=seeds, key=0)  # noqa: B023
        for page, W in zip(models, theirs.W, strict=True):
            np.testing.assert_allclose(page["W"].reshape(m, n), W, rtol=1e-6, atol=1e-7)
            assert not page["b"].any()


@pytest.mark.parametrize(
    ("output", "layer", "kind", "values"),
    [
        ("relu", "linear", "independent", "uniform"),
        ("linear", "linear", "correlated", "signed"),
        ("relu", "relu", "independent", "signed"),
        ("linear", "relu", "anticorrelated", "binary"),
    ],
)
def test_sampled_losses_and_gradients_are_the_library_s_on_the_same_samples(output, layer, kind, values):
    rng, seed, batch, n, m = np.random.default_rng(1), 3, 500, 6, 3
    W, b, importance = rng.normal(size=(m, n)), 0.2 * rng.normal(size=n), rng.random(n)
    density, sizes = np.array([0.4, 0.2, 0.7, 0.1, 0.3, 0.2]), (1,) * 6
    if kind != "independent":
        density, sizes = density[:3], (2, 1, 3)
    world = {"kind": kind, "values": values, "density": density, "sizes": sizes, "importance": importance}
    code = 'import { sampled } from "./engine.js"; send(sampled(data.W, data.b, data.world, data.batch, data.seed, data.kind));'
    found = run(
        code,
        {
            "W": W.tolist(),
            "b": b.tolist(),
            "world": world,
            "batch": batch,
            "seed": seed,
            "kind": {"output": output, "layer": layer},
        },
    )
    law, kinds = _law(kind, values, density, sizes, importance), {"linear": "identity", "relu": "relu"}
    key = jax.random.fold_in(stream(member_keys(0, [seed])[0], "draws of training"), 0)
    model = Network(W, b, activation=kinds[output], hidden_activation=kinds[layer])
    x = np.asarray(law.sample(key, batch), np.float64)
    with jax.enable_x64(True):
        loss, gradient = jax.value_and_grad(lambda model: mean_error(model, x, importance))(model)
    assert found["loss"] == pytest.approx(float(loss), rel=1e-12)
    np.testing.assert_allclose(found["dW"], gradient.W, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found["db"], gradient.b, rtol=1e-10, atol=1e-12)
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), model)
    assert found["loss"] == pytest.approx(float(Sampled(law, batch)(single, key)), rel=1e-5)


# Training.


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_each_step_is_that_of_optax(optimizer):
    steps, rate = 60, 0.03
    code = """
    import { advance, initial, newRun, TRAINING } from "./engine.js";
    import { worldOf } from "./worlds.js";
    const run = newRun(initial(3, 2, 1), worldOf({ density: 0.3, importance: [1, 0.8, 0.6] }, 3), { ...TRAINING, ...data }, 0);
    send(Array.from({ length: 60 }, () => (advance(run, 1), [run.model.W.slice(), run.model.b.slice()])));
    """
    way = run(code, {"optimizer": optimizer, "rate": rate})
    law, tool = Independent(0.3, [1, 0.8, 0.6]), getattr(optax, optimizer)(rate)
    with jax.enable_x64(True):
        models = ensemble(lambda key: ReluOutput.init(3, 2, key=key), members=[1], key=0)
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf[0], jnp.float64), models)

        @jax.jit
        def step(model, state):
            update, state = tool.update(jax.grad(Population(law))(model), state, model)
            return optax.apply_updates(model, update), state

        state = tool.init(model)
        for at in range(steps):
            model, state = step(model, state)
            W, b = way[at]
            np.testing.assert_allclose(W.reshape(2, 3), model.W, atol=1e-6, err_msg=f"step {at}")
            np.testing.assert_allclose(b, model.b, atol=1e-6, err_msg=f"step {at}")
    assert np.abs(way[-1][0] - way[0][0]).max() > 0.05


SEEDS = 16


@pytest.fixture(scope="module")
def minima():
    """The minima of 5 features in 2 dimensions from the first seeds, at two densities."""
    models = ensemble(lambda key: ReluOutput.init(5, 2, key=key), members=SEEDS, key=0)
    return {p: minimize(models, Population(Independent(p, n_features=5)), progress=False) for p in (0.2, 0.1)}


def test_minimizing_ends_where_the_library_does(minima):
    code = """
    import { initial, minimize } from "./engine.js";
    import { worldOf } from "./worlds.js";
    const seeds = Array.from({ length: data.seeds }, (_, seed) => seed);
    send(data.densities.map((density) => seeds.map((seed) => minimize(initial(5, 2, seed), worldOf({ density }, 5)))));
    """
    found = run(code, {"densities": [*minima], "seeds": SEEDS})
    for page, theirs in zip(found, minima.values(), strict=True):
        assert all(each["converged"] for each in page)
        loss = np.array([each["loss"] for each in page])
        assert loss.min() == pytest.approx(theirs.loss.min(), rel=1e-9)
        # From the same start, two minimizers may go to different minima; but to no others.
        assert np.isclose(loss, theirs.loss, rtol=1e-6, atol=0).mean() > 0.7
        assert np.isclose(loss[:, None], theirs.loss, rtol=1e-6, atol=0).any(axis=1).all()


def test_training_ends_at_a_minimum_that_the_library_finds(minima):
    code = """
    import { advance, initial, lossOf, newRun, TRAINING } from "./engine.js";
    import { worldOf } from "./worlds.js";
    send(data.densities.map((density) => [0, 1, 2, 3].map((seed) => {
      const run = newRun(initial(5, 2, seed), worldOf({ density }, 5), TRAINING, seed);
      advance(run, 4000);
      run.training.rate = 0.001; // with which Adam comes to rest
      advance(run, 2000);
      return lossOf(run).loss;
    })));
    """
    for page, theirs in zip(run(code, {"densities": [*minima]}), minima.values(), strict=True):
        for loss in page:
            assert np.abs(theirs.loss / loss - 1).min() < 1e-6


# Links.

USUAL = {
    "part": "lessons", "lesson": 1, "features": 5, "hidden": 2, "density": 0.1, "decay": 0.9, "extra": 1, "values": "uniform",
    "kind": "independent", "size": 2, "output": "relu", "layer": "linear", "loss": "exact", "batch": 1024, "optimizer": "adam",
    "rate": 0.01, "seed": 0, "steps": 0, "fork": -1, "finish": -1, "run": 0, "changes": [], "speed": 4, "view": "auto",
    "azimuth": 30, "elevation": 20, "time": "log", "members": 24, "diagram": "2-in-1", "path": [], "start": "seed", "at": [],
}  # fmt: skip
"""What a link of version 1 does not say: for ever."""

OLD = {
    "": {},
    "#": {},
    "#v=1": {},
    "#v=1&part=play&features=20&hidden=5&density=0.03": {"part": "play", "features": 20, "hidden": 5, "density": 0.03},
    "#v=1&lesson=4&density=0.2&decay=1&seed=7&steps=1500": {"lesson": 4, "density": 0.2, "decay": 1, "seed": 7, "steps": 1500},
    "#v=1&part=play&steps=900&fork=300&changes=100d0.5,300D0.05,310i1,400R0.003": {
        "part": "play", "steps": 900, "fork": 300,
        "changes": [
            {"run": 0, "step": 100, "name": "density", "value": 0.5}, {"run": 1, "step": 300, "name": "density", "value": 0.05},
            {"run": 0, "step": 310, "name": "decay", "value": 1}, {"run": 1, "step": 400, "name": "rate", "value": 0.003},
        ],
    },
    "#v=1&part=play&values=signed&kind=anticorrelated&size=3&output=linear&layer=relu&loss=sampled&batch=256&optimizer=sgd": {
        "part": "play", "values": "signed", "kind": "anticorrelated", "size": 3, "output": "linear", "layer": "relu",
        "loss": "sampled", "batch": 256, "optimizer": "sgd",
    },
    "#v=1&part=play&hidden=3&values=binary&kind=correlated&rate=0.1&speed=64&view=graph&azimuth=-20&elevation=90&time=linear": {
        "part": "play", "hidden": 3, "values": "binary", "kind": "correlated", "rate": 0.1, "speed": 64, "view": "graph",
        "azimuth": -20, "elevation": 90, "time": "linear",
    },
    "#v=1&part=play&view=axes&extra=2.5": {"part": "play", "view": "axes", "extra": 2.5},
    "#v=1&part=seeds&members=50": {"part": "seeds", "members": 50},
    "#v=1&part=phases&diagram=3-in-2&path=1275.1326.1376": {"part": "phases", "diagram": "3-in-2", "path": [1275, 1326, 1376]},
    "#v=1&part=play&density=0.2&decay=1&steps=1001&finish=1000&fork=400&run=1": {
        "part": "play", "density": 0.2, "decay": 1, "steps": 1001, "finish": 1000, "fork": 400, "run": 1,
    },
    "#v=1&part=own&at=group:1,density:3,member:12": {"part": "own", "at": ["group:1", "density:3", "member:12"]},
    "#v=1&part=play&start=own&at=density:3": {"part": "play", "start": "own", "at": ["density:3"]},
}  # fmt: skip
"""Links that people have, with what they mean beside the usual: none may ever be changed or taken out."""

READ = 'import { stateOf } from "./state.js"; send(data.map(stateOf));'


@pytest.mark.parametrize("link", OLD)
def test_old_links_go_on_meaning_what_they_mean(link):
    (read,) = run(READ, [link])
    assert read["problems"] == []
    assert read["state"] == USUAL | OLD[link]


REPLAYED = {
    "#v=1&seed=3&steps=300": 0.02593636498,
    "#v=1&part=play&features=8&hidden=3&values=signed&loss=sampled&batch=64&optimizer=sgd&rate=0.1&steps=200": 0.1521087122,
    "#v=1&part=play&density=0.5&steps=400&fork=150&changes=100d0.2,150D0.05,200r0.003": 0.01239800307,
}
"""Links that people have, with the loss of what they show."""


def test_old_links_go_on_showing_the_same_models():
    code = """
    import { advance } from "./engine.js";
    import { exactLoss } from "./exact.js";
    import { begun, nextEvent, prepared } from "./simulation.js";
    import { stateOf } from "./state.js";
    send(data.map((link) => {
      const { state } = stateOf(link);
      let runs = begun(state, null);
      while (runs[0].step < state.steps) {
        runs = prepared(runs, state, null);
        const stop = Math.min(nextEvent(state, runs[0].step), state.steps);
        for (const run of runs) advance(run, stop - run.step);
      }
      return exactLoss(runs.at(-1).model, runs.at(-1).world).loss;
    }));
    """
    assert run(code, [*REPLAYED]) == pytest.approx([*REPLAYED.values()], rel=1e-6)


def _random_states(count):
    """States that are possible, with everything that a link can say."""
    rng = np.random.default_rng(5)

    def among(*names):
        return str(rng.choice(names))

    def whole(least, most):
        return int(rng.integers(least, most + 1))

    def real(least, most):
        return float(rng.choice([least, most, 10 ** rng.uniform(np.log10(least), np.log10(most))]))

    for _ in range(count):
        features, steps, layer = whole(1, 100), whole(0, 10**6), among("linear", "relu")
        fork = whole(-1, steps) if rng.random() < 0.5 else -1
        changing = {"density": (0.001, 1), "decay": (0.3, 1), "rate": (1e-4, 1)}
        names = [among(*changing) for _ in range(whole(0, 12))]
        runs = [0 if fork < 0 else whole(0, 1) for _ in names]
        changes = [
            {"run": k, "step": whole(fork if k else 0, steps), "name": name, "value": real(*changing[name])}
            for k, name in zip(runs, names, strict=True)
        ]
        yield {
            "part": among("lessons", "play", "seeds", "phases", "own"), "lesson": whole(1, 6), "features": features,
            "hidden": whole(1, min(features, 30) if layer == "linear" else 30), "density": real(0.001, 1), "decay": real(0.3, 1),
            "extra": real(0.1, 10), "values": among(*LAWS), "kind": among(*KINDS), "size": whole(1, 10), "output": among("relu", "linear"),
            "layer": layer, "loss": among("exact", "sampled"), "batch": whole(1, 8192), "optimizer": among("adam", "sgd"),
            "rate": real(1e-4, 1), "seed": whole(0, 999_999), "steps": steps, "fork": fork,
            "finish": whole(-1, steps), "run": 0 if fork < 0 else whole(0, 1),
            "changes": sorted(changes, key=lambda change: change["step"]), "speed": whole(1, 1024), "view": among("auto", "axes", "graph"),
            "azimuth": whole(-360, 360), "elevation": whole(-90, 90), "time": among("log", "linear"), "members": whole(12, 100),
            "diagram": among("2-in-1", "3-in-2"), "path": [whole(0, 2499) for _ in range(whole(0, 400))], "start": among("seed", "own"),
            "at": [f"{among('density', 'a=b&c', 'läng%e #', 'x, y:', '%2C')}:{whole(0, 9_999_999)}" for _ in range(whole(0, 4))],
        }  # fmt: skip


def test_a_link_restores_any_state():
    code = 'import { linkOf, stateOf } from "./state.js"; send(data.map((state) => { const link = linkOf(state); return [link, stateOf(`#${link}`)]; }));'
    states = [*_random_states(300), USUAL]
    for state, (link, read) in zip(states, run(code, states), strict=True):
        assert set(state) == set(USUAL)
        assert read == {"state": state, "problems": []}, link
        assert not set(link) & set(' #"<>')
    assert link == "v=1"


def _garbage():
    rng = np.random.default_rng(6)
    links = run('import { linkOf } from "./state.js"; send(data.map(linkOf));', [*_random_states(60)])
    letters = [*"0123456789-.,:=&%#eEdD \\\0é", "NaN", "Infinity", "1e9", "%ff", "<script>", "__proto__"]
    for link in links * 4:
        for _ in range(rng.integers(1, 6)):
            at, skipped = rng.integers(len(link)), rng.integers(0, 20)
            link = link[:at] + str(rng.choice(letters)) + link[at + skipped :]
        yield link
    for name in USUAL:
        for value in (
            "",
            "1e9",
            "-1",
            "NaN",
            "Infinity",
            "0x10",
            "null",
            "[]",
            "1,1",
            "constructor",
            "<b>",
            "9" * 400,
            "0." + "0" * 400,
        ):
            yield f"v=1&{name}={value}"
    yield from (
        "v=2",
        "v=1e9",
        "v=",
        "nonsense",
        "=",
        "&&&",
        "%",
        "%E0%A4%A",
        "v=1&__proto__=1&constructor=2",
        "v=1&" + "x" * 30_000,
    )
    yield f"v=1&features={10**9}&hidden={10**9}"


def test_garbage_in_a_link_is_a_message_and_a_possible_state():
    code = """
    import { FIELDS, linkOf, stateOf } from "./state.js";
    import { begun, isExact, nextEvent, prepared } from "./simulation.js";
    send(data.map((link) => {
      const { state, problems } = stateOf(link), asked = new URLSearchParams(link.length > 20000 ? "" : link);
      const wrong = [...asked].filter(([name, value]) => Object.hasOwn(FIELDS, name) && FIELDS[name].read(value) === undefined).length;
      isExact(state);
      nextEvent(state, 0);
      const runs = prepared(begun(state, null), state, null);
      const alive = runs.every(({ model }) => model.W.every(Number.isFinite) && model.W.length === model.n * model.m);
      return { again: stateOf(linkOf(state)), state, problems, wrong, alive, ours: asked.get("v") === "1" };
    }));
    """
    links = [*_garbage()]
    found = run(code, links)
    for link, read in zip(links, found, strict=True):
        assert read["again"] == {"state": read["state"], "problems": []}, link
        assert read["alive"], link
        assert len(read["problems"]) == read["wrong"] + (not read["ours"]), link
        assert all(0 < len(line) < 200 and "\n" not in line for line in read["problems"]), link
        assert read["state"]["features"] <= 100
        assert read["state"]["hidden"] <= 30
    assert sum(read["wrong"] for read in found) > 200


def test_what_a_link_asks_for_in_vain_is_named():
    code = 'import { stateOf } from "./state.js"; send(data.map((link) => stateOf(link).problems));'
    said = {
        "#v=1&features=1e9": "The link asks for features = 1e9; it must be a whole number from 1 to 100.",
        "#v=1&values=gaussian": "The link asks for values = gaussian; it must be one of uniform, signed, binary.",
        "#v=7": "This link was made by a newer version of the page; what this one does not know is left out.",
        "#hello": "This link is not one of ours, or a part of it is missing; what it does not say is as usual.",
        "#v=1&" + "a" * 20_000: "This link is too long to be one of ours; here is the beginning instead.",
    }
    assert run(code, [*said]) == [[line] for line in said.values()]


# What was seen live, a link replays.


def test_a_replay_of_changes_and_a_fork_is_what_happened_live():
    code = """
    import { advance, newRun, TRAINING } from "./engine.js";
    import { linkOf, stateOf, usualState } from "./state.js";
    import { begun, changed, modelAtStart, nextEvent, prepared, worldOfState } from "./simulation.js";
    send(data.map((more) => {
      const base = { ...usualState(), ...more }, world = (density, decay) => worldOfState({ ...base, density, decay });
      const training = { ...TRAINING, exact: base.loss === "exact", optimizer: base.optimizer, rate: base.rate, batch: base.batch };
      // Live: by hand, in strides of 7.
      const live = [newRun(modelAtStart(base), worldOfState(base), training, base.seed)];
      const go = (to) => live.forEach((run) => { while (run.step < to) advance(run, Math.min(7, to - run.step)); });
      let { changes } = base;
      const change = (run, name, value) => { changes = changed(changes, { run, step: live[0].step, name, value }); };
      go(40); live[0].world = world(0.5, base.decay); change(0, "density", 0.9); change(0, "density", 0.5);
      go(90); live[0].training.rate = 0.004; change(0, "rate", 0.004);
      go(130); live.push(structuredClone(live[0])); live[1].world = world(0.05, base.decay); change(1, "density", 0.05);
      go(170); live[0].world = world(0.5, 0.6); change(0, "decay", 0.6);
      go(171); live[1].training.rate = 0.02; change(1, "rate", 0.02);
      go(260);
      // Replayed from the link, in strides of 64.
      const { state, problems } = stateOf(linkOf({ ...base, changes, fork: 130, steps: 260 }));
      let runs = begun(state, null);
      while (runs[0].step < state.steps) {
        runs = prepared(runs, state, null);
        const stop = Math.min(nextEvent(state, runs[0].step), state.steps, runs[0].step + 64);
        runs.forEach((run) => advance(run, stop - run.step));
      }
      return { live, runs, problems };
    }));
    """
    for case in run(
        code, [{}, {"loss": "sampled", "features": 9, "batch": 64, "optimizer": "sgd", "seed": 4}]
    ):
        assert case["problems"] == []
        assert len(case["runs"]) == 2
        for live, again in zip(case["live"], case["runs"], strict=True):
            assert again["step"] == 260
            for part in ("W", "b"):
                np.testing.assert_array_equal(again["model"][part], live["model"][part])
            for part in ("history", "training", "since"):
                assert again[part] == live[part]
            for part in ("density", "importance"):
                np.testing.assert_array_equal(again["world"][part], live["world"][part])
        first, second = (each["model"]["W"] for each in case["runs"])
        assert np.abs(first - second).max() > 1e-3


# The lines of Python.

MADE = [
    {"features": 3},
    {
        "features": 3,
        "values": "signed",
        "kind": "correlated",
        "size": 3,
        "optimizer": "sgd",
        "rate": 0.1,
        "seed": 2,
    },
    {
        "values": "binary",
        "kind": "anticorrelated",
        "size": 3,
        "output": "linear",
        "density": 0.4,
        "decay": 1,
        "seed": 1,
    },
    {"features": 3, "loss": "sampled", "batch": 256, "extra": 3, "seed": 5},
    {"layer": "relu", "output": "linear", "hidden": 6, "loss": "sampled", "values": "signed", "batch": 64},
    {"features": 3, "fork": 20, "changes": [{"run": 0, "step": 10, "name": "density", "value": 0.3}]},
    {"steps": 0, "features": 1, "hidden": 1},
]


MINIMA = """
import { initial, minimize } from "./engine.js";
import { pythonOfCell, pythonOfSeeds } from "./python.js";
import { worldOfState } from "./simulation.js";
import { usualState } from "./state.js";
import { phaseWorld, TASKS } from "./tasks.js";
const state = { ...usualState(), features: 2, hidden: 1, density: 0.3, members: 12 }, world = worldOfState(state), cell = { density: 0.1, importance: 0.4 };
const losses = Array.from({ length: 12 }, (_, seed) => minimize(initial(2, 1, seed), world).loss);
send([
  [pythonOfSeeds(state, world), Math.min(...losses)],
  [pythonOfCell(phaseWorld(cell, 2), 1, 12), TASKS.solve({ cells: [cell], n: 2, m: 1, members: 12 })[0].loss],
]);
"""


def test_the_lines_of_python_make_the_page_s_models_again():
    code = """
    import { keyOf } from "./draws.js";
    import { advance, rows, sampledLoss } from "./engine.js";
    import { exactLoss } from "./exact.js";
    import { pythonOf } from "./python.js";
    import { begun, prepared, nextEvent } from "./simulation.js";
    import { usualState } from "./state.js";
    send(data.map((more) => {
      const state = { ...usualState(), steps: 150, ...more };
      let runs = begun(state, null);
      while (runs[0].step < state.steps) {
        runs = prepared(runs, state, null);
        const stop = Math.min(nextEvent(state, runs[0].step), state.steps);
        runs.forEach((run) => advance(run, stop - run.step));
      }
      const [{ model, world }] = runs, closed = state.layer === "linear";
      const { loss } = closed ? exactLoss(model, world) : sampledLoss(model, world, keyOf(0), 100000);
      return { loss, W: rows(model, model.W), lines: pythonOf(state, runs[0], { loss, exact: state.loss === "exact" }) };
    }));
    """
    page, minima = run(code, MADE), run(MINIMA)
    program = "import sys; sys.path.insert(0, sys.argv[1]); from test_explorer_engine import tell; tell()"
    lines = {"models": [each["lines"] for each in page], "minima": [lines for lines, _ in minima]}
    done = subprocess.run(
        [sys.executable, "-c", program, __file__.rsplit("/", 1)[0]],
        input=json.dumps(lines), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for (_, loss), found in zip(minima, told["minima"], strict=True):
        assert found == pytest.approx(loss, rel=1e-6)
    for state, each, (loss, same, recipe) in zip(MADE, page, told["models"], strict=True):
        np.testing.assert_array_equal(same, each["W"])
        assert loss == pytest.approx(each["loss"], rel=1e-6 if "layer" not in state else 1e-4), state
        assert (recipe is None) == ("fork" in state or state.get("steps") == 0)
        if recipe is not None:
            np.testing.assert_allclose(recipe, each["W"], atol=1e-3, err_msg=str(state))


def tell():
    """What programs make, on standard output: models with their losses, and minima."""
    programs = json.load(sys.stdin)
    models = [_model_of(lines) for lines in programs["models"]]
    print(json.dumps({"models": models, "minima": [_minimum_of(lines) for lines in programs["minima"]]}))


def _ran(lines):
    variables, said = {}, io.StringIO()
    with redirect_stdout(said):
        exec(compile(lines, "lines", "exec"), variables)
    return variables, said.getvalue()


def _model_of(lines):
    """The loss that is printed, the weights that stand in the program and, if it trains a model too, those of that."""
    variables, said = _ran(lines)
    recipe = (
        np.asarray(variables["member"](variables["trained"].models, 0).W) if "trained" in variables else None
    )
    return float(said.split()[0]), variables["W"].tolist(), None if recipe is None else recipe.tolist()


def _minimum_of(lines):
    variables, said = _ran(lines)
    assert said
    return float(variables["solved"].loss.min())
