"""Rows of a csv: read strictly, with the line and the mend of every mistake."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from xdcbench.errors import UserError

_VALUE = r'(?:"[^"]*(?:""[^"]*)*"|[^",]*)'
PLAIN = re.compile(f"{_VALUE}(?:,{_VALUE})*")
"""A line whose quotes stand around whole values, or are doubled within."""
LINE, QUOTED = re.compile(r"[^\n]*\n|[^\n]+"), re.compile(r'^[^"\n]*"[^\n]*', re.MULTILINE)
"""Any line with its end, and one with quotes, without."""
CHUNK = 100_000
"""Rows that are objects of Python at once."""
SEPARATORS = (";", "\t", "|")
"""What some programs write in place of commas."""
SHOWN = 200
"""Characters of a line that a message shows."""


def rows_of(path: Path, text: str, columns: Sequence[str], *, header: bool) -> pd.DataFrame:
    """Rows of a text as ``lists.read_csv`` has them, which says the rest."""
    number, names = next(_fields(path, text), (1, [])) if header else (0, list(columns))
    _check_header(path, number, names, columns)
    body = text[sum(len(line[0]) for line in islice(LINE.finditer(text), number)) :]
    rows = plain_rows(body, names, number)
    if rows is None:
        rows = any_rows(path, body, names, number)
    return rows[[name for name in names if name]]


def plain_rows(body: str, names: Sequence[str], before: int) -> pd.DataFrame | None:
    """Rows of a text without oddities, read fast; None where it may have one."""
    import pyarrow as pa  # which torch.hub's entries do without
    from pyarrow import csv as arrow_csv

    if '"' in body and not all(PLAIN.fullmatch(body, *line.span()) for line in QUOTED.finditer(body)):
        return None
    uneven: list[object] = []

    def skip(row: object) -> str:
        uneven.append(row)
        return "skip"

    try:
        table = arrow_csv.read_csv(
            io.BytesIO(body.encode()),
            arrow_csv.ReadOptions(use_threads=False, column_names=list(map(str, range(len(names))))),
            arrow_csv.ParseOptions(invalid_row_handler=skip),
            arrow_csv.ConvertOptions(column_types={str(i): pa.string() for i in range(len(names))}),
        )
    except pa.ArrowInvalid:
        return None
    index = _line_numbers(body, before + 1)
    if uneven or len(table) != len(index):
        return None
    rows: pd.DataFrame = table.to_pandas().apply(lambda values: values.str.strip())
    rows = rows.set_axis(list(names), axis="columns").set_index(index)
    filled = (rows != "").any(axis="columns")
    return rows if filled.all() else rows[filled]


def _line_numbers(body: str, first: int) -> pd.Index:
    """Numbers of the lines that are not empty."""
    if body.startswith("\n") or "\n\n" in body:
        ends = np.flatnonzero(np.frombuffer(f"{body}\n".encode(), dtype=np.uint8) == ord("\n"))
        return pd.Index(np.flatnonzero(np.diff(ends, prepend=-1) > 1) + first, name="line")
    count = body.removesuffix("\n").count("\n") + 1 if body else 0
    return pd.RangeIndex(first, first + count, name="line")


def any_rows(path: Path, body: str, names: Sequence[str], before: int) -> pd.DataFrame:
    """Rows of any text, read slowly, with the line of what is wrong."""
    rows, parts = _fields(path, body, before), list[pd.DataFrame]()
    while (part := list(islice(rows, CHUNK))) or not parts:
        for number, fields in part:
            if len(fields) != len(names):
                raise _uneven(path, number, fields, len(names))
        lines = pd.Index([number for number, _ in part], name="line", dtype="int64")
        values = [fields for _, fields in part]
        parts.append(pd.DataFrame(values, index=lines, columns=list(names), dtype="str"))
    return pd.concat(parts)


def _fields(path: Path, text: str, before: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Number and values of each line that is not blank, after ``before`` others."""
    lines = (line[0] for line in LINE.finditer(text))
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    begun = before + 1
    try:
        for row in reader:
            if before + reader.line_num > begun:
                raise csv.Error(f"a quoted value ends on line {before + reader.line_num}")
            values = [value.strip() for value in row]
            if any(values):
                yield begun, values
            begun += 1
    except csv.Error as error:
        raise UserError(
            f"{path}, line {begun}: its quotes do not fit ({error}). Try: end each quoted value on its line, and "
            "double the quotes within"
        ) from error


def _check_header(path: Path, number: int, names: Sequence[str], columns: Sequence[str]) -> None:
    other = next(
        (f"`{sign}`" if sign.strip() else "tabs" for sign in SEPARATORS if sign in "".join(names)), ""
    )
    if len(names) == 1 and other:
        raise UserError(
            f"{path}, line {number}: its values are separated by {other}, not by commas. Try: save it with commas"
        )
    check_once(filter(None, names), f"{path}, line {number}")
    for column in columns:
        if column not in names:
            raise UserError(
                f"{path}: no column `{column}` among {', '.join(names) or 'none'}; mend its header"
            )


def _uneven(path: Path, number: int, fields: Sequence[str], expected: int) -> UserError:
    text = ",".join(fields)
    text = text if len(text) < SHOWN else text[:SHOWN] + "…"
    other = next((sign for sign in SEPARATORS if text.count(sign) == expected - 1), "")
    mend = "separate its values by commas" if other and len(fields) == 1 else "mend the line"
    if len(fields) > expected:
        mend = "mend the line; a value with a comma stands in quotes"
    return UserError(f"{path}, line {number}: `{text}` has {len(fields)} fields, not {expected}; {mend}")


def check_once(columns: Iterable[str], where: str) -> None:
    """Raise UserError where a column is there twice."""
    for name, count in Counter(columns).items():
        if count > 1:
            raise UserError(f"{where}: column `{name}` is there {count} times. Try: rename or remove one")
