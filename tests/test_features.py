import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.sparse
import scipy.stats

from superpose.features import (
    Anticorrelated,
    Copula,
    Correlated,
    Empirical,
    ExactlyK,
    Hierarchy,
    Independent,
    Scaled,
    Sum,
    chances,
    equal_loadings,
    random_loadings,
    regular_forest,
    zipf,
)
from superpose.losses import Population, Sampled
from superpose.models import ReluHidden
from superpose.train import stack
from superpose.values import Binary, Exponential, Gaussian, Uniform

N = 100_000
DENSITY = np.array([0.01, 0.1, 0.5, 0.9])
VALUES = [  # law, mean, variance, fourth central moment
    (Uniform(), 1 / 2, 1 / 12, 1 / 80),
    (Uniform(-1, 1), 0.0, 1 / 3, 1 / 5),
    (Binary(), 1.0, 0.0, 0.0),
    (Exponential(2.0), 2.0, 4.0, 9 * 16.0),
    (Gaussian(0.5), 0.0, 0.25, 3 / 16),
]
DATA = np.array([[0.0, 2.0, 0.0], [1.0, 2.0, 0.0], [0.0, -3.0, 0.0], [0.5, 1.0, 0.0]])
LAWS = [
    Independent(DENSITY),
    Correlated([0.3, 0.1], sizes=(2, 2)),
    Anticorrelated([0.8, 0.2], sizes=(3, 1)),
    Empirical(DATA),
    Hierarchy([0.6, 0.5, 0.3, 0.9, 0.7], parents=(-1, 0, 0, -1, 1)),
    Hierarchy([0.6, 0.5, 0.3, 0.9, 0.7], parents=(-1, 0, 0, -1, 1), exclusive=True, scaled=True),
    Hierarchy([0.6, 0.5, 0.4, 0.2, 0.9], parents=(-1, 0, -1, 2, 0), loadings=equal_loadings(2, 0.7)),
    Copula([0.1, 0.3, 0.5, 0.02], random_loadings(4, rank=3, scale=0.5, key=0)),
    ExactlyK(3, n_features=7),
    Sum(Independent([0.2, 0.7]), Hierarchy([0.5, 0.5], (-1, 0)), ExactlyK(1, n_features=2)),
    Scaled(Correlated(0.3, sizes=(2,)), [1.0, 5.0]),
]


def _sample(features, seed=0, n=N):
    return np.asarray(features.sample(jax.random.key(seed), n), np.float64)


def _assert_frequency(active, chance):
    """Within 5 standard errors of a share of independent rows."""
    error = np.sqrt(chance * (1 - chance) / len(active))
    assert (np.abs(active.mean(axis=0) - chance) <= 5 * error).all()


def _assert_moments(values, mean, variance, fourth):
    """Mean and variance of independent values, within 5 standard errors (and float32's rounding)."""
    n = len(values)
    assert abs(values.mean() - mean) <= 5 * np.sqrt(variance / n) + 1e-6
    assert abs(((values - mean) ** 2).mean() - variance) <= 5 * np.sqrt((fourth - variance**2) / n) + 1e-6


@pytest.mark.parametrize(("value", "mean", "variance", "fourth"), VALUES)
def test_independent_features_follow_their_law(value, mean, variance, fourth):
    x = _sample(Independent(DENSITY, value=value))
    _assert_frequency(x != 0, DENSITY)
    for column in x.T:
        _assert_moments(column[column != 0], mean, variance, fourth)


def test_independent_features_are_uncorrelated():
    together = np.corrcoef(_sample(Independent([0.1, 0.3, 0.5])).T)
    assert np.abs(together - np.eye(3)).max() <= 5 / np.sqrt(N)  # 5 standard errors


def test_values_are_uniform_where_a_feature_is_rare():
    # One draw gives both activity and value; at density 0.001 the value must still be fine-grained.
    x = _sample(Independent(0.001, n_features=100))
    values = x[x != 0]
    _assert_moments(values, 1 / 2, 1 / 12, 1 / 80)
    assert len(np.unique(values)) > 0.99 * len(values)


@pytest.mark.parametrize(("value", "mean", "variance", "fourth"), VALUES)
def test_correlated_features_follow_their_law(value, mean, variance, fourth):
    x = _sample(Correlated([0.3, 0.1], sizes=(2, 1), value=value))
    _assert_frequency(x != 0, np.array([0.3, 0.3, 0.1]))
    assert ((x[:, 0] != 0) == (x[:, 1] != 0)).all()
    for column in x.T:
        _assert_moments(column[column != 0], mean, variance, fourth)


def test_members_of_a_correlated_set_have_values_of_their_own():
    x = _sample(Correlated(1.0, sizes=(2,)))
    assert abs(np.corrcoef(x.T)[0, 1]) <= 5 / np.sqrt(N)  # 5 standard errors


def test_correlated_sets_are_independent():
    active = _sample(Correlated([0.3, 0.5], sizes=(1, 1))) != 0
    assert abs(np.corrcoef(active.T)[0, 1]) <= 5 / np.sqrt(N)  # 5 standard errors


@pytest.mark.parametrize(("value", "mean", "variance", "fourth"), VALUES)
def test_anticorrelated_features_follow_their_law(value, mean, variance, fourth):
    features = Anticorrelated([0.9, 0.2], sizes=(3, 2), value=value)
    x = _sample(features)
    np.testing.assert_allclose(features.density, [0.3, 0.3, 0.3, 0.1, 0.1], rtol=1e-15)
    _assert_frequency(x != 0, np.asarray(features.density))
    _assert_frequency((x[:, :3] != 0).sum(axis=1, keepdims=True), np.array([0.9]))
    for column in x.T:
        _assert_moments(column[column != 0], mean, variance, fourth)


def test_exactly_one_member_of_an_active_anticorrelated_set_is_active():
    x = _sample(Anticorrelated([1.0, 0.5], sizes=(4, 3)))
    assert ((x[:, :4] != 0).sum(axis=1) == 1).all()
    assert set((x[:, 4:] != 0).sum(axis=1)) == {0, 1}


def test_a_correlated_features_density_is_its_sets():
    assert Correlated([0.3, 0.1], sizes=(2, 1)).density.tolist() == [0.3, 0.3, 0.1]


@pytest.mark.parametrize("features", LAWS, ids=lambda features: type(features).__name__)
def test_same_key_same_sample(features):
    assert np.array_equal(_sample(features, 1, 64), _sample(features, 1, 64))
    assert not np.array_equal(_sample(features, 1, 64), _sample(features, 2, 64))
    assert _sample(features, 1, 64).shape == (64, features.n_features)
    assert features.density.shape == features.importance.shape == (features.n_features,)


@pytest.mark.parametrize("features", LAWS, ids=lambda features: type(features).__name__)
def test_density_is_the_share_of_samples_in_which_a_feature_is_active(features):
    _assert_frequency(_sample(features) != 0, np.asarray(features.density))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: Independent(p, n_features=3),
        lambda p: Independent(p, n_features=3, value=Exponential()),
        lambda p: Independent(p, n_features=3, value=Gaussian()),
        lambda p: Correlated(p, sizes=(2, 1)),
        lambda p: Anticorrelated(p, sizes=(1, 1, 1)),
        lambda p: Hierarchy(p, parents=(-1, 0, 1)),
        lambda p: Copula(p, equal_loadings(3, 0.5)),
    ],
)
def test_density_zero_is_never_and_one_is_always(make):
    assert (_sample(make(0.0)) == 0).all()
    always = _sample(make(1.0))
    assert np.isfinite(always).all()
    assert (always != 0).all()


def test_density_can_be_vmapped():
    densities = np.array([0.0, 0.3, 1.0])
    key = jax.random.key(0)
    together = jax.vmap(lambda p: Independent(p, n_features=4).sample(key, 50))(
        jnp.asarray(densities, jnp.float64)
    )
    for sample, density in zip(together, densities, strict=True):
        np.testing.assert_array_equal(sample, Independent(density, n_features=4).sample(key, 50))


def test_densities_are_kept_in_float64():
    for features in (Independent(0.1, n_features=2), Correlated(0.1, (1,)), Anticorrelated(0.1, (1,))):
        assert float(features.density[0]) == 0.1
    assert float(Empirical(np.eye(3)).density[0]) == 1 / 3


def test_lengths_are_read_off_the_arrays():
    assert Independent([0.1, 0.2]).n_features == 2
    assert Independent(0.1, importance=[1.0, 0.5, 0.2]).n_features == 3
    assert Independent(0.1, n_features=4).importance.tolist() == [1.0] * 4


@pytest.mark.parametrize("data", [DATA, scipy.sparse.csr_matrix(DATA), scipy.sparse.coo_array(DATA)])
def test_rows_of_data_come_back(data):
    features = Empirical(data)
    np.testing.assert_array_equal(features.rows(jnp.arange(4)), DATA)
    assert features.density.tolist() == [0.5, 1.0, 0.0]
    assert (features.n_rows, features.n_features) == (4, 3)


def test_dense_and_sparse_data_give_the_same_samples():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(200, 20)) * (rng.uniform(size=(200, 20)) < 0.1)
    dense, sparse = Empirical(data), Empirical(scipy.sparse.csc_array(data))
    np.testing.assert_array_equal(_sample(dense, n=500), _sample(sparse, n=500))
    assert np.array_equal(dense.density, sparse.density)


def test_large_sparse_data_stay_sparse():
    data = scipy.sparse.random_array((1000, 5000), density=1e-3, rng=np.random.default_rng(0))
    features = Empirical(data)
    assert features.dense is None
    assert features.index.size < 0.01 * 1000 * 5000
    assert features.entry.shape == features.index.shape


def test_rows_of_large_sparse_data_come_back(monkeypatch):
    monkeypatch.setattr("superpose.features._empirical._DENSE", 0)
    features = Empirical(scipy.sparse.coo_array(DATA))
    assert features.index.shape == (4, 2)
    np.testing.assert_array_equal(features.rows(jnp.arange(4)), DATA)
    np.testing.assert_array_equal(_sample(features, n=50), _sample(Empirical(DATA), n=50))
    assert features.density.tolist() == [0.5, 1.0, 0.0]


def _matrices(count, rows=20):
    """Random matrices of one shape, from empty to full."""
    rng = np.random.default_rng(0)
    shares = np.linspace(0, 1, count)
    return [rng.normal(size=(rows, 6)) * (rng.uniform(size=(rows, 6)) < share) for share in shares]


def test_laws_of_data_of_one_shape_stack_whatever_the_data_are():
    matrices = _matrices(30)
    laws = [
        Empirical(data if at % 2 else scipy.sparse.csr_array(data), importance=at)
        for at, data in enumerate(matrices)
    ]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *laws)
    drawn = jax.vmap(lambda law: law.sample(jax.random.key(0), 8))(together)
    for at in range(0, 30, 7):
        np.testing.assert_array_equal(drawn[at], laws[at].sample(jax.random.key(0), 8))


@pytest.mark.parametrize("dense", [True, False])
def test_laws_of_data_of_other_sizes_stack(dense, monkeypatch):
    monkeypatch.setattr("superpose.features._empirical._DENSE", 2**22 if dense else 0)
    matrices = [data[: 5 + at] for at, data in enumerate(_matrices(3))]
    laws = [Empirical(scipy.sparse.csr_array(data)) for data in matrices]
    together = stack([Sampled(law, 64) for law in laws])
    assert together.features.n_rows.tolist() == [5, 6, 7]
    drawn = jax.vmap(lambda loss: loss.features.sample(jax.random.key(0), 64))(together)
    model = ReluHidden.init(6, 3, key=0)
    exact = jax.vmap(lambda law: Population(law)(model))(together.features)
    for at, law in enumerate(laws):
        np.testing.assert_array_equal(drawn[at], law.sample(jax.random.key(0), 64))
        np.testing.assert_allclose(exact[at], Population(law)(model), rtol=1e-12)
    # Filled up far beyond a block of the exact loss, with rows that count nothing.
    assert float(Population(laws[2].filled(10_000, 6))(model)) == pytest.approx(float(exact[2]), rel=1e-12)


def test_what_is_of_another_kind_or_size_does_not_stack():
    for others in (
        [Independent(0.1, n_features=2), Independent(0.1, n_features=3)],
        [Independent(0.1, n_features=2), Correlated(0.1, (2,))],
        [Independent(0.1, n_features=2), Independent(0.1, value=Uniform(-1, 1), n_features=2)],
        [Empirical(np.eye(2)), Empirical(np.eye(3))],
        [Empirical(np.eye(2)), Independent(0.1, n_features=2)],
    ):
        with pytest.raises(ValueError, match="must be of one kind and one size to stack"):
            stack(others)
    with pytest.raises(ValueError, match="at least one"):
        stack([])


def test_duplicate_entries_of_a_sparse_matrix_add_up_and_stored_zeros_do_not_count():
    data = scipy.sparse.coo_array(
        ([1.0, 2.0, 1.0, -1.0, 0.0], ([0, 0, 1, 1, 1], [1, 1, 0, 0, 1])), shape=(2, 2)
    )
    features = Empirical(data)
    np.testing.assert_array_equal(features.rows(jnp.arange(2)), [[0.0, 3.0], [0.0, 0.0]])
    assert features.density.tolist() == [0.0, 0.5]
    assert data.nnz == 5  # the caller's matrix is left as it was


def test_each_row_is_drawn_as_often():
    rows = _sample(Empirical(np.arange(1.0, 6.0)[:, None]))[:, 0]
    _assert_frequency(rows[:, None] == np.arange(1.0, 6.0), np.full(5, 0.2))


@pytest.mark.parametrize("density", [-0.1, 1.1, float("nan"), [0.1, -1.0], [0.5, 1.5], [0.5, float("nan")]])
def test_densities_that_are_no_probability_are_refused(density):
    with pytest.raises(ValueError, match=r"^density must be within \[0, 1\], got .* at feature [01]"):
        Independent(density, n_features=2)
    for law in (Correlated, Anticorrelated):
        with pytest.raises(ValueError, match=r"^set_density must be within \[0, 1\], got"):
            law(density, sizes=(1, 1))


@pytest.mark.parametrize("importance", [-1.0, float("nan"), float("inf"), [1.0, -0.5]])
def test_importance_that_is_negative_or_not_finite_is_refused(importance):
    makes = (
        lambda: Independent(0.1, importance, n_features=2),
        lambda: Correlated(0.1, (2,), importance),
        lambda: Anticorrelated(0.1, (2,), importance),
        lambda: Empirical(np.eye(2), importance),
    )
    for make in makes:
        with pytest.raises(ValueError, match=r"^importance must be finite and not negative, got"):
            make()


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"lengths must be equal.*density: 2, importance: 3"):
        Independent([0.1, 0.2], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"lengths must be equal.*density: 2, n_features: 4"):
        Independent([0.1, 0.2], n_features=4)
    with pytest.raises(ValueError, match=r"set_density must be a number or 2 numbers.*got shape \(3,\)"):
        Correlated([0.1, 0.2, 0.3], sizes=(1, 1))
    with pytest.raises(ValueError, match=r"importance must be a number or 3 numbers.*got shape \(2,\)"):
        Anticorrelated(0.1, sizes=(2, 1), importance=[1.0, 1.0])
    with pytest.raises(ValueError, match=r"importance must be a number or 2 numbers.*got shape \(3,\)"):
        Empirical(np.eye(2), [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="how many features"):
        Independent(0.1)


@pytest.mark.parametrize("make", [lambda: Independent(0.1, n_features=0), lambda: Independent(np.array([]))])
def test_no_features_are_refused(make):
    with pytest.raises(ValueError, match="at least one feature, got zero"):
        make()


@pytest.mark.parametrize("sizes", [(), (2, 0), (-1,)])
@pytest.mark.parametrize("law", [Correlated, Anticorrelated])
def test_empty_sets_are_refused(law, sizes):
    with pytest.raises(ValueError, match="sizes must name at least one set, each of at least one feature"):
        law(0.1, sizes)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (float("nan"), 1)])
def test_uniform_without_a_range_is_refused(low, high):
    with pytest.raises(ValueError, match="Uniform needs low < high"):
        Uniform(low, high)


@pytest.mark.parametrize("law", [Exponential, Gaussian])
@pytest.mark.parametrize("scale", [0, -1, float("inf"), float("nan")])
def test_a_scale_that_is_not_positive_is_refused(law, scale):
    with pytest.raises(ValueError, match="needs a positive scale"):
        law(scale)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((2, 2, 2))])
def test_data_that_are_no_matrix_are_refused(bad):
    with pytest.raises(ValueError, match=r"data must be a matrix \(sample, feature\).*got shape"):
        Empirical(bad)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_data_that_are_not_finite_are_refused(wrong):
    data = np.array([[0.0, wrong], [1.0, 0.0]])
    for given in (data, scipy.sparse.csr_matrix(data)):
        with pytest.raises(ValueError, match="data must be finite"):
            Empirical(given)


@pytest.mark.parametrize("features", LAWS[:3], ids=lambda features: type(features).__name__)
def test_active_samples_are_the_samples_in_which_a_feature_is_active(features):
    x = np.asarray(features.sample_active(jax.random.key(1), N), np.float64)
    assert (x != 0).any(axis=1).all()
    _assert_frequency(x != 0, np.asarray(features.density) / float(features.any_active))
    plain = _sample(features)
    _assert_frequency((plain != 0).any(axis=1, keepdims=True), np.array([float(features.any_active)]))
    plain = plain[(plain != 0).any(axis=1)]
    # Each pair of features together: as among the plain samples, within 5 standard errors.
    together, expected = ((some != 0).T.astype(float) @ (some != 0) / len(some) for some in (x, plain))
    error = np.sqrt(expected * (1 - expected) * (1 / len(x) + 1 / len(plain)))
    assert (np.abs(together - expected) <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("features", LAWS, ids=lambda features: type(features).__name__)
def test_pairs_are_active_together_as_often_as_the_law_says(features):
    active = _sample(features) != 0
    together = active.T.astype(float) @ active / N
    chance = np.asarray(features.joint_density)
    np.testing.assert_allclose(np.diag(chance), features.density, rtol=1e-12)
    assert (np.abs(together - chance) <= 5 * np.sqrt(chance * (1 - chance) / N) + 1e-12).all()


@pytest.mark.parametrize("features", LAWS, ids=lambda features: type(features).__name__)
def test_the_number_of_active_features_has_the_mean_and_spread_that_the_law_says(features):
    count = (_sample(features) != 0).sum(axis=1)
    mean, pairs = float(features.mean_active), float(features.joint_density.sum())
    variance = pairs - mean**2
    assert abs(count.mean() - mean) <= 5 * np.sqrt(max(variance, 0) / N) + 1e-9
    spread = np.sqrt(np.asarray(features.density * (1 - features.density)))
    covariance = np.asarray(features.correlations) * np.outer(spread, spread)
    np.testing.assert_allclose(covariance.sum(), variance, atol=1e-9)


def test_correlations_are_those_of_matrices_that_are_known():
    both = Hierarchy([0.5, 0.5], (-1, 0)).correlations  # P = (1/2, 1/4), together 1/4
    np.testing.assert_allclose(both[0, 1], (0.25 - 0.125) / np.sqrt(0.25 * 0.1875))
    np.testing.assert_allclose(ExactlyK(1, n_features=4).correlations[0], [1, -1 / 3, -1 / 3, -1 / 3])
    np.testing.assert_allclose(Empirical(DATA).correlations, np.eye(3))  # always or never active
    # Two equally likely halves of normal numbers: 2 asin(r) / pi.
    halves = Copula(0.5, equal_loadings(2, 0.5)).correlations
    np.testing.assert_allclose(halves[0, 1], 1 / 3, rtol=1e-12)


@pytest.mark.parametrize("r", [0.0, 0.4, 0.95, 0.999])
def test_pairs_of_a_copula_are_integrals_of_the_normal_law(r):
    density = [0.1, 0.3, 0.002]
    joint = np.asarray(Copula(density, equal_loadings(3, r)).joint_density)
    bound = scipy.stats.norm.ppf(density)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        low = np.linspace(-12, bound[i], 200_001)
        height = scipy.stats.norm.pdf(low) * scipy.stats.norm.cdf((bound[j] - r * low) / np.sqrt(1 - r**2))
        np.testing.assert_allclose(joint[i, j], scipy.integrate.simpson(height, x=low), rtol=1e-8, atol=1e-12)


def test_children_are_active_only_with_their_parents_and_exclusive_ones_alone():
    parents = regular_forest(roots=2, branching=3, depth=2)
    above = np.array(parents)
    chance = np.where(above < 0, 0.8, 0.3)
    for exclusive in (False, True):
        active = _sample(Hierarchy(chance, parents, exclusive=exclusive), n=20_000) != 0
        assert (active[:, above >= 0] <= active[:, above[above >= 0]]).all()
        siblings = max(active[:, above == parent].sum(axis=1).max() for parent in range(8))
        assert siblings == (1 if exclusive else 3)


def test_a_scaled_child_has_its_value_times_those_above_it():
    x = _sample(Hierarchy([1.0, 1.0, 1.0], (-1, 0, 1), value=Uniform(1, 2), scaled=True))
    for column, power in enumerate((1, 2, 3)):
        # Means of products of independent values.
        error = np.sqrt(((7 / 3) ** power - 1.5 ** (2 * power)) / N)
        assert abs(x[:, column].mean() - 1.5**power) <= 5 * error


def test_values_of_a_copula_tell_nothing_of_which_others_are_active():
    x = _sample(Copula(0.5, equal_loadings(2, 0.9)))
    first, other = x[x[:, 0] != 0].T
    assert abs(np.corrcoef(first, other != 0)[0, 1]) <= 5 / np.sqrt(len(first))  # 5 standard errors


def test_each_choice_of_k_features_is_as_likely():
    x = _sample(ExactlyK(2, n_features=4)) != 0
    assert (x.sum(axis=1) == 2).all()
    each = x @ 2 ** np.arange(4)
    _assert_frequency(each[:, None] == np.array([3, 5, 6, 9, 10, 12]), np.full(6, 1 / 6))


def test_chances_give_the_densities_that_can_be():
    parents = (-1, 0, 0, 1)
    density = np.array([0.5, 0.2, 0.25, 0.1])
    for exclusive in (False, True):
        law = Hierarchy(chances(density, parents, exclusive=exclusive), parents, exclusive=exclusive)
        np.testing.assert_allclose(law.density, density)
    crowded = Hierarchy(chances([0.5, 0.4, 0.4, 0.9], parents, exclusive=True), parents, exclusive=True)
    np.testing.assert_allclose(crowded.density, [0.5, 0.25, 0.25, 0.25])


def test_zipf_falls_as_a_power_from_most_to_least():
    np.testing.assert_allclose(zipf(100, exponent=0.5, most=0.8), 0.8 / np.sqrt(np.arange(1, 101)))
    stretched = zipf(16_384, exponent=0.5, most=0.4, least=5e-4)
    assert (stretched[0], stretched[-1]) == pytest.approx((0.4, 5e-4))
    fall = np.diff(1 / np.sqrt(np.arange(1, 16_385)))
    np.testing.assert_allclose(np.diff(stretched) / fall, np.diff(stretched)[0] / fall[0])


def test_the_mean_number_of_active_features_of_synth_sae_bench_is_about_34():
    n, parents = 16_384, (*regular_forest(roots=128, branching=4, depth=3), *(-1,) * (16_384 - 128 * 85))
    density = zipf(n, exponent=0.5, most=0.4, least=5e-4)
    law = Hierarchy(chances(density, parents, exclusive=True), parents, exclusive=True)
    assert float(law.mean_active) == pytest.approx(34, rel=0.05)


def test_laws_of_one_structure_stack():
    for make in (
        lambda p: Hierarchy([p, p], (-1, 0), loadings=[[p]]),
        lambda p: Copula(p, equal_loadings(2, 0.5)),
        lambda p: Sum(Independent(p, n_features=1), ExactlyK(1, n_features=2)),
        lambda p: Scaled(Independent(p, n_features=2), p),
    ):
        laws = [make(p) for p in (0.2, 0.7)]
        drawn = jax.vmap(lambda law: law.sample(jax.random.key(0), 8))(stack(laws))
        for at, law in enumerate(laws):
            np.testing.assert_array_equal(drawn[at], law.sample(jax.random.key(0), 8))
