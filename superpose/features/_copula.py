"""Activity that is correlated between 0 and 1: by a Gaussian copula of low rank."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc, ndtri
from jaxtyping import Array, Bool, Float

from superpose import draws
from superpose.draws import AnyKey, one_key, stream
from superpose.features._arguments import length, n_samples, probability, value_law, weights
from superpose.features._law import Law
from superpose.inputs import ArrayLike, array, check_each, number, whole
from superpose.jit import program
from superpose.values import Uniform, double


class Copula(Law):
    """Features whose being active is correlated, each with a density of its own.

    Feature `i` is active where a standard normal number `g_i` is among its lowest share `density[i]`, and

        `g_i = loadings_i . u + sqrt(1 - |loadings_i|^2) e_i`,

    with standard normal `u`, one number for each column of `loadings`, and `e`, one for each feature: `g_i` and `g_j` have the
    correlation `loadings_i . loadings_j`. The correlation of being active, `correlations`, is nearer to 0; 0 and, between equal
    densities, 1 stay as they are. Values, of the law `value`, are independent of all this; `importance` is one number, or one
    for each feature. `random_loadings` and `equal_loadings` make loadings.

    Exact losses are not known for it. Raises ValueError as `Independent` does, and for a row of loadings longer than 1.

    Chanin and Garriga-Alonso (2026), "SynthSAEBench".

    >>> always_together = Copula(0.5, equal_loadings(2, 1.0))
    >>> x = always_together.sample(key=0, n=100) > 0
    >>> bool((x[:, 0] == x[:, 1]).all())
    True
    """

    density: Float[Array, " feature"]
    loadings: Float[Array, "feature factor"]
    importance: Float[Array, " feature"]
    value: Any

    inexact = "z is not a sum of independent parts where all features are correlated"
    """Why exact losses are not known."""

    def __init__(
        self,
        density: ArrayLike,
        loadings: ArrayLike,
        importance: ArrayLike = 1.0,
        value: Any = Uniform(),
    ):
        loadings = array(loadings, "loadings", "feature", "factor")
        density, importance = array(density, "density"), array(importance, "importance")
        n = length(len(loadings), density=density, importance=importance)
        self.density = probability(density, n)
        self.loadings = checked_loadings(loadings, n)
        self.importance = weights(importance, n)
        self.value = value_law(value)

    @property
    def joint_density(self) -> Float[Array, "feature other"]:
        """The chance that two features are active together; on the diagonal, the density."""
        return both_low(self.density, self.loadings)

    def sample(self, key: AnyKey, n: int) -> Float[Array, "sample feature"]:
        """`n` samples, the same for the same `key`."""
        return _drawn(self, one_key(key), n_samples(n))


@program
def _drawn(law, key, n):
    values = law.value.quantile(draws.uniform(stream(key, "values"), (law.n_features, n)))
    return jnp.where(low(key, law.density, law.loadings, n), values, 0.0).T


def random_loadings(
    n_features: int, rank: int, scale: float, *, key: AnyKey
) -> Float[Array, "feature factor"]:
    """Loadings of a `Copula`, normal with the standard deviation `scale`: rows are cut to a length of 1.

    Two features then have normal numbers with a correlation of about `scale^2 sqrt(rank)` in size, of either sign.
    Raises ValueError for fewer than one feature or column (`rank`), and a negative scale.

    >>> random_loadings(5, rank=2, scale=0.1, key=0).shape
    (5, 2)
    """
    if whole(n_features, "n_features") < 1 or whole(rank, "rank") < 1:
        raise ValueError(f"n_features and rank must be at least 1, got {n_features} and {rank}")
    if not 0 <= number(scale, "scale") < math.inf:
        raise ValueError(f"scale must be 0 or more, got {scale}")
    drawn = number(scale, "scale") * draws.normal(stream(key, "loadings"), (int(n_features), int(rank)))
    return drawn / jnp.maximum(jnp.linalg.norm(drawn, axis=1, keepdims=True), 1.0)


def equal_loadings(n_features: int, correlation: float) -> Float[np.ndarray, "feature factor"]:
    """Loadings of a `Copula` with one correlation, within [0, 1], between the normal numbers of all features.

    Raises ValueError for any other correlation, and fewer than one feature.

    >>> equal_loadings(2, 0.25).tolist()
    [[0.5], [0.5]]
    """
    if whole(n_features, "n_features") < 1:
        raise ValueError(f"n_features must be at least 1, got {n_features}")
    if not 0 <= number(correlation, "correlation") <= 1:
        raise ValueError(f"correlation must be within [0, 1], got {correlation}")
    return np.full((int(n_features), 1), math.sqrt(number(correlation, "correlation")))


def checked_loadings(loadings, n, unit="feature") -> Float[Array, "feature factor"]:
    """Loadings in float64: raises ValueError unless there are `n` rows, none of them longer than 1."""
    loadings = array(loadings, "loadings", unit, "factor")
    if len(loadings) != n:
        raise ValueError(f"loadings must have {n} rows, one for each {unit}, got {len(loadings)}")
    if not isinstance(loadings, jax.core.Tracer):
        square = (np.asarray(loadings, np.float64) ** 2).sum(axis=1)
        check_each(
            square,
            lambda s: s <= 1 + 1e-6,
            "loadings must have rows with a sum of squares of at most 1",
            unit,
        )
    return double(loadings)


def low(key, density, loadings, n) -> Bool[Array, "feature sample"]:
    """Whether each normal number is among its lowest share `density`."""
    common, own = loadings.astype(jnp.float32), jnp.sqrt(jnp.maximum(1 - (loadings**2).sum(axis=1), 0.0))
    g = common @ draws.normal(stream(key, "common"), (common.shape[1], n))
    g = g + own.astype(jnp.float32)[:, None] * draws.normal(stream(key, "own"), (len(density), n))
    return g <= ndtri(density).astype(jnp.float32)[:, None]


@program
def both_low(density, loadings) -> Float[Array, "feature other"]:
    """The chance that two normal numbers are among their lowest shares.

    Its slope by the correlation `sin(t)` is the normal density at the two bounds a and b (Plackett 1954), so

        `P = p_a p_b + 1 / (2 pi) int_0^u exp(-(a^2 + b^2 - 2 a b sin t) / (2 cos^2 t)) dt`, with `sin u` the correlation.
    """
    bound = _bound(density)
    a, b = bound[:, None], bound[None]
    angle = jnp.arcsin(jnp.clip(loadings @ loadings.T, -1.0, 1.0))
    node, weight = np.polynomial.legendre.leggauss(64)

    def more(total, at):
        node, weight = at
        sin, cos = jnp.sin(node * angle), jnp.cos(node * angle)
        height = (a**2 + b**2 - 2 * a * b * sin) / (2 * jnp.maximum(cos**2, 1e-300))
        return total + weight * jnp.exp(-height), None

    nodes = double((node + 1) / 2), double(weight / 2)
    mean, _ = jax.lax.scan(more, jnp.zeros_like(angle), nodes)
    joint = jnp.outer(density, density) + angle * mean / (2 * math.pi)
    return jnp.where(jnp.eye(len(density), dtype=bool), density[:, None], joint)


def _bound(share):
    """The number below which a share of a normal law lies, finite: JAX's is good to 1e-8 only, one step before the last."""
    near = jnp.clip(ndtri(share), -38.0, 38.0)
    slope = jnp.exp(-(near**2) / 2) / math.sqrt(2 * math.pi)
    return near - (erfc(-near / math.sqrt(2)) / 2 - share) / slope
