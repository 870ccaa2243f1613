import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from superpose import runs, store
from superpose.cli import main
from superpose.papers import experiments

COMMAND = [sys.executable, "-c", "import sys; from superpose.cli import main; sys.exit(main(sys.argv[1:]))"]


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The result folder and the exit status of one quick run."""
    out = tmp_path_factory.mktemp("results")
    status = main(["run", "intro", "--quick", "--out", str(out)])
    return out / "intro", status


def test_a_run_writes_its_result_and_nothing_else(ran):
    folder, _ = ran
    assert _names(folder.parent) == ["intro"]
    assert _names(folder) == [
        "claims.json",
        "config.json",
        "data.zarr",
        "figure.png",
        "figure.svg",
        "measured.zarr",
        "notes.json",
        "provenance.json",
        "superpose.json",
    ]
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_runs_dataset_has_every_member(ran):
    data = store.load(ran[0])
    config = json.loads((ran[0] / "config.json").read_text(encoding="utf-8"))
    sizes = {"density": len(config["densities"]) + config["row"], "member": config["members"]}
    assert {name: data.sizes[name] for name in sizes} == sizes
    assert data.W.sizes == {**sizes, "hidden": 2, "feature": 5}
    assert data.b.sizes == {**sizes, "feature": 5}
    assert data.loss.sizes == sizes
    assert all(np.isfinite(data[name].values).all() for name in ("W", "b", "loss"))
    assert json.loads(data.attrs["config"]) == config


def test_a_run_says_what_it_was_made_from(ran):
    config, made = (
        json.loads((ran[0] / name).read_text(encoding="utf-8")) for name in ("config.json", "provenance.json")
    )
    assert config == {"densities": [1.0, 0.2, 0.1], "row": 3, "decay": 0.9, "members": 12, "seed": 0}
    assert set(made) == {"versions", "code", "drawn_by", "seconds"}
    assert set(made["versions"]) == {"superpose", "jax", "python"}


def test_exit_status_is_zero_if_all_claims_hold(ran):
    folder, status = ran
    claims = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    assert len({claim["id"] for claim in claims}) == len(claims) >= 9
    assert status == (1 if any(claim["status"] == "fails" for claim in claims) else 0)
    assert status == 0


def test_list_names_every_experiment(capsys):
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert {"intro", "phase-diagram"} <= set(experiments())
    for name in experiments():
        assert name in said


@pytest.mark.parametrize("args", [["--help"], ["-h"], []])
def test_help_shows_how_to_use_the_command(args, capsys):
    assert main(args) == 0
    assert "superpose run NAME" in capsys.readouterr().out


def _refused(args, capsys, *said):
    """Exit status 2, and one line that says why."""
    assert main(args) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("superpose: ")
    assert printed.err.count("\n") == 1
    assert printed.err.endswith("\n")
    assert "Traceback" not in printed.err
    assert "---" not in printed.err
    for words in said:
        assert words in printed.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run", "nosuch"], "no experiment 'nosuch'; there are"),
        (["run", "intr"], "no experiment 'intr'; did you mean intro?"),
        (["run", "Phase_Diagram"], "did you mean phase-diagram?"),
        (["run"], "name an experiment"),
        (["rn"], "unknown command 'rn'; did you mean run?"),
        (["verify"], "name one folder: superpose verify FOLDER"),
        (["verify", "a", "b"], "name one folder: superpose verify FOLDER"),
        (["verify", "absent"], "absent holds nothing to verify; give a result"),
        (["verify", "."], "holds nothing to verify"),
        (["reproduce", "--only", "intr"], "did you mean intro?"),
        (["reproduce", "--quik"], "there is no option --quik; did you mean --quick?"),
        (["run", "intro", "--member=3"], "there is no option --member; did you mean --members?"),
        (["list", "x"], "takes no arguments"),
        (["reproduce", "--only", "nosuch"], "no experiment 'nosuch'"),
        (["reproduce", "--only"], "--only"),
        (["reproduce", "--seed", "-1"], "seed must be from 0"),
        (["reproduce", "--seed", "x"], "--seed"),
        (["reproduce", "now"], "now"),
        (["run", "intro", "--nosuch", "1"], "--nosuch"),
        (["run", "intro", "--members", "x"], "--members"),
        (["run", "intro", "--members", "0"], "members must be at least 1"),
        (["run", "intro", "--members", "-1"], "members must be at least 1"),
        (["run", "intro", "--members"], "--members"),
        (["run", "intro", "--row", "-1"], "row must be at least 0"),
        (["run", "intro", "--densities"], "densities"),
        (["run", "intro", "--densities", "2"], "densities must be above 0 and at most 1, got 2"),
        (["run", "intro", "--densities", "nan"], "densities must be above 0 and at most 1, got nan"),
        (["run", "intro", "--densities", "-0.1"], "densities must be above 0 and at most 1, got -0.1"),
        (["run", "intro", "--densities", "abc"], "--densities"),
        (["run", "intro", "--decay", "-1"], "decay must be above 0 and at most 1"),
        (["run", "intro", "--decay", "nan"], "decay must be above 0 and at most 1"),
    ],
)
def test_bad_input_is_refused_in_one_line(args, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _refused(args, capsys, said)
    assert _names(tmp_path) == []


def test_a_file_as_out_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    _refused(["run", "intro", "--quick", "--out", str(tmp_path / "file")], capsys, "is not a folder")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_a_result_folder_that_holds_something_else_is_refused(capsys, tmp_path):
    (tmp_path / "intro").mkdir()
    (tmp_path / "intro" / "thesis.tex").write_text("mine")
    _refused(
        ["run", "intro", "--quick", "--out", str(tmp_path)], capsys, "something that superpose did not write"
    )
    assert _names(tmp_path) == ["intro"]
    assert _names(tmp_path / "intro") == ["thesis.tex"]


def _no_work(config):
    pytest.fail("it must not get this far")


@pytest.mark.parametrize("out", ["/proc", "link", "link/below", "x" * 300, "file", "mine"])
def test_an_out_that_cannot_be_used_is_refused_before_the_work(capsys, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiments()["intro"].module(), "run", _no_work)
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    (tmp_path / "file").touch()
    (tmp_path / "mine" / "intro").mkdir(parents=True)
    (tmp_path / "mine" / "intro" / "config.json").write_text('{"model_type": "bert"}')
    _refused(["run", "intro", "--out", out], capsys, "choose another --out")
    assert _names(tmp_path) == ["file", "link", "mine"]


@pytest.mark.parametrize("out", ["x[/]", "line\nline[red]", "\udcff"])
def test_an_out_of_any_name_is_told_as_it_is(ran, capsys, tmp_path, monkeypatch, out):
    data = store.load(ran[0])
    monkeypatch.setattr(experiments()["intro"].module(), "run", lambda config: data.copy())
    monkeypatch.chdir(tmp_path)
    assert main(["run", "intro", "--quick", "--out", out]) == 0
    assert (
        f"picture: {out.encode(errors='backslashreplace').decode()}/intro/figure.png\n"
        in capsys.readouterr().out
    )
    assert os.listdir() == [Path(out).parts[0]]
    store.load(Path(out) / "intro")


def test_what_is_set_aside_is_told_in_one_line(ran, capsys, tmp_path, monkeypatch):
    data = store.load(ran[0])
    monkeypatch.setattr(experiments()["intro"].module(), "run", lambda config: data.copy())
    shutil.copytree(ran[0], tmp_path / "intro")
    (tmp_path / "intro" / "figure.png").write_text("annotated")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["run", "intro", "--quick", "--out", str(tmp_path)]) == 0
    about, said = capsys.readouterr().err.splitlines(keepends=True)
    assert re.fullmatch(r"intro: about \d+ s on two cores\n", about)
    assert said == (
        f"superpose: figure.png in {tmp_path / 'intro'} is not known to be as superpose wrote it, so it is kept, in "
        f"{tmp_path / 'intro' / 'set-aside'}\n"
    )


def test_verify_names_each_damaged_file(ran, capsys, tmp_path):
    shutil.copytree(ran[0], tmp_path / "results" / "intro")
    shutil.copytree(ran[0], tmp_path / "results" / "other")
    (tmp_path / "results" / "intro" / "notes.txt").write_text("mine")
    (tmp_path / "results" / "thesis").mkdir()
    for folder in ("results", "results/intro", "results/intro/data.zarr"):
        assert main(["verify", str(tmp_path / folder)]) == 0
        n = 2 if folder == "results" else 1
        assert capsys.readouterr().out == f"{n} of {n} whole\n"
    chunk = tmp_path / "results" / "intro" / "data.zarr" / "b" / "c" / "0" / "0" / "0"
    chunk.write_bytes(b"0" + chunk.read_bytes()[1:])
    (tmp_path / "results" / "intro" / "figure.svg").unlink()
    assert main(["verify", str(tmp_path / "results")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{chunk}: damaged",
        f"{tmp_path / 'results' / 'intro' / 'figure.svg'}: missing",
        "1 of 2 whole",
    ]
    assert main(["verify", str(tmp_path / "results" / "intro" / "data.zarr")]) == 1
    assert capsys.readouterr().out == f"{chunk}: damaged\n0 of 1 whole\n"
    assert main(["verify", "--help"]) == 0
    assert "exit status" in capsys.readouterr().out


def test_a_terminal_that_knows_ascii_only_is_no_error(tmp_path):
    ascii = {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "LC_ALL": "C"}
    for args, status in ((["list"], 0), (["run", "\u2265"], 2), (["reproduce", "--help"], 0)):
        done = subprocess.run([*COMMAND, *args], capture_output=True, env=os.environ | ascii)
        assert (done.returncode, b"Traceback" in done.stderr) == (status, False), done.stderr
        assert (done.stdout or done.stderr).isascii()


def test_without_a_home_nothing_compiled_is_kept_and_all_else_works(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    runs.keep_compiled()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_out_without_permission_is_refused(capsys, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    _refused(["run", "intro", "--quick", "--out", str(tmp_path / "locked")], capsys, "no permission")


def test_reproduce_takes_no_folder_that_holds_something_else(capsys, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    _refused(
        ["reproduce", "--quick", "--out", str(tmp_path)], capsys, "something that superpose did not write"
    )
    assert _names(tmp_path) == ["thesis.tex"]


SMALLEST = ["run", "intro", "--densities", "0.5", "--row", "0", "--members", "1", "--out"]


FULL_DISK = """
import resource, signal, sys
from superpose.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_is_told_in_one_line_and_nothing_is_left(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *SMALLEST, str(tmp_path / "out")],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")},  # JAX leaves half-written files there
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert not (tmp_path / "out").exists()
    assert done.stderr.startswith("superpose: no room to write the results")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_leaves_nothing(tmp_path):
    args = ["run", "intro", "--members", "500", "--out", str(tmp_path / "out")]  # half a minute
    running = subprocess.Popen([*COMMAND, *args], stderr=subprocess.PIPE, text=True)
    assert running.stderr.readline().startswith("intro: about ")  # the work begins
    time.sleep(1)
    assert running.poll() is None, "it ended before it was interrupted"
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=240)  # it may be compiling
    assert running.returncode == 130, said
    assert said.endswith("superpose: interrupted; nothing half-done was written\n")
    assert _names(tmp_path) == []


INTERRUPTED = """
import os, signal, sys
from superpose.cli import main
def hook(event, args):
    if event == "import" and args[0] == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(hook)
sys.exit(main(["run", "polytopes", "--quick", "--out", sys.argv[2]]))
"""


@pytest.mark.parametrize("module", ["pandas", "jax._src.core", "matplotlib.figure"])
def test_ctrl_c_is_one_line_also_while_modules_are_imported(tmp_path, module):
    run = [sys.executable, "-c", INTERRUPTED, module, str(tmp_path / "out")]
    done = subprocess.run(run, capture_output=True, text=True, timeout=240)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == "superpose: interrupted; nothing half-done was written"
    assert "Traceback" not in done.stderr
    assert _names(tmp_path) == []


@pytest.mark.parametrize(
    "args",
    [["list"], ["run", "phase-surface", "--quick"], ["reproduce", "--quick", "--only", "phase-surface"]],
)
def test_a_reader_that_leaves_ends_nothing(args, tmp_path):
    # As in `superpose ... 2>&1 | head -0`.
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, *args], stdout=write, stderr=write, cwd=tmp_path, timeout=300)
    os.close(write)
    assert done.returncode == 0
    for folder in tmp_path.rglob("phase-surface"):
        assert (folder / "figure.png").exists()
    assert _names(tmp_path) == {"list": [], "run": ["results"], "reproduce": ["report-quick"]}[args[0]]
