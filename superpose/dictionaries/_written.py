"""Sparse autoencoders as SAELens and dictionary_learning keep them: the other way around than `_understood`."""

import dataclasses
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from superpose.dictionaries._autoencoders import Autoencoder, BatchTopK, Gated, JumpReLU, Relu, TopK
from superpose.dictionaries._loaded import Loaded

LAYOUTS = ("saelens", "dictionary_learning")
ARCHITECTURES = {"relu": "standard", "topk": "topk", "jumprelu": "jumprelu", "gated": "gated"}
"""What SAELens calls each kind of encoder."""
CLASSES = {
    "standard": "AutoEncoder",
    "topk": "AutoEncoderTopK",
    "jumprelu": "JumpReluAutoEncoder",
    "gated": "GatedAutoEncoder",
}
"""dictionary_learning's classes for these."""


class LaidOut(NamedTuple):
    """What another library keeps of an autoencoder."""

    arrays: dict[str, Float[np.ndarray, "..."]]
    config: dict[str, Any]
    """SAELens' `cfg.json`, or dictionary_learning's `config.json`."""


def laid_out(sae: Any, layout: str) -> LaidOut:
    """An autoencoder by the names, and along the axes, of another library.

    Raises TypeError for what has no encoder, ValueError for an unknown layout.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be {' or '.join(LAYOUTS)}, got {layout!r}")
    made = _as_loaded(sae)
    return (_saelens if layout == "saelens" else _dictionary_learning)(made)


def _as_loaded(sae: Any) -> Loaded:
    """The autoencoder by how its codes are made, whatever made it."""
    if isinstance(sae, Loaded):
        return sae
    if not isinstance(sae, Autoencoder):
        raise TypeError(
            f"sae must be an autoencoder, with an encoder of its own, got {type(sae).__name__}; "
            "of other dictionaries, save the directions"
        )
    if sae.W_dec.ndim != 2:
        raise ValueError(f"sae must be one autoencoder, got W_dec of shape {sae.W_dec.shape}")
    D, method, own = sae.written_by, sae.method, sae.own
    n = D.shape[1]
    kind = "relu"
    more: dict[str, Any] = {}
    if isinstance(method, TopK):
        kind, more = "topk", {"k": int(method.k)}
    elif isinstance(method, BatchTopK):
        # Here a code may equal the threshold, there it must be above it.
        below = jnp.nextafter(own["threshold"], jnp.full_like(own["threshold"], -jnp.inf))
        kind, more = "jumprelu", {"threshold": jnp.full(n, below)}
    elif isinstance(method, JumpReLU):
        kind, more = "jumprelu", {"threshold": jnp.exp(own["log_threshold"])}
    elif isinstance(method, Gated):
        # Here the magnitude is made of the gate, there of what is read, to which each adds a bias of its own.
        kind = "gated"
        more = {"r_mag": own["log_gain"], "b_mag": own["shift"] + jnp.exp(own["log_gain"]) * sae.b_enc}
    elif not isinstance(method, Relu):
        raise TypeError(f"{type(method).__name__} is none of the methods that other libraries have")
    W_enc = D.T if sae.W_enc is None else sae.W_enc
    return Loaded(kind, D, sae.b_dec, W_enc, sae.b_enc, sae.b_dec, **more)


def _moved(sae: Loaded, center: Any) -> Loaded:
    """The same codes with `center` taken off the input: the encoder's biases make up for the difference."""
    moved = sae.W_enc @ (center - sae.center)
    made = dataclasses.replace(sae, b_enc=sae.b_enc + moved, center=center)
    if sae.kind != "gated":
        return made
    return dataclasses.replace(made, b_mag=sae.b_mag + jnp.exp(jnp.asarray(sae.r_mag)) * moved)


def _saelens(sae: Loaded) -> LaidOut:
    """With the decoder's bias taken off the input where it is here, and else nothing."""
    taken = bool((sae.center == sae.bias).all())
    sae = _moved(sae, sae.bias if taken else jnp.zeros_like(sae.bias))
    hidden, latent = sae.W_dec.shape
    arrays = {"W_enc": sae.W_enc.T, "W_dec": sae.W_dec.T, "b_dec": sae.bias}
    config = {
        "architecture": ARCHITECTURES[sae.kind], "d_in": hidden, "d_sae": latent, "dtype": "float32", "device": "cpu",
        "apply_b_dec_to_input": taken, "normalize_activations": "none", "reshape_activations": "none",
        "metadata": {"superpose_version": version("superpose")},
    }  # fmt: skip
    match sae.kind:
        case "gated":
            return _laid_out(config, arrays, b_gate=sae.b_enc, b_mag=sae.b_mag, r_mag=sae.r_mag)
        case "jumprelu":
            return _laid_out(config, arrays, b_enc=sae.b_enc, threshold=sae.threshold)
        case "topk":
            config |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    return _laid_out(config, arrays, b_enc=sae.b_enc)


def _dictionary_learning(sae: Loaded) -> LaidOut:
    """With the decoder's bias taken off the input, but by a JumpReLU, where nothing is."""
    sae = _moved(sae, jnp.zeros_like(sae.bias) if sae.kind == "jumprelu" else sae.bias)
    hidden, latent = sae.W_dec.shape
    trainer = {"dict_class": CLASSES[ARCHITECTURES[sae.kind]], "activation_dim": hidden, "dict_size": latent}
    config = {"trainer": trainer, "superpose_version": version("superpose")}
    arrays = {"encoder.weight": sae.W_enc, "decoder.weight": sae.W_dec}
    match sae.kind:
        case "jumprelu":
            arrays = {"W_enc": sae.W_enc.T, "W_dec": sae.W_dec.T}
            return _laid_out(config, arrays, b_enc=sae.b_enc, b_dec=sae.bias, threshold=sae.threshold)
        case "gated":
            biases = {"gate_bias": sae.b_enc, "mag_bias": sae.b_mag, "decoder_bias": sae.bias}
            return _laid_out(config, arrays, **biases, r_mag=sae.r_mag)
        case "topk":
            trainer["k"] = sae.k
            arrays["encoder.bias"] = sae.b_enc
            # A threshold below 0 is one that is not used.
            return _laid_out(
                config, arrays, b_dec=sae.bias, k=np.array(sae.k, np.int32), threshold=np.float32(-1)
            )
    arrays["encoder.bias"] = sae.b_enc
    return _laid_out(config, arrays, bias=sae.bias)


def _laid_out(config: dict[str, Any], arrays: Mapping[str, Any], **more: Any) -> LaidOut:
    return LaidOut({name: np.array(each, order="C") for name, each in {**arrays, **more}.items()}, config)
