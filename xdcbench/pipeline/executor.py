"""Executing a plan: what is missing is run, what fails is recorded, the rest continues."""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Literal, NamedTuple

from xdcbench.config.keys import VERSIONS, science
from xdcbench.data.context import Context, elapsed
from xdcbench.errors import MediaChangedError, MediaError, UserError
from xdcbench.pipeline.costs.disk import require_space
from xdcbench.pipeline.display import Display
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.needed import Policy, needed_keys
from xdcbench.pipeline.plan import Plan
from xdcbench.pipeline.registry import STAGES
from xdcbench.results.run_store import RunStore
from xdcbench.utils.cores import available_cores
from xdcbench.utils.disk import FULL
from xdcbench.utils.distributed import barrier, is_main_process, on_main_process, world_size
from xdcbench.utils.documents import write_json
from xdcbench.utils.processes import announce, cause
from xdcbench.utils.progress import shown_by
from xdcbench.utils.progress_state import Progress
from xdcbench.utils.provenance import commit, versions
from xdcbench.utils.secrets import redact
from xdcbench.utils.shown import SafeFilter, printable, safe_text
from xdcbench.utils.signals import defer_signals

if TYPE_CHECKING:
    from xdcbench.pipeline.jobs import Jobs

Status = Literal["done", "kept", "failed", "blocked", "unavailable", "missing"]
Stamp = tuple[int, int] | None

log = logging.getLogger("xdcbench")


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


class Built(NamedTuple):
    """What became of a stage that was to be built, as in `StageResult`, and the seconds that it took."""

    status: Status
    detail: str
    seconds: float


@dataclass
class Execution:
    """A plan at work.

    Attributes:
        needed: keys of the stages to run.
        replaced: runs that are made anew, by key.
        outcomes: of the stages so far, by key.
        display: tells of them.
        spent: seconds of the stages that were built, by kind.
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

    def in_turn(self) -> None:
        """Run one stage after the other, in this process."""
        with self.display:
            for position, stage in enumerate(self.plan.stages):
                if not on_main_process(partial(self._settle, position)):
                    with shown_by(self.display.begin(stage)):
                        built = self._build(self._task(position))
                    self._note(position, built)

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
                for task, answer in pool.finished():
                    built = Built("failed", answer.reason, 0.0) if isinstance(answer, JobDied) else answer
                    self._note(task.position, built)

    def _begin(self, position: int, pool: "Jobs") -> bool:
        """Settle a stage or give it to a job; False while an input, or every job, is at work."""
        stage = self.plan.stages[position]
        if any(source.key in self._keys and source.key not in self.outcomes for source in stage.read):
            return False
        if stage.key in self.needed and not pool.free:
            return False
        if not self._settle(position):
            pool.give(self._task(position), shown=self.display.begin(stage) is not None)
        return True

    def _show(self, task: Task, at: Progress) -> None:
        self.display.show(self.plan.stages[task.position], at)

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
        ahead = (s for s in self.plan.stages if s.key in self.needed and s.key not in self.outcomes)
        self.display.left(len(self.outcomes), self._took(), Counter(stage.kind for stage in ahead))

    def _build(self, task: Task) -> Built:
        stage = self.plan.stages[task.position]
        context = replace(
            self.context, begun=time.monotonic(), kind=stage.kind, ahead=task.ahead, took=task.took
        )
        anew, replaces = self.policy == "always", self.replaced.get(stage.key)
        found = run_stage(stage, self.store, context, anew=anew, replaces=replaces)
        return Built(found.status, found.detail, elapsed(context))

    def _note(self, position: int, built: Built) -> None:
        stage = self.plan.stages[position]
        self.outcomes[stage.key] = StageResult(stage, built.status, built.detail)
        if built.status == "done":
            self.spent.setdefault(stage.kind, []).append(built.seconds)
        self.display.end(stage, len(self.outcomes), built.status, built.seconds)
        self._tell_left()


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


def run_stage(
    stage: Stage, store: RunStore, context: Context, *, anew: bool = False, replaces: Stamp = None
) -> StageResult:
    """Build one stage and publish it; what it had done before an interruption is used unless ``anew``.

    Where another command builds it, that is waited for. A whole run that is there then is kept, unless it is the
    one that ``replaces`` names (``RunStore.stamp``).

    Of several processes, all work on a shared stage, and a failure in it ends them all; on any other
    stage the leading one works.

    Raises:
        UserError: nothing can be written to the results folder.
    """
    context = replace(context, begun=time.monotonic())
    build = partial(_build, stage, store, context, anew=anew, replaces=replaces)
    status, detail = build() if STAGES[stage.kind].shared else on_main_process(build)
    barrier()
    return StageResult(stage, status, detail)


def _build(
    stage: Stage, store: RunStore, context: Context, *, anew: bool, replaces: Stamp
) -> tuple[Status, str]:
    shared = STAGES[stage.kind].shared
    with store.held(stage.key) if is_main_process() else nullcontext():
        overtaken = partial(_overtaken, stage, store, replaces)
        if on_main_process(overtaken) if shared else overtaken():
            return "kept", ""
        work = store.begin(stage.key, anew=anew) if is_main_process() else store.work(stage.key)
        if shared:
            barrier()  # the main process has made the folder
        try:
            with logging_to(work / "log.txt") if is_main_process() else nullcontext():
                if is_main_process():
                    require_space(stage, store, checkpoints=context.keep_checkpoints)
                inputs = {name: store.path(source.key) for name, source in stage.inputs}
                STAGES[stage.kind].load()(stage.config, inputs, work, context)
            if is_main_process():
                write_json(work / "run.json", run_manifest(stage, context))
                store.publish(stage.key, work)
        except (UserError, MediaError) as error:
            if isinstance(error, MediaChangedError):
                from xdcbench.data.fingerprints import forget_scans  # with pandas, which takes half a second

                forget_scans(context.cache)
            return _failed(stage, store, text=printable(str(error)), line=str(error))
        except Exception as error:
            text, line = traceback.format_exc(), f"{type(error).__name__}: {error}".splitlines()[0]
            with defer_signals():  # torchrun asks this process to end when another is gone
                if isinstance(error, OSError) and error.errno in FULL:
                    line = f"no space left in {store.root}: {line}; free some, and run the same command to resume"
                elif isinstance(error, RuntimeError):  # an exchange that failed, if another process is gone
                    line = cause() or line
                return _failed(stage, store, text=f"{line}\n\n{text}", line=line)
    return "done", ""


def _overtaken(stage: Stage, store: RunStore, replaces: Stamp) -> bool:
    """Whether another command has made the run since this one looked; to be asked while the run is held."""
    stamp = store.stamp(stage.key)
    if stamp is None or stamp == replaces or not store.whole(stage.key, thorough=True):
        return False
    log.info("%s: another command has made it; it is kept", stage.name)
    return True


def _failed(stage: Stage, store: RunStore, *, text: str, line: str) -> tuple[Status, str]:
    text, line = redact(text), safe_text(line)
    announce(line)
    try:
        attempt = str(store.fail(stage.key, "\n".join(map(printable, text.split("\n")))))
    except OSError as error:
        attempt = f"not kept: {error.strerror}"
    log.error("%s failed: %s", stage.name, line)
    if world_size() > 1 and STAGES[stage.kind].shared:
        raise SystemExit(1)  # the others wait for this process; torchrun ends them
    return "failed", f"{line} (log: {attempt})"


def run_manifest(stage: Stage, context: Context) -> dict[str, object]:
    """What a run directory says of itself."""
    return {
        "key": stage.key,
        "kind": stage.kind,
        "version": VERSIONS[stage.kind],
        "name": stage.name,
        "suite": context.suite,
        "science": science(stage.config),
        "config": stage.config.model_dump(mode="json"),
        "inputs": {name: source.key for name, source in stage.inputs},
        "seconds": elapsed(context),
        "device": context.device,
        "world_size": world_size(),
        "versions": versions(),
        "commit": commit(),
    }


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Append what is logged to ``path`` as well."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.addFilter(SafeFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
