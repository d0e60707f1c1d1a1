"""What commands tell their user: plans, outcomes, tables."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xdcbench.cli.options import terminal_width
from xdcbench.config.released import release_of
from xdcbench.config.stages import PretrainedStage
from xdcbench.errors import UserError
from xdcbench.models.pretrained.released import require_license
from xdcbench.pipeline.executor import StageResult, execute
from xdcbench.pipeline.launch import Launch
from xdcbench.pipeline.needed import Policy, missing_stages, needed_keys
from xdcbench.pipeline.plan_document import state_of
from xdcbench.pipeline.suite_tables import tables_of, titles_of
from xdcbench.pipeline.unavailable import unavailable_results
from xdcbench.results.records import RECORD_FILE, Record, read_records, write_record_file
from xdcbench.results.run_store import RunStore
from xdcbench.results.tables.cells import CellStatistics
from xdcbench.results.tables.grid import Grid
from xdcbench.results.tables.present import Named, all_grids, grids, load_tables, measured_alone, write_tables
from xdcbench.results.tables.render import Format, render
from xdcbench.results.tables.texts import Look
from xdcbench.results.tables.titles import titles_in
from xdcbench.utils.distributed import is_main_process
from xdcbench.utils.locks import READ_ONLY
from xdcbench.utils.processes import process_group

log = logging.getLogger("xdcbench")


def plan_lines(launch: Launch) -> Iterator[str]:
    """Every stage of a plan: whether a run has to do it, its key and its name."""
    counts: Counter[str] = Counter()
    needed = needed_keys(launch.plan, launch.store, "missing")
    for stage in launch.plan.stages:
        state = state_of(stage, launch, needed)
        counts[state] += 1
        yield f"{state:<12} {stage.key:<27} {stage.name}" + (f"  ({stage.reason})" if stage.reason else "")
    yield f"{len(launch.plan.stages)} stages: " + ", ".join(f"{n} {state}" for state, n in counts.items())


def check_available(launch: Launch) -> None:
    """Refuse a plan of which not all can run here.

    Raises:
        UserError: names what is missing.
    """
    if lacking := [stage.unavailable for stage in launch.plan.stages if stage.unavailable]:
        raise UserError("data is not available: " + "; ".join(lacking))


def check_licenses(launch: Launch, policy: Policy) -> None:
    """Ask for the license of what a plan will download before it runs for hours.

    Raises:
        UserError: one forbids commercial use, and is not accepted in a batch job.
    """
    needed = needed_keys(launch.plan, launch.store, policy)
    for stage in launch.plan.stages:
        if stage.key in needed and isinstance(stage.config, PretrainedStage):
            for part in stage.config.encoders.by_modality.values():
                if (release := release_of(part)) and not part.file:
                    require_license(release, accepted=launch.context.accept_license)


def run_plan(
    launch: Launch, *, policy: Policy, alone: bool = False, require_all: bool = False
) -> list[StageResult]:
    """Execute a plan.

    Args:
        launch: what to execute.
        policy: which stages to run.
        alone: run the plan's targets only, not what they need.
        require_all: whether data that is not here is an error.

    Raises:
        UserError: nothing of the plan can run here, or not all of it where all is required, or an input
            of a target that is to run alone is missing.
    """
    targets = [stage for stage in launch.plan.stages if stage.key in launch.plan.targets]
    if require_all or all(stage.reason for stage in targets):
        check_available(launch)
    check_licenses(launch, policy)
    inputs = {source.key: source for stage in targets for _, source in stage.inputs}
    missing = [s.name for key, s in inputs.items() if not launch.store.whole(key, thorough=True)]
    if alone and missing:
        raise UserError(f"{targets[0].key} needs {', '.join(missing)}, which must be run first")
    plan = replace(launch.plan, stages=tuple(targets)) if alone else launch.plan
    with process_group():
        return execute(plan, launch.store, launch.context, policy=policy, jobs=launch.jobs)


def report(
    launch: Launch, outcomes: Sequence[StageResult], *, quiet: bool = False, alone: bool = False
) -> tuple[list[str], int]:
    """Tables of all that the suite has measured so far, what was written where, and what did not succeed.

    Args:
        launch: what was executed.
        outcomes: what became of it.
        quiet: of all that, only where tables were written.
        alone: of tables too, and these only where nothing is missing of what the command's ``--filter`` selects. Of
            commands for one stage each that end at the same time, the last to publish sees all results of it.

    Returns:
        Lines, none but in the main process, which alone writes; and the exit code: 0 if nothing failed.
    """
    suite, store = launch.plan.suite, launch.store
    counts = Counter(outcome.status for outcome in outcomes)
    code = 1 if counts["failed"] or counts["blocked"] else 0
    if not is_main_process():
        return [], code
    waits = alone and missing_stages(launch.selected, store)
    lines = [] if waits else _table_lines(launch, shown=not (quiet or alone))
    if quiet:
        return lines, code
    done = sum(store.complete(key) for key in launch.keys)
    lines += [
        f"runs    {store.runs} ({done} of {len(launch.keys)} of this suite; `xdcbench show KEY` opens one)"
    ]
    lines += [
        f"unavailable: {reason}"
        for reason in sorted({o.detail for o in outcomes if o.status == "unavailable"})
    ]
    lines += [f"failed: {o.stage.name}: {o.detail}" for o in outcomes if o.status == "failed"]
    lines += [f"{suite.name}: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))]
    return lines, code


def _table_lines(launch: Launch, *, shown: bool) -> list[str]:
    """Write the tables of a suite; the lines of each where they are ``shown``, and those that name the files."""
    records = read_records([launch.store], launch.keys)
    if not records and not any(stage.reason for stage in launch.whole.stages):
        return []
    tables = suite_tables(launch, records)
    look = Look(width=terminal_width())
    texts = [render(grid, "txt", look) for grid in tables.values()] if shown else []
    lines = [line for text in texts for line in text.split("\n")]
    return lines + table_files(tables, launch.store.root / "tables" / launch.plan.suite.name)


def table_files(tables: dict[str, Grid], folder: Path) -> list[str]:
    """Write tables; lines that name the files, or say that there are none: a finished folder may be read-only.

    Raises:
        UserError: they cannot be written for another reason.
    """
    try:
        return written_lines(write_tables(tables, folder))
    except UserError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in READ_ONLY:
            raise
        return [f"tables  not written to {folder}: {error.__cause__.strerror}"]


def suite_tables(launch: Launch, records: Sequence[Record]) -> dict[str, Grid]:
    """The tables of a suite, each of what its own part measures or cannot measure here."""
    suite = launch.whole.suite
    titles = {name: method.title for name, method in suite.methods.items()}
    named = Named(titles, suite.encoders, titles_of(launch.whole))
    tables: dict[str, Grid] = {}
    for name, shown in tables_of(launch.whole).items():
        tables |= grids(
            {name: shown.table},
            [record for record in records if record.run in shown.keys],
            named=named,
            statistics=cell_statistics([launch.store], every=False),
            lacks=list(
                unavailable_results(stage for stage in launch.whole.stages if stage.key in shown.keys)
            ),
        )
    return tables


def cell_statistics(stores: Sequence[RunStore], *, every: bool) -> CellStatistics:
    """Intervals and tests from the predictions in results folders; what computes them is imported when needed.

    Where intervals of ``every`` cell are asked for, predictions that are not as they should be are an error. Else the
    log says so, and the cell has none.
    """

    def ends(records: Sequence[Record]) -> tuple[float, float] | None:
        from xdcbench.results.statistics.predictions import cell_ends

        try:
            return cell_ends(records, stores)
        except UserError as error:
            if every:
                raise
            log.warning("no interval: %s", error)
            return None

    def test(first: Sequence[Record], others: Sequence[Sequence[Record]]) -> Sequence[float | None]:
        from xdcbench.results.statistics.column_test import column_test

        return column_test(stores)(first, others)

    return CellStatistics(ends, test, every=every)


def written_lines(paths: Sequence[Path]) -> list[str]:
    """One line per table: its files, named together by their formats."""
    by_table: dict[Path, list[str]] = {}
    for path in paths:
        by_table.setdefault(path.with_suffix(""), []).append(path.suffix[1:])
    return [f"table   {stem}.{{{','.join(formats)}}}" for stem, formats in by_table.items()]


@dataclass(frozen=True)
class TableRequest:
    """Which tables to print, and how.

    Attributes:
        names: of the library, or files; none: all that hold a measured number.
        fmt: to print.
        output: folder that gets every format of each, and the records of the runs that they show.
        intervals: whether every cell shows its interval.
        published: True: without names, also tables of published numbers alone; False: no published numbers.
        look: of the texts.
    """

    names: Sequence[str] = ()
    fmt: Format = "txt"
    output: Path | None = None
    intervals: bool = False
    published: bool | None = None
    look: Look = field(default_factory=Look)


def table_lines(request: TableRequest, folders: Sequence[Path]) -> Iterator[str]:
    """Tables over several results folders.

    Raises:
        UserError: a folder is not a results folder, or a table is unknown.
    """
    stores = [RunStore.existing(root) for root in folders]
    records, statistics = read_records(stores), cell_statistics(stores, every=request.intervals)
    beside, titles = request.published is not False, titles_in(stores)
    if request.names:
        named = load_tables(request.names)
        asked = named if beside else measured_alone(named)
        tables = grids(asked, records, named=Named(datasets=titles), statistics=statistics)
    else:
        every = all_grids(records, statistics, titles=titles, published=beside)
        tables = {
            name: grid for name, grid in every.items() if grid.runs or (request.published and grid.groups)
        }
    for grid in tables.values():
        yield from render(grid, request.fmt, request.look).split("\n")
    if not tables:
        where = ", ".join(map(str, folders))
        yield f"No measured number in {where}. Try: `xdcbench table --published`, for published ones."
    if request.output is not None:
        yield from written_lines(write_tables(tables, request.output, request.look))
        runs = frozenset().union(*(grid.runs for grid in tables.values()))
        write_record_file(request.output / RECORD_FILE, [record for record in records if record.run in runs])
        yield f"records {request.output / RECORD_FILE}"
