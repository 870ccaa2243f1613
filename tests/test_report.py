"""The pages of `superpose reproduce --quick`: what is on them, and that every claim holds."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from told import law_of, numbers

from superpose import explorer, store
from superpose.explorer import _data
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.papers import experiments, papers

ALL = list(experiments())


@pytest.fixture(scope="module")
def folder(request, tmp_path_factory):
    """All experiments in their small version: a few minutes, unless `--report` names one that is there."""
    given = request.config.getoption("--report")
    if not given:
        pytest.skip("needs --report, a folder that `superpose reproduce --quick` wrote")
    return Path(given)


@pytest.fixture(scope="module")
def told(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def _dataset(folder, name):
    return store.load(folder / "results" / name)


def test_every_experiment_is_on_the_page(folder, told):
    assert [each["name"] for each in told["experiments"]] == ALL
    assert not any(each["error"] for each in told["experiments"])


def test_every_claim_that_means_something_at_this_size_holds(told):
    missed = [
        f"{each['name']}: {claim['id']}: {claim['measured']}, not {claim['expected']}"
        for each in told["experiments"]
        for claim in each["claims"]
        if claim["status"] == "fails"
    ]
    assert not missed
    meant = [claim["quick"] for each in told["experiments"] for claim in each["claims"]]
    assert sum(meant) > len(meant) / 2


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.fetched, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.fetched += [found["src"]] if "src" in found else []
        if tag not in ("meta", "img", "i"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "i" and tag in self.open:
            while self.open.pop() != tag:
                pass


def test_pages_need_no_other_file_and_their_links_lead_somewhere(folder, told):
    pages = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.html")}
    read = {name: _Page(text) for name, text in pages.items()}
    assert {*pages} == {"index.html", *(f"{name}.html" for name in papers())}
    for name, page in read.items():
        assert len(set(page.ids)) == len(page.ids)
        assert all(source.startswith("data:") for source in page.fetched)
        assert "url(http" not in pages[name]
        assert len(pages[name]) < 25e6
        for link in page.links:
            file, _, place = link.partition("#")
            if not link.startswith("https:"):
                assert not place or place in read[file or name].ids
    for each in experiments().values():
        assert each.name in read[f"{each.paper.name}.html"].ids
    assert f"<b>{told['score']['holds']}</b>" in pages["index.html"]


@pytest.mark.parametrize("name", ALL)
def test_the_explorer_shows_every_result_and_knows_the_worlds_of_its_models(folder, name):
    told = _data.described(folder / "results" / name)
    assert told["experiment"] == name
    assert told["claims"]
    assert 10_000 < len(told["figure"]) < 400_000
    assert len(json.dumps(told)) < 2_000_000
    assert bool(told["groups"]) == ("W" in _dataset(folder, name))
    for group in told["groups"]:
        if group["world"] and group["layer"] == "linear" and group["feature"] <= 20:
            where = {axis["name"]: len(axis["values"]) // 2 for axis in group["axes"]}
            W, b, loss = (numbers(group[part])[tuple(where.values())] for part in ("W", "b", "loss"))
            found = Population(law_of(group, where))(
                ReluOutput(W, b, activation=_ACTIVATIONS[group["output"]]), 0
            )
            np.testing.assert_allclose(found, loss, rtol=0.02)  # some are sampled


@pytest.mark.parametrize("name", ALL)
def test_the_explorers_page_of_every_result_opens(folder, name, browser, tmp_path):
    tab, wrong = browser.new_page(), []
    tab.on(
        "console",
        lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None,
    )
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
    tab.goto(explorer.written(tmp_path / "page.html", folder / "results" / name).as_uri())
    tab.get_by_role("heading", name=name, exact=True).wait_for(timeout=10_000)
    assert tab.evaluate("Promise.all([...document.images].map((image) => image.decode())).then(() => true)")
    claims = json.loads((folder / "results" / name / "claims.json").read_text(encoding="utf-8"))
    assert tab.locator("tbody tr:visible").count() == len(claims)
    tab.close()
    assert not wrong


_ACTIVATIONS = {"relu": "relu", "linear": "identity"}
