"""The explorer's page: one file that nothing can get out of, with whatever a result holds in it."""

import base64
import hashlib
import json
import os
import re
import sys
import webbrowser
from html.parser import HTMLParser
from pathlib import Path

import jax
import node
import numpy as np
import pytest
import xarray as xr
from told import law_of, numbers

import superpose
from superpose import explorer, features, grid, models, sources, store, sweep, train
from superpose.cli import main
from superpose.explorer import _data
from superpose.losses import Population

FOLDER, OLD = Path(explorer.__file__).parent, Path(__file__).parent / "result-0.1"
LEAD = ("density", "member")
HOSTILE = "</script><script>alert(1)</script><!-- \" ' & \u2028 \udcff ]]>"


def _dataset(densities=(1.0, 0.3, 0.1), members=4, hidden=2, n=3, **more):
    """Models whose loss says which they are."""
    lead = {"density": np.array(densities), "member": np.arange(members)}
    loss = np.arange(len(densities) * members, dtype=float).reshape(len(densities), members)
    W = loss[..., None, None] + np.arange(hidden * n).reshape(hidden, n) / 100
    variables = {
        "W": ((*LEAD, "hidden", "feature"), W),
        "b": ((*LEAD, "feature"), -W[:, :, 0]),
        "loss": (LEAD, -loss),
    }
    return xr.Dataset(variables | more, lead)


class _Page(HTMLParser):
    """The tags of a page, and the text of each script and style."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open = dict(attrs).get("id", tag) if tag in ("script", "style") else ""

    def handle_endtag(self, tag):
        self.open = ""

    def handle_data(self, data):
        if self.open:
            self.texts[self.open] = self.texts.get(self.open, "") + data

    @property
    def policy(self):
        (said,) = [attrs["content"] for tag, attrs in self.tags if "http-equiv" in attrs]
        return dict(part.strip().split(" ", 1) for part in said.split(";"))


def _told(page):
    return json.loads(_Page(page).texts["result"])


# The file.


def test_the_page_is_one_file_of_at_most_300_kb():
    text = explorer.page()
    page = _Page(text)
    assert len(text.encode()) <= 300_000
    assert not [
        attrs for tag, attrs in page.tags if "src" in attrs or tag in ("link", "iframe", "object", "embed")
    ]
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not re.search(r"@import|url\((?!['\"]?data:)", page.texts["style"])
    addresses = re.findall(r"""(.{9})https?://([^/"'`\s<]*)""", text)
    links = {
        "www.w3.org",
        *(host for before, host in addresses if before.endswith(('href="', 'href: "', 'link: "'))),
    }
    assert {host for _, host in addresses} <= links


def test_no_event_handler_and_no_style_stands_in_a_tag():
    assert not [
        (tag, name)
        for tag, attrs in _Page(explorer.page()).tags
        for name in attrs
        if name == "style" or name.startswith("on")
    ]


def test_the_policy_allows_the_pages_own_code_and_style_and_no_network():
    page = _Page(explorer.page(_dataset()))
    hashes = {
        name: f"'sha256-{base64.b64encode(hashlib.sha256(page.texts[name].encode()).digest()).decode()}'"
        for name in ("code", "style")
    }
    assert page.policy == {
        "default-src": "'none'",
        "script-src": hashes["code"],
        "style-src": hashes["style"],
        "img-src": "data: blob:",
        "worker-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # A policy counts for what comes after it.
    assert [tag for tag, _ in page.tags[:6]] == ["html", "head", "meta", "meta", "meta", "meta"]


def test_every_module_is_part_of_the_page():
    files = {path.stem for path in FOLDER.glob("*.js")} - {"widget"}
    assert sorted(files) == sorted(explorer.MODULES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('import { a as c } from "./a.js";\n', "import { a as c }"),
        ('import a from "./a.js";\n', "import a from"),
        ('import * as a from "./a.js";\n', "import * as"),
        ('import { a } from "./a.js"; const b = 1;\n', "import { a }"),
        ('import { c } from "./c.js";\n', "b.js imports c.js, which does not come before it"),
        ('import { b } from "./b.js";\n', "b.js imports b.js, which does not come before it"),
        ("export default 1;\n", "export default"),
        ("export { b };\n", "export { b }"),
        ("  export const b = 1;\n", "export const"),
        ('const b = import("./a.js");\n', "import("),
        ("const b = import.meta.url;\n", "import."),
        ("const b = '</script>';\n", "</script"),
        ("const b = '<!--';\n", "<!--"),
        ("function a() {}\n", "b.js and a.js both have a a"),
        ("export class a {}\n", "b.js and a.js both have a a"),
        ("const b = `\n// no comment\n`;\n", "looks like a comment, but is in a template"),
    ],
)
def test_a_module_that_cannot_be_joined_is_named(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        explorer.joined({"a": "export const a = 1;\n", "b": text, "c": ""})


def test_modules_are_joined_as_they_would_run():
    texts = {
        "a": "// A comment.\n/** @type {number} */\nexport let a = 1; // stays\n\n/**\n * Two lines.\n */\n"
        "export async function b() {\n  // Inside.\n  return `${a}\n`;\n}\n",
        "c": 'import {\n  a,\n  b,\n} from "./a.js";\nexport { a } from "./a.js";\nexport class C {}\n'
        'const d = /** @type {import("./a.js").A} */ (a);\nb().then((text) => console.log(text, d));\n',
    }
    joined = explorer.joined(texts)
    assert "comment" not in joined
    assert "Inside" not in joined
    assert "// stays" in joined
    code = "const { log } = console, said = []; console.log = (...words) => said.push(words.join(' ')); (0, eval)(data);"
    assert node.run(f"{code} await new Promise(setTimeout); console.log = log; send(said);", joined) == [
        "1\n 1"
    ]


# What it is told.


def test_models_stand_in_the_page_on_their_axes_with_all_their_digits():
    data = _dataset()
    told = _told(explorer.page(data))
    (group,) = told["groups"]
    assert told["version"] == 1
    assert group["axes"] == [
        {"name": "density", "values": [1.0, 0.3, 0.1]},
        {"name": "member", "values": [0, 1, 2, 3]},
    ]
    for name in ("W", "b", "loss"):
        np.testing.assert_array_equal(numbers(group[name]), data[name].values)
    assert (group["hidden"], group["feature"], group["output"], group["layer"]) == (2, 3, "relu", "linear")


def test_axes_may_come_in_any_order_and_weights_in_single_precision():
    data = _dataset().transpose("feature", "member", "hidden", "density").astype(np.float32)
    (group,) = _data.described(data)["groups"]
    assert [axis["name"] for axis in group["axes"]] == ["member", "density"]
    assert group["W"]["dtype"] == "float32"
    assert group["W"]["shape"] == [4, 3, 2, 3]
    np.testing.assert_array_equal(numbers(group["loss"]), data.loss.transpose("member", "density"))


def test_missing_and_infinite_numbers_are_kept():
    data = _dataset(densities=(0.1, np.nan, np.inf))
    data.W[0, 0, 0] = np.array([np.nan, np.inf, -np.inf])
    data.loss[0, 0] = np.nan
    (group,) = _told(explorer.page(data))["groups"]
    np.testing.assert_array_equal(numbers(group["W"]), data.W.values)
    np.testing.assert_array_equal(numbers(group["loss"]), data.loss.values)
    assert group["axes"][0]["values"] == ["0.1", "nan", "inf"]


def test_a_model_that_was_lost_is_no_padding():
    data = _dataset()
    data.W[1], data.W[0, 2] = np.nan, np.nan
    (group,) = _data.described(data)["groups"]
    np.testing.assert_array_equal(numbers(group["W"]), data.W.values)


def test_models_of_several_sizes_are_taken_apart():
    sizes = {"2-in-1": _dataset(hidden=1, n=2), "5-in-2": _dataset(hidden=2, n=5, members=7)}
    both = grid.stacked(sizes, "size")
    groups = _data.described(grid.stacked({3: both, 4: both * 2}, "law"))["groups"]
    assert [(each["name"], each["hidden"], each["feature"]) for each in groups] == [
        ("2-in-1", 1, 2),
        ("5-in-2", 2, 5),
    ]
    for each, data in zip(groups, sizes.values(), strict=True):
        assert [axis["name"] for axis in each["axes"]] == ["law", "density", "member"]
        for name in ("W", "b", "loss"):
            np.testing.assert_array_equal(numbers(each[name])[0], data[name].values)
    (one,) = _data.described(both, at={"size": "2-in-1", "member": 2})["groups"]
    np.testing.assert_array_equal(numbers(one["W"]), sizes["2-in-1"].W.isel(member=2).values)


def test_names_with_markup_stay_names():
    page = explorer.page(
        _dataset()
        .rename(density=HOSTILE)
        .assign({HOSTILE + "x": 1.0})
        .assign_coords(word=("feature", [HOSTILE, "a" * 10_000, "c"]))
        .assign_attrs(title=HOSTILE, features=HOSTILE, activation=HOSTILE)
    )
    told, plain = _told(page), _Page(explorer.page())
    assert told["title"] == told["groups"][0]["axes"][0]["name"] == HOSTILE
    assert told["groups"][0]["features"] == [HOSTILE, "a" * 80, "c"]
    assert [tag for tag, _ in _Page(page).tags].count("script") == 1 + [tag for tag, _ in plain.tags].count(
        "script"
    )
    assert not set("<>&\u2028\udcff") & set(_Page(page).texts["result"])


def test_too_many_models_are_reduced_to_the_best_members():
    data = _dataset(densities=np.linspace(0.01, 1, 40), members=2500, hidden=9, n=10)
    told = _data.described(data)
    assert data.W.size == 9_000_000
    assert told["shown"] == "All members are too much for a page: shown is the best of 2500 at each point."
    (group,) = told["groups"]
    assert [axis["name"] for axis in group["axes"]] == ["density"]
    np.testing.assert_array_equal(numbers(group["W"]), data.W.isel(member=-1).values)


def test_ten_million_numbers_are_refused_in_one_line_that_says_what_to_do(tmp_path, capsys):
    data = xr.Dataset(
        {"W": (("step", "hidden", "feature"), np.zeros((1000, 100, 100)))}, {"step": np.arange(1000)}
    )
    said = "the models have 10,000,000 numbers, and a page holds 4,000,000; choose some of step (1000 values), such as "
    with pytest.raises(ValueError, match=re.escape(said + "--at step=0")):
        _data.described(data)
    store.save(data, tmp_path / "large.zarr")
    view = ["view", str(tmp_path / "large.zarr"), "--no-open", "--out", str(tmp_path / "page.html")]
    assert main(view) == 2
    assert capsys.readouterr().err == f"superpose: {said}--at step=0\n"
    assert main([*view, "--at", "step=700.2"]) == 0
    assert _told((tmp_path / "page.html").read_text(encoding="utf-8"))["groups"][0]["W"]["shape"] == [
        100,
        100,
    ]


def test_ten_thousand_models_are_all_there():
    data = _dataset(densities=np.linspace(0.01, 1, 100), members=100, hidden=2, n=5)
    told = _told(explorer.page(data))
    assert told["shown"] == ""
    assert told["groups"][0]["W"]["shape"] == [100, 100, 2, 5]


@pytest.mark.parametrize(
    ("at", "member"), [({"density": 0.12, "member": 3}, (2, 3)), ({"member": "2", "density": "1"}, (0, 2))]
)
def test_the_nearest_model_is_chosen(at, member):
    data = _dataset()
    (group,) = _data.described(data, at=at)["groups"]
    assert group["axes"] == []
    np.testing.assert_array_equal(numbers(group["W"]), data.W.values[member])
    assert numbers(group["world"]["density"]["array"]) == data.density.values[member[0]]


# The world.


def test_the_world_is_what_the_data_say_and_what_is_assumed_is_said():
    data = _dataset()
    world = _data.described(data)["groups"][0]["world"]
    assert (world["kind"], world["values"], world["sizes"]) == ("independent", "uniform", [1, 1, 1])
    assert world["density"]["axes"] == ["density"]
    assert world["assumed"] == ["importance", "features", "values"]
    said = {
        "features": "independent",
        "values": "signed",
        "activation": "identity",
        "hidden_activation": "relu",
    }
    importance = xr.DataArray(np.ones((3, 3)), dims=("feature", "density"))
    (group,) = _data.described(data.assign(importance=importance).assign_attrs(said))["groups"]
    assert (group["output"], group["layer"], group["world"]["values"]) == ("linear", "relu", "signed")
    assert group["world"]["importance"]["axes"] == ["density", "feature"]
    assert group["world"]["assumed"] == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (_dataset().drop_vars("b"), "it has no biases"),
        (_dataset(hidden_bias=((*LEAD, "hidden"), np.ones((3, 4, 2)))), "it has a hidden bias"),
        (
            _dataset(W_out=((*LEAD, "feature", "hidden"), np.ones((3, 4, 3, 2)))),
            "its output weights are its own",
        ),
        (_dataset().assign_attrs(activation="gelu"), "its output is gelu"),
        (_dataset().assign_attrs(hidden_activation="tanh"), "its hidden layer is tanh"),
        (_dataset().assign_attrs(target="abs"), "what it should give is abs"),
        (_dataset().assign_attrs(features="empirical"), "its features are empirical"),
        (_dataset().assign_attrs(values="Exponential()"), "its features' values are Exponential()"),
        (_dataset().assign_attrs(features="correlated"), "nothing says which features are in which set"),
        (
            _dataset().assign_attrs(features="correlated", sizes=[2, 2]),
            "nothing says which features are in which set",
        ),
        (
            _dataset().rename(density="density_of"),
            "nothing says how dense its features are; show(models, features=world) does",
        ),
    ],
)
def test_why_models_cannot_go_on_training_is_said(data, why):
    (group,) = _data.described(data)["groups"]
    assert (group["world"], group["why"]) == (None, why)


@pytest.mark.parametrize(
    "law",
    [
        lambda p: features.Independent(p, 0.9 ** np.arange(4)),
        lambda p: features.Correlated(p, (2, 2), value=superpose.values.Uniform(-1, 1)),
        lambda p: features.Anticorrelated(p, (2, 1, 1), value=superpose.values.Binary()),
    ],
)
def test_solved_models_go_on_in_the_world_that_they_came_from(law):
    laws = grid.each(law, [0.5, 0.2])
    importance = ("feature", np.asarray(law(0.5).importance))
    data = grid.solved(
        lambda key: models.ReluOutput.init(4, 2, key=key),
        lambda density: Population(law(density)),
        {"density": [0.5, 0.2]}, members=1, key=0, evaluations=5, progress=False,
    ).assign(importance=importance)  # fmt: skip
    told = _data.described(data)["groups"][0]
    flat = models.ReluOutput(data.W.values[:, 0], data.b.values[:, 0])
    given = _data.described(train.Fit(flat, data.loss.values, np.array([1]), None), features=laws)["groups"][
        0
    ]
    for at in (0, 1):
        for group, where in ((told, {"density": at, "member": 0}), (given, {"member": at})):
            model = models.ReluOutput(
                numbers(group["W"])[tuple(where.values())], numbers(group["b"])[tuple(where.values())]
            )
            found = Population(law_of(group, where))(model, 0)
            np.testing.assert_allclose(found, data.loss.values[at, 0], rtol=1e-9)


# Where models come from.


def test_a_sweep_is_its_models_whatever_their_shapes(tmp_path):
    cell = sweep.solved(
        lambda key, *, hidden=2: models.ReluOutput.init(4, hidden, key=key),
        lambda density: Population(features.Independent(density, n_features=4)),
        evaluations=5,
    )
    axes = {"density": [0.5, 0.2], "hidden": [1, 2]}
    sweep.run(cell, axes, tmp_path / "s", seeds=2, chunk=1, executor=sweep.Here(), progress=False)
    sweep.zipped(tmp_path / "s", tmp_path / "s.zip")
    model = sweep.select(tmp_path / "s", density=0.2, hidden=1)
    for place in ("s", "s.zip"):
        data, about = sources.found(tmp_path / place)
        assert about["title"] == "s"
        one, two = _data.described(data)["groups"]
        assert (one["W"]["shape"][-2:], two["W"]["shape"][-2:]) == ([1, 4], [2, 4])
        W = numbers(one["W"]).reshape(2, 1, 4)[1]
        np.testing.assert_array_equal(W, model.W)
        assert one["world"] is not None
    # One that is not done.
    chunks = [*(tmp_path / "s" / "data.zarr").glob("*/c/1/1")]
    for file in [file for chunk in chunks for file in (chunk, *chunk.rglob("*")) if file.is_file()]:
        file.unlink()
    there = _data.described(sources.found(tmp_path / "s")[0])["groups"]
    W = np.concatenate([numbers(group["W"]).ravel() for group in there])
    assert np.isfinite(W).all()
    assert W.size == 3 * 4 + 1 * 4  # hidden 1 twice, 2 once


def test_models_side_by_side_fits_and_minima_are_shown():
    several = train.ensemble(lambda key: models.Linear.init(5, 2, key=key), members=3, key=0)
    one = jax.tree.map(lambda leaf: leaf[0], several)
    loss = np.array([3.0, 1.0, 2.0])
    minimum = train.Minimum(several, loss, loss, np.zeros(3, int), np.ones(3, int), None)
    fit = train.Fit(several, np.stack([loss + 1, loss], axis=1), np.array([1, 2]), None)
    for given, axes in ((several, 1), (one, 0), (minimum, 1), (fit, 1)):
        told = _data.described(given)
        (group,) = told["groups"]
        assert [axis["name"] for axis in group["axes"]] == ["member"] * axes
        assert group["output"] == "linear"
        assert ("loss" in group) == isinstance(given, train.Minimum | train.Fit)
        assert told["title"] == "Your models"
    assert numbers(group["loss"]).tolist() == loss.tolist()
    mixture = models.Mixture.init(6, 2, experts=2, key=0)
    assert _data.described(mixture)["groups"][0]["layer"] == "mixture of experts"


def test_a_result_of_the_first_version_is_shown():
    told = _data.described(OLD)
    assert told == _data.described(OLD / "intro")
    assert told["experiment"] == "intro"
    assert told["paper"]["title"] == "Toy Models of Superposition"
    assert told["figure"].startswith("data:image/") or not (OLD / "intro" / "figure.png").exists()
    assert {claim["status"] for claim in told["claims"]} <= {"holds", "differs", "fails", "open"}
    assert all(claim["statement"] and claim["section"] and claim["source"] for claim in told["claims"])


def test_what_a_run_gave_is_shown_as_its_folder_is(tmp_path):
    ran = superpose.run("intro", densities=(0.5,), row=0, members=2, out=tmp_path)
    told, read = _data.described(ran), _data.described(str(tmp_path / "intro"))
    assert told["figure"].startswith("data:image/svg+xml;base64,")
    assert {**told, "figure": ""} == {**read, "figure": ""}
    assert told["settings"]["densities"] == [0.5]
    assert told["groups"][0]["world"]["assumed"] == []


def test_a_result_without_weights_shows_figure_and_claims(tmp_path):
    main(["run", "nonlinear-compression", "--quick", "--out", str(tmp_path)])
    told = _data.described(tmp_path)
    assert told["groups"] == []
    assert (
        told["shown"] == "This result keeps no weights: its figure and its claims are all there is to show."
    )
    assert told["claims"]
    assert told["figure"]


def test_datasets_of_other_programs_are_read(tmp_path):
    _dataset().to_netcdf(tmp_path / "mine.nc", engine="scipy")
    _dataset().to_zarr(tmp_path / "mine.zarr", consolidated=False)
    for name in ("mine.nc", "mine.zarr"):
        told = _data.described(tmp_path / name)
        assert told["title"] == name
        np.testing.assert_array_equal(numbers(told["groups"][0]["W"]), _dataset().W.values)


# Writing and opening it.


def test_a_page_is_replaced_and_nothing_else_is(tmp_path):
    file = tmp_path / "page.html"
    explorer.written(file)
    explorer.written(file, _dataset())
    assert 'id="result"' in file.read_text(encoding="utf-8")
    (tmp_path / "link.html").symlink_to(file)
    assert explorer.written(tmp_path / "link.html") == file
    assert 'id="result"' not in file.read_text(encoding="utf-8")
    mine = tmp_path / "mine.html"
    for text in ("", "mine", '<meta name="generator" content="jekyll">', "superpose"):
        mine.write_text(text, encoding="utf-8")
        with pytest.raises(FileExistsError, match="is there already, and superpose did not write it"):
            explorer.written(mine)
        assert mine.read_text(encoding="utf-8") == text
    with pytest.raises(IsADirectoryError, match="is a folder; give a file"):
        explorer.written(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["link.html", "mine.html", "page.html"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    file = tmp_path / "page.html"
    explorer.written(file)
    before = file.read_text(encoding="utf-8")

    def full(self, *_, **__):
        self.touch()
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*page\.html'"):
        explorer.written(file, _dataset())
    with pytest.raises(ValueError, match="data must have W"):
        explorer.written(file, xr.Dataset())
    assert file.read_text(encoding="utf-8") == before
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.fixture
def opened(monkeypatch):
    """What a browser was asked to open."""
    addresses = []
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    monkeypatch.setenv("DISPLAY", ":0")
    return addresses


def test_explore_writes_the_page_and_opens_it(opened, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["explore"]) == 0
    assert capsys.readouterr().out == "page: explorer.html\n"
    assert opened == [(tmp_path / "explorer.html").as_uri()]
    assert main(["explore", "--no-open", "--out", "other.html"]) == 0
    assert (tmp_path / "other.html").read_text(encoding="utf-8") == explorer.page()
    assert len(opened) == 1


def test_without_a_browser_the_place_of_the_page_is_said(opened, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert main(["view", str(OLD)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "page: explorer-result-0.1.html",
        "there is no browser here; open the page on any machine that has one",
    ]
    assert opened == []
    for command in ("view", "explore"):
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        assert "--no-open" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["explore", "now"], "now"),
        (["explore", "--ot", "x"], "there is no option --ot; did you mean --out?"),
        (["explore", "--out", "folder"], "folder is a folder; give a file"),
        (["explore", "--out", "mine.html"], "mine.html is there already, and superpose did not write it"),
        (
            ["explore", "--out", "absent/x.html"],
            "No such file or directory: absent/x.html; choose another --out",
        ),
        (["explore", "--out", "mine.html/x.html"], "Not a directory: mine.html/x.html; choose another --out"),
        (["explore", "--out", "x" * 300], "File name too long"),
        (["view"], "name a result: superpose view RESULT, such as results/intro"),
        (["view", "absent"], "absent is not there; give a result's or a sweep's folder, a .zarr or a .nc"),
        (["view", "folder"], "folder holds no result; give a result's or a sweep's folder"),
        (["view", "mine.html"], "mine.html cannot be read as a .zarr or .nc dataset"),
        (["view", "results"], "results holds 2 results; choose one, such as results/a: a, b"),
        (
            ["view", "old", "--at", "density"],
            "--at takes NAME=VALUE, such as density=0.1, once for an axis; got 'density'",
        ),
        (["view", "old", "--at", "density=1", "--at", "density=2"], "once for an axis; got 'density=2'"),
        (["view", "old", "--at", "desnity=1"], "there is no axis 'desnity'; did you mean density?"),
        (["view", "old", "--at", "density=x"], "density must be a number, got 'x'"),
        (["view", "old", "--at", "density=nan"], "density must be a number, got 'nan'"),
        (["view", "sizes.zarr", "--at", "size=smal"], "size is not 'smal' anywhere; did you mean 'small'?"),
        (["view", "flat.zarr"], "data must have W (..., hidden, feature), got loss"),
        (["view", "named.zarr"], "W must have the axes (..., hidden, feature), got (x, y)"),
        (["view", "text.zarr"], "W must be numbers, got"),
        (["view", "empty.zarr"], "W must have a model in it, got the shape (0, 2, 3)"),
    ],
)
def test_bad_input_is_refused_in_one_line(args, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine.html").write_text("mine", encoding="utf-8")
    (tmp_path / "old").symlink_to(OLD / "intro")
    for name in "ab":
        (tmp_path / "results" / name / "data.zarr").mkdir(parents=True)
    weights = {
        "flat": {"loss": 1.0},
        "named": {"W": (("x", "y"), np.ones((2, 2)))},
        "text": {"W": (("hidden", "feature"), np.full((2, 2), "a"))},
        "empty": {"W": (("member", "hidden", "feature"), np.ones((0, 2, 3)))},
        "sizes": {"W": (("size", "hidden", "feature"), np.ones((2, 2, 3))), "size": ["small", "large"]},
    }
    if args[1:] and args[1].endswith(".zarr"):
        store.save(xr.Dataset(weights[args[1].removesuffix(".zarr")]), tmp_path / args[1])
    before = sorted(os.listdir(tmp_path))
    assert main([*args, "--no-open"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("superpose: ")
    assert printed.err.count("\n") == 1
    assert said in printed.err
    assert sorted(os.listdir(tmp_path)) == before


# In notebooks and browsers. A page of two lines stands for the real one.

CODE = """"use strict";
if (typeof document === "undefined") postMessage("a Worker with " + 6 * 7);
else {
  const text = document.getElementById("code").textContent;
  const worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  worker.onmessage = ({ data }) => document.body.append(data);
  for (const forbidden of [() => eval("1"), () => fetch("data:,x"), () => parent.document.title]) {
    try {
      const got = forbidden();
      if (got?.catch) got.catch(() => document.body.append(" no network "));
      else document.body.append(" allowed ");
    } catch {
      document.body.append(" no ");
    }
  }
  addEventListener("message", ({ data }) => {
    document.body.append(` told ${data.hash} `);
    if (data.hash === "#ask") parent.postMessage({ superpose: "state", hash: "#answer" }, "*");
  });
}
"""


def _seen(tab, text):
    tab.wait_for_function("text => document.body.innerText.includes(text)", arg=text, timeout=10_000)
    return tab.inner_text("body")


def test_under_its_policy_the_page_runs_its_code_and_workers_and_nothing_else(browser, monkeypatch, tmp_path):
    monkeypatch.setattr(explorer, "_script", lambda: CODE)
    tab = browser.new_page()
    tab.goto(explorer.written(tmp_path / "page.html").as_uri())
    _seen(tab, "a Worker with 42")
    assert "allowed" not in _seen(tab, "no network").replace("allowed", "", 1)  # it is its own parent
    tab.close()


def test_in_a_notebooks_frame_the_page_runs_and_cannot_reach_the_notebook(browser, monkeypatch, tmp_path):
    monkeypatch.setattr(explorer, "_script", lambda: CODE)
    shown = explorer.show(_dataset(), height=300)
    assert repr(shown).startswith("the explorer, ")
    (tmp_path / "notebook.html").write_text(shown._repr_html_(), encoding="utf-8")
    tab = browser.new_page()
    tab.goto((tmp_path / "notebook.html").as_uri())
    assert tab.locator("iframe").bounding_box()["height"] == 300
    frame = tab.frame_locator("iframe").locator("body")
    frame.get_by_text("a Worker with 42").wait_for(timeout=10_000)
    frame.get_by_text("no network").wait_for(timeout=10_000)
    assert "allowed" not in frame.inner_text()
    tab.close()


def test_the_widget_and_python_tell_each_other_the_state(browser, monkeypatch):
    pytest.importorskip("anywidget")
    monkeypatch.setattr(explorer, "_script", lambda: CODE)
    widget = explorer.widget(_dataset(), state="#first", height=400)
    assert (widget.state, widget.height) == ("#first", 400)
    tab = browser.new_page()
    tab.evaluate(
        """async ({ esm, traits }) => {
        const module = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
        const calls = [];
        window.saved = 0;
        window.model = {
          get: (name) => traits[name],
          set: (name, value) => { traits[name] = value; calls.forEach((call) => call()); },
          on: (event, call) => calls.push(call),
          off: (event, call) => calls.splice(calls.indexOf(call), 1),
          save_changes: () => { window.saved += 1; },
        };
        window.leave = module.default.render({ model, el: document.body });
        }""",
        {
            "esm": str(widget._esm),
            "traits": {name: getattr(widget, name) for name in ("page", "state", "height", "sandbox")},
        },
    )
    body = tab.frame_locator("iframe").locator("body")
    body.get_by_text("told #first").wait_for(timeout=10_000)
    tab.evaluate("model.set('state', '#ask')")
    tab.wait_for_function("model.get('state') === '#answer' && saved === 1", timeout=10_000)
    tab.evaluate("window.postMessage({ superpose: 'state', hash: '#stranger' }, '*')")
    tab.wait_for_timeout(100)
    assert tab.evaluate("model.get('state')") == "#answer"
    assert "told #answer" not in body.inner_text()
    tab.evaluate("leave()")
    tab.close()


def test_without_anywidget_the_widget_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "superpose.explorer._widget", raising=False)
    with pytest.raises(ImportError, match=r'pip install "superpose\[widget\]"'):
        explorer.widget()
