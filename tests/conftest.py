"""Shapes and types are checked in tests, before superpose is first imported."""

import os
import shutil

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("superpose", "shapes.checked")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption("--report", help="a folder of `superpose reproduce --quick`, so that no test makes one")
    parser.addoption(
        "--browser",
        action="store_true",
        help="fail where there is no browser, instead of skipping the test",
    )


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


@pytest.fixture(scope="module")
def browser(request):
    """Debian's Chromium, driven by Playwright; one for all tests of a module."""
    lacks = pytest.fail if request.config.getoption("--browser") else pytest.skip
    path = shutil.which("chromium") or lacks("needs Chromium, such as from apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacks("needs the package playwright")
    with sync_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # which root cannot have
        browser = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield browser
        browser.close()
