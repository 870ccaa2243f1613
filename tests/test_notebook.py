import doctest
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpose import grid, notebook
from superpose.draws import stream
from superpose.features import Independent
from superpose.train import ensemble, fit, member_keys

KEY = jax.random.key(0)


@pytest.mark.parametrize("sizes", [(5, 2, 10), (200, 20, 20), (20, 5, 400)])
def test_initial_weights_have_the_std_that_pytorch_gives_a_tensor_of_three_axes(sizes):
    n, m, instances = sizes
    fan_in, fan_out = n * m, instances * m  # shape (instance, feature, hidden), its last axis the kernel
    assert notebook.std(*sizes) == pytest.approx(np.sqrt(2 / (fan_in + fan_out)))
    many = ensemble(
        lambda key: notebook.init(*sizes, key=key), members=max(1, 10_000 // (n * m * instances)), key=KEY
    )
    W = np.asarray(many.W, np.float64)
    assert abs(W.std() - notebook.std(*sizes)) <= 5 * notebook.std(*sizes) / np.sqrt(
        2 * W.size
    )  # standard errors
    assert many.W.shape[1:] == (instances, m, n)
    assert not many.b.any()


def test_rates_are_those_of_the_notebook():
    for step in (0, 3, 9):
        assert notebook.rates["constant"](step, 10) == 1
        assert notebook.rates["linear"](step, 10) == pytest.approx(1 - step / 10)
        assert float(notebook.rates["cosine"](step, 10)) == pytest.approx(
            np.cos(0.5 * np.pi * step / 9), abs=1e-6
        )
    with pytest.raises(ValueError, match="unknown rate 'cosin'; known are constant, linear, cosine"):
        notebook.optimizer(10, "cosin")


def _gradient(W, b, x, importance):
    """Of the mean over samples and features of importance (x - ReLU(W^T W x + b))^2, by hand."""
    out = x @ W.T @ W + b
    slope = -2 * importance * (x - np.maximum(out, 0)) * (out > 0) / x.size
    return W @ (x.T @ slope + slope.T @ x), slope.sum(axis=0)


@pytest.mark.parametrize("rate", ["constant", "linear", "cosine"])
def test_three_steps_are_those_of_adamw_in_numpy(rate):
    density, importance, batch = np.array([0.3, 0.8]), 0.9 ** np.arange(5), 64
    worlds = grid.each(lambda density: Independent(density, importance), density)
    models = notebook.init(5, 2, 2, key=KEY)
    models = eqx.tree_at(lambda model: model.b, models, models.b + 0.2)  # so that decay of biases is seen
    trained = notebook.optimize(models, worlds, key=KEY, steps=3, batch=batch, rate=rate, lr=0.01).models
    for i in range(2):
        world = jax.tree.map(lambda leaf: leaf[i], worlds)  # noqa: B023
        weights = [np.asarray(models.W[i], np.float64), np.asarray(models.b[i], np.float64)]
        mean, square = [0.0, 0.0], [0.0, 0.0]
        for step in range(3):
            key = jax.random.fold_in(stream(member_keys(KEY, 2)[i], "draws of training"), step)
            x = np.asarray(world.sample(key, batch), np.float64)
            scale = 0.01 * float(notebook.rates[rate](step, 3))
            for at, slope in enumerate(_gradient(*weights, x, importance)):
                mean[at] = 0.9 * mean[at] + 0.1 * slope
                square[at] = 0.999 * square[at] + 0.001 * slope**2
                ahead = mean[at] / (1 - 0.9 ** (step + 1))
                size = np.sqrt(square[at] / (1 - 0.999 ** (step + 1))) + 1e-8
                weights[at] = weights[at] * (1 - scale * 0.01) - scale * ahead / size
        np.testing.assert_allclose(trained.W[i], weights[0], rtol=1e-4, atol=2e-6)
        np.testing.assert_allclose(trained.b[i], weights[1], rtol=1e-4, atol=2e-6)


def test_adam_hardly_sees_that_the_loss_is_a_mean_over_features():
    # Of the sum, the gradient is 5 times as large, which Adam divides out, but for its eps.
    worlds = grid.each(lambda density: Independent(density, n_features=5), [0.5])
    models = notebook.init(5, 2, 1, key=KEY)
    mean = notebook.optimize(models, worlds, key=KEY, steps=50, batch=64).models
    loss = notebook.Sampled(worlds, 64)
    summed = fit(models, loss, steps=50, key=KEY, own_loss=True, optimizer=notebook.optimizer(50)).models
    np.testing.assert_allclose(mean.W, summed.W, atol=1e-5)
    assert float(jnp.abs(mean.W - models.W).max()) > 0.01


def test_the_guide_from_the_notebook_is_true():
    guide = Path(__file__).parent.parent / "docs" / "from-the-notebook.md"
    assert (
        doctest.testfile(
            str(guide), module_relative=False, optionflags=doctest.REPORT_ONLY_FIRST_FAILURE
        ).failed
        == 0
    )
