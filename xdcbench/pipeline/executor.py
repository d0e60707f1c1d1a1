"""Executing a plan: what is missing is run, what fails is recorded, the rest continues."""

from bisect import insort
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from statistics import fmean
from typing import TYPE_CHECKING, Literal, NamedTuple

from xdcbench.data.context import Context
from xdcbench.pipeline.building import Built, Stamp, run_stage
from xdcbench.pipeline.display import Display
from xdcbench.pipeline.elsewhere import PAUSE, Elsewhere
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.needed import Policy, needed_keys
from xdcbench.pipeline.plan import Plan
from xdcbench.pipeline.registry import STAGES
from xdcbench.results.run_store import RunStore
from xdcbench.utils.cores import available_cores
from xdcbench.utils.distributed import is_main_process, on_main_process
from xdcbench.utils.progress import shown_by
from xdcbench.utils.progress_state import Progress

if TYPE_CHECKING:
    from xdcbench.pipeline.jobs import Jobs

Status = Literal["done", "kept", "failed", "blocked", "unavailable", "missing"]


@dataclass(frozen=True)
class StageResult:
    """What became of one stage; ``detail`` is the reason, or where the log of a failure is."""

    stage: Stage
    status: Status
    detail: str = ""

    @property
    def is_there(self) -> bool:
        """Whether the stage has results that can be read."""
        return self.status in ("done", "kept")

    @property
    def has_failed(self) -> bool:
        """Whether it failed, or what it needs did."""
        return self.status in ("failed", "blocked")


def execute(
    plan: Plan, store: RunStore, context: Context, *, policy: Policy = "missing", jobs: int = 1
) -> list[StageResult]:
    """Run what of ``plan`` is needed and not there, or damaged; one failure does not stop independent stages.

    What another command makes meanwhile is kept, under every policy.

    Args:
        jobs: stages that are built side by side, each in a process of its own (on a CPU, without torchrun).

    Raises:
        UserError: the results folder is being pruned, or nothing can be written to it.
    """
    with store.in_use() if is_main_process() else nullcontext():
        needed = on_main_process(lambda: needed_keys(plan, store, policy, thorough=True))
        replaced = {key: store.stamp(key) for key in needed} if policy == "always" else {}
        display = Display(plan, store, jobs=jobs)
        execution = Execution(plan, store, context, policy, frozenset(needed), replaced, display)
        if jobs > 1 and needed:
            execution.side_by_side(jobs)
        else:
            execution.in_turn()
    return [execution.outcomes[stage.key] for stage in plan.stages]


class Task(NamedTuple):
    """A stage to build: its place in the plan, and what `Context` says of the stages before and after it."""

    position: int
    took: Mapping[str, float]
    ahead: Mapping[str, int]


@dataclass
class Execution:
    """A plan at work.

    Attributes:
        needed: keys of the stages to run.
        replaced: runs that are made anew, by key.
        display: tells of the stages.
        outcomes: of the stages so far, by key.
        spent: seconds of the stages that were built, by kind.
        elsewhere: stages that other commands are making.
    """

    plan: Plan
    store: RunStore
    context: Context
    policy: Policy
    needed: frozenset[str]
    replaced: Mapping[str, Stamp]
    display: Display
    outcomes: dict[str, StageResult] = field(default_factory=dict)
    spent: dict[str, list[float]] = field(default_factory=dict)
    elsewhere: Elsewhere = field(default_factory=Elsewhere)

    def in_turn(self) -> None:
        """Run one stage after the other, in this process; what another command is making is passed over."""
        waiting = list(range(len(self.plan.stages)))
        with self.display:
            while waiting:
                left = [position for position in waiting if not self._take(position)]
                if left == waiting:
                    on_main_process(partial(self.elsewhere.wait, self.store))
                waiting = left

    def _take(self, position: int) -> bool:
        """Settle or build a stage; False while an input is open, or another command is making it."""
        if on_main_process(partial(self._is_early, position)):
            return False
        if on_main_process(partial(self._settle, position)):
            return True
        with shown_by(self.display.begin(self.plan.stages[position])):
            built = self._build(self._task(position))
        return self._note(position, built)

    def side_by_side(self, jobs: int) -> None:
        """Run stages whose inputs are there, each in one of several processes."""
        from xdcbench.pipeline.jobs import JobDied, Jobs

        for kind in {stage.kind for stage in self.plan.stages if stage.key in self.needed}:
            STAGES[kind].load()  # once, for all jobs
        waiting = list(range(len(self.plan.stages)))
        threads = max(1, available_cores() // jobs)
        with self.display, Jobs(jobs, self._build, threads=threads, show=self._show) as pool:
            while waiting or pool.busy:
                waiting = [position for position in waiting if not self._begin(position, pool)]
                if not pool.busy and waiting:
                    self.elsewhere.wait(self.store)
                for task, answer in pool.finished(PAUSE if self.elsewhere.held else None):
                    built = Built("failed", answer.reason) if isinstance(answer, JobDied) else answer
                    if not self._note(task.position, built):
                        insort(waiting, task.position)

    def _begin(self, position: int, pool: "Jobs") -> bool:
        """Settle a stage or give it to a job; False while an input, or every job, is at work."""
        stage = self.plan.stages[position]
        if self._is_early(position) or (stage.key in self.needed and not pool.free):
            return False
        if not self._settle(position):
            pool.give(self._task(position), shown=self.display.begin(stage) is not None)
        return True

    def _show(self, task: Task, at: Progress) -> None:
        self.display.show(self.plan.stages[task.position], at)

    def _is_early(self, position: int) -> bool:
        """Whether an input of a stage is open, or another command was making the stage a moment ago."""
        stage = self.plan.stages[position]
        is_open = any(s.key in self._keys and s.key not in self.outcomes for s in stage.read)
        return is_open or self.elsewhere.lately(stage.key)

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(stage.key for stage in self.plan.stages)

    def _settle(self, position: int) -> bool:
        """Note the outcome of a stage that is not to be run now; False where it is."""
        stage = self.plan.stages[position]
        outcome = _settled(
            stage, self.store, self.outcomes, needed=stage.key in self.needed, policy=self.policy
        )
        if outcome is not None:
            self.outcomes[stage.key] = outcome
            self._tell_left()
        return outcome is not None

    def _task(self, position: int) -> Task:
        rest = self.plan.stages[position + 1 :]
        return Task(position, self._took(), Counter(stage.kind for stage in rest if stage.key in self.needed))

    def _took(self) -> dict[str, float]:
        return {kind: fmean(seconds) for kind, seconds in self.spent.items()}

    def _tell_left(self) -> None:
        if self.display.bars is None:  # nothing to count for each of thousands of stages
            return
        ahead = (s for s in self.plan.stages if s.key in self.needed and s.key not in self.outcomes)
        self.display.left(len(self.outcomes), self._took(), Counter(stage.kind for stage in ahead))

    def _build(self, task: Task) -> Built:
        stage = self.plan.stages[task.position]
        context = replace(self.context, kind=stage.kind, ahead=task.ahead, took=task.took)
        anew, replaces = self.policy == "always", self.replaced.get(stage.key)
        return run_stage(stage, self.store, context, anew=anew, replaces=replaces)

    def _note(self, position: int, built: Built) -> bool:
        """Note what became of a stage; False if another command is making it."""
        stage = self.plan.stages[position]
        if built.status == "held":
            self.display.end(stage, len(self.outcomes), "held", built.seconds)
            self.elsewhere.note(stage.key, stage.name, built.detail)
            return False
        self.elsewhere.forget(stage.key)
        self.outcomes[stage.key] = StageResult(stage, built.status, built.detail)
        if built.status == "done":
            self.spent.setdefault(stage.kind, []).append(built.seconds)
        self.display.end(stage, len(self.outcomes), built.status, built.seconds)
        self._tell_left()
        return True


def _settled(
    stage: Stage, store: RunStore, outcomes: Mapping[str, StageResult], *, needed: bool, policy: Policy
) -> StageResult | None:
    """The outcome of a stage that is not to be run now, or None."""
    if stage.reason:
        return StageResult(stage, "unavailable", stage.reason)
    if not needed:
        there = store.complete(stage.key)
        return StageResult(stage, "kept" if there or policy == "missing" else "missing")
    for source in stage.read:
        bad = source.key in outcomes and outcomes[source.key].has_failed
        if bad or not store.whole(source.key, thorough=True):
            said = store.damage(source.key, thorough=True)
            state = f"is damaged ({said})" if said else "is not there"
            return StageResult(stage, "blocked", f"needs {source.name}, which {state}")
    return None
