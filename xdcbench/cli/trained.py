"""The trained numbers of a check: measured, calibrated over seeds and threads, looked at again where they moved."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from xdcbench.cli.output import report, run_plan
from xdcbench.errors import UserError
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.launch import Launch, Request, plan_launch
from xdcbench.results.records import Record, read_records
from xdcbench.results.regression.changes import RegressionChange, regression_changes
from xdcbench.results.regression.reference import Reference, spreads_of
from xdcbench.results.regression.values import ALL, compared, values_of
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.predictions import load_predictions
from xdcbench.utils.cores import available_cores

FEWEST = 3
"""Seeds of a calibration at least."""

log = logging.getLogger("xdcbench")


@dataclass(frozen=True)
class Measured:
    """What a suite's stages measured: records, or why there are none."""

    records: list[Record]
    failed: tuple[str, ...] = ()


def measure(launch: Launch) -> Measured:
    """Run all stages of a suite."""
    outcomes = run_plan(launch, policy="missing", require_all=True)
    lines, code = report(launch, outcomes)
    if code:
        failed = [line for line in lines if line.startswith("failed")]
        return Measured([], (*failed, f"{launch.plan.suite.name}: cannot tell, since stages failed"))
    return Measured(read_records([launch.store], [outcome.stage.key for outcome in outcomes]))


def calibrate(request: Request, reference: Reference, seeds: int) -> tuple[Reference, tuple[str, ...]]:
    """The reference with the spread of every trained number over seeds and threads, or why there is none.

    Each number of threads is a results folder of its own below that of the request, where a killed calibration goes on.

    Raises:
        UserError: fewer seeds than a spread takes.
    """
    if seeds < FEWEST:
        raise UserError(
            f"--calibrate {seeds}: trained numbers are compared with their spread over seeds. Try: at least {FEWEST}, "
            "better 8 or more; or --tiers inputs,features,algorithms,steps, which need none"
        )
    own = plan_launch(request).plan.suite.seeds
    chosen = tuple(dict.fromkeys([*own, *range(max(own) + 1, max(own) + 1 + seeds)]))[:seeds]
    runs: list[list[Record]] = []
    wrong: dict[str, tuple[str, ...]] = {}
    counts = thread_counts(request)
    for threads in counts:
        folder = request.results / f"calibration-{threads}-threads"
        launch = plan_launch(replace(request, seeds=chosen, jobs=jobs_for(threads, request), results=folder))
        log.info("calibration: %d seeds, %d threads", seeds, threads)
        measured = measure(launch)
        if measured.failed:
            return reference, measured.failed
        runs += [[record for record in measured.records if record.seed == seed] for seed in chosen]
        wrong = wrong or wrong_items([r for r in measured.records if r.seed in own], launch.store)
    update = {"seeds": chosen, "threads": counts, "values": spreads_of(runs), "wrong": wrong}
    return reference.model_copy(update=update), ()


def thread_counts(request: Request) -> tuple[int, ...]:
    """Numbers of threads of a calibration: one and as many as there are cores; on a GPU the latter alone."""
    cores = available_cores()
    return (cores,) if request.device != "cpu" else tuple(sorted({1, cores}))


def jobs_for(threads: int, request: Request) -> int | None:
    """Stages side by side such that each has so many threads."""
    return max(1, available_cores() // threads) if request.device == "cpu" else request.jobs


def wrong_items(records: Sequence[Record], store: RunStore) -> dict[str, tuple[str, ...]]:
    """Ids of the test items that were classified wrong, by name of number; sorted."""
    found: dict[str, tuple[str, ...]] = {}
    for name, of in compared(records).items():
        if name.endswith("/top1"):
            loaded = [load_predictions(record, [store]) for record in of]
            found[name] = tuple(sorted({str(i) for one in loaded for i in one.ids[one.scores == 0]}))
    return found


def trained_changes(
    request: Request, launch: Launch, known: Reference
) -> tuple[list[RegressionChange], Measured]:
    """Every trained number of a suite beside the reference; of those that moved, another seed's and the items."""
    measured = measure(launch)
    if measured.failed:
        return [], measured
    changes = regression_changes(measured.records, known)
    moved = {change.name for change in changes if change.moved}
    if not moved:
        return changes, measured
    again = look_again(request, moved, seed=max((*launch.plan.suite.seeds, *known.seeds)) + 1)
    wrong = wrong_items(measured.records, launch.store)
    return [
        replace(
            change,
            again=again.get(change.name),
            items=tuple(i for i in wrong.get(change.name, ()) if i not in known.wrong.get(change.name, ())),
        )
        if change.name in moved
        else change
        for change in changes
    ], measured


def look_again(request: Request, names: Collection[str], *, seed: int) -> dict[str, float]:
    """The numbers of some names with another seed, in a folder of their own; without those whose stages failed."""
    launch = plan_launch(replace(request, seeds=(seed,), results=request.results / "again"))
    plan = launch.plan.those(lambda stage: any(_is_behind(stage, name) for name in names))
    log.info("%d numbers moved; their stages run again with seed %d", len(names), seed)
    outcomes = run_plan(replace(launch, plan=plan), policy="missing")
    done = [outcome.stage.key for outcome in outcomes if outcome.is_there]
    return values_of(read_records([launch.store], done))


def _is_behind(stage: Stage, name: str) -> bool:
    """Whether a number of this name is among what the stage measures."""
    method, _, evaluation, dataset, _ = name.split("/")
    parts = stage.name.split("/")
    if parts[0] != method or evaluation == ALL:
        return parts[0] == method
    return stage.kind == "round" if evaluation == "round" else parts[-3:-1] == [evaluation, dataset]
