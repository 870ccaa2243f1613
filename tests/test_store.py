import json
import os
import stat

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


def _put(folder, text):
    with store.replaced(folder) as new:
        (new / store.CONFIG).write_text("{}")
        (new / "result").write_text(text)


def test_a_dataset_comes_back_as_it_was_saved(small, tmp_path):
    store.save(small, tmp_path / "data.zarr")
    back = store.load(tmp_path / "data.zarr")
    xr.testing.assert_identical(back, small)
    assert back.W.dtype == np.float64
    assert back.ok.dtype == bool
    xr.testing.assert_identical(store.load(tmp_path), small)  # the result folder that holds it


def test_labels_come_back_as_they_were_saved(small, tmp_path):
    # As `sweep.stacked` makes them.
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
    assert (tmp_path / "a" / "b" / "result").read_text() == "first"
    assert _names(tmp_path / "a") == ["b"]


def test_a_result_replaces_the_one_before_it_whole(tmp_path):
    _put(tmp_path / "r", "first")
    (tmp_path / "r" / "extra").touch()
    _put(tmp_path / "r", "second")
    assert _names(tmp_path) == ["r"]
    assert _names(tmp_path / "r") == [store.CONFIG, "result"]
    assert (tmp_path / "r" / "result").read_text() == "second"


def test_the_old_result_stays_until_the_new_one_is_whole(tmp_path):
    _put(tmp_path / "r", "first")
    with store.replaced(tmp_path / "r") as new:
        (new / store.CONFIG).write_text("{}")
        assert new.parent == tmp_path
        assert (tmp_path / "r" / "result").read_text() == "first"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_error_leaves_the_old_result_and_nothing_else(tmp_path, error):
    _put(tmp_path / "r", "first")
    with pytest.raises(error):
        _fail_halfway(tmp_path / "r", error)
    assert _names(tmp_path) == ["r"]
    assert (tmp_path / "r" / "result").read_text() == "first"


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
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_file_in_the_way_is_refused_and_untouched(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError, match="is not a folder; choose another --out"):
            store.check_replaceable(path)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_may_be_replaced(tmp_path):
    (tmp_path / "r").mkdir()
    _put(tmp_path / "r", "first")
    assert (tmp_path / "r" / "result").read_text() == "first"


def test_a_result_folder_has_the_permissions_of_any_new_folder(tmp_path):
    _put(tmp_path / "r", "first")
    (tmp_path / "other").mkdir()
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("r", "other")]
    assert modes[0] == modes[1]


def test_json_is_written_to_be_read(tmp_path):
    store.write_json({"a": [1, 2]}, tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1, 2]}
    assert text.endswith("\n")
    assert "\n  " in text
