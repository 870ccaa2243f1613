"""What the first exact loss of a size costs: seconds of tracing and compiling, lines of HLO, and a run.

Each case is the loss and its gradient, for 64 models side by side as `minimize` takes them (one, for
100 features), in a process of its own with nothing compiled before; then, in another, the first `minimize` of 8
models and a second one. Times are of the clock, those of a run medians of milliseconds a model; of
CPU in parentheses.

    python benchmarks/compiling.py [CASE ...]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from apart import HERE, alone

from superpose.features import Anticorrelated, Correlated, Independent
from superpose.losses import Active, Population
from superpose.models import ReluOutput
from superpose.train import ensemble, minimize
from superpose.values import Binary, Exponential, Gaussian, Uniform


def independent(n, m, value=Uniform(), activation=None, **settings):
    return (n, m, activation), Population(Independent(0.1, n_features=n, value=value), **settings)


CASES = {
    "2 in 1": lambda: independent(2, 1),
    "3 in 2": lambda: independent(3, 2),
    "5 in 2": lambda: independent(5, 2),
    "6 in 2": lambda: independent(6, 2),
    "8 in 3": lambda: independent(8, 3),
    "20 in 5": lambda: independent(20, 5),
    "100 in 20": lambda: independent(100, 20),
    "gaussian 5 in 2": lambda: independent(5, 2, Gaussian()),
    "exponential 5 in 2": lambda: independent(5, 2, Exponential()),
    "binary 5 in 2": lambda: independent(5, 2, Binary()),
    "binary 20 in 5": lambda: independent(20, 5, Binary()),
    "correlated (2, 2)": lambda: ((4, 2, None), Population(Correlated(0.1, (2, 2)))),
    "correlated (3, 3)": lambda: ((6, 2, None), Population(Correlated(0.1, (3, 3)))),
    "correlated (3, 3, 3, 3)": lambda: ((12, 4, None), Population(Correlated(0.1, (3, 3, 3, 3)))),
    "anticorrelated (2, 2)": lambda: ((4, 2, None), Population(Anticorrelated(0.1, (2, 2)))),
    "anticorrelated (3, 3)": lambda: ((6, 2, None), Population(Anticorrelated(0.1, (3, 3)))),
    "abs 5 in 4": lambda: independent(5, 4, Uniform(-1, 1), target="abs"),
    "abs gaussian 5 in 4": lambda: independent(5, 4, Gaussian(), target="abs"),
    "sigmoid 5 in 2": lambda: independent(5, 2, activation="sigmoid"),
    "sigmoid 20 in 5": lambda: independent(20, 5, activation="sigmoid"),
    "3 of 5 active": lambda: ((5, 2, None), Active(Independent(0.1, n_features=5), 3)),
}


def clocked(work):
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def networks(case, members):
    (n, m, activation), loss = CASES[case]()
    return loss, ensemble(
        lambda key: ReluOutput.init(n, m, activation=activation, key=key),
        members=members, key=jax.random.key(0),
    )  # fmt: skip


def measured(case):
    """Of one case, in this process."""
    members = 1 if case.startswith("100 ") else 64
    loss, models = networks(case, members)
    models = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), models)
    both = jax.jit(jax.vmap(jax.value_and_grad(lambda model: loss(model))))
    lowered, *trace = clocked(lambda: both.lower(models))
    run, *build = clocked(lambda: lowered.compile())
    jax.block_until_ready(run(models))
    taken, began = [], time.perf_counter()
    while len(taken) < 5 or (time.perf_counter() - began < 2 and len(taken) < 100):
        taken.append(clocked(lambda: jax.block_until_ready(run(models)))[1:])
    medians = (1e3 * statistics.median(column) / members for column in zip(*taken, strict=True))
    return lowered.as_text().count("\n"), *trace, *build, *medians


def runs(case):
    """Milliseconds of CPU and clock that each evaluation of `minimize` takes, of 128 models, once it is compiled."""
    loss, models = networks(case, 128)
    few = models.W.shape[-1] < 10 and not case.startswith("abs gaussian")

    def work():
        return minimize(models, loss, evaluations=1000 if few else 20, progress=False)

    work()
    taken = []
    for _ in range(3):
        solved, *pair = clocked(work)
        taken.append([1e3 * seconds / solved.evaluations.sum() for seconds in pair])
    return [float(statistics.median(column)) for column in zip(*taken, strict=True)]


def first(case):
    """Seconds of the first `minimize` of 8 models, and of a second one."""
    loss, models = networks(case, 8)
    (_, cpu, wall), (_, cpu_again, again) = (
        clocked(lambda: minimize(models, loss, progress=False)) for _ in range(2)
    )
    return cpu, wall, cpu_again, again


def by_turns(cases, other, turns):
    print("## An evaluation of `minimize`\n")
    print("| case | before, ms | now, ms | now / before, median of turns | range |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as cache:
        kept = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        for case in cases:
            pairs = [
                [alone(__file__, "runs", case, checkout=at, **kept)[1] for at in (other, HERE)]
                for _ in range(turns)
            ]
            before, now = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratios = sorted(b / a for a, b in pairs)
            told = f"{statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f}"
            print(f"| {case} | {before:.3g} | {now:.3g} | {told} |", flush=True)


def main():
    if sys.argv[1:2] in (["measured"], ["runs"], ["first"]):
        return print(json.dumps(globals()[sys.argv[1]](sys.argv[2])))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args()
    if asked.against:
        return by_turns(asked.cases, asked.against.resolve(), asked.turns)
    print("## Compiling exact losses\n")
    print("| case | lines | trace, s | compile, s | run, ms | first `minimize`, s | again, s |")
    print("|---|---|---|---|---|---|---|")
    for case in asked.cases:
        lines, *pairs = alone(__file__, "measured", case)
        pairs += alone(__file__, "first", case) if not case.startswith("100 ") else [float("nan")] * 4
        cells = (f"{wall:.3g} ({cpu:.3g})" for cpu, wall in zip(pairs[::2], pairs[1::2], strict=True))
        print(f"| {case} | {lines:,} | {' | '.join(cells)} |", flush=True)
    return None


if __name__ == "__main__":
    main()
