import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpose import grid
from superpose.features import Anticorrelated, Copula, Correlated, Hierarchy, Independent
from superpose.losses import Population
from superpose.models import Linear, ReluOutput, Untied
from superpose.train import Minimum, basins, ensemble, minimize
from superpose.values import Uniform

PENTAGON = np.array([np.cos(2 * np.pi * np.arange(5) / 5), np.sin(2 * np.pi * np.arange(5) / 5)])


def _solved(W, b, loss, outcome=0):
    """Models made by hand, as if they had been minimized."""
    W, b, loss = (np.asarray(values, float) for values in (W, b, loss))
    zero = np.zeros(len(loss))
    with jax.enable_x64(True):
        models = jax.vmap(lambda W, b: ReluOutput(W, b))(W, b)
    return Minimum(models, loss, zero, zero.astype(int) + outcome, zero.astype(int), None)


def _turned(W, angle, flip=1):
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [flip * sin, flip * cos]]) @ W


def test_turned_and_reflected_models_are_the_same_minimum():
    W = [PENTAGON, _turned(PENTAGON, 1.0), _turned(PENTAGON, 2.0, flip=-1)]
    found = basins(_solved(W, np.full((3, 5), -0.2), [1, 1, 1]))
    assert found.distinct == 1
    assert found.reached == 1
    assert np.isnan(found.gap)


def test_only_equivalent_features_may_be_exchanged():
    pairs = np.array([[1.0, -1, 0, 0], [0, 0, 0.9, -0.9]])
    b = np.array([0.1, 0.1, 0.2, 0.2])
    order = [2, 0, 1, 3]
    solved = _solved([pairs, pairs[:, order]], [b, b[order]], [1, 1])
    assert basins(solved).distinct == 2
    assert basins(solved, Independent(0.1, n_features=4)).distinct == 1
    assert basins(solved, Independent(0.1, [1.0, 1.0, 1.0, 0.9])).distinct == 1  # 3 is weak in both
    assert basins(solved, Independent(0.1, [0.9, 1.0, 1.0, 1.0])).distinct == 2
    assert basins(solved, Independent([0.2, 0.1, 0.1, 0.1])).distinct == 2


def test_features_of_one_set_are_told_from_others():
    # The antipodal partner is in the same set, or in the other one.
    within, across = np.array([[[1.0, -1, 0, 0], [0, 0, 1, -1]], [[1.0, 0, -1, 0], [0, 1, 0, -1]]])
    solved = _solved([within, across], np.zeros((2, 4)), [1, 1])
    assert basins(solved, Correlated([0.1, 0.1], (2, 2))).distinct == 2
    assert basins(solved, Independent(0.1, n_features=4)).distinct == 1


def test_each_group_of_starts_has_its_own_minima():
    W = np.array([[[1.0, -1.0]]] * 3 + [[[1.0, 0.0]]] * 3)
    loss = [1.0, 1.0 + 1e-9, 1.0, 3.0, 2.0, 2.0]
    with jax.enable_x64(True):
        laws = jax.vmap(lambda density: Independent(density, n_features=2))(np.full(6, 0.1))
    found = basins(_solved(W, np.zeros((6, 2)), loss), laws, starts=3)
    assert found.label.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert found.best.tolist() == [1, 2]
    assert found.distinct.tolist() == [1, 2]
    np.testing.assert_allclose(found.reached, [1, 2 / 3])
    np.testing.assert_allclose(found.gap, [np.nan, 0.5])
    np.testing.assert_allclose(found.missed, 1 - 0.05 ** (1 / 3))


def test_equal_weights_of_unequal_loss_are_not_the_same():
    W = np.ones((2, 1, 2))
    assert basins(_solved(W, np.zeros((2, 2)), [1, 1.001])).distinct == 2


def test_losses_are_the_same_up_to_one_in_a_hundred_thousand():
    W, b = np.ones((2, 1, 2)), np.zeros((2, 2))
    for share, distinct in ((0.9e-5, 1), (1.1e-5, 2)):
        found = basins(_solved(W, b, [1, 1 + share]))
        assert (found.distinct, found.reached) == (distinct, 1 / distinct)


def _untied(*A):
    """Models without rotations or biases, each with the preactivation `A x`, of equal losses."""
    n = len(A[0])
    with jax.enable_x64(True):
        models = jax.vmap(lambda W, b, A: Untied(W, b, A))(
            np.array([np.eye(n)] * len(A)), np.zeros((len(A), n)), np.array(A)
        )
    return _solved(np.zeros((len(A), n, n)), np.zeros((len(A), n)), np.ones(len(A)))._replace(models=models)


def test_an_entry_of_a_feature_itself_is_told_from_those_of_others_in_its_set():
    solved = _untied([[1.0, 0.5], [0.5, 1.0]], [[0.5, 1.0], [1.0, 0.5]])
    assert basins(solved, Correlated([0.1], (2,))).distinct == 2
    assert basins(solved, Independent(0.1, n_features=2)).distinct == 2


def test_the_same_entries_in_other_rows_are_another_minimum():
    # Three equal links among four features: all with one of them, or from one to the next.
    star, path = np.eye(4), np.eye(4)
    for A, links in ((star, [(0, 1), (0, 2), (0, 3)]), (path, [(0, 1), (1, 2), (2, 3)])):
        for i, j in links:
            A[i, j] = A[j, i] = 0.5
    world = Independent(0.1, n_features=4)
    assert basins(_untied(star, path), world).distinct == 2
    assert basins(_untied(star, star[::-1, ::-1]), world).distinct == 1


def test_starts_that_did_not_converge_are_no_minima():
    W, b = np.zeros((4, 1, 2)), np.zeros((4, 2))
    found = basins(_solved(W, b, [1, 2, 2, 0.5], outcome=np.array([0, 0, 1, 2])))
    assert found.label.tolist() == [0, 1, -1, -1]
    assert found.best == 1
    assert found.reached == 0.25
    assert found.converged == 0.5
    assert found.missed == pytest.approx(1 - 0.05**0.5)
    none = basins(_solved(W, b, [1, 2, 2, 0.5], outcome=1))
    assert np.isnan(none.best)
    assert none.distinct == none.reached == 0
    assert none.missed == 1


def test_an_output_that_is_never_positive_is_the_same_whatever_its_weights():
    W = np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    assert basins(_solved(W, [[0.0, -0.1], [0.0, -5.0]], [1, 1])).distinct == 1
    assert basins(_solved(W, [[0.0, 0.1], [0.0, 0.2]], [1, 1])).distinct == 2


def test_an_output_that_negative_values_make_positive_counts():
    # Its bias takes away all that the other feature adds at 1, but not what it adds at -1.
    solved = _solved([[[1.0, -0.05]]] * 2, [[0.0, -0.02], [0.0, -0.03]], [1, 1])
    assert basins(solved, Independent(0.1, n_features=2)).distinct == 1
    assert basins(solved, Independent(0.1, value=Uniform(-1, 1), n_features=2)).distinct == 2


def test_starts_must_divide_the_members():
    solved = _solved(np.zeros((4, 1, 2)), np.zeros((4, 2)), np.ones(4))
    for starts in (3, 0, 8):
        with pytest.raises(ValueError, match=f"starts must divide the number of members, 4, got {starts}"):
            basins(solved, starts=starts)


def test_the_chance_to_miss_a_minimum_is_what_it_says():
    # Minima of that chance are missed by all 20 starts once in 20 times.
    missed = float(basins(_solved(np.zeros((20, 1, 2)), np.zeros((20, 2)), np.ones(20))).missed)
    hit = np.random.default_rng(0).random((20_000, 20)) < missed
    share = (~hit).all(axis=1).mean()
    assert abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 20_000)


def test_minima_of_the_linear_model_are_counted():
    # Every choice of features to keep is a stationary point; only the best is a minimum.
    world = Independent(0.1, [1.0, 0.8, 0.6])
    models = ensemble(lambda key: Linear.init(3, 2, key=key), members=30, key=jax.random.key(0))
    found = basins(minimize(models, Population(world)), world)
    assert found.distinct == 1
    assert found.reached == 1


@pytest.mark.parametrize(
    "law",
    [
        lambda density: Independent(density * jnp.array([1, 1, 1, 2]), value=Uniform(-1, 1)),
        lambda density: Correlated(density * jnp.array([1, 1, 2]), (2, 1, 1)),
        lambda density: Anticorrelated(density * jnp.array([1, 1]), (2, 2)),
        lambda density: Copula(density * jnp.ones(4), jnp.full((4, 1), 0.3)),
        lambda density: Hierarchy(density, (-1, 0, -1, 2)),
    ],
    ids=["independent", "correlated", "anticorrelated", "copula", "hierarchy"],
)
def test_a_law_for_each_member_counts_as_that_law_for_all(law):
    models = ensemble(lambda key: ReluOutput.init(4, 2, key=key), members=8, key=0)
    order = np.array([1, 0, 2, 3])
    W = np.concatenate([models.W, models.W[..., order]])  # the first two features exchanged
    b = np.concatenate([models.b, models.b[..., order]])
    solved = _solved(W, b, np.tile(np.arange(1.0, 9), 2))
    with jax.enable_x64(True):
        laws = jax.vmap(law)(jnp.full(16, 0.1))
    one, each = basins(solved, law(0.1)), basins(solved, laws)
    assert one.label.tolist() == each.label.tolist()
    assert one.distinct == (16 if isinstance(laws, Copula | Hierarchy) else 8)


def test_starts_of_different_laws_are_no_starts_of_one_problem():
    models = ensemble(lambda key: ReluOutput.init(3, 2, key=key), members=6, key=0)
    laws = grid.each(lambda density: Independent(density, n_features=3), np.repeat([0.5, 0.1], 3))
    solved = minimize(models, Population(laws), own_loss=True, progress=False)
    for starts in (None, 6, 2):
        with pytest.raises(ValueError, match=f"features differ within {starts or 6} members"):
            basins(solved, laws, starts=starts)
    assert basins(solved, laws, starts=3).distinct.shape == (2,)
