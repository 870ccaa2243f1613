"""Where a cell function is from: its text, which is kept with the data, and how it is found again. Stores hold no code to run."""

import ast
import atexit
import hashlib
import importlib.util
import inspect
import io
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
import equinox as eqx
import jax
import numpy as np

import superpose
from superpose.sweep import _plan
from superpose.sweep._plan import Plan, Source


def source_of(cell: Callable) -> Source:
    """The file that a cell function is from and those beside it which that imports; or its text, where there is none.

    A function of a session is also what it reads there: its globals and what it closes over.
    """
    parts = getattr(cell, "parts", (cell,))
    module = sys.modules.get(getattr(parts[0], "__module__", ""))
    file = getattr(module, "__file__", None)
    names = [name for name, each in vars(module).items() if each is cell] if module else []
    name = names[0] if names else getattr(cell, "__name__", "cell")
    if file and Path(file).is_file() and names:
        path = Path(file).resolve()
        return _source(name, str(path), _texts(path).values())
    seen: set[int] = set()
    return _source(name, "", [line for part in parts for line in _read_by(part, seen)])


def _source(name: str, file: str, texts: Iterable[str]) -> Source:
    text = "\n".join(texts)
    return Source(name, file, text, _plan.hash_of(text))


def _read_by(function: Any, seen: set[int]) -> Iterator[str]:
    """The text of a function, and what it reads besides its arguments, and what these read in turn."""
    if id(function) in seen:
        return
    seen.add(id(function))
    code = getattr(function, "__code__", None)
    try:
        yield inspect.getsource(function)
    except (OSError, TypeError):
        yield repr((code.co_code, code.co_consts, code.co_names)) if code else repr(function)
    if not isinstance(function, FunctionType):
        return
    own = dict(
        zip(
            function.__code__.co_freevars,
            (each.cell_contents for each in function.__closure__ or ()),
            strict=True,
        )
    )
    around = {
        name: function.__globals__[name]
        for name in sorted(_names(function.__code__))
        if name in function.__globals__
    }
    for name, value in (around | own).items():
        if isinstance(value, FunctionType | type) and value.__module__ == function.__module__:
            yield from _read_by(value, seen)
        elif not isinstance(value, ModuleType | FunctionType | type):
            yield f"{name} = {_told(value)}"


def _names(code: CodeType) -> set[str]:
    """Names that code, and functions in it, may read from around it."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _told(value: Any) -> str:
    """A value in words that are the same for the same value in another session."""
    leaves, structure = jax.tree.flatten(value)
    said = []
    for leaf in leaves:
        if isinstance(leaf, np.ndarray | np.generic | jax.Array) and np.asarray(leaf).dtype != object:
            array = np.asarray(leaf)
            said.append(f"{array.dtype}{array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}")
        else:
            plain = isinstance(leaf, int | float | complex | str | bytes | bool | range)
            said.append(repr(leaf) if plain else type(leaf).__qualname__)
    kind = (
        structure if all(isinstance(leaf, int | float | str) for leaf in leaves) else type(value).__qualname__
    )
    return f"{kind} {said}"


def _texts(file: Path) -> dict[str, str]:
    """The texts of a file of Python and of those in its folder that it needs, by path."""
    return {str(each): each.read_text(encoding="utf-8") for each in _imported(file)}


def _imported(file: Path) -> list[Path]:
    """A file of Python, and those in its folder that it imports, and that these import in turn."""
    found = [file]
    for path in found:  # grows
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            names = (
                [each.name for each in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            )
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module or ''}.{name}".strip(".") for name in names)]
            for name in filter(None, names):
                place = file.parent.joinpath(*name.split("."))
                for each in (place.with_name(place.name + ".py"), place / "__init__.py"):
                    if each.is_file() and each not in found:
                        found.append(each)
    return found


def cell_of(plan: Plan) -> Callable:
    """The cell function of a sweep, from the file that it was begun with. Raises ValueError where that is gone."""
    source = plan.source
    if not source.file or not Path(source.file).is_file():
        where = f"{source.file} is gone" if source.file else "the sweep was begun from a session"
        raise ValueError(
            f"{where}; give the cell {source.name!r} that it was begun with, or its file (--file FILE.py)"
        )
    return loaded(source.file, source.name)


def loaded(file: str | Path, name: str = "cell") -> Any:
    """What a file of Python calls `name`. Raises ValueError where it has no such thing, or cannot be read."""
    module = module_of(file)
    if not hasattr(module, name):
        raise ValueError(f"{file} has no {name}")
    return getattr(module, name)


_LOADED: dict[str, Path] = {}
"""Files that are modules here, by the names of these."""


def packed(cell: Callable) -> bytes:
    """A cell function for workers, whatever session or file it is from. It is never put into a store.

    One of a file that `module_of` read is that file and those beside it, which workers read, too; others are sent by
    value. Raises TypeError for a class of Equinox in a session, which cannot be sent so.
    """
    module = getattr(getattr(cell, "parts", (cell,))[0], "__module__", "")
    source = source_of(cell)
    if module in _LOADED and source.file:
        path = _LOADED[module]
        return pickle.dumps((str(path), _texts(path), source.name))
    with io.BytesIO() as file:
        _Pickler(file).dump(cell)
        return pickle.dumps(file.getvalue())


def unpacked(cell: bytes) -> Callable:
    """What was packed, in a worker."""
    found = pickle.loads(cell)
    if isinstance(found, bytes):
        return pickle.loads(found)
    file, texts, name = found
    if not all(
        Path(each).is_file() and Path(each).read_text("utf-8") == text for each, text in texts.items()
    ):
        # Another machine, which has no such file: it gets its own.
        place = tempfile.mkdtemp(prefix="superpose-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        for each, text in texts.items():
            own = Path(place, os.path.relpath(each, Path(file).parent))
            own.parent.mkdir(parents=True, exist_ok=True)
            own.write_text(text, encoding="utf-8")
        file = Path(place, Path(file).name)
    return loaded(file, name)


class _Pickler(cloudpickle.Pickler):
    """Equinox makes more of a class than its dictionary: sent by value, it would have no fields."""

    def reducer_override(self, obj):
        if isinstance(obj, type(eqx.Module)) and _by_value(obj):
            raise TypeError(
                f"{obj.__name__} is a class of Equinox that was made in a session or a script, which cannot be sent to workers: "
                "put it into a file that is imported, or into the cell's file, for superpose sweep; or use executor=sweep.Here()"
            )
        return super().reducer_override(obj)


def _by_value(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    return kind.__module__ == "__main__" or getattr(module, kind.__qualname__, None) is not kind


def module_of(file: str | Path) -> ModuleType:
    """A file of Python as a module; it may import those beside it. Raises ValueError where it cannot be run."""
    path = Path(file).resolve()
    package = Path(superpose.__file__).parent
    if package in path.parents:
        return importlib.import_module(
            ".".join(["superpose", *path.relative_to(package).with_suffix("").parts])
        )
    try:
        texts = _texts(path).values()
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    name = f"superpose_sweep_{path.stem}_{_plan.hash_of(str(path) + chr(10).join(texts))[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # as for a script
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        said = str(error).partition("\n")[0]
        raise ValueError(f"{file} cannot be run: {type(error).__name__}: {said}") from error
    _LOADED[name] = path
    return module
