"""Many models side by side: `ensemble` makes them, `fit` trains them on samples, `minimize` solves.

`basins` sorts the solutions of many starts. A member's initial weights and its random draws depend only on its
own key, from which each has a stream of its own. So a model trained alone is the same model in any ensemble.
"""

from superpose.train._basins import Basins, basins
from superpose.train._ensemble import INIT, ensemble, member, member_keys, stack
from superpose.train._fit import Fit, cosine_adam, fit
from superpose.train._minimize import OUTCOMES, Minimum, filled, minimize

__all__ = [
    "INIT",
    "OUTCOMES",
    "Basins",
    "Fit",
    "Minimum",
    "basins",
    "cosine_adam",
    "ensemble",
    "filled",
    "fit",
    "member",
    "member_keys",
    "minimize",
    "stack",
]
