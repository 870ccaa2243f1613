"""Running experiments: what is kept, what is made again, what failed; on experiments made up here, that take no time."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from superpose import report, runs, store
from superpose.claims import Claim, Claims, at_least
from superpose.papers import Experiment, Paper, experiments

PAPER = Paper(
    "made2026",
    "A Made-Up Paper",
    "It says (2026) something.",
    "Made et al.",
    2026,
    "https://there",
    "Cited.",
    "",
)


def _experiment(tmp_path, monkeypatch, name, body, seconds=1):
    """An experiment of one dataset and one claim, whose `run` also counts how often it ran."""
    path = tmp_path / "made_up" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f'''
from dataclasses import dataclass
from pathlib import Path
import numpy as np, xarray as xr
from superpose import plot
from superpose.claims import Claim, at_least

@dataclass(frozen=True)
class Config:
    size: int = 3
    seed: int = 0

def run(config):
    with open({str(tmp_path / "ran")!r}, "a") as ran:
        ran.write("{name} ")
    {body}
    return xr.Dataset({{"x": ("point", np.arange(config.size) + config.seed)}})

def figure(data):
    fig = plot.figure(3, 2)
    fig.subplots().plot(data.x)
    return fig

def claims(data):
    return [Claim("size", "there are enough points", "ours", at_least(2), len(data.x), source="this test")]

def notes(data):
    return ["A note."]
'''
    )
    monkeypatch.setattr(Experiment, "module", lambda self: _module(str(self.path)))
    return Experiment(name, path, PAPER, f"Summary of {name}", "Explained.", "nowhere", seconds, {"size": 2})


@cache
def _module(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def three(tmp_path, monkeypatch):
    made = [
        _experiment(tmp_path, monkeypatch, "first_made", "pass"),
        _experiment(tmp_path, monkeypatch, "broken_made", 'raise ValueError("no <such> thing")'),
        _experiment(tmp_path, monkeypatch, "last_made", "pass"),
    ]
    monkeypatch.setattr(runs, "experiments", lambda: {each.name: each for each in made})
    return lambda: (tmp_path / "ran").read_text(encoding="utf-8").split()


def test_one_that_fails_does_not_stop_the_others(three, tmp_path):
    made = runs.reproduce(tmp_path / "report")
    assert three() == ["first_made", "broken_made", "last_made"]
    assert made.score == report.Score(2, 0, 0)
    (broken,) = made.failed
    assert broken.error.startswith("ValueError: no <such> thing")
    assert broken.command == "superpose run broken_made"
    page = (tmp_path / "report" / "made2026.html").read_text(encoding="utf-8")
    assert "no &lt;such&gt; thing" in page
    assert "superpose run broken_made" in page


def test_one_that_cannot_be_configured_stops_only_itself(three, tmp_path, capsys):
    path = runs.experiments()["broken_made"].path
    path.write_text("import numpyy", encoding="utf-8")
    made = runs.reproduce(tmp_path / "report", only=["first_made", "broken_made"])
    assert three() == ["first_made"]
    (broken,) = made.failed
    assert broken.error.startswith("ModuleNotFoundError: No module named 'numpyy' (broken_made.py, line 1)")
    assert "broken_made: failed: ModuleNotFoundError" in capsys.readouterr().err
    assert not runs.reproduce(tmp_path / "other", only=["last_made"]).failed
    assert three() == ["first_made", "last_made"]


def test_results_of_other_settings_are_named(three, tmp_path, capsys):
    runs.reproduce(tmp_path / "report", only=["first_made", "last_made"])
    capsys.readouterr()
    made = runs.reproduce(tmp_path / "report", only=["first_made"], seed=1)
    assert [each.experiment.name for each in made.results] == ["first_made"]
    assert "last_made: of other settings, code or versions; kept in" in capsys.readouterr().err
    page = (tmp_path / "report" / "made2026.html").read_text(encoding="utf-8")
    assert "Not run here: broken_made, last_made." in page


def test_what_was_done_is_kept_and_the_page_is_the_same(three, tmp_path):
    runs.reproduce(tmp_path / "report", only=["first_made"])
    runs.reproduce(tmp_path / "report", only=["first_made", "last_made"])
    assert three() == ["first_made", "last_made"]
    page = (tmp_path / "report" / "index.html").read_bytes()
    runs.reproduce(tmp_path / "report", only=["last_made", "first_made"])
    assert three() == ["first_made", "last_made"]
    assert (tmp_path / "report" / "index.html").read_bytes() == page


def test_other_settings_and_force_run_again(three, tmp_path):
    for settings in ({}, {"seed": 1}, {"quick": True}, {"quick": True, "force": True}, {"quick": True}):
        runs.reproduce(tmp_path / "report", only=["first_made"], **settings)
    assert three() == ["first_made"] * 4
    kept = store.read_json(tmp_path / "report" / "results" / "first_made" / "config.json")
    assert kept == {"size": 2, "seed": 0}


def test_changed_code_runs_again(three, tmp_path, monkeypatch):
    runs.reproduce(tmp_path / "report", only=["first_made"])
    (each,) = [each for name, each in runs.experiments().items() if name == "first_made"]
    each.path.write_text(each.path.read_text(encoding="utf-8") + "\n# changed\n")
    runs.reproduce(tmp_path / "report", only=["first_made"])
    assert three() == ["first_made"] * 2


def test_changed_drawing_only_draws_again(three, tmp_path, monkeypatch):
    made = runs.reproduce(tmp_path / "report", only=["first_made"])
    figure = made.results[0].folder / "figure.png"
    figure.write_bytes(b"old")
    monkeypatch.setattr(runs, "_drawn_by", lambda: "another style")
    runs.reproduce(tmp_path / "report", only=["first_made"])
    assert three() == ["first_made"]
    assert figure.read_bytes().startswith(b"\x89PNG")


def _cut(path):
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("harm", "name", "said"),
    [
        (Path.unlink, "claims.json", "missing; to draw again"),
        (Path.unlink, "notes.json", "missing; to draw again"),
        (Path.unlink, "figure.svg", "missing; to draw again"),
        (Path.unlink, "config.json", "missing; to draw again"),
        (Path.unlink, "provenance.json", "missing; to draw again"),
        (Path.unlink, store.MANIFEST, ""),
        (_cut, "claims.json", "damaged; to draw again"),
        (_cut, "config.json", "damaged; to draw again"),
        (_cut, "figure.png", "damaged; to draw again"),
        (_cut, store.MANIFEST, ""),
        (_cut, "data.zarr/x/c/0", "damaged; to run again"),
        (Path.unlink, "data.zarr/x/c/0", "missing; to run again"),
        (Path.unlink, "data.zarr/zarr.json", "missing; to run again"),
        (_cut, "data.zarr/x/zarr.json", "damaged; to run again"),
        (shutil.rmtree, "data.zarr", "missing; to run again"),
        (shutil.rmtree, "", ""),
    ],
)
@pytest.mark.filterwarnings("ignore:.*set-aside")
def test_what_is_damaged_is_said_and_made_again(three, tmp_path, capsys, harm, name, said):
    before = runs.reproduce(tmp_path / "report", only=["first_made"])
    place = tmp_path / "report" / "results" / "first_made"
    (place / "mine.txt").write_text("mine")
    capsys.readouterr()
    harm(place / name)
    told = runs.reproduce(tmp_path / "report", only=["first_made"])
    again = "to run again" in said or not name
    assert three() == ["first_made"] * (1 + again)
    assert said in capsys.readouterr().err
    assert told.score == before.score
    assert not store.faults(place)
    assert all(not each.faults for each in store.verified(tmp_path / "report"))
    assert (place / "mine.txt").exists() == bool(name)
    assert told.results[0].picture("figure.svg")
    runs.reproduce(tmp_path / "report", only=["first_made"])
    assert three() == ["first_made"] * (1 + again)


def test_verify_misses_a_result_that_is_on_the_page(three, tmp_path):
    runs.reproduce(tmp_path / "report", only=["first_made", "last_made"])
    assert [each.path.name for each in store.verified(tmp_path)] == ["report", "first_made", "last_made"]
    shutil.rmtree(tmp_path / "report" / "results" / "last_made")
    page, first = store.verified(tmp_path / "report")
    assert page.faults == {"results/last_made": "missing"}
    assert not first.faults


def test_a_damaged_result_that_nobody_asked_for_is_said_and_left_out(three, tmp_path, capsys):
    runs.reproduce(tmp_path / "report", only=["first_made", "last_made"])
    (tmp_path / "report" / "results" / "last_made" / "data.zarr" / "x" / "c" / "0").unlink()
    told = runs.reproduce(tmp_path / "report", only=["first_made"])
    assert [each.experiment.name for each in told.results] == ["first_made"]
    assert "last_made: " in capsys.readouterr().err
    assert three() == ["first_made", "last_made"]


def test_a_project_with_pages_of_its_own_is_refused_before_the_work(three, tmp_path):
    for name in ("index.html", "report.json", store.MANIFEST):
        (tmp_path / name / "results").mkdir(parents=True)
        (tmp_path / name / name).write_text("mine")
        with pytest.raises(FileExistsError, match=f"{name} .*move it away"):
            runs.reproduce(tmp_path / name, only=["first_made"])
        assert (tmp_path / name / name).read_text(encoding="utf-8") == "mine"
    (tmp_path / "r" / "results" / "last_made").mkdir(parents=True)
    (tmp_path / "r" / "results" / "last_made" / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"last_made holds something that superpose did not write"):
        runs.reproduce(tmp_path / "r", only=["first_made", "last_made"])
    assert not (tmp_path / "ran").exists()


def test_a_page_that_was_edited_is_kept_and_one_that_appears_meanwhile_stays(three, tmp_path, monkeypatch):
    folder = tmp_path / "report"
    runs.reproduce(folder, only=["first_made"])
    (folder / "index.html").write_text("edited")
    (folder / "mine.html").write_text("mine")
    with pytest.warns(
        UserWarning,
        match=r"index.html in .* is not known to be as superpose wrote it, so it is kept, at .*set-aside",
    ):
        runs.reproduce(folder, only=["first_made"])
    assert (folder / "set-aside" / "index.html").read_text(encoding="utf-8") == "edited"
    assert (folder / "mine.html").read_text(encoding="utf-8") == "mine"
    assert "first_made" in (folder / "index.html").read_text(encoding="utf-8")

    def meddle(make, experiment, config, place):
        (tmp_path / "new" / "index.html").write_text("mine")
        return report.failed(experiment, config, "no work")

    monkeypatch.setattr(runs, "_attempt", meddle)
    with pytest.raises(FileExistsError, match=r"index.html was not written by superpose"):
        runs.reproduce(tmp_path / "new", only=["first_made"])
    assert (tmp_path / "new" / "index.html").read_text(encoding="utf-8") == "mine"


def test_a_report_of_an_older_version_is_gone_on_with(three, tmp_path):
    folder = tmp_path / "report"
    runs.reproduce(folder, only=["first_made"])
    for manifest in folder.rglob(store.MANIFEST):
        manifest.unlink()
    with pytest.warns(UserWarning, match="set-aside"):
        runs.reproduce(folder, only=["first_made"])
    pages = ["index.html", "made2026.html", "report.json"]
    assert sorted(os.listdir(folder)) == [*pages, "results", "set-aside", store.MANIFEST]
    assert sorted(os.listdir(folder / "set-aside")) == pages


def test_a_result_of_version_0_1_is_read():
    folder = Path(__file__).parent / "result-0.1" / "intro"
    result = report.read(experiments()["intro"], folder)
    assert (result.versions["superpose"], result.config["members"], result.seconds) == ("0.1.0", 2, 23.0)
    assert result.score == report.Score(2, 0, 0)
    assert result.claims[0]["section"] == "Introduction"
    assert result.claims[0]["source"] == "the exact optimum, best of many starts"
    intro = experiments()["intro"]
    data = intro.measured(store.load(folder))
    assert [claim.status for claim in intro.module().claims(data)] == ["holds", "holds"]
    (verified,) = store.verified(folder)
    assert not verified.faults
    assert not verified.checksums


def test_a_half_written_page_never_takes_the_place_of_a_whole_one(three, tmp_path, monkeypatch):
    runs.reproduce(tmp_path / "report", only=["first_made"])
    page = (tmp_path / "report" / "index.html").read_bytes()
    monkeypatch.setattr(
        Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError, match="No space"):
        runs.reproduce(tmp_path / "report", only=["first_made"])
    assert (tmp_path / "report" / "index.html").read_bytes() == page
    assert not list((tmp_path / "report").glob(".*"))


def test_what_the_small_version_cannot_tell_is_open(three, tmp_path):
    def changed(path):
        path.write_text(
            path.read_text(encoding="utf-8").replace('source="this test"', 'source="this test", quick=False')
        )

    changed(runs.experiments()["last_made"].path)
    only = ["first_made", "last_made"]
    assert runs.reproduce(tmp_path / "small", only=only, quick=True).score == report.Score(1, 0, 0, open=1)
    assert runs.reproduce(tmp_path / "full", only=only).score == report.Score(2, 0, 0)


@pytest.mark.parametrize(("claims", "status"), [(1, "differs"), (0, "fails")])
def test_a_claim_that_is_contradicted_is_not_a_failure(claims, status):
    exact = Claim("exact", "so it is", "ours", at_least(1), 2, source="theory")
    told = Claim(
        "paper", "so it is not", "there", at_least(3), 2, source="the paper", instead="exact" * claims
    )
    assert [claim.status for claim in Claims([told, exact])] == [status, "holds"]


RUN = """
import sys
from superpose.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_killed_in_the_middle_it_goes_on_where_it_stopped(tmp_path):
    args = ["reproduce", "--quick", "--only", "intro", "phase-surface", "--out", str(tmp_path / "report")]
    command = [sys.executable, "-c", RUN, *args]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    first = tmp_path / "report" / "results" / "intro" / "config.json"
    deadline = time.monotonic() + 300
    while not first.exists() and time.monotonic() < deadline:
        assert running.poll() is None, "it ended before the first experiment was done"
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "report" / "index.html").exists()
    done = first.stat().st_mtime_ns
    again = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert again.returncode in (0, 1), again.stderr
    assert "2 experiments: 1 kept, 1 to run" in again.stderr
    assert first.stat().st_mtime_ns == done
    assert (tmp_path / "report" / "index.html").exists()


@pytest.mark.slow
def test_the_full_run_holds(tmp_path):
    """16 minutes: every claim of the paper holds, or differs where another says what is so.

    Of ours about real text, in `text`, two fail where few words are stored, and are kept as that.
    """
    made = runs.reproduce(tmp_path / "report")
    assert not made.failed
    failing = [
        (each.experiment.name, claim["id"]) for each, claim in made.not_holding if claim["status"] == "fails"
    ]
    assert [each for each in failing if each[0] != "text"] == []
