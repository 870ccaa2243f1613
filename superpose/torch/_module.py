"""What needs PyTorch: its module of a model, and tensors to arrays and back. From 1.13 on; NumPy's arrays go by DLPack.

PyTorch's own bridge to NumPy, `tensor.numpy()`, is that of the NumPy it was built with: the one in Debian 12 was built with 1.x.
"""

import math
import re
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from superpose.models import Network

ACTIVATIONS: dict[str, Callable] = {
    "identity": lambda z: z,
    "relu": functional.relu,
    "gelu": partial(functional.gelu, approximate="tanh"),
    "silu": functional.silu,
    "elu": functional.elu,
    # Above its threshold PyTorch takes z for softplus(z): 20, unless told otherwise, is too low in float64.
    "softplus": partial(functional.softplus, threshold=40),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "abs": torch.abs,
}
"""Those of `models.activations`, which has JAX's approximation of gelu."""
PARTS = ("state_dict", "model_state_dict", "model")
"""What a checkpoint's weights are called."""


def activation_of(given: Any, name: str) -> Any:
    """The name of an activation that PyTorch has, or a function of PyTorch."""
    if isinstance(given, str):
        if given not in ACTIVATIONS:
            raise ValueError(
                f"{name} {given!r} is none that PyTorch is known to have; give one: module(model, {name}=...)"
            )
        return given
    try:
        given(torch.zeros(2))
    except Exception:
        label = getattr(given, "__name__", repr(given))
        raise ValueError(
            f"{name} {label} is no function of PyTorch; give one that is the same: module(model, {name}=torch.sin)"
        ) from None
    return given


class Toy(torch.nn.Module):
    """`h = hidden_activation(W x + hidden_bias)`, then `x' = activation(W_out h + b)`, of one model or of many side by side."""

    def __init__(
        self,
        kind: type[Network],
        weights: Mapping[str, torch.Tensor | None],
        functions: Mapping[str, Any],
        routed: Mapping[str, int],
    ):
        super().__init__()
        for name, values in weights.items():
            self.register_parameter(name, None if values is None else torch.nn.Parameter(values))
        self.kind, self.functions, self.routed = kind, dict(functions), dict(routed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(x))

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """`h` (..., hidden)."""
        *lead, _, n = self.W.shape
        axes = x.shape[-1 - len(lead) :]
        # Broadcast, a batch as long as the ensemble would be taken for its members.
        if (
            len(axes) <= len(lead)
            or axes[-1] != n
            or any(a not in (1, b) for a, b in zip(axes, lead, strict=False))
        ):
            raise ValueError(
                f"x must have the shape (..., {', '.join(map(str, [*lead, n]))}), got {tuple(x.shape)}"
            )
        h = torch.einsum("...f,...hf->...h", x.to(self.W.dtype), self.W)  # minima are in double precision
        h = self._applied("hidden_activation", h if self.hidden_bias is None else h + self.hidden_bias)
        return self._routed(h) if self.routed else h

    def decode(self, h: torch.Tensor) -> torch.Tensor:
        """`x'` (..., feature)."""
        W_out = self.W.transpose(-1, -2) if self.W_out is None else self.W_out
        return self._applied("activation", torch.einsum("...h,...fh->...f", h, W_out) + self.b)

    def member(self, index: int) -> "Toy":
        """One of the models side by side, by its place along the first axis; of its own, so that neither changes the other."""
        if self.W.ndim == 2:
            raise IndexError("there is one model, and no axis to choose from")
        weights = {
            name: None if values is None else values[index].detach().clone()
            for name, values in self._parameters.items()
        }
        return Toy(self.kind, weights, self.functions, self.routed)

    def as_superpose(self, activation: Any = None, hidden_activation: Any = None) -> Network:
        """The model, or the models side by side; functions of PyTorch need JAX's in their place."""
        given = {"activation": activation, "hidden_activation": hidden_activation}
        for name, function in self.functions.items():
            given[name] = given[name] or function
            if given[name] is function and callable(function):
                raise ValueError(
                    f"{name} is a function of PyTorch; give JAX's that is the same: model(module, {name}=jnp.sin)"
                )
        weights: dict[str, Any] = {n: None if p is None else array(p) for n, p in self._parameters.items()}
        settings: dict[str, Any] = given | self.routed
        return self.kind(**weights, **settings)

    def _applied(self, name: str, z: torch.Tensor) -> torch.Tensor:
        function = self.functions[name]
        return ACTIVATIONS[function](z) if isinstance(function, str) else function(z)

    def _routed(self, h: torch.Tensor) -> torch.Tensor:
        """`h` of a mixture, where the experts with the longest parts keep theirs."""
        parts = h.reshape(*h.shape[:-1], self.routed["experts"], -1)
        length = (parts**2).sum(-1)
        ahead = (length[..., :, None] > length[..., None, :]).sum(-2)
        return (parts * (ahead < self.routed["active"])[..., None]).reshape(h.shape)

    def extra_repr(self) -> str:
        *lead, hidden, n = self.W.shape
        many = [f"{math.prod(lead)} models"] if lead else []
        said = [f"{name}={function}" for name, function in self.functions.items()]
        return ", ".join([self.kind.__name__, *many, f"{n} features", f"{hidden} hidden", *said])


def tensor(values: Any) -> torch.Tensor:
    """An array as a tensor of its own: float64 and whole numbers as they are, all other floats in float32."""
    made = np.asarray(values)
    if made.dtype.kind not in "iu" and made.dtype != np.float64:
        made = made.astype(np.float32)
    return torch.from_dlpack(np.array(made, order="C"))


def array(given: torch.Tensor) -> np.ndarray:
    """A tensor as an array of its own: float64 and whole numbers as they are, all other floats in float32."""
    given = given.detach().cpu()
    if given.is_complex():
        raise ValueError("must be real numbers, and is complex")
    if given.is_floating_point() and given.dtype != torch.float64:
        given = given.float()
    if given.dtype == torch.bool:
        given = given.to(torch.uint8)
    return np.array(np.from_dlpack(given.contiguous()))


def numbers(named: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The tensors of a state dict as arrays; what is none is left out."""
    found = {}
    for name, each in named.items():
        if not isinstance(each, torch.Tensor):
            if isinstance(each, np.ndarray):
                found[str(name)] = each
            continue
        try:
            found[str(name)] = array(each)
        except Exception as error:
            raise ValueError(f"{name} cannot be had as numbers: {str(error).partition(chr(10))[0]}") from None
    return found


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The tensors in a `.pt` file."""
    if path.suffix not in (".pt", ".pth"):
        raise ValueError(f"{path} must end in .pt or .pth")
    _check_zip(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # The rest of what PyTorch says advises to trust the file.
        unsupported = re.search(r"Unsupported \w+[^\n\x1b]*", str(error))
        why = unsupported[0] if unsupported else type(error).__name__
        raise ValueError(
            f"{path} holds more than tensors, or is damaged, and is not read; "
            f"torch.save(model.state_dict(), ...) writes tensors ({why:.100})"
        ) from None
    if isinstance(loaded, torch.Tensor):
        loaded = {"the array": loaded}
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{path} must hold tensors by name, got {type(loaded).__name__}")
    parts = (loaded[part] for part in PARTS if isinstance(loaded.get(part), Mapping))
    found = numbers(next(parts, loaded))
    if not found:
        raise ValueError(f"{path} holds no tensors by name, only {', '.join(map(str, loaded)) or 'nothing'}")
    return found


def _check_zip(path: Path) -> None:
    """Raise ValueError unless `torch.load` takes the file for an archive of tensors: elsewhere some versions run code."""
    try:
        with path.open("rb") as file:
            first = file.read(4)
        names = zipfile.ZipFile(path).namelist() if first == b"PK\x03\x04" else []
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    except zipfile.BadZipFile as error:
        raise ValueError(f"cannot read {path}: {error}") from None
    inside = {name.rpartition("/")[2] for name in names}
    if "data.pkl" not in inside or "constants.pkl" in inside:
        raise ValueError(
            f"{path} may run code where it is read, so it is not: it is no file of torch.save, or one of before PyTorch 1.6, or "
            "TorchScript; save its tensors by torch.save(model.state_dict(), ...)"
        )


def save(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """A file with these arrays as tensors by name."""
    torch.save({name: tensor(values) for name, values in arrays.items()}, path)
