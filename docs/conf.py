"""The site: `make docs`. Pages and notebooks are Markdown; notebooks are executed, and the reference is made of docstrings."""

import contextlib
import io
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from docutils import nodes
from docutils.parsers.rst import roles
from sphinx.addnodes import pending_xref

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))  # Sphinx imports this file by itself

import formulas  # noqa: E402

import superpose  # noqa: E402
from superpose.cli import COMMANDS, main  # noqa: E402

project = "superpose"
version = release = superpose.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "superpose"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_build/extra"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = html_show_copyright = False

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS / "_build" / "executed")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__, set, savefig"}
default_role = "said"


def said(name, rawtext, text, lineno, inliner, options=None, content=None):
    """What a docstring has between backticks: a formula, or code, which is a link where it is a name."""
    text = text.replace("\x00", "\\")
    if formulas.is_formula(text):
        return [nodes.math(rawtext, formulas.latex(text))], []
    env = inliner.document.settings.env
    shown = nodes.literal(rawtext, text, classes=["xref", "py"])
    found = pending_xref("", shown, refdomain="py", reftype="obj", reftarget=text, refwarn=False)
    found["refdoc"] = env.docname
    found.attributes.update({k: env.ref_context.get(k) for k in ("py:module", "py:class")})
    if not text.replace(".", "").replace("_", "").isalnum():
        return [shown], []
    return [found], []


def visit_math(self, node):
    self.body.append(formulas.mathml(node.astext()))
    raise nodes.SkipNode


def visit_displaymath(self, node):
    self.body.append(f'<div class="math">{formulas.mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def reference(app) -> None:
    """A page for each module, and one of the commands with their help."""
    folder = DOCS / "reference"
    folder.mkdir(exist_ok=True)
    for name in (*superpose._modules, "dictionaries.scores", "dictionaries.worlds", "frames.chance"):
        module = f"superpose.{name}"
        _write(folder / f"{name}.md", f"# {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n```\n")
    shown = [
        f"## superpose {each}\n\n```text\n{_help(each)}```"
        for each in COMMANDS
        if each not in ("list", "run")
    ]
    _write(folder / "commands.md", "\n\n".join(["# The command", f"```text\n{_help()}```", *shown]) + "\n")


def korean(app) -> None:
    """`README.ko.md` as a page of the site."""
    text = (DOCS.parent / "README.ko.md").read_text(encoding="utf-8")
    text = (
        text.replace("# superpose", "# 한국어", 1)
        .replace("(docs/", "(")
        .replace("(README.md#citing)", "(index.md)")
    )
    _write(DOCS / "korean.md", text.replace("(README.md)", "(index.md)"))


def notebooks(app) -> None:
    """Each tutorial as a plain notebook, which begins by installing what it needs."""
    folder = DOCS / "_build" / "extra" / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    for page in sorted((DOCS / "tutorials").glob("*.md")):
        notebook = jupytext.read(page)
        first = "# Where superpose is not installed yet:\n# %pip install superpose"
        notebook.cells.insert(1, nbformat.v4.new_code_cell(first, id="install"))
        nbformat.write(notebook, folder / f"{page.stem}.ipynb")


def linked(app, page, source) -> None:
    """A tutorial begins with the link to its notebook."""
    folder, _, name = page.partition("/")
    if folder == "tutorials":
        link = (
            f'<p class="notebook"><a href="../notebooks/{name}.ipynb" download>Download as a notebook</a></p>'
        )
        source[0] = re.sub(r"^(# .*)$", rf"\1\n\n{link}", source[0], count=1, flags=re.MULTILINE)


def cleared(app, document) -> None:
    """Without the outputs in which bars were, which are empty when they are done."""
    for block in list(document.findall(nodes.literal_block)):
        if not block.astext().strip():
            block.parent.remove(block)


def signature(app, kind, name, of, options, arguments, returned):
    """Types by the names under which one knows them."""
    return tuple(part and part.replace("jaxlib._jax.Array", "Array") for part in (arguments, returned))


def _help(*command: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return said.getvalue()


def _write(path: Path, text: str) -> None:
    """Only what changed, so that the rest is not built again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app):
    roles.register_local_role("said", said)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    app.connect("builder-inited", reference)
    app.connect("builder-inited", korean)
    app.connect("builder-inited", notebooks)
    app.connect("source-read", linked)
    app.connect("doctree-read", cleared)
    app.connect("autodoc-process-signature", signature)
