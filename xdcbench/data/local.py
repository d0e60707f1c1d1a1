"""A dataset on this machine, and what decoding tells of each of its files."""

import hashlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.fingerprints import Mode, fingerprints
from xdcbench.data.index_stage import take
from xdcbench.data.media.inspect import Facts, inspect
from xdcbench.data.scan import scan
from xdcbench.data.scanning.items import SPLIT, Scan
from xdcbench.data.survey import Question, survey, survey_part
from xdcbench.errors import MediaError, UserError
from xdcbench.utils.code import NO_CODE, Consent
from xdcbench.utils.parts import Part

FACTS = {
    fact.name: {str: "string", int: "Int64", bool: "boolean", float: "float64"}[fact.type]  # type: ignore[index]
    for fact in fields(Facts)
}
"""Pandas types of the facts."""
VERSION = 2
"""Of the facts that are kept; to be raised by any change of what `inspect` finds in the same file."""


@dataclass(frozen=True)
class LocalDataset:
    """A dataset on this machine.

    Attributes:
        name: as the user calls it.
        scan: its lists and files; ``items`` are those of the subset.
        fingerprint: of the whole.
        folder: where what is found out about it is kept.
        stamp: of the whole, see `Fingerprints`.
    """

    name: str
    dataset: Dataset
    root: Path
    scan: Scan
    fingerprint: str
    folder: Path
    stamp: str = ""

    def part(self, name: str) -> pd.DataFrame:
        """Items that are in part ``name`` of any split, or all.

        Raises:
            UserError: there is none.
        """
        items = self.scan.items
        if name != "all":
            columns = [column for column in map(str, items) if column.startswith(SPLIT)]
            items = items[(items[columns] == name).any(axis=1)].reset_index(drop=True)
        if items.empty:
            raise UserError(f"{self.name}: no item is in a part {name!r}; give another part")
        return items


def find_local(
    name: str, dataset: Dataset, root: Path, out: Path | None, mode: Mode = "size", consent: Consent = NO_CODE
) -> LocalDataset:
    """Scan a dataset and make its folder, named by the fingerprint and, where there is one, the subset.

    Without ``out`` nothing is written, and its folder is ``root``.

    Raises:
        UserError: files and lists do not fit the layout; ``out`` cannot be written to.
    """
    found = scan(root, dataset, consent)
    mark = fingerprints(found, root, mode, out / "cache" if out else None)
    state = mark.fingerprint
    if dataset.subset.words:
        state = hashlib.sha256(f"{state} {dataset.subset.words}".encode()).hexdigest()
    folder = out / "data" / f"{name}-{state[:12]}" if out else root
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to {out}: {error.strerror}; give another folder with --results"
        ) from error
    items = take(found.items, dataset.subset, dataset.splits).reset_index(drop=True)
    kept = replace(found, items=items)
    return LocalDataset(name, dataset, root, kept, mark.fingerprint, folder, mark.stamp)


def facts(data: LocalDataset, *, workers: int, limit: float, wait: bool = False) -> pd.DataFrame:
    """The items with the columns of `Facts` and of `survey`, which says the rest; kept as ``items.parquet``."""
    return survey(*_asked(data), workers=workers, limit=limit, wait=wait)


def facts_of_part(data: LocalDataset, part: Part, *, workers: int, limit: float) -> int:
    """Find the facts of one part of the files, for `facts`; the number of files whose facts other parts lack."""
    return survey_part(*_asked(data), part, workers=workers, limit=limit)


def _asked(data: LocalDataset) -> tuple[pd.DataFrame, Path, Question, Path]:
    question = Question(look, FACTS, f"decoding {data.name}", VERSION)
    return data.scan.items, data.root, question, data.folder / "items.parquet"


def look(path: str) -> dict[str, Any]:
    """The facts of a file, or why there are none."""
    try:
        return asdict(inspect(Path(path)))
    except MediaError as error:
        return {"error": error.reason}
