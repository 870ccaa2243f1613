"""What a model is trained to make small: `loss(model, key) -> scalar`, sampled or exact.

Every loss here is the paper's: `sum_i importance_i (x_i - x'_i)^2`, averaged over samples.
"""

import math
from collections.abc import Callable
from functools import partial, reduce
from itertools import combinations
from operator import add

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jaxtyping import Array, Float, Key

from superpose.features import Empirical, Features, Independent, Uniform
from superpose.models import Network

__all__ = ["Population", "Sampled", "mean_error"]


def mean_error(
    model: Network,
    x: Float[Array, "sample feature"],
    importance: Float[Array, " feature"] | float = 1.0,
    weight: Float[Array, " sample"] | None = None,
) -> Float[Array, ""]:
    """`sum_i importance_i (x_i - x'_i)^2`, averaged over the samples `x`.

    With `weight`, sample `s` counts `weight[s] / sum(weight)`.

    Elhage et al. (2022), "Toy Models of Superposition", "Experiment Setup".
    """
    # The sample is the last, contiguous axis throughout: on a CPU the work is then three times
    # faster than with the sample first. Biases are spread over the samples, lest `vmap` turn the
    # matrices that they are added to.
    x = x.T
    spread = jax.tree.map(lambda leaf: _over_samples(leaf, x.shape[1]) if leaf.ndim == 1 else leaf, model)
    axes = jax.tree.map(lambda leaf: 1 if leaf.ndim == 1 else None, model)
    error = (x - jax.vmap(lambda model, x: model(x), in_axes=(axes, 1), out_axes=1)(spread, x)) ** 2
    mean = error.mean(axis=1) if weight is None else error @ (weight / weight.sum())
    return jnp.broadcast_to(jnp.asarray(importance, error.dtype), mean.shape) @ mean


def _over_samples(vector, n):
    return jnp.broadcast_to(vector[:, None], (len(vector), n))


class Sampled(eqx.Module):
    """The loss on `batch` samples, drawn afresh with each key.

    `weight`, a function of one sample, makes a sample count in proportion to it.

    With `stratified`, all of the batch are samples in which some feature is active, and what the
    others contribute is exact, since they are all the same: no work is done for them. The
    expectation is the same, and `batch * features.any_active` samples have no more variance than
    `batch` have without. Raises ValueError for `Empirical` features and with a `weight`.

    >>> from superpose.models import ReluOutput
    >>> model = ReluOutput.init(5, 2, key=jax.random.key(0))
    >>> Sampled(Independent(0.1, n_features=5))(model, jax.random.key(1)).shape
    ()
    """

    features: Features
    batch: int = eqx.field(static=True, default=1024)
    weight: Callable[[Array], Array] | None = eqx.field(static=True, default=None)
    stratified: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1 sample, got {self.batch}")
        if self.stratified and (isinstance(self.features, Empirical) or self.weight is not None):
            raise ValueError("stratified needs features with densities, not Empirical, and no weight")

    def __call__(self, model: Network, key: Key[Array, ""]) -> Float[Array, ""]:
        _same_length(model, self.features)
        if self.stratified and not isinstance(self.features, Empirical):
            x = self.features.sample_active(key, self.batch)
            importance = self.features.importance.astype(x.dtype)
            chance = self.features.any_active.astype(x.dtype)
            silent = mean_error(model, jnp.zeros_like(x[:1]), importance)
            return chance * mean_error(model, x, importance) + (1 - chance) * silent
        x = self.features.sample(key, self.batch)
        importance = self.features.importance.astype(x.dtype)
        weight = None if self.weight is None else jax.vmap(self.weight)(x)
        return mean_error(model, x, importance, weight)


class Population(eqx.Module):
    """The exact expectation of `Sampled(features)`, in float64; `key` is not used.

    Each output sees one number, `z_i = sum_j A_ij x_j + c_i`. With `R(z) = (z + |z|) / 2`,

        E[(x_i - R(z_i))^2] = E[x_i^2 - x_i z_i + z_i^2 / 2] + E[z_i |z_i|] / 2 - E[x_i |z_i|].

    The first term is a polynomial in the moments of `x`. The others are sums over supports,
    the sets of active features: supports of few features are integrated in closed form
    (all supports, where `n_features` is at most 3), and the rest together through a Fourier
    series of `|z|` and `z|z|`, whose terms are products over features.

    Right for `Independent` features with values uniform on [0, 1] in models whose hidden
    layer is linear and whose output is linear or ReLU, and for `Empirical` features, where it
    is the mean over all rows, in any model. Raises ValueError for the rest: use `Sampled`.

    The relative error is below 1e-6 for random models of up to 100 features of one density from
    0.001 to 1, and below 1e-4 where some are always active and others hardly ever
    (`benchmarks/accuracy.py` measures it against independent references).

    >>> from superpose.models import ReluOutput
    >>> pair = ReluOutput.init(2, 1, key=jax.random.key(0))
    >>> pair = eqx.tree_at(lambda m: m.W, pair, jnp.array([[1.0, -1.0]]))
    >>> loss = Population(Independent(0.5, n_features=2))(pair)
    >>> round(float(loss), 6), round(2 * 0.5**2 / 6, 6)
    (0.083333, 0.083333)
    """

    features: Features

    def __check_init__(self):
        features = self.features
        uniform = isinstance(features, Independent) and features.value == Uniform(0, 1)
        if not (uniform or isinstance(features, Empirical)):
            raise ValueError(
                "Population is exact for Independent features with values uniform on [0, 1], and for "
                "Empirical ones; use Sampled for others"
            )

    def __call__(self, model: Network, key: Key[Array, ""] | None = None) -> Float[Array, ""]:
        _same_length(model, self.features)
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), model)
        if isinstance(self.features, Empirical):
            return _mean_over_rows(model, self.features)
        if model.activation not in ("identity", "relu"):
            raise ValueError(
                f"Population is exact for a relu or identity output, and this model's is {model.activation}; "
                "use Sampled"
            )
        A, c = model.preactivation()
        p = self.features.density
        expected = _linear_error if model.activation == "identity" else _relu_error
        return self.features.importance @ expected(A, c, p)


def _same_length(model, features):
    if model.W.shape[-1] != features.n_features:
        raise ValueError(
            f"the model has {model.W.shape[-1]} features and the data {features.n_features}; they must be equal"
        )


def _mean_over_rows(model, features, block=4096):
    def block_sum(start):
        rows = start + jnp.arange(block)
        x = features.rows(jnp.minimum(rows, features.n_rows - 1)).astype(jnp.float64)
        here = (rows < features.n_rows).astype(jnp.float64)
        return mean_error(model, x, features.importance, here) * here.sum()

    block = min(block, features.n_rows)
    starts = jnp.arange(0, features.n_rows, block)
    return jax.lax.map(jax.checkpoint(block_sum), starts).sum() / features.n_rows


# Moments of x_j that is active with probability p and then uniform on [0, 1]: E[x] = p/2,
# E[x^2] = p/3.


def _moments(A, c, p):
    # E[x_i^2], E[x_i z_i], E[z_i^2].
    mean, square = p / 2, p / 3
    variance = square - mean**2
    z = A @ mean + c
    return square, mean * z + jnp.diagonal(A) * variance, z**2 + A**2 @ variance


# Both are jitted for their precision too: outside of jit, JAX rounds Python's numbers to float32.


@jax.jit
def _linear_error(A, c, p) -> Float[Array, " feature"]:
    xx, xz, zz = _moments(A, c, p)
    return xx - 2 * xz + zz


@partial(jax.jit, static_argnames=("largest", "harmonics"))
def _relu_error(A, c, p, largest=None, harmonics=None) -> Float[Array, " feature"]:
    n = len(p)
    if largest is None:
        largest = 3 if n <= 3 else 2 if n <= 128 else 1
    if harmonics is None:
        harmonics = 64 if n <= 8 else 128 if n <= 32 else 256
    xx, xz, zz = _moments(A, c, p)
    # |z| is the derivative of z|z|/2, so E[x_i |z_i|] is that of E[z_i |z_i|] / 2 by A_ii, which
    # z_i alone depends on: one derivative, along all of the diagonal, gives all of them.
    own = jnp.diagonal(A)
    half_signed_square = partial(
        _half_signed_square,
        others=jnp.where(np.eye(n, dtype=bool), 0.0, A),
        c=c,
        p=p,
        largest=largest,
        harmonics=harmonics,
    )
    value, slope = jax.jvp(half_signed_square, (own,), (jnp.ones_like(own),))
    return xx - xz + zz / 2 + value - slope


def _half_signed_square(own, others, c, p, largest, harmonics) -> Float[Array, " feature"]:
    """E[z_i |z_i|] / 2, for `z = A x + c` with the diagonal of `A` and what is off it apart."""
    A = jnp.where(np.eye(len(p), dtype=bool), own[:, None], others)
    total = jnp.zeros_like(c)
    for size in range(min(largest, len(p)) + 1):
        total = total + _few_active(A, c, p, size, largest)
    if len(p) > largest:
        total = total + _many_active(own, others, c, p, largest, harmonics)
    return total


def _odds(p, largest):
    """`none` and `odds` such that `P(support) = none * prod(odds of its features)`.

    With a floor for `1 - p`, lest odds be infinite. Where all supports are small, one so low that
    nothing is lost. Otherwise any weights of the small supports will do, since the series takes
    up the difference, and a higher one keeps its sums precise.
    """
    q = jnp.maximum(1 - p, 1e-100 if len(p) <= largest else 1e-3)
    return jnp.prod(q), p / q


def _few_active(A, c, p, size, largest) -> Float[Array, " feature"]:
    """The part of `E[z|z|] / 2` from supports of `size` features."""
    none, odds = _odds(p, largest)
    n_sets = math.comb(len(p), size)
    members = np.array(list(combinations(range(len(p)), size)), int).reshape(n_sets, size)
    chance = none * jnp.prod(odds[members], axis=1)
    gains = _by_size([A[:, member] for member in members.T])
    return _cube_mean(2, c[:, None], gains) @ chance


def _by_size(gains):
    # Largest magnitude first: a bubble sort, since there are at most three.
    gains = list(gains)
    for end in range(len(gains) - 1, 0, -1):
        for at in range(end):
            a, b = gains[at], gains[at + 1]
            right = jnp.abs(a) >= jnp.abs(b)
            gains[at], gains[at + 1] = jnp.where(right, a, b), jnp.where(right, b, a)
    return gains


def _cube_mean(degree, c, gains):
    """The mean over u in the unit cube of `sgn(z) z^degree / degree!`, with `z = c + gains . u`.

    Where z has one sign this is a polynomial. Where it has both, the integral along the
    largest gain is a difference of the same mean, one degree higher and one dimension lower,
    divided by that gain; since |c| is then at most a few times that gain, nothing is lost to
    rounding, however small the other gains are.
    """
    middle, reach = c, jnp.zeros_like(c)
    for g in gains:
        middle, reach = middle + g / 2, reach + jnp.abs(g) / 2
    one_sign = jnp.sign(middle) * _power_mean(degree, c, gains)
    if not gains:
        return one_sign
    crossing = jnp.abs(middle) < reach
    g, *others = gains
    difference = _cube_mean(degree + 1, c + g, others) - _cube_mean(degree + 1, c, others)
    return jnp.where(crossing, difference / jnp.where(crossing, g, 1.0), one_sign)


def _power_mean(degree, c, gains):
    """The mean over u in the unit cube of `(c + gains . u)^degree / degree!`.

    It is the coefficient of t^degree in `exp(c t)` times, for each gain, `(exp(g t) - 1) / (g t)`.
    """
    series = [jnp.ones_like(c)]
    for m in range(1, degree + 1):
        series.append(series[-1] * c / m)
    for g in gains:
        factor = [jnp.ones_like(g)]
        for m in range(1, degree + 1):
            factor.append(factor[-1] * g / (m + 1))
        series = [reduce(add, (series[i] * factor[m - i] for i in range(m + 1))) for m in range(degree + 1)]
    return series[degree]


def _many_active(own, others, c, p, largest, harmonics) -> Float[Array, " feature"]:
    """The part of `E[z|z|] / 2` from supports of more than `largest` (at most 2) features.

    For |z| <= H, with k over the odd numbers,

        z|z| = H z - (8 H^2 / pi^3) sum_k sin(pi k z / H) / k^3,

    so all that is needed is E[exp(i pi k z / H)], a product over features, less the same for
    the smaller supports. The series has a second kink, at |z| = H: H is half as much again as
    the range of z, to keep away from it, and the last terms are smoothed off, so that kinks
    are felt only near them.
    """
    A = jnp.where(np.eye(len(p), dtype=bool), own[:, None], others)
    bound = jnp.maximum(jnp.maximum(A, 0).sum(1) + c, jnp.maximum(-A, 0).sum(1) - c)
    H = 1.5 * stop_gradient(jnp.where(bound > 0, bound, 1.0))
    k = jnp.arange(1, 2 * harmonics, 2, dtype=jnp.float64)
    smooth = jnp.exp(-36 * (k / (2 * harmonics)) ** 16)

    # Complex numbers are pairs (real, imaginary) of arrays ([feature,] output, harmonic). psi is
    # E[exp(i pi k A_ij u / H)], for feature j active; in `psi` feature i itself has no effect.
    psi = _uniform_phase(jnp.pi * others.T / H, k)
    psi_own = _uniform_phase(jnp.pi * own / H, k)
    p_own, p_first = p[:, None], p[:, None, None]
    every = _times(
        _product(1 - p_first + p_first * psi[0], p_first * psi[1]),
        (1 - p_own + p_own * psi_own[0], p_own * psi_own[1]),
    )

    # Sums over the small supports, here and at k = 0, in units of P(none active).
    none, odds = _odds(p, largest)
    few_real, few_imag = jnp.ones_like(psi_own[0]), jnp.zeros_like(psi_own[1])
    mass, x_mass = 1.0, 0.0
    if largest >= 1:
        one_own = tuple(odds[:, None] * part for part in psi_own)
        one = tuple(odds[:, None, None] * part for part in psi)
        one_sum = one[0].sum(0) - odds[:, None], one[1].sum(0)
        few_real, few_imag = few_real + one_own[0] + one_sum[0], few_imag + one_own[1] + one_sum[1]
        mass, x_mass = mass + odds.sum(), odds / 2
    if largest >= 2:
        square, squares = _times(one_sum, one_sum), _times(one, one)
        two_sum = (
            (square[0] - squares[0].sum(0) + odds[:, None] ** 2) / 2,
            (square[1] - squares[1].sum(0)) / 2,
        )
        with_own = _times(one_sum, one_own)
        few_real, few_imag = few_real + two_sum[0] + with_own[0], few_imag + two_sum[1] + with_own[1]
        mass, x_mass = mass + (odds.sum() ** 2 - (odds**2).sum()) / 2, x_mass * (1 + odds.sum() - odds)
    mass, x_mass = 1 - none * mass, p / 2 - none * x_mass

    rest = every[0] - none * few_real, every[1] - none * few_imag
    _, sine = _times(_phase(jnp.pi * c / H, k), rest)
    return H * (A @ x_mass + c * mass) / 2 - 4 * H**2 / jnp.pi**3 * (sine @ (smooth / k**3))


def _times(a, b):
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _product(real, imag):
    """The product of complex numbers over the first axis, in a tree: its gradient divides by nothing."""
    while (n := len(real)) > 1:
        half = n // 2
        paired = _times((real[:half], imag[:half]), (real[half : 2 * half], imag[half : 2 * half]))
        if n % 2:
            paired = tuple(
                jnp.concatenate([new, old[-1:]]) for new, old in zip(paired, (real, imag), strict=True)
            )
        real, imag = paired
    return real[0], imag[0]


def _uniform_phase(angle, k):
    """E[exp(i k angle u)] for u uniform on [0, 1], as `(sin(t) / t, (1 - cos(t)) / t)` with `t = k angle`."""
    cos, sin = _phase(angle, k)
    t = angle[..., None] * k
    near = jnp.abs(t) < 0.03
    far = jnp.where(near, 1.0, t)
    small = jnp.where(near, t, 0.0)
    real = jnp.where(near, 1 - small**2 / 6 + small**4 / 120, sin / far)
    imag = jnp.where(near, small / 2 - small**3 / 24 + small**5 / 720, (1 - cos) / far)
    return real, imag


@jax.custom_jvp
def _phase(angle, k):
    """`(cos(k angle), sin(k angle))` for k = 1, 3, 5, ..., by doubling: cheaper than as many cosines."""
    cos, sin = jnp.cos(angle)[..., None], jnp.sin(angle)[..., None]
    step = _times((cos, sin), (cos, sin))
    while cos.shape[-1] < len(k):
        ahead = _times((cos, sin), step)
        cos, sin = (jnp.concatenate(pair, axis=-1) for pair in zip((cos, sin), ahead, strict=True))
        step = _times(step, step)
    return cos[..., : len(k)], sin[..., : len(k)]


@_phase.defjvp
def _phase_jvp(primals, tangents):
    (angle, k), (turn, _) = primals, tangents
    cos, sin = _phase(angle, k)
    dt = turn[..., None] * k
    return (cos, sin), (-sin * dt, cos * dt)
