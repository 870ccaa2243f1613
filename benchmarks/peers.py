"""Sampled training as others do it, in PyTorch: seconds per step, to compare `train.fit` with.

`recipe` is that of the notebook of "Toy Models of Superposition": weights and biases stacked over
models, fresh data at each step, ReLU output, AdamW. `grid` is a phase diagram by `occhio`, a
PyTorch library for toy models of superposition. Needs `torch` and `occhio`:

    python benchmarks/peers.py
"""

import statistics
import time

import torch

SIZES = [(256, 2, 1), (10, 5, 2), (20, 20, 5), (10, 100, 20), (4, 400, 30)]  # models, features, hidden
LAYOUTS = ("batch first", "model first")


def recipe(members, n_features, n_hidden, layout, batch=1024, density=None, importance=None):
    """A function of a number of steps that takes so many and returns the seconds for each.

    `density` has one number a model, `importance` one a feature, or one a model and feature. Weights start
    as the notebook's, whose standard deviation is that for its 10 models. The function's `weights()` are `W`,
    of shape (model, feature, hidden), and `b`, in NumPy.
    """
    torch.manual_seed(0)
    std = (2 / (n_hidden * (n_features + 10))) ** 0.5
    W = torch.nn.Parameter(std * torch.randn(members, n_features, n_hidden))
    b = torch.nn.Parameter(torch.zeros(members, n_features))
    if density is None:
        density = torch.logspace(0, -1.3, members)
    if importance is None:
        importance = 0.9 ** torch.arange(n_features)
    density = torch.as_tensor(density, dtype=torch.float32)[:, None]
    importance = torch.as_tensor(importance, dtype=torch.float32).expand(members, n_features)
    optimizer = torch.optim.AdamW([W, b], lr=1e-3)

    def batch_first():
        x = torch.rand(batch, members, n_features)
        x = torch.where(torch.rand(batch, members, n_features) <= density, x, 0.0)
        h = torch.einsum("smf,mfh->smh", x, W)
        error = x - torch.relu(torch.einsum("smh,mfh->smf", h, W) + b)
        return (importance * error**2).mean(dim=(0, 2)).sum()

    def model_first():
        x = torch.rand(members, batch, n_features)
        x = torch.where(torch.rand(members, batch, n_features) <= density[:, None], x, 0.0)
        error = x - torch.relu(torch.baddbmm(b[:, None], torch.bmm(x, W), W.mT))
        return (importance[:, None] * error**2).mean(dim=(1, 2)).sum()

    loss = batch_first if layout == "batch first" else model_first

    def run(steps):
        began = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss().backward()
            optimizer.step()
        return (time.perf_counter() - began) / steps

    run.weights = lambda: (W.detach().numpy(), b.detach().numpy())
    return run


def grid(side, steps, batch=1024):
    """Seconds per step and model of `occhio`'s `ModelGrid` of density x importance, 2 features in 1."""
    from occhio.autoencoder import TiedLinearRelu
    from occhio.distributions.sparse import SparseUniform
    from occhio.model_grid import Axis, ModelGrid
    from occhio.toy_model import ToyModel

    def create_model(params):
        generator = torch.Generator().manual_seed(0)
        return ToyModel(
            distribution=SparseUniform(2, params["density"], generator=generator),
            ae=TiedLinearRelu(2, 1, generator=generator),
            importances=params["importance"] ** torch.arange(2),
        )

    axes = [
        Axis("density", torch.logspace(0, -2, side)),
        Axis("importance", torch.logspace(-1, 1, side)),
    ]
    models = ModelGrid(create_model, axes=axes)
    models.fit(n_epochs=2, batch_size=batch)
    began = time.perf_counter()
    models.fit(n_epochs=steps, batch_size=batch, learning_rate=1e-3)
    return (time.perf_counter() - began) / steps / side**2


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; milliseconds per step")
    for size in SIZES:
        for layout in LAYOUTS:
            run = recipe(*size, layout)
            steps = max(5, int(0.5 / run(5)))
            times = [1e3 * run(steps) for _ in range(5)]
            print(
                f"{size!s:>14} {layout:>12} {statistics.median(times):8.3f} ({min(times):.3f}..{max(times):.3f})"
            )
    print(f"occhio's grid, per model: {1e3 * grid(16, 100):.4f}")


if __name__ == "__main__":
    main()
