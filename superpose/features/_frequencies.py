"""How often each of many features is active."""

import numpy as np
from jaxtyping import Float

from superpose.inputs import number, whole


def zipf(
    n_features: int, exponent: float = 1.0, most: float = 1.0, least: float | None = None
) -> Float[np.ndarray, " feature"]:
    """Densities that fall as a power of the rank: `most / i^exponent` for the i-th feature.

    With `least`, they are stretched to end there: `least + (most - least) (i^-exponent - n^-exponent) / (1 - n^-exponent)`.
    Raises ValueError unless `0 <= least <= most <= 1`, the exponent is positive and there is a feature.

    Zipf (1949), "Human Behavior and the Principle of Least Effort"; stretched as in Chanin and Garriga-Alonso (2026), "SynthSAEBench".

    >>> zipf(4).round(3).tolist()
    [1.0, 0.5, 0.333, 0.25]
    >>> zipf(3, most=0.4, least=0.1).round(3).tolist()
    [0.4, 0.175, 0.1]
    """
    n = whole(n_features, "n_features")
    if n < 1:
        raise ValueError(f"n_features must be at least 1, got {n}")
    exponent, most = number(exponent, "exponent"), number(most, "most")
    if not 0 < exponent < np.inf:
        raise ValueError(f"exponent must be positive, got {exponent}")
    lowest = 0.0 if least is None else number(least, "least")
    if not 0 <= lowest <= most <= 1:
        raise ValueError(
            f"most and least must be 0 <= least <= most <= 1, got most {most} and least {lowest}"
        )
    fall = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    if least is None or n == 1:
        return most * fall
    return lowest + (most - lowest) * (fall - fall[-1]) / (1 - fall[-1])
