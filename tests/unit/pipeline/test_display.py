"""What is told of a plan at work: a line for each stage that ends, bars on a terminal."""

import io
import logging
import sys
from collections import Counter
from pathlib import Path

import pytest

from xdcbench.config.evaluation import LinearProbe
from xdcbench.config.load import load_suite
from xdcbench.config.stages import EvaluationStage
from xdcbench.pipeline.display import Display
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.plan import Plan
from xdcbench.results.run_store import RunStore
from xdcbench.utils.progress_state import Progress


def probe(name: str) -> Stage:
    settings = LinearProbe(modality="audio")
    return Stage("linear_probe", name, EvaluationStage(name=name, split="1", seed=0, settings=settings))


STAGES = (probe("xdc/seed0/probe/esc50/1"), probe("scratch/seed0/probe/esc50/1"))


@pytest.fixture
def display(tmp_path: Path) -> Display:
    plan = Plan(load_suite("mini"), STAGES, frozenset(stage.key for stage in STAGES))
    return Display(plan, RunStore(tmp_path), jobs=2)


def test_each_stage_that_ends_is_one_line(display: Display, caplog: pytest.LogCaptureFixture) -> None:
    """Names are brought to one width; why one failed is told where it occurs."""
    with caplog.at_level(logging.INFO, "xdcbench"), display:
        assert display.begin(STAGES[0]) is None, "progress is told in lines"
        display.end(STAGES[0], 1, "done", 80.0)
        display.end(STAGES[1], 2, "failed", 1.0)
    first, second = caplog.messages
    assert first == "[1/2] xdc · probe · esc50 · 1       1 min 20 s"
    assert second.startswith("[2/2] ") and second.endswith("   failed   1.0 s"), second


def test_bars_of_the_plan_and_of_each_stage_at_work(
    display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan's own is the first, its time left that of the kinds seen so far over the stages side by side."""
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with display:
        shows = [display.begin(stage) for stage in STAGES]
        assert display.bars is not None
        shown = display.bars.rows.tasks
        assert [row.description for row in shown] == [
            "mini",
            "xdc · probe · esc50 · 1",
            "scratch · probe · esc50 · 1",
        ]
        assert shows[1] is not None
        shows[1](Progress("epoch 3", 5, 10, 2.0))
        assert (shown[2].description, shown[2].completed) == ("epoch 3", 5)
        display.left(0, {}, Counter(linear_probe=2))
        assert display.bars.rows.tasks[0].fields["until"] is None, "nothing is known yet"
        display.end(STAGES[0], 1, "done", 80.0)
        assert [row.description for row in display.bars.rows.tasks] == ["mini", "epoch 3"]
        display.left(1, {"linear_probe": 80.0}, Counter(linear_probe=1, round=1))
        fields = display.bars.rows.tasks[0].fields
        assert fields["count"] == "1/2" and fields["least"]
        assert fields["until"] - display.bars.rows.get_time() == pytest.approx(40.0, abs=5.0)
