"""The largest differences that models and dictionaries have in PyTorch and in files, printed: `python tests/bridges.py`.

Needs PyTorch, and for SAELens' lines the extra `saelens`.
"""

import tempfile
from pathlib import Path

import jax
import numpy as np
import torch
from test_layouts import CLASSES, METHODS, activations, trained
from test_torch import LEARNED, OF_METHOD, made, numbers, outputs, samples, tensor

from superpose import load_model, models, save_model
from superpose.torch import dictionary, dictionary_state, model, module, save_dictionary, state_dict


def of_models(folder: Path) -> dict[str, float]:
    """Outputs of modules, and weights that went through a module, a layout or a file, over all classes and activations."""
    worst = dict.fromkeys(("outputs", "module", "notebook", "arena", "safetensors"), 0.0)
    for kind in CLASSES:
        for activation in models.activations:
            hidden = {"hidden_activation": activation, "hidden_bias": True}
            for settings in ({}, hidden):
                for given in made(kind, activation=activation, **settings):
                    x = np.abs(samples(1000, *given.W.shape[:-2], 5)) % 1  # as features are
                    own = module(given)
                    worst["outputs"] = max(
                        worst["outputs"], apart(numbers(own(tensor(x))), outputs(given, x))
                    )
                    named = {each: getattr(given, each) for each in ("activation", "hidden_activation")}
                    back = {
                        "module": model(own),
                        "safetensors": load_model(save_model(given, folder / "m.safetensors"))[0],
                    }
                    for layout in ("notebook", "arena"):
                        back[layout] = model(state_dict(given, layout), kind, layout=layout, **named)
                    for way, found in back.items():
                        for a, b in zip(jax.tree.leaves(given), jax.tree.leaves(found), strict=True):
                            worst[way] = max(worst[way], apart(a, np.reshape(b, a.shape)))
    return worst


def of_dictionaries(folder: Path) -> dict[str, float]:
    """Codes of what is trained here in other libraries' classes, and of what comes back from them, over all methods."""
    try:
        from sae_lens import SAE
    except ImportError:
        SAE = None
    worst: dict[str, float] = {}
    h = activations(1000)
    for name in METHODS:
        sae = trained(name)
        z, made_of_it = np.asarray(jax.vmap(sae.encode)(h)), np.asarray(jax.vmap(sae)(h))
        theirs = {"dictionary_learning": LEARNED[OF_METHOD.get(name, "JumpReluAutoEncoder")](8, 12)}
        theirs["dictionary_learning"].load_state_dict(dictionary_state(sae, "dictionary_learning"))
        if SAE is not None:
            save_dictionary(sae, folder / "s", "saelens")
            theirs["SAELens"] = SAE.load_from_disk(str(folder / "s"))
        for library, own in theirs.items():
            for way, found in (
                ("codes", (numbers(own.encode(tensor(h))), z)),
                ("back", (jax.vmap(dictionary(own))(h), made_of_it)),
            ):
                worst[f"{library}, {way}"] = max(worst.get(f"{library}, {way}", 0.0), apart(*found))
    return worst


def apart(one, other) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).max())


if __name__ == "__main__":
    import superpose.torch

    superpose.torch.say = lambda line: None
    with tempfile.TemporaryDirectory() as place:
        print(f"PyTorch {torch.__version__}")
        for what, worst in (of_models(Path(place)) | of_dictionaries(Path(place))).items():
            print(f"{what}: {worst:.1e}")
