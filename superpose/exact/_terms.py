"""What is shared by errors over sets and over trees of features."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jax.lax import stop_gradient

from superpose.values import double, outer


class Supports(NamedTuple):
    """Supports, those with most active features first."""

    features: np.ndarray  # (support, active feature), padded with the number of features
    active: np.ndarray  # how many features are active


def parts(world):
    """The law of a feature as `(share, sign, law)`: for y of that law, x is `sign y`, the target y."""
    return world.value.halves if world.target == "abs" else ((1.0, 1, world.value),)


def by_law(world):
    """The parts grouped by law, `(shares, signs, law)`: those of one law share one program."""
    laws = dict.fromkeys(law for _, _, law in parts(world))
    return [
        (*map(double, zip(*[part[:2] for part in parts(world) if part[2] == law], strict=True)), law)
        for law in laws
    ]


def target_moments(world):
    """`E[t x]` and `E[t]` of an active feature."""
    t_x = sum(share * sign * double(law.square) for share, sign, law in parts(world))
    return t_x, sum(share * double(law.mean) for share, _, law in parts(world))


def harmonic(law, gains, points):
    """`E[exp(s g x)]` for each gain g, at the points s = i angle k."""
    angle, k = points
    return law.characteristic(angle * gains, k)


def along(law, gains, points):
    """`E[exp(s g x)]` for each gain g, at points s of the complex plane."""
    s = outer(gains, points)
    return law.generating((s.real, s.imag))


def summed(transform, world, i, points, s, weights, gains, c, few=None, few_c=0.0):
    """`Re sum_s (a M(s) + b M_t(s))` with the two `weights`, `M = E[exp(s z)]` and `M_t = E[t exp(s z)]`.

    With `few`, the supports that the world takes out of the series, their part is subtracted, and `few_c` takes the
    place of c there. Slopes are by gains, c and chances; all else is constant.
    """
    constant = stop_gradient((i, points, s, weights, few))
    few_c = few_c + jnp.zeros_like(c)
    return _series(transform, world._replace(chance=None), *constant, gains, c, few_c, world.chance)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _series(transform, world, i, points, s, weights, few, gains, c, few_c, chance):
    return world.with_slopes(False, transform, i, points, s, weights, few, gains, c, few_c, chance)[0]


@partial(_series.defjvp, symbolic_zeros=True)
def _series_jvp(transform, world, primals, tangents):
    changes = tangents[-4:]
    by_chance = not isinstance(changes[-1], SymbolicZero)
    value, slopes = world.with_slopes(by_chance, transform, *primals)
    pairs = zip(slopes, changes, strict=True)
    change = sum((slope * change).sum() for slope, change in pairs if not isinstance(change, SymbolicZero))
    return value, change


def two_slopes(f, x):
    """A function's value, slope and curvature, as complex numbers."""
    one = jnp.ones_like(x)
    (at, slope), (_, curve) = jax.jvp(lambda x: jax.jvp(f, (x,), (one,)), (x,), (one,))
    return tuple(lax.complex(*pair) for pair in (at, slope, curve))


def apart_from_zero(a):
    """`a`, but never 0, so that one factor of a product can be divided out of it."""
    tiny = a.real**2 + a.imag**2 < double(1e-100)
    return jnp.where(tiny, double(1e-50).astype(a.dtype), a)


def divided(a, b):
    """`a / b`, without JAX's precautions against overflow."""
    return a * (b.conj() / (b.real**2 + b.imag**2))
