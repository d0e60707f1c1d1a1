"""Executing a plan: what is missing is run, what fails is recorded, the rest goes on."""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from xdcbench.context import Context, elapsed
from xdcbench.costs.disk import require_space
from xdcbench.disk import FULL
from xdcbench.distributed import barrier, from_leader, leads, size
from xdcbench.errors import MediaError, UserError
from xdcbench.plan import Plan
from xdcbench.processes import announce, cause
from xdcbench.provenance import commit, versions
from xdcbench.signals import deferred
from xdcbench.stages import KINDS, Stage, science
from xdcbench.store import Store, write_json
from xdcbench.utils.secrets import HideSecrets, redact

Policy = Literal["missing", "always", "never"]
Status = Literal["done", "kept", "failed", "blocked", "unavailable", "missing"]

log = logging.getLogger("xdcbench")


@dataclass(frozen=True)
class Outcome:
    """What became of one stage; ``detail`` is the reason, or where the log of a failure is."""

    stage: Stage
    status: Status
    detail: str = ""


def execute(plan: Plan, store: Store, context: Context, *, policy: Policy = "missing") -> list[Outcome]:
    """Run what of ``plan`` is needed and not there; one failure does not stop independent stages.

    Raises:
        UserError: the results folder is being pruned.
    """
    with store.in_use() if leads() else nullcontext():
        return _execute(plan, store, context, policy)


def _execute(plan: Plan, store: Store, context: Context, policy: Policy) -> list[Outcome]:
    needed = from_leader(lambda: needed_keys(plan, store, policy))
    outcomes: dict[str, Outcome] = {}
    ahead = Counter(stage.kind for stage in plan.stages if stage.key in needed)
    spent: dict[str, list[float]] = {}
    for position, stage in enumerate(plan.stages, 1):
        ahead[stage.kind] -= stage.key in needed
        outcome = _settle(stage, store, outcomes, needed=stage.key in needed, policy=policy)
        if outcome is None:
            log.info("[%d/%d] %s", position, len(plan.stages), stage.name)
            took = {kind: sum(seconds) / len(seconds) for kind, seconds in spent.items()}
            context = replace(context, begun=time.monotonic(), kind=stage.kind, ahead=dict(ahead), took=took)
            outcome = run_stage(stage, store, context, anew=policy == "always")
            if outcome.status == "done":
                spent.setdefault(stage.kind, []).append(elapsed(context))
        outcomes[stage.key] = outcome
    return list(outcomes.values())


def needed_keys(plan: Plan, store: Store, policy: Policy) -> set[str]:
    """Keys of the stages that must run: results that are missing, and missing inputs of those."""
    if policy == "never":
        return set()
    if policy == "always":
        return {stage.key for stage in plan.stages}
    needed: set[str] = set()
    for stage in reversed(plan.stages):
        if stage.key in needed or (stage.key in plan.targets and not store.complete(stage.key)):
            needed.add(stage.key)
            # A pruned run counts as a result, but not as an input.
            needed.update(s.key for _, s in stage.inputs if not store.whole(s.key))
    return needed


def _settle(
    stage: Stage, store: Store, outcomes: Mapping[str, Outcome], *, needed: bool, policy: Policy
) -> Outcome | None:
    """The outcome of a stage that is not to be run now, or None."""
    if stage.reason:
        return Outcome(stage, "unavailable", stage.reason)
    if not needed:
        there = store.complete(stage.key)
        return Outcome(stage, "kept" if there or policy == "missing" else "missing")
    for _, source in stage.inputs:
        bad = source.key in outcomes and outcomes[source.key].status in ("failed", "blocked")
        if bad or not store.whole(source.key):
            return Outcome(stage, "blocked", f"needs {source.name}, which is not there")
    return None


def run_stage(stage: Stage, store: Store, context: Context, *, anew: bool = False) -> Outcome:
    """Build one stage and publish it; what it had done before an interruption is used unless ``anew``.

    Of several processes, all work on a shared stage, and a failure in it ends them all; on any other
    stage the leading one works.
    """
    context = replace(context, begun=time.monotonic())
    if KINDS[stage.kind].shared:
        status, detail = _build(stage, store, context, anew=anew)
    else:
        status, detail = from_leader(lambda: _build(stage, store, context, anew=anew))
    barrier()
    return Outcome(stage, status, detail)


def _build(stage: Stage, store: Store, context: Context, *, anew: bool) -> tuple[Status, str]:
    with store.building(stage.key, anew=anew) if leads() else nullcontext(store.work(stage.key)) as work:
        if KINDS[stage.kind].shared:
            barrier()  # the leading process has made and locked the folder
        try:
            with logging_to(work / "log.txt") if leads() else nullcontext():
                if leads():
                    require_space(stage, store, checkpoints=context.keep_checkpoints)
                inputs = {name: store.path(source.key) for name, source in stage.inputs}
                stage.code()(stage.config, inputs, work, context)
        except (UserError, MediaError) as error:
            return _failed(stage, store, text=str(error), line=str(error))
        except Exception as error:
            text, line = traceback.format_exc(), f"{type(error).__name__}: {error}".splitlines()[0]
            with deferred():  # torchrun asks this process to end when another is gone
                if isinstance(error, OSError) and error.errno in FULL:
                    line = f"no space left in {store.root}: {line}; free some, and the same command goes on"
                elif isinstance(error, RuntimeError):  # an exchange that failed, if another process is gone
                    line = cause() or line
                return _failed(stage, store, text=f"{line}\n\n{text}", line=line)
        if leads():
            write_json(work / "run.json", manifest(stage, context))
            store.publish(stage.key, work)
    return "done", ""


def _failed(stage: Stage, store: Store, *, text: str, line: str) -> tuple[Status, str]:
    text, line = redact(text), redact(line)
    announce(line)
    try:
        attempt = str(store.fail(stage.key, text))
    except OSError as error:
        attempt = f"not kept: {error.strerror}"
    log.error("%s failed: %s", stage.name, line)
    if size() > 1 and KINDS[stage.kind].shared:
        raise SystemExit(1)  # the others wait for this process; torchrun ends them
    return "failed", f"{line} (log: {attempt})"


def manifest(stage: Stage, context: Context) -> dict[str, object]:
    """What a run directory says of itself."""
    return {
        "key": stage.key,
        "kind": stage.kind,
        "version": KINDS[stage.kind].version,
        "name": stage.name,
        "suite": context.suite,
        "science": science(stage.config),
        "config": stage.config.model_dump(mode="json"),
        "inputs": {name: source.key for name, source in stage.inputs},
        "seconds": elapsed(context),
        "device": context.device,
        "world_size": size(),
        "versions": versions(),
        "commit": commit(),
    }


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Append what is logged to ``path`` as well."""
    handler = logging.FileHandler(path)
    handler.addFilter(HideSecrets())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
