"""Many vectors in few dimensions, such as the embeddings of a language model: their numbers, beside those of random vectors.

`measures` has the numbers of one toy model, from its whole Gram matrix. Here the vectors may be so many that no such matrix fits into memory:
it is computed block by block and never kept. `chance` has what random vectors have, by theory and by a sample.
"""

from superpose.frames import chance
from superpose.frames._measured import Measured, measured

__all__ = ["Measured", "chance", "measured"]
