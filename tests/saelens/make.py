"""Small autoencoders trained and saved by SAELens, and their codes, for the tests of what reads them.

Needs the extra `saelens`; writes a folder for each kind beside this file:

    python tests/saelens/make.py
"""

import sys
from pathlib import Path

import numpy as np
import torch
from sae_lens import (
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    LoggingConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer

N_HIDDEN, N_LATENTS = 8, 16
SIZES = {"d_in": N_HIDDEN, "d_sae": N_LATENTS}
KINDS = {
    "standard": lambda: StandardTrainingSAE(StandardTrainingSAEConfig(**SIZES, l1_coefficient=0.1)),
    "topk": lambda: TopKTrainingSAE(TopKTrainingSAEConfig(**SIZES, k=2)),
    "batchtopk": lambda: BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**SIZES, k=2)),
}


def activations(n, seed=0):
    """Sums of 16 directions of length 1, each present in one of ten samples."""
    rng = np.random.default_rng(seed)
    W = np.random.default_rng(0).normal(size=(N_HIDDEN, N_LATENTS))
    x = (rng.uniform(size=(n, N_LATENTS)) < 0.1) * rng.uniform(size=(n, N_LATENTS))
    return (x @ (W / np.linalg.norm(W, axis=0)).T).astype(np.float32)


def trained(kind, steps=1500, batch=256, rate=3e-3):
    """An autoencoder of this kind as SAELens trains it."""
    torch.manual_seed(0)
    h = torch.as_tensor(activations(20_000))
    rows = torch.Generator().manual_seed(0)
    sae, quiet = KINDS[kind](), LoggingConfig(log_to_wandb=False)
    config = SAETrainerConfig(
        total_training_samples=steps * batch,
        train_batch_size_samples=batch,
        lr=rate,
        lr_end=rate,
        device="cpu",
        logger=quiet,
    )
    data = iter(lambda: h[torch.randint(len(h), (batch,), generator=rows)], None)
    return SAETrainer(cfg=config, sae=sae, data_provider=data).fit()


def saved(kind, folder, **training):
    """A few activations, their codes by what SAELens trained and saved in a folder, and what it makes of them.

    A code is in units of length of what is written: times the length of its latent's direction.
    """
    trained(kind, **training).save_inference_model(str(folder))
    h = activations(40, seed=1)
    with torch.no_grad():
        sae = SAE.load_from_disk(str(folder))
        z = sae.encode(torch.as_tensor(h))
        lengths = sae.W_dec.norm(dim=1)
        return {"h": h, "z": (z * lengths).numpy(), "reconstructed": sae.decode(z).numpy()}


if __name__ == "__main__":
    for kind in sys.argv[1:] or KINDS:
        folder = Path(__file__).parent / kind
        np.savez_compressed(folder.with_suffix(".npz"), **saved(kind, folder))
