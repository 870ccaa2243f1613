"""Claims about the ways out of superposition, on datasets made by hand: they hold there, and each can fail."""

import numpy as np
import pytest
import xarray as xr
from drawn import drawn

from superpose import theory
from superpose.papers.elhage2022 import mixture_of_experts, penalty, sparse_autoencoder

PENALTIES = np.array([0.0, 0.01, 0.02, 0.03, 0.1, 0.3, 0.5, 1.0])
KEPT = np.array([20, 20, 20, 20, 18, 9, 4, 0])


def _turned(W):
    return np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0] @ W


def _penalized():
    """What theory says of the penalty."""
    importance, density = penalty.IMPORTANCE, penalty.DENSITY
    pairs = np.concatenate([np.eye(10), -np.eye(10)[:, ::-1]], axis=1)
    length = 1 - PENALTIES[:, None] / (16 * (1 / 3 - density / 4) * importance)
    W = pairs * (length * (np.arange(20) < KEPT[:, None]))[:, None]
    dropped = [theory.linear_loss(np.full(20, density), importance, int(kept)) for kept in KEPT]
    found = W.copy()
    found[0] = _turned(W[0])
    return xr.Dataset(
        {
            "W": (("penalty", "hidden", "feature"), W),
            "W_found": (("penalty", "hidden", "feature"), found),
            "loss": ("penalty", np.where(KEPT > 10, 0.0036 + 0.16 * PENALTIES**2, dropped)),
            "won": ("penalty", np.full(len(KEPT), 2)),
            "importance": ("feature", importance),
        },
        {"penalty": PENALTIES},
    )


def _mixtures():
    """Mixtures as good as they can be."""
    shares = np.array([[0.5, 0.3], [0.8, 0.7], [1.0, 0.9]])
    chance = np.geomspace(0.001, 0.5, 5)
    alone = theory.dropped_cost(chance)
    pair = (2 * alone - theory.antipodal_cost(chance)) / (1 - (1 - chance) ** 2)
    return xr.Dataset(
        {
            "mixture_loss": (("kind", "density"), np.array([[1.0, 0.1], [0.5, 0.02], [0.1, 0.001]])),
            "mixture_norm": (("kind", "density", "feature"), np.ones((3, 2, 20))),
            "mixture_share": (("kind", "density", "feature"), np.repeat(shares[..., None], 20, -1)),
            "per_activation": (("unit", "chance"), np.stack([alone / chance, pair])),
        },
        {
            "density": [0.3, 0.01],
            "kind": list(mixture_of_experts.KINDS),
            "unit": ["one feature", "antipodal pair"],
            "chance": chance,
        },
    )


def _dictionaries():
    """Dictionaries of 20 and of 40 latents, which have the features at the largest penalty, others before."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(10, 20))
    features /= np.linalg.norm(features, axis=0)
    noise = rng.normal(size=(2, 3, 10, 40)) * np.array([10.0, 0.2, 0.0])[:, None, None]
    directions = np.concatenate([features, features], axis=1) + noise
    directions[0, ..., 20:] = np.nan
    setting = ("latents", "dictionary_penalty")
    return xr.Dataset(
        {
            "dictionary_W": (("hidden", "dictionary_feature"), features),
            "directions": ((*setting, "hidden", "latent"), directions),
            "fires": ((*setting, "latent"), np.where(np.isnan(directions[:, :, 0]), np.nan, 0.04)),
            "unexplained": (setting, np.full((2, 3), 0.1)),
        },
        {"latents": [20, 40], "dictionary_penalty": [0.0, 0.1, 0.3]},
    )


DATA = {penalty: _penalized(), mixture_of_experts: _mixtures(), sparse_autoencoder: _dictionaries()}


def _holds(experiment, data):
    return {claim.id: claim.holds for claim in experiment.claims(experiment.measured(data))}


@pytest.mark.parametrize("experiment", DATA)
def test_claims_hold_where_theory_is_right(experiment):
    holds = _holds(experiment, DATA[experiment])
    assert all(holds.values()), holds


def _with(data, **changed):
    return data.assign({name: (data[name].dims, np.asarray(value)) for name, value in changed.items()})


WRONG = {
    penalty: {
        "nothing stored": (
            lambda d: _with(d, W=0 * d.W, W_found=0 * d.W),
            "penalty-before penalty-gone penalty-diagonal penalty-axes penalty-price penalty-price-before penalty-removes "
            "penalty-least-important penalty-threshold penalty-jump",
        ),
        "superposition for ever": (
            lambda d: _with(d, W=d.W[:1].values.repeat(len(KEPT), 0)),
            "penalty-gone penalty-diagonal penalty-price penalty-threshold penalty-jump penalty-removes",
        ),
        "long": (lambda d: _with(d, W=2 * d.W), "penalty-gone penalty-jump"),
        "other features": (lambda d: _with(d, W=d.W.values[..., ::-1]), "penalty-least-important"),
        "turned": (lambda d: _with(d, W_found=_turned(d.W_found.values)), "penalty-axes"),
        "nearly dependent": (
            lambda d: _with(d, W=d.W + 0.03 * np.sign(d.W.sum("feature"))),
            "penalty-diagonal",
        ),
        "cheap": (lambda d: _with(d, loss=0.3 * d.loss), "penalty-price"),
        "dear": (lambda d: _with(d, loss=10 * d.loss), "penalty-price-before"),
        "first order": (lambda d: _with(d, loss=d.loss + 0.1 * d.penalty), "penalty-free"),
    },
    mixture_of_experts: {
        "one more mixture": (lambda d: _with(d, mixture_loss=d.mixture_loss[::-1]), "mixture-loss"),
        "mixtures that store nothing": (
            lambda d: _with(d, mixture_norm=0 * d.mixture_norm),
            "mixture-share mixture-units",
        ),
        "all share": (
            lambda d: _with(d, mixture_share=0 * d.mixture_share + 0.3),
            "mixture-share mixture-units",
        ),
        "pairs earn more": (
            lambda d: _with(d, per_activation=d.per_activation[::-1]),
            "activation-dedicated activation-dense",
        ),
        "pairs earn little": (
            lambda d: _with(d, per_activation=d.per_activation.values * [[1], [0.5]]),
            "activation-asymptotic",
        ),
    },
    sparse_autoencoder: {
        "no features": (
            lambda d: _with(d, dictionary_W=0 * d.dictionary_W),
            "dictionary-superposition dictionary-recovers dictionary-each dictionary-agreement dictionary-penalty",
        ),
        "nothing fires": (
            lambda d: _with(d, fires=0 * d.fires),
            "dictionary-recovers dictionary-each dictionary-agreement dictionary-penalty",
        ),
        "features shuffled": (
            lambda d: _with(d, dictionary_W=np.random.default_rng(2).normal(size=(10, 20))),
            "dictionary-recovers dictionary-each",
        ),
        "agreement on what is wrong": (
            lambda d: _with(
                d, directions=d.directions.where(d.dictionary_penalty != 0.1, np.tile(np.eye(10), 4))
            ),
            "dictionary-agreement dictionary-recovers dictionary-each",
        ),
        "no penalty needed": (
            lambda d: _with(d, directions=d.directions[:, [2, 2, 2]]),
            "dictionary-penalty",
        ),
    },
}


@pytest.mark.parametrize(("experiment", "wrong"), [(each, wrong) for each in WRONG for wrong in WRONG[each]])
def test_claims_fail_for_what_is_wrong(experiment, wrong):
    change, fail = WRONG[experiment][wrong]
    holds = _holds(experiment, change(DATA[experiment]))
    assert not any(holds[name] for name in fail.split()), {name: holds[name] for name in fail.split()}


@pytest.mark.parametrize("experiment", DATA)
def test_every_claim_can_fail(experiment):
    can = {name for _, fail in WRONG[experiment].values() for name in fail.split()}
    assert can == set(_holds(experiment, DATA[experiment]))


@pytest.mark.parametrize(
    ("experiment", "wrong"), [(each, wrong) for each in WRONG for wrong in (None, *WRONG[each])]
)
def test_figure_is_drawn_also_of_what_is_wrong(experiment, wrong):
    data = DATA[experiment] if wrong is None else WRONG[experiment][wrong][0](DATA[experiment])
    measured = experiment.measured(data)
    assert drawn(experiment.figure, measured)
    assert all(note.endswith(".") for note in experiment.notes(measured))


def test_without_a_penalty_of_0_nothing_is_claimed_of_it():
    data = _dictionaries().isel(dictionary_penalty=[1, 2])
    assert "dictionary-penalty" not in _holds(sparse_autoencoder, data)


@pytest.mark.parametrize(
    ("experiment", "field", "value"),
    [
        (penalty, "members", 0),
        (penalty, "penalties", (0.1, 0.2, 0.3)),
        (penalty, "penalties", (0.0, 0.1)),
        (mixture_of_experts, "densities", ()),
        (sparse_autoencoder, "dictionary_features", 5),
        (sparse_autoencoder, "dictionary_penalties", (-0.1,)),
    ],
)
def test_settings_that_make_no_sense_are_refused(experiment, field, value):
    with pytest.raises(ValueError, match=field.replace("_", "-")):
        experiment.Config(**{field: value})
