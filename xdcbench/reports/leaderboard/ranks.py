"""Mean ranks over the evaluations that rows share, and how far other test items would have moved them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xdcbench.errors import UserError
from xdcbench.reports.leaderboard.board import Board, BoardCell, Heading
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.intervals import LEVEL, Run, Sample
from xdcbench.results.statistics.predictions import is_share, load_predictions

SHOWN = {"video": "Video", "audio": "Audio", "": "Audio and video"}
"""Modalities by which rows are ranked, in words."""


@dataclass(frozen=True)
class MeanRank:
    """Mean rank of a row, from 1, the best, with the ends of its 95 % interval (None: nothing could be drawn)."""

    value: float
    ends: tuple[float, float] | None


@dataclass(frozen=True)
class Ranking:
    """Rows ranked by what was measured of one modality.

    Attributes:
        columns: positions of the columns that count.
        ranks: by position of the row; rows that lack one of the columns have none.
        fixed: positions of those of the columns whose ranks were not drawn anew.
        lacking: by position of a row without a rank, the columns that it lacks.
    """

    modality: str
    columns: tuple[int, ...]
    ranks: Mapping[int, MeanRank]
    fixed: tuple[int, ...]
    lacking: Mapping[int, tuple[int, ...]]


def rankings(board: Board, stores: Sequence[RunStore]) -> list[Ranking]:
    """Rank rows by each modality, over the columns that all ranked rows share.

    A column counts if its numbers agree in their settings and more than half of the rows measured by that modality
    have it. Ranked are the rows that have all of these columns. Equal numbers share the mean of their ranks. Columns
    of one evaluation on one dataset (numbers of neighbors, of shots, sets of splits) weigh as one together.

    The interval is a percentile bootstrap over test items: each replicate of the groups of test items, the same for
    all rows, gives every row a new value and so a new rank in each column. Columns on the same test items get the
    same draws. Seeds stay as they are. Values without predictions (mAP) keep their ranks.
    """
    found = []
    for modality in SHOWN:
        columns = _shared(board, modality)
        if columns:
            found.append(_ranking(board, modality, columns, stores))
    return found


def _shared(board: Board, modality: str) -> tuple[int, ...]:
    own = [i for i, heading in enumerate(board.columns) if heading.modality == modality]
    rows = [row for row in board.rows if any(i in row.cells for i in own)]
    have = {i: sum(i in row.cells for row in rows) for i in own}
    return tuple(i for i in own if have[i] > 1 and 2 * have[i] > len(rows) and i not in board.unlike)


def _ranking(board: Board, modality: str, columns: tuple[int, ...], stores: Sequence[RunStore]) -> Ranking:
    lacking = {
        at: tuple(i for i in columns if i not in row.cells)
        for at, row in enumerate(board.rows)
        if modality in {board.columns[i].modality for i in row.cells}
    }
    ranked = [at for at, missing in lacking.items() if not missing]
    held = [[board.rows[at].cells[i] for at in ranked] for i in columns]
    samples = {i: _replicates(cells, stores) for i, cells in zip(columns, held, strict=True)}
    drawn = {i: sample for i, sample in samples.items() if sample is not None}
    weights = _weights([board.columns[i] for i in columns])
    value = weights @ np.stack([_ranks(_values(cells)[None], cells)[0] for cells in held])
    ends = _ends(board, columns, held, drawn, weights) if drawn and len(ranked) > 1 else None
    return Ranking(
        modality,
        columns if len(ranked) > 1 else (),
        {
            at: MeanRank(float(value[k]), None if ends is None else (float(ends[0, k]), float(ends[1, k])))
            for k, at in enumerate(ranked if len(ranked) > 1 else [])
        },
        tuple(i for i in columns if i not in drawn),
        {at: missing for at, missing in lacking.items() if missing},
    )


def _weights(headings: Sequence[Heading]) -> np.ndarray:
    """What each column counts, float64 (columns,), 1 in all: those of one evaluation on one dataset share its part."""
    names = [heading[:3] for heading in headings]
    parts = np.array([1.0 / names.count(name) for name in names])
    weights: np.ndarray = parts / parts.sum()
    return weights


def _values(cells: Sequence[BoardCell]) -> np.ndarray:
    return np.array([one.cell.value for one in cells], dtype=np.float64)


def _ranks(values: np.ndarray, cells: Sequence[BoardCell]) -> np.ndarray:
    """Ranks from 1 along the rows of ``values``, float64 (replicates, rows); equal ones share their mean."""
    from scipy.stats import rankdata

    ranks: np.ndarray = rankdata(-values if cells[0].cell.higher_is_better else values, axis=1)
    return ranks


def _replicates(cells: Sequence[BoardCell], stores: Sequence[RunStore]) -> np.ndarray | None:
    """Bootstrap replicates of a column's values, float64 (replicates, rows); None where it has no predictions."""
    runs = []
    for at, one in enumerate(cells):
        several = len({record.pretrain_seed for record in one.records}) > 1
        for record in one.records:
            if not is_share(record.metric):
                return None
            try:
                items = load_predictions(record, stores)
            except UserError:
                return None  # the cell's interval has said so
            seed = record.pretrain_seed if several else record.seed
            runs.append(Run(f"{at:06d} {seed}", record.split, items.groups, items.scores))
    sample = Sample.of(runs)
    if not sample.enough:
        return None
    owners = np.array([int(seed.split()[0]) for seed in sorted({run.seed for run in runs})])
    mean = (owners[:, None] == np.arange(len(cells))).astype(np.float64)
    found: np.ndarray = sample.replicates @ (mean / mean.sum(axis=0))
    return found


def _ends(
    board: Board,
    columns: Sequence[int],
    held: Sequence[Sequence[BoardCell]],
    drawn: Mapping[int, np.ndarray],
    weights: np.ndarray,
) -> np.ndarray:
    """Ends of the intervals of mean ranks, float64 (2, rows)."""
    count = min(len(sample) for sample in drawn.values())
    test_items = sorted({_test_items(board.columns[i]) for i in drawn})
    total = np.zeros((count, len(held[0])))
    for i, cells, weight in zip(columns, held, weights, strict=True):
        if i in drawn:
            # Replicates of all columns come from one seed: those of other test items are put in an order of their own.
            order = np.random.default_rng(test_items.index(_test_items(board.columns[i]))).permutation(count)
            total += weight * _ranks(drawn[i][:count][order], cells)
        else:
            total += weight * _ranks(_values(cells)[None], cells)
    ends: np.ndarray = np.quantile(total, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return ends


def _test_items(heading: Heading) -> tuple[str, str, tuple[str, ...]]:
    return heading.world, heading.dataset, heading.splits
