import ast
import re
import subprocess
import sys
from pathlib import Path

import superpose

FOLDER = Path(superpose.__file__).parent
ORDER = [
    {"progress", "memory", "interrupts", "jit", "corpus", "provenance"}, {"draws", "inputs", "files"}, {"values"}, {"forests"}, {"features"}, {"models"}, {"exact"}, {"losses", "attacks"}, {"train"},
    {"polytopes"}, {"theory"}, {"solutions"},
    {"measures", "curves"}, {"dictionaries", "notebook"}, {"grid", "settings"}, {"costs"}, {"store"}, {"sweep"}, {"torch"}, {"claims"},
    {"fonts"}, {"plot"}, {"words", "frames"}, {"papers"}, {"report"}, {"runs"}, {"interactive"}, {"sources"}, {"explorer", "cards"}, {"cli"}, {"__main__"},
]  # fmt: skip
PLACE = {module: place for place, modules in enumerate(ORDER) for module in modules}


_SHARED = re.compile(r"superpose\.papers\.[a-z0-9_]+\._[a-z0-9_]+$")
"""What the experiments of a paper share."""


def _imported(tree):
    """The modules of superpose that a file imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if _SHARED.match(str(node.module)):
                continue
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (parts[1] for name in names if (parts := name.split("."))[0] == "superpose" and parts[1:])


def test_imports_point_one_way():
    backward = []
    for path in FOLDER.rglob("*.py"):
        module = path.relative_to(FOLDER).with_suffix("").parts[0]
        if module == "__init__":
            continue
        assert module in PLACE, f"{module} has no place in ORDER"
        for other in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            assert other in PLACE, f"{path.name} imports superpose.{other}, which has no place in ORDER"
            within = other == module != "papers"  # a folder's own files; experiments share nothing
            if PLACE[other] >= PLACE[module] and not within:
                backward.append(f"{path.relative_to(FOLDER)} imports {other}")
    assert not backward


def test_measures_need_no_models():
    tree = ast.parse((FOLDER / "measures.py").read_text(encoding="utf-8"))
    assert set(_imported(tree)) <= {"inputs", "jit", "polytopes"}


def test_the_command_answers_without_jax(tmp_path):
    code = (
        "import sys; from superpose.cli import main; status = main(sys.argv[1:]); "
        "loaded = {'jax', 'xarray', 'matplotlib', 'zarr', 'equinox'} & set(sys.modules); "
        "sys.exit(f'loaded {loaded}' if loaded else status)"
    )
    for words in (["--help"], ["--version"], ["list"], ["explore", "--no-open"]):
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout
        assert not done.stderr


def test_every_public_module_is_there():
    for name in superpose._modules:
        assert getattr(superpose, name).__name__ == f"superpose.{name}"
    assert {*superpose._modules, *superpose._functions} == {*superpose.__all__} <= {*dir(superpose)}
