"""Toy Models of Superposition.

Neural networks store more features than they have dimensions. Elhage et al. (2022) showed it with tiny networks. This
page runs their experiments again, and says of each statement what was expected, what was measured, and whether it
holds.
"""

AUTHORS = "Elhage et al."
YEAR = 2022
LINK = "https://arxiv.org/abs/2209.10652"
CITATION = "N. Elhage et al., “Toy Models of Superposition”, Transformer Circuits Thread, 2022."
BIBTEX = """\
@article{elhage2022superposition,
  title   = {Toy Models of Superposition},
  author  = {Elhage, Nelson and Hume, Tristan and Olsson, Catherine and Schiefer, Nicholas and
             Henighan, Tom and Kravec, Shauna and Hatfield-Dodds, Zac and Lasenby, Robert and
             Drain, Dawn and Chen, Carol and Grosse, Roger and McCandlish, Sam and Kaplan, Jared
             and Amodei, Dario and Wattenberg, Martin and Olah, Christopher},
  year    = {2022},
  journal = {Transformer Circuits Thread},
}
"""
ORDER = (
    "definitions", "intro", "basic-results", "loss-theory", "thomson", "phase-diagram", "phase-surface",
    "uniform-geometry", "polytopes", "nonuniform", "correlated", "anticorrelated", "local-bases",
    "collapse", "energy-levels", "transformations", "adversarial", "privileged-basis", "hidden-bias",
    "absolute-value", "asymmetric-motif", "penalty", "mixture-of-experts", "sparse-autoencoder",
    "compressed-sensing", "nonlinear-compression", "text",
)  # fmt: skip
SHOWN = (
    "phase-diagram", "uniform-geometry", "polytopes", "nonuniform", "collapse", "energy-levels", "transformations",
    "privileged-basis", "penalty",
)  # fmt: skip
