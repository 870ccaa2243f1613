"""Experiments from Python: settings as a user gives them, and what comes back."""

import matplotlib
import numpy as np
import pytest
import xarray as xr

import superpose
from superpose import plot, store
from superpose.claims import Claim, Claims, about
from superpose.interactive import run
from superpose.papers import experiments
from superpose.papers.elhage2022 import intro

GRID = ("density", "member")
DATA = xr.Dataset(
    {
        "W": ((*GRID, "hidden", "feature"), np.eye(2, 5)[None, None]), "loss": (GRID, [[0.1]]),
        "importance": ("feature", np.ones(5)), "large": ("density", [True]),
    },
    {"density": [1.0], "member": [0]},
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch) -> list[intro.Config]:
    """The settings that `intro` was run with; the work is done already."""
    configs = []
    monkeypatch.setattr(intro, "run", lambda config: configs.append(config) or DATA)
    return configs


def test_settings_become_what_the_config_says(asked):
    run("intro", densities=np.float32([0.5]), row=np.int64(0), members=2.0, decay=1)
    run("intro", densities=0.5)
    run("intro", quick=True, members=7)
    assert asked[0] == intro.Config(densities=(0.5,), row=0, members=2, decay=1.0)
    kinds = [type(value) for value in (asked[0].densities[0], asked[0].row, asked[0].members, asked[0].decay)]
    assert kinds == [float, int, int, float]
    assert asked[1].densities == (0.5,)
    assert asked[2] == intro.Config(**intro.QUICK | {"members": 7})


def test_what_comes_back_is_data_figure_claims_and_notes(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = superpose.run("intro")
    assert one.data.drop_attrs().identical(DATA)
    assert '"members": 40' in one.data.attrs["config"]
    assert isinstance(one.claims, Claims)
    assert isinstance(one.figure, plot.Figure)
    assert one.figure is one.figure
    assert len(one.notes) == 2
    assert repr(one).startswith("intro: 2 of 2 claims hold\ndense-two holds: ")
    assert not [*tmp_path.iterdir()]


def test_what_comes_back_is_what_is_saved(asked, tmp_path):
    one = run("intro", out=tmp_path, members=3)
    assert store.load(tmp_path / "intro").identical(one.data)
    assert (tmp_path / "intro" / "figure.png").is_file()


def test_claims_that_are_not_for_the_small_version_are_open_in_it(asked, monkeypatch):
    claim = Claim("it", "x is 1", "here", about(1, 0.1), 2.0, source="theory", quick=False)
    monkeypatch.setattr(intro, "claims", lambda data: [claim])
    small, full = run("intro", quick=True), run("intro")
    assert [each.claims.as_dicts()[0]["status"] for each in (small, full)] == ["open", "fails"]
    assert "open" in small._repr_html_()


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("intr", {}, "there is no experiment 'intr'; did you mean 'intro'?"),
        ("phase_diagrm", {}, "did you mean 'phase-diagram'?"),
        ("?", {}, "there are definitions, intro, "),
        ("intro", {"member": 3}, "intro has no setting 'member'; did you mean 'members'?"),
        ("intro", {"x": 3}, "there are densities, row, decay, members, seed"),
        ("intro", {"members": "many"}, "members must be a whole number, got 'many'"),
        ("intro", {"members": 1.5}, "members must be a whole number, got 1.5"),
        ("intro", {"members": True}, "members must be a whole number, got True"),
        ("intro", {"members": None}, "members must be a whole number, got None"),
        ("intro", {"members": np.zeros((9, 9))}, "members must be a whole number, got array"),
        ("intro", {"members": 0}, "members must be at least 1"),
        ("intro", {"densities": ["a"]}, "densities must be a number, got 'a'"),
        ("intro", {"densities": "0.1"}, "densities must be a number, got '0.1'"),
        ("intro", {"densities": 2}, "densities must be above 0 and at most 1, got 2.0"),
        ("intro", {"decay": float("nan")}, "decay must be above 0"),
        ("intro", {"seed": -1}, "seed must be from 0"),
        ("phase_diagram", {"sizes": "2-in-2"}, "sizes must be '2-in-1' or '3-in-2', got '2-in-2'"),
        ("text", {"text": 5}, "text must be text, got 5"),
        ("text", {"text": "nowhere.txt"}, "cannot read nowhere.txt"),
    ],
)
def test_bad_settings_are_said_in_one_line(name, settings, said):
    with pytest.raises(ValueError, match=r".") as error:
        run(name, **settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_place_that_is_not_ours_is_refused_before_the_work(asked, tmp_path):
    (tmp_path / "intro").mkdir()
    (tmp_path / "intro" / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError):
        run("intro", out=tmp_path)
    assert asked == []


def test_every_experiment_draws_in_our_style_and_shows_its_claims():
    for each in experiments().values():
        module = each.module()
        assert hasattr(module.figure, "__wrapped__"), f"{each.name}: figure lacks @plot.style()"
        assert hasattr(module.claims, "__wrapped__"), f"{each.name}: claims lack @as_claims"


def test_our_style_is_the_same_whatever_the_settings_and_leaves_them_alone():
    @plot.style()
    def drawn():
        fig = plot.figure(2, 1)
        fig.subplots().set_title("title")
        return fig

    plain = drawn()._repr_png_()
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "savefig.dpi": 20}):
        assert drawn()._repr_png_() == plain
        assert matplotlib.rcParams["font.size"] == 30
    assert plain[1] == {"width": 200, "height": 100}
