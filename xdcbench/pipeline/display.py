"""A plan at work, as it is told: a line for each stage that ends, and on a terminal bars of those at work."""

import logging
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.plan import Plan
from xdcbench.pipeline.stage_words import result_words, stage_title
from xdcbench.results.run_store import RunStore
from xdcbench.utils.distributed import is_main_process
from xdcbench.utils.format import duration
from xdcbench.utils.progress import Show, on_terminal
from xdcbench.utils.progress_state import Progress
from xdcbench.utils.terminal import columns_of

if TYPE_CHECKING:
    from rich.progress import TaskID

    from xdcbench.utils.bars import Bars

log = logging.getLogger("xdcbench")

LONGEST = 52
"""Characters up to which the names of stages are brought to one width."""

WIDE = 110
"""Columns of a terminal from which on they are; in a file they always are."""


class Display(AbstractContextManager["Display"]):
    """Tells of the stages of a plan.

    Args:
        jobs: stages that are built side by side.
    """

    def __init__(self, plan: Plan, store: RunStore, *, jobs: int) -> None:
        self.plan, self.store, self.jobs = plan, store, jobs
        seeds = {part for stage in plan.stages for part in stage.name.split("/") if part.startswith("seed")}
        self.titles = {stage.key: stage_title(stage, seeds=len(seeds) > 1) for stage in plan.stages}
        wide = not 0 < columns_of(sys.stderr) < WIDE
        self.width = min(LONGEST, max(map(len, self.titles.values()), default=0)) if wide else 0
        self.bars: Bars | None = None
        self.rows: dict[str, TaskID] = {}

    def __enter__(self) -> "Display":
        if on_terminal():
            from xdcbench.utils.bars import Bars

            self.bars = Bars().__enter__()
            self.rows[""] = self.bars.add(self.plan.suite.name, len(self.plan.stages))
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bars:
            self.bars.__exit__(*exception)

    def begin(self, stage: Stage) -> Show | None:
        """A stage is being built; returns what shows how far it is, None where lines tell it."""
        if self.bars is None:
            return None
        self.rows[stage.key] = self.bars.add(self.titles[stage.key])
        return partial(self.show, stage)

    def show(self, stage: Stage, at: Progress) -> None:
        """Show how far a stage at work is."""
        if self.bars and stage.key in self.rows:
            self.bars.show(self.rows[stage.key], at)

    def end(self, stage: Stage, number: int, status: str, seconds: float) -> None:
        """A stage has been built, as the ``number``-th of the plan; why it failed has been told where it occurred."""
        if self.bars and stage.key in self.rows:
            self.bars.remove(self.rows.pop(stage.key))
        if status in ("done", "failed") and is_main_process():
            said = result_words(stage, self.store.path(stage.key)) if status == "done" else [status]
            words = [*said, duration(seconds)]
            total = len(self.plan.stages)
            counter = f"[{number:>{len(str(total))}}/{total}]"
            log.info("%s %s   %s", counter, f"{self.titles[stage.key]:<{self.width}}", "   ".join(words))

    def left(self, number: int, took: Mapping[str, float], ahead: Counter[str]) -> None:
        """Show that ``number`` stages are settled, and how long those ahead take, by what each kind took so far."""
        if self.bars is None:
            return
        seconds = sum(took.get(kind, 0.0) * count for kind, count in ahead.items()) / self.jobs
        unseen = any(kind not in took for kind in ahead)
        total, left = len(self.plan.stages), seconds if took else None
        self.bars.show_count(self.rows[""], number, total, left, least=unseen)
