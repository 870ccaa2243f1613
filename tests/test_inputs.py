"""A table of public names and of what users bring: each works, and equals NumPy's answer, or says in a line why not."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pandas as pd
import pytest
import scipy.sparse
import xarray as xr

from superpose import (  # fmt: skip
    attacks,
    corpus,
    curves,
    dictionaries,
    draws,
    explorer,
    features,
    grid,
    inputs,
    losses,
    measures,
    models,
    notebook,
    polytopes,
    solutions,
    theory,
    train,
)
from superpose.dictionaries import scores
from superpose.values import Exponential, Gaussian

W = [[1, -1, 0], [0, 0, 2]]
SHARES = [0.5, 0.25, 0.125]
WORLD = features.Independent(SHARES)
MODEL = models.ReluOutput(W, [0, 0, 0])
MODELS = train.stack([MODEL, MODEL])


def _losses(kind):
    """One for each of the two models."""
    return grid.each(lambda p: kind(features.Independent(p, n_features=3)), [0.5, 0.1])


SAE = dictionaries.Autoencoder(
    [[1, 0], [0, 1]],
    [0, 0],
    [[1, 0], [0, 1]],
    [0, 0],
    dictionaries.Relu(0.1),
    {},
    jnp.zeros(2),
    jnp.zeros(()),
)
KEY = jax.random.key(0)
MINIMUM = train.Minimum(MODELS, np.ones(2), np.zeros(2), np.zeros(2, int), np.ones(2, int), None)
GRID = xr.DataArray(np.array([W], float), dims=("member", "hidden", "feature"))
DATA = xr.Dataset({"W": GRID, "loss": ("member", [1.0])}, {"member": [0]})


@pytest.fixture(autouse=True)
def _as_users_have_it():
    """The checks of types that the other tests are run with are not there outside of tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


class Tensor:
    """What stands in for a tensor of another library: no more than `__array__`."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape, self.ndim = self.values.shape, self.values.ndim

    def __array__(self, dtype=None, copy=None):
        return self.values.astype(dtype or self.values.dtype)


class Attached:
    """A tensor that NumPy cannot have, such as one that has a gradient or is on another device."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach() instead.")


def _frame(values):
    values = np.asarray(values, float)
    return {0: float, 1: pd.Series, 2: pd.DataFrame}[values.ndim](values)


ARRAYS = {
    "list": lambda values: np.asarray(values).tolist(),
    "tuple": lambda values: tuple(np.asarray(values).tolist()) if np.ndim(values) else values,
    "pandas": _frame,
    "xarray": lambda values: xr.DataArray(np.asarray(values, float)),
    "tensor": Tensor,
    "JAX": lambda values: jnp.asarray(values, jnp.float32),
}
NO_ARRAYS = {"text": "abc", "nothing": None, "ragged": [[1, 2], [3]], "complex": 1j * np.ones((2, 3)),
             "attached": Attached(), "model": MODEL}  # fmt: skip

OF_W = {
    f"measures.{name}": getattr(measures, name)
    for name in (
        "gram", "norms", "n_represented", "superposition", "dimensionality", "dimensions_per_feature", "cosines",
        "leverage", "polytopes", "excess_features", "basis_alignment", "participation", "monosemantic",
    )
}  # fmt: skip
# (name, argument, a function of the argument, an argument that is right)
TAKES = [(name, "W", measure, W) for name, measure in OF_W.items()] + [
    ("measures.linearity", "x", lambda x: measures.linearity(MODEL.encode, x), [[1, 0, 2], [0, 1, 1]]),
    ("measures.decomposability", "x", lambda x: measures.decomposability(MODEL.encode, x), [[1, 0, 2], [0, 1, 1]]),
    ("measures.rescaled", "W", lambda W: measures.rescaled(W, np.ones((3, 2))), W),
    ("measures.rescaled", "W_out", lambda W_out: measures.rescaled(W, W_out), np.ones((3, 2))),
    ("measures.asymmetric_motifs", "W", lambda W: measures.asymmetric_motifs(W, np.ones((3, 2))), W),
    ("measures.asymmetric_motifs", "W_out", lambda W_out: measures.asymmetric_motifs(W, W_out), np.ones((3, 2))),
    ("curves.jumps", "values", lambda values: curves.jumps(values, [1, 2, 3], 0.5), [0, 1, 1]),
    ("curves.jumps", "steps", lambda steps: curves.jumps([0, 1, 1], steps, 0.5), [1, 2, 3]),
    ("curves.plateaus", "values", lambda values: curves.plateaus(values, [1, 2, 3]), [1, 1, 1]),
    ("curves.plateaus", "steps", lambda steps: curves.plateaus([1, 1, 1], steps), [1, 2, 3]),
    ("features.Independent", "density", lambda density: features.Independent(density).density, SHARES),
    ("features.Independent", "importance", lambda i: features.Independent(0.1, i).importance, SHARES),
    ("features.Correlated", "set_density", lambda p: features.Correlated(p, (1, 1, 1)).density, SHARES),
    ("features.Correlated", "importance", lambda i: features.Correlated(0.1, (1, 2), i).importance, SHARES),
    ("features.Anticorrelated", "set_density", lambda p: features.Anticorrelated(p, (1, 1, 1)).density, SHARES),
    ("features.Anticorrelated", "importance", lambda i: features.Anticorrelated(0.1, (3,), i).importance, SHARES),
    ("features.Empirical", "data", lambda data: features.Empirical(data).rows(jnp.arange(2)), W),
    ("features.Empirical", "importance", lambda i: features.Empirical(W, i).importance, SHARES),
    ("features.Hierarchy", "chance", lambda p: features.Hierarchy(p, (-1, 0, 0)).chance, SHARES),
    ("features.Hierarchy", "importance", lambda i: features.Hierarchy(0.1, (-1, 0, 0), i).importance, SHARES),
    ("features.Hierarchy", "loadings", lambda u: features.Hierarchy(0.1, (-1, -1), loadings=u).loadings, [[0.5], [1]]),
    ("features.Copula", "density", lambda p: features.Copula(p, [[0.5]] * 3).density, SHARES),
    ("features.Copula", "loadings", lambda u: features.Copula(0.1, u).loadings, [[0.5], [1]]),
    ("features.Copula", "importance", lambda i: features.Copula(0.1, [[0.5]] * 3, i).importance, SHARES),
    ("features.ExactlyK", "importance", lambda i: features.ExactlyK(1, i).importance, SHARES),
    ("features.Scaled", "scale", lambda scale: features.Scaled(WORLD, scale).scale, SHARES),
    ("features.chances", "density", lambda p: features.chances(p, (-1, 0, 0)), SHARES),
    ("losses.mean_error", "x", lambda x: losses.mean_error(MODEL, x), [[1, 0, 2]]),
    ("losses.mean_error", "importance", lambda i: losses.mean_error(MODEL, [[1, 0, 2]], i), SHARES),
    ("losses.mean_error", "weight", lambda w: losses.mean_error(MODEL, W, weight=w), [1, 2]),
    ("losses.mean_activation", "x", lambda x: losses.mean_activation(MODEL, x), [[1, 0, 2]]),
    ("losses.mean_activation", "weight", lambda w: losses.mean_activation(MODEL, W, w), [1, 2]),
    ("attacks.Attacked", "budget", lambda budget: attacks.Attacked(WORLD, budget).budget, 1),
    ("losses.Sampled", "penalty", lambda penalty: losses.Sampled(WORLD, penalty=penalty).penalty, 1),
    ("models.Linear", "W", lambda W: models.Linear(W, [0, 0, 0]).W, W),
    ("models.ReluOutput", "x", lambda x: MODEL(x), [1, 0, 2]),
    ("models.ReluHidden", "b", lambda b: models.ReluHidden(W, b).b, [1, 0, 2]),
    ("models.Untied", "W_out", lambda w: models.Untied(W, [0, 0, 0], w).readout, np.ones((3, 2))),
    ("models.Mixture", "x", lambda x: models.Mixture(W, [0, 0, 0], experts=2, active=1)(x), [1, 0, 2]),
    ("models.Network", "hidden_bias", lambda h: models.Network(W, [0, 0, 0], None, h, "relu", "identity").hidden_bias, [1, 2]),
    ("dictionaries.Autoencoder", "h", lambda h: SAE(h), [1, 2]),
    ("dictionaries.Autoencoder", "W_enc", lambda w: dictionaries.Autoencoder(w, [1, 1], [[1, 0], [0, 1]], [0, 0], dictionaries.Relu(0.1), {}, jnp.zeros(2), jnp.zeros(())).encode([1, 1]), [[1, 0], [0, 1]]),
    ("dictionaries.Dictionary", "directions", lambda D: dictionaries.Dictionary(D, 0, dictionaries.OMP(1))([1, 2]), [[1, 0], [0, 2]]),
    ("dictionaries.Dictionary", "bias", lambda b: dictionaries.Dictionary([[1, 0], [0, 2]], b, dictionaries.OMP(1))([3, 2]), [1, 0]),
    ("dictionaries.Dictionary", "h", lambda h: dictionaries.Dictionary([[1, 0], [0, 2]], 0, dictionaries.OMP(1))(h), [1, 2]),
    ("dictionaries.FISTA", "penalty", lambda p: dictionaries.FISTA(p).penalty, 1),
    ("dictionaries.ReluStep", "threshold", lambda t: dictionaries.ReluStep(t).threshold, [1, 2]),
    ("dictionaries.NMF", "penalty", lambda p: dictionaries.NMF(p).penalty, 1),
    ("dictionaries.DictionaryLearning", "penalty", lambda p: dictionaries.DictionaryLearning(p).penalty, 1),
    ("dictionaries.best_threshold", "directions", lambda D: dictionaries.best_threshold(D, [[1, 0], [0, 1]], [[3, 1], [0, 2]]), [[1, 0], [0, 2]]),
    ("dictionaries.best_threshold", "x", lambda x: dictionaries.best_threshold([[1, 0], [0, 2]], x, [[3, 1], [0, 2]]), [[1, 0], [0, 1]]),
    ("dictionaries.best_threshold", "h", lambda h: dictionaries.best_threshold([[1, 0], [0, 2]], [[1, 0], [0, 1]], h), [[3, 1], [0, 2]]),
    ("dictionaries.Relu", "penalty", lambda p: dictionaries.Relu(p).penalty, 1),
    ("dictionaries.TopK", "k", lambda k: dictionaries.TopK(k).k, 1),
    ("dictionaries.BatchTopK", "k", lambda k: dictionaries.BatchTopK(k).k, 1),
    ("dictionaries.Matryoshka", "k", lambda k: dictionaries.Matryoshka(k).k, 1),
    ("dictionaries.JumpReLU", "penalty", lambda p: dictionaries.JumpReLU(p).penalty, 1),
    ("dictionaries.Gated", "penalty", lambda p: dictionaries.Gated(p).penalty, 1),
    ("dictionaries.Activations", "noise", lambda noise: dictionaries.Activations(MODEL, WORLD, noise).noise, 1),
    ("dictionaries.scores.recovery", "directions", lambda D: scores.recovery(D, W), [[1, 0], [0, 1]]),
    ("dictionaries.scores.recovery", "truth", lambda T: scores.recovery(W, T), [[1, 0], [0, 1]]),
    ("dictionaries.scores.uniqueness", "directions", lambda D: scores.uniqueness(D, W), [[1, 0], [0, 1]]),
    ("dictionaries.scores.matching", "directions", lambda D: tuple(scores.matching(D, W)), [[1, 0], [0, 1]]),
    ("dictionaries.scores.mcc", "truth", lambda T: scores.mcc(W, T), [[1, 0], [0, 1]]),
    ("dictionaries.scores.subspace", "directions", lambda D: scores.subspace(D, W), [[1, 0], [0, 1]]),
    ("dictionaries.scores.dead", "z", scores.dead, [[1, 0], [0, 0]]),
    ("dictionaries.scores.l0", "z", scores.l0, [[1, 0], [0, 0]]),
    ("dictionaries.scores.support", "z", lambda z: tuple(scores.support(z, [[1, 0], [0, 1]])), [[1, 1], [0, 0]]),
    ("dictionaries.scores.support", "x", lambda x: tuple(scores.support([[1, 1], [0, 0]], x)), [[1, 0], [0, 1]]),
    ("dictionaries.scores.columns", "values", lambda z: scores.columns(z, [1, -1]), [[1, 2], [0, 0]]),
    ("dictionaries.scores.absorption", "z", lambda z: scores.absorption(z, np.ones((2, 1)), [[1], [0]]), [[1], [1]]),
    ("dictionaries.scores.absorption", "child", lambda c: scores.absorption([[1], [1]], np.ones((2, 1)), c), [[1], [0]]),
    ("dictionaries.scores.explained_variance", "h", lambda h: scores.explained_variance(h, W), [[1, 0, 1], [0, 1, 2]]),
    ("dictionaries.scores.explained_variance", "reconstruction", lambda h: scores.explained_variance(W, h), [[1, 0, 1], [0, 1, 2]]),
    ("dictionaries.scores.shrinkage", "h", lambda h: scores.shrinkage(h, W), [[1, 0, 1], [0, 1, 2]]),
    ("dictionaries.scores.causal", "x", lambda x: tuple(scores.causal(MODEL, x, np.ones((2, 1)), [[1], [0]], [0, -1, -1])), [[1, 0, 2], [1, 1, 1]]),
    ("dictionaries.scores.causal", "z", lambda z: tuple(scores.causal(MODEL, [[1, 0, 2], [1, 1, 1]], z, np.eye(2), [0, -1, 1])), [[1, 2], [1, 1]]),
    ("dictionaries.scores.causal", "directions", lambda D: tuple(scores.causal(MODEL, [[1, 0, 2], [1, 1, 1]], [[1, 2], [1, 1]], D, [0, -1, 1])), [[1, 0], [0, 1]]),
    ("theory.recoverable", "undersampling", theory.recoverable, SHARES),
    ("theory.dropped_cost", "density", theory.dropped_cost, SHARES),
    ("theory.antipodal_cost", "density", theory.antipodal_cost, SHARES),
    ("theory.antipodal_cost", "other", lambda other: theory.antipodal_cost(0.1, 1.0, other), SHARES),
    ("theory.linear_loss", "density", lambda density: theory.linear_loss(density, 1.0, 1), SHARES),
    ("theory.linear_loss", "importance", lambda importance: theory.linear_loss(0.1, importance, 1), SHARES),
    ("theory.linear_terms", "W", lambda W: theory.linear_terms(W, 1.0), W),
    ("theory.linear_terms", "importance", lambda importance: theory.linear_terms(W, importance), SHARES),
    ("theory.one_active_loss", "W", lambda W: theory.one_active_loss(W, 0.0, 1.0), W),
    ("theory.one_active_loss", "b", lambda b: theory.one_active_loss(W, b, 1.0), SHARES),
    ("theory.thomson_energy", "W", theory.thomson_energy, W),
    ("theory.pair_loss", "w1", lambda w1: theory.pair_loss(w1, -1.0, 0.1), SHARES),
    ("theory.learned_features_bound", "density", lambda p: theory.learned_features_bound(99, 5, p), SHARES),
    ("theory.penalty_limit", "density", theory.penalty_limit, SHARES),
    ("theory.staircase", "x", lambda x: theory.staircase(x, 2, 0.1), SHARES),
    ("theory.compressed_pair", "x", lambda x: theory.compressed_pair(x, 0.5, 2, 0.1), SHARES),
    ("theory.compressed_pair", "y", lambda y: theory.compressed_pair(0.5, y, 2, 0.0), SHARES),
    ("theory.phase_losses", "density", lambda p: theory.phase_losses(2, p, 1.0), SHARES),
    ("theory.phase_losses", "importance", lambda importance: theory.phase_losses(3, 0.1, importance), SHARES),
    ("theory.phase_boundary", "importance", lambda importance: theory.phase_boundary(2, importance), SHARES),
    ("polytopes.tegum", "parts", polytopes.tegum, [[1, -1]]),
    ("polytopes.parts", "linked", polytopes.parts, [[0, 1], [0, 0]]),
    ("polytopes.nearest", "cosines", lambda cosines: tuple(polytopes.nearest(cosines)), [[1, -1], [-1, 1]]),
    ("grid.each", "values", lambda values: grid.each(lambda p: p * 2, values), SHARES),
    ("inputs.array", "data", lambda data: inputs.array(data, "data"), W),
    ("inputs.finite", "data", lambda data: inputs.finite(data, "data"), W),
    ("inputs.weights", "W", inputs.weights, W),
    ("inputs.numbers", "x", lambda x: tuple(inputs.numbers(x=x)), W),
]  # fmt: skip
CELLS = [pytest.param(*row[1:], id=f"{row[0]}-{row[1]}") for row in TAKES]


def _numbers(answer):
    """An answer's numbers, in float64, and nothing of what else it has."""
    leaves = [leaf for leaf in jax.tree.leaves(answer) if not isinstance(leaf, str)]
    return [np.asarray(leaf, np.float64) for leaf in leaves]


@pytest.mark.parametrize(("argument", "call", "good"), CELLS)
def test_arrays_of_all_kinds_give_the_answer_of_numpys(argument, call, good):
    expected = _numbers(call(np.asarray(good, np.float64)))
    for name, kind in ARRAYS.items():
        found = _numbers(call(kind(good)))
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("argument", "call", "good"), CELLS)
def test_strict_promotion_changes_nothing(argument, call, good):
    expected = _numbers(call(np.asarray(good, np.float32)))
    with jax.numpy_dtype_promotion("strict"):
        found = _numbers(call(np.asarray(good, np.float32)))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


OPTIONAL = {"W_enc", "noise", "loadings", "weight", "penalty", "W_out", "hidden_bias"}  # None is an answer


@pytest.mark.parametrize(("argument", "call", "good"), CELLS)
def test_what_is_no_array_is_refused(argument, call, good):
    for name, value in NO_ARRAYS.items():
        if name == "nothing" and argument in OPTIONAL:
            continue
        with pytest.raises(TypeError) as error:
            call(value)
        assert str(error.value).startswith(f"{argument} must be"), name
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("argument", "call", "good"), CELLS)
def test_nan_stays_nan_or_is_refused(argument, call, good):
    bad = np.asarray(good, np.float64).copy()
    bad.reshape(-1)[-1] = np.nan
    try:
        found = call(bad)
    except ValueError as error:
        refused = str(error)
    else:
        assert any(np.isnan(leaf).any() for leaf in _numbers(found))
        return
    assert refused.startswith(argument)
    assert "\n" not in refused


@pytest.mark.parametrize(
    ("argument", "call", "good"),
    [cell for cell in CELLS if np.ndim(cell.values[2]) == 2 and not cell.id.startswith(("inputs.array", "inputs.finite", "inputs.numbers", "models.", "dictionaries.Autoencoder-W"))],
)  # fmt: skip
def test_vectors_and_ensembles_are_refused_where_one_matrix_is_meant(argument, call, good):
    for value in ([1.0, -1.0], np.ones((2, 2, 3)), 1.0):
        with pytest.raises(ValueError, match=rf"^{argument} must ") as error:
            call(value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.int8, np.uint8, bool])
def test_numbers_of_every_type_will_do(dtype):
    W = np.array([[1, 0, 1], [0, 1, 1]]).astype(dtype)
    for given in (W, jnp.asarray(W)):
        found = np.asarray(measures.dimensionality(given), float)
        np.testing.assert_allclose(found, measures.dimensionality(W.astype(float)), rtol=2e-2)
        np.testing.assert_allclose(np.asarray(features.Empirical(given).rows(jnp.arange(2))), W.astype(float))
    assert measures.norms(W.astype(np.float32)).dtype == np.float32


def test_nothing_at_all_has_no_features():
    none = np.zeros((2, 0))
    assert measures.norms(none).shape == measures.dimensionality(none).shape == (0,)
    assert measures.gram(none).shape == (0, 0)
    assert measures.n_represented(none) == measures.excess_features(none) == 0
    assert measures.polytopes(none) == []


def test_weights_that_are_transposed_say_so_where_their_axes_have_names():
    with pytest.raises(
        ValueError, match=r"W must have the axes \(hidden, feature\), got \(feature, hidden\); transpose it"
    ):
        measures.norms(xr.DataArray(np.ones((3, 2)), dims=("feature", "hidden")))
    with pytest.raises(ValueError, match="hidden and feature as its last axes"):
        grid.over_models(measures.norms, GRID.transpose("member", "feature", "hidden"))
    with pytest.raises(
        ValueError, match=r"W_out must have the shape \(feature, hidden\) = \(3, 2\), got \(2, 3\)"
    ):
        measures.rescaled(W, W)


def mine(z):
    """An activation of a user's own."""
    return jnp.tanh(z)


SOLVE = {"progress": False}
# (name, what is wrong, the error, how the line begins)
REFUSED = [
    ("draws.key_of", lambda: draws.key_of(0.5), TypeError, "key must be"),
    ("draws.stream", lambda: draws.stream("0", "x"), TypeError, "key must be"),
    ("draws.one_key", lambda: draws.one_key(jax.random.split(KEY, 3)), ValueError, "key must be one key, got an array of keys of shape (3,)"),
    ("features.Independent", lambda: WORLD.sample(jax.random.split(KEY, 3), 2), ValueError, "key must be one key"),
    ("features.Independent", lambda: features.Independent(0.1, n_features=2.5), TypeError, "n_features must be a whole number"),
    ("features.Independent", lambda: features.Independent(0.1, value="uniform", n_features=2), TypeError, "value must be a law of values"),
    ("features.Independent", lambda: WORLD.sample(KEY, 2.5), TypeError, "n must be a whole number"),
    ("features.Independent", lambda: WORLD.sample(KEY, -1), ValueError, "n must be the number of samples"),
    ("features.Independent", lambda: features.Independent(np.ones((2, 3)) / 2), ValueError, "density must be a number or 3"),
    ("features.Correlated", lambda: features.Correlated(0.1, (2.5,)), TypeError, "sizes must be a whole number"),
    ("features.Anticorrelated", lambda: features.Anticorrelated(0.1, 2.5), TypeError, "sizes must be a whole number"),
    ("features.Hierarchy", lambda: features.Hierarchy(0.1, (0, -1)), ValueError, "parents must be features before their children, or -1 for roots, got 0 for feature 0"),
    ("features.Hierarchy", lambda: features.Hierarchy(0.1, ()), ValueError, "parents must name at least one root"),
    ("features.Hierarchy", lambda: features.Hierarchy(0.1, (-1, 0.5)), TypeError, "parents must be a whole number"),
    ("features.Hierarchy", lambda: features.Hierarchy(1.5, (-1, 0)), ValueError, "chance must be within [0, 1], got 1.5"),
    ("features.Hierarchy", lambda: features.Hierarchy(0.6, (-1, 0, 0), exclusive=True), ValueError, "the chances of exclusive children must sum to at most 1, got 1.2 for those of feature 0"),
    ("features.Hierarchy", lambda: features.Hierarchy(0.6, (-1, 0), loadings=[[0.1]] * 2), ValueError, "loadings must have 1 rows, one for each root, got 2"),
    ("features.Copula", lambda: features.Copula(0.6, [[0.8, 0.8]]), ValueError, "loadings must have rows with a sum of squares of at most 1, got 1.28 at feature 0"),
    ("features.Copula", lambda: features.Copula(0.6, [0.8, 0.8]), ValueError, "loadings must have the shape (feature, factor)"),
    ("features.ExactlyK", lambda: features.ExactlyK(4, n_features=3), ValueError, "k must be within 0..3, got 4"),
    ("features.ExactlyK", lambda: features.ExactlyK(1.5, n_features=3), TypeError, "k must be a whole number"),
    ("features.Sum", lambda: features.Sum(), ValueError, "Sum needs at least one law of features"),
    ("features.Sum", lambda: features.Sum(3), TypeError, "features must be a law that samples"),
    ("features.Scaled", lambda: features.Scaled(3, 1.0), TypeError, "features must be a law that samples"),
    ("features.Scaled", lambda: features.Scaled(WORLD, 0.0), ValueError, "scale must be positive and finite, got 0"),
    ("features.zipf", lambda: features.zipf(0), ValueError, "n_features must be at least 1, got 0"),
    ("features.zipf", lambda: features.zipf(3, exponent=0), ValueError, "exponent must be positive"),
    ("features.zipf", lambda: features.zipf(3, most=0.1, least=0.2), ValueError, "most and least must be 0 <= least <= most <= 1"),
    ("features.equal_loadings", lambda: features.equal_loadings(3, -0.1), ValueError, "correlation must be within [0, 1]"),
    ("features.random_loadings", lambda: features.random_loadings(3, 0, 0.1, key=KEY), ValueError, "n_features and rank must be at least 1, got 3 and 0"),
    ("features.random_loadings", lambda: features.random_loadings(3, 1, -0.1, key=KEY), ValueError, "scale must be 0 or more"),
    ("features.regular_forest", lambda: features.regular_forest(0, 2, 1), ValueError, "a forest needs roots and branching of at least 1"),
    ("features.Empirical", lambda: features.Empirical([1, 2]), ValueError, "data must be a matrix"),
    ("features.Empirical", lambda: features.Empirical([[np.inf]]), ValueError, "data must be finite"),
    ("models.ReluOutput", lambda: models.ReluOutput.init(5.0, 2, key=0), TypeError, "n_features must be a whole number"),
    ("models.ReluOutput", lambda: models.ReluOutput.init(5, 2, key=0, activation=3), ValueError, "unknown activation 3"),
    ("features.Empirical", lambda: features.Empirical([[1e39, 1]]), ValueError, "data must be finite, and at most 3.4e+38"),
    ("features.Anticorrelated", lambda: features.Anticorrelated([0.1, 1.1], (1, 2)), ValueError, "set_density must be within [0, 1], got 1.1 at set 1"),
    ("models.ReluOutput", lambda: models.ReluOutput.init(5, 2, key=0, scale=np.nan), ValueError, "scale must be finite, got nan"),
    ("models.Mixture", lambda: models.Mixture.init(6, 2, experts=2, key=0, scale="a"), TypeError, "scale must be"),
    ("models.ReluOutput", lambda: models.ReluOutput.init(5, 2, key=0, activation=np.linalg.norm), TypeError, "activation must be a function of JAX's arrays, such as jnp.sin"),
    ("models.ReluOutput", lambda: MODEL([1, 2]), ValueError, "x must have the 3 features"),
    ("models.ReluOutput", lambda: MODEL(np.ones((4, 3))), ValueError, "x must have the shape (feature), got (4, 3); for several"),
    ("models.ReluOutput", lambda: models.ReluOutput(np.ones(3), np.ones(3)), ValueError, "W must have the shape (hidden, feature)"),
    ("models.ReluOutput", lambda: models.ReluOutput(W, 0.0), ValueError, "b must have the shape (3,) where W has (2, 3), got ()"),
    ("models.ReluOutput", lambda: models.ReluOutput(W, [0, 0]), ValueError, "b must have the shape (3,)"),
    ("models.ReluHidden", lambda: models.ReluHidden(W, [0, 0, 0], None, [0, 0, 0], "relu", "relu"), ValueError, "hidden_bias must have the shape (2,)"),
    ("models.Untied", lambda: models.Untied(W, [0, 0, 0], W), ValueError, "W_out must have the shape (3, 2) where W has (2, 3), got (2, 3); transpose it"),
    ("models.ReluOutput", lambda: models.ReluOutput.init(5, 2, key=jax.random.split(KEY, 3)), ValueError, "key must be one key"),
    ("models.Mixture", lambda: models.Mixture.init(5, 2, experts=2.0, key=0), TypeError, "experts must be a whole number"),
    ("models.Linear", lambda: models.Linear(W, [0, 0, 0], activation="rleu"), ValueError, "unknown activation 'rleu'"),
    ("losses.Sampled", lambda: losses.Sampled(np.eye(2)), TypeError, "features must be a law that samples"),
    ("losses.Sampled", lambda: losses.Sampled(WORLD, 1.5), TypeError, "batch must be a whole number"),
    ("losses.Sampled", lambda: losses.Sampled(WORLD, 0), ValueError, "batch must be at least 1"),
    ("losses.Sampled", lambda: losses.Sampled(WORLD, weight=2), TypeError, "weight must be a function"),
    ("losses.Sampled", lambda: losses.Sampled(WORLD)(W, KEY), TypeError, "model must be a network"),
    ("losses.Sampled", lambda: losses.Sampled(WORLD)(MODELS, KEY), ValueError, "model must be one model"),
    ("losses.Population", lambda: losses.Population(WORLD)(W), TypeError, "model must be a network"),
    ("losses.Population", lambda: losses.Population(WORLD)(MODELS), ValueError, "model must be one model"),
    ("losses.Population", lambda: losses.Population(np.ones(5)), TypeError, "features must be a law"),
    ("losses.Population", lambda: losses.Population(features.Independent), TypeError, "features must be a law that samples, such as Independent(0.1, n_features=5), got the class Independent"),
    ("losses.Population", lambda: losses.Population(WORLD, harmonics=64.5), TypeError, "harmonics must be a whole number"),
    ("losses.Population", lambda: losses.Population(WORLD, target=["x"]), ValueError, "unknown target ['x']"),
    ("losses.Active", lambda: losses.Active(WORLD, 1)(W), TypeError, "model must be a network"),
    ("attacks.Attacked", lambda: attacks.Attacked(W, 0.1), TypeError, "features must be a law that samples"),
    ("attacks.Attacked", lambda: attacks.Attacked(WORLD, [0.1]), ValueError, "budget must be one number"),
    ("attacks.Attacked", lambda: attacks.Attacked(WORLD, np.nan), ValueError, "budget must not be negative"),
    ("attacks.attacks", lambda: attacks.attacks(W), TypeError, "model must be a network"),
    ("losses.mean_error", lambda: losses.mean_error(MODEL, [[1, 2]]), ValueError, "the model has 3 features and the data 2"),
    ("losses.mean_error", lambda: losses.mean_error(MODEL, W, target="y"), ValueError, "unknown target 'y'"),
    ("losses.mean_error", lambda: losses.mean_error(MODEL, W, [1, 2]), ValueError, "importance must be a number or 3"),
    ("losses.mean_activation", lambda: losses.mean_activation(W, W), TypeError, "model must be a network"),
    ("curves.jumps", lambda: curves.jumps([1, 2], [1, 2, 3], 0.5), ValueError, "values and steps must be as many"),
    ("curves.jumps", lambda: curves.jumps([1, 2], [2, 1], 0.5), ValueError, "steps must be positive and rise"),
    ("curves.plateaus", lambda: curves.plateaus([0, 1], [1, 2]), ValueError, "values must be positive"),
    ("theory.linear_loss", lambda: theory.linear_loss(SHARES, 1.0, 1.5), TypeError, "n_hidden must be a whole number"),
    ("theory.linear_terms", lambda: theory.linear_terms(W, [1, 2]), ValueError, "importance must be a number or 3"),
    ("theory.phase_losses", lambda: theory.phase_losses(4, 0.1, 1.0), ValueError, "n_features must be 2 or 3"),
    ("theory.phase_boundary", lambda: theory.phase_boundary(4, 1.0), ValueError, "n_features must be 2 or 3"),
    ("theory.staircase", lambda: theory.staircase(0.1, 0, 0.1), ValueError, "levels must be at least 1"),
    ("solutions.families", lambda: solutions.families(2, 3), ValueError, "n_hidden must be within"),
    ("solutions.families", lambda: solutions.families(2.0, 1), TypeError, "n_features must be a whole number"),
    ("solutions.optimized", lambda: solutions.optimized({}, WORLD), ValueError, "candidates must be at least one"),
    ("solutions.optimized", lambda: solutions.optimized(solutions.families(2, 1), WORLD), ValueError, "features must be a law of the 2"),
    ("solutions.regular", lambda: solutions.regular(["squares"], [0.1]), KeyError, "\"unknown polytope 'squares'"),
    ("solutions.regular", lambda: solutions.regular(["digon"], 0.1), ValueError, "density must have the shape"),
    ("measures.gaps", lambda: measures.gaps(np.ones((3, 4))), ValueError, "W must have 2 hidden dimensions, got 3"),
    ("polytopes.polygon", lambda: polytopes.polygon(0), ValueError, "k must be at least 1"),
    ("polytopes.simplex", lambda: polytopes.simplex(1.5), TypeError, "d must be a whole number"),
    ("polytopes.antiprism", lambda: polytopes.antiprism(4, 1.5), ValueError, "height must be from 0 to 1"),
    ("polytopes.share", lambda: polytopes.share("sqare"), KeyError, "\"unknown polytope 'sqare'"),
    ("polytopes.corners", lambda: polytopes.corners("sqare"), KeyError, "\"unknown polytope 'sqare'"),
    ("polytopes.tegum", lambda: polytopes.tegum(), ValueError, "parts must be at least one"),
    ("polytopes.nearest", lambda: polytopes.nearest(W), ValueError, "cosines must have as many rows as columns"),
    ("dictionaries.Autoencoder", lambda: dictionaries.Autoencoder.init(2.0, 3, dictionaries.Relu(0.1), key=0), TypeError, "n_hidden must be a whole number"),
    ("dictionaries.Autoencoder", lambda: SAE([1, 2, 3]), ValueError, "h must have the 2 hidden dimensions"),
    ("dictionaries.Reconstruction", lambda: dictionaries.Reconstruction(W), TypeError, "activations must have sample"),
    ("dictionaries.Activations", lambda: dictionaries.Activations(MODEL, W), TypeError, "features must be a law"),
    ("dictionaries.fit_each", lambda: dictionaries.fit_each([dictionaries.TopK(1)], [WORLD] * 2, 2, key=0), ValueError, "activations must be one for all, or one for each"),
    ("train.member_keys", lambda: train.member_keys(0, 1.5), TypeError, "members must be a whole number"),
    ("train.member_keys", lambda: train.member_keys(jax.random.split(KEY, 2), 2), ValueError, "key must be a single key"),
    ("train.ensemble", lambda: train.ensemble(3, members=2, key=0), TypeError, "init must be a function"),
    ("train.ensemble", lambda: train.ensemble(lambda key: 0, members=0, key=0), ValueError, "an ensemble needs at least one member"),
    ("train.member", lambda: train.member(MODELS, 2), IndexError, "index must be within 0..1, got 2"),
    ("train.member", lambda: train.member(MODELS, [0, -3]), IndexError, "index must be within"),
    ("train.member", lambda: train.member(MODELS, 0.5), TypeError, "index must be the number"),
    ("train.stack", lambda: train.stack([MODEL, WORLD]), ValueError, "models, laws or losses must be of one kind"),
    ("train.fit", lambda: train.fit(MODEL, losses.Sampled(WORLD), steps=1, key=0), ValueError, "models must have the members"),
    ("train.fit", lambda: train.fit({}, losses.Sampled(WORLD), steps=1, key=0), TypeError, "models must have arrays"),
    ("train.fit", lambda: train.fit(MODELS, None, steps=1, key=0), TypeError, "loss must be called with a model and a key"),
    ("train.fit", lambda: train.fit(MODELS, lambda a, b, c: 0.0, steps=1, key=0), TypeError, "loss must take a model and a key"),
    ("train.fit", lambda: train.fit(MODELS, lambda model: model.b, steps=1, key=0), TypeError, "loss must return one real number"),
    ("train.fit", lambda: train.fit(MODELS, losses.Sampled(WORLD), steps=1, key=0, snapshots=1), TypeError, "snapshots must be steps, such as (0, 1), got 1"),
    ("train.minimize", lambda: train.minimize(MODELS, losses.Population(WORLD), tolerance="a"), TypeError, "tolerance must be a number, got 'a'"),
    ("train.fit", lambda: train.fit(MODELS, losses.Sampled(WORLD), steps=1.5, key=0), TypeError, "steps must be a whole number"),
    ("train.fit", lambda: train.fit(MODELS, losses.Sampled(WORLD), steps=1, key=jax.random.split(KEY, 3)), ValueError, "key must be one key, or one for each of the 2"),
    ("train.fit", lambda: train.fit(MODELS, losses.Sampled(WORLD), steps=1, key=0, optimizer=0.1), TypeError, "optimizer must be one of optax"),
    ("train.fit", lambda: train.fit(MODELS, losses.Sampled(WORLD), steps=1, key=0, own_loss=True), ValueError, "own_loss needs one loss for each of the 2"),
    ("train.minimize", lambda: train.minimize(MODELS, losses.Sampled(WORLD)), TypeError, "minimize needs a loss of the model alone, and Sampled"),
    ("train.minimize", lambda: train.minimize(MODELS, lambda model, key: 0.0), TypeError, "minimize needs a loss of the model alone"),
    ("train.minimize", lambda: train.minimize(MODEL, losses.Population(WORLD)), ValueError, "models must have the members"),
    ("train.minimize", lambda: train.minimize(["a"], losses.Population(WORLD)), TypeError, "models[0] must be"),
    ("train.minimize", lambda: train.minimize(MODELS, losses.Population(WORLD), evaluations=0), ValueError, "evaluations must be at least 1"),
    ("train.minimize", lambda: train.minimize(MODELS, losses.Population(WORLD), tolerance=np.nan), ValueError, "evaluations must be at least 1"),
    ("train.minimize", lambda: train.minimize(MODELS, losses.Population(WORLD), own_loss=True), ValueError, "own_loss needs one loss"),
    ("train.basins", lambda: train.basins(MODELS), TypeError, "solved must be what minimize returns"),
    ("train.basins", lambda: train.basins(MINIMUM, features.Independent(0.1, n_features=2)), ValueError, "features must be the law of the models' 3"),
    ("grid.dataset", lambda: grid.dataset(MODELS, np.ones(2), axes={"member": range(3)}), ValueError, "models, loss and more must have the 3 points"),
    ("grid.dataset", lambda: grid.dataset(W, np.ones(2), axes={"member": range(2)}), TypeError, "models must be networks"),
    ("grid.each", lambda: grid.each(lambda a, b: a, SHARES, [1, 2]), ValueError, "values must be arrays of one length"),
    ("losses.Active", lambda: losses.Active(WORLD, 2.5), TypeError, "count must be a whole number, got 2.5"),
    ("losses.mean_error", lambda: losses.mean_error(MODEL, np.ones((2, 3)), -1), ValueError, "importance must be finite and not negative"),
    ("losses.mean_error", lambda: losses.mean_error(MODEL, np.ones((0, 3))), ValueError, "x must have at least one sample"),
    ("measures.n_represented", lambda: measures.n_represented(W, "x"), TypeError, "threshold must be"),
    ("measures.excess_features", lambda: measures.excess_features(W, "x"), TypeError, "threshold must be"),
    ("measures.monosemantic", lambda: measures.monosemantic(W, "x"), TypeError, "threshold must be"),
    ("measures.linearity", lambda: measures.linearity(MODEL.encode, np.zeros((0, 3))), ValueError, "x must have at least one sample"),
    ("measures.polytopes", lambda: jax.jit(measures.polytopes)(jnp.eye(2)), TypeError, "W must be known numbers here"),
    ("models.Mixture", lambda: models.Mixture(W, [0, 0, 0], experts=3, active=1), ValueError, "experts must have as many of the 2 hidden units each"),
    ("models.Mixture", lambda: models.Mixture(W, [0, 0, 0], experts=2, active=0), ValueError, "experts must have as many"),
    ("train.stack", lambda: train.stack(MODEL), TypeError, "stack takes several models"),
    ("train.ensemble", lambda: train.ensemble(models.ReluOutput, members=3, key=0), TypeError, "init must be a function of a key"),
    ("train.fit", lambda: train.fit(MODELS, lambda model: "a", steps=1, key=0), TypeError, "loss must return one real number, got str"),
    ("grid.each", lambda: grid.each(lambda a: a, 0.1), ValueError, "values must be arrays of one length"),
    ("grid.each", lambda: grid.each(lambda p: float(p), SHARES), TypeError, "the numbers of all points come at once"),
    ("grid.each", lambda: grid.each(lambda p: p if p < 0.5 else 0.5, SHARES), TypeError, "the numbers of all points"),
    ("grid.each", lambda: grid.each(np.asarray, SHARES), TypeError, "the numbers of all points come at once"),
    ("train.ensemble", lambda: train.ensemble(MODEL, members=3, key=0), TypeError, "init must be a function of a key"),
    ("train.minimize", lambda: train.minimize(MODELS, _losses(losses.Population)), ValueError, "loss has numbers for each of the 2 members, one loss each: say own_loss=True"),
    ("train.fit", lambda: train.fit(MODELS, _losses(losses.Sampled), steps=1, key=0), ValueError, "loss has numbers for each of the 2 members, one loss each: say own_loss=True"),
    ("grid.best", lambda: grid.best(DATA.drop_vars("loss")), ValueError, "data must have a loss along member"),
    ("grid.over_models", lambda: grid.over_models(measures.norms, np.ones((2, 3))), TypeError, "W must be a DataArray"),
    ("inputs.whole", lambda: inputs.whole(True, "x"), TypeError, "x must be a whole number, got True"),
    ("corpus.read", lambda: corpus.read("no such file"), ValueError, "cannot read no such file: No such file or directory"),
    ("corpus.words", lambda: corpus.words(b"red sea"), TypeError, "text must be a str, got bytes"),
    ("corpus.windows", lambda: corpus.windows("red sea", 2), TypeError, "texts must be a list of them, got a str"),
    ("corpus.windows", lambda: corpus.windows([None], 2), TypeError, "text must be a str, got NoneType"),
    ("corpus.windows", lambda: corpus.windows(["red sea"], 0), ValueError, "size must be at least 1, got 0"),
    ("corpus.windows", lambda: corpus.windows(["red sea"], 1.5), TypeError, "size must be a whole number, got 1.5"),
    ("corpus.frequent", lambda: corpus.frequent(["red sea"], 2), TypeError, "windows must be lists of words, got a str"),
    ("corpus.frequent", lambda: corpus.frequent([["red", "sea"]], 0), ValueError, "n must be at least 1, got 0"),
    ("corpus.frequent", lambda: corpus.frequent([["red", "sea"]], 2, "red"), TypeError, "stop must be a set of words, got a str"),
    ("corpus.bags", lambda: corpus.bags(["red sea"], ["sea"]), TypeError, "windows must be lists of words, got a str"),
    ("corpus.bags", lambda: corpus.bags([["red", "sea"]], "sea"), TypeError, "words must be a list of them, got a str"),
    ("corpus.bags", lambda: corpus.bags([["red", "sea"]], ["sea", "red", "sea"]), ValueError, "words must be different, got 'sea' twice"),
    ("corpus.pointwise_information", lambda: corpus.pointwise_information([1, 0]), ValueError, "bags must be a matrix (window, word) of 0 and 1"),
    ("corpus.pointwise_information", lambda: corpus.pointwise_information([[1, np.nan]]), ValueError, "bags must be a matrix (window, word) of 0 and 1"),
    ("corpus.shuffled", lambda: corpus.shuffled([["red", "sea"]], 0), ValueError, "bags must be a matrix (window, word) of 0 and 1"),
    ("explorer.page", lambda: explorer.page(np.eye(2)), TypeError, "data must be models, what minimize, fit or superpose.run gave, an xarray.Dataset"),
    ("explorer.page", lambda: explorer.page("no such folder"), FileNotFoundError, "no such folder is not there; give a result's"),
    ("explorer.page", lambda: explorer.page(MODELS, features=0.1), TypeError, "features must be a law that samples"),
    ("explorer.page", lambda: explorer.page(MODELS, features=features.Independent(0.1, n_features=2)), ValueError, "features must be the law of the models' 3, got 2"),
    ("explorer.show", lambda: explorer.show(MODELS, at={"x": 1}), ValueError, "there is no axis 'x'; there are member"),
    ("explorer.widget", lambda: explorer.widget(DATA.drop_vars("W")), ValueError, "data must have W (..., hidden, feature), got"),
    ("explorer.written", lambda: explorer.written("/"), IsADirectoryError, "/ is a folder; give a file"),
    ("explorer.joined", lambda: explorer.joined({"a": "export default 1;\n"}), ValueError, "a.js has 'export default 1;', which cannot stand in one script"),
    ("notebook.std", lambda: notebook.std(5, 0, 2), ValueError, "n_hidden must be at least 1"),
    ("notebook.init", lambda: notebook.init(5, 2, 0, key=0), ValueError, "n_instances must be at least 1"),
    ("notebook.optimizer", lambda: notebook.optimizer(10, "cosin"), ValueError, "unknown rate 'cosin'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "said"), [pytest.param(*row[1:], id=f"{row[0]}: {row[3]}") for row in REFUSED]
)
def test_what_is_wrong_is_said_in_one_line(call, error, said):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


# Tested elsewhere: with other tests of keys, or taking nothing that could be wrong but what others check.
ELSEWHERE = {
    "inputs.check_each", "features.weighs", "features.check_law", "features.check_sampled", "models.check_features",  # by what is checked with them
    "features.Law",  # what laws share
    "train.cosine_adam", "train.filled",  # what optax says, and any models
    "losses.SameSamples",  # takes any loss: test_losses
    "inputs.number",  # by what models are scaled with
    "dictionaries.score", "dictionaries.scores.consistency", "dictionaries.scores.nearest", "dictionaries.scores.live", "dictionaries.scores.removal",  # test_scores
    "dictionaries.worlds.named", "dictionaries.worlds.names", "dictionaries.worlds.content",  # test_score_command
    "corpus.topics",  # takes nothing
    "frames.measured", "frames.chance.frame_potential", "frames.chance.frame_potential_std", "frames.chance.least_potential", "frames.chance.least_coherence", "frames.chance.beyond",
    "frames.chance.nearest", "frames.chance.coherence", "frames.chance.cosine_density", "frames.chance.interference", "frames.chance.dimensionality", "frames.chance.excess", "frames.chance.participation",
    "frames.chance.sample", "frames.chance.histogram",  # test_frames
    "grid.law",  # any law: test_explorer
    "grid.task",  # any loss: test_sweep
    "dictionaries.codes", "dictionaries.OMP", "dictionaries.NNLS", "dictionaries.LeastSquares", "dictionaries.MOD", "dictionaries.KSVD", "dictionaries.PCA", "dictionaries.ICA",
    "dictionaries.oracle", "dictionaries.closest", "dictionaries.random_dictionary",  # test_sparse_coding
    "dictionaries.random_directions", "dictionaries.orthogonal_directions", "dictionaries.coherent_directions",
    "draws.bits", "draws.uniform", "draws.normal", "draws.choice",  # take what `key_of` gives: test_draws
    "models.activation_name", "solutions.Family", "solutions.assignments", "grid.fitted", "grid.solved", "grid.described", "grid.evaluated", "grid.points", "grid.stacked", "grid.unstacked", "settings.at_least",
    "models.name_in_activations", "models.standard_kind", "grid.activations_of",  # by what saves models: test_export
    "torch.module", "torch.model", "torch.state_dict", "torch.arrays", "torch.dictionary", "torch.dictionary_state", "torch.save_dictionary",  # test_layouts, test_torch
    "cards.save_model", "cards.load_model", "cards.export",  # test_export
    "settings.shares", "settings.option", "costs.check_room", "costs.Cost", "costs.training", "costs.minimizing", "costs.evaluating", "notebook.MeanSquare", "notebook.optimize",
}  # fmt: skip
RESULTS = {
    "measures.Polytope", "polytopes.Match", "theory.LinearTerms", "solutions.Regular", "solutions.Candidates", "train.Fit",
    "train.Minimum", "train.Basins", "explorer.Frame", "dictionaries.scores.Matching", "dictionaries.scores.Support", "dictionaries.scores.Causal",
    "dictionaries.worlds.World", "frames.Measured", "frames.chance.Sample", "cards.Saved",
}  # fmt: skip
MODULES = ("draws", "inputs", "corpus", "features", "models", "losses", "attacks", "measures", "curves", "theory", "solutions", "train", "dictionaries", "dictionaries.scores", "dictionaries.worlds", "frames", "frames.chance", "polytopes", "grid", "settings", "costs", "notebook", "torch", "cards", "explorer")  # fmt: skip


def test_the_table_has_every_public_name():
    public = {
        f"{name}.{label}"
        for name in MODULES
        for label, thing in vars(importlib.import_module(f"superpose.{name}")).items()
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and not label.startswith("_")
        if thing.__module__ is not None and thing.__module__.startswith(f"superpose.{name}")
    }
    there = {row[0] for row in TAKES} | {row[0] for row in REFUSED} | ELSEWHERE | RESULTS
    assert public - there == set()
    assert {
        name
        for name in there
        if name.split(".")[1] not in vars(importlib.import_module(f"superpose.{name.split('.')[0]}"))
    } == set()


def test_an_activation_may_be_any_function():
    own, world = models.ReluOutput([[2]], [0.3], activation=mine), features.Independent([1.0])
    assert float(own([1.0])[0]) == pytest.approx(np.tanh(4.3), rel=1e-6)
    x = (np.arange(10_000) + 0.5) / 10_000
    exact = float(losses.Population(world, harmonics=64)(own))
    assert exact == pytest.approx(((x - np.tanh(4 * x + 0.3)) ** 2).mean(), rel=1e-6)
    with pytest.raises(ValueError, match="this model's is mine; use method='quadrature'"):
        losses.Population(world, method="enumeration")(own)
    hidden = models.ReluOutput(W, [0, 0, 0], hidden_activation=mine)
    with pytest.raises(ValueError, match="linear hidden layer, and this model's is mine"):
        losses.Population(WORLD)(hidden)


def test_any_callable_is_a_loss_and_any_kind_of_key_a_key():
    sampled = losses.Sampled(WORLD, 16)
    expected = train.fit(MODELS, sampled, steps=3, key=0, **SOLVE)
    told = {"functions": lambda model, key: sampled(model, key), "methods": sampled.__call__}
    for loss in told.values():
        np.testing.assert_array_equal(
            train.fit(MODELS, loss, steps=3, key=0, **SOLVE).history, expected.history
        )
    for key in (KEY, jax.random.PRNGKey(0), np.int64(0), train.member_keys(KEY, 2)):
        np.testing.assert_array_equal(
            train.fit(MODELS, sampled, steps=3, key=key, **SOLVE).models.W, expected.models.W
        )
    raw = jax.random.key_data(train.member_keys(KEY, 2))
    np.testing.assert_array_equal(
        train.fit(MODELS, sampled, steps=3, key=raw, **SOLVE).models.W, expected.models.W
    )
    # A loss that draws nothing needs no key.
    apart = train.fit(
        MODELS, lambda model: (model.W**2).sum(), steps=1, key=0, optimizer=optax.sgd(0.25), **SOLVE
    )
    np.testing.assert_allclose(apart.models.W, np.asarray(MODELS.W) / 2, rtol=1e-6)


def test_an_optimizer_may_try_the_loss_elsewhere():
    # L-BFGS, with its line search, is at the bottom of a paraboloid after two steps.
    starts = np.array([[3.0, -2.0], [0.5, 8.0]], np.float32)
    found = train.fit(starts, lambda x: (x**2).sum(), steps=3, key=0, optimizer=optax.lbfgs(), **SOLVE)
    np.testing.assert_allclose(found.models, 0, atol=1e-5)


def test_training_does_not_mind_strict_promotion():
    expected = train.fit(MODELS, losses.Sampled(WORLD, 16), steps=3, key=0, **SOLVE)
    bowl = np.array([[2.0, 1.0]])
    with jax.numpy_dtype_promotion("strict"):
        found = train.fit(MODELS, losses.Sampled(WORLD, 16), steps=3, key=0, **SOLVE)
        solved = train.minimize(bowl, lambda x: 1 + (x**2).sum(), **SOLVE)
    np.testing.assert_array_equal(found.models.W, expected.models.W)
    assert solved.converged.all()


@pytest.mark.parametrize(
    "loss",
    [
        losses.Population(features.Independent(0.1, n_features=3), method="characteristic"),
        losses.Population(features.Independent(0.1, value=Exponential(), n_features=3)),
        losses.Population(features.Correlated(0.1, (2, 1), value=Gaussian()), target="abs"),
        losses.Active(features.Anticorrelated(0.1, (2, 1)), 1),
    ],
)
def test_exact_losses_and_their_gradients_do_not_mind_strict_promotion(loss):
    expected = jax.value_and_grad(lambda model: loss(model))(MODEL)
    with jax.numpy_dtype_promotion("strict"):
        found = jax.value_and_grad(lambda model: loss(model))(MODEL)
    for a, b in zip(_numbers(found), _numbers(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_sparse_matrices_of_all_kinds_are_data():
    for kind in ("csr", "csc", "coo", "lil", "dok"):
        law = features.Empirical(scipy.sparse.csr_matrix(np.array(W, float)).asformat(kind))
        np.testing.assert_array_equal(law.rows(jnp.arange(2)), W)
