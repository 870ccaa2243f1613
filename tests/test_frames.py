"""Numbers of many vectors: blocks are the whole Gram matrix, known frames are known, and random vectors are as theory says."""

import numpy as np
import pytest
from scipy import integrate

from superpose import frames, measures, polytopes
from superpose.frames import chance

RNG = np.random.default_rng(0)
W = RNG.normal(size=(6, 23)) * RNG.uniform(0.5, 2, size=23)


def _of(W, **settings):
    return frames.measured(W, progress=False, **settings)


def _whole(W, link):
    """The same numbers from the Gram matrix as a whole."""
    unit = W / np.linalg.norm(W, axis=0)
    cosines = unit.T @ unit
    others = cosines - np.eye(len(cosines))
    nearest = np.abs(others).argmax(axis=1)
    above = cosines[np.triu_indices(len(cosines), 1)]
    return {
        "interference": measures.superposition(W),
        "dimensionality": measures.dimensionality(W),
        "nearest": nearest,
        "cosine": others[np.arange(len(cosines)), nearest],
        "frame_potential": (cosines**2).sum(),
        "mean_cosine": above.mean(),
        "links": (np.abs(above) > link).sum(),
        "cosines": np.histogram(above, 1000, (-1, 1))[0],
        "coherence": np.abs(above).max(),
        "singular": np.linalg.svd(W, compute_uv=False),
    }


@pytest.mark.parametrize("block", [1, 2, 7, 22, 23, 24, None])
@pytest.mark.parametrize("shape", [(6, 23), (23, 6)])
def test_blocks_are_the_whole_gram_matrix(block, shape):
    W = RNG.normal(size=shape) * RNG.uniform(0.5, 2, size=shape[1])
    found = _of(W, block=block, link=0.4)
    for name, expected in _whole(W, 0.4).items():
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-5, atol=1e-6, err_msg=name)
    linked = np.abs(measures.cosines(W)) - np.eye(shape[1]) > 0.4
    for part in polytopes.parts(linked):
        assert len(set(found.cluster[part])) == 1
        assert (found.cluster[part] == -1).all() == (len(part) == 1)
    assert len(set(found.cluster[found.cluster >= 0])) == sum(len(p) > 1 for p in polytopes.parts(linked))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_single_precision_is_right_to_its_rounding(dtype):
    given = RNG.normal(size=(40, 300)).astype(dtype)
    found, expected = _of(given, block=64), _of(given.astype(np.float64))
    np.testing.assert_allclose(found.dimensionality, expected.dimensionality, rtol=3e-6)
    np.testing.assert_allclose(found.cosine, expected.cosine, atol=3e-6)
    np.testing.assert_allclose(found.singular, expected.singular, rtol=1e-6)
    assert found.frame_potential == pytest.approx(expected.frame_potential, rel=1e-6)


def test_centering_is_taking_the_mean_off():
    moved = W + 5
    found, expected = _of(moved, center=True), _of(moved - moved.mean(axis=1, keepdims=True))
    for name in ("norms", "interference", "dimensionality", "cosine", "singular", "frame_potential"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-12)
    assert found.mean_share == 0
    square = (moved**2).sum()
    assert _of(moved).mean_share == pytest.approx(23 * (moved.mean(axis=1) ** 2).sum() / square)
    assert 1 - (found.norms**2).sum() / square == pytest.approx(_of(moved).mean_share)


# Known frames.


def test_an_orthonormal_basis_has_a_dimension_each():
    found = _of(np.eye(5))
    assert (found.dimensionality == 1).all()
    assert (found.interference == 0).all()
    assert found.dimensions_per_feature == 1
    assert (found.coherence, found.frame_potential, found.links) == (0, 5, 0)
    assert found.participation == pytest.approx(5)
    assert found.effective_rank == pytest.approx(5)
    assert (found.cluster == -1).all()
    assert found.polytopes == []


@pytest.mark.parametrize("d", [2, 3, 4, 9])
def test_a_simplex_reaches_both_of_welchs_bounds(d):
    found = _of(polytopes.simplex(d))
    assert found.frame_potential == pytest.approx(chance.least_potential(d + 1, d))
    assert found.coherence == pytest.approx(chance.least_coherence(d + 1, d))
    np.testing.assert_allclose(found.dimensionality, d / (d + 1))
    assert found.mean_share == pytest.approx(0, abs=1e-12)


def test_a_pentagon_is_tight_and_named():
    found = _of(polytopes.polygon(5), link=0.3)
    assert found.frame_potential == pytest.approx(chance.least_potential(5, 2))
    assert found.coherence == pytest.approx(np.cos(np.pi / 5))
    np.testing.assert_allclose(found.dimensionality, 0.4)
    assert [(each.name, sorted(each.features)) for each in found.polytopes] == [("pentagon", [0, 1, 2, 3, 4])]


def test_antipodal_pairs_are_digons_and_share_a_dimension():
    pairs = np.concatenate([np.eye(3), -np.eye(3)], axis=1)
    found = _of(pairs, block=2)
    np.testing.assert_allclose(found.dimensionality, 0.5)
    assert found.nearest.tolist() == [3, 4, 5, 0, 1, 2]
    assert (found.cosine == -1).all()
    assert found.cluster.tolist() == [0, 1, 2, 0, 1, 2]
    assert [(each.name, sorted(each.features)) for each in found.polytopes] == [
        ("digon", [0, 3]),
        ("digon", [1, 4]),
        ("digon", [2, 5]),
    ]


def test_clusters_come_by_size_and_those_too_large_have_no_polytope():
    directions = np.eye(4)[:, [0] * 2 + [1] * 14 + [2] + [3] * 3]
    found = _of(directions + 1e-3 * RNG.normal(size=directions.shape), block=5)
    assert found.cluster.tolist() == [2] * 2 + [0] * 14 + [-1] + [1] * 3
    assert sorted(len(each.features) for each in found.polytopes) == [2, 3]
    assert {each.name for each in found.polytopes} == {"unnamed"}


def test_duplicates_share_what_one_has():
    found = _of(np.repeat(np.eye(3), 4, axis=1))
    np.testing.assert_allclose(found.dimensionality, 0.25)
    np.testing.assert_allclose(found.interference, 3)
    assert found.coherence == 1
    assert found.participation == pytest.approx(3)


def test_zeros_have_no_direction_and_no_pairs():
    with_zeros = np.insert(W, [0, 4, 4, 23], 0.0, axis=1)
    there = np.any(with_zeros != 0, axis=0)
    for block in (3, None):
        found, expected = _of(with_zeros, block=block), _of(W)
        assert found.directed == 23
        for name in ("norms", "interference", "dimensionality"):
            assert (getattr(found, name)[~there] == 0).all()
            np.testing.assert_allclose(getattr(found, name)[there], getattr(expected, name), rtol=1e-9)
        assert (found.nearest[~there] == -1).all()
        assert np.isnan(found.cosine[~there]).all()
        assert found.cosines.sum() == 23 * 22 / 2
        assert found.frame_potential == pytest.approx(expected.frame_potential)
        assert found.mean_cosine == pytest.approx(expected.mean_cosine)


def test_nothing_but_zeros_has_no_numbers():
    found = _of(np.zeros((3, 4)))
    assert found.directed == found.links == found.frame_potential == 0
    assert found.dimensions_per_feature == np.inf
    for name in ("coherence", "mean_cosine", "participation", "effective_rank", "first_share", "mean_share"):
        assert np.isnan(getattr(found, name))


def test_equal_vectors_have_no_direction_once_their_mean_is_off():
    given = np.repeat(RNG.normal(size=(50, 1)), 7, axis=1).astype(np.float32)
    assert _of(given).mean_share == pytest.approx(1)
    assert _of(given, center=True).directed == 0


@pytest.mark.parametrize("m", [1, 3])
def test_one_vector_has_a_dimension_and_no_neighbor(m):
    found = _of(np.full((m, 1), 2.0))
    assert found.dimensionality.tolist() == [1]
    assert np.isnan(found.coherence)
    assert found.cosines.sum() == 0
    assert found.participation == pytest.approx(1)


def test_all_of_one_dimension_are_along_one_line():
    found = _of([[1.0, -2.0, 3.0]])
    np.testing.assert_allclose(found.dimensionality, np.array([1, 4, 9]) / 14)
    assert (found.coherence, found.links, found.frame_potential) == (1, 3, 9)
    np.testing.assert_allclose(found.dimensionality, chance.dimensionality(found.norms, 1))


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e-40])
def test_scale_does_not_matter(scale):
    given = W.astype(np.float32)
    with np.errstate(under="ignore"):
        found, expected = _of(given * np.float32(scale)), _of(given)
    precision = 1e-4 if scale == 1e-40 else 2e-6  # what is left of single precision there
    np.testing.assert_allclose(found.dimensionality, expected.dimensionality, rtol=precision)
    np.testing.assert_allclose(found.norms, expected.norms * scale, rtol=precision)
    np.testing.assert_allclose(found.interference, expected.interference * scale**2, rtol=precision)
    np.testing.assert_allclose(found.singular, expected.singular * scale, rtol=precision)
    assert found.participation == pytest.approx(expected.participation, rel=precision)


def test_very_large_double_precision_is_kept():
    found = _of(W * 1e200)
    np.testing.assert_allclose(found.dimensionality, _of(W).dimensionality)
    assert found.dimensions_per_feature == 0


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_with_its_place(wrong):
    given = W.copy()
    given[2, 17] = wrong
    for block in (5, None):
        with pytest.raises(ValueError, match=r"^W must be finite, got NaN or infinity in vector 17$"):
            _of(given, block=block)


@pytest.mark.parametrize(
    ("given", "settings", "said"),
    [
        ([1.0, 2.0], {}, "W must have the shape"),
        (np.zeros((3, 0)), {}, "W must have vectors and dimensions"),
        (W, {"link": 1.0}, "link must be between 0 and 1"),
        (W, {"block": 0}, "block must be at least 1"),
    ],
)
def test_what_cannot_be_measured_is_said(given, settings, said):
    with pytest.raises(ValueError, match=said):
        _of(given, **settings)
    with pytest.raises(TypeError, match="W must be real numbers"):
        _of(np.zeros((2, 2), complex))


def test_a_mapped_file_is_measured_as_it_is(tmp_path):
    np.save(tmp_path / "W.npy", W.T.astype(np.float32))
    mapped = np.load(tmp_path / "W.npy", mmap_mode="r").T
    np.testing.assert_array_equal(_of(mapped).cosine, _of(np.array(mapped)).cosine)


# Random vectors: theory is a sample's, within so many standard errors.

SIZES = [(60, 3), (40, 12), (9, 30), (50, 2)]


def _drawn(n, m, times):
    made = RNG.normal(size=(times, m, n))
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_the_frame_potential_of_random_vectors_has_this_mean_and_spread(n, m):
    found = np.array([((made.T @ made) ** 2).sum() for made in _drawn(n, m, 2000)])
    std = chance.frame_potential_std(n, m)
    assert abs(found.mean() - chance.frame_potential(n, m)) < 4 * std / 2000**0.5
    # The error of a standard deviation, with a tail like chi-squared's, is below three times a normal's.
    assert found.std() == pytest.approx(std, rel=4 * 3 / 4000**0.5)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_the_largest_cosines_of_random_vectors_have_these_quantiles(n, m):
    sizes = np.array([np.abs(made.T @ made - np.eye(n)) for made in _drawn(n, m, 1500)])
    for q in (0.05, 0.5, 0.95):
        error = (q * (1 - q) / 1500) ** 0.5
        # One vector's is exact; for the largest of all pairs, which are not quite independent, 3% of bias is allowed.
        assert abs((sizes[:, 0].max(axis=1) < chance.nearest(n, m, q)).mean() - q) < 4 * error
        assert abs((sizes.max(axis=(1, 2)) < chance.coherence(n, m, q)).mean() - q) < 4 * error + 0.03


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_random_directions_have_this_interference_and_dimensionality(n, m):
    norms = RNG.uniform(0.5, 2, size=n)
    gram = np.array([made.T @ made for made in _drawn(n, m, 1000)])
    interference = gram**2 @ norms**2 - norms**2
    np.testing.assert_allclose(
        measures.superposition(norms * np.linalg.cholesky(gram[0] + 1e-9 * np.eye(n)).T),
        interference[0],
        rtol=1e-3,
    )
    error = interference.std(axis=0) / 1000**0.5
    assert (np.abs(interference.mean(axis=0) - chance.interference(norms, m)) < 5 * error).all()
    inverse = 1 + interference / norms**2  # 1 / D_i
    error = inverse.std(axis=0) / 1000**0.5
    assert (np.abs(inverse.mean(axis=0) - 1 / chance.dimensionality(norms, m)) < 5 * error).all()
    ratio = norms**2 @ gram**2 @ norms**2 / (norms @ norms) ** 2
    error = ratio.std() / 1000**0.5
    assert abs(ratio.mean() - 1 / chance.participation(norms, m)) < 4 * error


@pytest.mark.parametrize("m", [2, 3, 7, 300])
def test_cosines_of_random_vectors_have_this_density(m):
    angle = np.linspace(0, np.pi, 20_001)[1:-1]  # which takes the ends of two dimensions
    density = chance.cosine_density(np.cos(angle), m) * np.sin(angle)
    assert integrate.trapezoid(density, angle) == pytest.approx(1, abs=1e-3)
    for cosine in (0.1, 0.5):
        part = np.abs(np.cos(angle)) > cosine
        beyond = integrate.trapezoid(np.where(part, density, 0), angle)
        assert beyond == pytest.approx(chance.beyond(cosine, m), abs=1e-3)


@pytest.mark.parametrize(("n", "m"), [(2000, 50), (30, 60)])
def test_a_sample_has_what_theory_says(n, m):
    norms = np.ones(n)
    found = chance.sample(norms, m, probes=200, block=300)
    probes = len(found.nearest)
    assert probes == min(n, 200)
    # A vector's own sum has the variance (n - 1) v, with v that of a square.
    v = 2 * (m - 1) / (m**2 * (m + 2))
    error = ((n - 1) * v / probes) ** 0.5 * 2**0.5  # pairs of probes are counted twice
    assert abs(found.potential.mean() - chance.frame_potential(n, m) / n) < 4 * error
    np.testing.assert_allclose(found.interference, found.potential - 1, rtol=1e-5)
    np.testing.assert_allclose(found.dimensionality, 1 / found.potential, rtol=1e-5)
    assert found.cosines.sum() == probes * (n - 1)
    for q in (0.25, 0.75):
        below = (found.nearest < chance.nearest(n, m, q)).mean()
        assert abs(below - q) < 5 * (q * (1 - q) / probes) ** 0.5
    again = chance.sample(norms, m, probes=200, block=300)
    np.testing.assert_array_equal(found.nearest, again.nearest)


@pytest.mark.parametrize("n", [2000, 5000])
def test_a_few_long_vectors_keep_their_share_in_a_sample(n):
    # One of 100 times the others' length, in 12 dimensions, against as many random vectors drawn as a whole.
    m, norms = 12, np.ones(n)
    norms[0] = 100.0
    found = chance.sample(norms, m, probes=200)
    share, dimensions = [], []
    for _ in range(8):
        made = norms[:, None] * _drawn(n, m, 1)[0].T
        value = np.linalg.svd(made, compute_uv=False) ** 2
        share.append(value[0] / value.sum())
        dimensions.append(norms[1:] ** 4 / ((made[1:] @ made.T) ** 2).sum(axis=1))
    few = min(n, m)
    assert found.spectrum[0] / found.spectrum.sum() * len(found.spectrum) / few == pytest.approx(
        np.mean(share), rel=0.02
    )
    expected, spread = np.mean(dimensions), np.std(dimensions)
    assert abs(found.dimensionality.mean() - expected) < 5 * spread / 200**0.5
    # Theory, which is for the mean of 1 / D_i, knows that it is another one here, and that it is not where lengths are one.
    assert chance.dimensionality(norms, m)[1:].mean() < 0.9 * expected
    assert chance.excess(norms, m)[1:].mean() > 0.1
    assert chance.excess(np.ones(n), m).mean() < 2 / n


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_the_mean_of_a_dimensionality_exceeds_theory_by_this(n, m):
    norms = RNG.uniform(0.5, 2, size=n)
    found = np.array(
        [
            norms**4 / (norms**2 * (gram**2 @ norms**2))
            for gram in (made.T @ made for made in _drawn(n, m, 4000))
        ]
    )
    theory, excess = chance.dimensionality(norms, m), chance.excess(norms, m)
    error = found.std(axis=0) / 4000**0.5
    # The next order is smaller by a factor of the order of the excess.
    assert (np.abs(found.mean(axis=0) - theory * (1 + excess)) < 5 * error + 3 * theory * excess**1.5).all()
    assert (found.mean(axis=0) > theory - 5 * error).all()


def test_the_spectrum_of_a_sample_is_marchenko_and_pasturs():
    # Vectors of one length, four times as many as dimensions: variances lie between (1 -+ 1/2)^2 of their mean.
    spectrum = chance.sample(np.ones(2048), 512).spectrum
    assert len(spectrum) == 256
    assert spectrum[0] == pytest.approx(2.25, rel=0.05)
    assert spectrum[-1] == pytest.approx(0.25, rel=0.1)
    assert (spectrum**2).mean() == pytest.approx(1.25, rel=0.02)


def test_measured_random_vectors_are_as_theory_says():
    made = RNG.normal(size=(64, 3000)).astype(np.float32) / 8
    found = _of(made)
    n, m = 3000, 64
    potential, error = chance.frame_potential(n, m), chance.frame_potential_std(n, m)
    assert abs(found.frame_potential - potential) < 4 * error
    assert chance.coherence(n, m, 1e-4) < found.coherence < chance.coherence(n, m, 1 - 1e-4)
    assert found.dimensions_per_feature == pytest.approx(m / n, rel=4 * (2 / (n * m)) ** 0.5)
    below = (np.abs(found.cosine) < chance.nearest(n, m)).mean()
    assert abs(below - 0.5) < 5 * (0.25 / n * 2) ** 0.5  # neighbors come in pairs, at most


@pytest.mark.parametrize(
    "call",
    [
        lambda: chance.frame_potential(3, 0),
        lambda: chance.least_potential(-1, 2),
        lambda: chance.cosine_density([0.5], 1),
        lambda: chance.dimensionality([np.nan], 2),
    ],
)
def test_chance_refuses_what_makes_no_sense(call):
    with pytest.raises(ValueError, match="must be"):
        call()
