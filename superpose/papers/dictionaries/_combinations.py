"""The world of `stop_probing`: features in combinations that training does not have, and how its paper scores and learns, with what results."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment

from superpose import draws

ACTIVE = 10
"""Active features in each sample."""
TABLE = {
    50: {"TopK": (0.657, 0.603), "ReLU": (0.539, 0.549), "JumpReLU": (0.337, 0.410),
         "probe": (0.810, 0.751), "learned": (0.928, 0.917), "truth": (0.974, 0.971)},
    100: {"TopK": (0.813, 0.705), "ReLU": (0.400, 0.413), "JumpReLU": (0.252, 0.324),
          "probe": (0.670, 0.408), "learned": (0.951, 0.945), "truth": (0.986, 0.986)},
    500: {"TopK": (0.253, 0.212), "ReLU": (0.201, 0.218), "JumpReLU": (0.179, 0.176),
          "probe": (0.352, 0.196), "learned": (0.963, 0.955), "truth": (0.992, 0.992)},
}  # fmt: skip
"""The paper's scores of codes, by number of features: in the distribution of training, and out of it."""


def dimensions(n: int) -> int:
    """As many as compressed sensing needs, about `2 k ln(n / k)`."""
    return int(np.ceil(2 * ACTIVE * np.log(n / ACTIVE)))


def drawn(key, n, samples, out=False):
    """Samples with k active features.

    Half of those in the distribution have feature 0 with others of the first half, the rest any but feature 0; those out
    of it have feature 0 with others of the second half.
    """
    i, second = np.arange(n)[None], n - n // 2
    chance = draws.uniform(draws.stream(key, "which"), (samples, n))
    with_first = out | (draws.uniform(draws.stream(key, "halves"), (samples, 1)) < 0.5)
    half = i >= second if out else (i > 0) & (i < second)
    order = jnp.where(with_first & ~half | (i == 0), 2.0, chance)
    order = jnp.where(with_first & (i == 0), -1.0, order)
    active = order <= jnp.sort(order, axis=1)[:, ACTIVE - 1 : ACTIVE]
    return jnp.where(active, draws.uniform(draws.stream(key, "values"), (samples, n)), 0.0)


def mcc(z, x, split) -> float:
    """The paper's score of codes: the mean correlation, in size, of features with latents, in the best one-to-one matching.

    Out of distribution only as many latents take part as there are features, those that vary most.
    """
    z, x = np.asarray(z, float), np.asarray(x, float)
    x = x[:, x.var(axis=0) > 1e-8]
    if split == "out":
        z = z[:, np.argsort(-z.var(axis=0))[: x.shape[1]]]
    z, x = ((each - each.mean(axis=0)) / (each.std(axis=0) + 1e-9) for each in (z, x))
    size = np.abs(x.T @ z) / len(x)
    return float(size[linear_sum_assignment(-size)].mean())


@partial(jax.jit, static_argnames="rounds")
def learned(h, D, rounds):
    """The paper's dictionary learning: in turn, some steps of FISTA on all samples, and the directions that fit the codes best."""

    def turn(_, state):
        D, z = state
        L = jnp.linalg.eigvalsh(D @ D.T)[-1]

        def step(_, state):
            z, ahead, momentum = state
            new = jnp.maximum(ahead - ((ahead @ D.T - h) @ D + 0.1) / L, 0.0)
            following = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
            return new, new + (momentum - 1) / following * (new - z), following

        z = jax.lax.fori_loop(0, 10, step, (z, z, jnp.ones(())))[0]
        products = z.T @ z + 1e-6 * jnp.eye(z.shape[1])
        D = jnp.linalg.solve(products, z.T @ h).T
        return D / jnp.maximum(jnp.linalg.norm(D, axis=0, keepdims=True), 1e-9), z

    return jax.lax.fori_loop(0, rounds, turn, (D, jnp.zeros((len(h), D.shape[1]))))[0]
