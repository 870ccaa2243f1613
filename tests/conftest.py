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


@pytest.fixture(scope="session")
def needed(request):
    """Called with the name of a program, returns where it is, or skips the test; with `--browser` that is a failure."""

    def needed(what: str, where: str | None) -> str:
        if where is None:
            (pytest.fail if request.config.getoption("--browser") else pytest.skip)(
                f"needs {what}", pytrace=False
            )
        return where

    return needed


@pytest.fixture(scope="session")
def browser(needed):
    """Debian's Chromium, driven by Playwright; one for all tests of a process."""
    path = needed("Chromium", shutil.which("chromium"))
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        needed("Playwright", None)
    with sync_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # which root cannot have
        browser = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield browser
        browser.close()
