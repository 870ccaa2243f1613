import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import equinox as eqx
import numpy as np
import pytest
import xarray as xr

from superpose import sweep
from superpose.features import Correlated, Independent
from superpose.losses import Population, Sampled
from superpose.models import ReluOutput
from superpose.store import DamagedError
from superpose.sweep import _axes, _disk, _plan, _run, _source, _task

FILE = Path(__file__).parent / "sweeps" / "cheap.py"
cheap = _source.module_of(FILE)


def _here(folder, cell=cheap.cell, axes=cheap.AXES, **more):
    more = {"chunk": 6, "executor": sweep.Here(), "progress": False} | more
    return sweep.run(cell, axes, folder, **more)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1,2,3", (1, 2, 3)),
        ("a=1, 2.5", (1.0, 2.5)),
        ("a=relu,gelu", ("relu", "gelu")),
        ("a=geomspace(1,0.01,3)", (1.0, 0.1, 0.01)),
        ("a=linspace(0, 1, 5)", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("a=range(2,8,3)", (2, 5)),
        ("a=1/4,1/2", (0.25, 0.5)),
        ("a=-1e-3", (-0.001,)),
    ],
)
def test_axes_are_said_in_words(text, values):
    name, got = sweep.parsed(text)
    assert (name, got) == ("a", values)
    assert [type(each) for each in got] == [type(each) for each in values]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "an axis is said as NAME=VALUES"),
        ("=1", "an axis is said as NAME=VALUES"),
        ("a b=1", "an axis is said as NAME=VALUES"),
        ("a=", "a value is missing"),
        ("a=1,,2", "a value is missing"),
        ("a=1,1", "values of a must differ"),
        ("a=1,x", "all numbers or all words"),
        ("a=nan,1", "values of a must be finite"),
        ("a=exec(1)", "there is no exec; say geomspace, linspace, range"),
        ("a=__import__('os')", "there is no __import__"),
        ("a=geomspace(0,1,3)", "geomspace begins and ends above 0"),
        ("a=geomspace(1,2)", "geomspace takes where it begins"),
        ("a=linspace(0,1,10000000)", "an axis has 1 to 1000000 values"),
        ("a=range(10**9)", "a value is a number or a word, got '10..9'"),
        ("a=1/0", "division by zero|Fraction"),
    ],
)
def test_words_that_say_no_axis_are_refused(text, said):
    with pytest.raises(ValueError, match=said) as error:
        sweep.parsed(text)
    assert "\n" not in str(error.value)


def test_a_sweep_is_one_labeled_dataset(tmp_path):
    data = _here(tmp_path / "s").data
    assert data.loss.dims == ("x", "y", "n", "member")
    assert bool(data.done.all())
    assert float(data.loss.sel(x=5, y=1.5, n=3, member=1)) == 5 + 0.5 + 1
    np.testing.assert_array_equal(data.W.sel(x=2, y=0.5, n=3), np.sin([2, 4, 6]))
    # Filled with NaN where shapes differ.
    np.testing.assert_array_equal(data.W.sel(x=2, y=0.5, n=2), [*np.sin([2.0, 4.0]), np.nan])
    assert data.big.sel(y=0.5, n=2).values.tolist() == [0.0] * 6 + [1.0] * 6
    plain = xr.open_zarr(tmp_path / "s" / "data.zarr", consolidated=False, chunks=None)
    assert plain.drop_attrs().identical(data.drop_vars("done").drop_attrs())


def test_cells_of_sets_say_what_they_learned():
    def loss(density):
        return Population(Correlated(density, (2, 1)))

    cell = sweep.solved(lambda key: ReluOutput.init(3, 1, key=key), loss)
    data = sweep.gathered(cell, {"density": [0.1, 0.2]}, seeds=2)
    told = {"features": "correlated", "sizes": [2, 1], "values": "uniform", "target": "x"}
    assert told.items() <= data.attrs.items()


def test_a_pool_gives_the_same_bytes_as_one_process(tmp_path):
    _here(tmp_path / "here")
    with sweep.Pool(2) as pool:
        _here(tmp_path / "pool", executor=pool)
    assert _bytes(tmp_path / "here") == _bytes(tmp_path / "pool")


def test_a_script_needs_no_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from superpose import sweep\n"
        "print('once')\n"
        "def cell(x):\n    return {'loss': 2.0 * x}\n"
        "print(sweep.run(cell, {'x': [1, 2, 3]}, 's', chunk=1).data.loss.values.tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert (done.stdout, done.stderr) == ("once\n[2.0, 4.0, 6.0]\n", "")


def test_models_solved_in_a_pool_are_the_same_as_in_one_process(tmp_path):
    cell, axes = _solving(), {"density": [1.0, 0.3, 0.1], "extra": [0.5, 2.0], "hidden": [1, 2]}
    with sweep.Pool(2) as pool:
        among = _here(tmp_path / "pool", cell, axes, executor=pool, chunk=2, seeds=3).data
    alone = _here(tmp_path / "here", cell, axes, chunk=6, seeds=3).data
    assert among.load().identical(alone.load())
    assert among.W.dims == ("density", "extra", "hidden", "each_hidden", "feature")
    assert float(among.missed.max()) == pytest.approx(1 - 0.05 ** (1 / 3))
    assert (among.loss.sel(hidden=2) <= among.loss.sel(hidden=1) + 1e-12).all()


def _solving():
    def loss(density, extra):
        importance = np.array([1.0, 1.0, 0.0]) + np.array([0.0, 0.0, 1.0]) * extra
        return Population(Independent(density, importance))

    return sweep.solved(lambda key, *, hidden=1: ReluOutput.init(3, hidden, key=key), loss)


def test_models_fitted_in_other_chunks_are_the_same(tmp_path):
    def loss(density):
        return Sampled(Independent(density, n_features=3), batch=16)

    cell = sweep.fitted(lambda key: ReluOutput.init(3, 2, key=key), loss, steps=5, keep="all")
    axes = {"density": [0.5, 0.3, 0.1]}
    data = [_here(tmp_path / str(n), cell, axes, chunk=n, seeds=2).data.load() for n in (1, 2, 3)]
    assert data[0].identical(data[1])
    assert data[0].identical(data[2])


def test_models_are_taken_out_ready_to_use(tmp_path):
    def model(key, *, hidden=1, activation="relu"):
        return ReluOutput.init(3, hidden, key=key, activation=activation)

    axes = {"density": [0.5, 0.1], "hidden": [1, 2], "activation": ["relu", "gelu"]}
    cell = sweep.fitted(model, lambda density: Sampled(Independent(density, n_features=3), batch=16), steps=2)
    data = _here(tmp_path / "s", cell, axes, seeds=2).data
    one = sweep.select(tmp_path / "s", density=0.1, hidden=1, activation="gelu")
    assert (one.W.shape, one.activation) == ((1, 3), "gelu")
    np.testing.assert_array_equal(one.W, data.W.sel(density=0.1, hidden=1, activation="gelu")[:1])
    assert one(np.ones(3)).shape == (3,)
    both = sweep.select(tmp_path / "s", hidden=2, activation="relu")
    assert (both.W.shape, both.activation) == ((2, 2, 3), "relu")
    for at, said in (
        ({"hidden": 2}, "say which activation, of relu, gelu"),
        ({"hidden": 2, "activation": "tanh"}, "activation has no 'tanh'; it has relu, gelu"),
        ({"hidden": 2, "activation": "relu", "density": 0.11}, "density has no 0.11; the nearest is 0.1"),
        ({"width": 2}, "has no axis width; it has density, hidden, activation"),
    ):
        with pytest.raises(ValueError, match=said):
            sweep.select(tmp_path / "s", **at)
    _here(tmp_path / "other")
    with pytest.raises(ValueError, match="has no models, only W, big, loss"):
        sweep.select(tmp_path / "other", n=2)


def test_all_members_are_kept_where_asked(tmp_path):
    def loss(density):
        return Sampled(Independent(density, n_features=3), batch=16)

    def init(key):
        return ReluOutput.init(3, 2, key=key)

    axes = {"density": [0.5, 0.1]}
    every = _here(tmp_path / "all", sweep.fitted(init, loss, steps=5, keep="all"), axes, seeds=3).data
    best = _here(tmp_path / "best", sweep.fitted(init, loss, steps=5), axes, seeds=3).data
    assert every.loss.dims == ("density", "member")
    np.testing.assert_array_equal(every.loss.min("member"), best.loss)


def test_it_can_be_opened_while_it_grows(tmp_path):
    plan = _plan_only(tmp_path / "s")
    places = list(plan.places())
    cell = _source.packed(cheap.cell)
    for place in places[:3]:
        _task.work(str(tmp_path / "s"), plan.hash, cell, place)
    data = sweep.opened(tmp_path / "s")
    assert int(data.done.sum()) == sum(map(plan.cells, places[:3]))
    assert (data.loss.isel(member=0).notnull() == data.done).all()
    status = sweep.status(tmp_path / "s")
    assert (status.chunks, status.cells) == (3, int(data.done.sum()))
    assert sweep.resume(tmp_path / "s", executor=sweep.Here(), progress=False).data.done.all()


def _plan_only(folder):
    """A sweep that was begun, and nothing of it done."""
    asked = _run._asked(cheap.cell, cheap.AXES, {}, None, 0)
    return _run._begun(folder, _source.packed(cheap.cell), asked, 6, sweep.Here(), False)


def test_only_what_is_missing_is_made(tmp_path, monkeypatch):
    _here(tmp_path / "s")
    before = _bytes(tmp_path / "s")
    monkeypatch.setenv("SWEEP_LOG", str(tmp_path / "log"))
    _here(tmp_path / "s")
    assert not (tmp_path / "log").exists()
    (tmp_path / "s" / _disk.chunk_file(_disk.plan_of(tmp_path / "s"), "loss", (0, 0, 0))).unlink()
    sweep.resume(tmp_path / "s", executor=sweep.Here(), progress=False)
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert _bytes(tmp_path / "s") == before


def test_where_all_cells_of_one_shape_raise_the_others_go_on(tmp_path, capsys):
    def cell(width, *, depth, style="a"):
        if depth == 3 or (depth == 2 and style == "b"):
            raise RuntimeError("too deep")
        return {"loss": ("layer", width[:, None] * np.arange(1, depth + 1))}

    axes = {"width": [1.0, 2.0], "depth": [3, 1, 2], "style": ["a", "b"]}
    found = _here(tmp_path / "a", cell, axes)
    assert (
        "depth=3, style=a: cell raised for all 2 cells that were tried, first: RuntimeError"
        in capsys.readouterr().err
    )
    expected = np.full((2, 3, 2, 2), np.nan)
    expected[:, 1, :, 0] = [[1, 1], [2, 2]]
    expected[:, 2, 0] = [[1, 2], [2, 4]]
    np.testing.assert_array_equal(found.data.loss, expected)
    assert bool(found.data.done.all())
    raised = [name for name, why in found.failed.items() if "too deep" in why]
    assert len(raised) == 6
    assert all("depth=3" in each or "depth=2, style=b" in each for each in raised)
    with pytest.raises(ValueError, match="cell raised for all 2 cells that were tried"):
        _here(tmp_path / "b", cell, axes | {"depth": [3]})
    assert not (tmp_path / "b").exists()


def test_a_cell_that_raises_or_is_nan_is_recorded_and_the_rest_goes_on(tmp_path):
    axes = {"x": range(12), "y": [1.0, 2.0]}
    line = FILE.read_text().partition("    raise ValueError")[0].count("\n") + 1
    done = _here(tmp_path / "s", cheap.failing, axes)
    assert done.failed == {
        f"x={x}, y={y}": why
        for x, why in (
            (3, "loss is NaN"),
            (7, f"ValueError: seven is not to be had (line {line}, in failing)"),
        )
        for y in (1, 2)
    }
    assert done.data.done.all()
    assert done.data.loss.isnull().sum() == 4
    # Chunks with failed cells are tried again where that is asked for.
    again = sweep.resume(tmp_path / "s", executor=sweep.Here(), failed=True, progress=False)
    assert again.failed == done.failed


def test_chunks_of_nothing_but_nan_are_done_too(tmp_path):
    done = _here(
        tmp_path / "s", lambda x: {"more": x, "loss": np.full(len(x), np.nan)}, {"x": range(4)}, chunk=2
    )
    assert done.data.done.all()
    assert len(done.failed) == 4
    assert sweep.verified(tmp_path / "s", progress=False) == {}


def test_a_sweep_in_a_zip_file_opens(tmp_path):
    data = _here(tmp_path / "s").data
    sweep.zipped(tmp_path / "s", tmp_path / "s.zip")
    assert sweep.opened(tmp_path / "s.zip").identical(data)
    (tmp_path / "mine.zip").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="superpose did not write it"):
        sweep.zipped(tmp_path / "s", tmp_path / "mine.zip")


def test_shards_make_their_own_part_and_together_all(tmp_path):
    _here(tmp_path / "whole")
    plan = _plan_only(tmp_path / "s")
    for k in (1, 2, 3):
        sweep.resume(tmp_path / "s", shard=(k, 3), executor=sweep.Here(), progress=False)
        assert len(_disk.present(tmp_path / "s", plan)) == -(-plan.n_chunks * k // 3)
    assert _bytes(tmp_path / "s") == _bytes(tmp_path / "whole")


@pytest.mark.parametrize("what", ["flip", "truncate", "delete", "delete last"])
def test_a_damaged_chunk_is_named_and_made_again(tmp_path, what):
    _here(tmp_path / "s")
    before, plan = _bytes(tmp_path / "s"), _disk.plan_of(tmp_path / "s")
    for name in plan.variables:
        file = tmp_path / "s" / _disk.chunk_file(plan, name, (1, 0, 1))
        content = bytearray(file.read_bytes())
        if what == "flip":
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        elif what == "truncate":
            file.write_bytes(content[:-3])
        elif what == "delete" and name == plan.last:
            continue
        else:
            file.unlink()
        named = (
            {}
            if what == "delete last" or (not file.exists() and name == plan.last)
            else {str(file.relative_to(tmp_path / "s")): "missing" if "delete" in what else "damaged"}
        )
        assert sweep.verified(tmp_path / "s", progress=False) == named or what == "delete last"
        sweep.resume(tmp_path / "s", executor=sweep.Here(), progress=False)
        assert _bytes(tmp_path / "s") == before


def test_damaged_metadata_are_named_and_made_again(tmp_path):
    _here(tmp_path / "s")
    before, plan = _bytes(tmp_path / "s"), _disk.plan_of(tmp_path / "s")
    for name in _disk.metadata(plan):
        for harm in ("delete", "damage"):
            file = tmp_path / "s" / name
            file.unlink() if harm == "delete" else file.write_bytes(b"{]")
            wrong = sweep.verified(tmp_path / "s", progress=False)
            assert wrong == {name: "missing" if harm == "delete" else "damaged"}
            sweep.resume(tmp_path / "s", executor=sweep.Here(), progress=False)
            assert _bytes(tmp_path / "s") == before


def test_without_any_plan_nothing_is_touched(tmp_path):
    _here(tmp_path / "s")
    for name in (_disk.PLAN, "data.zarr/zarr.json"):
        (tmp_path / "s" / name).write_bytes(b"nothing")
    with pytest.raises(DamagedError, match=r"sweep.json is damaged"):
        sweep.resume(tmp_path / "s")


def test_another_sweep_is_not_put_where_one_is(tmp_path):
    _here(tmp_path / "s")
    for more, said in (
        ({"axes": cheap.AXES | {"y": [1.0]}}, "the axis y was 0.5, 1.5, 2.5 and is 1"),
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"seeds": 3}, "seeds was 2 and is 3"),
    ):
        with pytest.raises(ValueError, match=f"holds another sweep: {said}"):
            _here(tmp_path / "s", **more)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="superpose did not write"):
        _here(tmp_path / "mine")


def test_other_code_is_refused_unless_told(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(FILE.read_text())
    _here(tmp_path / "s", _source.loaded(file))
    file.write_text(FILE.read_text() + "\n# other\n")
    with pytest.raises(ValueError, match="the cell cell is other code"):
        sweep.resume(tmp_path / "s")
    assert sweep.resume(
        tmp_path / "s", other_code=True, executor=sweep.Here(), progress=False
    ).data.done.all()
    file.unlink()
    with pytest.raises(ValueError, match=r"mine.py is gone; give the cell 'cell'"):
        sweep.resume(tmp_path / "s")


def test_the_first_format_opens_and_goes_on(tmp_path):
    old = tmp_path / "s"
    shutil.copytree(Path(__file__).parent / "sweep-1", old)
    data = sweep.opened(old).load()
    assert float(data.loss.sel(x=3, y=1.5, n=3, member=1)) == 3 + 0.5 + 1
    assert bool(data.done.all())
    assert sweep.verified(old, progress=False) == {}
    plan, before = _disk.plan_of(old), _bytes(old)
    (old / _disk.chunk_file(plan, "loss", (0, 0, 0))).unlink()
    made = sweep.resume(old, _first, other_code=True, executor=sweep.Here(), progress=False)
    after = _bytes(old)
    (noted,) = {*after} - {*before}
    assert noted.startswith(_disk.OTHERS)
    assert {name: after[name] for name in before} == before
    assert made.data.attrs["other_code"] == sweep.status(old).other_code
    assert "the cell _first is other code" in sweep.status(old).other_code


def _first(x, y, *, n, seeds=2):
    return {
        "W": ("feature", np.sin(x[:, None] * np.arange(1, n + 1))),
        "loss": ("member", x[:, None] + y[:, None] / n + np.arange(seeds)),
    }


def _returning(made):
    return lambda x: {
        name: (each[0], np.ones((len(x), 1))) if isinstance(each, tuple) else x for name, each in made.items()
    }


def _positional(x, /):
    return {"loss": x}


def _clash(x):
    return {"loss": ("q", np.ones((len(x), 3))), "q": x}


def _raising(x):
    raise RuntimeError("no\nmore")


def test_an_infinite_loss_is_a_failed_cell(tmp_path):
    done = _here(tmp_path / "s", lambda x: {"loss": np.where(x < 0, np.inf, x)}, {"x": [-1.0, 1.0]})
    assert done.failed == {"x=-1": "loss is infinite"}


def test_a_cell_of_a_session_is_what_it_reads_there():
    k, table = 3, np.arange(4)

    def cell(x):
        return {"loss": k * x + table[0] + (lambda: factor)()}

    def hashed():
        return _source.source_of(cell).hash

    global factor
    factor = 1
    seen = [hashed()]
    assert hashed() == seen[0]
    k = 4
    seen.append(hashed())
    table = np.arange(1, 5)
    seen.append(hashed())
    factor = 2
    seen.append(hashed())
    assert len(set(seen)) == 4


factor = 1


def test_a_cell_may_import_what_is_beside_it(tmp_path):
    (tmp_path / "beside_me.py").write_text("import beside_that\nscale = beside_that.scale\n")
    (tmp_path / "beside_that.py").write_text("scale = 2.0\n")
    (tmp_path / "mine.py").write_text(
        "from beside_me import scale\ndef cell(x):\n    import beside_me\n    return {'loss': x * beside_me.scale * scale}\n"
    )
    cell = _source.loaded(tmp_path / "mine.py")
    with sweep.Pool(1) as pool:
        found = sweep.run(cell, {"x": [1.0, 2.0]}, tmp_path / "s", executor=pool, progress=False)
    assert found.data.loss.values.tolist() == [4.0, 8.0]
    before = _source.source_of(cell).hash
    (tmp_path / "beside_that.py").write_text("scale = 3.0\n")
    assert _source.source_of(cell).hash != before


def test_chunks_are_long_beside_what_a_call_costs():
    probed = _task.Probed({}, {}, once=6.0, each=0.01)
    assert 0.01 * _run._enough(probed, 10**6) >= 4 * 6
    assert _run._enough(probed, 30) >= 30
    cheap_cells = _task.Probed({}, {}, once=0.0, each=0.01)
    assert _run._enough(cheap_cells, 10**6) == pytest.approx(500)
    assert _run._enough(cheap_cells, 3200) == pytest.approx(100)


def test_what_a_call_costs_is_told_from_what_a_cell_does(monkeypatch):
    monkeypatch.setattr(_task, "LONG", 0.1)
    once = _source.packed(lambda x: time.sleep(0.3) or {"loss": x})
    each = _source.packed(lambda x: time.sleep(0.03 * len(x)) or {"loss": x})
    setting = _run._cells.Setting(("x",), None, 0)
    numbers = {"x": np.arange(10.0)}
    assert _task.probe(once, numbers, {}, setting, 1000).once == pytest.approx(0.3, rel=0.2)
    assert _task.probe(each, numbers, {}, setting, 1000).each == pytest.approx(0.03, rel=0.2)


def test_a_store_of_a_newer_format_is_refused(tmp_path):
    _here(tmp_path / "s")
    text = (tmp_path / "s" / _disk.PLAN).read_text()
    newer = json.loads(text)
    newer["plan"]["format"] = _plan.FORMAT + 1
    with pytest.raises(ValueError, match="is of format 2, which a newer superpose wrote"):
        _plan.read(json.dumps(newer))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda at: _here(at, axes={}), ValueError, "a sweep needs at least one axis"),
        (
            lambda at: _here(at, axes={"x": [1], "z": [1]}),
            ValueError,
            "cell has no argument z; it has x, y, n",
        ),
        (lambda at: _here(at, axes={"x": [1]}), ValueError, "cell needs y: give it as an axis"),
        (
            lambda at: _here(at, axes={**cheap.AXES, "x": ["a"]}),
            ValueError,
            "x has numbers, for many cells at once, got 'a'",
        ),
        (
            lambda at: _here(at, cheap.failing, {"x": [1], "y": [1]}, seeds=3),
            ValueError,
            "cell takes no seeds",
        ),
        (lambda at: _here(at, seeds=0), ValueError, "seeds must be a whole number of at least 1"),
        (lambda at: _here(at, lambda *x: 0), TypeError, "cell must name its arguments"),
        (lambda at: _here(at, lambda x: x, {"x": [1]}), TypeError, "cell must return arrays by name"),
        (lambda at: _here(at, lambda x: {"loss": 1.0}, {"x": [1]}), ValueError, "loss has the shape"),
        (lambda at: _here(at, lambda x: {}, {"x": [1]}), ValueError, "cell returned nothing"),
        (lambda at: _here(at, axes={"done": [1]}), ValueError, "an axis cannot be called done"),
        (
            lambda at: _here(at, lambda loss: {"loss": loss}, {"loss": [1]}),
            ValueError,
            "cell returns loss, which is an axis, too",
        ),
        (lambda at: _axes.as_axes([1, 2]), TypeError, "axes must be values by name"),
        (lambda at: _here(at, axes={"x": [[1, 2], [3]]}), ValueError, "values of x must be numbers or words"),
        (lambda at: _here(at, axes={"x": [10**23, 1]}), ValueError, "whole numbers of x must be within"),
        (lambda at: _here(at, axes={"x y": [1]}), ValueError, "an axis has a name like a Python argument"),
        (lambda at: _here(at, chunk=0), ValueError, "chunk must be at least 1 cell"),
        (lambda at: _here(at, _positional, {"x": [1]}), TypeError, "x is before a /"),
        (
            lambda at: _here(at, _returning({"done": 1}), {"x": [1]}),
            ValueError,
            "a variable cannot be called done",
        ),
        (lambda at: _here(at, _returning({1: 1}), {"x": [1]}), ValueError, "a variable has a name like"),
        (lambda at: _here(at, _returning({"a/b": 1}), {"x": [1]}), ValueError, "a variable has a name like"),
        (
            lambda at: _here(at, _returning({"loss": ("a.b", 1)}), {"x": [1]}),
            ValueError,
            "an axis of loss has",
        ),
        (
            lambda at: _here(at, _clash, {"x": [1]}),
            ValueError,
            "cell returned q as a variable and as an axis",
        ),
        (
            lambda at: _here(at, _raising, {"x": [1, 2]}),
            ValueError,
            r"all 2 cells .*: RuntimeError: no \(line",
        ),
        (lambda at: _here(at, cheap.exiting, {"x": [1]}), ValueError, "cell raised .*: SystemExit: 3"),
        (
            lambda at: _here(at, cheap.cell, {"x": range(10**6), "y": range(10**6), "n": [2]}),
            MemoryError,
            "1e.12 cells",
        ),
        (lambda at: sweep.Pool(0), ValueError, "workers must be at least 1"),
        (lambda at: sweep.Pool(1, np.nan), ValueError, "timeout must be above 0 seconds"),
        (lambda at: sweep.Pool(1, -1), ValueError, "timeout must be above 0 seconds"),
        (lambda at: sweep.resume(at), FileNotFoundError, "holds no sweep"),
        (lambda at: sweep.solved(len, len, keep="some"), ValueError, "keep must be best or all"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, call, error, said):
    with pytest.raises(error, match=said):
        call(tmp_path / "s")
    assert not (tmp_path / "s").exists() or not any((tmp_path / "s").iterdir())


def _bytes(folder):
    """Every file of a sweep, but for the plan, which says when and where."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


MODULES = """
import equinox as eqx
import jax.numpy as jnp
from beside import scale

class Times(eqx.Module):
    factor: float
    def __call__(self, x):
        return self.factor * x

def cell(x):
    return {"loss": eqx.filter_vmap(Times(scale))(jnp.asarray(x))}
"""


def test_a_file_may_have_modules_of_equinox_and_workers_need_no_such_file(tmp_path):
    (tmp_path / "beside.py").write_text("scale = 3.0\n")
    (tmp_path / "mine.py").write_text(MODULES)
    cell = _source.loaded(tmp_path / "mine.py")
    sent = _source.packed(cell)
    for name in ("beside.py", "mine.py"):  # as on another machine
        (tmp_path / name).unlink()
    told = "import sys, pathlib\nfrom superpose.sweep import _source\nprint(_source.unpacked(pathlib.Path('sent').read_bytes())([2.0])['loss'])"
    (tmp_path / "sent").write_bytes(sent)
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[6.]"


def test_a_module_of_equinox_in_a_session_is_refused():
    class Mine(eqx.Module):
        x: float

    with pytest.raises(TypeError, match="Mine is a class of Equinox that was made in a session"):
        _source.packed(lambda x: {"loss": Mine(1.0).x * x})


def test_an_error_that_cannot_be_sent_is_told_all_the_same(tmp_path):
    class OddError(TypeError):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def cell(x, *, kind="good"):
        if kind == "bad":
            raise OddError("this", "that")
        return {"loss": x}

    with sweep.Pool(1) as pool:
        found = sweep.run(
            cell, {"x": [1.0, 2.0], "kind": ["good", "bad"]}, tmp_path / "s", executor=pool, progress=False
        )
    assert found.data.loss.sel(kind="good").values.tolist() == [1, 2]
    assert all("OddError: this and that" in why for why in found.failed.values())
    assert len(found.failed) == 2
    assert "OddError: this and that" in found._repr_html_()


@pytest.mark.parametrize(("start", "stop", "n"), [(1, 0.01, 12), (0.001, 1, 7)])
def test_spaced_values_are_the_bits_of_numpys(start, stop, n):
    for name in ("geomspace", "linspace"):
        assert sweep.parsed(f"a={name}({start},{stop},{n})")[1] == tuple(
            getattr(np, name)(start, stop, n).tolist()
        )


@pytest.mark.parametrize("chunk", [None, 5])
def test_only_the_first_and_the_last_shape_are_timed(chunk, tmp_path):
    def cell(x, *, k, log):
        if k == 1:
            raise ValueError("not this")
        with open(log, "a") as file:
            file.write(f"{k}: {len(x)}\n")
        return {"loss": x * k}

    asked = _run._asked(cell, {"x": range(100), "k": [1, 2, 3, 4]}, {"log": str(tmp_path / "log")}, None, 0)
    found = _run._probed(_source.packed(cell), asked, ["k"], chunk, sweep.Here(), False)
    assert [group for (group,) in found] == [2, 3, 4]
    tried = ["2: 1", "3: 1"] + (["4: 1"] if chunk else ["4: 8", "4: 8"])
    assert (tmp_path / "log").read_text().splitlines() == tried
    # Where neither of them can be, another is.
    asked = asked | {"axes": asked["axes"] | {"k": (1, 3, 1)}}
    (tmp_path / "log").unlink()
    found = _run._probed(_source.packed(cell), asked, ["k"], chunk, sweep.Here(), False)
    assert (tmp_path / "log").read_text().splitlines() == ["3: 1"] + ([] if chunk else ["3: 8", "3: 8"])
