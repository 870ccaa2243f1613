"""Exact losses of many features: seconds of a value and gradient, against another checkout and the machine's limit.

Each size is the loss of one model of `n` uniform features in `n / 5` dimensions, and its gradient, in a process of
its own; checkouts take turns. The share is of the arithmetic that the program does, counted from its jaxpr,
a number for each element, against what the same machine does where it evaluates polynomials, which needs no
memory, and in a product of large matrices, whose products and sums are one instruction.

    python benchmarks/series.py [--against CHECKOUT] [--turns 3] [N ...]
"""

import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from apart import alone

from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput

SIZES = (20, 50, 100, 200, 400, 1000)
# A division counts once, as a product does; comparisons, choices and what moves numbers do not.
COUNTED = {"add", "add_any", "sub", "mul", "div", "neg", "integer_pow", "sqrt", "square", "exp", "log", "log1p", "expm1",
           "round", "reduce_sum", "cumsum", "tanh", "sin", "cos", "pow"}  # fmt: skip


def arithmetic(jaxpr) -> int:
    """Of a jaxpr: operations with real numbers, those of a loop as often as it goes round."""
    total = 0
    for eqn in jaxpr.eqns:
        times = eqn.params.get("length", 1) if eqn.primitive.name == "scan" else 1
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    total += times * arithmetic(inner)
        if eqn.primitive.name in COUNTED:
            shapes = [getattr(v.aval, "shape", ()) for v in (*eqn.invars, *eqn.outvars)]
            size = max(math.prod(shape) for shape in shapes)
            kind = eqn.outvars[0].aval.dtype
            if jnp.issubdtype(kind, jnp.inexact):
                each = {"mul": 6, "div": 11}.get(eqn.primitive.name, 2) if kind.kind == "c" else 1
                total += each * size
        elif eqn.primitive.name == "dot_general":
            (over, _), _ = eqn.params["dimension_numbers"]
            deep = math.prod(eqn.invars[0].aval.shape[axis] for axis in over)
            total += 2 * deep * math.prod(eqn.outvars[0].aval.shape)
    return total


def median(work, least=3, enough=4.0):
    jax.block_until_ready(work())
    taken, began = [], time.perf_counter()
    while len(taken) < least or (time.perf_counter() - began < enough and len(taken) < 200):
        start = time.perf_counter()
        jax.block_until_ready(work())
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def measured(n):
    """Seconds, operations, and the value, of one size in this process."""
    model = ReluOutput.init(n, max(1, n // 5), key=jax.random.key(0))
    with jax.enable_x64(True):
        model = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), model)
        loss = Population(Independent(0.1, n_features=n))
        both = jax.value_and_grad(lambda model: loss(model))
        count = arithmetic(jax.make_jaxpr(both)(model).jaxpr)
        run = jax.jit(both)
        return median(lambda: run(model), 1 if n > 400 else 3), count, float(run(model)[0])


def limits():
    """Operations a second: of polynomials, several at once so that none waits for its last term; of matrices."""
    with jax.enable_x64(True):
        x = jnp.linspace(0.0, 0.5, 2**20, dtype=jnp.float64)
        terms, many = 32, 8

        def polynomials(x):
            sums = [x * (1 + k) for k in range(many)]
            for term in range(terms):
                sums = [a * x + 1 / (1 + term + k) for k, a in enumerate(sums)]
            return sum(sums)

        run = jax.jit(polynomials)
        long = 2 * terms * many * x.size / median(lambda: run(x), enough=2.0)
        A = jnp.ones((2000, 2000), jnp.float64)
        product = jax.jit(lambda A: A @ A)
        return long, 2 * len(A) ** 3 / median(lambda: product(A), enough=2.0)


def main():
    if sys.argv[1:2] == ["measured"]:
        return print(json.dumps(measured(int(sys.argv[2]))))
    if sys.argv[1:2] == ["limits"]:
        return print(json.dumps(limits()))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    long, product = alone(__file__, "limits")
    print("## Exact losses of many features\n")
    print(
        f"The machine does {long / 1e9:.1f} G operations a second in polynomials, {product / 1e9:.1f} in a product of matrices.\n"
    )
    print(
        "| features | before, ms | now, ms | ratio | difference | operations, G | G a second | share of polynomials', of a product's |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for n in asked.sizes:
        before, now = [], []
        for _ in range(asked.turns if n <= 400 else 1):
            now.append(alone(__file__, "measured", n))
            if asked.against:
                before.append(alone(__file__, "measured", n, checkout=asked.against.resolve()))
        seconds, (_, count, value) = statistics.median(turn[0] for turn in now), now[0]
        told, ratio, apart = "", "", ""
        if before:
            then = statistics.median(turn[0] for turn in before)
            told, ratio = f"{1e3 * then:.3g}", f"{then / seconds:.2f}"
            apart = f"{abs(before[0][2] / value - 1):.0e}"
        rate = count / seconds
        print(
            f"| {n:,} | {told} | {1e3 * seconds:.3g} | {ratio} | {apart} | {count / 1e9:.2g} | {rate / 1e9:.2g} | {rate / long:.0%}, {rate / product:.0%} |",
            flush=True,
        )
    return None


if __name__ == "__main__":
    main()
