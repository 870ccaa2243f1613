"""Sparse autoencoders: one pytree, and the methods that differ in which latents are active and what training makes small.

A method is its settings: `TopK(k=4)`, `Relu(penalty=0.1)`. It says how codes follow from preactivations, and what is
added to the error of reconstruction. Its knob, `k` or `penalty`, is an array, so that dictionaries of many
sparsities train side by side. Inside, the sample is the last, contiguous axis, for speed.
"""

import dataclasses
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jaxtyping import Array, Float

from superpose import draws
from superpose.dictionaries._activations import check_has
from superpose.draws import AnyKey, one_key, stream
from superpose.inputs import ArrayLike, array, check_each, number, whole

__all__ = [
    "Autoencoder",
    "BatchTopK",
    "Gated",
    "JumpReLU",
    "Matryoshka",
    "Reconstruction",
    "Relu",
    "TopK",
]

PARTS = ("learned", "frozen", "near")
"""How a decoder or an encoder may be trained: as usual, not at all, or (a decoder) never far from its start."""
NEAR = 0.8
"""The least cosine of a direction to its start, where the decoder is kept "near" it."""
LITTLE = 0.01
"""The share of what latents carry on average below which one is revived."""


def _weights(name, optional=False):
    return lambda value: None if optional and value is None else jnp.asarray(array(value, name))


def _knob(name):
    return eqx.field(converter=lambda value: jnp.asarray(array(value, name), jnp.float32))


def unit(W: Float[Array, "hidden latent"]) -> Float[Array, "hidden latent"]:
    """The columns of `W` at length 1; columns of 0 stay 0."""
    return W / jnp.sqrt((W**2).sum(axis=0, keepdims=True) + 1e-24)


class _Method(eqx.Module):
    """What all methods share: how they are trained.

    Adam takes `steps` steps on `batch` samples each, with a learning rate that falls from `rate` to 0 along a cosine.
    With `tied`, the encoder reads along the decoder's directions. With `unit`, the decoder's columns have length
    1, so that codes cannot be made small by making columns long. Every `revive` steps, in the first four fifths
    of training, a latent whose codes' squares summed to less than a hundredth of the mean over latents is pointed at
    what is reconstructed worst; 0 leaves them all as they are. Nearly silent latents are what becomes of one of two that
    find the same pair of features: without revival a tenth of the features may stay merged.
    `decoder` and `encoder` may be "frozen" as they were drawn, and the decoder "near" it, each direction within a cosine of
    0.8 of its start: what is found then is no finding.

    Kingma and Ba (2015); Bricken et al. (2023), "Towards Monosemanticity", on reviving latents.
    """

    steps: int = eqx.field(static=True, kw_only=True, default=5000)
    batch: int = eqx.field(static=True, kw_only=True, default=512)
    rate: float = eqx.field(static=True, kw_only=True, default=3e-3)
    tied: bool = eqx.field(static=True, kw_only=True, default=False)
    unit: bool = eqx.field(static=True, kw_only=True, default=True)
    revive: int = eqx.field(static=True, kw_only=True, default=50)
    decoder: str = eqx.field(static=True, kw_only=True, default="learned")
    encoder: str = eqx.field(static=True, kw_only=True, default="learned")

    knob: ClassVar[str]

    def __check_init__(self):
        if (
            whole(self.steps, "steps") < 1
            or whole(self.batch, "batch") < 1
            or whole(self.revive, "revive") < 0
        ):
            raise ValueError(
                "steps and batch must be at least 1, and revive at least 0, "
                f"got steps={self.steps}, batch={self.batch}, revive={self.revive}"
            )
        if not 0 < number(self.rate, "rate") < np.inf:
            raise ValueError(f"rate must be above 0, and finite, got {self.rate}")
        if self.decoder not in PARTS or self.encoder not in PARTS[:2]:
            raise ValueError(
                f"decoder must be one of {', '.join(PARTS)} and encoder of {', '.join(PARTS[:2])}, "
                f"got decoder={self.decoder!r}, encoder={self.encoder!r}"
            )
        if self.tied and "frozen" in (self.encoder, self.decoder) and self.encoder != self.decoder:
            raise ValueError(
                "a tied autoencoder is frozen as a whole: give both decoder and encoder 'frozen'"
            )
        least = 1 if self.knob == "k" else 0
        check_each(
            getattr(self, self.knob),
            lambda value: (value >= least) & np.isfinite(value),
            f"{self.knob} must be {least} or more, and finite",
        )

    def check(self, n_latents: int) -> None:
        """Raise ValueError unless such an autoencoder can have this many latents, and its knob is one number."""
        knob = getattr(self, self.knob)
        if jnp.ndim(knob):
            raise ValueError(
                f"{self.knob} must be one number, got shape {knob.shape}; give fit_each a method for each"
            )
        if self.knob == "k":
            check_each(knob, lambda k: k <= n_latents, f"k must be at most the {n_latents} latents")

    def own(self, n_latents: int) -> dict[str, Array]:
        """Parameters beyond weights and biases, as they are at first."""
        return {}

    def codes(self, u: Float[Array, "latent sample"], own: dict[str, Array], training: bool = False):
        """The codes for preactivations `u`, with the method's parameters `own`; in `training`, of a batch as a whole."""
        raise NotImplementedError

    def extra(self, sae: "Autoencoder", h, u, z) -> Float[Array, " sample"] | float:
        """What is added to the error of reconstruction."""
        return 0.0

    def error(
        self, sae: "Autoencoder", h, z
    ) -> tuple[Float[Array, " sample"], Float[Array, "hidden sample"]]:
        """The error of reconstruction, and the residual."""
        residual = h - sae.written(z)
        return (residual**2).sum(axis=0), residual

    def followed(self, own: dict[str, Array], z) -> dict[str, Array]:
        """Of the parameters beyond weights, those that follow training without a gradient."""
        return own

    def fit(self, activations: Any, n_latents: int, *, key: AnyKey) -> "Autoencoder":
        """An autoencoder with `n_latents` latents, trained on what is drawn from `activations`."""
        from superpose.dictionaries._fit import fit_each

        (sae,) = fit_each([self], activations, n_latents, key=key)
        return sae


class Relu(_Method):
    """`z = ReLU(u)`, with `penalty * sum(z)` added to the squared error: the first sparse autoencoders.

    Because the hidden layers of toy models have lengths near 1, penalties of 0.01 to 0.5 are useful. Raises ValueError
    for a negative one.

    Sharkey, Braun and Millidge (2022), "Taking features out of superposition with sparse autoencoders".

    >>> Relu(penalty=0.1).codes(jnp.array([[2.0], [-1.0], [0.5]]), {}).T.tolist()
    [[2.0, 0.0, 0.5]]
    """

    penalty: Float[Array, "..."] | float = _knob("penalty")

    knob = "penalty"

    def codes(self, u, own, training=False):
        return jax.nn.relu(u)

    def extra(self, sae, h, u, z):
        return self.penalty * z.sum(axis=0)


class TopK(_Method):
    """`z` keeps the `k` largest entries of `ReLU(u)`. Raises ValueError unless `k` is a whole number of at least 1.

    Makhzani and Frey (2013), "k-Sparse Autoencoders"; Gao et al. (2024), "Scaling and Evaluating Sparse Autoencoders".

    >>> TopK(k=1).codes(jnp.array([[2.0], [-1.0], [0.5]]), {}).T.tolist()
    [[2.0, 0.0, 0.0]]
    """

    k: Float[Array, "..."] | float = _knob("k")

    knob = "k"

    def __check_init__(self):
        check_each(self.k, lambda k: k == np.round(k), "k must be a whole number")

    def codes(self, u, own, training=False):
        return jnp.where(u >= _kth_largest(u, self.k)[None], jax.nn.relu(u), 0.0)


class BatchTopK(_Method):
    """Of a batch, `z` keeps the `k` times the number of samples largest entries; later, those above a threshold.

    The threshold is the running mean, over the steps of training, of the least entry kept. Raises ValueError for `k`
    below 1.

    Bussmann, Leask and Nanda (2024), "BatchTopK Sparse Autoencoders".

    >>> two_samples = jnp.array([[3.0, 0.5], [2.0, 0.25]])
    >>> BatchTopK(k=1).codes(two_samples, {}, training=True).T.tolist()
    [[3.0, 2.0], [0.0, 0.0]]
    """

    k: Float[Array, "..."] | float = _knob("k")

    knob = "k"

    def own(self, n_latents):
        return {"threshold": jnp.zeros((), jnp.float32)}

    def codes(self, u, own, training=False):
        z = jax.nn.relu(u)
        least = _least_of(stop_gradient(z), self.k * u.shape[1]) if training else own["threshold"]
        return jnp.where(z >= least, z, 0.0)

    def followed(self, own, z):
        least = jnp.where(z > 0, z, jnp.inf).min()
        least = jnp.where(jnp.isfinite(least), least, own["threshold"])
        first = own["threshold"] == 0
        return own | {"threshold": jnp.where(first, least, 0.99 * own["threshold"] + 0.01 * least)}


class Matryoshka(BatchTopK):
    """`BatchTopK` whose first latents must reconstruct by themselves, too: the errors of nested prefixes are added up.

    The prefixes are the first `1 / 2^(prefixes - 1)`, ..., 1/4, 1/2 of the latents, and all of them; the error is the mean of
    theirs, each but the last times `inner`. Raises ValueError for fewer than one prefix, a negative `inner`, and `k` below 1.

    Bussmann et al. (2025), "Learning Multi-Level Features with Matryoshka Sparse Autoencoders".

    >>> sae = Autoencoder([[1, 0], [0, 1]], [0, 0], [[1, 0], [0, 1]], [0, 0], Matryoshka(k=2, prefixes=2), {}, [0, 0], 0)
    >>> h = z = jnp.array([[1.0], [2.0]])
    >>> sae.method.error(sae, h, z)[0].tolist()  # the mean of 4, without the second latent, and 0, with both
    [2.0]
    """

    prefixes: int = eqx.field(static=True, kw_only=True, default=4)
    inner: Float[Array, "..."] | float = eqx.field(
        converter=lambda value: jnp.asarray(array(value, "inner"), jnp.float32), kw_only=True, default=1.0
    )

    def __check_init__(self):
        if whole(self.prefixes, "prefixes") < 1:
            raise ValueError(f"prefixes must be at least 1, got {self.prefixes}")
        check_each(
            self.inner, lambda inner: (inner >= 0) & np.isfinite(inner), "inner must be 0 or more, and finite"
        )

    def error(self, sae, h, z):
        D, n = sae.written_by, z.shape[0]
        ends = sorted({max(1, n // 2**power) for power in range(self.prefixes)})
        left, errors = h - sae.b_dec[:, None], []
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            left = left - D[:, start:end] @ z[start:end]
            errors.append((left**2).sum(axis=0) * (1.0 if end == n else self.inner))
        return sum(errors) / len(errors), left


class JumpReLU(_Method):
    """`z = u` where `u` is above the latent's own threshold, else 0; `penalty` times the number of active latents is added.

    Gradients reach the thresholds through a rectangle of `width` around them. Raises ValueError for a width that is not
    above 0, and a negative penalty.

    Rajamanoharan et al. (2024), "Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders".

    >>> method = JumpReLU(penalty=0.1)
    >>> method.codes(jnp.array([[2.0], [0.05]]), method.own(2)).T.tolist()  # thresholds start at 0.1
    [[2.0, 0.0]]
    """

    penalty: Float[Array, "..."] | float = _knob("penalty")
    width: float = eqx.field(static=True, kw_only=True, default=0.1)

    knob = "penalty"

    def __check_init__(self):
        if not 0 < number(self.width, "width") < np.inf:
            raise ValueError(f"width must be above 0, and finite, got {self.width}")

    def own(self, n_latents):
        return {"log_threshold": jnp.full(n_latents, np.log(0.1), jnp.float32)}

    def codes(self, u, own, training=False):
        return _jump(u, jnp.exp(own["log_threshold"])[:, None] + 0 * u, self.width)

    def extra(self, sae, h, u, z):
        threshold = jnp.exp(sae.own["log_threshold"])[:, None] + 0 * u
        return self.penalty * _step(u, threshold, self.width).sum(axis=0)


class Gated(_Method):
    """`z = ReLU(r u + c)` where the gate `u` is above 0, else 0; the `penalty` is on the gate alone.

    Each latent has its own `r` and `c`. The gate must reconstruct, too, with the decoder held fixed. As no
    penalty reaches the decoder, it must be larger than that of `Relu`: 0.2 to 1 where lengths are near 1. Raises
    ValueError for a negative one.

    Rajamanoharan et al. (2024), "Improving Dictionary Learning with Gated Sparse Autoencoders".

    >>> method = Gated(penalty=0.5)
    >>> method.codes(jnp.array([[2.0], [-1.0]]), method.own(2)).T.tolist()  # at first r is 1 and c is 0
    [[2.0, 0.0]]
    """

    penalty: Float[Array, "..."] | float = _knob("penalty")

    knob = "penalty"

    def own(self, n_latents):
        return {
            "log_gain": jnp.zeros(n_latents, jnp.float32),
            "shift": jnp.zeros(n_latents, jnp.float32),
        }

    def codes(self, u, own, training=False):
        magnitude = jax.nn.relu(jnp.exp(own["log_gain"])[:, None] * u + own["shift"][:, None])
        return jnp.where(u > 0, magnitude, 0.0)

    def extra(self, sae, h, u, z):
        gate = jax.nn.relu(u)
        fixed = h - stop_gradient(sae.written_by) @ gate - stop_gradient(sae.b_dec)[:, None]
        return self.penalty * gate.sum(axis=0) + (fixed**2).sum(axis=0)


def _kth_largest(u, k) -> Float[Array, " sample"]:
    """The `k`-th largest entry of each sample; equal ones count once."""
    u = stop_gradient(u)

    def next_largest(_, level):
        return jnp.where(u < level[None], u, -jnp.inf).max(axis=0)

    # Nothing is sorted: for the few that are kept, passes over contiguous samples are quicker.
    return jax.lax.fori_loop(0, k.astype(jnp.int32), next_largest, jnp.full(u.shape[1], jnp.inf, u.dtype))


def _least_of(z, n) -> Float[Array, ""]:
    """A level that the `n` largest of entries that are 0 or more reach, and no others but equal ones; 0 if fewer are above 0."""
    largest, positive = z.max(), (z > 0).sum(dtype=jnp.int32)
    n = jnp.minimum(n.astype(jnp.int32), positive)

    def between(state):
        low, high, count = state
        middle = (low + high) / 2
        return (count != n) & (low < middle) & (middle < high)

    def narrowed(state):
        low, high, _ = state
        middle = (low + high) / 2
        # A product with ones: XLA's own sum of comparisons is half as quick.
        count = ((z >= middle).astype(z.dtype) @ jnp.ones(z.shape[1], z.dtype)).astype(jnp.int32).sum()
        return jnp.where(count < n, low, middle), jnp.where(count < n, middle, high), count

    # Twice the largest, so that it is reached itself if n is 1.
    return jax.lax.while_loop(between, narrowed, (jnp.zeros_like(largest), 2 * largest, positive))[0]


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _jump(u, threshold, width):
    return jnp.where(u > threshold, u, 0.0)


@_jump.defjvp
def _jump_jvp(width, primals, tangents):
    (u, threshold), (du, dthreshold) = primals, tangents
    near = (jnp.abs(u - threshold) < width / 2) / width
    return _jump(u, threshold, width), jnp.where(u > threshold, du, 0.0) - threshold * near * dthreshold


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _step(u, threshold, width):
    return jnp.where(u > threshold, 1.0, 0.0)


@_step.defjvp
def _step_jvp(width, primals, tangents):
    (u, threshold), (_, dthreshold) = primals, tangents
    near = (jnp.abs(u - threshold) < width / 2) / width
    return _step(u, threshold, width), -near * dthreshold


class Autoencoder(eqx.Module):
    """`u = W_enc (h - b_dec) + b_enc`, codes `z` of `u` by its method, `h' = W_dec z + b_dec`.

    `W_enc` is None where it is tied: the decoder's directions. `own` are parameters of the method beyond these; `carried`
    sums the squares of each latent's codes since idle ones were last looked for, and `step` counts steps of training.
    Raises TypeError for weights that are no numbers.

    >>> sae = Autoencoder.init(10, 40, TopK(k=4), key=0)
    >>> sae.encode(jnp.ones(10)).shape, sae(jnp.ones(10)).shape, int((sae.encode(jnp.ones(10)) > 0).sum())
    ((40,), (10,), 4)
    """

    W_enc: Float[Array, "latent hidden"] | None = eqx.field(converter=_weights("W_enc", optional=True))
    b_enc: Float[Array, " latent"] = eqx.field(converter=_weights("b_enc"))
    W_dec: Float[Array, "hidden latent"] = eqx.field(converter=_weights("W_dec"))
    b_dec: Float[Array, " hidden"] = eqx.field(converter=_weights("b_dec"))
    method: Any
    own: dict[str, Array]
    carried: Float[Array, " latent"]
    step: Float[Array, ""]

    signed: ClassVar[bool] = False
    """Codes are never negative."""

    @classmethod
    def init(cls, n_hidden: int, n_latents: int, method: Any, *, key: AnyKey) -> "Autoencoder":
        """Random directions, each latent reading along the direction that it writes; biases of 0.

        Raises ValueError for sizes below 1, TypeError unless `method` is one of those of autoencoders.
        """
        n_hidden, n_latents = whole(n_hidden, "n_hidden"), whole(n_latents, "n_latents")
        if n_hidden < 1 or n_latents < 1:
            raise ValueError(
                "an autoencoder needs at least one hidden dimension and one latent, "
                f"got {n_hidden=}, {n_latents=}"
            )
        if not isinstance(method, _Method):
            raise TypeError(f"method must be that of an autoencoder, such as TopK(k=4), got {method!r:.60}")
        method.check(n_latents)
        D = unit(draws.normal(stream(key, "W_dec"), (n_hidden, n_latents)))
        own = method.own(n_latents) | ({"start": D} if method.decoder == "near" else {})
        none = jnp.zeros(n_latents, D.dtype), jnp.zeros(n_hidden, D.dtype)
        return cls(
            None if method.tied else D.T,
            none[0],
            D,
            none[1],
            method,
            own,
            none[0],
            jnp.zeros((), jnp.float32),
        )

    def along(self, D: ArrayLike) -> "Autoencoder":
        """The same, with latents that write and read along the columns of `D` (hidden, latent).

        Raises ValueError for another shape.
        """
        W = jnp.asarray(array(D, "D", "hidden", "latent"), self.W_dec.dtype)
        if W.shape != self.W_dec.shape:
            raise ValueError(f"directions must be {self.W_dec.shape} (hidden, latent), got {W.shape}")
        # A decoder that is to stay near its start stays near this one.
        own = self.own | ({"start": unit(W)} if "start" in self.own else {})
        W_enc = None if self.W_enc is None else W.T
        return dataclasses.replace(self, W_dec=W, W_enc=W_enc, own=own)

    @property
    def directions(self) -> Float[Array, "hidden latent"]:
        """The dictionary: a column of length 1 for each latent."""
        return unit(self.W_dec)

    @property
    def written_by(self) -> Float[Array, "hidden latent"]:
        """What each latent writes for a code of 1."""
        W = stop_gradient(self.W_dec) if self.method.decoder == "frozen" else self.W_dec
        return unit(W) if self.method.unit else W

    @property
    def bias(self) -> Float[Array, " hidden"]:
        """What is decoded from codes of 0."""
        return self.b_dec

    def preactivation(self, h: Float[Array, "hidden sample"]) -> Float[Array, "latent sample"]:
        """`u` for the activations in the columns of `h`."""
        W = self.written_by.T if self.W_enc is None else self.W_enc
        if self.method.encoder == "frozen":
            W = stop_gradient(W)
        # W_enc (h - b_dec) + b_enc: the gradient by b_dec is then that of a vector.
        return W @ h + (self.b_enc - W @ self.b_dec)[:, None]

    def written(self, z: Float[Array, "latent sample"]) -> Float[Array, "hidden sample"]:
        """`h'` for the codes in the columns of `z`."""
        return self.written_by @ z + self.b_dec[:, None]

    def encode(self, h: ArrayLike) -> Float[Array, " latent"]:
        """The codes of one activation `h`. Raises ValueError unless it has the autoencoder's hidden dimensions."""
        h, n = jnp.asarray(array(h, "h", "hidden")), self.W_dec.shape[-2]
        if h.shape != (n,):
            raise ValueError(f"h must have the {n} hidden dimensions of the autoencoder, got {len(h)}")
        return self.method.codes(self.preactivation(h[:, None]), self.own)[:, 0]

    def decode(self, z: Float[Array, " latent"]) -> Float[Array, " hidden"]:
        """The reconstruction `h'` from the codes of one activation."""
        return self.written(z[:, None])[:, 0]

    def __call__(self, h: ArrayLike) -> Float[Array, " hidden"]:
        return self.decode(self.encode(h))


class Reconstruction(eqx.Module):
    """The mean over a batch of `|h - h'|^2` and of what the autoencoder's method adds to it.

    `batch` of the `activations` are drawn anew at each step. With it, `train.fit` trains ensembles of autoencoders; `fit_each` is the
    shorter way.

    Raises TypeError for activations that cannot be drawn, ValueError for a batch below 1.

    >>> from superpose.dictionaries import Activations
    >>> from superpose.features import Independent
    >>> activations = Activations(draws.normal(jax.random.key(0), (10, 20)), Independent(0.05, n_features=20))
    >>> loss = Reconstruction(activations)
    >>> loss(Autoencoder.init(10, 40, Relu(penalty=0.1), key=1), 2).shape
    ()
    """

    activations: Any
    batch: int = eqx.field(static=True, default=512)

    def __check_init__(self):
        check_has(self.activations, "sample")
        if whole(self.batch, "batch") < 1:
            raise ValueError(f"batch must be at least 1 sample, got {self.batch}")

    def __call__(self, sae: Autoencoder, key: AnyKey) -> Float[Array, ""]:
        return self.observed(sae, key)[0]

    def observed(self, sae: Autoencoder, key: AnyKey) -> tuple[Float[Array, ""], Any]:
        """The loss, and what `after` needs of the samples: the residuals and the codes."""
        key = one_key(key)
        h = self.activations.sample(key, self.batch).T
        # The knobs are no parameters.
        sae = dataclasses.replace(sae, method=stop_gradient(sae.method))
        u = sae.preactivation(h)
        z = sae.method.codes(u, sae.own, training=True)
        error, residual = sae.method.error(sae, h, z)
        value = (error + sae.method.extra(sae, h, u, z)).mean()
        return value, stop_gradient((key, residual, z))

    def after(self, sae: Autoencoder, seen: Any) -> Autoencoder:
        """The autoencoder as the next step finds it: columns of length 1, and idle latents alive again."""
        key, residual, z = seen
        method, own = sae.method, sae.method.followed(sae.own, z)
        sae = dataclasses.replace(sae, own=own, carried=sae.carried + (z**2).mean(axis=1), step=sae.step + 1)
        if method.revive and method.decoder == method.encoder == "learned":
            due = (sae.step % method.revive == 0) & (sae.step <= 0.8 * method.steps)
            revived = partial(_revived, key=key, residual=residual)
            sae = jax.lax.cond(due, revived, lambda sae: sae, sae)
        W_dec = sae.W_dec
        if method.decoder == "near":
            W_dec = _near(unit(W_dec), own["start"])
        return dataclasses.replace(sae, W_dec=unit(W_dec) if method.unit else W_dec)


def _revived(sae, key, residual):
    """The autoencoder with latents that carried little pointed at what is reconstructed worst."""
    idle = sae.carried <= LITTLE * sae.carried.mean()
    new = unit(residual[:, _drawn_by(stream(key, "revived"), (residual**2).sum(axis=0), len(idle))])
    return dataclasses.replace(
        sae,
        W_dec=jnp.where(idle[None], new, sae.W_dec),
        W_enc=None if sae.W_enc is None else jnp.where(idle[:, None], new.T, sae.W_enc),
        b_enc=jnp.where(idle, 0.0, sae.b_enc),
        carried=jnp.zeros_like(sae.carried),
    )


def _drawn_by(key, weight, n):
    """`n` indices drawn with chances in the ratio of the weights: each the first in a race of exponential times."""
    return (-jnp.log(draws.uniform(key, (n, len(weight)))) / weight[None]).argmin(axis=1)


def _near(D, start):
    """Each column of `D` turned back to within a cosine of `NEAR` of its start."""
    along = (D * start).sum(axis=0, keepdims=True)
    across = unit(D - along * start)
    return jnp.where(along < NEAR, NEAR * start + np.sqrt(1 - NEAR**2) * across, D)
