"""Features back out: dictionaries with ground truth.

The second way out of superposition is to find the features afterwards, with a dictionary of more directions than there
are dimensions. In language models nobody knows the truth; here it is known, since a toy model or we have put it
there. This page runs the methods that are in use, on worlds that are known, and says of claims of recent papers
whether they hold, and where their settings made them.
"""

AUTHORS = "superpose"
YEAR = 2026
LINK = ""
CITATION = (
    "Experiments of this package, and of D. Chanin et al. (2024, 2025), X. Song et al. (2025), A. D. Plascencia (2026), "
    "S. Jain et al. (2026) and others, named where their claims are tested."
)
ORDER = (
    "recovery", "league", "amortization", "hedging-absorption", "diffuse-phase", "wrong-sparsity", "consistency", "stop-probing",
)  # fmt: skip
SHOWN = ("league", "diffuse-phase")
