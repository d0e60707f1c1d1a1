"""Progress: counting, rates, lines without a terminal and a bar on one."""

import io
import logging
import sys

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from xdcbench.utils import progress
from xdcbench.utils.progress import Track, track


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_rate_is_items_per_second(clock: Clock) -> None:
    with track("work", 10) as tick:
        clock.now += 2
        tick(3)
        tick()
        assert tick.done == 4
        assert tick.rate(clock.now) == pytest.approx(2.0)


def test_lines_come_no_more_often_than_every_ten_seconds(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="xdcbench"), track("reading", 100) as tick:
        for _ in range(25):
            clock.now += 1
            tick(2)
    assert [record.getMessage() for record in caplog.records] == [
        "reading: 20/100, 2/s, 40 s left",
        "reading: 40/100, 2/s, 30 s left",
    ]


def test_no_time_passed_is_no_division_by_zero(clock: Clock) -> None:
    tick = Track("work", 5, None)
    tick(1)
    assert tick.rate(clock.now) == pytest.approx(1e9)


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_and_no_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    with caplog.at_level(logging.INFO, logger="xdcbench"), track("reading", 8) as tick:
        tick(3)
        assert tick.bar is not None
        assert tick.bar.tasks[0].completed == 3
        tick.bar.refresh()
    assert "reading" in terminal.getvalue() and "3/8" in terminal.getvalue()
    assert not caplog.records


def test_an_error_inside_is_passed_on() -> None:
    with pytest.raises(KeyError), track("work", 1):
        raise KeyError


def test_a_bar_shows_names_as_they_are() -> None:
    """A dataset may be called like rich's markup, or like an order to the terminal."""
    screen = io.StringIO()
    with Progress(TextColumn("{task.description}"), console=Console(file=screen, width=80)) as bar:
        Track("decoding [red]x[/]\x1b[2J", 2, bar)(1)
    assert "decoding [red]x[/]\\x1b[2J" in screen.getvalue()
