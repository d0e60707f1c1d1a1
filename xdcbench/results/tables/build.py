"""From records and published rows to a grid: its rows, groups and footnotes."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xdcbench.config.table import Table
from xdcbench.errors import UserError
from xdcbench.results.published import Published, choose
from xdcbench.results.records import Record
from xdcbench.results.tables.cells import (
    CellStatistics,
    Item,
    counterpart,
    measured_cell,
    published_cell,
    said,
    split_settings,
    value_of,
)
from xdcbench.results.tables.chance import chance_rows
from xdcbench.results.tables.empty_columns import empty_notes, without_empty
from xdcbench.results.tables.footnotes import (
    cell_notes,
    number_details,
    number_notes,
    published_details,
    published_notes,
    record_details,
    record_notes,
)
from xdcbench.results.tables.grid import Cell, Grid, Group, Row
from xdcbench.results.tables.letters import lettered
from xdcbench.results.tables.placing import Placed, near, place, place_apart, same_frames, unique
from xdcbench.results.tables.ranks import ranked
from xdcbench.results.tables.unavailable import UnavailableResult
from xdcbench.utils.format import natural
from xdcbench.utils.messages import unknown_name

_DATASETS = ("pretrain_data", "dataset")
"""Fields that name a dataset."""
SYNTHETIC, REAL, PUBLISHED = "measured (synthetic data)", "measured", "published"


@dataclass(frozen=True)
class Names:
    """``titles`` of methods; ``printed_as``, their names in published.csv; titles of ``datasets``.

    Others are called as they are.
    """

    titles: Mapping[str, str] = field(default_factory=dict)
    printed_as: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)


def build(
    table: Table,
    records: Sequence[Record],
    published: Sequence[Published],
    *,
    names: Names | None = None,
    statistics: CellStatistics | None = None,
    lacks: Sequence[UnavailableResult] = (),
) -> Grid:
    """Fill a table; the order of ``records`` does not matter, and a run that comes twice counts once.

    Numbers from synthetic worlds, from real data and from papers form separate groups; so do published ones, of
    which ``table.published`` chooses, that do not state their frames or protocol. What comes close to a column but
    differs in protocol, split or frames is left out, and a footnote counts it. So is a column without any number, and
    a footnote names it. ``statistics`` judges measured numbers; ``lacks`` are what a plan asks for and this machine
    cannot measure.

    Raises:
        UserError: the table names a record field or a published row that does not exist.
    """
    _check_fields(table)
    held = _hold(table, records, published)
    judged = statistics or CellStatistics()
    fill = _Fill(table, names or Names(), judged, held.printed)
    groups, letters = lettered(_groups(held, fill, [lack for lack in lacks if _within(lack, table)]))
    table, groups, left_out = without_empty(table, groups)
    return Grid(
        table.title,
        table.rows,
        tuple(column.title for column in table.columns),
        groups,
        (*_notes(table, held, groups, fill.names.datasets), *empty_notes(left_out, held.records), *letters),
        table.figure,
        tuple(_details(table, held, groups, fill.names.datasets)),
    )


@dataclass(frozen=True)
class _Held:
    """What a table shows: numbers by column, published ones ``apart`` by what they leave open; and what it leaves out.

    ``unfit`` counts measured numbers that came close to a column, ``unfit_printed`` published ones, by reason.
    ``clashes`` are repetitions of a run's number with another value.
    """

    measured: Placed[Record]
    printed: Placed[Published]
    apart: Mapping[str, Placed[Published]]
    unfit: Counter[str]
    unfit_printed: Counter[str]
    clashes: int

    @property
    def records(self) -> list[Record]:
        return [record for _, record in self.measured]

    @property
    def shown(self) -> list[Published]:
        return [row for part in (self.printed, *self.apart.values()) for _, row in part]


def _hold(table: Table, records: Sequence[Record], published: Sequence[Published]) -> _Held:
    columns = table.columns
    runs, clashes = unique(r for r in near(records, columns) if _within(r, table))
    measured, unfit = place(runs, columns)
    stated, apart = place_apart(choose(published, table.published), columns)
    printed, unfit_printed = place(stated, columns)
    printed, other_frames = same_frames(printed, measured, columns)
    return _Held(measured, printed, apart, unfit, unfit_printed + other_frames, clashes)


def _groups(held: _Held, fill: "_Fill", lacks: Sequence[UnavailableResult]) -> tuple[Group, ...]:
    columns = fill.table.columns
    lacking = [(i, lack) for lack in lacks for i, column in enumerate(columns) if lack.under(column)]

    def measured(title: str, world: str) -> Group:
        of_world = [(i, r) for i, r in held.measured if (r.world == "real") == (world == "real")]
        rows = fill.rows(of_world, [(i, lack) for i, lack in lacking if lack.world == world])
        chance = chance_rows(rows, len(fill.table.rows), len(columns))
        return Group(title, ranked(rows, fill.statistics.test), chance)

    every = (
        measured(SYNTHETIC, "synthetic"),
        measured(REAL, "real"),
        Group(PUBLISHED, tuple(fill.rows(held.printed))),
        *(
            Group(f"{PUBLISHED}, {words}", tuple(fill.rows(part)))
            for words, part in sorted(held.apart.items())
        ),
    )
    return tuple(group for group in every if group.rows)


def _notes(table: Table, held: _Held, groups: Sequence[Group], titles: Mapping[str, str]) -> Iterator[str]:
    """What a reader needs; ``titles`` are those of datasets."""
    yield from table.footnotes
    yield from cell_notes(groups, table.columns)
    yield from number_notes(groups, table.columns, titles)
    yield from record_notes(held.records, titles)
    yield from published_notes(held.shown)
    if held.unfit:
        n = held.unfit.total()
        yield f"Left out, since protocol, split or frames are not those of a column: {n}."
    if held.clashes:
        yield f"Records that repeat a run's number with another value: {held.clashes}; one of each is shown."
    if not groups:
        yield "No record fits this table."


def _details(table: Table, held: _Held, groups: Sequence[Group], titles: Mapping[str, str]) -> Iterator[str]:
    """Where the numbers come from; ``titles`` are those of datasets."""
    for name, some in table.where.items():
        yield f"Only {name} {', '.join(said(value) or 'none' for value in some)}."
    yield from number_details(groups, table.columns, titles, synthetic=SYNTHETIC)
    yield from record_details(held.records, titles)
    yield from published_details(held.shown)
    for why, n in sorted((held.unfit + held.unfit_printed).items()):
        yield f"Left out: {n} {why}."


def _check_fields(table: Table) -> None:
    for name in (*table.rows, *table.where):
        if name not in Record.model_fields and not name.startswith("hyperparameters."):
            known = [*Record.model_fields, "hyperparameters.NAME"]
            raise UserError(f"table {table.title!r}: {unknown_name('field of a record', name, known)}")


def _within(item: Record | UnavailableResult, table: Table) -> bool:
    return all(value_of(item, name) in some for name, some in table.where.items())


@dataclass(frozen=True)
class _Fill:
    """Makes rows of what stands under the columns of a table; fields as in ``build``."""

    table: Table
    names: Names
    statistics: CellStatistics
    printed: Placed[Published]

    def rows(self, placed: Placed[Item], lacking: Sequence[tuple[int, UnavailableResult]] = ()) -> list[Row]:
        by_labels: dict[tuple[str, ...], Placed[Item]] = defaultdict(list)
        for i, item in placed:
            by_labels[self.labels(item)].append((i, item))
        absent: dict[tuple[str, ...], dict[int, str]] = self.reasons(by_labels, lacking)
        rows: list[tuple[tuple[int, int], Row]] = []
        for labels in [*by_labels, *sorted(absent.keys() - by_labels.keys())]:
            entries = by_labels.get(labels, [])
            rank, shown = self.rank(labels), self.shown(labels)
            for setting, part in split_settings(entries, self.table.columns) if entries else [("", [])]:
                cells = (
                    self.cell([item for at, item in part if at == i], i, absent[labels].get(i, ""))
                    for i in range(len(self.table.columns))
                )
                rows.append((rank, Row(shown, setting, tuple(cells))))
        if not any(isinstance(item, Published) for _, item in placed):  # those keep the order of their file
            rows.sort(key=lambda pair: [natural(text) for text in (*pair[1].labels, pair[1].setting)])
        return [row for _, row in sorted(rows, key=lambda pair: pair[0])]

    def labels(self, item: Record | Published | UnavailableResult) -> tuple[str, ...]:
        return tuple(said(value_of(item, name)) for name in self.table.rows)

    def shown(self, labels: Sequence[str]) -> tuple[str, ...]:
        titles = {"method": self.names.titles, **dict.fromkeys(_DATASETS, self.names.datasets)}
        named = zip(self.table.rows, labels, strict=True)
        return tuple(titles.get(name, {}).get(label, label) for name, label in named)

    def rank(self, labels: Sequence[str]) -> tuple[int, int]:
        """Place of a row's method in the order that the table states, then of its pretraining data there."""
        named = dict(zip(self.table.rows, labels, strict=True))
        methods, data = self.table.methods, self.table.pretrain_data
        like = (i for i, m in enumerate(methods) if named.get("method") in (m, self.names.printed_as.get(m)))
        place = next(like, len(methods))
        known = place < len(methods) and named.get("pretrain_data") in data
        return place, data.index(named["pretrain_data"]) if known else len(data)

    def reasons(
        self, known: Collection[tuple[str, ...]], lacking: Sequence[tuple[int, UnavailableResult]]
    ) -> dict[tuple[str, ...], dict[int, str]]:
        """Why there is no number, by labels and column; a label that a lack does not state fits any."""
        found: dict[tuple[str, ...], dict[int, str]] = defaultdict(dict)
        for i, lack in lacking:
            own = self.labels(lack)
            rows = [row for row in known if all(b in ("", a) for a, b in zip(row, own, strict=True))]
            for labels in rows or [own]:
                found[labels].setdefault(i, lack.reason)
        return found

    def cell(self, items: Sequence[Record | Published], at: int, absent: str) -> Cell:
        records = [item for item in items if isinstance(item, Record)]
        if not records:
            rows = [item for item in items if isinstance(item, Published)]
            return published_cell(rows) if rows else Cell(absent=absent)
        method = self.names.printed_as.get(records[0].method, records[0].method)
        beside = [row for i, row in self.printed if i == at]
        cell = measured_cell(records, self.statistics.of(records, every=self.table.intervals))
        reference = counterpart(records[0], cell, self.table.columns[at], beside, method)
        return replace(cell, reference=reference)
