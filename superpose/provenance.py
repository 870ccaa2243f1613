"""What results are made by: versions, and a hash of the library's code."""

import hashlib
import platform
from pathlib import Path

import jax

import superpose

_NOT_COMPUTING = (
    "cards", "cli", "explorer", "files", "interactive", "interrupts", "runs", "report", "sources", "store", "progress",
    "provenance", "torch",
)  # fmt: skip
_DRAWING = ("plot", "words", "fonts", "claims")


def versions() -> dict[str, str]:
    """The versions of superpose, of JAX, and of Python."""
    return {
        "superpose": superpose.__version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
    }


def library_hash(*more: Path, drawing: bool = False) -> str:
    """A hash of the library's files that compute, or of those that draw, and of `more` files."""
    return _hash(*more, *_modules(drawing))


def _modules(drawing: bool) -> list[Path]:
    """The files of the library that draw, or those that compute; not those that do neither."""
    library = Path(__file__).parent
    files = [path for path in library.rglob("*.py") if "papers" not in path.parts]
    files = [
        path for path in files if path.relative_to(library).parts[0].removesuffix(".py") not in _NOT_COMPUTING
    ]
    return sorted(path for path in files if (path.stem in _DRAWING) == drawing)


def _hash(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
