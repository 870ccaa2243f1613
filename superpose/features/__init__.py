"""What the world contains: how sparse features are drawn, and how often each is active.

Every law of features is a pytree with `density` and `importance` (one number per feature),
`n_features`, and `sample(key, n)`. Each says of itself `mean_active`, how many features are active on average, and
`correlations`, with which others. Densities are kept in float64, because exact losses
are computed in float64; samples have JAX's default precision. Draws are made as
`(feature, sample)` matrices, the sample as the last, contiguous axis, as the losses read them.
"""

from superpose.features._arguments import weighs
from superpose.features._combined import Scaled, Sum
from superpose.features._copula import Copula, equal_loadings, random_loadings
from superpose.features._counted import ExactlyK
from superpose.features._empirical import Empirical
from superpose.features._frequencies import zipf
from superpose.features._hierarchy import Hierarchy, chances, regular_forest
from superpose.features._law import Law, check_law, check_sampled
from superpose.features._sets import Anticorrelated, Correlated, Independent

__all__ = [
    "Anticorrelated",
    "Copula",
    "Correlated",
    "Empirical",
    "ExactlyK",
    "Hierarchy",
    "Independent",
    "Law",
    "Scaled",
    "Sum",
    "chances",
    "check_law",
    "check_sampled",
    "equal_loadings",
    "random_loadings",
    "regular_forest",
    "weighs",
    "zipf",
]
