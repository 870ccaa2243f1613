import json
import os
import re
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from superpose import store


@pytest.fixture
def small():
    return xr.Dataset(
        {"W": (("member", "hidden", "feature"), np.arange(12.0).reshape(2, 2, 3)), "ok": ("member", [True, False])},
        coords={"member": [0, 1]},
        attrs={"config": json.dumps({"seed": 0})},
    )  # fmt: skip


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _put(folder, text, *names):
    with store.replaced(folder) as new:
        for name in names or ("result", store.CONFIG):
            (new / name).write_text(text)


def test_a_dataset_comes_back_as_it_was_saved(small, tmp_path):
    store.save(small, tmp_path / "data.zarr")
    back = store.load(tmp_path / "data.zarr")
    xr.testing.assert_identical(back, small)
    assert back.W.dtype == np.float64
    assert back.ok.dtype == bool
    xr.testing.assert_identical(store.load(tmp_path), small)  # the result folder that holds it


def test_labels_come_back_as_they_were_saved(small, tmp_path):
    # As `grid.stacked` makes them.
    labeled = small.rename(member="size").assign_coords(size=["2 in 1", "3 in 2"])
    store.save(labeled, tmp_path / "data.zarr")
    assert store.load(tmp_path)["size"].values.tolist() == ["2 in 1", "3 in 2"]


def test_save_overwrites_nothing(small, tmp_path):
    store.save(small, tmp_path / "data.zarr")
    with pytest.raises(FileExistsError, match="exists already"):
        store.save(small * 2, tmp_path / "data.zarr")
    xr.testing.assert_identical(store.load(tmp_path), small)


def test_loading_nothing_says_so(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match="holds no dataset of superpose"):
            store.load(path)


def test_a_result_folder_is_made_with_the_folders_above_it(tmp_path):
    _put(tmp_path / "a" / "b", "first")
    assert (tmp_path / "a" / "b" / "result").read_text(encoding="utf-8") == "first"
    assert _names(tmp_path / "a") == ["b"]


def test_a_result_replaces_the_one_before_it_whole(tmp_path):
    _put(tmp_path / "r", "first")
    with store.replaced(tmp_path / "r") as new:
        (new / "result").write_text("second")
    assert _names(tmp_path) == ["r"]
    assert _names(tmp_path / "r") == ["result", store.MANIFEST]
    assert (tmp_path / "r" / "result").read_text(encoding="utf-8") == "second"


def test_the_old_result_stays_until_the_new_one_is_whole(tmp_path):
    _put(tmp_path / "r", "first")
    with store.replaced(tmp_path / "r") as new:
        (new / store.CONFIG).write_text("{}")
        assert (tmp_path / "r" / "result").read_text(encoding="utf-8") == "first"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_error_leaves_the_old_result_and_nothing_else(tmp_path, error):
    _put(tmp_path / "r", "first")
    with pytest.raises(error):
        _fail_halfway(tmp_path / "r", error)
    assert _names(tmp_path) == ["r"]
    assert (tmp_path / "r" / "result").read_text(encoding="utf-8") == "first"


def _fail_halfway(folder, error):
    with store.replaced(folder) as new:
        (new / "half").write_text("written")
        raise error


def test_an_error_leaves_no_folder_that_was_not_there(tmp_path):
    with pytest.raises(RuntimeError):
        _fail_halfway(tmp_path / "a" / "b" / "c", RuntimeError)
    assert _names(tmp_path) == []


def test_a_folder_with_something_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with (
        pytest.raises(FileExistsError, match="something that superpose did not write"),
        store.replaced(tmp_path),
    ):
        pytest.fail("it must not get this far")
    assert _names(tmp_path) == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "mine"


def test_a_file_in_the_way_is_refused_and_untouched(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError, match="is not a folder; choose another --out"):
            store.check_replaceable(path)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_an_empty_folder_may_be_replaced(tmp_path):
    (tmp_path / "r").mkdir()
    _put(tmp_path / "r", "first")
    assert (tmp_path / "r" / "result").read_text(encoding="utf-8") == "first"


def test_a_result_folder_has_the_permissions_of_any_new_folder(tmp_path):
    _put(tmp_path / "r", "first")
    (tmp_path / "other").mkdir()
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("r", "other")]
    assert modes[0] == modes[1]


def test_a_users_files_in_a_result_stay_where_they_are(tmp_path):
    r = tmp_path / "r"
    _put(r, "first")
    r.chmod(0o750)
    (r / "notes.txt").write_text("mine")
    (r / "sub" / "empty").mkdir(parents=True, mode=0o555)
    (r / "sub" / "link").symlink_to("../notes.txt")
    (r / "nowhere").symlink_to("absent")
    os.mkfifo(r / "pipe")
    before = (r / "notes.txt").stat()
    _put(r, "second")
    assert (r / "result").read_text() == "second"
    assert _names(tmp_path) == ["r"]
    assert _names(r) == ["config.json", "notes.txt", "nowhere", "pipe", "result", "sub", store.MANIFEST]
    assert (r / "notes.txt").stat().st_ino == before.st_ino
    assert stat.S_IMODE((r / "sub" / "empty").stat().st_mode) == 0o555
    assert (r / "sub" / "link").read_text() == "mine"
    assert (r / "nowhere").is_symlink()
    assert stat.S_IMODE(r.stat().st_mode) == 0o750


def _changed(path):
    path.write_text("annotated")


def _linked(path):
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def _made_a_folder(path):
    path.unlink()
    path.mkdir()
    (path / "mine").write_text("annotated")


@pytest.mark.parametrize("harm", [_changed, _linked, _made_a_folder])
def test_what_was_changed_since_is_set_aside_and_said(tmp_path, harm):
    _put(tmp_path / "r", "first")
    harm(tmp_path / "r" / "result")
    kept = tmp_path / "r" / "set-aside" / "result"
    with pytest.warns(
        UserWarning,
        match=r"result in .* is not known to be as superpose wrote it, so it is kept, in .*set-aside",
    ):
        _put(tmp_path / "r", "second")
    assert (tmp_path / "r" / "result").read_text() == "second"
    assert (
        kept.is_symlink()
        if harm is _linked
        else (kept / "mine" if kept.is_dir() else kept).read_text() == "annotated"
    )
    (tmp_path / "r" / "result").write_text("annotated again")
    with pytest.warns(UserWarning, match="set-aside-2"):
        _put(tmp_path / "r", "third")
    assert (tmp_path / "r" / "set-aside-2" / "result").read_text() == "annotated again"
    assert os.path.lexists(kept)


def test_a_users_file_that_appears_during_the_work_stays(tmp_path):
    with store.replaced(tmp_path / "r") as new:
        (new / "result").write_text("first")
        (tmp_path / "r").mkdir()
        (tmp_path / "r" / "result").write_text("mine")
        (tmp_path / "r" / "notes.txt").write_text("mine")
        warnings.simplefilter("ignore")
    assert (tmp_path / "r" / "result").read_text() == "first"
    assert (tmp_path / "r" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "r" / "set-aside" / "result").read_text() == "mine"


def _old(small, folder):
    """A result as version 0.1.0 wrote it at first."""
    folder.mkdir()
    made_from = {
        "config": {"seed": 0},
        "versions": {"superpose": "0.1.0", "jax": "1", "python": "3"},
        "code": "c",
    }
    for name, value in (("config", made_from | {"seconds": 1.0}), ("claims", []), ("notes", [])):
        (folder / f"{name}.json").write_text(json.dumps(value))
    small.to_zarr(folder / "data.zarr", consolidated=False)


def test_a_result_without_manifest_loads_and_nothing_of_it_is_lost(small, tmp_path):
    _old(small, tmp_path / "r")
    (tmp_path / "r" / "figure.png").write_text("annotated")
    xr.testing.assert_identical(store.load(tmp_path / "r"), small)
    (found,) = store.verified(tmp_path)
    assert (found.path, found.faults, found.checksums) == (tmp_path / "r", {}, False)
    with pytest.warns(UserWarning, match="set-aside"):
        _put(tmp_path / "r", "new", *_names(tmp_path / "r"))
    assert (tmp_path / "r" / "set-aside" / "figure.png").read_text() == "annotated"
    xr.testing.assert_identical(store.load(tmp_path / "r" / "set-aside"), small)


@pytest.mark.parametrize(
    "files",
    [
        {"config.json": '{"model_type": "bert"}', "thesis.tex": "mine"},
        {"config.json": "[]"},
        {"config.json": '{"config": 1, "versions": 2, "code": 3, "seconds": 4}'},
        {store.MANIFEST: "{}", "a": ""},
        {store.MANIFEST: json.dumps({"files": {"a": 1}}), "a": ""},
        {"data.zarr/zarr.json": "{}"},
        {".hidden": ""},
    ],
)
def test_a_folder_that_looks_like_a_result_is_refused_before_the_work(tmp_path, files):
    for name, text in files.items():
        (tmp_path / "r" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "r" / name).write_text(text)
    with pytest.raises(FileExistsError, match="superpose did not write"), store.replaced(tmp_path / "r"):
        pytest.fail("it must not get this far")
    assert {name: (tmp_path / "r" / name).read_text() for name in files} == files
    assert _names(tmp_path) == ["r"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "big").mkdir()
    (tmp_path / "r").symlink_to("big")
    _put(tmp_path / "r", "first")
    _put(tmp_path / "r", "second")
    assert (tmp_path / "r").is_symlink()
    assert (tmp_path / "big" / "result").read_text() == "second"
    assert _names(tmp_path) == ["big", "r"]


@pytest.mark.parametrize("at", ["r", "r/below"])
def test_a_link_to_nothing_is_refused_before_the_work(tmp_path, at):
    (tmp_path / "r").symlink_to(tmp_path / "absent")
    with (
        pytest.raises(FileNotFoundError, match=r"is a link to .*absent, which is not there"),
        store.replaced(tmp_path / at),
    ):
        pytest.fail("it must not get this far")
    assert _names(tmp_path) == ["r"]


@pytest.mark.parametrize(
    "place", [Path("/proc/r"), Path("/dev/null/r"), Path("x" * 300), Path("x" * 250 + "/x") / ("y" * 3900)]
)
def test_where_nothing_can_be_saved_is_known_before_the_work(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError), store.replaced(place):  # noqa: PT011
        pytest.fail("it must not get this far")
    assert _names(tmp_path) == []


@pytest.mark.parametrize("name", ["a[red]", "~", "a b::c", "\udcff", "100%", "{x}", "line\nline"])
def test_any_name_will_do(small, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with store.replaced(Path(name)) as new:
            store.save(small, new / "data.zarr")
    xr.testing.assert_identical(store.load(name), small)
    assert os.listdir() == [name]


def test_what_a_living_process_makes_is_left_alone(tmp_path):
    with store.replaced(tmp_path / "r") as new:
        store.recover(tmp_path)
        assert new.is_dir()
        _put(tmp_path / "other", "first")
        (new / "result").write_text("first")
    assert _names(tmp_path) == ["other", "r"]


def test_a_hidden_folder_of_the_users_is_left_alone(tmp_path):
    (tmp_path / ".superpose-mine").mkdir()
    (tmp_path / ".superpose-mine" / "lock").write_text("mine")
    _put(tmp_path / "r", "first")
    assert _names(tmp_path) == [".superpose-mine", "r"]


SCENARIOS = (
    ("second", "without_exchange", "together"),
    ("first", "without_links", "recovering", "pages", "failing", "interrupted", "full"),
)
"""What `kills.py` plays, in two processes side by side."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What it says: how many processes were killed of each scenario, or what went wrong."""
    run = [sys.executable, Path(__file__).with_name("kills.py")]
    paths = os.environ | {"PYTHONPATH": str(Path(store.__file__).parents[2])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": paths}
    playing = [
        subprocess.Popen([*run, tmp_path_factory.mktemp("kills"), *names], **pipes) for names in SCENARIOS
    ]
    return "".join(each.communicate(timeout=300)[0] for each in playing)


@pytest.mark.parametrize("name", [name for names in SCENARIOS for name in names])
def test_a_result_is_the_old_or_the_new_one_whatever_happens(killed, name):
    told = re.search(rf"^{name} (\d+)$", killed, re.MULTILINE)
    assert told, killed
    assert int(told[1]) >= {"full": 11, "together": 3}.get(name, 20)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A result with every kind of variable, in several chunks."""
    data = xr.Dataset(
        {
            "W": (("member", "feature"), np.random.default_rng(0).normal(size=(4, 3)), {}, {}),
            "zero": (("member",), np.zeros(4)),
            "ok": ("member", [True, False, True, False]),
            "number": ((), 3.0),
        },
        {"member": [0, 1, 2, 3], "feature": ["a", "bb", "ccc"]},
        {"config": json.dumps({"seed": 0})},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("result") / "r"
    with store.replaced(folder) as new:
        store.save(data, new / "data.zarr")
        for name in ("claims.json", "notes.json"):
            store.write_json([], new / name)
        for name in (store.CONFIG, store.PROVENANCE):
            store.write_json({}, new / name)
    return folder, data


def test_plain_xarray_opens_a_result_silently(result):
    folder, data = result
    for settings in ({}, {"consolidated": True}, {"consolidated": False}):
        with xr.open_zarr(folder / "data.zarr", **settings) as opened:
            xr.testing.assert_equal(opened.load(), data)
            assert opened.attrs == data.attrs


def _flip(path, byte, bit):
    raw = bytearray(path.read_bytes())
    raw[byte] ^= 1 << bit
    path.write_bytes(raw)


def _loaded(path, data):
    """Why it was not loaded, in one line; where it was, it is as it was saved."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = store.load(path)
    except store.DamagedError as error:
        (line,) = str(error).splitlines()
        return line
    xr.testing.assert_identical(found, data)
    return ""


def test_every_lost_file_of_a_dataset_is_noticed_and_named(result, tmp_path):
    folder, data = result
    for path in [path for path in (folder / "data.zarr").rglob("*") if path.is_file()]:
        shutil.copytree(folder, tmp_path / "r")
        lost = tmp_path / path.relative_to(folder.parent)
        lost.unlink()
        assert f"{lost} is missing; run the experiment again" in _loaded(tmp_path / "r", data)
        if lost.parent.name != "data.zarr":
            assert f"{lost} is missing" in _loaded(tmp_path / "r" / "data.zarr", data)
        shutil.rmtree(tmp_path / "r")
    shutil.copytree(folder, tmp_path / "r")
    shutil.rmtree(tmp_path / "r" / "data.zarr" / "zero")
    assert "zero/zarr.json is missing" in _loaded(tmp_path / "r" / "data.zarr", data)
    shutil.rmtree(tmp_path / "r" / "data.zarr")
    assert "is missing" in _loaded(tmp_path / "r", data)


def test_every_flipped_bit_of_a_dataset_is_noticed_and_named(result, tmp_path):
    folder, data = result
    random = np.random.default_rng(0)
    shutil.copytree(folder, tmp_path / "r")
    for path in [path for path in (tmp_path / "r" / "data.zarr").rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        for byte in random.choice(len(whole), min(len(whole), 2), replace=False):
            _flip(path, byte, random.integers(8))
            assert f"{path} is damaged" in _loaded(tmp_path / "r", data)
            # Alone, a store may load where what the file says is the same, such as another blank.
            told = _loaded(tmp_path / "r" / "data.zarr", data)
            assert f"{path} is damaged" in told if path.name != "zarr.json" else not told or str(path) in told
            path.write_bytes(whole)
    root = tmp_path / "r" / "data.zarr" / "zarr.json"
    whole = root.read_bytes()
    for byte in range(0, len(whole), 41):
        _flip(root, byte, byte % 7)
        assert f"{root} is damaged" in _loaded(root.parent, data)
        root.write_bytes(whole)


@pytest.mark.parametrize("text", ["", "[", "null", "3", "[" * 100_000, "\ud800"])
def test_other_files_that_are_damaged_are_said_and_the_data_load(result, tmp_path, text):
    folder, data = result
    shutil.copytree(folder, tmp_path / "r")
    (tmp_path / "r" / "claims.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "r" / "notes.json").unlink()
    with pytest.warns(
        UserWarning, match=r"claims.json is damaged, .*notes.json is missing; the data are whole"
    ):
        xr.testing.assert_identical(store.load(tmp_path / "r"), data)
    (found,) = store.verified(tmp_path / "r")
    assert found.faults == {"claims.json": "damaged", "notes.json": "missing"}


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("{")])
def test_a_manifest_that_is_lost_or_damaged_is_noticed(result, tmp_path, harm):
    shutil.copytree(result[0], tmp_path / "r")
    harm(tmp_path / "r" / store.MANIFEST)
    (found,) = store.verified(tmp_path)
    assert list(found.faults) == [store.MANIFEST, store.CONFIG][: len(found.faults)]
    with pytest.warns(UserWarning, match=store.MANIFEST):
        xr.testing.assert_identical(store.load(tmp_path / "r"), result[1])


def test_stores_of_others_load_and_are_not_called_damaged(small, tmp_path):
    small.attrs["sha256"] = "0" * 64
    for consolidated in (True, False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            small.to_zarr(tmp_path / f"{consolidated}.zarr", consolidated=consolidated)
        xr.testing.assert_identical(store.load(tmp_path / f"{consolidated}.zarr"), small)


def test_text_is_utf8_whatever_the_locale(tmp_path):
    store.write_json("\u2265 \udcff", tmp_path / "a.json")
    assert store.read_json(tmp_path / "a.json") == "\u2265 \udcff"
    readers = ("read_text(", "write_text(", "open(")
    package = Path(store.__file__).parents[1]
    for path in package.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if any(f".{reader})" in line.replace(" ", "") for reader in readers[:2]):
                pytest.fail(f"{path.name} reads or writes text in the locale's encoding: {line}")


def test_pages_take_the_place_of_pages_only(tmp_path):
    store.put({"index.html": "one"}, tmp_path / "a" / "b")
    store.put({"index.html": "two", "report.json": "2"}, tmp_path / "a" / "b")
    assert _names(tmp_path / "a" / "b") == ["index.html", "report.json", store.MANIFEST]
    assert (tmp_path / "a" / "b" / "index.html").read_text() == "two"
    for folder, name in ((tmp_path, "report.json"), (tmp_path, store.MANIFEST)):
        (folder / name).write_text("mine")
        with pytest.raises(FileExistsError, match=f"{name} .*move it away"):
            store.put({"index.html": "three", "report.json": "3"}, folder)
        assert _names(folder) == ["a", name]
        (folder / name).unlink()


def test_json_is_written_to_be_read(tmp_path):
    store.write_json({"a": [1, 2]}, tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": [1, 2]}
    assert text.endswith("\n")
    assert "\n  " in text
