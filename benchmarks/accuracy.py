"""How exact `losses.Population` is, as two tables of worst differences from `tests/reference.py`.

The first: uniform values, independent features, by the number of features and density. `value` is the
relative difference from the reference (sums over supports up to 5 features, else convolution on a grid,
of one output there, itself good to about 1e-10, and 1e-8 for hundreds of features); `stated` the
error that `with_error` states; `gradient` and `curvature` the differences of the slope and of the second
derivative along a random direction from central differences of the value and the slope, which
are themselves good to about 1e-8.

The second: the worst relative difference from the reference over densities, for every law of values,
of sets and target, and 4 and 10 features.

    python benchmarks/accuracy.py
"""

import sys
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from reference import World, by_convolution, by_supports

from superpose.features import Anticorrelated, Correlated, Independent
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.values import Binary, Exponential, Gaussian, Uniform, double

SIZES = {2: 1, 3: 2, 5: 2, 10: 3, 20: 5, 100: 20, 400: 40}
DENSITIES = (1.0, 0.3, 0.1, 0.01, 0.001)
VALUES = {
    ("uniform", 0.0, 1.0): Uniform(),
    ("uniform", -0.5, 1.0): Uniform(-0.5, 1.0),
    ("binary",): Binary(),
    ("exponential", 0.7): Exponential(0.7),
    ("gaussian", 0.8): Gaussian(0.8),
}


def random_model(n, m, scale, random):
    model = ReluOutput.init(n, m, key=jax.random.key(0))
    W, b = scale * random.normal(size=(m, n)), 0.3 * random.normal(size=n)
    return eqx.tree_at(lambda model: (model.W, model.b), model, (double(W), double(b)))


def reference(model, features, law, target="x"):
    W, b = np.asarray(model.W), np.asarray(model.b)
    together = not isinstance(features, Anticorrelated)
    f = {"x": lambda x: x, "abs": np.abs}[target]
    world = World(np.asarray(features.set_density), features.sizes, together, law, f)
    few = law[0] in ("binary", "gaussian") or (law[0] == "uniform" and len(b) <= 5)
    by = by_supports if few else partial(by_convolution, knots=2 ** (16 if len(b) <= 100 else 15))
    return by(W.T @ W, b, np.asarray(features.importance), world)


def importance_of(n, random):
    """All outputs where the reference is quick; else one."""
    return random.uniform(0.1, 1, n) * ((n <= 5) | (np.arange(n) == 0))


@jax.jit
def slopes(model, features, along, steps):
    """Value, slope and curvature along a direction, at each step."""

    def at(step):
        moved = jax.tree.map(lambda leaf, d: leaf + step * d, model, along)
        value, slope = jax.value_and_grad(lambda m: Population(features)(m))(moved)
        return value, slope

    def both(step):
        (value, slope), (_, curved) = jax.jvp(at, (step,), (jnp.ones_like(step),))
        dot = [
            sum((a * d).sum() for a, d in zip(jax.tree.leaves(t), jax.tree.leaves(along), strict=True))
            for t in (slope, curved)
        ]
        size = sum((a**2).sum() for a in jax.tree.leaves(slope)) ** 0.5
        return value, *dot, size

    return jax.lax.map(both, steps)


def derivative_errors(model, features, random, step=1e-4):
    along = jax.tree.map(lambda leaf: double(random.normal(size=leaf.shape)), model)
    size = np.sqrt(sum(float((a**2).sum()) for a in jax.tree.leaves(along)))
    along = jax.tree.map(lambda leaf: leaf / double(size), along)
    value, slope, curve, norm = map(
        np.asarray, slopes(model, features, along, double(step * np.arange(-2, 3)))
    )
    central = np.array([1, -8, 0, 8, -1]) / (12 * step)
    return abs(central @ value - slope[2]) / norm[2], abs(central @ slope - curve[2]) / abs(curve[2])


def main() -> None:
    random, law = np.random.default_rng(0), ("uniform", 0.0, 1.0)
    print(f"{'features':>8} {'density':>8} {'value':>9} {'stated':>9} {'gradient':>9} {'curvature':>9}")
    for n, m in SIZES.items():
        for density in DENSITIES:
            worst = np.zeros(2)
            for scale in (0.2, 0.5, 1.0)[: 3 if n <= 20 else 1]:
                features = Independent(density, importance_of(n, random))
                model = random_model(n, m, scale * min(1, (2 / m) ** 0.5), random)
                exact, stated = map(float, Population(features).with_error(model))
                actual = abs(exact / reference(model, features, law) - 1)
                worst = np.maximum(worst, [actual, stated / exact])
            derivatives = np.full(2, np.nan)
            if n <= 100:
                features = Independent(density, random.uniform(0.1, 1, n))
                model = random_model(n, m, 0.5 * min(1, (2 / m) ** 0.5), random)
                derivatives = derivative_errors(model, features, random)
            numbers = " ".join(f"{error:>9.1e}" for error in (*worst, *derivatives))
            print(f"{n:>8} {density:>8g} {numbers}", flush=True)
        jax.clear_caches()

    print(f"\n{'values':>20} {'sets':>15} {'target':>7} {'4':>9} {'stated':>9} {'10':>9} {'stated':>9}")
    for law, value in VALUES.items():
        for sets in ("independent", "correlated", "anticorrelated"):
            for target in ("x", "abs"):
                columns = []
                for n, sizes in ((4, (2, 1, 1)), (10, (3, 2, 2, 1, 1, 1))):
                    worst = np.zeros(2)
                    for density in DENSITIES:
                        importance = random.uniform(0.1, 1, n) * ((n == 4) | (np.arange(n) == 0))
                        if sets == "independent":
                            features = Independent(density, importance, value)
                        else:
                            law_of_sets = {"correlated": Correlated, "anticorrelated": Anticorrelated}[sets]
                            features = law_of_sets(density, sizes, importance, value)
                        model = random_model(n, 2, 0.5, random)
                        exact, stated = map(float, Population(features, target).with_error(model))
                        actual = abs(exact / reference(model, features, law, target) - 1)
                        worst = np.maximum(worst, [actual, stated / exact])
                    columns += [*worst]
                name = " ".join(str(part) for part in law)
                numbers = " ".join(f"{error:>9.1e}" for error in columns)
                print(f"{name:>20} {sets:>15} {target:>7} {numbers}", flush=True)
        jax.clear_caches()


if __name__ == "__main__":
    main()
