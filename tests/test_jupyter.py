"""A notebook, executed in a kernel: figures, bars, results and claims show themselves there."""

import base64
import html
import re
import textwrap

import jax
import jax.numpy as jnp
import nbclient
import nbformat
import numpy as np
import pytest

from superpose.models import Mixture, ReluOutput
from superpose.train import Basins, Fit, Minimum

CELLS = {
    "setup": """
        import time
        import numpy as np, xarray as xr
        from superpose import plot
        from superpose.claims import Claim, about
        from superpose.papers import experiments
        from superpose.papers.elhage2022 import intro
        from superpose.interactive import Run
        from superpose.progress import progress_bar

        def drawn():
            fig = plot.figure(3, 2)
            fig.subplots().plot([0, 1])
            return fig

        grid = ("density", "member")
        data = xr.Dataset(
            {
                "W": ((*grid, "hidden", "feature"), np.eye(2, 5)[None, None]), "loss": (grid, [[0.1]]),
                "importance": ("feature", np.ones(5)), "large": ("density", [True]),
            },
            {"density": [1.0], "member": [0]},
        )
        """,
    "figure": "drawn()",
    "pyplot": "import matplotlib.pyplot as plt\n%matplotlib inline\nplt.style.use('dark_background')\ndrawn()",
    "experiment": "intro.figure(intro.measured(data))",
    "animation": "plot.Animation(drawn(), lambda at: [], frames=2)",
    "bars": """
        print("mine")
        with progress_bar("all <b>", 2, after=0.3) as advanced:
            for done in (1, 2):
                with progress_bar("part", 10, after=0.3) as inner:
                    for step in range(10):
                        time.sleep(0.08)
                        inner(step + 1)
                advanced(done)
        with progress_bar("again", 2, after=0):
            time.sleep(0.4)
        """,
    "short": "with progress_bar('short', 2) as advanced:\n    advanced(2)",
    "interrupted": """
        with progress_bar("broken", 2, after=0):
            time.sleep(0.4)
            raise KeyboardInterrupt
        """,
    "run": "ran = Run(experiments()['intro'], intro.Config((1.0,), row=0, members=1), data); ran",
    "claims": "intro.claims(intro.measured(data))",
    "explorer": "from superpose import explorer; explorer.show(data, height=700)",
}


class _Watched(nbclient.NotebookClient):
    """Keeps what each cell showed while it ran."""

    def process_message(self, message, cell, cell_index):
        if message["msg_type"] in ("display_data", "update_display_data"):
            self.shown.setdefault(cell_index, []).append(message["content"]["data"])
        return super().process_message(message, cell, cell_index)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Each cell's outputs as they are saved, and all that it showed while it ran."""
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(code).strip()) for code in CELLS.values()]
    )
    names = [*CELLS]
    made.cells[names.index("interrupted")].metadata.tags = ["raises-exception"]
    folder = str(tmp_path_factory.mktemp("notebook"))
    client = _Watched(made, timeout=200, resources={"metadata": {"path": folder}})
    client.shown = {}
    client.execute()
    nbformat.validate(made)
    outputs = [[output for output in cell.outputs if not _is_noise(output)] for cell in made.cells]
    return {name: (outputs[at], client.shown.get(at, [])) for at, name in enumerate(names)}


def _is_noise(output) -> bool:
    return output.get("name") == "stderr"  # such as matplotlib's, that it makes its list of fonts


def _only(outputs):
    (output,) = outputs
    assert output.output_type == "execute_result"
    return output.data


@pytest.mark.parametrize("cell", ["figure", "pyplot", "experiment"])
def test_a_figure_shows_itself_once(cells, cell):
    data = _only(cells[cell][0])
    assert {kind for kind in data if kind != "text/plain"} == {"image/png"}
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"].startswith("<Figure size")


def test_an_animation_shows_itself(cells):
    assert _only(cells["animation"][0])["text/html"].startswith('<img src="data:image/gif;base64,R0lG')


def test_bars_are_drawn_in_one_place_and_then_gone(cells):
    outputs, shown = cells["bars"]
    assert shown[0]["text/plain"].splitlines()[0] == "all <b> 0%"
    assert any("all <b> 50%" in each["text/plain"] and "s left" in each["text/plain"] for each in shown)
    assert any("part" in each["text/plain"] for each in shown)
    assert any("again" in each["text/plain"] for each in shown)
    bar = shown[0]["text/html"]
    assert "<progress" in bar
    assert "all &lt;b&gt;" in bar
    assert [output.output_type for output in outputs] == ["stream", "display_data"]
    assert outputs[0].text == "mine\n"
    assert outputs[1].data == {"text/plain": ""}


def test_no_bar_for_short_work(cells):
    assert cells["short"] == ([], [])


def test_no_bar_is_left_of_what_was_interrupted(cells):
    outputs, shown = cells["interrupted"]
    assert "broken" in shown[0]["text/plain"]
    assert [output.get("data") for output in outputs] == [{"text/plain": ""}, None]


def test_a_run_shows_its_figure_claims_and_notes(cells):
    data = _only(cells["run"][0])
    assert data["text/html"].count("<img ") == 1
    assert "<table" in data["text/html"]
    assert "the authors&#x27; notebook" in data["text/html"]
    assert data["text/plain"].startswith("intro: 2 of 2 claims hold\n")


def test_claims_show_themselves_as_a_table(cells):
    data = _only(cells["claims"][0])
    assert data["text/html"].count("<tr>") == 3
    assert "Dense: the two most important features are orthogonal" in data["text/html"]
    assert data["text/plain"].count("holds: ") == 2


def test_the_explorer_shows_itself_in_a_frame_of_its_own(cells):
    data = _only(cells["explorer"][0])
    assert re.match("the explorer, [0-9]+ KB, which shows itself in a notebook", data["text/plain"])
    frame = re.fullmatch('<iframe srcdoc="([^"]*)" (.*)></iframe>', data["text/html"], re.DOTALL)
    page, said = html.unescape(frame[1]), frame[2]
    assert page.startswith("<!doctype html>")
    assert '"W":{"dtype":"float64","shape":[1,1,2,5]' in page
    assert "allow-same-origin" not in said
    assert "height: 700px" in said


def _model(kind=ReluOutput, activation="relu", **more):
    W, b = jnp.zeros((2, 5)), jnp.zeros(5)
    return kind(
        W, b, W_out=None, hidden_bias=None, activation=activation, hidden_activation="identity", **more
    )


def test_models_say_their_sizes():
    assert repr(_model()) == "ReluOutput(5 features, 2 hidden)"
    models = jax.tree.map(lambda leaf: np.zeros((3, 7, *leaf.shape)), _model())
    assert repr(models) == "3 × 7 × ReluOutput(5 features, 2 hidden)"
    assert repr(_model(activation="abs")) == "ReluOutput(5 features, 2 hidden, activation=abs)"
    assert repr(_model(Mixture, experts=2)) == "Mixture(5 features, 2 hidden, experts=2, active=1)"
    assert "W=0" in repr(jax.tree.map(lambda leaf: 0, models))


def test_results_say_what_was_found():
    models = jax.tree.map(lambda leaf: np.stack([leaf] * 3), _model())
    loss = np.array([0.2, 0.1, np.nan])
    fit = Fit(models, jnp.array([loss, loss]).T, np.array([10, 20]), None)
    assert repr(fit) == (
        "Fit(3 × ReluOutput(5 features, 2 hidden), loss 0.1 at best, 0.15 in the middle, on samples, 20 steps)"
    )
    solved = Minimum(models, loss, loss, np.array([0, 0, 3]), np.array([9, 9, 9]), None)
    assert repr(solved).endswith("loss 0.1 at best, 0.15 in the middle, 67% converged)")
    assert "no finite loss" in repr(solved._replace(loss=loss * np.nan))
    assert repr(solved._replace(models={"W": np.zeros((3, 2))})).startswith("Minimum(3 models, ")
    assert repr(jax.tree.map(lambda leaf: leaf[0], fit)).startswith("Fit")
    numbers = {"best": 0.1, "reached": 0.5, "gap": np.nan, "missed": 0.3, "converged": 1.0}
    found = Basins(np.array([0, 0]), distinct=np.int64(1), **{k: np.float64(v) for k, v in numbers.items()})
    assert repr(found) == (
        "Basins(2 starts, minima: 1, the best 0.1, reached by 50%, a better one missed if its chance < 0.3)"
    )
    several = Basins(*(np.stack([values, values]) for values in found))
    assert repr(several._replace(distinct=np.array([1, 4]))).startswith(
        "Basins(2 groups of 2 starts, minima in each: 1–4"
    )
