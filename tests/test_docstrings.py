"""Each public name says what it is, of which shapes and in which units, what it raises and whence it is, and has an example."""

import ast
import builtins
import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import superpose

FOLDER = Path(superpose.__file__).parent
MODULES = [*superpose._modules, "dictionaries.scores", "dictionaries.worlds", "frames.chance", "papers"]

OF_PAPERS = {
    "attacks", "curves", "dictionaries", "dictionaries.scores", "dictionaries.worlds", "exact", "features", "losses",
    "measures", "models", "notebook", "polytopes", "solutions", "theory",
}  # fmt: skip
"""Modules whose functions and classes name a source, where what they do is from a paper."""

UNITS = {
    r".*: (seconds|timeout|after|took|since)|.*\.(seconds|since|left|rate|duration)": "[Ss]econd",
    r".*: needed|memory\.free|memory\.bytes_in_words": "[Bb]yte",
    r".*: angle|measures\.gaps": r"degrees|radians|exp\(i k angle",
    r"explorer\.\w+: height": "pixel",
    r"plot\.figure: (width|height)": "inches",
}
"""What stands for something with a unit, an argument after a colon, and the word that says which one it is."""

# What needs less than the rest, and why.

NO_EXAMPLE = {
    "draws on axes: the figures of experiments are its examples": (
        "plot.Figure", "plot.Animation", "plot.directions", "plot.points", "plot.feature_graph", "plot.gram",
        "plot.norm_bars", "plot.phase_key", "plot.stacks", "plot.log_axis", "plot.percent_axis",
        "plot.log_axis_from_zero", "plot.level", "plot.stacked_bars", "plot.colorbar", "plot.write",
        "words.named_plane", "words.named_sphere",
    ),
    "runs experiments, for seconds or minutes: README.md and docs/from-the-notebook.md show `superpose.run`": (
        "interactive.run", "interactive.Run",
    ),
    "what the commands do with results and reports on disk, which users do by the commands": (
        "report.Result", "report.Report", "report.read", "report.failed", "report.check_writable", "report.start",
        "report.write", "report.as_dict", "runs.run", "runs.computed", "runs.reproduce", "runs.made", "runs.write",
        "runs.forget_compiled", "costs.check_room", "store.abandon", "store.check_ours", "store.check_puttable",
        "store.check_replaceable", "store.faults", "store.recover", "store.settings", "sweep.plan_of",
        "sweep.loaded", "sweep.module_of",
    ),
    "needs processes, a cluster or a package that is not always there": (
        "sweep.Pool", "sweep.on_dask", "explorer.widget",
        "torch.module", "torch.state_dict", "torch.arrays", "torch.dictionary_state", "torch.save_dictionary",
    ),
    "prints on standard error": ("progress.say",),
    "is raised, not called": ("store.DamagedError", "sweep.StoppedError"),
    "is abstract": ("features.Law",),
}  # fmt: skip

NO_SOURCE = {
    "plain algebra, statistics or geometry": (
        "measures.gram", "measures.norms", "measures.n_represented", "measures.cosines", "measures.gaps",
        "polytopes.polygon", "polytopes.share", "polytopes.corners", "polytopes.parts",
        "dictionaries.LeastSquares", "dictionaries.orthogonal_directions", "dictionaries.random_directions",
        "dictionaries.scores.columns", "dictionaries.scores.dead", "dictionaries.scores.explained_variance",
        "dictionaries.scores.l0", "dictionaries.scores.live", "dictionaries.scores.matching",
        "dictionaries.scores.mcc", "dictionaries.scores.nearest", "dictionaries.scores.shrinkage",
        "dictionaries.scores.subspace", "dictionaries.scores.support", "dictionaries.scores.uniqueness",
    ),
    "ours": (
        "exact.Sets", "exact.Trees", "exact.closed_size", "exact.errors_given", "exact.harmonics", "exact.method",
        "exact.output_errors", "exact.rounding", "losses.Population", "losses.SameSamples", "solutions.assignments", "solutions.optimized", "polytopes.nearest", "features.Empirical",
        "features.ExactlyK", "features.Law", "features.Scaled", "features.Sum", "dictionaries.Activations",
        "dictionaries.Dictionary", "dictionaries.Reconstruction", "dictionaries.best_threshold",
        "dictionaries.closest", "dictionaries.coherent_directions", "dictionaries.codes", "dictionaries.fit_each",
        "dictionaries.oracle", "dictionaries.random_dictionary", "dictionaries.score", "dictionaries.scores.causal",
        "dictionaries.scores.removal", "dictionaries.worlds.content",
        "dictionaries.worlds.named", "dictionaries.worlds.names",
    ),
    "of several papers: each of its subclasses or methods names its own": (
        "models.Network", "dictionaries.Autoencoder",
    ),
    "helps with what names its source": (
        "features.chances", "features.equal_loadings", "features.random_loadings", "features.regular_forest",
        "features.check_law", "features.check_sampled", "features.weighs", "models.activation_name",
        "models.check_features", "models.name_in_activations", "models.standard_kind",
    ),
}  # fmt: skip

NO_ANNOTATIONS = {
    "asked by `exact` alone, of NumPy's and JAX's arrays alike: docs/exact.md has the axes": ("exact.Sets", "exact.Trees"),
}  # fmt: skip


class Public(NamedTuple):
    """A public name, and what is said of it."""

    name: str
    node: ast.AST
    doc: str
    around: str
    """What is said of its module, and of its class."""
    tree: ast.Module
    """The file in which it is defined."""
    owner: ast.ClassDef | None = None


@cache
def _file(module):
    path = FOLDER.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _text_after(body, at):
    """The docstring of an assignment: a text that follows it."""
    match body[at + 1 : at + 2]:
        case [ast.Expr(ast.Constant(str(text)))]:
            return inspect.cleandoc(text)
    return ""


def _defined(body):
    """What statements define: for each name the statement, and what is said of it."""
    found = {}
    for at, node in enumerate(body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.setdefault(node.name, (node, ast.get_docstring(node) or ""))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(each, ast.Name):
                        found.setdefault(each.id, (node, _text_after(body, at)))
    return found


def _found(path, name):
    """Where a name that a file has is defined: the file's tree, the statement, and what is said of it; None if elsewhere."""
    tree = _tree(path)
    if name in (defined := _defined(tree.body)):
        return tree, *defined[name]
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("superpose"):
            for each in node.names:
                if (each.asname or each.name) == name:
                    return _found(_file(node.module.removeprefix("superpose").lstrip(".")), each.name)
    return None


@cache
def _public():
    """Functions, classes and constants: those of `__all__`, or those that a module defines, without `_`."""
    names = []
    for module in MODULES:
        path = _file(module)
        defined = _defined(_tree(path).body)
        listed = ast.literal_eval(defined["__all__"][0].value) if "__all__" in defined else defined
        about = ast.get_docstring(_tree(path)) or ""
        for name in listed:
            if not name.startswith("_") and f"{module}.{name}" not in MODULES:
                tree, node, doc = _found(path, name)
                names.append(Public(f"{module}.{name}", node, doc, about, tree))
    return names


def _of(*kinds):
    return [each for each in _public() if isinstance(each.node, kinds)]


def _in_tree(tree, name):
    """As `_found`, from the tree of a file."""
    path = next(path for path in FOLDER.rglob("*.py") if _tree(path) is tree)
    return _found(path, name)


def _bases(tree, node):
    """The classes of this package that a class is made from: the tree and the statement of each."""
    found = (_in_tree(tree, base.id) for base in node.bases if isinstance(base, ast.Name))
    return [(each[0], each[1]) for each in found if each and isinstance(each[1], ast.ClassDef)]


@cache
def _inherited(tree, node):
    """What a class has from those that it is made from: by name, what is said of it."""
    told = {}
    for of, base in _bases(tree, node):
        own = {name: doc for name, (_, doc) in _defined(base.body).items()}
        told |= _inherited(of, base) | {name: doc for name, doc in own.items() if doc or name not in told}
    return told


@cache
def _members():
    """Public methods, properties and fields of public classes; one that is a base's, too, may leave it to that to say what it is."""
    names = []
    for each in _of(ast.ClassDef):
        above = _inherited(each.tree, each.node)
        for name, (node, doc) in _defined(each.node.body).items():
            if not name.startswith("_"):
                said, around = doc or above.get(name, ""), f"{each.around}\n{each.doc}"
                names.append(Public(f"{each.name}.{name}", node, said, around, each.tree, each.node))
    return names


def _functions():
    """Public functions and methods, and what classes are called with."""
    yield from _of(ast.FunctionDef)
    yield from (each for each in _members() if isinstance(each.node, ast.FunctionDef))
    for each in _of(ast.ClassDef):
        for node in each.node.body:
            if isinstance(node, ast.FunctionDef) and node.name in (
                "__init__",
                "__check_init__",
                "__post_init__",
            ):
                yield each._replace(node=node, owner=each.node)


def _arguments(each):
    of = each.node.args
    every = [*of.posonlyargs, *of.args, *filter(None, [of.vararg]), *of.kwonlyargs, *filter(None, [of.kwarg])]
    static = any(
        isinstance(made, ast.Name) and made.id == "staticmethod" for made in each.node.decorator_list
    )
    return every[1:] if each.owner is not None and not static else every


def _excepted(table):
    return {name for names in table.values() for name in names}


def test_the_names_are_those_that_importing_finds():
    for module in MODULES:
        there = importlib.import_module(f"superpose.{module}")
        listed = getattr(there, "__all__", None) or [
            name for name, thing in vars(there).items()
            if (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__ == there.__name__
            if not name.startswith("_")
        ]  # fmt: skip
        known = {
            each.name.removeprefix(f"{module}.") for each in _public() if each.name.startswith(f"{module}.")
        }
        parts = {name for name in listed if f"{module}.{name}" in MODULES}
        assert set(listed) - known - parts == set(), module
    assert len(_public()) > 350
    assert len(_members()) > 400


def test_each_name_says_what_it_is():
    lacking = [each.name for each in (*_public(), *_members()) if not each.doc and not _is_told(each)]
    assert lacking == []


def _is_told(each):
    """A field may be told of in its class's docstring, or be what a base has."""
    if isinstance(each.node, ast.FunctionDef | ast.ClassDef) or each.owner is None:
        return False
    name = each.name.rpartition(".")[2]
    code = " ".join(re.findall(r"`[^`]+`", each.around))
    return re.search(rf"\b{name}\b", code) is not None or name in _inherited(each.tree, each.owner)


def test_the_first_line_is_a_sentence():
    def first(each):
        return " ".join(each.doc.split("\n\n")[0].split())

    ends = (".", "?", ":", "`")
    assert [
        each.name for each in (*_public(), *_members()) if each.doc and not first(each).endswith(ends)
    ] == []


def test_all_arguments_and_answers_are_annotated():
    excepted, lacking = _excepted(NO_ANNOTATIONS), []
    for each in _functions():
        if any(each.name.startswith(f"{name}.") for name in excepted) or _is_inherited(each):
            continue
        lacking += [f"{each.name}: {one.arg}" for one in _arguments(each) if one.annotation is None]
        if each.node.returns is None and not each.node.name.startswith("__"):
            lacking.append(f"{each.name} ->")
    assert lacking == []


def _is_inherited(each):
    """Whether a method has the arguments of a base's, whose annotations hold for it too."""
    return each.owner is not None and each.node.name in _inherited(each.tree, each.owner)


_SHAPED = re.compile(
    r"\w+\[(Array|np\.ndarray|Array \| np\.ndarray|np\.ndarray \| Array|jax\.Array), '[^']*'\]"
)


def test_annotations_of_arrays_have_shapes():
    lacking = []
    for each in _functions():
        for name, of in [(one.arg, one.annotation) for one in _arguments(each)] + [("->", each.node.returns)]:
            said = _SHAPED.sub("", ast.unparse(of)) if of else ""
            if re.search(r"\b(Array|ndarray)\b", said) and not re.search(
                r"Callable|dict\[str, Array\]", said
            ):
                lacking.append(f"{each.name} {name}: {said}")
    assert lacking == []


def test_arrays_of_any_kind_are_named_in_the_text():
    lacking = []
    for each in _functions():
        code = " ".join(re.findall(r"`[^`]+`", f"{each.doc}\n{each.around}"))
        for one in _arguments(each):
            anything = one.annotation and re.match(r"(ArrayLike|Numbers)\b", ast.unparse(one.annotation))
            if anything and not re.search(rf"\b{one.arg}(\b|_)", code):
                lacking.append(f"{each.name}: {one.arg}")
    assert lacking == []


def test_units_are_said():
    lacking, seen = [], set()
    for each in (*_public(), *_members()):
        of_arguments = [one.arg for one in _arguments(each)] if isinstance(each.node, ast.FunctionDef) else []
        for name in (each.name, *(f"{each.name}: {argument}" for argument in of_arguments)):
            for known, unit in UNITS.items():
                if re.fullmatch(known, name):
                    seen.add(known)
                    lacking += [] if re.search(unit, f"{each.doc} {each.around}") else [name]
    assert lacking == []
    assert seen == {*UNITS}


CHECKS = {"array", "finite", "number", "numbers", "weights", "whole", "check_each"}
"""Functions of `superpose.inputs` that raise TypeError or ValueError."""


def _raised(node, tree, seen=()):
    """The errors that a function raises itself, those that private functions of its file raise for it, and if it calls checks."""
    own = {
        each.name: each
        for each in tree.body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("_")
    }
    errors, others, checks = set(), set(), False
    for each in ast.walk(node):
        match each:
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name)) | ast.Name(id=name)):
                errors |= {name} if name[0].isupper() else set()
            case ast.Call(func=ast.Name(id=name)) if name in CHECKS:
                checks = True
            case ast.Call(func=ast.Name(id=name)) if name in own and name not in seen:
                direct, further, also = _raised(own[name], tree, (*seen, name))
                others, checks = others | direct | further, checks or also
    return errors, others, checks


def _says(text, error):
    """Whether a text says that this error, or one that it is a kind of, is raised; or what says so."""
    kinds = [each.__name__ for each in getattr(builtins, error, type(error, (), {})).__mro__]
    named = [kind for kind in [error, *kinds] if kind not in ("object", "BaseException", "Exception")]
    return "aises what" in text or ("aise" in text and any(kind in text for kind in named))


def test_errors_are_said():
    lacking = []
    for each in _functions():
        errors, others, checks = _raised(each.node, each.tree)
        # What is of the wrong kind or shape may be said once for a class or a module.
        once = {
            error for error in errors | others if error == "TypeError" or error not in errors or each.owner
        }
        lacking += [
            f"{each.name}: {error}"
            for error in errors | others
            if not _says(each.doc + each.around * (error in once), error)
        ]
        if checks and "aise" not in each.doc + each.around:
            lacking.append(f"{each.name}: what it checks")
    assert lacking == []


def test_sources_are_named():
    found = {
        each.name: bool(re.search(r"\((1[89]|20)\d\d\b|\b(19|20)\d\d\)|arXiv", each.doc + _of_notebook(each)))
        for each in _of(ast.FunctionDef, ast.ClassDef)
        if each.name.rpartition(".")[0] in OF_PAPERS and not _is_answer(each)
    }
    assert {name for name, named in found.items() if not named} == _excepted(NO_SOURCE)


def _of_notebook(each):
    """All of this module is from one source, which its docstring names."""
    return each.around if each.name.startswith("notebook.") else ""


def _is_answer(each):
    """Whether a class is what functions of its module return: these say the rest, and have the example."""
    if not isinstance(each.node, ast.ClassDef) or any(
        isinstance(node, ast.FunctionDef) and node.name == "__call__" for node in each.node.body
    ):
        return False
    module, _, label = each.name.rpartition(".")
    return any(
        other.name.rpartition(".")[0] == module
        and re.search(rf"\b{label}\b", ast.unparse(other.node.returns))
        for other in _of(ast.FunctionDef)
        if other.node.returns and ">>> " in other.doc + other.around
    )


def test_examples_are_there():
    lacking = set()
    for each in _of(ast.FunctionDef, ast.ClassDef):
        shown = " ".join(re.findall(r"^(?:>>>|\.\.\.) .*$", each.around, re.MULTILINE))
        of_module = re.search(rf"\b{each.name.rpartition('.')[2]}\(", shown)
        if ">>> " not in each.doc and not of_module and not _is_answer(each):
            lacking.add(each.name)
    assert lacking == _excepted(NO_EXAMPLE)


TESTS = (
    test_each_name_says_what_it_is, test_the_first_line_is_a_sentence, test_all_arguments_and_answers_are_annotated,
    test_annotations_of_arrays_have_shapes, test_arrays_of_any_kind_are_named_in_the_text, test_units_are_said,
    test_errors_are_said, test_sources_are_named, test_examples_are_there,
)  # fmt: skip


@pytest.mark.parametrize("test", TESTS)
def test_what_is_lacking_is_found(test, monkeypatch):
    tree = ast.parse("def lost(needed: ArrayLike, x: Array, y):\n    raise ValueError(needed)\n")
    names = [Public("measures.lost", tree.body[0], doc, "", tree) for doc in ("No sentence", "")]
    monkeypatch.setitem(globals(), "_public", lambda: names)
    monkeypatch.setitem(globals(), "_members", list)
    with pytest.raises(AssertionError):
        test()
