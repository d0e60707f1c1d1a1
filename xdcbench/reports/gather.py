"""What a report is made of: the runs of one or several results folders, read as one."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from xdcbench.errors import UserError
from xdcbench.results.records import Record, read_records
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.column_test import cell_p, column_ps
from xdcbench.results.statistics.predictions import cell_ends
from xdcbench.results.tables.cells import CellStatistics, Intervals
from xdcbench.results.tables.titles import dataset_titles, stated_titles
from xdcbench.utils.documents import LISTING, RUN_AGAIN, json_lines, read_as
from xdcbench.utils.secrets import redact


@dataclass(frozen=True)
class Run:
    """One complete run, its directory and what it says of itself in ``run.json``.

    ``records`` are what it measured, ``epochs`` the rows of ``metrics.jsonl`` that sum up an epoch, ``failed``
    the reason by id of each item that it could not decode; stages that have none of these lack them.
    """

    key: str
    folder: Path
    facts: RunFacts
    records: tuple[Record, ...] = ()
    epochs: tuple[dict[str, Any], ...] = ()
    failed: dict[str, str] | None = None

    @property
    def kind(self) -> str:
        """Name of its stage."""
        return str(self.facts["kind"])

    @property
    def name(self) -> str:
        """What the plan called it."""
        return str(self.facts["name"])

    @property
    def seconds(self) -> float:
        """Wall-clock seconds times the processes that shared the work."""
        return float(self.facts["seconds"]) * int(self.facts["world_size"])


@dataclass(frozen=True)
class Attempt:
    """A run that failed and was not made since: its key, how often, and the last line of its error."""

    key: str
    times: int
    error: str


_Place = tuple[tuple[str, str, str], ...]
"""What tells a cell from others: its records' runs, metrics and settings."""


@dataclass(frozen=True)
class Results:
    """Results folders read as one: ``runs`` by key, sorted; a run that lies in several counts once.

    ``damaged`` says of each run that is left out, and is whole in no folder, what is wrong with it.
    """

    name: str
    stores: tuple[RunStore, ...]
    runs: dict[str, Run]
    attempts: tuple[Attempt, ...]
    damaged: dict[str, str]

    @cached_property
    def records(self) -> list[Record]:
        """All numbers of all runs, by key of the run."""
        return [record for run in self.runs.values() for record in run.records]

    @cached_property
    def stated_titles(self) -> list[tuple[str, str]]:
        """Name and title of the dataset of each index."""
        return list(stated_titles(run.facts for run in self.runs.values() if run.kind == "index"))

    @cached_property
    def titles(self) -> dict[str, str]:
        """Display name of each dataset."""
        return dataset_titles(self.stated_titles)

    def title(self, dataset: str) -> str:
        """Display name of a dataset; its name where it has none."""
        return self.titles.get(dataset, dataset)

    @cached_property
    def _ends(self) -> dict[_Place, tuple[float, float] | str | None]:
        """Intervals that were computed once, or why there is none: tables and leaderboard share most cells."""
        return {}

    @cached_property
    def _ps(self) -> dict[tuple[_Place, _Place], float | None]:
        """Tests of pairs of cells, likewise."""
        return {}

    def placeless(self, text: str) -> str:
        """A message that names the results folders as the page does, wherever they lie."""
        for store in self.stores:
            text = text.replace(str(store.root), store.root.resolve().name)
        return text

    def statistics(self, lacking: dict[str, None]) -> CellStatistics:
        """What judges the numbers in these folders; ``lacking`` is as of `ends_or_reason`."""
        return CellStatistics(
            self.ends_or_reason(lacking),
            lambda first, others: column_ps(first, others, self._p),
            every=True,
        )

    def _p(self, a: Sequence[Record], b: Sequence[Record]) -> float | None:
        key = _place(a), _place(b)
        if key not in self._ps:
            self._ps[key] = cell_p(a, b, self.stores)
        return self._ps[key]

    def ends_or_reason(self, lacking: dict[str, None]) -> Intervals:
        """`cell_ends` in these folders; why a number that could have an interval lacks it is kept in ``lacking``."""

        def ends(records: Sequence[Record]) -> tuple[float, float] | None:
            key = _place(records)
            if key not in self._ends:
                try:
                    self._ends[key] = cell_ends(records, self.stores)
                except UserError as error:
                    self._ends[key] = self.placeless(str(error))
            found = self._ends[key]
            if isinstance(found, str):
                lacking[found] = None
                return None
            return found

        return ends


def _place(records: Sequence[Record]) -> _Place:
    return tuple(sorted((r.run, r.metric, str(sorted(r.hyperparameters.items()))) for r in records))


def gather(folders: Sequence[Path]) -> Results:
    """Read results folders; a UserError where one is none or of another version, or one of its files is unreadable."""
    stores = tuple(RunStore.existing(folder) for folder in folders)
    damaged = {(store, key): said for store in stores for key, said in store.damaged().items()}
    records: dict[str, list[Record]] = defaultdict(list)
    for record in read_records(stores):
        records[record.run].append(record)
    there = ((store, key) for store in reversed(stores) for key in store.there())
    where = {key: store.path(key) for store, key in there if (store, key) not in damaged}
    runs = {key: _run(where[key], records[key]) for key in sorted(where)}
    return Results(
        name=" + ".join(folder.resolve().name for folder in folders),
        stores=stores,
        runs=runs,
        attempts=tuple(one for store in stores for one in _attempts(store) if one.key not in runs),
        damaged={key: said for (_, key), said in damaged.items() if key not in runs},
    )


def _run(folder: Path, records: Sequence[Record]) -> Run:
    facts = read_facts(folder)
    failed = folder / "failed.json"
    # Features name items by their place; what they lack is in the runs that used them, by id.
    by_id = failed.exists() and facts["kind"] != "features"
    return Run(
        key=folder.name,
        folder=folder,
        facts=facts,
        records=tuple(records),
        epochs=tuple(_epochs(folder / "metrics.jsonl")),
        failed=read_as(dict[str, str], failed, limit=LISTING) if by_id else None,
    )


def _epochs(path: Path) -> Iterator[dict[str, Any]]:
    """Rows that sum up an epoch."""
    for row in json_lines(path) if path.exists() else ():
        if not isinstance(row, dict) or not isinstance(row.get("epoch"), int):
            raise UserError(f"{path}: a line is no row of an epoch. Try: {RUN_AGAIN}")
        if "steps" not in row and row["epoch"] > 0:
            yield row


def _attempts(store: RunStore) -> list[Attempt]:
    found = []
    for folder in sorted((store.runs / ".failed").glob("*/")):
        tries = sorted(folder.iterdir())
        error = tries[-1] / "error.txt" if tries else None
        text = error.read_text(encoding="utf-8", errors="replace") if error and error.is_file() else ""
        said = redact(text).strip().splitlines()
        found.append(Attempt(folder.name, len(tries), said[-1] if said else "no error was kept"))
    return found
