"""Codes for activations, given the directions of a dictionary: sparse coding, apart from how a dictionary is learned.

Each is called as `inference(directions, h)` for one activation `h` and directions of length 1.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from superpose.dictionaries._autoencoders import unit
from superpose.inputs import ArrayLike, array, check_each, finite, whole


class OMP(eqx.Module):
    """Orthogonal matching pursuit: at most `k` latents, taken one after another.

    Each step, of which there are no more than hidden dimensions, takes the latent whose direction has the largest product
    with what is not explained yet, then fits all codes taken so far by least squares; `nonnegative` ones by non-negative
    least squares, so that a latent may be dropped again. What remains is therefore orthogonal to every direction with a code. It finds any `k` active
    features where `k < (1 + 1/c) / 2`, with `c` the largest cosine of two directions, and most often far more. It
    stops early where no direction explains more than rounding.

    `k` may be traced by `jax.vmap` and `jax.jit`; then give `largest`, the largest it can be. Raises ValueError
    for `k` below 1 or above `largest`.

    Pati, Rezaiifar and Krishnaprasad (1993), "Orthogonal matching pursuit"; Bruckstein, Elad and Zibulevsky (2008),
    "On the uniqueness of nonnegative sparse solutions to underdetermined systems of equations".

    >>> OMP(k=1)(jnp.eye(3), jnp.array([1.0, 2.0, -3.0])).tolist()
    [0.0, 2.0, 0.0]
    >>> OMP(k=1, nonnegative=False)(jnp.eye(3), jnp.array([1.0, 2.0, -3.0])).tolist()
    [0.0, 0.0, -3.0]
    """

    k: Int[Array, ""]
    nonnegative: bool = eqx.field(static=True)
    largest: int = eqx.field(static=True)

    def __init__(self, k: Any, nonnegative: bool = True, largest: int | None = None):
        if not isinstance(k, jax.core.Tracer):
            k = whole(k, "k")
            if k < 1 or (largest is not None and k > whole(largest, "largest")):
                most = "" if largest is None else f", and at most largest, {largest}"
                raise ValueError(f"k must be at least 1{most}, got {k}")
            largest = k if largest is None else largest
        elif largest is None:
            raise ValueError("give largest, the largest that k can be, where k is traced by JAX")
        self.k, self.nonnegative, self.largest = (
            jnp.asarray(k, jnp.int32),
            nonnegative,
            whole(largest, "largest"),
        )

    @property
    def signed(self) -> bool:
        """Whether codes may be negative."""
        return not self.nonnegative

    def __call__(
        self, directions: Float[Array, "hidden latent"], h: Float[Array, " hidden"]
    ) -> Float[Array, " latent"]:
        D, product = directions, directions.T @ h
        rounding = 100 * jnp.finfo(h.dtype).eps * jnp.linalg.norm(h)
        solve = _nonnegative if self.nonnegative else _least_squares

        def step(j, state):
            chosen, taken, z = state
            left = D.T @ (h - jnp.where(taken, D[:, chosen], 0) @ z)
            gain = left if self.nonnegative else jnp.abs(left)
            best = gain.argmax()
            chosen = chosen.at[j].set(best)
            taken = taken.at[j].set((gain[best] > rounding) & (j < self.k))
            G = D[:, chosen].T @ D[:, chosen]
            return chosen, taken, solve(G, product[chosen], taken, rounding)

        # No codes of more latents are unique, and none explain more.
        most = min(self.largest, *D.shape)
        none = jnp.zeros(most, jnp.int32), jnp.zeros(most, bool), jnp.zeros(most, h.dtype)
        chosen, _, z = jax.lax.fori_loop(0, most, step, none)
        codes = jnp.zeros_like(product).at[chosen].add(z)
        return jnp.where(jnp.isfinite(product).all(), codes, jnp.nan)


def _least_squares(
    G: Float[Array, "k k"], b: Float[Array, " k"], among: Bool[Array, " k"], rounding: Any = None
) -> Float[Array, " k"]:
    """The `z` that solves `G z = b` with the unknowns `among`; 0 for the others."""
    G = jnp.where(among[None] & among[:, None], G, jnp.eye(len(b), dtype=G.dtype))
    return jnp.linalg.solve(G, jnp.where(among, b, 0))


def _nonnegative(
    G: Float[Array, "k k"], b: Float[Array, " k"], among: Bool[Array, " k"], rounding: Float[Array, ""]
) -> Float[Array, " k"]:
    """The `z >= 0` that minimizes `z . G z / 2 - b . z`.

    Exchanges the last unknown that is on the wrong side, which ends after finitely many times: Murty (1974),
    "Note on a Bard-type scheme for solving the complementarity problem". It is seldom more than one or two.
    """

    def wrong(state):
        positive, z, _ = state
        return among & jnp.where(positive, z < 0, b - G @ z > rounding)

    def exchange(state):
        positive, _, times = state
        last = len(b) - 1 - wrong(state)[::-1].argmax()
        positive = positive.at[last].set(~positive[last])
        return positive, _least_squares(G, b, positive), times + 1

    start = among, _least_squares(G, b, among), 0
    limit = 4 * len(b)
    _, z, _ = jax.lax.while_loop(lambda state: wrong(state).any() & (state[2] < limit), exchange, start)
    return jnp.maximum(z, 0)


class FISTA(eqx.Module):
    """The codes that minimize `|h - D z|^2 / 2 + penalty |z|_1`, among `z >= 0` where they are `nonnegative`.

    Proximal gradient steps with momentum, which restarts where it points uphill. It ends after `steps`, or earlier
    where no step would move a code by more than `tolerance |h|`, times the step `1 / L`: then each latent's product
    with what is not explained is `penalty` for codes above 0, and at most `penalty` for the others, to within about
    `tolerance |h|`. `L`, the largest eigenvalue of `D D^T`, is found once for all samples of a `jax.vmap`.

    Codes are shorter than the truth, by about `penalty` each. Raises ValueError for a negative penalty or tolerance,
    or fewer than 1 step.

    Beck and Teboulle (2009), "A fast iterative shrinkage-thresholding algorithm for linear inverse problems"; O'Donoghue
    and Candès (2015), "Adaptive restart for accelerated gradient schemes".

    >>> FISTA(penalty=0.5)(jnp.eye(3), jnp.array([2.0, 0.25, -3.0])).tolist()
    [1.5, 0.0, 0.0]
    """

    penalty: Float[Array, ""] | float = eqx.field(
        converter=lambda value: jnp.asarray(array(value, "penalty"))
    )
    steps: int = eqx.field(static=True, default=1000)
    nonnegative: bool = eqx.field(static=True, default=True)
    tolerance: float = eqx.field(static=True, default=1e-5)

    def __check_init__(self):
        check_each(self.penalty, lambda penalty: penalty >= 0, "penalty must be 0 or more")
        _check_ends(self)

    @property
    def signed(self) -> bool:
        """Whether codes may be negative."""
        return not self.nonnegative

    def __call__(
        self, directions: Float[Array, "hidden latent"], h: Float[Array, " hidden"]
    ) -> Float[Array, " latent"]:
        D = directions
        L = jnp.maximum(jnp.linalg.eigvalsh(D @ D.T)[-1], jnp.finfo(D.dtype).tiny)
        near = self.tolerance * jnp.linalg.norm(h) / L
        threshold = jnp.asarray(self.penalty, D.dtype) / L

        def shrunk(z):
            if self.nonnegative:
                return jnp.maximum(z - threshold, 0)
            return jnp.sign(z) * jnp.maximum(jnp.abs(z) - threshold, 0)

        def step(state):
            z, ahead, momentum, _, taken = state
            new = shrunk(ahead - D.T @ (D @ ahead - h) / L)
            uphill = (ahead - new) @ (new - z) > 0
            next_momentum = jnp.where(uphill, 1, (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2)
            further = jnp.where(uphill, 0, (momentum - 1) / next_momentum) * (new - z)
            return new, new + further, next_momentum, jnp.abs(new - ahead).max(), taken + 1

        start = jnp.zeros_like(D[0] * h[0])
        one, far = jnp.ones((), start.dtype), jnp.full((), jnp.inf, start.dtype)
        go = lambda state: (state[3] > near) & (state[4] < self.steps)  # noqa: E731
        return jax.lax.while_loop(go, step, (start, start, one, far, 0))[0] + 0 * near


def _check_ends(inference) -> None:
    check_each(inference.tolerance, lambda tolerance: tolerance >= 0, "tolerance must be 0 or more")
    if whole(inference.steps, "steps") < 1:
        raise ValueError(f"steps must be at least 1, got {inference.steps}")


class NNLS(eqx.Module):
    """Non-negative least squares: the codes `z >= 0` that minimize `|h - D z|^2`, by `FISTA` with a penalty of 0.

    Nothing but the sign asks for few latents. Where all directions are on one side of a plane, sums of few of them have
    often no other non-negative codes (Bruckstein, Elad and Zibulevsky 2008). Where a positive sum of directions is 0,
    as is likely for random ones of more than twice the hidden dimensions (Wendel 1962), codes are never unique: this
    finds some, that are not sparse. It ends as `FISTA` does, after `steps` or within `tolerance`. Raises ValueError for a
    negative tolerance, or fewer than 1 step.

    Lawson and Hanson (1974), "Solving least squares problems", has the conditions that hold at the minimum.

    >>> NNLS()(jnp.eye(2), jnp.array([2.0, -3.0])).tolist()
    [2.0, 0.0]
    """

    steps: int = eqx.field(static=True, default=5000)
    tolerance: float = eqx.field(static=True, default=1e-5)
    signed = False
    """Codes are never negative."""

    def __check_init__(self):
        _check_ends(self)

    def __call__(
        self, directions: Float[Array, "hidden latent"], h: Float[Array, " hidden"]
    ) -> Float[Array, " latent"]:
        return FISTA(jnp.zeros(()), self.steps, tolerance=self.tolerance)(directions, h)


class LeastSquares(eqx.Module):
    """The shortest codes of either sign with the least `|h - D z|^2`: `z = D^+ h`, with the pseudoinverse of `D`.

    Codes of fewer, independent directions than hidden dimensions, as PCA and ICA have them; never sparse.

    >>> LeastSquares()(jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), jnp.array([1.0, -2.0, 3.0])).tolist()
    [1.0, -2.0]
    """

    signed = True
    """Codes may be negative."""

    def __call__(
        self, directions: Float[Array, "hidden latent"], h: Float[Array, " hidden"]
    ) -> Float[Array, " latent"]:
        return _of_present(directions, jnp.linalg.pinv(directions) @ h)


class ReluStep(eqx.Module):
    """`z = ReLU(D^T h - threshold)`: what the encoder of a sparse autoencoder does, with tied weights.

    `threshold` is one number, or one for each latent: the call raises ValueError for any other. No such map inverts superposed features, however good its
    directions: O'Neill, Gumran and Klindt (2024), "Compute optimal inference and provable amortisation gap in sparse
    autoencoders".

    >>> ReluStep(0.5)(jnp.eye(3), jnp.array([2.0, 0.25, -3.0])).tolist()
    [1.5, 0.0, 0.0]
    """

    threshold: Float[Array, "..."] | float = eqx.field(
        converter=lambda value: jnp.asarray(array(value, "threshold"))
    )
    signed = False
    """Codes are never negative."""

    def __call__(
        self, directions: Float[Array, "hidden latent"], h: Float[Array, " hidden"]
    ) -> Float[Array, " latent"]:
        threshold = jnp.asarray(self.threshold, h.dtype)
        if threshold.shape not in ((), directions.shape[1:]):
            raise ValueError(
                f"threshold must be one number, or one for each of {directions.shape[1]} latents, got shape {threshold.shape}"
            )
        return _of_present(directions, jax.nn.relu(directions.T @ h - threshold))


def _of_present(
    directions: Float[Array, "hidden latent"], z: Float[Array, " latent"]
) -> Float[Array, " latent"]:
    """The codes, with 0 for columns of zeros; NaN stays."""
    return jnp.where((directions != 0).any(axis=0), z, 0 * z)


def best_threshold(directions: ArrayLike, x: ArrayLike, h: ArrayLike) -> float:
    """The threshold of a `ReluStep` that tells best which features are active, given samples and their truth.

    Latent `i` is for feature `i`: `x[s, i] > 0` should be where `directions[:, i] . h[s]` is above the threshold. Of
    all thresholds it has the largest F1 of that, all samples and features counted together. Directions are taken
    with length 1. Raises ValueError for NaN and infinity, and for shapes that do not fit.

    >>> best_threshold(jnp.eye(2), jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[0.75, 0.25], [0.0, 0.5]]))
    0.375
    """
    D, x = finite(directions, "directions", "hidden", "latent"), finite(x, "x", "sample", "feature")
    product = np.asarray(jnp.asarray(finite(h, "h", "sample", "hidden")) @ unit(jnp.asarray(D)))
    if product.shape != x.shape:
        raise ValueError(f"x must be the truth for {product.shape} samples and latents, got {x.shape}")
    order = np.argsort(-product, axis=None)
    found, score = np.cumsum((x > 0).ravel()[order]), product.ravel()[order]
    F1 = 2 * found / (np.arange(1, x.size + 1) + max(found[-1], 1))
    best = F1.argmax()
    return float(score[best : best + 2].mean())


def check_inference(inference: Any) -> None:
    if isinstance(inference, type) or not callable(inference):
        raise TypeError(f"inference must be such as OMP(k=4), got {inference!r:.40}")


class Dictionary(eqx.Module):
    """Directions with any inference: `z = inference(directions, h - bias)`, then `h' = directions z + bias`.

    Each column of `directions` becomes of length 1; a column of zeros stays, for a latent that is absent: it never
    has a code. Codes are `signed` where the inference's may be negative; a direction then counts up to its sign.

    Raises ValueError for shapes that do not fit, and TypeError for an inference that is none.

    >>> dictionary = Dictionary([[2.0, 0.0], [0.0, 3.0]], 0.0, OMP(k=1))
    >>> dictionary.directions.tolist(), dictionary.encode(jnp.array([5.0, 1.0])).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [5.0, 0.0])
    """

    directions: Float[Array, "hidden latent"]
    bias: Float[Array, " hidden"]
    inference: Any

    def __init__(self, directions: ArrayLike, bias: ArrayLike, inference: Any):
        self.directions = unit(jnp.asarray(array(directions, "directions", "hidden", "latent")))
        bias = jnp.asarray(array(bias, "bias"), self.directions.dtype)
        n_hidden = len(self.directions)
        if bias.shape not in ((), (n_hidden,)):
            raise ValueError(f"bias must be one number, or one for each of {n_hidden} hidden dimensions")
        check_inference(inference)
        self.bias, self.inference = jnp.broadcast_to(bias, (n_hidden,)), inference

    @property
    def signed(self) -> bool:
        """Whether codes may be negative."""
        return self.inference.signed

    def encode(self, h: ArrayLike) -> Float[Array, " latent"]:
        """The codes of one activation `h`. Raises ValueError unless it has the dictionary's hidden dimensions."""
        h = jnp.asarray(array(h, "h", "hidden"))
        if h.shape != self.bias.shape:
            raise ValueError(
                f"h must have the {len(self.bias)} hidden dimensions of the dictionary, got {len(h)}"
            )
        return self.inference(self.directions, h - self.bias)

    def decode(self, z: Float[Array, " latent"]) -> Float[Array, " hidden"]:
        """The reconstruction `h'` from the codes of one activation."""
        return self.directions @ z + self.bias

    def __call__(self, h: ArrayLike) -> Float[Array, " hidden"]:
        return self.decode(self.encode(h))
