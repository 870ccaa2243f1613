"""What docs say is so: the diffs of `docs/adding.md` apply, and what they add runs; `docs/dictionaries.md` runs."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

import superpose
from superpose import sweep
from superpose.cli import main

PACKAGE, TESTS = Path(superpose.__file__).parent, Path(__file__).parent
DOC = PACKAGE.parent / "docs" / "adding.md"


def test_what_the_guide_adds_runs(tmp_path):
    for folder in (PACKAGE, TESTS):
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TESTS.parent / "pyproject.toml", tmp_path)
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", DOC.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert [language for language, _ in blocks] == ["diff"] * 7 + ["python", "diff"] + ["python"] * 2 + [
        "diff"
    ]
    for language, block in blocks:
        if language == "python":
            path, _, code = block.partition("\n")
            file = tmp_path / path.removeprefix("# ")
            file.parent.mkdir(exist_ok=True)
            file.write_text(code, encoding="utf-8")
        else:
            command = ["git", "apply", "--unidiff-zero", "-"]
            done = subprocess.run(command, input=block, capture_output=True, text=True, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    run = "import sys; from superpose.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", run, "run", "ring", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    claims = json.loads((tmp_path / "results" / "ring" / "claims.json").read_text(encoding="utf-8"))
    assert [(claim["id"], claim["status"]) for claim in claims] == [
        ("neighbors", "holds"),
        ("around", "holds"),
    ]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_values.py",
        "-k",
        "Levels",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.stdout.startswith("....."), done.stdout  # five tests
    assert done.returncode == 0, done.stdout
    command = [*command[:-3], "tests/test_papers.py", "-k", "ring] or every_paper"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout
    own = [sys.executable, "own_method.py"]
    done = subprocess.run(own, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 2
    doctest = [*command[:6], "--doctest-modules", "superpose/dictionaries/scores.py", "-k", "coherence"]
    done = subprocess.run(doctest, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout
    exact = (
        "from superpose.features import Ring; from superpose.losses import Population; from superpose.models import *;"
        "import jax; Population(Ring(3, n_features=12))(ReluOutput.init(12, 2, key=jax.random.key(0)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", exact], capture_output=True, text=True, cwd=tmp_path, timeout=100
    )
    assert "ValueError: exact losses are not known for Ring features" in done.stderr


def test_dictionaries_are_scored_as_the_guide_says(capsys):
    guide = (DOC.parent / "dictionaries.md").read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE):
        exec(block, names)
    table = names["table"]
    assert names["found"]["mcc"] > 0.85
    assert table["MOD"]["support_f1"] > table["L1"]["support_f1"] > table["exemplars"]["support_f1"]
    assert table["PCA"]["explained_variance"] > 0.999 > 0.2 > table["PCA"]["support_f1"]
    assert capsys.readouterr().out.count("\n") == 1 + len(table)


def test_the_guide_to_dictionaries_has_every_world_and_score():
    from superpose.dictionaries import score, worlds

    guide = (DOC.parent / "dictionaries.md").read_text(encoding="utf-8")
    for name in worlds.names():
        assert f"| `{name}` |" in guide
    told = set(re.findall(r"`(\w+)`", guide.partition("## What each score means")[2]))
    found = score([[1.0]], type("Truth", (), {"directions": [[1.0]]})(), key=0)
    told |= {f"{kind}_{each}" for kind in ("support", "latent") for each in ("precision", "recall", "f1")}
    assert set(found) - told == {"latents", "features", "samples", "threshold", "causal_error"} - told


def test_sweeps_go_as_the_guide_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    guide = (DOC.parent / "sweeps.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    codes = [code for language, code in blocks if language == "python"]
    for name, code in re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE):
        assert code.count("\n") < 40
        Path(name).write_text(code)

    def say(line):
        words = shlex.split(line.partition("#")[0])
        assert words[0] == "superpose"
        capsys.readouterr()
        assert main(words[1:]) == 0
        return capsys.readouterr().out

    for language, block in blocks:
        if language != "console":
            continue
        for line, told in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE):
            said = say(line.replace("0.001,64", "0.1,2").replace("1,2,3", "1"))
            assert said.startswith(told.partition("...")[0].strip()), (line, said)
    picture = next(code for code in codes if "plt.subplots" in code)
    exec(picture.replace("sweeps/question", "sweeps/question-quick"), {"sweep": sweep, "np": np})
    assert Path("question.png").stat().st_size > 1000
    plt.close("all")
    # The array of SLURM, as plain processes.
    shutil.rmtree("sweeps")
    arrays = next(code for language, code in blocks if language == "bash" and "sbatch" in code)
    begin, _, status, resume = arrays.splitlines()
    say(begin.replace("--out", "--seeds 2 --out"))
    shard = re.search(r"superpose sweep resume .* --shard [^']*", arrays)[0]
    for task in range(1, 4):
        say(shard.replace("$SLURM_ARRAY_TASK_ID/40", f"{task}/3"))
    assert "(100%)" in say(status)
    say(resume)
    names: dict = {}
    exec("from superpose import sweep\n" + next(code for code in codes if "missed.max" in code), names)
    assert names["data"].done.all()
    exec(next(code for code in codes if "corners=4" in code), names)
    own = sweep.gathered(names["cell"], {"width": [1.0, 2.0], "height": [3.0], "corners": [3, 4]})
    assert own.loss.sel(width=2.0, corners=4, height=3.0).values.tolist() == [6, 7, 8]


def test_models_go_to_pytorch_and_into_files_as_the_guide_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    guide = (DOC.parent / "pytorch.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    there = importlib.util.find_spec("torch") is not None
    names: dict = {}
    for block in blocks:
        if there or "torch" not in block:
            exec(block, names)
    assert capsys.readouterr().out == "ReluOutput(2 features, 1 hidden) an antipodal pair\n"
    assert {f"`{key}`" for key in names["card"]} - {"`notes`"} <= set(re.findall(r"`\w+`", guide))
    if there:
        x, models = np.from_dlpack(names["x"]), names["models"]
        expected = jax.vmap(jax.vmap(lambda model, x: model(x)), (None, 0))(models, x)
        np.testing.assert_allclose(np.from_dlpack(names["out"].detach()), expected, atol=1e-6)
        np.testing.assert_array_equal(names["same"].W, models.W)
        assert tuple(names["arena"]["W"].shape) == (10, 2, 5)
        np.testing.assert_allclose(names["back"].directions, names["sae"].directions, atol=1e-6)
