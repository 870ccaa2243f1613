"""The values of an active feature: how to draw them, and how to integrate over them.

Each law has `quantile(v)`, which makes draws from uniform `v`; `mean` and `square`, its first two
moments; `phase(angle, k)`, its characteristic function; `cumulant(s)`, the logarithm of its moment
generating function; `bounds`; and `halves`, the law as a mixture of laws of positive values. The
integrals are in float64.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from jaxtyping import Array, Float

__all__ = ["Binary", "Exponential", "Gaussian", "Uniform"]

# Exact losses need float64 where it is asked for by name, and nowhere else. This option grants
# exactly that; the defaults of a program that imports superpose stay as they were.
jax.config.update("jax_explicit_x64_dtypes", "allow")

Complex = tuple[Float[Array, "..."], Float[Array, "..."]]
"""Real and imaginary part: JAX's complex numbers of double precision need x64 mode."""


class Uniform(eqx.Module):
    """An active feature is uniform on `[low, high]`. The paper's law is `Uniform()`.

    >>> Uniform(-1, 1).quantile(jnp.array([0.25, 0.5])).tolist()
    [-0.5, 0.0]
    """

    low: float = eqx.field(static=True, default=0.0, converter=float)
    high: float = eqx.field(static=True, default=1.0, converter=float)

    def __check_init__(self):
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"Uniform needs low < high, got low={self.low}, high={self.high}")

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.low + (self.high - self.low) * v

    @property
    def bounds(self):
        return self.low, self.high

    @property
    def mean(self):
        return (self.low + self.high) / 2

    @property
    def square(self):
        return (self.low**2 + self.low * self.high + self.high**2) / 3

    @property
    def halves(self):
        low, high = self.low, self.high
        if low >= 0:
            return ((1.0, 1, self),)
        if high <= 0:
            return ((1.0, -1, Uniform(-high, -low)),)
        return (high / (high - low), 1, Uniform(0, high)), (-low / (high - low), -1, Uniform(0, -low))

    def phase(self, angle, k):
        # exp(i t mean) sin(y) / y, with y = t (high - low) / 2
        half = (self.high - self.low) / 2
        cos, sin = phases(half * angle, k)
        y = half * angle[..., None] * k
        near = jnp.abs(y) < 0.03
        far, small = jnp.where(near, 1.0, y), jnp.where(near, y**2, 0.0)
        sinc = jnp.where(near, 1 - small / 6 * (1 - small / 20 * (1 - small / 42)), sin / far)
        if self.low == -self.high:
            return sinc, jnp.zeros_like(sinc)
        if self.low != 0:
            cos, sin = phases(self.mean * angle, k)
        return cos * sinc, sin * sinc

    def cumulant(self, s):
        y = jnp.abs(s) * (self.high - self.low) / 2
        near = y < 1e-4
        safe = jnp.where(near, 1.0, y)
        return self.mean * s + jnp.where(near, y**2 / 6, safe + jnp.log(-jnp.expm1(-2 * safe) / (2 * safe)))


class Binary(eqx.Module):
    """An active feature is 1."""

    bounds = (1.0, 1.0)
    mean = 1.0
    square = 1.0

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.ones_like(v)

    @property
    def halves(self):
        return ((1.0, 1, self),)

    def phase(self, angle, k):
        return phases(angle, k)

    def cumulant(self, s):
        return s


class Exponential(eqx.Module):
    """An active feature is exponential with mean `scale`."""

    scale: float = eqx.field(static=True, default=1.0, converter=float)

    bounds = (0.0, math.inf)

    def __check_init__(self):
        if not 0 < self.scale < math.inf:
            raise ValueError(f"Exponential needs a positive scale, got {self.scale}")

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        # v and 1 - v have the same law, and v is never 0.
        return -self.scale * jnp.log(v)

    @property
    def mean(self):
        return self.scale

    @property
    def square(self):
        return 2 * self.scale**2

    @property
    def halves(self):
        return ((1.0, 1, self),)

    def phase(self, angle, k):
        t = self.scale * angle[..., None] * k
        real = 1 / (1 + t**2)
        return real, t * real

    def cumulant(self, s):
        return jnp.where(self.scale * s < 1, -jnp.log1p(-jnp.minimum(self.scale * s, 0.999)), jnp.inf)

    def beyond(self, level):
        """`E[max(x - level, 0)^2]` for a level of at least 0."""
        return self.square * jnp.exp(-level / self.scale)


class Gaussian(eqx.Module):
    """An active feature is normal with mean 0 and standard deviation `scale`."""

    scale: float = eqx.field(static=True, default=1.0, converter=float)

    bounds = (-math.inf, math.inf)
    mean = 0.0

    def __check_init__(self):
        if not 0 < self.scale < math.inf:
            raise ValueError(f"Gaussian needs a positive scale, got {self.scale}")

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        # v can round to 1 at high density; the largest float below 1 is 5.4 standard deviations out.
        return self.scale * jax.scipy.special.ndtri(jnp.minimum(v, 1 - 2.0**-24))

    @property
    def square(self):
        return self.scale**2

    @property
    def halves(self):
        return (0.5, 1, HalfGaussian(self.scale)), (0.5, -1, HalfGaussian(self.scale))

    def phase(self, angle, k):
        real = jnp.exp(-((self.scale * angle[..., None] * k) ** 2) / 2)
        return real, jnp.zeros_like(real)

    def cumulant(self, s):
        return (self.scale * s) ** 2 / 2


class HalfGaussian(eqx.Module):
    """The magnitude of a `Gaussian`: only for integrals over it."""

    scale: float = eqx.field(static=True, converter=float)

    @property
    def mean(self):
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def square(self):
        return self.scale**2

    def phase(self, angle, k):
        t = self.scale * angle[..., None] * k
        return jnp.exp(-(t**2) / 2), 2 / math.sqrt(math.pi) * _dawson(t / math.sqrt(2))

    def beyond(self, level):
        """`E[max(x - level, 0)^2]` for a level of at least 0."""
        t = level / self.scale
        tail = (1 + t**2) * erfc(t / math.sqrt(2)) - math.sqrt(2 / math.pi) * t * jnp.exp(-(t**2) / 2)
        return self.square * tail


Value = Uniform | Binary | Exponential | Gaussian


@jax.custom_jvp
def phases(angle: Float[Array, "..."], k) -> Complex:
    """`(cos(k angle), sin(k angle))` along a new last axis, for k = 1, 3, 5, ...

    By doubling, which is cheaper than as many cosines.
    """
    cos, sin = jnp.cos(angle)[..., None], jnp.sin(angle)[..., None]
    step = times((cos, sin), (cos, sin))
    while cos.shape[-1] < len(k):
        ahead = times((cos, sin), step)
        cos, sin = (jnp.concatenate(pair, axis=-1) for pair in zip((cos, sin), ahead, strict=True))
        step = times(step, step)
    return cos[..., : len(k)], sin[..., : len(k)]


@phases.defjvp
def _phases_jvp(primals, tangents):
    (angle, k), (turn, _) = primals, tangents
    cos, sin = phases(angle, k)
    dt = turn[..., None] * k
    return (cos, sin), (-sin * dt, cos * dt)


def double(numbers) -> Float[Array, "..."]:
    """Python's and NumPy's numbers as they are: JAX would round them to float32 first."""
    return jnp.asarray(
        numbers if isinstance(numbers, jax.Array) else np.asarray(numbers, np.float64), jnp.float64
    )


def times(a: Complex, b: Complex) -> Complex:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


@jax.custom_jvp
def _dawson(x):
    """Dawson's integral `exp(-x^2) int_0^x exp(t^2) dt`.

    A sum of Gaussians at odd multiples of h, exact to exp(-(pi / 2h)^2): Rybicki (1989),
    Computers in Physics 3, 85.
    """
    h = 0.25
    center = 2 * jnp.round(x / (2 * h))
    odd = np.arange(-27, 28, 2)
    place = center[..., None] + odd
    return (jnp.exp(-((x[..., None] - place * h) ** 2)) / place).sum(-1) / math.sqrt(math.pi)


@_dawson.defjvp
def _dawson_jvp(primals, tangents):
    ((x,), (dx,)) = primals, tangents
    value = _dawson(x)
    return value, (1 - 2 * x * value) * dx
