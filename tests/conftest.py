"""Shapes and types are checked in tests, before superpose is first imported."""

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("superpose", "shapes.checked")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption("--report", help="a folder of `superpose reproduce --quick`, so that no test makes one")


@pytest.fixture(scope="session", autouse=True)
def _keep_compiled_programs():
    """What one worker or run has compiled, the others need not: most of the time of a first run."""
    from superpose import runs

    runs.keep_compiled()


@pytest.fixture(scope="module", autouse=True)
def _free_compiled_programs():
    """Each module's programs are let go after it: hundreds of them exhaust the memory maps of a process."""
    yield
    jax.clear_caches()
