"""Dictionaries by methods older than autoencoders: MOD and K-SVD here, others by scikit-learn.

Each is called as `method.fit(activations, n_latents, key=key)`, with activations that have `sample(key, n)`. Those of
scikit-learn need the extra `superpose[classical]`.
"""

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from superpose import draws
from superpose.dictionaries._activations import check_has
from superpose.dictionaries._autoencoders import unit
from superpose.dictionaries._inference import FISTA, NNLS, OMP, Dictionary, LeastSquares, check_inference
from superpose.draws import AnyKey, stream
from superpose.inputs import array, check_each, whole
from superpose.jit import program


class MOD(eqx.Module):
    """The method of optimal directions: codes by `inference`, directions by least squares, in turn, `iterations` times.

    Directions `D` become `H^T Z (Z^T Z)^-1` for activations `H` and their codes `Z`, then of length 1. It starts from
    activations drawn. Two kinds of latents start again: those with codes for less than a tenth as many activations as
    latents have on average, and the second of two whose directions have a cosine above 0.99. Such a latent takes over
    from another, as likely as that one explains much: it starts at one of its activations, less what all others
    explain of it. So a latent that stands for two features is divided.

    `H` is one draw of `samples`; the `bias` is 0. Where `inference` is of several settings, such as OMP(k) for `k`
    traced by `jax.vmap`, many are fitted in one call. Raises ValueError for fewer than one sample or iteration, and
    TypeError for an inference that is none.

    Engan, Aase and Husøy (1999), "Method of optimal directions for frame design".

    >>> from superpose.features import Independent
    >>> world = Independent(0.2, n_features=3)
    >>> D = MOD(OMP(k=2), samples=500, iterations=20).fit(world, 3, key=jax.random.key(0)).directions
    >>> D.shape, bool((D.max(axis=1) > 0.999).all())
    ((3, 3), True)
    """

    inference: Any = eqx.field(default_factory=lambda: OMP(4))
    samples: int = eqx.field(static=True, default=20_000)
    iterations: int = eqx.field(static=True, default=30)

    def __check_init__(self):
        check_inference(self.inference)
        _check_counts(samples=self.samples, iterations=self.iterations)

    def fit(self, activations: Any, n_latents: int, *, key: AnyKey) -> Dictionary:
        """A dictionary of `n_latents` directions. Raises ValueError for fewer than 1, and TypeError for activations without `sample`."""
        return _in_turn(_optimal_directions, self, activations, n_latents, key)


class KSVD(MOD):
    """K-SVD: codes by `inference`, then each direction and its codes together, one latent after another; in turn.

    A latent's direction becomes what is left, without that latent, of the activations that it has codes for, weighted
    with these codes: one step of the power method toward the singular vector, in the approximate form of Rubinstein,
    Zibulevsky and Elad (2008), "Efficient implementation of the K-SVD algorithm". All else is as in `MOD`.

    Aharon, Elad and Bruckstein (2006), "K-SVD: an algorithm for designing overcomplete dictionaries".

    >>> from superpose.features import Independent
    >>> world = Independent(0.2, n_features=3)
    >>> D = KSVD(OMP(k=2), samples=500, iterations=20).fit(world, 3, key=jax.random.key(0)).directions
    >>> D.shape, bool((D.max(axis=1) > 0.999).all())
    ((3, 3), True)
    """

    def fit(self, activations: Any, n_latents: int, *, key: AnyKey) -> Dictionary:
        """As `MOD.fit`, and raises what it does."""
        return _in_turn(_one_by_one, self, activations, n_latents, key)


def _in_turn(update, method, activations, n_latents, key) -> Dictionary:
    H = _sample(activations, method.samples, key)
    first = draws.choice(stream(key, "directions"), (_count(n_latents),), len(H))
    D = _alternated(update, method.inference, method.iterations, H, unit(H[first].T), stream(key, "restarts"))
    return Dictionary(D, 0.0, method.inference)


@program
def _alternated(update, inference, iterations, H, D, key):
    def turn(i, D):
        # In blocks, which the caches of a CPU hold.
        Z = jax.lax.map(lambda h: inference(D, h), H, batch_size=min(len(H), 500))
        return _restarted(update(H, D, Z), H, Z, jax.random.fold_in(key, i))

    return jax.lax.fori_loop(0, iterations, turn, D)


def _optimal_directions(H, D, Z):
    products = Z.T @ Z
    # Next to nothing for latents with codes; without it the others, without codes, would have no solution.
    ridge = jnp.maximum(1e-6 * products.trace() / len(products), jnp.finfo(Z.dtype).tiny)
    return unit(jnp.linalg.solve(products + ridge * jnp.eye(len(products), dtype=Z.dtype), Z.T @ H).T)


def _one_by_one(H, D, Z):
    def update(state, j):
        D, Z, left = state
        d, z = D[:, j], Z[:, j]
        own = left + jnp.outer(z, d)
        new = own.T @ z
        length = jnp.linalg.norm(new)
        new = new / jnp.where(length == 0, 1, length)
        codes = jnp.where(z != 0, own @ new, 0)
        return (D.at[:, j].set(new), Z.at[:, j].set(codes), own - jnp.outer(codes, new)), None

    return jax.lax.scan(update, (D, Z, H - Z @ D.T), jnp.arange(Z.shape[1]))[0][0]


def _restarted(
    D: Float[Array, "hidden latent"],
    H: Float[Array, "sample hidden"],
    Z: Float[Array, "sample latent"],
    key: Key[Array, ""],
) -> Float[Array, "hidden latent"]:
    """The directions, of which those that are hardly used, or twins of earlier ones, start again; see `MOD`."""
    used = Z != 0
    twin = (jnp.triu(D.T @ D, 1) > 0.99).any(axis=0)
    again = twin | (used.mean(axis=0) <= used.mean() / 10)
    chance = jnp.where(again, 0, (Z**2).sum(axis=0)) * draws.uniform(stream(key, "from"), again.shape)
    source = jnp.argsort(-chance)[(jnp.cumsum(again) - 1) % D.shape[1]]
    sample = jnp.where(used[:, source], draws.uniform(stream(key, "sample"), (len(H), 1)), 0).argmax(axis=0)
    start = H[sample] - Z[sample] @ D.T + Z[sample, source][:, None] * D.T[source]
    return jnp.where(again, unit(start.T), D)


def _sample(activations, samples, key) -> Float[Array, "sample hidden"]:
    check_has(activations, "sample")
    return jnp.asarray(
        array(activations.sample(stream(key, "samples"), samples), "activations", "sample", "hidden")
    )


def _doubles(activations, samples, key) -> Float[np.ndarray, "sample hidden"]:
    """For scikit-learn, which does not reach its tolerances in float32."""
    return np.asarray(_sample(activations, samples, key), np.float64)


def _check_counts(**counts) -> None:
    for name, value in counts.items():
        if whole(value, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def _check_penalty(penalty) -> None:
    check_each(
        penalty, lambda value: (value >= 0) & np.isfinite(value), "penalty must be 0 or more, and finite"
    )


def _count(n_latents) -> int:
    if whole(n_latents, "n_latents") < 1:
        raise ValueError(f"n_latents must be at least 1, got {n_latents}")
    return n_latents


class PCA(eqx.Module):
    """Principal components: the orthogonal directions that explain most, with least-squares codes of either sign.

    `bias` is the mean. There are no more than hidden dimensions; the columns of further latents are 0. It has no
    sparsity: what it finds in superposition is a span, not its features. Raises ValueError for fewer than 1 of `samples`.

    Pearson (1901), "On lines and planes of closest fit to systems of points in space".

    >>> from superpose.features import Empirical
    >>> PCA(samples=100).fit(Empirical([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 1, key=0).directions.shape
    (2, 1)
    """

    samples: int = eqx.field(static=True, default=20_000)

    def __check_init__(self):
        _check_counts(samples=self.samples)

    def fit(self, activations: Any, n_latents: int, *, key: AnyKey) -> Dictionary:
        """As `MOD.fit`, and raises what it does."""
        H = _sample(activations, self.samples, key)
        mean = H.mean(axis=0)
        components = jnp.linalg.svd(H - mean[None], full_matrices=False)[2]
        return Dictionary(_columns(components.T, n_latents), mean, LeastSquares())


class ICA(eqx.Module):
    """Independent components, by scikit-learn's `FastICA`, with least-squares codes of either sign.

    Directions are the columns of its mixing matrix, in which the components are independent; `bias` is the mean. There are
    no more than hidden dimensions; the columns of further latents are 0. So it finds features that are not in
    superposition. Raises ImportError without scikit-learn, and ValueError for fewer than 1 of `samples` or `iterations`.

    Hyvärinen and Oja (2000), "Independent component analysis: algorithms and applications".

    >>> from superpose.features import Independent
    >>> D = ICA(samples=2000).fit(Independent(0.2, n_features=2), 2, key=0).directions
    >>> bool((abs(D).max(axis=1) > 0.99).all())  # features are the axes, and in an order and with signs of its own
    True
    """

    samples: int = eqx.field(static=True, default=20_000)
    iterations: int = eqx.field(static=True, default=200)

    def __check_init__(self):
        _check_counts(samples=self.samples, iterations=self.iterations)

    def fit(self, activations: Any, n_latents: int, *, key: AnyKey) -> Dictionary:
        """As `MOD.fit`, and raises what it does; ValueError too for samples that are all the same."""
        library, H = _scikit_learn("ICA"), _doubles(activations, self.samples, key)
        if not np.ptp(H, axis=0).any():
            raise ValueError("ICA needs activations that vary; all samples are the same")
        made = library.FastICA(
            min(_count(n_latents), *H.shape), max_iter=self.iterations, random_state=_seed(key)
        )
        made.fit(H)
        return Dictionary(_columns(made.mixing_, n_latents), made.mean_, LeastSquares())


class NMF(eqx.Module):
    """Non-negative matrix factorization, by scikit-learn's `NMF`: directions and codes without negative numbers.

    `penalty` is scikit-learn's `alpha_W`, on the sum of either. Codes are those of `NNLS`; `bias` is 0. It is for
    activations that are never negative, such as behind a ReLU. `fit` raises ValueError for others: a constant that made
    them so would be one more direction to find. Raises ImportError without scikit-learn, and ValueError for fewer than 1 of
    `samples` or `iterations`, and a negative penalty.

    Lee and Seung (1999), "Learning the parts of objects by non-negative matrix factorization".

    >>> from superpose.features import Independent
    >>> D = NMF(samples=2000).fit(Independent(0.2, n_features=2), 2, key=0).directions
    >>> bool((D.max(axis=1) > 0.99).all())
    True
    """

    penalty: Float[Array, ""] | float = eqx.field(
        converter=lambda value: jnp.asarray(array(value, "penalty")), default=0.0
    )
    samples: int = eqx.field(static=True, default=20_000)
    iterations: int = eqx.field(static=True, default=200)

    def __check_init__(self):
        _check_counts(samples=self.samples, iterations=self.iterations)
        _check_penalty(self.penalty)

    def fit(self, activations: Any, n_latents: int, *, key: AnyKey) -> Dictionary:
        """As `MOD.fit`, and raises what it does; ValueError too for negative activations."""
        H = _doubles(activations, self.samples, key)
        if H.min() < 0:
            raise ValueError(
                f"NMF needs activations of 0 or more, such as behind a ReLU, got {H.min():g}; "
                "MOD and DictionaryLearning take any"
            )
        made = _scikit_learn("NMF").NMF(
            _count(n_latents), init="random", alpha_W=float(self.penalty), l1_ratio=1.0, max_iter=self.iterations,
            random_state=_seed(key),
        )  # fmt: skip
        return Dictionary(made.fit(H).components_.T, 0.0, NNLS())


class DictionaryLearning(eqx.Module):
    """Online dictionary learning, by scikit-learn's `MiniBatchDictionaryLearning`, with codes of `FISTA(penalty)`.

    Codes of 0 or more and directions of length 1 make `|h - D z|^2 / 2 + penalty sum(z)` small; `bias` is 0. It passes
    over the samples at most `passes` times. Raises ImportError without scikit-learn, and ValueError for fewer than 1 of
    `samples` or `passes`, and a negative penalty.

    Mairal, Bach, Ponce and Sapiro (2009), "Online dictionary learning for sparse coding".

    >>> from superpose.features import Independent
    >>> D = DictionaryLearning(penalty=0.05, samples=2000).fit(Independent(0.2, n_features=2), 2, key=0).directions
    >>> bool((D.max(axis=1) > 0.99).all())
    True
    """

    penalty: Float[Array, ""] | float = eqx.field(
        converter=lambda value: jnp.asarray(array(value, "penalty")), default=0.1
    )
    samples: int = eqx.field(static=True, default=20_000)
    passes: int = eqx.field(static=True, default=10)

    def __check_init__(self):
        _check_counts(samples=self.samples, passes=self.passes)
        _check_penalty(self.penalty)

    def fit(self, activations: Any, n_latents: int, *, key: AnyKey) -> Dictionary:
        """As `MOD.fit`, and raises what it does."""
        H = _doubles(activations, self.samples, key)
        made = _scikit_learn("DictionaryLearning").MiniBatchDictionaryLearning(
            _count(n_latents), alpha=float(self.penalty), max_iter=self.passes, batch_size=256, fit_algorithm="cd",
            positive_code=True, random_state=_seed(key),
        )  # fmt: skip
        with warnings.catch_warnings():
            # A warning for each sample whose codes, in the midst of learning, are not yet quite the best.
            warnings.filterwarnings("ignore", "Objective did not converge")
            made.fit(H)
        return Dictionary(made.components_.T, 0.0, FISTA(self.penalty))


def _columns(D, n_latents) -> Float[Array, "hidden latent"]:
    """The first `n_latents` columns, or all of them and then zeros."""
    D = jnp.asarray(D)[:, : _count(n_latents)]
    return jnp.pad(D, ((0, 0), (0, n_latents - D.shape[1])))


def _seed(key) -> int:
    return int(draws.bits(stream(key, "scikit-learn"), ()))


def _scikit_learn(method):
    try:
        import sklearn.decomposition
    except ImportError:
        raise ImportError(f"{method} needs scikit-learn: pip install 'superpose[classical]'") from None
    return sklearn.decomposition
