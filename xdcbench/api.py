"""What other code calls: load an encoder, run a suite, read records, fill a table.

`xdcbench` offers these names and imports this module when the first of them is used.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xdcbench.config.base import Modality
from xdcbench.errors import UserError
from xdcbench.results import records as record_files
from xdcbench.results.records import Record
from xdcbench.results.run_store import RunStore
from xdcbench.results.tables.render import Format

if TYPE_CHECKING:
    from torch import nn

Place = str | Path
RESULTS = Path("results")


def load_encoder(
    pretraining: Place | None = None,
    modality: Modality = "video",
    *,
    num_classes: int | None = None,
) -> "nn.Module":
    """Load an encoder in eval mode.

    Args:
        pretraining: a name of ``xdcbench list weights``, a folder that ``xdcbench export`` wrote, a run directory that
            holds encoders, a file of weights, or None: random weights.
        modality: ``video`` or ``audio``.
        num_classes: size of a new random classifier ``fc``; None: the module gives features (B, 512).

    Returns:
        A module that takes normalized clips, float32 (B, 3, T, H, W), or spectrograms, float32 (B, 1, mels, frames).
        Its method ``prepare`` makes them of raw clips, uint8 (B, T, H, W, 3), or of samples, float32 (B, samples).

    Raises:
        UserError: the name is unknown, a file was changed, or weights do not fit.
    """
    from xdcbench.export.hub import encoder

    return encoder(modality, pretraining, num_classes=num_classes).eval()


def run_suite(
    suite: Place,
    *,
    results: Place = RESULTS,
    data_root: Place | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    trust_code: bool = False,
) -> list[Record]:
    """Run what is missing of a suite and return its records, as ``xdcbench run`` does.

    Args:
        suite: a name of ``xdcbench list suites``, or the path of a YAML file.
        results: folder that holds all runs; made if it does not exist.
        data_root: folder of the real datasets; a suite with a synthetic world needs none.
        overrides: settings as ``--set`` takes them, e.g. ``pretrain.rounds=3``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        trust_code: whether code that the suite names may run.

    Returns:
        All records of the suite that are in ``results``. Stages whose data is missing have none.

    Raises:
        UserError: a setting does not fit, all of the suite's data is missing, or a stage failed. What succeeded is
            kept; call it again to resume.
    """
    from xdcbench.pipeline.executor import execute
    from xdcbench.pipeline.launch import Request, plan_launch

    launch = plan_launch(
        Request(
            str(suite),
            results=Path(results),
            data_root=None if data_root is None else Path(data_root),
            overrides=tuple(overrides),
            device=device,
            trust_code=trust_code,
        )
    )
    targets = [stage for stage in launch.plan.stages if stage.key in launch.plan.targets]
    if all(stage.reason for stage in targets):
        raise UserError("; ".join(sorted({stage.reason for stage in targets})))
    outcomes = execute(launch.plan, launch.store, launch.context, jobs=launch.jobs)
    if failed := [outcome for outcome in outcomes if outcome.status == "failed"]:
        raise UserError("; ".join(f"{outcome.stage.name} failed: {outcome.detail}" for outcome in failed))
    return record_files.read_records([launch.store], launch.keys)


def read_records(results: Place | Iterable[Place] = RESULTS) -> list[Record]:
    """Read the records of one results folder, or of several as one; a run that is in several counts once.

    Raises:
        UserError: a folder is not a results folder, or its records have another schema.
    """
    return record_files.read_records(_stores(results))


def table(
    name: Place,
    results: Place | Iterable[Place] = RESULTS,
    *,
    format: Format = "txt",
    intervals: bool = False,
) -> str:
    """Fill a table with the measured numbers of results folders beside published numbers.

    Args:
        name: a name of ``xdcbench list tables``, or the path of a YAML file.
        results: one results folder, or several that are read as one.
        format: ``txt``, ``md``, ``tex``, ``csv`` or ``html``.
        intervals: whether every cell gets its 95 % confidence interval over test items.

    Raises:
        UserError: the table is unknown, a folder is not a results folder, or predictions do not fit their record.
    """
    from xdcbench.results.statistics.column_test import column_test
    from xdcbench.results.statistics.predictions import cell_ends
    from xdcbench.results.tables.cells import CellStatistics
    from xdcbench.results.tables.present import Named, grids, load_tables
    from xdcbench.results.tables.render import render
    from xdcbench.results.tables.titles import titles_in

    stores = _stores(results)
    statistics = CellStatistics(
        lambda records: cell_ends(records, stores),
        column_test(stores),
        every=intervals,
    )
    asked, named = load_tables([str(name)]), Named(datasets=titles_in(stores))
    records = record_files.read_records(stores)
    (grid,) = grids(asked, records, named=named, statistics=statistics).values()
    return render(grid, format)


def _stores(results: Place | Iterable[Place]) -> list[RunStore]:
    folders = [results] if isinstance(results, str | Path) else results
    return [RunStore.existing(Path(folder)) for folder in folders]
