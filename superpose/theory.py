"""What the paper, or a short calculation, predicts; the counterpart of what training finds.

Features are independent, active with chance `density` and then uniform on [0, 1]. The functions
take NumPy or JAX arrays, or numbers, and broadcast.
"""

import numpy as np
from jaxtyping import Array, Float

Numbers = Float[Array, "..."] | Float[np.ndarray, "..."] | float


def dropped_cost(density: Numbers, importance: Numbers = 1.0) -> Numbers:
    """The loss of a feature that is not represented and has its best bias, `density / 2`.

    `importance * Var(x) = importance (p/3 - p^2/4)`.

    Elhage et al. (2022), theory notebook to "Superposition as a Phase Change".

    >>> dropped_cost(1.0) == 1 / 3 - 1 / 4
    True
    """
    return importance * (density / 3 - density**2 / 4)


def antipodal_cost(density: Numbers, importance: Numbers = 1.0, other: Numbers = 1.0) -> Numbers:
    """The loss of two features, of importance `importance` and `other`, as `W_a = -W_b` at length 1.

    With biases of 0 an output is wrong only where both are active, short by the smaller of the
    two values, and `E[min(x, y)^2] = 1/6`: `(importance + other) p^2 / 6`.

    Elhage et al. (2022), theory notebook to "Superposition as a Phase Change".

    >>> round(antipodal_cost(0.3), 6)
    0.03
    """
    return (importance + other) * density**2 / 6


def linear_loss(
    density: Float[np.ndarray, " feature"], importance: Float[np.ndarray, " feature"], n_hidden: int
) -> float:
    """The least loss of the linear model: the features that would cost most get a dimension each.

    The others cost `dropped_cost`; no superposition, at any density.

    Elhage et al. (2022), "Toy Models of Superposition", "Basic Results".

    >>> round(linear_loss(np.ones(3), np.array([1.0, 0.5, 0.12]), n_hidden=2), 6)
    0.01
    """
    return float(np.sort(dropped_cost(np.asarray(density), np.asarray(importance)))[::-1][n_hidden:].sum())


PHASES: dict[int, dict[str, tuple[float, float]]] = {
    2: {
        "extra not represented": (0.0, 0.0),
        "extra dedicated, other not represented": (1.0, 0.0),
        "extra and other antipodal": (1.0, 1.0),
    },
    3: {
        "extra not represented": (0.0, 0.0),
        "extra dedicated, one other not represented": (1.0, 0.0),
        "extra antipodal to one other": (1.0, 1.0),
        "extra dedicated, the others antipodal": (1.0, 0.0),
    },
}
"""The paper's prototypes for 2 features in 1 dimension and for 3 in 2, in a fixed order, each with
the norm and the superposition of the extra feature, which is the last."""

PROTOTYPES: dict[int, list[list[list[float]]]] = {
    2: [[[1, 0]], [[0, 1]], [[1, -1]]],
    3: [
        [[1, 0, 0], [0, 1, 0]],
        [[0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 1, -1]],
        [[1, -1, 0], [0, 0, 1]],
    ],
}
"""`W` of each prototype, in the order of `PHASES`."""


def phase_losses(n_features: int, density: Numbers, importance: Numbers) -> Float[np.ndarray, "phase ..."]:
    """The loss of each prototype in `PHASES[n_features]`, for an extra feature of this importance.

    The other features have importance 1. A dropped feature has its best bias.

    Elhage et al. (2022), "Toy Models of Superposition", "Superposition as a Phase Change".

    >>> phase_losses(2, 1.0, 0.5).argmin()  # dense, and less important: ignored
    np.int64(0)
    """
    losses = [dropped_cost(density, importance), dropped_cost(density), antipodal_cost(density, importance)]
    if n_features == 3:
        losses.append(antipodal_cost(density))
    return np.stack(np.broadcast_arrays(*losses))


def phase_boundary(n_features: int, importance: Numbers) -> Numbers:
    """The density below which the best prototype has superposition.

    For `importance <= 1`, `4 r / (2 + 5 r)`; above, `4 / (5 + 2 r)` for 2 features in 1
    dimension and 4/7 for 3 in 2, where the extra feature is dedicated and the others share.

    Elhage et al. (2022), "Toy Models of Superposition", "Superposition as a Phase Change".

    >>> round(float(phase_boundary(2, 1.0)), 3)
    0.571
    """
    r = np.asarray(importance)
    above = 4 / (5 + 2 * r) if n_features == 2 else np.full_like(r, 4 / 7, dtype=float)
    return np.where(r <= 1, 4 * r / (2 + 5 * r), above)
