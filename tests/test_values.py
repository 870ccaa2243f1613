"""Laws of values: their integrals, and what exact losses make of a law of one's own."""

from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf
from worlds import VALUES, model_of, per_sample, random_importance, random_weights

from superpose import values
from superpose.features import Correlated, Independent
from superpose.losses import Population, Sampled
from superpose.values import MEMBERS, cos_sin, double

LAWS = [
    *VALUES.values(),
    values.Uniform(-2.0, -0.5),
    values.HalfGaussian(0.7),
    values.Discrete((-1.0, 0.5, 2.0), (0.2, 0.5, 0.3)),
]
"""Each is put through all that a law of values must do: that is all the test that a new one needs."""

# Laws by themselves, by the midpoint rule over their quantiles.
MIDDLES = (np.arange(200_000) + 0.5) / 200_000


def _draws(law):
    return np.asarray(law.quantile(double(MIDDLES)))


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_moments_and_bounds_are_those_of_what_is_drawn(law):
    x = _draws(law)
    np.testing.assert_allclose([law.mean, law.square], [x.mean(), (x**2).mean()], rtol=2e-4, atol=1e-6)
    low, high = law.bounds
    assert low <= x.min() <= x.max() <= high


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_characteristic_function_is_the_mean_of_waves(law):
    angle, k = double([0.4, -1.1]), np.array([1, 3])
    cos, sin = law.characteristic(angle, k)
    turns = (np.asarray(angle)[:, None] * k)[..., None] * _draws(law)
    np.testing.assert_allclose(cos, np.cos(turns).mean(-1), atol=1e-4)
    np.testing.assert_allclose(sin, np.sin(turns).mean(-1), atol=1e-4)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_cumulant_is_the_logarithm_of_the_mean_exponential(law):
    x = _draws(law)
    for s in (-0.9, -0.3, 0.0, 0.3, 0.7):
        expected = np.log(np.exp(s * x).mean())
        np.testing.assert_allclose(law.cumulant(double(s)), expected, rtol=2e-3, atol=1e-9)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_halves_of_a_law_make_it_up(law):
    x = _draws(law)
    for k in (1, 2):
        moments = sum(share * sign**k * {1: half.mean, 2: half.square}[k] for share, sign, half in law.halves)
        np.testing.assert_allclose(moments, (x**k).mean(), rtol=2e-4, atol=1e-6)
    magnitude = sum(share * half.mean for share, _, half in law.halves)
    np.testing.assert_allclose(magnitude, np.abs(x).mean(), rtol=2e-4)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_exact_loss_is_that_of_what_is_drawn(law):
    model, world = model_of(*random_weights(3, 0)), Independent(0.3, (1.0, 0.7, 0.4), law)
    sampled = jax.vmap(lambda key: Sampled(world, batch=4096)(model, key))(
        jax.random.split(jax.random.key(0), 64)
    )
    error = float(sampled.std()) / 8
    assert abs(float(Population(world)(model)) - float(sampled.mean())) < 4 * error


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("value", VALUES)
def test_the_closed_form_of_a_law_with_one_active_feature_is_the_integral(value, own):
    law = VALUES[value]
    half = law.halves[0][2] if own else law
    x = _draws(law)
    if own:  # the feature's magnitude, where it is of the first half's sign
        x = x[x >= 0]
    for c, g in product((-1.0, -0.3, 0.3, 1.0), (-0.8, 0.8)):
        gains, active, here = double([[g]]), np.array([1]), np.array([[own]])
        found = jax.jit(lambda c, gains: law.signed_square(c, gains, active, here, half))(double(c), gains)  # noqa: B023
        z = c + g * x
        np.testing.assert_allclose(found[0], (z * abs(z) / 2).mean(), atol=2e-4)


class HalfNormal(eqx.Module):
    """A law of one's own: what `superpose/values.py` lists, without a closed form."""

    bounds = (0.0, np.inf)
    mean = np.sqrt(2 / np.pi)
    square = 1.0

    def quantile(self, v):
        return jnp.sqrt(2.0) * jax.scipy.special.erfinv(jnp.minimum(v, 1 - 2.0**-24))

    def characteristic(self, angle, k):
        # By Gauss-Legendre quadrature of exp(i s x), which is smooth.
        x, weight = np.polynomial.legendre.leggauss(600)
        x, weight = 4.5 * (x + 1), 4.5 * weight * np.sqrt(2 / np.pi) * np.exp(-((4.5 * (x + 1)) ** 2) / 2)
        turn = values.outer(values.outer(angle, k), double(x))
        return jnp.cos(turn) @ double(weight), jnp.sin(turn) @ double(weight)

    def cumulant(self, s):
        return s**2 / 2 + jnp.log(jax.scipy.special.erfc(-s / np.sqrt(2)))

    @property
    def halves(self):
        return ((1.0, 1, self),)


def _half_normal_loss(W, b, p):
    """Of two features with equal densities and opposite signs of W: by quadrature over one, in closed form over the other."""
    A = np.outer(W, W)
    return sum(_half_normal_error(b[i], A[i, i], A[i, 1 - i], p) for i in range(2))


def _half_normal_error(c, own, other, p):
    kink = max(-c / own, 0.0)
    node, weight = np.polynomial.legendre.leggauss(200)
    ends = [(0.0, kink), (kink, 4.5), (4.5, 9.0)]
    x = np.concatenate([low + (high - low) * (node + 1) / 2 for low, high in ends])
    weight = np.concatenate([(high - low) / 2 * weight for low, high in ends])
    weight = np.sqrt(2 / np.pi) * weight * np.exp(-(x**2) / 2)

    def given(x):  # `z = a + other y` is positive for y up to k
        a = c + own * x
        k = np.maximum(a, 0) / -other
        tail = np.sqrt(2 / np.pi) * np.exp(-(k**2) / 2)
        none, one, two = erf(k / np.sqrt(2)), np.sqrt(2 / np.pi) - tail, erf(k / np.sqrt(2)) - k * tail
        return x**2 - 2 * x * (a * none + other * one) + a**2 * none + 2 * a * other * one + other**2 * two

    mine = weight @ (x - np.maximum(c + own * x, 0)) ** 2
    nothing = max(c, 0) ** 2
    return (1 - p) ** 2 * nothing + p * (1 - p) * (mine + given(0.0)) + p**2 * weight @ given(x)


def test_a_law_of_values_of_ones_own_has_the_right_loss():
    W, b, p = np.array([1.1, -0.7]), np.array([-0.1, 0.2]), 0.3
    model, features = model_of(W[None], b), Independent(p, n_features=2, value=HalfNormal())
    loss = Population(features, harmonics=256)
    value, stated = map(float, loss.with_error(model))  # NumPy's numbers beside JAX's would be rounded
    expected = _half_normal_loss(W, b, p)
    assert abs(value - expected) <= max(2 * stated, 1e-11 * expected)
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    x = features.sample(jax.random.key(0), 200_000)
    errors = np.asarray(
        per_sample(model_of(*(a.astype(np.float32) for a in (W[None], b))), x, features.importance, "x")
    )
    assert abs(errors.mean() - value) <= 5 * errors.std() / np.sqrt(len(errors))
    with pytest.raises(
        ValueError, match=r"supports of 2 active features with HalfNormal values .* no closed form"
    ):
        Population(features, method="enumeration")(model)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_law_of_values_that_lacks_a_member_is_refused(member):
    lacking = type("Lacking", (), {name: np.sqrt for name in ("quantile", *MEMBERS) if name != member})()
    with pytest.raises(
        ValueError, match=f"^exact losses need a law of values with {member}, which Lacking lacks"
    ):
        Population(Independent(0.1, value=lacking, n_features=2), "abs")(
            model_of(np.ones((1, 2)), np.zeros(2))
        )


def test_a_normal_law_around_a_mean_is_exact_for_the_target_x():
    law, x = values.Gaussian(0.3, mean=1.2), _draws(values.Gaussian(0.3, mean=1.2))
    np.testing.assert_allclose([law.mean, law.square], [x.mean(), (x**2).mean()], rtol=1e-4)
    angle, k = double([0.4, -1.1]), np.array([1, 3])
    turns = (np.asarray(angle)[:, None] * k)[..., None] * x
    np.testing.assert_allclose(law.characteristic(angle, k)[1], np.sin(turns).mean(-1), atol=1e-4)
    model, world = model_of(*random_weights(3, 0)), Independent(0.3, (1.0, 0.7, 0.4), law)
    by_supports = Population(world, method="enumeration")(model)
    np.testing.assert_allclose(Population(world, method="characteristic")(model), by_supports, rtol=1e-9)
    errors = np.asarray(
        per_sample(
            model_of(*(a.astype(np.float32) for a in random_weights(3, 0))),
            world.sample(jax.random.key(0), 200_000), world.importance, "x",
        )
    )  # fmt: skip
    assert abs(errors.mean() - float(by_supports)) <= 5 * errors.std() / np.sqrt(len(errors))
    with pytest.raises(ValueError, match="need a law of values with halves, which Gaussian lacks"):
        Population(world, "abs")(model)


def test_a_heavy_tailed_law_has_moments_and_no_exact_loss():
    law = values.LogNormal(0.5)
    x = _draws(law)
    np.testing.assert_allclose([law.mean, law.square], [x.mean(), (x**2).mean()], rtol=2e-3)
    with pytest.raises(
        ValueError, match=r"^exact losses need a law of values with characteristic, which LogNormal lacks"
    ):
        Population(Independent(0.1, value=law, n_features=2))(model_of(np.ones((1, 2)), np.zeros(2)))


def test_discrete_values_come_as_often_as_said():
    x = _draws(values.Discrete((2.0, -1.0), (0.25, 0.75)))
    np.testing.assert_allclose([(x == 2).mean(), (x == -1).mean()], [0.25, 0.75], atol=1e-5)
    for wrong in (([],), (1.0, [0.5]), ([1.0, 2.0], [0.5, 0.6]), ([1.0, 2.0], [1.5, -0.5])):
        with pytest.raises((ValueError, TypeError), match="Discrete"):
            values.Discrete(*wrong)


def test_sines_and_cosines_of_multiples_are_right_to_rounding():
    random = np.random.default_rng(0)
    angle = random.uniform(-1, 1, 1000) * 10.0 ** random.uniform(-8, 2, 1000)
    k = np.array([1.0, 2.0, 511.0, 8191.0])
    cos, sin = jax.jit(lambda: cos_sin(double(angle), double(k)))()
    np.testing.assert_allclose(cos, np.cos(np.outer(angle, k)), atol=4e-16)
    np.testing.assert_allclose(sin, np.sin(np.outer(angle, k)), atol=4e-16)
    near = np.abs(np.outer(angle, k)) < 0.7
    np.testing.assert_allclose(np.asarray(sin)[near], np.sin(np.outer(angle, k))[near], rtol=4e-16)


def test_sets_of_many_uniform_features_are_one_closed_form():
    # 13! and more are no 32-bit numbers.
    model, features = model_of(*random_weights(12, 0)), Correlated(0.3, (12,), random_importance(12, 1))
    exact = Population(features)(model)
    np.testing.assert_allclose(exact, Population(features, method="characteristic")(model), rtol=1e-6)
    with jax.enable_x64(True):
        np.testing.assert_allclose(exact, Population(features)(model), rtol=1e-12)
