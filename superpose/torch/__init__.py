"""Models and dictionaries to PyTorch and back: modules, state dicts of others' layouts, and `.pt` files without their pickle.

PyTorch is imported where it is needed and not before; `pip install "superpose[torch]"` brings it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Shaped

from superpose.dictionaries import _files
from superpose.dictionaries._loaded import Loaded
from superpose.dictionaries._written import laid_out
from superpose.models import Network, name_in_activations, standard_kind
from superpose.progress import say
from superpose.torch import _saes, _states

__all__ = ["arrays", "dictionary", "dictionary_state", "model", "module", "save_dictionary", "state_dict"]


def module(
    model: Any, *, activation: Callable | None = None, hidden_activation: Callable | None = None
) -> Any:
    """A `torch.nn.Module` with the outputs of this model, or of all of these models side by side.

    It takes samples (..., feature), and those of an ensemble (..., member, feature): each member gets its own, or the same
    where that axis is 1. Its parameters `W` (..., hidden, feature), `b`, `W_out` and `hidden_bias` are named and laid out as the
    model's are, in float64 where that is float64 and else in float32, and can be trained; samples
    are taken in that precision. `encode` and `decode` are the two
    halves, and `member(i)` is one of the models by itself. `activation` and `hidden_activation` are functions of PyTorch, for a model
    whose own PyTorch does not have.

    Raises ImportError without PyTorch; TypeError for what is no network of `superpose.models`; ValueError for an activation that PyTorch
    does not have under its name. In PyTorch::

        net = superpose.torch.module(ReluOutput([[1, -1]], [0, 0]))
        net(torch.tensor([2.0, 1.0]))  # tensor([1., 0.])
    """
    ours = _needed()
    kind = standard_kind(model)
    own = {"activation": activation, "hidden_activation": hidden_activation}
    functions = {
        name: ours.activation_of(given or _name(getattr(model, name)), name) for name, given in own.items()
    }
    weights = {
        name: None if (values := getattr(model, name)) is None else ours.tensor(values)
        for name in _states.NAMES
    }
    routed = {name: getattr(model, name) for name in ("experts", "active") if hasattr(model, name)}
    return ours.Toy(kind, weights, functions, routed)


def _name(activation: Any) -> Any:
    """An activation by its name, if it has one that everybody knows."""
    return name_in_activations(activation) or activation


def model(
    source: Any,
    kind: Any = None,
    *,
    layout: str = "guess",
    activation: Any = None,
    hidden_activation: Any = None,
) -> Network:
    """The model, or the models side by side, that a module of PyTorch, a state dict or a file has.

    What `module` made comes back as it was. All else is understood by the names and shapes of its arrays: `W` or `W1`, `b_final` or
    `b`, and where they are there `W_out` or `W2`, and `hidden_bias`; leading axes are instances. Matrices are laid out as in::

        notebook   (feature, hidden): the authors' notebook's `W` (instances, features, hidden)
        arena      (hidden, feature): ARENA's `W` (inst, d_hidden, feats), and ours

    With the layout "guess", the axis of `W` that is as long as `b_final` is that of features, or the longer one where there is no `b_final`, and
    one line on standard error says what was found. `kind` is the class, such as `models.ReluHidden`, and activations are those of the class unless given;
    without a `kind`, `W` alone is a `ReluOutput`, `W` with `W_out` an `Untied`, and ARENA's `W1` with `W2` an `Untied` whose hidden layer is a
    ReLU. A file is `.pt` or `.pth`, of which only tensors are read (see `arrays`), `.safetensors` or `.npz`.

    Raises ValueError, in one line, for a square `W` without a layout, for arrays that do not fit together, and for a file that
    cannot be read; TypeError for another source or kind; ImportError without PyTorch, where the source needs it.

    Elhage et al. (2022), `toy_models.ipynb`; Callum McDougall et al., ARENA 3.0, chapter 1.3.

    >>> state = {"W": [[[1.0], [-1.0]]], "b_final": [[0.0, 0.0]]}
    >>> model(state, layout="notebook").W.tolist()
    [[[1.0, -1.0]]]
    """
    if _is_module(source) and hasattr(source, "as_superpose"):
        return source.as_superpose(activation, hidden_activation)
    if kind is not None and not (isinstance(kind, type) and issubclass(kind, Network)):
        raise TypeError(f"kind must be a class of superpose.models, such as ReluHidden, got {kind!r:.40}")
    found, config, of = _read(source)
    if "card" in config:
        raise ValueError(
            f"{of} has a card of superpose: superpose.load_model knows by it what the models are"
        )
    given = {"activation": activation, "hidden_activation": hidden_activation}
    try:
        made, said = _states.network(found, kind, layout, {k: v for k, v in given.items() if v is not None})
    except (TypeError, ValueError) as error:
        raise type(error)(f"{of}: {error}") from None
    if said:
        say(f"{of}: {said}")
    return made


def state_dict(model: Any, layout: str) -> dict[str, Any]:
    """The weights of a model, or of many side by side, as tensors by the names that the authors' notebook or ARENA give them.

    In the "notebook" `W` is (instance, feature, hidden), in "arena" (instance, hidden, feature), beside `b_final` (instance, feature). Untied
    weights are `W1` and `W2` in "arena", `W` and `W_out` in "notebook", which has no such model, and a hidden bias is `hidden_bias`, which neither
    has. One model becomes one instance. There are only weights in it: the class that loads them must have this model's
    activations.

    Raises ImportError without PyTorch, TypeError for what is no network, ValueError for an unknown layout. In PyTorch::

        state = superpose.torch.state_dict(ReluOutput([[1, -1]], [0, 0]), "notebook")
        {name: tuple(each.shape) for name, each in state.items()}  # {'W': (1, 2, 1), 'b_final': (1, 2)}
    """
    ours = _needed()
    standard_kind(model)
    return {name: ours.tensor(values) for name, values in _states.state(model, layout).items()}


def arrays(path: str | Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The tensors in a `.pt` or `.pth` file, by name, as NumPy's arrays; nothing in the file is run.

    The file is read by `torch.load(weights_only=True)`, and only if it is a zip file as `torch.save` writes them since PyTorch 1.6: in older
    files, and in TorchScript's, some versions of PyTorch run code even so. Of a checkpoint, the part called `state_dict`, `model_state_dict` or
    `model` is taken; what is no tensor is left out. Floats of 16 bits become float32, and booleans whole numbers.

    Raises ValueError, in one line, for any other file, ImportError without PyTorch.
    """
    return _needed().arrays(Path(path))


def dictionary(source: Any, *, layout: str = "guess", center: str = "guess") -> Loaded:
    """The sparse autoencoder that SAELens, dictionary_learning or others made, with its own encoder.

    `source` is a module of PyTorch, a state dict, a file (`.pt`, `.pth`, `.safetensors`, `.npz`), a folder of SAELens, or one of
    dictionary_learning: `ae.pt` beside `config.json`. Its codes are in units of directions of length 1, so that another's code times
    the length of what its latent writes is the code here. `layout` and `center` are as for `superpose score`: whether the "columns" or the "rows" are
    directions, and whether the decoder's "bias" or "none" is taken off the input. One line on standard error says what it was taken for.

    dictionary_learning's `BatchTopKSAE` and `AutoEncoderTopK` have the same arrays: only the module, or the folder with its
    `config.json`, says that the first has a threshold, and a state dict alone is taken for the second.

    Raises ValueError, in one line, for what has no encoder or is not understood; TypeError for another source; ImportError without PyTorch,
    where the source needs it.

    >>> arrays = {"W_enc": [[1.0], [0.0]], "b_enc": [0.0], "W_dec": [[2.0, 0.0]]}
    >>> sae = dictionary(arrays | {"b_dec": [0.0, 0.0]})
    >>> sae.encode([3.0, 1.0]).tolist(), sae([3.0, 1.0]).tolist()
    ([6.0], [6.0, 0.0])
    """
    found, config, of = _read(source)
    try:
        made, said = _saes.autoencoder(found, config, layout, center)
    except (TypeError, ValueError) as error:
        said = str(error)
        raise ValueError(f"{of}{'' if said.startswith(('has ', 'says ')) else ':'} {said}") from None
    say(f"{of}: {said}")
    return made


def dictionary_state(sae: Any, layout: str) -> dict[str, Any]:
    """A sparse autoencoder's arrays as tensors, by the names of "saelens" or "dictionary_learning".

    `sae` is an `Autoencoder`, or what `dictionary` gave. Codes are then as here, but that those of what `dictionary` gave are as they were before.
    `W_enc` (d_in, d_sae), `W_dec` (d_sae, d_in), `b_enc`, `b_dec` and `threshold`, or `b_gate`, `b_mag` and `r_mag`, are for SAELens' `StandardSAE`, `TopKSAE`,
    `JumpReLUSAE` and `GatedSAE`; `encoder.weight` (d_sae, d_in), `decoder.weight` (d_in, d_sae) and others for dictionary_learning's `AutoEncoder`,
    `AutoEncoderTopK`, `JumpReluAutoEncoder` and `GatedAutoEncoder`. A `BatchTopK` and a `Matryoshka` have a threshold once they are trained, and become a
    JumpReLU. What is taken off the input and is not where that class takes it off goes into the encoder's bias.

    Raises ImportError without PyTorch; TypeError for a dictionary without an encoder of its own; ValueError for an unknown layout.
    """
    ours = _needed()
    return {name: ours.tensor(values) for name, values in laid_out(sae, layout).arrays.items()}


def save_dictionary(sae: Any, folder: str | Path, layout: str) -> None:
    """A folder that "saelens" or "dictionary_learning" loads: `SAE.load_from_disk(folder)`, or `utils.load_dictionary(folder, device)`.

    SAELens' has `sae_weights.safetensors` and `cfg.json`, and takes no PyTorch to write; dictionary_learning's `ae.pt` and `config.json`. The arrays are those of
    `dictionary_state`. It is written whole or not at all, and only a folder that this has written before is replaced.

    Raises TypeError and ValueError as `dictionary_state` does, ImportError where dictionary_learning's is asked for without PyTorch, FileExistsError for another folder that is there, and OSError where it cannot be written.
    """
    made = laid_out(sae, layout)
    save = _needed().save if layout == "dictionary_learning" else None
    _saes.write(Path(folder), made, save)


def _needed() -> ModuleType:
    """What needs PyTorch."""
    try:
        from superpose.torch import _module
    except ImportError as error:
        raise ImportError(f'{error}; superpose.torch needs PyTorch: pip install "superpose[torch]"') from None
    return _module


def _is_module(source: Any) -> bool:
    return callable(getattr(source, "state_dict", None))


def _read(source: Any) -> tuple[dict[str, np.ndarray], dict[str, Any], str]:
    """The arrays of a source, what is said about them, and what to call it."""
    if _is_module(source):
        of = type(source).__name__
        return _needed().numbers(source.state_dict()), _saes.config_of(source), of
    if isinstance(source, Mapping):
        kinds = {type(each).__module__.partition(".")[0] for each in source.values()}
        found = (
            _needed().numbers(source) if "torch" in kinds else {k: np.asarray(v) for k, v in source.items()}
        )
        return found, {}, "the state dict"
    if not isinstance(source, str | Path):
        raise TypeError(
            f"source must be a module of PyTorch, a state dict or a path, got {type(source).__name__}"
        )
    path = Path(source)
    if (path / _saes.WEIGHTS).is_file():
        return arrays(path / _saes.WEIGHTS), _saes.config_in(path), str(path)
    if path.suffix in (".pt", ".pth"):
        return arrays(path), {}, str(path)
    content = _files.content(path)
    return content.arrays, content.config, str(path)
