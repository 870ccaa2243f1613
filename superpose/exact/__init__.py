"""The exact error of one output: the expectation of `(t_i - activation(z_i))^2` over all samples.

An output sees one number, `z = c + sum_j gains_j x_j`, to which sets or trees of features contribute
independently of each other. `docs/exact.md` derives what is computed here.
"""

from superpose.exact._outputs import (
    METHODS,
    World,
    closed_size,
    errors_given,
    harmonics,
    method,
    output_errors,
    rounding,
)
from superpose.exact._sets import Sets
from superpose.exact._trees import Trees

__all__ = [
    "METHODS",
    "Sets",
    "Trees",
    "World",
    "closed_size",
    "errors_given",
    "harmonics",
    "method",
    "output_errors",
    "rounding",
]
