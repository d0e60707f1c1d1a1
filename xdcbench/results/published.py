"""Published numbers: typed rows of baselines/published.csv, each with how well it is established."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from xdcbench.errors import UserError

LONGEST = 18
"""Digits of a whole number."""

Status = Literal["verified", "unverified", "unverified-low"]
Protocol = Literal["finetune", "linear_probe", "linear_svm", "as published"]
Selection = Literal["last", "val-best", "test-best", "unknown"]

MARKS: dict[Status, str] = {"verified": "", "unverified": "†", "unverified-low": "‡"}
LEGEND: dict[Status, str] = {
    "unverified": "attributed to its source, which could not be read: unverified",
    "unverified-low": "unverified, and of low confidence",
}


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError("a name, not empty")
    return text


def _count(text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit() and len(text) <= LONGEST):
        raise ValueError("a whole number, or empty")
    return int(text) if text else None


def _table(text: str) -> int:
    number = _count(text)
    if number is None:
        raise ValueError("the number of a table")
    return number


def _per_cent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise ValueError("a number from 0 to 100")
    return value


def _one_of(kind: Any) -> Callable[[str], str]:
    allowed = get_args(kind)

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text

    return parse


Name = Annotated[str, _name]
Count = Annotated[int | None, _count]


@dataclass(frozen=True)
class Published:
    """One published number, in per cent. ``frames``, ``k``, ``pretrain_size``: None where not stated.

    ``differs`` says what its protocol does unlike this project's beyond that; empty where nothing is known.
    """

    id: Name
    table: Annotated[int, _table]
    method: Name
    architecture: str
    pretrain_data: Name
    pretrain_size: Count
    protocol: Protocol
    dataset: Name
    split: Name
    frames: Count
    k: Count
    selection: Selection
    metric: Name
    value: Annotated[float, _per_cent]
    status: Status
    source: Name
    differs: str
    note: str


def _parser(kind: Any) -> Callable[[str], Any]:
    """Makes the value of a column from its text; a ValueError says what it must be."""
    found: Callable[[str], Any] = kind.__metadata__[0] if get_origin(kind) is Annotated else str
    return _one_of(kind) if get_origin(kind) is Literal else found


_PARSERS = {name: _parser(kind) for name, kind in get_type_hints(Published, include_extras=True).items()}


def load_published(path: Path) -> list[Published]:
    """Read the published rows, in the order of the file (UTF-8 CSV with a header).

    Raises:
        UserError: the file is missing or no CSV of these columns, a value is out of its type, or an id
            comes twice; it names file, line, column and value.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            lines = [(reader.line_num, line) for line in reader if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}); restore it from the repository") from error
    if header != [*_PARSERS]:
        raise UserError(f"{path}, line 1: columns are {','.join(header)}; write {','.join(_PARSERS)}")
    rows: dict[str, Published] = {}
    for number, line in lines:
        row = _parse(line, place=f"{path}, line {number}")
        if row.id in rows:
            raise UserError(
                f"{path}, line {number}, column id: {row.id!r} comes twice; give each row its own"
            )
        rows[row.id] = row
    return list(rows.values())


def _parse(line: Sequence[str], *, place: str) -> Published:
    if len(line) != len(_PARSERS):
        raise UserError(f"{place}: {len(line)} values for {len(_PARSERS)} columns; quote values with commas")
    parsed: dict[str, Any] = {}
    for (column, parse), text in zip(_PARSERS.items(), line, strict=True):
        try:
            parsed[column] = parse(text)
        except ValueError as error:
            raise UserError(f"{place}, column {column}: {text!r} must be {error}") from error
    return Published(**parsed)


def choose(rows: Sequence[Published], wanted: Sequence[str]) -> list[Published]:
    """The rows that a table asks for by id or ``table:N``, in the order of the request, each once.

    A request that no row answers is a UserError.
    """
    chosen: dict[str, Published] = {}
    for request in wanted:
        found = [row for row in rows if request in (row.id, f"table:{row.table}")]
        if not found:
            raise UserError(f"published: {request!r} names no row; use an id of published.csv or table:N")
        chosen |= {row.id: row for row in found}
    return list(chosen.values())
