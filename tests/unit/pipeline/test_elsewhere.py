"""What other commands are making: who makes it, how far it is, and when it is looked at again."""

from pathlib import Path

import pytest

from xdcbench.pipeline import elsewhere as module
from xdcbench.pipeline.elsewhere import PAUSE, TELL_EVERY, Elsewhere, last_line
from xdcbench.results.run_store import RunStore

KEY = "round-0123456789ab"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "results")


def logged(store: RunStore, *lines: str) -> None:
    store.work(KEY).mkdir(exist_ok=True)
    text = "".join(f"2026-01-31 23:59:59,123 INFO {line}\n" for line in lines)
    (store.work(KEY) / "log.txt").write_text(text)


def test_the_last_line_of_the_log_is_told_without_its_time(store: RunStore) -> None:
    assert last_line(store, KEY) == "no line yet"
    logged(store)
    assert last_line(store, KEY) == "no line yet"
    logged(store, *("x" * 200 for _ in range(100)), "round 1 epoch 2/10: loss 1.5")
    assert last_line(store, KEY) == "round 1 epoch 2/10: loss 1.5"


def test_who_makes_it_is_told_once_and_progress_now_and_then(
    store: RunStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="xdcbench")
    logged(store, "epoch 1/10")
    elsewhere = Elsewhere()
    for _ in range(int(TELL_EVERY / PAUSE) + 1):
        elsewhere.note(KEY, "xdc/round1", "process 7 on a")
        elsewhere.wait(store)
    first, waiting, again = caplog.messages
    assert first == "xdc/round1: process 7 on a is making it; what is free comes first"
    assert waiting == "waiting for xdc/round1, which process 7 on a is making (< 0.1 s): epoch 1/10"
    assert again == "waiting for xdc/round1, which process 7 on a is making (30 s): epoch 1/10"


def test_what_is_made_elsewhere_is_left_alone_for_a_moment(clock: Clock) -> None:
    elsewhere = Elsewhere()
    assert not elsewhere.lately(KEY)
    elsewhere.note(KEY, "xdc/round1", "")
    assert elsewhere.lately(KEY) and elsewhere.held[KEY].owner == "another command"
    clock.now += PAUSE
    assert not elsewhere.lately(KEY) and elsewhere.held
    elsewhere.forget(KEY)
    assert not elsewhere.held
