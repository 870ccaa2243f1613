"""Autoencoders that SAELens saved have the codes that SAELens says they have: tests/saelens/make.py made them."""

from pathlib import Path

import jax
import numpy as np
import pytest

from superpose.dictionaries import _files

SAVED = Path(__file__).parent / "saelens"


@pytest.mark.parametrize("kind", ["standard", "topk", "batchtopk"])
def test_codes_are_those_of_saelens(kind):
    found, told = _files.dictionary(SAVED / kind, 8), np.load(SAVED / f"{kind}.npz")
    assert (told["z"] > 0).sum() > 60
    np.testing.assert_allclose(jax.vmap(found.autoencoder.encode)(told["h"]), told["z"], atol=1e-5)
    np.testing.assert_allclose(jax.vmap(found.autoencoder)(told["h"]), told["reconstructed"], atol=1e-5)
