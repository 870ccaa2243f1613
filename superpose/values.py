"""The values of an active feature: how to draw them, and how to integrate over them.

A law is an `eqx.Module` whose parameters are static. `Sampled` needs

- `quantile(v)`, which makes draws from uniform `v`.

`Population` needs the integrals, in float64, which it takes from the law and from nowhere else:

- `mean` and `square`, the first two moments;
- `bounds`, the least and the largest value;
- `characteristic(angle, k)`, the characteristic function `E[exp(i k angle x)]` as real and imaginary part, with the
  numbers `k` along a new last axis;
- `cumulant(s)`, the logarithm of the moment generating function `E[exp(s x)]` at real `s`;
- `halves`, the law as a mixture of laws of positive values: `(share, sign, law)` each, where `law` has
  `mean`, `square` and `characteristic`. Needed for the target `|x|`.

A law may bring a closed form, with which losses are exact for few features and converge faster for many:

- `closed`, up to how many active features it holds (math.inf for any number), and
  `signed_square(c, gains, active, here, half)`, which is `E[z |z|] / 2` for `z = c + gains . x`, for each row of
  gains. In each row the gains after the first `active[row]` are 0, and `active` never rises from row to row.
  Where `here`, x is of the law `half` instead: the law itself or one of its halves; these have `closed` too.
- `corners`, the factor by which one more active feature multiplies the work of this (1 if left out);
- `generating(s)`, `E[exp(s x)]` at complex s as real and imaginary part, and `pole`, where it is a rational function
  with one pole: the position of that pole on the real axis.
"""

import math
from functools import reduce
from operator import add
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jax.scipy.special import erf, erfc
from jaxtyping import Array, Bool, Float, Int, Num

from superpose.inputs import ArrayLike, finite

# Exact losses need float64 where it is asked for by name, and nowhere else. This option grants
# exactly that; the defaults of a program that imports superpose stay as they were.
jax.config.update("jax_explicit_x64_dtypes", "allow")

Complex = tuple[Float[Array, "..."], Float[Array, "..."]]
"""Real and imaginary part: JAX's complex numbers of double precision need x64 mode."""

Halves = tuple[tuple[float, int, Any], ...]
"""A mixture of laws of positive values: `(share, sign, law)` each."""

MEMBERS = ("mean", "square", "bounds", "characteristic", "cumulant", "halves")
"""What exact losses need of a law of values."""


class Uniform(eqx.Module):
    """An active feature is uniform on `[low, high]`. The paper's law is `Uniform()`.

    Raises ValueError unless `low < high`, both finite.

    >>> Uniform(-1, 1).quantile(jnp.array([0.25, 0.5])).tolist()
    [-0.5, 0.0]
    """

    low: float = eqx.field(static=True, default=0.0, converter=float)
    high: float = eqx.field(static=True, default=1.0, converter=float)

    closed, corners = math.inf, 2

    def __check_init__(self):
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"Uniform needs low < high, got low={self.low}, high={self.high}")

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """The value below which a share `v` of the law lies: a draw, where `v` is uniform on (0, 1]."""
        return self.low + (self.high - self.low) * v

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value."""
        return self.low, self.high

    @property
    def mean(self) -> float:
        """`E[x]`."""
        return (self.low + self.high) / 2

    @property
    def square(self) -> float:
        """`E[x^2]`."""
        return (self.low**2 + self.low * self.high + self.high**2) / 3

    @property
    def halves(self) -> Halves:
        """The law as a mixture of laws of positive values: the `share` of each, its `sign`, and the law of `|x|` there."""
        low, high = self.low, self.high
        if low >= 0:
            return ((1.0, 1, self),)
        if high <= 0:
            return ((1.0, -1, Uniform(-high, -low)),)
        return (high / (high - low), 1, Uniform(0, high)), (-low / (high - low), -1, Uniform(0, -low))

    def characteristic(self, angle: Float[Array, "..."], k: Num[Array | np.ndarray, " k"]) -> Complex:
        """The characteristic function `E[exp(i k angle x)]`, its real and imaginary part, of shape `(*angle, k)`."""
        # exp(i t mean) sin(y) / y, with y = t (high - low) / 2
        half = (self.high - self.low) / 2
        cos, sin = cos_sin(half * angle, k)
        y = outer(half * angle, k)
        near = jnp.abs(y) < 0.03
        far, small = jnp.where(near, 1.0, y), jnp.where(near, y**2, 0.0)
        sinc = jnp.where(near, 1 - small / 6 * (1 - small / 20 * (1 - small / 42)), sin / far)
        if self.low == -self.high:
            return sinc, jnp.zeros_like(sinc)
        if self.low != 0:
            cos, sin = cos_sin(self.mean * angle, k)
        return cos * sinc, sin * sinc

    def cumulant(self, s: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logarithm of `E[exp(s x)]`, at real `s`; infinite where the expectation is."""
        y = jnp.abs(s) * (self.high - self.low) / 2
        near = y < 1e-4
        safe = jnp.where(near, 1.0, y)
        return self.mean * s + jnp.where(near, y**2 / 6, safe + jnp.log(-jnp.expm1(-2 * safe) / (2 * safe)))

    def signed_square(
        self,
        c: Float[Array, "..."],
        gains: Float[Array, "row gain"],
        active: Int[np.ndarray, " row"],
        here: Bool[Array | np.ndarray, "row gain"],
        half: Any,
    ) -> Float[Array, " row"]:
        """`E[z |z|] / 2` for `z = c + gains . x`, for each row of `gains`; x is of the law `half` where `here`."""
        low = jnp.where(here, double(half.low), double(self.low))
        width = jnp.where(here, double(half.high - half.low), double(self.high - self.low))
        return cube_mean(c + (gains * low).sum(-1), gains * width, active)


class Binary(eqx.Module):
    """An active feature is 1.

    >>> Binary().quantile(jnp.array([0.25, 0.5])).tolist()
    [1.0, 1.0]
    """

    bounds = (1.0, 1.0)
    mean = 1.0
    square = 1.0
    closed = math.inf

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """The value below which a share `v` of the law lies: a draw, where `v` is uniform on (0, 1]."""
        return jnp.ones_like(v)

    @property
    def halves(self) -> Halves:
        """The law as a mixture of laws of positive values: the `share` of each, its `sign`, and the law of `|x|` there."""
        return ((1.0, 1, self),)

    def characteristic(self, angle: Float[Array, "..."], k: Num[Array | np.ndarray, " k"]) -> Complex:
        """The characteristic function `E[exp(i k angle x)]`, its real and imaginary part, of shape `(*angle, k)`."""
        return cos_sin(angle, k)

    def cumulant(self, s: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logarithm of `E[exp(s x)]`, at real `s`; infinite where the expectation is."""
        return s

    def signed_square(
        self,
        c: Float[Array, "..."],
        gains: Float[Array, "row gain"],
        active: Int[np.ndarray, " row"],
        here: Bool[Array | np.ndarray, "row gain"],
        half: Any,
    ) -> Float[Array, " row"]:
        """`E[z |z|] / 2` for `z = c + gains . x`, for each row of `gains`; x is of the law `half` where `here`."""
        return signed_square(c + gains.sum(-1))

    def generating(self, s: Complex) -> Complex:
        """`E[exp(s x)]` at complex `s`, given and returned as real and imaginary part."""
        size, (cos, sin) = jnp.exp(s[0]), _turned(s[1])
        return size * cos, size * sin


class Exponential(eqx.Module):
    """An active feature is exponential with mean `scale`. Raises ValueError unless that is positive and finite.

    >>> Exponential(2.0).mean, Exponential(2.0).square
    (2.0, 8.0)
    """

    scale: float = eqx.field(static=True, default=1.0, converter=float)

    bounds = (0.0, math.inf)
    closed = 1

    def __check_init__(self):
        if not 0 < self.scale < math.inf:
            raise ValueError(f"Exponential needs a positive scale, got {self.scale}")

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """The value below which a share `v` of the law lies: a draw, where `v` is uniform on (0, 1]."""
        # v and 1 - v have the same law, and v is never 0.
        return -self.scale * jnp.log(v)

    @property
    def mean(self) -> float:
        """`E[x]`."""
        return self.scale

    @property
    def square(self) -> float:
        """`E[x^2]`."""
        return 2 * self.scale**2

    @property
    def halves(self) -> Halves:
        """The law as a mixture of laws of positive values: the `share` of each, its `sign`, and the law of `|x|` there."""
        return ((1.0, 1, self),)

    def characteristic(self, angle: Float[Array, "..."], k: Num[Array | np.ndarray, " k"]) -> Complex:
        """The characteristic function `E[exp(i k angle x)]`, its real and imaginary part, of shape `(*angle, k)`."""
        t = outer(self.scale * angle, k)
        real = 1 / (1 + t**2)
        return real, t * real

    def cumulant(self, s: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logarithm of `E[exp(s x)]`, at real `s`; infinite where the expectation is."""
        return jnp.where(self.scale * s < 1, -jnp.log1p(-jnp.minimum(self.scale * s, 0.999)), jnp.inf)

    @property
    def pole(self) -> float:
        """Where `generating` has its one pole."""
        return 1 / self.scale

    def generating(self, s: Complex) -> Complex:
        """`E[exp(s x)]` at complex `s`, given and returned as real and imaginary part."""
        re, im = 1 - self.scale * s[0], self.scale * s[1]
        size = re**2 + im**2
        return re / size, im / size

    def beyond(self, level: Float[Array, "..."]) -> Float[Array, "..."]:
        """`E[max(x - level, 0)^2]` for a level of at least 0."""
        return self.square * jnp.exp(-level / self.scale)

    def signed_square(
        self,
        c: Float[Array, "..."],
        gains: Float[Array, "row gain"],
        active: Int[np.ndarray, " row"],
        here: Bool[Array | np.ndarray, "row gain"],
        half: Any,
    ) -> Float[Array, " row"]:
        """`E[z |z|] / 2` for `z = c + gains . x`, for each row of `gains`; x is of the law `half` where `here`."""
        return _ray_mean(c, gains.sum(-1), self)


class Gaussian(eqx.Module):
    """An active feature is normal with standard deviation `scale` around its `mean`.

    With a mean other than 0, exact losses are known for the target x only. Raises ValueError unless `scale` is positive
    and both are finite.

    >>> Gaussian().quantile(jnp.array([0.5])).tolist()
    [0.0]
    """

    scale: float = eqx.field(static=True, default=1.0, converter=float)
    mean: float = eqx.field(static=True, default=0.0, converter=float)

    bounds = (-math.inf, math.inf)
    closed = math.inf

    def __check_init__(self):
        if not 0 < self.scale < math.inf:
            raise ValueError(f"Gaussian needs a positive scale, got {self.scale}")
        if not math.isfinite(self.mean):
            raise ValueError(f"Gaussian needs a finite mean, got {self.mean}")

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """The value below which a share `v` of the law lies: a draw, where `v` is uniform on (0, 1]."""
        # v can round to 1 at high density; the largest float below 1 is 5.4 standard deviations out.
        return self.mean + self.scale * jax.scipy.special.ndtri(jnp.minimum(v, 1 - 2.0**-24))

    @property
    def square(self) -> float:
        """`E[x^2]`."""
        return self.mean**2 + self.scale**2

    @property
    def halves(self) -> Halves:
        """The law as a mixture of laws of positive values: the `share` of each, its `sign`, and the law of `|x|` there.

        Raises AttributeError for a mean other than 0: exact losses then see that there are no halves.
        """
        if self.mean:
            raise AttributeError("the magnitude of a normal number whose mean is not 0 is not known here")
        return (0.5, 1, HalfGaussian(self.scale)), (0.5, -1, HalfGaussian(self.scale))

    def characteristic(self, angle: Float[Array, "..."], k: Num[Array | np.ndarray, " k"]) -> Complex:
        """The characteristic function `E[exp(i k angle x)]`, its real and imaginary part, of shape `(*angle, k)`."""
        size = jnp.exp(-(outer(self.scale * angle, k) ** 2) / 2)
        if not self.mean:
            return size, jnp.zeros_like(size)
        cos, sin = cos_sin(self.mean * angle, k)
        return size * cos, size * sin

    def cumulant(self, s: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logarithm of `E[exp(s x)]`, at real `s`; infinite where the expectation is."""
        return self.mean * s + (self.scale * s) ** 2 / 2

    def signed_square(
        self,
        c: Float[Array, "..."],
        gains: Float[Array, "row gain"],
        active: Int[np.ndarray, " row"],
        here: Bool[Array | np.ndarray, "row gain"],
        half: Any,
    ) -> Float[Array, " row"]:
        """`E[z |z|] / 2` for `z = c + gains . x`, for each row of `gains`; x is of the law `half` where `here`."""
        normal = _normal_mean(c + self.mean * gains.sum(-1), self.scale**2 * (gains**2).sum(-1))
        if half is self:
            return normal
        return jnp.where(here.any(-1), _ray_mean(c, gains.sum(-1), half), normal)


class LogNormal(eqx.Module):
    """An active feature is `exp(y)` for a normal `y` with mean 0 and standard deviation `scale`: heavy-tailed.

    Exact losses are not known for it: its characteristic function has no closed form, and `E[exp(s x)]` is infinite for
    any positive s. Raises ValueError unless `scale` is positive and finite.

    >>> LogNormal(0.5).quantile(jnp.array([0.5])).tolist()
    [1.0]
    """

    scale: float = eqx.field(static=True, default=1.0, converter=float)

    bounds = (0.0, math.inf)

    def __check_init__(self):
        if not 0 < self.scale < math.inf:
            raise ValueError(f"LogNormal needs a positive scale, got {self.scale}")

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """The value below which a share `v` of the law lies: a draw, where `v` is uniform on (0, 1]."""
        return jnp.exp(Gaussian(self.scale).quantile(v))

    @property
    def mean(self) -> float:
        """`E[x]`."""
        return math.exp(self.scale**2 / 2)

    @property
    def square(self) -> float:
        """`E[x^2]`."""
        return math.exp(2 * self.scale**2)


class Discrete(eqx.Module):
    """An active feature is one of `levels`, each with its chance; without `chances`, each as likely.

    Raises ValueError unless there is a chance of 0 or more for each, and a sum of 1.

    >>> Discrete((1.0, 3.0), (0.75, 0.25)).mean
    1.5
    """

    levels: tuple[float, ...] = eqx.field(static=True)
    chances: tuple[float, ...] = eqx.field(static=True)

    closed = math.inf

    def __init__(self, levels: ArrayLike, chances: ArrayLike | None = None):
        self.levels = tuple(map(float, np.ravel(finite(levels, "levels"))))
        n = len(self.levels)
        chances = np.full(n, 1 / max(n, 1)) if chances is None else np.ravel(finite(chances, "chances"))
        if not n or len(chances) != n or (chances < 0).any() or abs(chances.sum() - 1) > 1e-6:
            raise ValueError(
                f"Discrete needs a chance for each of its levels, and a sum of 1, got {n} levels and chances {chances.tolist()}"
            )
        self.chances = tuple((chances / chances.sum()).tolist())

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """The value below which a share `v` of the law lies: a draw, where `v` is uniform on (0, 1]."""
        ends, value = np.cumsum(self.chances)[:-1], jnp.full_like(v, self.levels[0])
        for end, level in zip(ends.tolist(), self.levels[1:], strict=True):
            value = jnp.where(v > end, level, value)
        return value

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value."""
        return min(self.levels), max(self.levels)

    @property
    def mean(self) -> float:
        """`E[x]`."""
        return float(np.dot(self.chances, self.levels))

    @property
    def square(self) -> float:
        """`E[x^2]`."""
        return float(np.dot(self.chances, np.square(self.levels)))

    @property
    def halves(self) -> Halves:
        """The law as a mixture of laws of positive values: the `share` of each, its `sign`, and the law of `|x|` there."""
        found = []
        for sign in (1, -1):
            some = [
                (sign * x, p) for x, p in zip(self.levels, self.chances, strict=True) if (x < 0) == (sign < 0)
            ]
            share = math.fsum(p for _, p in some)
            if share > 0:
                found.append((share, sign, Discrete([x for x, _ in some], [p / share for _, p in some])))
        return tuple(found)

    def characteristic(self, angle: Float[Array, "..."], k: Num[Array | np.ndarray, " k"]) -> Complex:
        """The characteristic function `E[exp(i k angle x)]`, its real and imaginary part, of shape `(*angle, k)`."""
        turns = [(p, *cos_sin(x * angle, k)) for x, p in zip(self.levels, self.chances, strict=True)]
        return reduce(add, (p * cos for p, cos, _ in turns)), reduce(add, (p * sin for p, _, sin in turns))

    def cumulant(self, s: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logarithm of `E[exp(s x)]`, at real `s`; infinite where the expectation is."""
        each = outer(s, double(self.levels)) + double(np.log(np.maximum(self.chances, 1e-300))).reshape(
            (1,) * s.ndim + (-1,)
        )
        most = each.max(-1)
        return most + jnp.log(jnp.exp(each - most[..., None]).sum(-1))

    @property
    def corners(self) -> int:
        """By how much one more active feature multiplies the work of `signed_square`."""
        return len(self.levels)

    def signed_square(
        self,
        c: Float[Array, "..."],
        gains: Float[Array, "row gain"],
        active: Int[np.ndarray, " row"],
        here: Bool[Array | np.ndarray, "row gain"],
        half: Any,
    ) -> Float[Array, " row"]:
        """`E[z |z|] / 2` for `z = c + gains . x`, for each row of `gains`; x is of the law `half` where `here`."""
        z, chance, means = c + jnp.zeros_like(gains[None, :, 0]), jnp.ones_like(gains[None, :, 0]), []
        each = [(x, p) for law in (self, half) for x, p in zip(law.levels, law.chances, strict=True)]
        for k in range(gains.shape[1]):
            # Rows that have no more active features are done.
            more = int((active > k).sum())
            means.append((chance * signed_square(z))[:, more:].sum(0))
            z, chance, own = z[:, :more], chance[:, :more], here[None, :more, k]
            z, chance = (
                jnp.concatenate(parts)
                for parts in zip(
                    *(
                        (
                            z + gains[None, :more, k] * x,
                            chance * jnp.where(own == (at >= len(self.levels)), p, 0.0),
                        )
                        for at, (x, p) in enumerate(each)
                    ),
                    strict=True,
                )
            )
        means.append((chance * signed_square(z)).sum(0))
        return jnp.concatenate(means[::-1])


class HalfGaussian(eqx.Module):
    """An active feature is the magnitude of a normal number with standard deviation `scale`.

    Raises ValueError unless that is positive and finite.

    >>> HalfGaussian(2.0).square
    4.0
    """

    scale: float = eqx.field(static=True, default=1.0, converter=float)

    bounds = (0.0, math.inf)
    closed = 1

    def __check_init__(self):
        if not 0 < self.scale < math.inf:
            raise ValueError(f"HalfGaussian needs a positive scale, got {self.scale}")

    def quantile(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """The value below which a share `v` of the law lies: a draw, where `v` is uniform on (0, 1]."""
        # v and 1 - v have the same law, and v is never 0.
        return -self.scale * jax.scipy.special.ndtri(v / 2)

    @property
    def mean(self) -> float:
        """`E[x]`."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def square(self) -> float:
        """`E[x^2]`."""
        return self.scale**2

    def characteristic(self, angle: Float[Array, "..."], k: Num[Array | np.ndarray, " k"]) -> Complex:
        """The characteristic function `E[exp(i k angle x)]`, its real and imaginary part, of shape `(*angle, k)`."""
        t = outer(self.scale * angle, k)
        return jnp.exp(-(t**2) / 2), 2 / math.sqrt(math.pi) * _dawson(t / math.sqrt(2))

    def beyond(self, level: Float[Array, "..."]) -> Float[Array, "..."]:
        """`E[max(x - level, 0)^2]` for a level of at least 0."""
        t = level / self.scale
        tail = (1 + t**2) * erfc(t / math.sqrt(2)) - math.sqrt(2 / math.pi) * t * jnp.exp(-(t**2) / 2)
        return self.square * tail

    @property
    def halves(self) -> Halves:
        """The law as a mixture of laws of positive values: the `share` of each, its `sign`, and the law of `|x|` there."""
        return ((1.0, 1, self),)

    def cumulant(self, s: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logarithm of `E[exp(s x)]`, at real `s`; infinite where the expectation is."""
        # log(exp(s^2 / 2) erfc(-s / sqrt 2)), by its asymptotic series where erfc would be 0.
        s = self.scale * s
        far = s < -6
        near, away = jnp.where(far, 0.0, s), jnp.where(far, s, -6.0) ** -2
        series = jnp.log(
            math.sqrt(2 / math.pi) * jnp.sqrt(away) * (1 - away * (1 - 3 * away * (1 - 5 * away)))
        )
        return jnp.where(far, series, near**2 / 2 + jnp.log(erfc(-near / math.sqrt(2))))

    def signed_square(
        self,
        c: Float[Array, "..."],
        gains: Float[Array, "row gain"],
        active: Int[np.ndarray, " row"],
        here: Bool[Array | np.ndarray, "row gain"],
        half: Any,
    ) -> Float[Array, " row"]:
        """`E[z |z|] / 2` for `z = c + gains . x`, for each row of `gains`; x is of the law `half` where `here`."""
        return _ray_mean(c, gains.sum(-1), self)


# Closed forms: means of `z |z| / 2`, from which the rest follows: `|z|` times a feature is its derivative by
# that feature's gain.


def signed_square(z: Float[Array, "..."], degree: int = 2) -> Float[Array, "..."]:
    """`sgn(z) z^degree / degree!`: for the degree 2, `z |z| / 2`.

    >>> signed_square(jnp.array([-3.0, 2.0])).tolist()
    [-4.5, 2.0]
    """
    return jnp.sign(z) * z**degree / float(math.factorial(degree))  # beyond 12 it does not fit into int32


def cube_mean(
    c: Float[Array, "..."], gains: Float[Array, "row gain"], active: Int[np.ndarray, " row"]
) -> Float[Array, " row"]:
    """The mean of `z |z| / 2` over u in the unit cube, with `z = c + gains . u`, for each row of gains.

    Let `F_k` be the k-th antiderivative of `z |z| / 2`, `sgn(z)^(k+1) |z|^(k+2) / (k+2)!`. Where z has one
    sign the mean of `F_k` is a polynomial. Where it has both, the integral along the largest gain is
    a difference of means of `F_(k+1)`, in one dimension less, divided by that gain. Since `|z|` is
    then at most a few times the gain, nothing is lost to rounding, however small the others are.

    Rows have at most `active` gains that are not 0, and these numbers never rise from row to row. Level k
    takes in the k largest gains of a row, for the rows that have that many.

    >>> round(float(cube_mean(double(0.0), double([[1.0]]), np.array([1]))[0]), 6)  # the mean of u^2 / 2
    0.166667
    """
    n = gains.shape[-1]
    rows = [int((active >= k).sum()) for k in range(n + 1)]
    half = _by_size(gains) / 2
    middles = [(c + gains.sum(-1) / 2)[None]]
    for k, some in enumerate(rows[1:]):
        middle = middles[-1][:, :some]
        middles.append(jnp.concatenate([middle + half[None, :some, k], middle - half[None, :some, k]]))
    # For the gains from each one on: how far they take z from the middle, and `E[exp(t (z - middle))]`
    # as a series in t^2.
    onward = double(np.tril(np.ones((n, n))))
    reach = jnp.abs(half) @ onward
    series = [jnp.ones_like(half)]
    logs = [half ** (2 * m) @ (onward * slope) for m, slope in enumerate(_log_sinhc((n + 1) // 2), 1)]
    for m in range(1, len(logs) + 1):
        parts = (a / m * logs[a - 1] * series[m - a] for a in range(1, m + 1))
        series.append(reduce(add, parts))
    mean = signed_square(middles[n], 2 + n)
    for k in reversed(range(n)):
        some, degree, middle = rows[k], 2 + k, middles[k]
        crossing = jnp.abs(middle) < reach[None, :some, k]
        # Rows that have no more gains than these have none left to integrate over.
        above, below = jnp.split(_longer(mean, some - rows[k + 1]), 2)
        across = (above - below) / (2 * jnp.where(crossing, half[None, :some, k], 0.5))
        square = middle**2
        polynomial: Any = 1 / math.factorial(degree)
        for m in range(1, degree // 2 + 1):
            polynomial = polynomial * square + series[m][None, :some, k] / math.factorial(degree - 2 * m)
        one_sided = jnp.abs(middle) * polynomial if degree % 2 else jnp.sign(middle) * polynomial
        mean = jnp.where(crossing, across, one_sided)
    return mean[0]


def _log_sinhc(count):
    """The coefficients of `log(sinh(x) / x)` as a series in x^2, without the constant one, which is 0."""
    series = [1 / math.factorial(2 * m + 1) for m in range(count + 1)]
    logs = [0.0]
    for m in range(1, count + 1):
        logs.append(series[m] - sum(a / m * logs[a] * series[m - a] for a in range(1, m)))
    return logs[1:]


def _longer(a, more):
    return jnp.concatenate([a, jnp.zeros((*a.shape[:-1], more), a.dtype)], axis=-1)


def _by_size(gains):
    """Each row with the largest magnitude first."""
    n = gains.shape[-1]
    size = stop_gradient(jnp.abs(gains))
    a, b = size[:, :, None], size[:, None, :]
    place = ((a > b) | ((a == b) & np.triu(np.ones((1, n, n), bool), 1))).sum(1)
    return jnp.where(place[:, None, :] == np.arange(n)[None, :, None], gains[:, None, :], 0.0).sum(-1)


def _normal_mean(mean, variance):
    """`E[z |z|] / 2` for normal z."""
    spread = jnp.where(variance > 0, variance, 1.0)
    t = mean / jnp.sqrt(2 * spread)
    density = jnp.sqrt(spread / (2 * math.pi)) * jnp.exp(-(t**2))
    smooth = (mean**2 + spread) * erf(t) / 2 + mean * density
    return jnp.where(variance > 0, smooth, signed_square(mean))


def _ray_mean(c, g, law):
    """`E[z |z|] / 2` for `z = c + g x`, with x >= 0 from an unbounded law."""
    whole = c**2 + 2 * c * g * law.mean + g**2 * law.square
    crossing = (c * g < 0) & (jnp.abs(c) < 1000 * law.scale * jnp.abs(g))
    level = jnp.where(crossing, -c / jnp.where(crossing, g, 1.0), 0.0)
    side = jnp.where(c != 0, jnp.sign(c), jnp.sign(g))
    return jnp.where(crossing, jnp.sign(g) * (g**2 * law.beyond(level) - whole / 2), side * whole / 2)


def outer(a: Num[Array, "..."], k: Num[Array | np.ndarray, " k"]) -> Num[Array, "... k"]:
    """The numbers `a`, each times the numbers `k`, which run along a new last axis.

    >>> outer(jnp.array([1.0, 2.0]), np.array([1.0, 10.0])).tolist()
    [[1.0, 10.0], [2.0, 20.0]]
    """
    return a[..., None] * k.reshape((1,) * a.ndim + (-1,))


@jax.custom_jvp
def cos_sin(angle: Float[Array, "..."], k: Num[Array | np.ndarray, " k"]) -> Complex:
    """`(cos(k angle), sin(k angle))` for the numbers k along a new last axis; `angle` is in radians.

    >>> cos, sin = cos_sin(jnp.array(0.0), np.array([1.0, 2.0]))
    >>> cos.tolist(), sin.tolist()
    ([1.0, 1.0], [0.0, 0.0])
    """
    return _turned(outer(angle, k))


def _turned(x) -> Complex:
    """`(cos(x), sin(x))` to rounding, for `|x|` up to a million: by polynomials, between multiples of pi / 2.

    On a CPU this takes a fourth of the time of XLA's, which do not become vector instructions. The
    polynomials are those of Sun's fdlibm (1993).
    """
    quarter = jnp.round(x * (2 / math.pi))
    for part in (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21):  # of pi / 2
        x = x - quarter * part
    square = x * x
    sin, cos = jnp.zeros_like(x), jnp.zeros_like(x)
    for s, c in zip(_SINE, _COSINE, strict=True):
        sin, cos = sin * square + s, cos * square + c
    sin, cos = x + x * square * sin, 1 - square / 2 + square * square * cos
    turn = quarter.astype(jnp.int32) & 3
    sin, cos = jnp.where(turn % 2 == 0, sin, cos), jnp.where(turn % 2 == 0, cos, sin)
    return jnp.where((turn == 1) | (turn == 2), -cos, cos), jnp.where(turn >= 2, -sin, sin)


_SINE = (
    1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
    -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01,
)  # fmt: skip
_COSINE = (
    -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
    2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02,
)  # fmt: skip


@cos_sin.defjvp
def _cos_sin_jvp(primals, tangents):
    (angle, k), (turn, _) = primals, tangents
    cos, sin = cos_sin(angle, k)
    dt = outer(turn, k)
    return (cos, sin), (-sin * dt, cos * dt)


def double(numbers: ArrayLike) -> Float[Array, "..."]:
    """Python's and NumPy's `numbers` in float64, unrounded: JAX would round them to float32 first.

    >>> float(double(0.1)), float(jnp.asarray(0.1, "float32")) == 0.1
    (0.1, False)
    """
    return jnp.asarray(
        numbers if isinstance(numbers, jax.Array) else np.asarray(numbers, np.float64), jnp.float64
    )


@jax.custom_jvp
def _dawson(x):
    """Dawson's integral `exp(-x^2) int_0^x exp(t^2) dt`.

    A sum of Gaussians at odd multiples of h, exact to exp(-(pi / 2h)^2): Rybicki (1989),
    Computers in Physics 3, 85.
    """
    h = 0.25
    center = 2 * jnp.round(x / (2 * h))
    odd = np.arange(-27, 28, 2)
    place = center[..., None] + odd.reshape((1,) * x.ndim + (-1,))
    return (jnp.exp(-((x[..., None] - place * h) ** 2)) / place).sum(-1) / math.sqrt(math.pi)


@_dawson.defjvp
def _dawson_jvp(primals, tangents):
    ((x,), (dx,)) = primals, tangents
    value = _dawson(x)
    return value, (1 - 2 * x * value) * dx
