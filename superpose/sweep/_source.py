"""Where a cell function is from: its text, which is kept with the data, and how it is found again. Stores hold no code to run."""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import superpose
from superpose.sweep import _plan
from superpose.sweep._plan import Plan, Source


def source_of(cell: Callable) -> Source:
    """The file that a cell function is from, or where there is none the text of what it is made of."""
    parts = getattr(cell, "parts", (cell,))
    module = sys.modules.get(getattr(parts[0], "__module__", ""))
    file = getattr(module, "__file__", None)
    names = [name for name, each in vars(module).items() if each is cell] if module else []
    name = names[0] if names else getattr(cell, "__name__", "cell")
    texts = []
    for part in parts:
        try:
            texts.append(inspect.getsource(part))
        except (OSError, TypeError):
            code = getattr(part, "__code__", None)
            texts.append(repr((code.co_code, code.co_consts, code.co_names)) if code else repr(part))
    if file and Path(file).is_file() and names:
        texts = [Path(file).read_text(encoding="utf-8")]
    text = "\n".join(texts)
    return Source(name, str(Path(file).resolve()) if file and names else "", text, _plan.hash_of(text))


def cell_of(plan: Plan) -> Callable:
    """The cell function of a sweep, from the file that it was begun with. Raises ValueError where that is gone."""
    source = plan.source
    if not source.file or not Path(source.file).is_file():
        where = f"{source.file} is gone" if source.file else "the sweep was begun from a session"
        raise ValueError(f"{where}; give the cell {source.name!r} that it was begun with")
    return loaded(source.file, source.name)


def loaded(file: str | Path, name: str = "cell") -> Any:
    """What a file of Python calls `name`. Raises ValueError where it has no such thing, or cannot be read."""
    module = module_of(file)
    if not hasattr(module, name):
        raise ValueError(f"{file} has no {name}")
    return getattr(module, name)


def module_of(file: str | Path) -> ModuleType:
    """A file of Python as a module, whose functions workers get by value, wherever they are."""
    import cloudpickle

    path = Path(file).resolve()
    package = Path(superpose.__file__).parent
    if package in path.parents:
        return importlib.import_module(
            ".".join(["superpose", *path.relative_to(package).with_suffix("").parts])
        )
    try:
        name = f"superpose_sweep_{path.stem}_{_plan.hash_of(path.read_text(encoding='utf-8'))[:8]}"
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"{file} cannot be run: {type(error).__name__}: {error}") from error
    cloudpickle.register_pickle_by_value(module)
    return module
