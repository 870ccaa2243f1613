"""`superpose sweep`: what it prints, and what is wrong in one line."""

import shutil
from pathlib import Path

import pytest

from superpose.cli import main

FILE = Path(__file__).parent / "sweeps" / "cheap.py"
FEW = ("--over", "x=1,2,3", "--over", "y=0.5", "--over", "n=2", "--workers", "1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(FILE, "mine.py")
    Path("exits.py").write_text("import sys\nsys.exit(3)\n")
    Path("broken.py").write_text("1 +\n")
    Path("lists.py").write_text("AXES = [1, 2]\ndef cell(x):\n    return {'loss': x}\n")
    Path("ragged.py").write_text("AXES = {'x': [[1, 2], [3]]}\ndef cell(x):\n    return {'loss': x}\n")
    Path("mine.txt").write_text("mine")
    Path("mine").mkdir()
    Path("mine/own.txt").write_text("mine")
    return tmp_path


REFUSED = [
    (["status"], "name one folder: superpose sweep status FOLDER"),
    (["status", "mine"], "mine holds no sweep; `superpose sweep FILE.py --out mine` makes one"),
    (["verify", "mine.txt"], "mine.txt is a file, not the folder of a sweep"),
    (["resume"], "name a folder: superpose sweep resume FOLDER"),
    (["resume", "mine"], "mine holds no sweep"),
    (["resume", "mine", "--shard", "3"], "--shard takes K/N, such as 3/40, got '3'"),
    (["zip", "mine"], "name a sweep and a file"),
    (["--out", "a"], "name a file first: superpose sweep FILE.py"),
    (["absent.py"], "there is no file absent.py"),
    (["phase-diagam"], "there is no file phase-diagam.py, and no such grid of cells; did you mean phase-diagram?"),
    (["hidden-bias"], "hidden-bias is no grid of cells; "),
    (["exits.py"], "exits.py cannot be run: SystemExit: 3"),
    (["broken.py"], "broken.py cannot be run: SyntaxError"),
    (["lists.py"], "AXES of lists.py must be values by name"),
    (["ragged.py"], "values of x must be numbers or words"),
    (["mine.py", "--cell", "other"], "mine.py has no other; say what its function is called: --cell NAME"),
    (["mine.py", "--cell", "np"], "mine.py has no function np; say what"),
    (["mine.py", "--over", "x=1", "--over", "x=2"], "--over x is given twice"),
    (["mine.py", "--over", "x"], "an axis is said as NAME=VALUES"),
    (["mine.py", "--over", "x=geomspace(1,2,3),5"], "a value is a number or a word, got 'geomspace(1'"),
    (["mine.py", "--over", "x=[1,2]"], "a value is a number or a word, got '[1'"),
    (["mine.py", "--over", "x=1;2"], "a value is a number or a word, got '1;2'"),
    (["mine.py", "--over", "z=1"], "cell has no argument z; it has x, y, n"),
    (["mine.py", "--over", "done=1"], "an axis cannot be called done"),
    (["mine.py", "--quick"], "mine.py has no small version"),
    (["phase-diagram", "--quick"], "phase-diagram has no small version"),
    (["mine.py", "--chunk", "-1"], "chunk must be at least 1 cell, got -1"),
    (["mine.py", "--workers", "-1"], "workers must be at least 1"),
    (["mine.py", "--timeout", "-1"], "timeout must be above 0 seconds"),
    (["mine.py", "--timeout", "nan"], "timeout must be above 0 seconds"),
    (["mine.py", "--seed", "-1"], "seed must be from 0"),
    (["mine.py", "--out", "mine"], "mine holds something that superpose did not write; choose another --out"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "said"), REFUSED, ids=[" ".join(args) for args, _ in REFUSED])
def test_what_is_wrong_is_said_in_one_line(args, said, folder, capsys):
    before = sorted(folder.rglob("*"))
    assert main(["sweep", *args]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.startswith("superpose: ")
    assert printed.err.count("\n") == 1
    assert [each for each in sorted(folder.rglob("*")) if "__pycache__" not in each.parts] == before


@pytest.mark.parametrize(
    "words", [(), ("--help",), ("status", "--help"), ("verify", "-h"), ("zip", "--help")]
)
def test_help_teaches(words, capsys):
    assert main(["sweep", *words]) == 0
    assert "superpose sweep status FOLDER" in capsys.readouterr().out


def test_a_sweep_and_what_is_said_of_it(folder, capsys):
    assert main(["sweep", "mine.py", *FEW, "--chunk", "1"]) == 0
    assert capsys.readouterr().out == "3 of 3 cells done: sweeps/mine\n"
    next(each for each in Path("sweeps/mine/data.zarr/loss/c").rglob("*") if each.is_file()).unlink()
    assert main(["sweep", "verify", "sweeps/mine"]) == 0
    assert capsys.readouterr().out == "2 of 3 chunks are done, and these are whole\n"
    assert main(["sweep", "zip", "sweeps/mine", "mine.zip"]) == 0
    capsys.readouterr()
    assert main(["sweep", "status", "mine.zip"]) == 2
    assert "unzipped it is a folder" in capsys.readouterr().err
    with open("mine.py", "a") as file:
        file.write("\n# other\n")
    assert main(["sweep", "mine.py", *FEW]) == 2
    assert "superpose sweep resume sweeps/mine --other-code" in capsys.readouterr().err
    assert main(["sweep", "resume", "sweeps/mine", "--workers", "1"]) == 2
    assert "(--other-code), which is noted" in capsys.readouterr().err
    assert main(["sweep", "resume", "sweeps/mine", "--workers", "1", "--other-code"]) == 0
    assert capsys.readouterr().out == "3 of 3 cells done: sweeps/mine\n"
    assert main(["sweep", "status", "sweeps/mine"]) == 0
    assert "some of it with other code: the cell cell is other code" in capsys.readouterr().out


def test_cells_that_fail_are_listed_with_their_line(folder, capsys):
    few = ("--over", "x=1,7", "--over", "y=0.5", "--workers", "1")
    Path("fails.py").write_text(Path("mine.py").read_text().replace("AXES", "NO_AXES"))
    assert main(["sweep", "fails.py", "--cell", "failing", *few]) == 1
    out = capsys.readouterr().out
    assert "1 cell failed:" in out
    assert "  x=7, y=0.5: ValueError: seven is not to be had (line " in out
