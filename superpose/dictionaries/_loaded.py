"""A dictionary made by another library, and how its arrays are understood."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose import measures
from superpose.inputs import ArrayLike, array

DIRECTIONS = {
    "directions": False, "decoder.weight": False, "dictionary": False,
    "W_dec": True, "components_": True, "components": True,
}  # fmt: skip
"""The names under which directions are kept, and whether they are rows (SAELens, scikit-learn), not columns (PyTorch)."""
ENCODERS = {"encoder.weight": True, "W_enc": False}
"""The same for encoders: whether what a latent reads is a row (PyTorch), not a column (SAELens)."""
BIASES = {
    "b_dec": ("b_dec", "bias", "decoder.bias", "decoder_bias"),
    "b_enc": ("b_enc", "encoder.bias", "b_gate", "gate_bias"),
    "b_mag": ("b_mag", "mag_bias"),
    "r_mag": ("r_mag",),
    "threshold": ("threshold", "topk_threshold"),
    "k": ("k",),
}
KINDS = ("relu", "topk", "jumprelu", "gated")


class Loaded(eqx.Module):
    """An autoencoder made elsewhere: codes by its own encoder, in units of directions of length 1.

    With `p = W_enc (h - center) + b_enc` a latent's code is `|W_dec_j|` times, by `kind`,

        relu      ReLU(p)
        topk      ReLU(p) of the k largest p, else 0
        jumprelu  ReLU(p) where p > threshold, else 0
        gated     ReLU(exp(r_mag) (p - b_enc) + b_mag) where p > 0, else 0

    `center` is what is taken off the input: `bias`, or 0. Lengths of decoder columns so make no difference to
    `h' = directions z + bias`.

    >>> sae = Loaded("relu", [[2.0], [0.0]], [0.0, 0.0], [[1.0, 0.0]], [-0.5], [0.0, 0.0])
    >>> sae.directions.tolist(), sae.encode([1.5, 9.0]).tolist(), sae([1.5, 9.0]).tolist()
    ([[1.0], [0.0]], [2.0], [2.0, 0.0])
    """

    W_dec: Float[Array, "hidden latent"]
    bias: Float[Array, " hidden"]
    W_enc: Float[Array, "latent hidden"]
    b_enc: Float[Array, " latent"]
    center: Float[Array, " hidden"]
    threshold: Float[Array, " latent"] | None
    r_mag: Float[Array, " latent"] | None
    b_mag: Float[Array, " latent"] | None
    kind: str = eqx.field(static=True)
    k: int | None = eqx.field(static=True)
    signed: ClassVar[bool] = False

    def __init__(
        self, kind, W_dec, bias, W_enc, b_enc, center, *, threshold=None, r_mag=None, b_mag=None, k=None
    ):
        made = {"W_dec": W_dec, "bias": bias, "W_enc": W_enc, "b_enc": b_enc, "center": center,
                "threshold": threshold, "r_mag": r_mag, "b_mag": b_mag}  # fmt: skip
        hidden, latent = np.shape(W_dec)
        shapes = {
            "W_dec": (hidden, latent),
            "W_enc": (latent, hidden),
            "bias": (hidden,),
            "center": (hidden,),
        }
        for name, value in made.items():
            value = None if value is None else jnp.asarray(array(value, name), jnp.float32)
            if value is not None and value.shape != shapes.get(name, (latent,)):
                raise ValueError(
                    f"{name} must have the shape {shapes.get(name, (latent,))} where there are {latent} directions of "
                    f"{hidden} numbers, got {value.shape}"
                )
            setattr(self, name, value)
        needs = {"topk": ("k",), "jumprelu": ("threshold",), "gated": ("r_mag", "b_mag")}.get(kind, ())
        missing = [name for name in needs if (k if name == "k" else made[name]) is None]
        if kind not in KINDS or missing:
            raise ValueError(
                f"unknown kind {kind!r}; known are {', '.join(KINDS)}"
                if kind not in KINDS
                else f"{kind} needs {' and '.join(missing)}"
            )
        if k is not None and not 1 <= k <= latent:
            raise ValueError(f"k must be from 1 to the {latent} latents, got {k}")
        self.kind, self.k = kind, k

    @property
    def directions(self) -> Float[Array, "hidden latent"]:
        """Columns of length 1; 0 for a latent that writes nothing."""
        length = measures.norms(self.W_dec)[None]
        return jnp.where(length > 0, self.W_dec / jnp.where(length > 0, length, 1.0), 0.0)

    def encode(self, h: ArrayLike) -> Float[Array, " latent"]:
        h, n = jnp.asarray(array(h, "h", "hidden"), jnp.float32), self.W_enc.shape[1]
        if h.shape != (n,):
            raise ValueError(f"h must have the {n} hidden dimensions of the dictionary, got {len(h)}")
        read = self.W_enc @ (h - self.center)
        p = read + self.b_enc
        match self.kind:
            case "topk":
                largest, place = jax.lax.top_k(p, self.k or 1)
                z = jnp.zeros_like(p).at[place].set(jax.nn.relu(largest))
            case "jumprelu":
                z = jnp.where(p > self.threshold, jax.nn.relu(p), 0.0)
            case "gated":
                z = jnp.where(p > 0, jax.nn.relu(jnp.exp(jnp.asarray(self.r_mag)) * read + self.b_mag), 0.0)
            case _:
                z = jax.nn.relu(p)
        return z * measures.norms(self.W_dec)

    def decode(self, z: Float[Array, " latent"]) -> Float[Array, " hidden"]:
        return self.directions @ z + self.bias

    def __call__(self, h: ArrayLike) -> Float[Array, " hidden"]:
        return self.decode(self.encode(h))


class Understood(NamedTuple):
    """What a file's arrays are taken for."""

    directions: Float[np.ndarray, "hidden latent"]
    bias: Float[np.ndarray, " hidden"]
    autoencoder: Loaded | None
    """None where there is no encoder, or none that is understood."""
    said: str
    """How the arrays were understood, in one line."""


def understood(
    arrays: Mapping[str, Any], config: Mapping[str, Any], n_hidden: int, rows: bool | None = None
) -> Understood:
    """The dictionary in these arrays, for activations of `n_hidden` dimensions.

    By name and shape: the axis of `n_hidden` numbers is the hidden one; where both are, the name decides, or `rows`:
    whether rows, not columns, are directions. `config` is what SAELens writes beside its arrays. Raises
    ValueError where there are no directions of `n_hidden` numbers, or arrays do not fit together.
    """
    name = next((name for name in DIRECTIONS if name in arrays), None)
    if name is None and len(arrays) == 1 and np.ndim(next(iter(arrays.values()))) == 2:
        name = next(iter(arrays))
    if name is None:
        raise ValueError(
            f"has no directions: none of {', '.join(DIRECTIONS)} is among {', '.join(arrays) or 'nothing'}"
        )
    D, turned = _oriented(
        arrays[name], name, DIRECTIONS.get(name, False) if rows is None else rows, n_hidden, rows
    )
    said = [f"{D.shape[1]} directions, the {'rows' if turned else 'columns'} of {name}"]
    known = {
        field: next((arrays[each] for each in names if each in arrays), None)
        for field, names in BIASES.items()
    }
    b_dec = known["b_dec"]
    bias = np.zeros(n_hidden) if b_dec is None else np.asarray(b_dec, float)
    if bias.shape != (n_hidden,):
        raise ValueError(f"has a decoder bias of shape {bias.shape}, which must be {n_hidden} numbers")
    encoder = next((name for name in ENCODERS if name in arrays), None)
    if encoder is None:
        return Understood(D, bias, None, "; ".join([*said, "no encoder"]))
    kind, why_not = _kind(known, config)
    if kind is None:
        return Understood(D, bias, None, "; ".join([*said, f"its encoder is not understood: {why_not}"]))
    E, turned = _oriented(arrays[encoder], encoder, ENCODERS[encoder], n_hidden, None)
    autoencoder, how = _autoencoder(kind, D, bias, E.T, known, config)
    layout = "rows" if turned else "columns"
    return Understood(
        D, bias, autoencoder, "; ".join([*said, f"codes by its encoder, the {layout} of {encoder}: {how}"])
    )


def _oriented(values, name, rows, n_hidden, asked):
    """A matrix as (hidden, latent), and whether it was given as (latent, hidden)."""
    matrix = np.asarray(values)
    if matrix.ndim != 2:
        raise ValueError(f"has {name} of shape {matrix.shape}, which must be a matrix (hidden, latent)")
    if asked is None and matrix.shape[1 if rows else 0] != n_hidden:
        rows = not rows  # the other way around than such arrays usually are
    if matrix.shape[1 if rows else 0] != n_hidden:
        raise ValueError(f"has {name} of shape {matrix.shape}, and activations have {n_hidden} dimensions")
    return np.asarray(matrix.T if rows else matrix, np.float32), rows


def _kind(known, config) -> tuple[str | None, str]:
    """How codes are made, or None and why that is not known."""
    normalized = config.get("normalize_activations") or "none"
    if normalized != "none":
        return None, f"it normalizes activations ({normalized}); fold that into its weights"
    named = config.get("architecture")
    if named in (None, "standard") and "topk" in str(
        config.get("activation_fn", config.get("activation_fn_str"))
    ):
        named = "topk"
    if named is not None:
        kinds = {"standard": "relu", "batchtopk": "jumprelu", "matryoshka_batchtopk": "jumprelu"}
        kind = kinds.get(named, named)
        return (kind, "") if kind in KINDS else (None, f"architecture {named}")
    if known["r_mag"] is not None:
        return "gated", ""
    threshold = known["threshold"]
    if threshold is not None and (np.asarray(threshold) >= 0).all():
        return "jumprelu", ""
    return ("topk" if known["k"] is not None else "relu"), ""


def _autoencoder(kind, D, bias, W_enc, known, config) -> tuple[Loaded, str]:
    latent = D.shape[1]

    def each(name, usual=None):
        value = known[name] if known[name] is not None else usual
        return None if value is None else np.broadcast_to(np.asarray(value, np.float32), (latent,))

    k = config.get("k", (config.get("activation_fn_kwargs") or {}).get("k", known["k"]))
    k = int(k) if kind == "topk" and k is not None else None
    # Elsewhere a JumpReLU with no settings beside it takes nothing off its input (Gemma Scope, dictionary_learning).
    taken = config.get("apply_b_dec_to_input", bool(config) or kind != "jumprelu")
    b_enc = each("b_enc", 0.0)
    if config.get("rescale_acts_by_decoder_norm"):
        length = np.linalg.norm(D, axis=0)
        W_enc, b_enc, D = W_enc * length[:, None], b_enc * length, D / np.where(length > 0, length, 1)
    made = Loaded(
        kind, D, bias, W_enc, b_enc, bias if taken else np.zeros_like(bias),
        threshold=each("threshold") if kind == "jumprelu" else None,
        r_mag=each("r_mag") if kind == "gated" else None, b_mag=each("b_mag") if kind == "gated" else None, k=k,
    )  # fmt: skip
    less = "the decoder's bias is taken off the input" if taken else "nothing is taken off the input"
    return made, f"{kind}{f', k = {k}' if k else ''}, {less}"
