"""What the world contains: how sparse features are drawn, and how often each is active.

Every law of features is a pytree with `density` and `importance` (one number per feature),
`n_features`, and `sample(key, n)`. Densities are kept in float64, because exact losses
are computed in float64; samples have JAX's default precision. Draws are made as
`(feature, sample)` matrices, the sample as the last, contiguous axis, as the losses read them.
"""

from superpose.features._arguments import weighs
from superpose.features._empirical import Empirical
from superpose.features._law import check_law, check_sampled
from superpose.features._sets import Anticorrelated, Correlated, Independent

__all__ = [
    "Anticorrelated",
    "Correlated",
    "Empirical",
    "Features",
    "Independent",
    "check_law",
    "check_sampled",
    "weighs",
]

Features = Independent | Correlated | Anticorrelated | Empirical
