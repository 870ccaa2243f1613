"""Shapes and types are checked in tests, before superpose is first imported."""

from jaxtyping import install_import_hook

install_import_hook("superpose", "shapes.checked")
