"""Bars: what they show of progress, on terminals of any width, and lines above them."""

import io
import logging
import re
import sys
from collections.abc import Callable

import pytest

from xdcbench.utils.bars import Bars
from xdcbench.utils.progress import track
from xdcbench.utils.progress_state import Progress
from xdcbench.utils.terminal import TerminalHandler


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


Open = Callable[..., Terminal]


@pytest.fixture
def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Makes standard error a terminal; within the test, since pytest sets it before each phase."""

    def opened(columns: int = 120) -> Terminal:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        for name, value in {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(columns)}.items():
            monkeypatch.setenv(name, value)
        return terminal

    return opened


def test_a_terminal_gets_a_bar_and_no_lines(
    open_terminal: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = open_terminal()
    monkeypatch.delenv("NO_COLOR")
    with caplog.at_level(logging.INFO, logger="xdcbench"), track("reading", 8) as tick:
        tick(3)
        tick(5)
    assert "reading" in terminal.getvalue() and "8/8" in terminal.getvalue()
    assert not caplog.records


def test_names_are_shown_as_they_are(open_terminal: Open) -> None:
    """A dataset may be called like rich's markup, or like an order to the terminal."""
    terminal = open_terminal()
    with Bars() as bars:
        bars.show(bars.add("a"), Progress("decoding [red]x[/]\x1b[2J", 1, 2, 1.0))
        bars.rows.refresh()
    assert "decoding [red]x[/]\\x1b[2J" in terminal.getvalue()


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_a_row_fits_the_terminal(open_terminal: Open, columns: int) -> None:
    open_terminal(columns)
    with Bars() as bars:
        bars.show(bars.add("a"), Progress("a long name of a dataset " * 4, 1, 2, 1.0, "round 3 min left"))
        lines = bars.console.render_lines(bars.rows.get_renderable(), pad=False)
    text = "".join(segment.text for segment in lines[0])
    assert len(lines) == 1
    assert len(text) <= columns
    assert "1/2" in text and "1.0 s left" in text
    assert ("1/s" in text) == (columns >= 110)


def test_the_time_left_may_be_more(open_terminal: Open) -> None:
    terminal = open_terminal()
    with Bars() as bars:
        row = bars.add("plan", 10)
        bars.show_count(row, 4, 10, 125.0, least=True)
        bars.rows.refresh()
        assert "4/10 > 2 min 05 s left" in terminal.getvalue()
        bars.show_count(row, 4, 10, None, least=True)
        text = "".join(part.text for part in bars.console.render_lines(bars.rows.get_renderable())[0])
    assert "left" not in text


def test_lines_are_logged_through_the_bars(open_terminal: Open) -> None:
    """They must not begin in the middle of one."""
    terminal = open_terminal()
    handler = TerminalHandler()
    logging.getLogger().addHandler(handler)
    try:
        with Bars() as bars:
            assert handler.console is bars.console
            logging.getLogger("xdcbench").error("a line")
        assert handler.console is None
    finally:
        logging.getLogger().removeHandler(handler)
    assert "\na line\n" in re.sub(r"[\x1b]\[[\d;?]*[A-Za-z]|\r", "\n", terminal.getvalue())
