"""The explorer in a browser, used as a person would: what is seen, by mouse, keys and touch, in every size and color."""

import io
import json
import math
import re
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr

from superpose import explorer, theory
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import ensemble, minimize

LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
HOSTILE = "<b onclick=alert(1)>bold</b> & <script>alert(2)</script>"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    return explorer.written(tmp_path_factory.mktemp("page") / "explorer.html").as_uri()


@pytest.fixture
def visit(browser, page_file):
    """Opens the page at a link, without motion unless it is asked for. In the end, none of the pages visited has said
    anything on its console, or asked for anything but itself."""
    contexts, wrong = [], []

    def asked(request):
        if not request.url.startswith(("blob:", "data:", page_file.rsplit("/", 2)[0])):
            wrong.append(request.url)

    def visit(link="", file=page_file, **how):
        usual = {"viewport": LAPTOP, "reduced_motion": "reduce", "color_scheme": "light"}
        contexts.append(browser.new_context(**usual | how))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", asked)
        page.goto(f"{file}#v=1&{link}" if link else file)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def expect(what):
    from playwright.sync_api import expect

    expect.set_options(timeout=30_000)
    return expect(what)


def until(page, holds):
    """Wait until a function of the page is true."""
    for _ in range(600):
        if holds():
            return
        page.wait_for_timeout(50)
    pytest.fail("it never came true")


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def fact(page, name):
    """What the page says of a model."""
    return page.locator(f"dl:visible dt:text-is('{name}') + dd")


def step(page):
    return int(fact(page, "step").inner_text().replace(",", ""))


def reached(page, step):
    expect(fact(page, "step")).to_have_text(f"{step:,}")


def called(page):
    return page.locator(".name:visible")


def picture(page, which=0):
    return page.locator(".picture:visible svg:visible").nth(which)


def tips(page, which=0):
    """Where the arrows end, feature by feature, from the middle of the picture."""
    dots = (
        picture(page, which)
        .locator("circle[cx]")
        .evaluate_all("dots => dots.map(dot => [dot.cx.baseVal.value, dot.cy.baseVal.value])")
    )
    return np.array(dots[::-1]) * [1, -1]


def slide(page, label, text):
    """Move a slider to where it says this, by keys."""
    slider = page.get_by_role("slider", name=label, exact=True)
    if text == "all equal":
        slider.press("End")
    else:
        more = float(slider.get_attribute("aria-valuetext")) < float(text)
        for _ in range(150):
            if slider.get_attribute("aria-valuetext") == text:
                break
            slider.press("ArrowRight" if more else "ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", text)


def choose(page, group, name):
    page.get_by_role("group", name=group, exact=True).get_by_role("radio", name=name, exact=True).check()


def paused(page):
    """Pause, and wait for the steps that are on their way."""
    button(page, "Pause").click()
    expect(button(page, "Play")).to_be_visible()
    last = -1
    while last != (last := step(page)):
        page.wait_for_timeout(100)


def fast(page):
    page.get_by_role("combobox", name="Speed").select_option("64 steps/frame")


@contextmanager
def shared(page):
    """The dialog with the link and the exports."""
    button(page, "Share").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    yield dialog
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def link(page):
    with shared(page) as dialog:
        return dialog.get_by_label("Link to what is seen").input_value()


def saved(page, format, what=None):
    with shared(page) as dialog:
        if what:
            dialog.get_by_label("Which picture").select_option(what)
        with page.expect_download() as download:
            dialog.get_by_role("button", name=format, exact=True).click()
    return download.value.path().read_bytes()


def models(page):
    """The models that are seen, with all their digits."""
    found = json.loads(saved(page, "JSON"))["models"]
    for model in found:
        model |= {name: np.array(model[name]) for name in ("W", "b")}
    return found


def exact(W, b, density, importance):
    """What the library says of a model."""
    return float(Population(Independent(np.array(density), np.array(importance)))(ReluOutput(W, b)))


def exact_loss(model):
    return exact(model["W"], model["b"], model["world"]["density"], model["world"]["importance"])


def digits(value, count=4):
    """As the page writes numbers whose width is to stay."""
    return f"{value:.{count - 1 - math.floor(math.log10(value))}f}"


# The playground.

PENTAGON = "part=play&density=0.1&decay=1&seed=1&steps=3000"


def test_a_pentagon_is_seen_with_the_numbers_of_the_library(visit):
    page = visit(PENTAGON)
    reached(page, 3000)
    expect(called(page)).to_have_text("pentagon")
    (model,) = models(page)
    loss = exact_loss(model)
    assert fact(page, "loss").inner_text() == digits(loss)
    assert model["loss"] == pytest.approx(loss, rel=1e-12)
    expect(fact(page, "loss").locator("xpath=following-sibling::dd[1]")).to_have_text("that of pentagon")
    assert fact(page, "features stored").inner_text() == "5 of 5"
    assert fact(page, "D*, dimensions for each").inner_text() == digits(2 / (model["W"] ** 2).sum(), 3)
    push = np.linalg.norm(model["W"].T @ model["W"], axis=1).max()
    assert fact(page, "worst push").inner_text() == f"{push:.2f} ×"
    # The arrows are the columns of W, and a regular pentagon.
    seen = tips(page)
    np.testing.assert_allclose(
        seen / np.linalg.norm(seen), model["W"].T / np.linalg.norm(model["W"]), atol=1e-3
    )
    turns = np.sort(np.arctan2(*seen.T))
    np.testing.assert_allclose(np.diff(turns), 2 * np.pi / 5, atol=0.01)
    expect(picture(page)).to_have_attribute(
        "aria-label", re.compile("^Five features in two dimensions: a pentagon")
    )


def test_the_levels_of_the_loss_curve_are_those_of_theory(visit):
    page = visit(PENTAGON)
    reached(page, 3000)
    curve = page.get_by_role("region", name="Loss").locator("svg")
    expect(curve.locator("text", has_text="pentagon")).to_be_visible()
    read = """svg => ({
      ticks: [...svg.querySelectorAll("g[text-anchor=end] text")].map(text => [Number(text.textContent), text.y.baseVal[0].value - 4]),
      levels: [...svg.querySelectorAll("g[stroke-dasharray='4 3'] line")].map(line => line.y1.baseVal.value),
      names: [...svg.querySelectorAll("text")].map(text => text.textContent),
    })"""
    found = curve.evaluate(read)
    ticks = np.array([tick for tick in found["ticks"] if tick[0] > 0])
    slope, start = np.polyfit(ticks[:, 1], np.log(ticks[:, 0]), 1)
    levels = np.exp(start + slope * np.array(found["levels"]))
    p = np.full(5, 0.1)
    expected = [
        theory.dropped_cost(p).sum(),
        theory.linear_loss(p, np.ones(5), 2),
        min(models(page)[0]["history"]["loss"]),
    ]
    for loss in expected:
        assert np.abs(levels / loss - 1).min() < 0.01, (loss, levels)
    assert {"storing nothing", "linear optimum (2 dedicated)", "pentagon"} <= set(found["names"])


def test_arrows_move_while_it_plays_and_stand_still_when_it_pauses(visit):
    page = visit("part=play&seed=2", reduced_motion="no-preference")
    before = tips(page)
    button(page, "Play").click()
    until(page, lambda: step(page) > 20)
    assert np.abs(tips(page) - before).max() > 1
    paused(page)
    still, at = tips(page), step(page)
    page.wait_for_timeout(300)
    np.testing.assert_array_equal(tips(page), still)
    assert step(page) == at


def test_a_step_is_one_step_and_restart_goes_back(visit):
    page = visit("part=play&seed=2")
    first = tips(page)
    for count in (1, 2):
        button(page, "Step").click()
        reached(page, count)
    assert np.abs(tips(page) - first).max() > 0.1
    (model,) = models(page)
    start = np.asarray(ensemble(lambda key: ReluOutput.init(5, 2, key=key), members=[2], key=0).W[0])
    np.testing.assert_allclose(np.abs(model["W"] - start), 0.02, rtol=0.1)  # twice Adam's rate
    button(page, "Restart").click()
    reached(page, 0)
    np.testing.assert_array_equal(tips(page), first)
    button(page, "New seed").click()
    expect(page.get_by_role("spinbutton", name="Seed")).to_have_value("3")
    until(page, lambda: np.abs(tips(page) - first).max() > 1)


def test_keys_play_step_restart_and_draw_another_seed(visit):
    page = visit("part=play&seed=2")
    first = tips(page)
    page.keyboard.press(".")
    reached(page, 1)
    page.keyboard.press("Space")
    until(page, lambda: step(page) > 5)
    page.keyboard.press("Space")
    expect(button(page, "Play")).to_be_visible()
    page.keyboard.press("r")
    reached(page, 0)
    np.testing.assert_array_equal(tips(page), first)
    page.keyboard.press("n")
    expect(page.get_by_role("spinbutton", name="Seed")).to_have_value("3")


def test_density_changes_while_it_trains_and_features_come_back(visit):
    page = visit("part=play&density=1&seed=3&steps=400")
    reached(page, 400)
    expect(fact(page, "features stored")).to_have_text("2 of 5")
    fast(page)
    button(page, "Play").click()
    slide(page, "Density", "0.1")
    expect(fact(page, "features stored")).to_have_text(re.compile("[45] of 5"))
    paused(page)
    changes = re.search("changes=([^&]*)", link(page))[1].split(",")
    assert changes[-1].endswith("d0.1")
    assert int(changes[-1][:-4]) > 400
    (model,) = models(page)
    assert model["world"]["density"] == [0.1] * 5
    assert model["exact"]
    assert fact(page, "loss").inner_text() == digits(exact_loss(model))


def test_a_fork_has_two_pictures_and_two_densities(visit):
    page = visit("part=play&density=1&seed=3&steps=300")
    reached(page, 300)
    button(page, "Fork").click()
    expect(page.locator(".picture svg:visible")).to_have_count(2)
    np.testing.assert_array_equal(tips(page, 0), tips(page, 1))
    expect(page.get_by_role("radio", name="B", exact=True)).to_be_checked()
    slide(page, "Density", "0.05")
    captions = page.locator(".picture:visible figcaption")
    expect(captions).to_have_text(["A: density 1", "B: density 0.05"])
    fast(page)
    button(page, "Play").click()
    until(page, lambda: step(page) > 1500)
    paused(page)
    assert np.abs(tips(page, 0) - tips(page, 1)).max() > 5
    expect(fact(page, "features stored")).to_have_text(re.compile("[45] of 5"))
    choose(page, "Settings of", "A")
    expect(page.get_by_role("slider", name="Density")).to_have_attribute("aria-valuetext", "1")
    expect(fact(page, "features stored")).to_have_text("2 of 5")
    a, b = models(page)
    assert (a["world"]["density"][0], b["world"]["density"][0]) == (1, 0.05)
    assert fact(page, "loss").inner_text() == digits(exact_loss(a))
    button(page, "Go on with A alone").click()
    expect(page.locator(".picture svg:visible")).to_have_count(1)


def test_every_setting_changes_what_is_seen(visit):
    page = visit("part=play&steps=60")
    reached(page, 60)
    choices = {
        "Values": ("−1 to 1", "0 or 1"), "Features are active": ("together", "in turn"), "Output": ("linear",),
        "Loss": ("on samples",), "Optimizer": ("SGD",), "Hidden layer": ("ReLU",),
    }  # fmt: skip
    for group, name in [(group, name) for group, names in choices.items() for name in names]:
        before = page.get_by_role("region", name="Loss").locator("svg").inner_html()
        choose(page, group, name)
        reached(page, 0)
        fast(page)
        button(page, "Play").click()
        until(page, lambda: step(page) > 60)
        paused(page)
        assert page.get_by_role("region", name="Loss").locator("svg").inner_html() != before, name
    slide(page, "Features", "30")
    expect(page.get_by_text("Too many features for the closed form.")).to_be_hidden()
    expect(picture(page).locator("circle[cx]")).to_have_count(30)


# Three dimensions.

SPACE = "part=play&features=6&hidden=3&decay=1&steps=500"


@pytest.mark.parametrize(
    ("turn", "right", "up"), [("elevation=0", (1, 1), (2, 1)), ("elevation=90", (1, 1), (0, -1))]
)
def test_three_dimensions_are_seen_from_the_front_and_from_above(visit, turn, right, up):
    page = visit(f"{SPACE}&azimuth=0&{turn}")
    reached(page, 500)
    (model,) = models(page)
    (x, one), (y, other) = right, up
    columns, seen = np.stack([one * model["W"][x], other * model["W"][y]], axis=1), tips(page)
    angles = [
        np.sort(np.arctan2(*each.T)) for each in (columns, seen)
    ]  # which what is nearer does not change
    np.testing.assert_allclose(*angles, atol=0.01)


def test_three_dimensions_are_turned_by_mouse_and_keys(visit):
    page = visit(SPACE)
    reached(page, 500)
    first, box = tips(page), picture(page).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 20, steps=4)
    page.mouse.up()
    dragged = tips(page)
    assert np.abs(dragged - first).max() > 10
    picture(page).focus()
    for key in ("ArrowLeft", "ArrowUp"):
        before = tips(page)
        page.keyboard.press(key)
        assert np.abs(tips(page) - before).max() > 3, key
    page.mouse.move(x, y + 100, steps=4)  # without a button
    seen = tips(page)
    again = visit(link(page).split("v=1&")[1])
    reached(again, 500)
    assert np.abs(tips(again) - seen).max() < 3  # the link has whole degrees


def test_three_dimensions_are_turned_by_touch(visit):
    page = visit(SPACE, viewport=PHONE, has_touch=True, is_mobile=True)
    reached(page, 500)
    button(page, "Step").tap()
    reached(page, 501)
    picture(page).scroll_into_view_if_needed()
    first, box = tips(page), picture(page).bounding_box()
    touch = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, moved in (("touchStart", 0), ("touchMove", 20), ("touchMove", 60), ("touchEnd", None)):
        points = [] if moved is None else [{"x": x + moved, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    until(page, lambda: np.abs(tips(page) - first).max() > 10)


def test_more_dimensions_have_axes_and_a_graph(visit):
    page = visit("part=play&features=20&hidden=5&density=0.05&steps=600")
    reached(page, 600)
    expect(picture(page)).to_contain_text("3 of 5 principal axes")
    for name in ("principal axes", "graph"):
        before = picture(page).inner_html()
        choose(page, "Picture", name)
        until(page, lambda: picture(page).inner_html() != before)  # noqa: B023
    expect(picture(page).locator("line").first).to_be_attached()


# Lessons.


def test_each_lesson_notices_what_was_done(visit):
    page = visit(reduced_motion="no-preference")
    verdict = page.get_by_role("region", name="Lesson").get_by_role("heading", level=3)

    def begun(number):
        expect(page.get_by_role("link", name=f"Lesson {number}: ")).to_have_attribute("aria-current", "step")
        expect(verdict).to_have_text("Try this")
        if number != 5:
            fast(page)

    def noticed():
        expect(verdict).to_have_text("Seen ✓")
        page.locator(".next").click()

    begun(1)
    until(page, lambda: step(page) > 100)  # it plays
    expect(fact(page, "features stored")).to_have_text("2 of 5")
    slide(page, "Hidden dimensions", "3")
    noticed()
    begun(2)
    slide(page, "Density", "0.1")
    noticed()
    begun(3)
    expect(called(page)).to_have_text("digon")
    slide(page, "Density", "0.79")
    noticed()
    begun(4)
    for _ in range(8):
        until(page, lambda: step(page) > 1000)
        if verdict.inner_text() == "Seen ✓":
            break
        button(page, "New seed").click()
    expect(called(page)).to_have_text("pentagon")
    noticed()
    begun(5)
    box = page.locator(".touched").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.05 * box["height"], steps=5)
    page.mouse.up()
    noticed()
    begun(6)
    expect(called(page)).to_have_text("pentagon")
    for density in ("0.2", "0.4", "0.63", "0.79"):
        slide(page, "Density", density)
        page.wait_for_timeout(300)
    noticed()
    expect(page.get_by_role("link", name="Playground")).to_have_attribute("aria-current", "page")


def test_the_page_is_worth_reading_untouched(visit):
    page = visit(reduced_motion="no-preference")
    expect(page.get_by_role("heading", name="A feature is a direction")).to_be_visible()
    expect(button(page, "Pause")).to_be_visible()
    until(page, lambda: step(page) > 30)
    calm = visit()
    expect(button(calm, "Play")).to_be_visible()
    assert step(calm) == 0


# Links.


def _pixels(page):
    page.mouse.move(2, 2)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    return page.screenshot(full_page=True)


def test_a_link_restores_what_is_seen_to_the_pixel(visit):
    page = visit("part=play&density=0.5&seed=4")
    button(page, "Step").click()
    reached(page, 1)
    button(page, "Play").click()
    until(page, lambda: step(page) > 200)
    slide(page, "Density", "0.1")
    until(page, lambda: step(page) > 600)
    paused(page)
    button(page, "Fork").click()
    slide(page, "Density", "0.79")
    button(page, "Play").click()
    at = step(page)
    until(page, lambda: step(page) > at + 300)
    paused(page)
    choose(page, "Steps", "linear")
    address = link(page)
    assert len(address) < 400 + len(page.url.split("#")[0])
    seen = _pixels(page)
    again = visit(address.split("v=1&")[1])
    reached(again, step(page))
    choose(again, "Settings of", "B")
    expect(fact(again, "loss")).to_have_text(fact(page, "loss").inner_text())
    until(again, lambda: _pixels(again) == seen)


def test_what_is_done_after_a_minimum_is_in_the_link(visit):
    page = visit("part=play&seed=4&steps=150&speed=64")
    reached(page, 150)
    button(page, "Play").click()
    until(page, lambda: step(page) > 200)
    button(page, "Finish").click()
    expect(button(page, "Play")).to_be_visible()
    until(page, lambda: f"finish={step(page) - 1}" in link(page))
    (model,) = models(page)
    at_rest = ReluOutput(model["W"][None], model["b"][None])
    law = Independent(np.array(model["world"]["density"]), np.array(model["world"]["importance"]))
    assert minimize(at_rest, Population(law), progress=False).loss[0] == pytest.approx(
        exact_loss(model), rel=1e-7
    )
    button(page, "Fork").click()
    slide(page, "Density", "0.2")
    button(page, "Play").click()
    at = step(page)
    until(page, lambda: step(page) > at + 100)
    paused(page)
    expect(button(page, "Finish")).to_be_disabled()
    slide(page, "Importance", "all equal")  # at the last step
    again = visit(link(page).split("v=1&")[1])
    reached(again, step(page))
    until(again, lambda: _pixels(again) == _pixels(page))
    for here, there in zip(models(page), models(again), strict=True):
        np.testing.assert_array_equal(here["W"], there["W"])


def test_parts_show_the_same_step(visit):
    page = visit("part=seeds&members=12&steps=40&seed=3")
    expect(page.locator(".seeds .step b")).to_have_text("40")
    page.get_by_role("link", name="Playground").click()
    reached(page, 40)
    button(page, "Step").click()
    reached(page, 41)
    button(page, "Finish").click()
    page.get_by_role("link", name="Phase map").click()  # before it is done
    page.get_by_role("link", name="Playground").click()
    reached(page, 42)
    button(page, "Step").click()
    reached(page, 43)


def test_the_way_back_leads_to_the_part_before(visit):
    page = visit("part=play&seed=9")
    page.get_by_role("link", name="Many seeds").click()
    expect(page.get_by_role("region", name="Models")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("spinbutton", name="Seed")).to_have_value("9")


@pytest.mark.parametrize(
    ("hash", "said"),
    [
        (
            "v=1&part=play&features=1e9",
            "The link asks for features = 1e9; it must be a whole number from 1 to 100.",
        ),
        (
            "v=1&seed=<img src=x onerror=alert(1)>",
            "The link asks for seed = <img src=x onerror=alert(1)>; it must be",
        ),
        ("lorem ipsum %E0%A4%A", "This link is not one of ours"),
        ("v=9&part=play", "made by a newer version"),
    ],
)
def test_a_link_that_is_garbage_brings_a_message(visit, page_file, hash, said):
    page = visit(file=f"{page_file}#{hash}")
    expect(page.get_by_role("alert")).to_contain_text(said)
    button(page, "Step").click()
    reached(page, 1)


# Exports.


def test_pictures_and_numbers_are_saved(visit):
    page = visit(PENTAGON)
    reached(page, 3000)
    for what in ("model", "loss", "matrix", "features"):
        root = ElementTree.fromstring(saved(page, "SVG", what))
        tags = {element.tag.rsplit("}", 1)[-1] for element in root.iter()}
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not tags & {"script", "foreignObject", "a"}
        names = {name.rsplit("}", 1)[-1] for element in root.iter() for name in element.attrib}
        assert not [name for name in names if name == "href" or name.startswith("on")]
        assert "var(" not in ElementTree.tostring(root, encoding="unicode")
    from PIL import Image

    image = Image.open(io.BytesIO(saved(page, "PNG", "model")))
    assert image.format == "PNG"
    assert min(image.size) > 300
    assert len(image.convert("RGB").getcolors(1 << 24)) > 10
    (model,) = models(page)
    assert (model["W"].shape, model["b"].shape, model["step"]) == ((2, 5), (5,), 3000)
    assert model["exact"]
    assert fact(page, "loss").inner_text() == digits(exact_loss(model))
    with shared(page) as dialog:
        lines = dialog.get_by_label("Lines of Python").input_value()
        assert "from superpose.models import ReluOutput" in lines
        assert f"# {model['loss']!r} in the page" in lines
        dialog.get_by_role("button", name="Copy the link").click()
        expect(dialog.get_by_role("status")).to_have_text(re.compile("^(Copied|Selected)"))


# Many seeds.


def test_many_seeds_train_and_are_sorted_by_their_minima(visit):
    page = visit("part=seeds&members=12&features=3&hidden=2&density=0.1&decay=1")
    tiles = page.get_by_role("group", name="The models").get_by_role("button")
    expect(tiles).to_have_count(12)
    expect(tiles.locator("span", has_text=re.compile("."))).to_have_count(12)  # what each is
    assert "NaN" not in page.locator("main").inner_text()
    draw = "tiles => tiles.map(tile => tile.querySelector('canvas').toDataURL())"
    before = tiles.evaluate_all(draw)
    button(page, "Play").click()
    until(page, lambda: not set(tiles.evaluate_all(draw)) & set(before))
    button(page, "Pause").click()
    button(page, "Finish").click()
    verdict = page.locator(".seeds .said")
    expect(verdict).to_contain_text("reach the best")
    losses = np.array([float(text) for text in tiles.locator("b").all_inner_texts()])
    assert (np.diff(losses) >= 0).all()
    law = Independent(0.1, n_features=3)
    start = ensemble(lambda key: ReluOutput.init(3, 2, key=key), members=30, key=0)
    theirs = minimize(start, Population(law), progress=False).loss
    assert losses[0] == pytest.approx(theirs.min(), rel=1e-4)
    assert all(np.abs(theirs / loss - 1).min() < 1e-4 for loss in losses)
    count = int((losses < losses[0] * 1.0001).sum())
    assert verdict.inner_text().startswith(f"{count} of 12 reach the best, {digits(theirs.min(), 5)} (")
    seed = re.search(r", seed (\d+): open it in the playground", tiles.first.inner_text())[1]
    tiles.first.click()
    expect(page.get_by_role("spinbutton", name="Seed")).to_have_value(seed)
    expect(fact(page, "loss")).to_have_text(digits(theirs.min()))
    (model,) = models(page)
    assert exact_loss(model) == pytest.approx(theirs.min(), rel=1e-6)


# The phase map.


def _cell(row, column):
    return 10 ** (2 * row / 49 - 2), 10 ** (2 * column / 49 - 1)


@pytest.fixture(scope="module")
def best():
    """The loss of the best of ten starts in a cell of the map of 2 features in 1 dimension."""
    starts = ensemble(lambda key: ReluOutput.init(2, 1, key=key), members=10, key=0)

    def best(row, column):
        density, importance = _cell(row, column)
        return minimize(starts, Population(Independent(density, [1, importance])), progress=False).loss.min()

    return best


def _at(page, row, column):
    box = page.locator(".touched").bounding_box()
    return box["x"] + box["width"] * (column + 0.5) / 50, box["y"] + box["height"] * (1 - (row + 0.5) / 50)


def _row(page, name):
    return page.get_by_role("row", name=re.compile(f"^{name}")).get_by_role("cell")


def test_the_phase_map_shows_the_best_model_of_a_cell(visit, best):
    from PIL import Image

    page = visit("part=phases")
    expect(page.get_by_text(re.compile(r"^[\d,]+ of 2,500 cells|^2,500 cells"))).to_be_visible()
    for row, column in ((40, 12), (10, 45)):
        page.mouse.move(*_at(page, row, column))
        expect(page.get_by_role("columnheader", name="best of 10 starts")).to_be_visible()
        expect(_row(page, "loss").first).to_have_text(digits(best(row, column)))
        density, importance = _cell(row, column)
        said = page.locator(".phases .name").inner_text()
        assert (
            said
            == f"Density {float(f'{density:.2g}'):g}, extra feature {float(f'{importance:.2g}'):g} × as important"
        )

    def colors():
        image = Image.open(io.BytesIO(page.locator(".touched").screenshot())).convert("RGB")
        red, _, blue = np.asarray(image, int).reshape(-1, 3).T
        return {"red": red > blue + 60, "blue": blue > red + 60, "gray": abs(red - blue) < 8}

    until(page, lambda: min(each.mean() for each in colors().values()) > 0.1)


def test_on_the_phase_map_arrow_keys_move_and_a_drag_draws_a_path(visit, best):
    page = visit("part=phases&path=1625")  # row 32, column 25
    field = page.get_by_role("application")
    field.focus()
    for key, (row, column) in (("ArrowRight", (32, 26)), ("ArrowUp", (33, 26))):
        page.keyboard.press(key)
        expect(field).to_have_attribute(
            "aria-label",
            re.compile(
                f"density {float(f'{_cell(row, column)[0]:.2g}'):g}, importance {float(f'{_cell(row, column)[1]:.2g}'):g} "
            ),
        )
    assert "path=1676" in page.url or "path=1676" in link(page)
    page.mouse.move(*_at(page, 45, 8))
    page.mouse.down()
    for row in range(44, 33, -1):
        page.mouse.move(*_at(page, row, 8))
    page.mouse.up()
    loss = _row(page, "loss")
    expect(loss.first).to_have_text(digits(best(34, 8)))
    expect(loss.nth(1)).to_have_text(re.compile(r"^[\d.]+ \(\+[\d.]+%\)$"))
    followed, over = re.match(r"^(\S+) \(\+(\S+)%\)$", loss.nth(1).inner_text()).groups()
    assert 100 * (float(followed) / best(34, 8) - 1) == pytest.approx(float(over), rel=0.02, abs=0.02)
    expect(_row(page, "phase")).to_have_text(["extra and other antipodal", "extra not represented"])
    expect(page.get_by_text("it stays in its minimum, beyond the border")).to_be_visible()
    assert ".".join(str(50 * row + 8) for row in range(45, 33, -1)) in link(page)
    button(page, "Train this cell in the playground").click()
    density, importance = _cell(34, 8)
    expect(page.get_by_role("slider", name="Density")).to_have_attribute(
        "aria-valuetext", f"{density:.6g}"[:8]
    )
    button(page, "Step").click()
    reached(page, 1)
    (model,) = models(page)
    np.testing.assert_allclose(model["world"]["density"], density, rtol=1e-5)
    np.testing.assert_allclose(model["world"]["importance"], [1, importance], rtol=1e-5)


def test_the_phase_map_is_drawn_upon_by_touch(visit):
    page = visit("part=phases", viewport=PHONE, has_touch=True, is_mobile=True)
    page.locator(".touched").scroll_into_view_if_needed()
    touch = page.context.new_cdp_session(page)
    for kind, at in (
        ("touchStart", (45, 8)),
        ("touchMove", (40, 8)),
        ("touchMove", (34, 8)),
        ("touchEnd", None),
    ):
        points = [dict(zip("xy", _at(page, *at), strict=True))] if at else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(page.get_by_role("columnheader", name="followed")).to_be_visible()
    expect(_row(page, "phase")).to_have_text(["extra and other antipodal", "extra not represented"])


# One's own result.


@pytest.fixture(scope="module")
def own():
    """Models of 3 features in 2 dimensions at three densities, with names that have markup."""
    densities, rng = [0.5, 0.2, 0.1], np.random.default_rng(0)
    W, b = rng.normal(size=(3, 4, 2, 3)), 0.1 * rng.normal(size=(3, 4, 3))
    loss = [
        [exact(W, b, [p] * 3, [1] * 3) for W, b in zip(*each, strict=True)]
        for p, *each in zip(densities, W, b, strict=True)
    ]
    lead = ("density", "member")
    data = xr.Dataset(
        {"W": ((*lead, "hidden", "feature"), W), "b": ((*lead, "feature"), b), "loss": (lead, loss)},
        {"density": densities, "member": range(4)},
    )
    names = xr.DataArray([HOSTILE, "b", "c"], dims="feature")
    return (
        data.assign(importance=("feature", np.ones(3)))
        .assign_coords(word=names)
        .assign_attrs(title=HOSTILE, features="independent", values="uniform")
    )


@pytest.fixture(scope="module")
def own_file(own, tmp_path_factory):
    return explorer.written(tmp_path_factory.mktemp("own") / "own.html", own).as_uri()


def test_a_result_of_ones_own_is_shown_with_its_numbers(visit, own, own_file):
    page = visit(file=own_file)
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    assert page.locator("b[onclick], h2 script").count() == 0
    slider = page.get_by_role("slider", name="density", exact=True)
    seen = set()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        slider.press(key)
        density = float(slider.get_attribute("aria-valuetext"))
        for other in ("Home", "ArrowRight"):
            members = page.get_by_role("slider", name="member", exact=True)
            members.press(other)
            loss = own.loss.sel(density=density, member=int(members.get_attribute("aria-valuetext"))).item()
            expect(fact(page, "loss")).to_have_text(digits(loss, 6))
            expect(fact(page, "exact loss, computed here")).to_have_text(digits(loss, 6))
            seen.add(fact(page, "loss").inner_text())
    assert len(seen) == 6
    W = own.W.sel(density=density, member=int(members.get_attribute("aria-valuetext"))).values
    drawn = tips(page)
    np.testing.assert_allclose(drawn / np.linalg.norm(drawn), W.T / np.linalg.norm(W), atol=1e-3)


def test_a_model_of_ones_own_goes_on_training(visit, own, own_file):
    page = visit("part=own&at=density:1,member:2", file=own_file)
    loss = own.loss.isel(density=1, member=2).item()
    expect(fact(page, "loss")).to_have_text(digits(loss, 6))
    button(page, "Train it on in the playground").click()
    expect(fact(page, "loss")).to_have_text(digits(loss))
    button(page, "Step").click()
    reached(page, 1)
    slide(page, "Density", "0.5")
    fast(page)
    button(page, "Play").click()
    until(page, lambda: step(page) > 200)
    paused(page)
    (model,) = models(page)
    assert model["world"]["density"] == [0.5] * 3
    assert model["loss"] == pytest.approx(exact_loss(model), rel=1e-9)
    again = visit(link(page).split("v=1&")[1], file=own_file)
    reached(again, step(page))
    np.testing.assert_allclose(models(again)[0]["W"], model["W"])


def test_a_link_to_ones_own_without_it_is_told(visit):
    page = visit("part=play&start=own&features=3")
    expect(page.get_by_role("alert")).to_contain_text("a model of a result that is not in this page")


# In a notebook.


def test_a_notebook_hears_the_state_and_sets_it(visit, tmp_path):
    host = "<script>heard = []; addEventListener('message', (event) => heard.push(event.data))</script>"
    (tmp_path / "notebook.html").write_text(host + explorer.show()._repr_html_(), encoding="utf-8")
    page = visit(file=(tmp_path / "notebook.html").as_uri())
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="A feature is a direction")).to_be_visible()
    frame.get_by_role("link", name="Playground").click()
    frame.get_by_role("button", name="New seed").click()
    heard = lambda: page.evaluate("heard.map(data => data.superpose === 'state' && data.hash)")  # noqa: E731
    until(page, lambda: any("part=play" in hash and "seed=4" in hash for hash in heard()))
    page.evaluate(
        "frames[0].postMessage({ superpose: 'state', hash: '#v=1&part=play&seed=77&steps=12' }, '*')"
    )
    expect(frame.get_by_role("spinbutton", name="Seed")).to_have_value("77")
    expect(frame.locator("dt:text-is('step') + dd")).to_have_text("12")
    page.evaluate("frames[0].postMessage({ superpose: 'state', hash: '#v=1&features=1e9' }, '*')")
    expect(frame.get_by_role("alert")).to_contain_text("features = 1e9")


# Everywhere.

PARTS = {
    "lessons": "lesson=4&density=0.2&decay=1&steps=300",
    "playground": "part=play&density=0.05&seed=3&steps=400&fork=200&changes=200D0.5",
    "space": "part=play&features=9&hidden=4&steps=100",
    "seeds": "part=seeds&members=12&steps=100",
    "phases": "part=phases&path=1508.1558.1608.1658.1708.1758.1808.1858.1908.1958.2008.2058.2108.2158.2208",
    "own": "part=own",
}
"""What of the page is open."""


def _settled(page, part):
    if part in ("lessons", "playground", "space"):
        reached(page, int(re.search("steps=(.*?)(&|$)", PARTS[part])[1]))
    elif part == "seeds":
        expect(page.locator(".seeds .step b")).to_have_text("100")
    elif part == "phases":
        expect(page.get_by_role("columnheader", name="followed")).to_be_visible()
    else:
        expect(fact(page, "loss")).to_be_visible()


@pytest.fixture(scope="module")
def axe(request):
    """The program that finds what some people could not use; `make check` installs it."""
    file = Path(__file__).parent.parent / "node_modules" / "axe-core" / "axe.min.js"
    if not file.exists():
        lacks = pytest.fail if request.config.getoption("--browser") else pytest.skip
        lacks("needs axe-core: npm install")
    return file.read_text(encoding="utf-8")


SCREENS = {
    "phone": {"viewport": PHONE, "has_touch": True, "is_mobile": True, "device_scale_factor": 2},
    "small phone": {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True},
    "laptop": {"viewport": LAPTOP},
    "projector": {"viewport": {"width": 1920, "height": 1080}},
}


@pytest.mark.parametrize(
    ("screen", "scheme"),
    [
        ("phone", "light"),
        ("small phone", "dark"),
        ("laptop", "light"),
        ("laptop", "dark"),
        ("projector", "dark"),
    ],
)
def test_each_part_fits_its_screen_and_can_be_used_by_all(visit, axe, own_file, screen, scheme):
    page = visit(PARTS["lessons"], file=own_file, color_scheme=scheme, bypass_csp=True, **SCREENS[screen])
    page.evaluate(axe)
    for part, link in PARTS.items():
        page.goto(f"{own_file}#v=1&{link}")
        _settled(page, part)
        _is_usable(page, f"{part} on a {screen}, {scheme}")
    button(page, "Share").click()
    _is_usable(page, f"the dialog on a {screen}, {scheme}")


def _is_usable(page, where):
    wide, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= room, f"{where}: {wide} > {room}"
    cut = page.locator(".choices:visible, button:visible").evaluate_all(
        "all => all.filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.textContent)"
    )
    assert cut == [], where
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    bad = [
        (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not bad, f"{where}: {bad}"
