"""The first number of a table's column against each other one, on the same test items."""

import logging
from collections.abc import Callable, Sequence

from xdcbench.errors import UserError
from xdcbench.results.records import Record
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.counterparts import (
    MUST_AGREE,
    common_splits,
    counterparts,
    disagreement,
    paired_items,
    place_of,
)
from xdcbench.results.statistics.paired import paired_p
from xdcbench.results.statistics.predictions import is_share
from xdcbench.results.statistics.significance import holm
from xdcbench.results.tables.cells import ColumnTest

log = logging.getLogger("xdcbench")


PairTest = Callable[[Sequence[Record], Sequence[Record]], float | None]
"""Two-sided p of the difference of two cells; None where they cannot be tested."""


def column_ps(
    first: Sequence[Record], others: Sequence[Sequence[Record]], p_of: PairTest
) -> list[float | None]:
    """Holm's p of the difference of ``first`` from each of ``others``, all records of a cell each, by ``p_of`` a pair.

    The family is that of all pairs of the column, since the first is chosen by its number. Pairs that are not tested
    count as the last of the family, which can only raise p.
    """
    ps = [p_of(first, other) for other in others]
    untested = [1.0] * (len(ps) * (len(ps) - 1) // 2)
    return holm([*ps, *untested])[: len(ps)]


def column_test(stores: Sequence[RunStore]) -> ColumnTest:
    """`column_ps` by `cell_p`, from the predictions in results folders."""
    return lambda first, others: column_ps(first, others, lambda a, b: cell_p(a, b, stores))


def cell_p(a: Sequence[Record], b: Sequence[Record], stores: Sequence[RunStore]) -> float | None:
    """Two-sided p of the difference of two cells on common splits and seeds, as `compare` tests it.

    None where the metric is no share of items, or predictions cannot be paired; the log says why.
    """
    if not all(is_share(record.metric) for record in (*a, *b)):
        return None
    ours, theirs = ({place_of(record): record for record in some} for some in (a, b))
    shared = counterparts(ours, theirs)
    if not shared or disagreement(list(shared.values()), MUST_AGREE):
        return None
    try:
        pairs = common_splits(paired_items(shared, (stores, stores)))
    except UserError as error:
        log.info("no test: %s", error)
        return None
    return paired_p(pairs) if pairs else None
