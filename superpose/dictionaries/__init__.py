"""Taking features back out of what a model computes, and saying how well: dictionaries with ground truth.

A law of features and a model make `Activations`; a method, such as `TopK(k=4)`, makes a dictionary of them with
`method.fit(activations, n_latents, key=key)`, and `fit_each` many side by side. A dictionary has `directions`, a
column for each latent, and `encode(h)`, the codes of one activation.
"""

from superpose.dictionaries._activations import Activations
from superpose.dictionaries._autoencoders import (
    Autoencoder,
    BatchTopK,
    Gated,
    JumpReLU,
    Matryoshka,
    Reconstruction,
    Relu,
    TopK,
)
from superpose.dictionaries._classical import ICA, KSVD, MOD, NMF, PCA, DictionaryLearning
from superpose.dictionaries._codes import codes
from superpose.dictionaries._directions import coherent_directions, orthogonal_directions, random_directions
from superpose.dictionaries._fit import fit_each
from superpose.dictionaries._inference import (
    FISTA,
    NNLS,
    OMP,
    Dictionary,
    LeastSquares,
    ReluStep,
    best_threshold,
)
from superpose.dictionaries._nulls import closest, oracle, random_dictionary
from superpose.dictionaries._score import score

__all__ = [
    "FISTA",
    "ICA",
    "KSVD",
    "MOD",
    "NMF",
    "NNLS",
    "OMP",
    "PCA",
    "Activations",
    "Autoencoder",
    "BatchTopK",
    "Dictionary",
    "DictionaryLearning",
    "Gated",
    "JumpReLU",
    "LeastSquares",
    "Matryoshka",
    "Reconstruction",
    "Relu",
    "ReluStep",
    "TopK",
    "best_threshold",
    "closest",
    "codes",
    "coherent_directions",
    "fit_each",
    "oracle",
    "orthogonal_directions",
    "random_dictionary",
    "random_directions",
    "score",
]
