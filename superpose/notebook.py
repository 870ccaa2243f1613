"""The recipe of the authors' notebook as it is: its initial weights, optimizer and loss, for comparison.

The rest of this package departs from it in three ways. The notebook's initial weights depend on how many models
are batched together; ours depend on the model's own sizes alone. Its loss is a mean over features where ours, and
the paper's, is a sum: Adam divides that factor out again, except for its `eps`. And it trains for a fixed number of
steps at a constant rate, from one start, where our experiments keep the best of many. Its models are the same:
`ReluOutput`, with `W` transposed, so that its shape there is (instance, feature, hidden).

Elhage et al. (2022), `toy_models.ipynb`, github.com/anthropics/toy-models-of-superposition.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from superpose.draws import AnyKey
from superpose.features import Law
from superpose.inputs import whole
from superpose.losses import Sampled
from superpose.models import Network, ReluOutput
from superpose.train import Fit, ensemble, fit

__all__ = ["MeanSquare", "init", "optimize", "optimizer", "rates", "std"]

rates: dict[str, Callable[[jax.Array | int, int], jax.Array | float]] = {
    "constant": lambda step, steps: 1.0,
    "linear": lambda step, steps: 1 - step / steps,
    "cosine": lambda step, steps: jnp.cos(0.5 * jnp.pi * step / (steps - 1)),
}
"""The notebook's `constant_lr`, `linear_lr` and `cosine_decay_lr`: what the learning rate is multiplied by."""


def std(n_features: int, n_hidden: int, n_instances: int) -> float:
    """The standard deviation of the notebook's initial weights: the more instances, the smaller.

    `sqrt(2 / (n_hidden (n_features + n_instances)))`: PyTorch's `xavier_normal_` takes the last of the
    three axes, `n_hidden`, for the size of a convolution's kernel. Raises ValueError for a size below 1.

    >>> round(std(5, 2, 10), 3), round(std(200, 20, 20), 3)
    (0.258, 0.021)
    """
    sizes = {"n_features": n_features, "n_hidden": n_hidden, "n_instances": n_instances}
    for name, size in sizes.items():
        if whole(size, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    return math.sqrt(2 / (n_hidden * (n_features + n_instances)))


def init(n_features: int, n_hidden: int, n_instances: int, *, key: AnyKey) -> Network:
    """The notebook's `Model(Config(n_features, n_hidden, n_instances))`: an ensemble of `n_instances`.

    Raises ValueError as `std` and `ReluOutput.init` do.

    >>> init(5, 2, 10, key=jax.random.key(0)).W.shape
    (10, 2, 5)
    """
    scale = std(n_features, n_hidden, n_instances) / math.sqrt(2 / (n_features + n_hidden))
    return ensemble(
        lambda key: ReluOutput.init(n_features, n_hidden, key=key, scale=scale), members=n_instances, key=key
    )


def optimizer(steps: int, rate: str = "constant", lr: float = 1e-3) -> optax.GradientTransformation:
    """`torch.optim.AdamW(parameters, lr)`, with its weight decay of 0.01, on the biases too.

    `rate` is one of `rates`. Raises ValueError for any other.

    >>> step = optimizer(steps=100).update(jnp.array(1.0), optimizer(100).init(jnp.array(0.0)), jnp.array(0.0))[0]
    >>> round(float(step), 6)  # the first step of Adam is the learning rate, downhill
    -0.001
    """
    if rate not in rates:
        raise ValueError(f"unknown rate {rate!r}; known are {', '.join(rates)}")
    return optax.adamw(lambda step: lr * rates[rate](step, steps), eps=1e-8, weight_decay=0.01)


class MeanSquare(eqx.Module):
    """The notebook's loss of an instance: the mean over samples and features, `Sampled` / `n_features`.

    >>> from superpose.features import Independent
    >>> world, model = Independent(0.1, n_features=5), ReluOutput.init(5, 2, key=jax.random.key(0))
    >>> key = jax.random.key(1)
    >>> bool(jnp.isclose(5 * MeanSquare(Sampled(world))(model, key), Sampled(world)(model, key)))
    True
    """

    sampled: Sampled
    """The loss as a sum over features."""

    def __call__(self, model: Network, key: AnyKey) -> Float[Array, ""]:
        """The loss of `model` on samples drawn with `key`."""
        return self.sampled(model, key) / model.b.shape[-1]


def optimize(
    models: Network,
    features: Law,
    *,
    key: AnyKey,
    steps: int = 10_000,
    batch: int = 1024,
    rate: str = "constant",
    lr: float = 1e-3,
) -> Fit:
    """The notebook's `optimize(model)`, with its defaults. `features` has a law for each of the `models`.

    Raises ValueError for an unknown `rate`, and as `train.fit` does.

    >>> from superpose import grid
    >>> from superpose.features import Independent
    >>> worlds = grid.each(lambda density: Independent(density, 0.9 ** jnp.arange(5)), [1.0, 0.1])
    >>> models = init(5, 2, 2, key=jax.random.key(0))
    >>> optimize(models, worlds, key=jax.random.key(1), steps=200).models.W.shape
    (2, 2, 5)
    """
    loss = MeanSquare(Sampled(features, batch))
    return fit(models, loss, steps=steps, key=key, own_loss=True, optimizer=optimizer(steps, rate, lr))
