"""Bars in a terminal, and none where output goes to a file; `test_jupyter.py` has those of notebooks."""

import io
import time

import pytest
from rich.console import Console

from superpose import progress
from superpose.progress import progress_bar


@pytest.fixture
def looked_at(monkeypatch):
    """Where bars are drawn, as a terminal or as a file."""

    def console(terminal):
        file = io.StringIO()
        monkeypatch.setattr(progress, "console", Console(file=file, force_terminal=terminal, width=80))
        return file

    return console


def _work(**how):
    with progress_bar("outer [red]", 2, **how) as advanced, progress_bar("inner", 2, **how) as inner:
        for step in (1, 2):
            time.sleep(0.15)
            inner(step)
            advanced(step / 2)
        time.sleep(0.15)


def test_bars_in_a_terminal_say_how_much_is_left(looked_at):
    drawn = looked_at(terminal=True)
    _work(after=0.05)
    assert all(words in drawn.getvalue() for words in ("outer [red]", "inner", "100%", "0 s left"))
    assert drawn.getvalue().endswith("\x1b[2K")  # the last line is cleared


def test_how_long_it_takes_is_said_when_it_can_be_known():
    bar = progress._Bar("work", 100, 0)
    for done, took, said in ((1, 5, ""), (9, 5, ""), (10, 5, "45 s left"), (1, 70, "1 h 55 min left")):
        bar.done, bar.began = done, 0.0
        bar.at = took
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(progress.time, "monotonic", lambda: took)  # noqa: B023
            assert bar.left == said


def test_a_bar_without_a_total_says_only_what_is_done():
    bar = progress._Bar("compiling", None, 0)
    assert bar.text == "compiling"
    assert "%" not in bar.html
    assert "value" not in bar.html


@pytest.mark.parametrize(
    ("terminal", "how"), [(True, {}), (True, {"shown": False, "after": 0}), (False, {"after": 0})]
)
def test_no_bar_for_short_work_or_where_nobody_looks(terminal, how, looked_at):
    drawn = looked_at(terminal)
    _work(**how)
    assert not any(words in drawn.getvalue() for words in ("outer", "inner", "%"))
