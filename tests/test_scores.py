"""Scores of dictionaries: worked by hand, adversarial dictionaries, invariances, the oracle first and random last."""

import itertools
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from superpose import losses
from superpose.dictionaries import OMP, Activations, _causal, oracle, score, scores, worlds
from superpose.features import Anticorrelated, Correlated, Empirical, Independent
from superpose.models import Linear, Mixture, ReluHidden, ReluOutput, Untied
from superpose.values import Uniform

I8 = np.eye(8)


def _unit(D):
    return D / np.linalg.norm(D, axis=0)


def _random(m, n, seed=0):
    return _unit(np.random.default_rng(seed).normal(size=(m, n)))


class Step(eqx.Module):
    """A dictionary of given directions with one ReLU step."""

    directions: Array
    threshold: float = 0.0
    scale: float = 1.0
    signed: bool = False

    def encode(self, h):
        z = self.directions.T @ h - self.threshold
        return self.scale * (z if self.signed else jax.nn.relu(z))

    def decode(self, z):
        return self.directions @ z


def _step(D, **settings):
    return Step(jnp.asarray(D, jnp.float32), **settings)


# By hand.


def test_latents_that_are_all_one_feature_recover_that_one_alone():
    same = I8[:, [0] * 8]
    assert scores.recovery(same, I8).tolist() == [1] + [0] * 7
    found = scores.matching(same, I8)
    assert found.mcc == found.precision == found.recall == found.f1 == 1 / 8
    assert (found.latent >= 0).sum() == 1
    assert scores.uniqueness(same, I8) == 1 / 8


@pytest.mark.parametrize(("n", "precision"), [(2, 1), (8, 1), (16, 0.5)])
def test_the_mean_cosine_is_over_all_features(n, precision):
    found = scores.matching(np.concatenate([I8, I8], axis=1)[:, :n], I8)
    assert found.mcc == min(n, 8) / 8
    assert found.precision == precision
    assert found.f1 == pytest.approx(2 * found.precision * found.recall / (found.precision + found.recall))


def test_matching_is_optimal_where_greedy_matching_is_not():
    # Cosines of latents 0 and 1 to the features: .9 and .8, .8 and 0; what is left of their lengths lies elsewhere.
    features = np.eye(4)[:, :2]
    latents = np.array([[0.9, 0.8], [0.8, 0.0], [0.0, 0.6], [0.0, 0.0]])
    latents[:, 0] *= 1 / np.hypot(0.9, 0.8)
    found = scores.matching(latents, features)
    assert found.latent.tolist() == [1, 0]
    assert found.cosine.sum() == pytest.approx(0.8 + 0.8 / np.hypot(0.9, 0.8))
    assert scores.nearest(latents, features).tolist() == [0, 0]  # what a greedy matching starts from


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
@pytest.mark.parametrize("signed", [False, True])
def test_no_other_assignment_is_better(shape, signed):
    M, n = shape
    rng = np.random.default_rng(M)
    D, T = _unit(rng.normal(size=(3, M))), _unit(rng.normal(size=(3, n)))
    C = np.abs(D.T @ T) if signed else np.maximum(D.T @ T, 0)
    few, many = (C, max(M, n)) if n >= M else (C.T, M)
    best = max(few[range(len(few)), order].sum() for order in itertools.permutations(range(many), len(few)))
    assert scores.matching(D, T, signed=signed).mcc == pytest.approx(best / n, rel=1e-6)


def test_a_dictionary_of_duplicates_has_little_f1_and_a_perfect_one_all():
    assert scores.matching(np.eye(4)[:, [2] * 4], np.eye(4)).f1 == 0.25
    assert scores.matching(np.eye(4), np.eye(4)).f1 == 1
    wide = np.eye(64)[:, :4]
    assert scores.matching(_random(64, 4), wide).f1 < 0.5


def test_dead_latents_cannot_be_matched_and_lower_precision():
    z = np.ones((3, 8)) * (np.arange(8) < 6)
    live = scores.live(z)
    assert live.tolist() == [True] * 6 + [False] * 2
    assert scores.dead(z) == 0.25
    found = scores.matching(I8, I8, live=live)
    assert found.mcc == found.precision == 6 / 8
    assert scores.recovery(I8, I8, live=live).tolist() == [1] * 6 + [0] * 2
    assert scores.uniqueness(I8, I8, live=live) == 6 / 8
    assert scores.nearest(I8, I8, live=live).tolist() == [0, 1, 2, 3, 4, 5, -1, -1]


def test_support_is_counted_both_ways():
    # Latent 0 is feature 0, latent 1 fires at random; nothing is feature 1.
    x = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], float)
    z = np.array([[1, 0], [1, 0], [0, 0], [0, 1]], float)
    by_feature = scores.support(scores.columns(z, [0, -1]), x)
    by_latent = scores.support(z, scores.columns(x, [0, 0]))
    assert by_feature.f1.tolist() == [1, 0]
    assert by_latent.f1.tolist() == [1, 0]
    assert by_feature.recall.tolist() == [1, 0]
    # A mean over latents alone hides the feature that was missed.
    assert scores.support(z[:, :1], x[:, :1]).f1.mean() == 1


def test_absorption_is_what_the_parent_loses_with_the_child():
    parent, child = np.array([1.0, 1, 1, 1, 0])[:, None], np.array([0.0, 0, 1, 1, 0])[:, None]
    for z, gap in (([1, 1, 0, 0, 0], 1), ([1, 1, 1, 1, 1], 0), ([1, 0, 1, 1, 0], -0.5), ([0, 0, 0, 0, 0], 0)):
        assert scores.absorption(np.array(z, float)[:, None], parent, child).tolist() == [gap]
    assert np.isnan(scores.absorption(parent, parent, 0 * child)).all()  # the child is never there


def test_absorbed_feature_shows_in_the_score():
    # The child fires only with its parent, and one latent is both: the parent's is silent then.
    x = np.array([[1, 0], [1, 1], [1, 0], [1, 1]], float)
    both = np.array([[1, 1], [0, 1]]) / [1, np.sqrt(2)]
    found = score(
        Coded(jnp.asarray(both), jnp.asarray(x), jnp.array([[1, 0], [0, 1.4], [1, 0], [0, 1.4]])),
        Recorded(np.eye(2), x), key=0, samples=4, edges=[(0, 1)],
    )  # fmt: skip
    assert found["absorption"] == 1
    assert found["explained_variance"] > 0.99


def test_consistency_needs_no_truth():
    a, b = _random(6, 5, 1), _random(6, 5, 2)
    assert scores.consistency([a, a[:, ::-1], 2 * a]) == pytest.approx(1, abs=1e-6)
    assert scores.consistency([a, b]) == pytest.approx(scores.mcc(a, b), rel=1e-6)
    assert scores.consistency([a, b]) == pytest.approx(scores.consistency([b, a]), rel=1e-6)


def test_a_subspace_is_found_whatever_its_basis():
    truth, rng = np.eye(6)[:, :2], np.random.default_rng(0)
    turned = truth @ rng.normal(size=(2, 5))
    np.testing.assert_allclose(scores.subspace(turned, truth), [1, 1], atol=1e-6)
    np.testing.assert_allclose(scores.subspace(turned[:, :1], truth), [1, 0], atol=1e-6)
    np.testing.assert_allclose(scores.subspace(np.eye(6)[:, 2:], truth), [0, 0], atol=1e-6)
    angle = 0.3
    np.testing.assert_allclose(
        scores.subspace([[np.cos(angle)], [0], [np.sin(angle)]], np.eye(3)[:, :1]), [np.cos(angle)], rtol=1e-6
    )
    share = np.mean([(scores.subspace(_random(20, 5, s), np.eye(20)[:, :3]) ** 2).mean() for s in range(200)])
    assert share == pytest.approx(5 / 20, abs=0.02)  # four standard errors


# Adversarial dictionaries.


def test_sign_flips_count_only_where_codes_may_be_negative():
    flipped = I8 * np.where(np.arange(8) % 2, -1, 1)
    assert scores.mcc(flipped, I8) == 0.5
    assert scores.mcc(flipped, I8, signed=True) == 1
    assert scores.recovery(flipped, I8).tolist() == [1, 0] * 4
    assert scores.recovery(flipped, I8, signed=True).tolist() == [1] * 8
    assert scores.nearest(flipped, I8).tolist() == [0, -1, 2, -1, 4, -1, 6, -1]


@pytest.mark.parametrize("n", [1, 3, 8, 20])
def test_any_number_of_latents_will_do(n):
    D = _random(8, n)
    found = scores.matching(D, I8)
    assert (found.latent >= 0).sum() <= min(n, 8)
    assert len(set(found.latent[found.latent >= 0])) == (found.latent >= 0).sum()
    assert 0 < found.mcc <= scores.recovery(D, I8).mean() + 1e-6  # one-to-one is harder
    assert 0 < scores.uniqueness(D, I8) <= min(1, 8 / n)


def test_zero_columns_match_nothing_but_count():
    D = I8 * (np.arange(8) < 4)
    found = scores.matching(D, I8)
    assert (found.mcc, found.precision) == (0.5, 0.5)
    assert scores.matching(I8, D).mcc == 0.5  # the same for features without a direction
    assert scores.recovery(0 * I8, I8).tolist() == [0] * 8
    assert scores.mcc(0 * I8, I8) == scores.uniqueness(0 * I8, I8) == 0


def test_a_dictionary_that_is_all_dead_scores_zero():
    activations = Activations(I8, Independent(0.3, n_features=8))
    found = score(_step(I8, threshold=9.0), activations, key=0, samples=100)
    for name in (
        "mcc",
        "precision",
        "recall",
        "f1",
        "uniqueness",
        "recovery",
        "support_f1",
        "latent_f1",
        "l0",
        "causal",
    ):
        assert found[name] == 0, name
    assert found["dead"] == 1


@pytest.mark.parametrize("where", ["directions", "truth"])
def test_nan_gives_nan_and_no_good_number(where):
    bad = I8.copy()
    bad[0, 0] = np.nan
    D, T = (bad, I8) if where == "directions" else (I8, bad)
    found = scores.matching(D, T)
    assert np.isnan([found.mcc, found.precision, found.recall, found.f1]).all()
    assert np.isnan(scores.recovery(D, T)).any()
    assert np.isnan(scores.uniqueness(D, T))
    assert np.isnan(scores.subspace(D, T)).all()
    assert np.isnan(scores.consistency([D, T]))
    if where == "directions":  # a latent that is not live does not matter
        assert scores.mcc(D, T, live=np.arange(8) > 0) == 7 / 8
        assert not np.isnan(scores.recovery(D, T, live=np.arange(8) > 0)).any()


def test_nan_codes_give_nan():
    z, x = np.array([[np.nan, 1.0], [0.0, 1.0]]), np.ones((2, 2))
    assert np.isnan(scores.dead(z))
    assert np.isnan(scores.l0(z))
    for each in scores.support(z, x):
        assert np.isnan(each).tolist() == [True, False]
    assert np.isnan(scores.absorption(z, x, x * [[0], [1]])).tolist() == [True, False]
    assert np.isnan(scores.explained_variance(x, z))
    assert np.isnan(scores.shrinkage(x, z))
    found = score(_step(I8, scale=np.nan), Activations(I8, Independent(0.3, n_features=8)), key=0, samples=50)
    for name in ("dead", "l0", "latent_f1", "support_f1", "explained_variance", "shrinkage", "causal"):
        assert np.isnan(found[name]), name


# Invariances.


def test_order_and_lengths_and_rotations_make_no_difference():
    rng = np.random.default_rng(5)
    D, T = _random(6, 9, 1), _random(6, 12, 2)
    Q = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    order, lengths = rng.permutation(9), rng.uniform(0.01, 100, size=9)
    same = {"permuted": (D[:, order], T), "scaled": (D * lengths, T * 7), "rotated": (Q @ D, Q @ T)}
    for name, (D2, T2) in same.items():
        for measure in (lambda *each: scores.matching(*each).cosine, scores.recovery, scores.uniqueness):
            np.testing.assert_allclose(measure(D2, T2), measure(D, T), atol=2e-6, err_msg=name)
        which = order if name == "permuted" else np.arange(9)
        np.testing.assert_array_equal(scores.nearest(D2, T2), scores.nearest(D, T)[which])
        part = np.isin(which, [0, 1, 2])
        angles = scores.subspace(D2[:, part], T2[:, :3]), scores.subspace(D[:, :3], T[:, :3])
        np.testing.assert_allclose(*angles, atol=2e-6, err_msg=name)


def test_large_dictionaries_are_scored_block_by_block(monkeypatch):
    D, T = _random(5, 30, 1), _random(5, 40, 2)
    expected = scores.recovery(D, T), scores.nearest(D, T), scores.mcc(D, T)
    jax.clear_caches()
    monkeypatch.setattr(scores, "_BLOCK", 100)
    np.testing.assert_allclose(scores.recovery(D, T), expected[0], atol=1e-6)
    np.testing.assert_array_equal(scores.nearest(D, T), expected[1])
    assert scores.mcc(D, T) == pytest.approx(expected[2], rel=1e-6)


def test_scores_can_be_mapped_over_dictionaries():
    D = jnp.asarray(np.stack([_random(5, 6, seed) for seed in range(3)]))
    T = _random(5, 8, 9)
    many = jax.vmap(lambda D: (scores.recovery(D, T), scores.uniqueness(D, T)))(D)
    for i in range(3):
        np.testing.assert_allclose(many[0][i], scores.recovery(D[i], T), atol=1e-6)
        assert many[1][i] == pytest.approx(float(scores.uniqueness(D[i], T)))


# What latents do.


class Coded(eqx.Module):
    """A dictionary with given codes for given samples of features, whatever they are."""

    directions: Array
    h: Array
    codes: Array
    signed: bool = False

    def encode(self, h):
        return self.codes[jnp.abs(self.h - h[None]).sum(axis=1).argmin()]

    def decode(self, z):
        return self.directions @ z


class Recorded(eqx.Module):
    directions: Array
    x: Array

    def pairs(self, key, n):
        return self.x[:n], self.x[:n] @ self.directions.T


WORLDS = {
    "independent": Independent(0.2, n_features=6),
    "signed": Independent(0.3, value=Uniform(-1, 1), n_features=6),
    "correlated": Correlated(0.2, (2, 2, 2)),
    "exclusive": Anticorrelated(0.2, (3, 3)),
    "data": Empirical(
        np.random.default_rng(0).random((40, 6)) * (np.random.default_rng(1).random((40, 6)) < 0.3)
    ),
}
MODELS = {
    "tied": ReluOutput(_random(4, 6), -0.05 * np.ones(6)),
    "untied": Untied(_random(4, 6), -0.05 * np.ones(6), 1.3 * _random(4, 6, 1).T),
    "linear": Linear(_random(4, 6), np.zeros(6)),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("model", MODELS)
def test_the_true_directions_and_codes_do_what_the_features_do(world, model):
    model, x = MODELS[model], np.asarray(WORLDS[world].sample(0, 300))
    W = np.asarray(model.W)
    done = scores.causal(model, x, x * np.linalg.norm(W, axis=0), _unit(W), np.arange(6))
    np.testing.assert_allclose(done.agreement, 1, atol=1e-5)
    np.testing.assert_allclose(done.latent_cost, done.feature_cost, rtol=1e-3, atol=1e-6)


def test_inert_unmatched_and_weak_latents():
    x = np.asarray(WORLDS["independent"].sample(0, 200))
    model = Linear(np.eye(6), np.zeros(6))

    def agreement(z, latent=range(6)):
        return scores.causal(model, x, z, np.eye(6), np.array(latent)).agreement

    assert agreement(0 * x).tolist() == [0] * 6
    assert agreement(x, [-1] * 6).tolist() == [0] * 6
    for a in (0.5, 2.0, -1.0):
        np.testing.assert_allclose(agreement(a * x), 2 * a / (1 + a * a), rtol=1e-6)
    # A latent with the right direction that fires on other samples does nothing of what the feature does.
    elsewhere = np.where(x == 0, 0.5, 0)
    np.testing.assert_allclose(agreement(elsewhere), 0, atol=1e-6)
    # A feature that changes no output has nothing to compare with.
    ignored = Linear(np.eye(6) * (np.arange(6) > 0), np.zeros(6))
    assert (
        np.isnan(scores.causal(ignored, x, x, np.eye(6), np.arange(6)).agreement).tolist()
        == [True] + [False] * 5
    )


@pytest.mark.parametrize("at_a_time", [50, 1000, 2**22])
def test_what_is_not_there_has_no_effect_however_many_samples_are_multiplied_at_once(at_a_time, monkeypatch):
    monkeypatch.setattr(_causal, "_AT_A_TIME", at_a_time)
    W, x = _random(30, 40).astype(np.float32), np.asarray(Independent(0.1, n_features=40).sample(0, 50))
    x = x * (np.arange(40) < 20)
    z = np.where(np.arange(40) % 2, x, 0)
    z[:, 39] = 0.3
    done = scores.causal(ReluOutput(W, 0.1 * np.ones(40)), x, z, W, np.arange(40))
    assert np.isnan(done.agreement).tolist() == [False] * 20 + [True] * 20
    np.testing.assert_allclose(done.agreement[:20], np.arange(20) % 2, atol=1e-5)
    assert (done.effect[20:] == 0).all()
    assert (done.latent_cost != 0).tolist() == (
        np.arange(40) % 2 * (np.arange(40) < 20) + (np.arange(40) == 39) > 0
    ).tolist()


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("model", MODELS)
def test_what_a_feature_is_worth_is_exact_where_the_loss_is(world, model):
    model, features = MODELS[model], WORLDS[world]
    exact = np.asarray(scores.removal(model, features))
    data = isinstance(features, Empirical)
    n = 40 if data else 20_000
    x = np.asarray(features.rows(jnp.arange(40)) if data else features.sample(1, n))
    none = np.zeros((n, 1)), np.ones((4, 1)), np.full(6, -1)
    sampled = scores.causal(model, x, *none).feature_cost
    if data:
        np.testing.assert_allclose(sampled, exact, rtol=1e-4, atol=1e-6)
        return
    # The standard error of each, from the samples themselves.
    each = np.asarray([_rises(model, x, i) for i in range(6)])
    np.testing.assert_allclose(each.mean(axis=1), sampled, rtol=1e-3, atol=1e-6)
    assert (np.abs(sampled - exact) < 5 * each.std(axis=1) / np.sqrt(n)).all()


def _rises(model, x, i):
    without = x * (np.arange(x.shape[1]) != i)
    y, other = (np.asarray(jax.vmap(model)(jnp.asarray(each))) for each in (x, without))
    return ((x - other) ** 2 - (x - y) ** 2).sum(axis=1)


def test_worth_of_features_by_hand_and_where_it_is_not_exact():
    pair = ReluOutput(np.array([[1.0, -1.0]]), np.zeros(2))
    features = Independent(0.5, n_features=2)
    cost = scores.removal(pair, features)
    # Without feature 0: E[x0^2] for itself, and the interference that it had on feature 1, which helps.
    without = losses.Population(features)(
        Untied(np.array([[0.0, -1.0]]), np.zeros(2), np.array([[1.0], [-1.0]]))
    )
    assert float(cost[0]) == pytest.approx(float(without - losses.Population(features)(pair)), rel=1e-9)
    with pytest.raises(ValueError, match="linear hidden layer"):
        scores.removal(ReluHidden(np.eye(2), np.zeros(2)), features)
    mixture = Mixture(np.eye(2), np.zeros(2), experts=2, active=1)
    rows = Empirical([[1.0, 0.5], [0.2, 0.9]])
    expected = [np.mean([_rises(mixture, np.asarray(rows.rows(jnp.arange(2))), i)]) for i in range(2)]
    np.testing.assert_allclose(scores.removal(mixture, rows), expected, rtol=1e-6)


def test_the_standard_error_of_an_agreement_is_what_reseeds_vary_by():
    model, rng = MODELS["tied"], np.random.default_rng(0)
    D, found = _unit(np.asarray(model.W) + 0.3 * rng.normal(size=(4, 6))), []
    for seed in range(60):
        x = np.asarray(WORLDS["independent"].sample(seed, 400))
        found.append(
            scores.causal(model, x, np.maximum(x @ np.asarray(model.W).T @ D - 0.1, 0), D, np.arange(6))
        )
    spread = np.std([each.agreement for each in found], axis=0)
    told = np.mean([each.error for each in found], axis=0)
    np.testing.assert_allclose(told, spread, rtol=0.5)  # a spread of 60 is known to 9%, five times that


# All together.


def _dictionaries(activations, seed):
    """What knows the truth, what nearly does, and what knows nothing; and the samples that codes are given for."""
    W = np.asarray(activations.directions)
    rng = np.random.default_rng(seed)
    x, h = activations.pairs(jax.random.fold_in(jax.random.key(77), seed), 300)
    codes = np.asarray(x) * np.linalg.norm(W, axis=0)
    near = _unit(_unit(W) + 0.5 * rng.normal(size=W.shape) / np.sqrt(len(W)))
    missed = 0.8 * codes * (rng.random(codes.shape) < 0.8) + 0.2 * (rng.random(codes.shape) < 0.01)
    true, nearly = (
        Coded(jnp.asarray(D, jnp.float32), h, jnp.asarray(z, jnp.float32))
        for D, z in ((_unit(W), codes), (near, missed))
    )
    return true, nearly, _step(_random(*W.shape, 1000 + seed), threshold=0.1), x


RANKING = (
    "mcc", "precision", "recall", "f1", "recovery", "uniqueness", "support_f1", "support_recall", "latent_f1",
    "explained_variance", "causal",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "world",
    [
        Activations(_random(16, 24, 3), Independent(0.1, n_features=24)),
        Activations(1.3 * _random(16, 24, 4), Correlated(0.1, (2,) * 12)),
        Activations(ReluOutput(_random(16, 24, 5), -0.1 * np.ones(24)), Anticorrelated(0.2, (3,) * 8)),
        Activations(np.eye(16), Independent(0.1, n_features=16)),
    ],
    ids=["random", "correlated", "exclusive", "orthogonal"],
)
def test_the_oracle_is_first_and_random_last(world, seed):
    true, near, chance, x = _dictionaries(world, seed)
    known = Same(world, x)
    found = [score(each, known, key=seed, samples=300) for each in (true, near, chance)]
    for name in RANKING:
        first, second, last = (each[name] for each in found)
        assert first >= second > last, (name, first, second, last)
    assert found[0]["mcc"] == pytest.approx(1, abs=1e-6)
    assert found[0]["causal"] == pytest.approx(1, abs=1e-5)
    assert found[0]["support_f1"] == 1


class Same(eqx.Module):
    """The same samples whatever the key: those that codes are given for."""

    activations: Activations
    x: Array

    @property
    def directions(self):
        return self.activations.directions

    @property
    def model(self):
        return self.activations.model

    features = None

    def pairs(self, key, n):
        return self.x[:n], self.activations.hidden(self.x[:n], key)


def test_scores_are_plain_numbers_that_depend_on_the_key_alone():
    activations = Activations(_random(6, 8), Independent(0.2, n_features=8))
    D = _step(_random(6, 10, 1))
    found, again, other = (score(D, activations, key=key, samples=200) for key in (0, 0, 1))
    assert found == again != other
    assert {"mcc", "precision", "recall", "f1", "uniqueness", "dead"} < set(found)
    assert all(value is None or type(value) in (int, float) for value in found.values())
    assert (found["latents"], found["features"], found["samples"]) == (10, 8, 200)
    directions = score(np.asarray(D.directions), activations, key=0)
    assert directions["recovery"] == found["recovery"]
    assert directions["dead"] is directions["l0"] is directions["causal"] is None


def test_reseeds_spread_less_than_good_and_bad_lie_apart():
    activations = Activations(_random(16, 24, 3), Independent(0.1, n_features=24))
    D = _step(_unit(_random(16, 24, 3) + 0.1 * _random(16, 24, 4)), threshold=0.3)
    chance = _step(_random(16, 24, 9), threshold=0.3)
    for name in ("support_f1", "explained_variance", "causal"):
        good, bad = ([score(each, activations, key=key)[name] for key in range(3)] for each in (D, chance))
        assert np.ptp(good) < 0.1 * (min(good) - max(bad))


def test_data_are_scored_on_all_their_rows_without_an_error():
    rows = np.eye(4)[[0, 1, 2, 3, 0]]
    found = score(_step(np.eye(4)), Activations(np.eye(4), Empirical(rows)), key=0, samples=50)
    assert found["causal"] == pytest.approx(1)
    assert found["causal_error"] == 0


SPARSE = Activations(I8, Independent(0.1, n_features=8))


def test_a_variance_that_is_not_there_is_not_explained():
    assert np.isnan(scores.explained_variance(np.ones((3, 2)), np.zeros((3, 2))))


def test_groups_are_scored_as_subspaces():
    Q = np.eye(6)
    Q[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]  # a pair that is found as a plane, not one by one
    found = score(Q, Activations(np.eye(6), Independent(0.2, n_features=6)), key=0, groups=[[0, 1], [2]])
    assert found["subspace"] == pytest.approx(1, abs=1e-6)
    assert found["mcc"] < 0.95


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: scores.recovery(np.ones((3, 2)), I8), "directions must be columns of 8 numbers"),
        (lambda: scores.mcc(np.ones((8, 0)), I8), "there must be a latent and a feature, got 0 and 8"),
        (lambda: scores.mcc(I8, I8, live=[True]), "live must be one for each of the 8 latents"),
        (lambda: scores.support(np.ones((2, 3)), np.ones((2, 2))), "x must have the shape of z"),
        (lambda: scores.absorption(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 2))), "parent and child must"),
        (lambda: scores.explained_variance(I8, I8[:2]), "reconstruction must have the shape of h"),
        (lambda: scores.consistency([I8]), "consistency needs two dictionaries or more, got 1"),
        (lambda: scores.causal(Linear(I8, np.zeros(8)), I8, I8, I8, np.full(8, 8)), "latent must be the number"),
        (lambda: scores.causal(Linear(I8, np.zeros(8)), I8, I8[:2], I8, np.arange(8)), "z must have the codes"),
        (lambda: scores.causal(Linear(I8, np.zeros(8)), I8, I8, I8[:2], np.arange(8)), "directions must have the shape"),
        (lambda: score(I8, SPARSE, key=0, samples=0), "samples must be"),
        (lambda: score(I8, SPARSE, key=0, threshold=-1), "threshold must be 0 or more"),
        (lambda: score(I8, SPARSE, key="a"), "key must be"),
        (lambda: score(I8, SPARSE, key=0, edges=[(0, 8)]), "edges must be of features from 0 to 7, got 8"),
        (lambda: score(I8, SPARSE, key=0, edges=[(0,)]), "edges must be pairs of a parent and a child"),
        (lambda: score(I8, SPARSE, key=0, groups=[[-1, 0]]), "groups must be of features from 0 to 7, got -1"),
        (lambda: score(I8, SPARSE, key=0, groups=[[]]), "groups must be lists of features"),
        (lambda: score(I8, worlds.named("independent"), key=0), "activations must have directions, .* got World"),
        (lambda: score(I8, Empirical(I8), key=0), "activations must have directions, .* got Empirical"),
        (lambda: score(oracle(SPARSE, OMP(2)), SimpleNamespace(directions=I8), key=0), "activations must have pairs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(call, said):
    with pytest.raises((TypeError, ValueError), match=said) as error:
        call()
    assert "\n" not in str(error.value)


def test_more_pairs_than_memory_has_are_refused(monkeypatch):
    monkeypatch.setattr(scores.memory, "free", lambda: 100)
    with pytest.raises(MemoryError, match="a matching of 8 latents to 8 features needs about 512 B"):
        scores.matching(I8, I8)
