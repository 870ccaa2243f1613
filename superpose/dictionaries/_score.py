"""All scores of one dictionary against the truth, in one flat table."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superpose import measures
from superpose.dictionaries import scores
from superpose.dictionaries._activations import check_has
from superpose.dictionaries._codes import codes
from superpose.draws import AnyKey, one_key, stream
from superpose.features import Empirical
from superpose.inputs import number, whole

_WORK = 2**36
"""How many multiplications the removal of features and latents may take: seconds."""


def score(
    dictionary: Any,
    activations: Any,
    *,
    key: AnyKey,
    samples: int = 10_000,
    threshold: float = 0.0,
    edges: Sequence[Sequence[int]] = (),
    groups: Sequence[Sequence[int]] = (),
    causal_samples: int | None = None,
) -> dict[str, float | int | None]:
    """Every score of `superpose.dictionaries.scores`, by name: numbers only, as JSON has them.

    `dictionary` is what a method gives, or a matrix of directions (hidden, latent), which has no codes. `activations` have
    `pairs(key, n)`, the truth `x` and the activations `h` of the same samples, and `directions`. What cannot be known
    is None: all about codes where there are none, `causal` without a model to look into, `absorption` and `subspace`
    without `edges` (pairs of parent and child) and `groups` of features.

    - `mcc`, `precision`, `recall`, `f1`: the one-to-one `matching` of live latents to features
    - `recovery`: the mean over features of the largest cosine; `found`: the share of features where it is above 0.95
    - `uniqueness`, `dead`
    - `support_precision`, `support_recall`, `support_f1`: the `support` of the matched latent, mean over the features that
      are active on some sample, of which one without a latent has 0; `latent_precision` ...: that of each latent for the
      feature it is most like, mean over all latents, of which a dead one has 0
    - `l0`, and `true_l0`, that of the features; `explained_variance`, `shrinkage`
    - `absorption`: mean over the edges whose parent has a latent and is seen with and without the child
    - `subspace`: the share of a group's span that is in the span of the latents nearest to its features, mean over groups
    - `causal`: the mean agreement over the features that have an effect on `causal_samples` samples (None: as many, up to
      all, as take seconds), or on all rows of `Empirical` data of no more; `causal_error`: its standard error, as if
      features erred independently

    Codes are on, and features active, above `threshold` in size: as contributions to `h`, so that `x_i` counts with the
    length of its direction. Features of length 0 count in all means of directions. A code that is NaN makes what
    depends on it NaN. Deterministic in the key.

    Raises TypeError for activations without directions, or without pairs where there are codes, and ValueError where
    directions and activations do not fit together, or edges and groups are of no features.

    >>> from types import SimpleNamespace
    >>> found = score(np.eye(8)[:, :2], SimpleNamespace(directions=np.eye(8)), key=0)
    >>> found["mcc"], found["precision"], found["recall"], found["f1"], found["uniqueness"], found["dead"]
    (0.25, 1.0, 0.25, 0.4, 1.0, None)
    """
    if whole(samples, "samples") < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    if not number(threshold, "threshold") >= 0:
        raise ValueError(f"threshold must be 0 or more, got {threshold}")
    if causal_samples is not None and whole(causal_samples, "causal_samples") < 1:
        raise ValueError(f"causal_samples must be at least 1, got {causal_samples}")
    check_has(activations, "directions")
    D, W = getattr(dictionary, "directions", dictionary), jnp.asarray(activations.directions)
    key = one_key(key)
    _check_features(edges, W.shape[1], "edges", "pairs of a parent and a child")
    _check_features(groups, W.shape[1], "groups", "lists of features")
    signed = bool(getattr(dictionary, "signed", False))
    x = h = z = None
    if hasattr(dictionary, "encode"):
        check_has(activations, "pairs")
        x, h = activations.pairs(stream(key, "scores"), samples)
        z = codes(dictionary, h)
    live = None if z is None else scores.live(z)
    match = scores.matching(D, W, live=live, signed=signed)
    nearest = scores.nearest(D, W, live=live, signed=signed)
    best = scores.recovery(D, W, live=live, signed=signed)
    found: dict[str, Any] = {
        "mcc": match.mcc,
        "precision": match.precision,
        "recall": match.recall,
        "f1": match.f1,
        "uniqueness": scores.uniqueness(D, W, live=live, signed=signed),
        "dead": None if z is None else scores.dead(z),
        "recovery": best.mean(),
        "found": jnp.where(jnp.isnan(best).any(), jnp.nan, (best > 0.95).mean()),
        **dict.fromkeys(_OF_CODES),
        "subspace": _subspace(D, W, nearest, groups),
    }
    if z is not None:
        found |= _of_codes(dictionary, x, h, z, W, match, nearest, threshold, edges)
        active = found["l0"] + found["true_l0"]
        most = causal_samples or max(20, int(_WORK / (W.size * max(1.0, float(active)))))
        found |= _causal(dictionary, activations, x, match, most)
    found |= {"latents": match.n_latents, "features": W.shape[1], "samples": samples, "threshold": threshold}
    whole_numbers = {"latents", "features", "samples"}
    return {
        name: value if value is None or name in whole_numbers else float(value)
        for name, value in found.items()
    }


def _check_features(given, n, name, what) -> None:
    for each in given:
        if (
            not isinstance(each, Sequence | np.ndarray)
            or not len(each)
            or (name == "edges" and len(each) != 2)
        ):
            raise ValueError(f"{name} must be {what}, got {each!r:.40}")
        for feature in each:
            if not 0 <= whole(feature, f"a feature of {name}") < n:
                raise ValueError(f"{name} must be of features from 0 to {n - 1}, got {feature}")


_OF_CODES = (
    "support_precision", "support_recall", "support_f1", "latent_precision", "latent_recall", "latent_f1",
    "l0", "true_l0", "explained_variance", "shrinkage", "absorption", "causal", "causal_error",
)  # fmt: skip


def _of_codes(dictionary, x, h, z, W, match, nearest, threshold, edges) -> dict[str, Any]:
    x = x * measures.norms(W)[None]  # as contributions to h, which codes of directions of length 1 are
    seen = (jnp.abs(x) > threshold).any(axis=0)
    matched = scores.columns(z, match.latent)
    by_feature = scores.support(matched, x, threshold)
    by_latent = scores.support(z, scores.columns(x, nearest), threshold)
    reconstruction = jax.vmap(dictionary.decode)(z)
    return {
        **{f"support_{name}": _mean(each, seen) for name, each in by_feature._asdict().items()},
        **{f"latent_{name}": each.mean() for name, each in by_latent._asdict().items()},
        "l0": scores.l0(z),
        "true_l0": scores.l0(x),
        "explained_variance": scores.explained_variance(h, reconstruction),
        "shrinkage": scores.shrinkage(h, reconstruction),
        "absorption": _absorption(matched, x, match.latent, edges, threshold),
    }


def _absorption(matched, x, latent, edges, threshold):
    parent, child = np.array([edge for edge in edges if latent[edge[0]] >= 0], int).reshape(-1, 2).T
    gap = scores.absorption(matched[:, parent], x[:, parent], x[:, child], threshold)
    on = jnp.abs(x) > threshold
    within, without = ((on[:, parent] & (on[:, child] == there)).any(axis=0) for there in (True, False))
    return _mean(gap, within & without)


def _causal(dictionary, activations, x, match, most) -> dict[str, Any]:
    model: Any = getattr(activations, "model", None)
    if not hasattr(model, "decode") or not hasattr(model, "readout"):
        return {}
    features: Any = getattr(activations, "features", None)
    rows = int(features.n_rows) if isinstance(features, Empirical) else 0
    exact = isinstance(features, Empirical) and rows <= most
    x = features.rows(jnp.arange(rows)) if exact else x[:most]
    z = codes(dictionary, jax.vmap(model.encode)(x))
    importance = getattr(features, "importance", 1.0)
    done = scores.causal(model, x, z, dictionary.directions, match.latent, importance)
    acts = ~(done.effect == 0)
    error = 0.0 if exact else np.sqrt((done.error[acts] ** 2).sum()) / max(1, acts.sum())
    return {"causal": _mean(done.agreement, acts), "causal_error": error if acts.any() else None}


def _subspace(D, W, nearest, groups):
    shares = []
    for group in groups:
        mine = np.isin(np.asarray(nearest), np.asarray(group))
        inside = np.asarray(D)[:, mine] if mine.any() else np.zeros((len(W), 1))
        shares.append((scores.subspace(inside, np.asarray(W)[:, np.asarray(group)]) ** 2).mean())
    return np.mean(shares) if shares else None


def _mean(values, there):
    """Over those that are there; None where there are none, and NaN where one of them is."""
    values = np.asarray(values)[np.asarray(there)]
    return values.mean() if values.size else None
