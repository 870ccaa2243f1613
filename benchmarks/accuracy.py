"""How exact `losses.Population` is: worst differences from independent references, as a table.

For each number of features and density, over random weights, biases and importances: the relative
difference from the reference in `tests/reference.py` (enumeration of supports with quadrature up
to 5 features, convolution on a grid beyond, of one output there, itself good to about 1e-7), for
float64 and float32 weights; from sampling, in standard errors; and of the gradient from central
differences, relative to its largest entry.

    python benchmarks/accuracy.py
"""

import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from reference import by_convolution, by_enumeration

from superpose.features import Independent
from superpose.losses import Population, Sampled
from superpose.models import ReluOutput

SIZES = {2: 1, 3: 2, 5: 2, 20: 5, 100: 20}
DENSITIES = (1.0, 0.3, 0.1, 0.01, 0.001)


def random_model(n, m, scale, random, dtype):
    W = (scale * random.normal(size=(m, n))).astype(dtype)
    b = (0.3 * random.normal(size=n)).astype(dtype)
    model = ReluOutput.init(n, m, key=jax.random.key(0))
    return eqx.tree_at(lambda model: (model.W, model.b), model, (W, b))


def reference(model, density, importance):
    W, b = np.asarray(model.W, np.float64), np.asarray(model.b, np.float64)
    by = by_enumeration if len(b) <= 5 else by_convolution
    return by(W.T @ W, b, np.full(len(b), density), importance)


def gradient_error(model, loss) -> float:
    gradient = np.asarray(jax.jit(jax.grad(lambda W: loss(eqx.tree_at(lambda m: m.W, model, W))))(model.W))
    random, step = np.random.default_rng(1), 1e-5
    worst = 0.0
    for _ in range(5):
        at = tuple(random.integers(size) for size in model.W.shape)
        moved = []
        for sign in (1, -1):
            W = np.array(model.W)
            W[at] += sign * step
            moved.append(float(loss(eqx.tree_at(lambda m: m.W, model, W))))
        worst = max(worst, abs((moved[0] - moved[1]) / (2 * step) - gradient[at]))
    return worst / np.abs(gradient).max()


def main() -> None:
    print(
        f"{'features':>8} {'density':>8} {'float64':>9} {'float32':>9} {'sampled (s.e.)':>15} {'gradient':>9}"
    )
    random = np.random.default_rng(0)
    for n, m in SIZES.items():
        for density in DENSITIES:
            worst = dict.fromkeys((np.float64, np.float32), 0.0)
            for scale in (0.2, 0.5, 1.0):
                importance = random.uniform(0.1, 1, n) * ((n <= 5) | (np.arange(n) == 0))
                for dtype in worst:
                    model = random_model(n, m, scale * min(1, (2 / m) ** 0.5), random, dtype)
                    exact = float(Population(Independent(density, importance))(model))
                    truth = reference(model, density, importance)
                    worst[dtype] = max(worst[dtype], abs(exact / truth - 1))
            world = Independent(density, random.uniform(0.1, 1, n))
            model = random_model(n, m, 0.5 * min(1, (2 / m) ** 0.5), random, np.float64)
            keys = jax.random.split(jax.random.key(1), 100)
            draws = np.asarray(jax.lax.map(lambda key, w=world, m=model: Sampled(w, 10_000)(m, key), keys))
            z = (draws.mean() - float(Population(world)(model))) / (draws.std(ddof=1) / 10)
            slope = gradient_error(model, Population(world))
            print(
                f"{n:>8} {density:>8g} {worst[np.float64]:>9.1e} {worst[np.float32]:>9.1e} {z:>15.1f} {slope:>9.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
