"""Progress: counting, rates, lines without a terminal, and what shows it elsewhere."""

import logging
import sys

import pytest

from xdcbench.utils import progress
from xdcbench.utils.progress import Track, shown_by, track
from xdcbench.utils.progress_state import Progress


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


def test_lines_come_no_more_often_than_every_half_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="xdcbench"), track("reading", 100) as tick:
        for _ in range(25):
            clock.now += 3
            tick(2)
    assert [record.getMessage() for record in caplog.records] == [
        "reading: 20/100, 0.667/s, 2 min 00 s left",
        "reading: 40/100, 0.667/s, 1 min 30 s left",
    ]


def test_no_time_passed_is_no_division_by_zero(clock: Clock) -> None:
    tick = Track("work", 5, None)
    tick(1)
    assert tick.rate(clock.now) == pytest.approx(1e9)


def test_progress_goes_to_what_shows_it(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The beginning, no more than ten changes a second, and the end."""
    shown: list[Progress] = []
    with caplog.at_level(logging.INFO, logger="xdcbench"), shown_by(shown.append), track("work", 100) as tick:
        for _ in range(100):
            clock.now += 0.0625
            tick()
    assert [at.done for at in shown[:3]] == [0, 2, 4]
    assert len(shown) == 51
    assert shown[-1] == ("work", 100, 100, pytest.approx(16.0), "")
    assert not caplog.records


def test_work_whose_progress_is_told_in_lines_draws_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with shown_by(None), track("work", 1) as tick:
        assert tick.show is None


def test_an_error_inside_is_passed_on() -> None:
    with pytest.raises(KeyError), track("work", 1):
        raise KeyError
