"""Shapes and types are checked in tests, before superpose is first imported."""

from jaxtyping import install_import_hook

# Not yet: train (`members`, `member`), measures (NumPy W), sweep (`grid`) and plot (`colorbar` of a
# subfigure) are called with what their annotations do not allow.
CHECKED = ("features", "models", "losses", "theory", "store", "claims", "cli", "experiments")

install_import_hook([f"superpose.{module}" for module in CHECKED], "shapes.checked")
