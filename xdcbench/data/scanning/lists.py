"""Official lists: finding them, reading them strictly, joining them with the files on disk."""

import logging
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.csv_rows import rows_of
from xdcbench.data.scanning.items import MISSING
from xdcbench.errors import UserError
from xdcbench.utils.tree import Folder, children

log = logging.getLogger("xdcbench")

Found = TypeVar("Found", pd.Series, pd.DataFrame)

ABSENT = -1
"""Position of what a list or the disk does not have."""

LARGE = 2.0**53
"""Magnitude from which a number of a list is a mistake; floats below it count by ones."""


def find_lists(root: Path, dataset: Dataset, patterns: Iterable[str]) -> dict[str, Path]:
    """The file that fits each name or pattern, in the folder ``options.lists`` or, without one, in the root.

    Folders are searched level by level, and the level nearest to the top counts. A pattern that no file fits
    is left out.

    Raises:
        UserError: there is no such folder, or several files of one level fit a pattern.
    """
    wanted, found = list(patterns), dict[str, Path]()
    suffixes = tuple(Path(pattern).suffix for pattern in wanted)
    top = root / (dataset.options.get("lists") or "")
    if not top.is_dir():
        raise UserError(f"{dataset.title}: no folder {top}; mend `options.lists`")
    closed: dict[str, str] = {}
    level = [Folder.top(top)]
    while level and len(found) < len(wanted):
        names, level = _files_of(level, suffixes, closed)
        for pattern in wanted:
            fitting = sorted(path for path in names if fnmatchcase(path.name, pattern))
            if len(fitting) > 1 and pattern not in found:
                raise UserError(
                    f"{dataset.title}: both {fitting[0]} and {fitting[1]} fit `{pattern}`; "
                    "name one list in the dataset's `options`"
                )
            if fitting:
                found.setdefault(pattern, fitting[0])
    if len(found) < len(wanted):
        for path, reason in closed.items():
            log.warning("no list was looked for in %s (%s)", path, reason)
    return found


def _files_of(
    level: Iterable[Folder], suffixes: tuple[str, ...], closed: dict[str, str]
) -> tuple[list[Path], list[Folder]]:
    """Files of some suffixes in folders, and the folders below; ``closed`` gets those that cannot be read, and why."""
    names, deeper = list[Path](), list[Folder]()
    for folder in level:
        try:
            for child in children(folder, lambda name, reason: None):  # the scan names it
                if isinstance(child, Folder):
                    deeper.append(child)
                elif child.name.endswith(suffixes):
                    names.append(Path(child.path))
        except OSError as error:
            closed[folder.path] = error.strerror or str(error)
    return names, deeper


def need_lists(root: Path, dataset: Dataset, names: Iterable[str]) -> dict[str, Path]:
    """The lists of some names, all of which must be there, by name in this order.

    Raises:
        UserError: as ``find_lists`` and ``need_list``.
    """
    wanted = list(names)
    found = find_lists(root, dataset, wanted)
    return {name: need_list(found, name, root, dataset) for name in wanted}


def need_list(found: dict[str, Path], name: str, root: Path, dataset: Dataset) -> Path:
    """The list that was found under ``name``; UserError where there is none."""
    if name not in found:
        raise no_list(root / (dataset.options.get("lists") or "") / name, dataset)
    return found[name]


def no_list(path: Path, dataset: Dataset) -> UserError:
    """The mistake that a list is not there."""
    return UserError(
        f"{dataset.title}: no list {path}; get it from {dataset.source or 'the dataset'} or say where "
        "it is with `options.lists`"
    )


def read_text(path: Path, dataset: Dataset) -> str:
    """A list's text, with any line ends, without a byte order mark; UserError where it is not there, or not UTF-8."""
    if not path.is_file():
        raise no_list(path, dataset)
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise ValueError("zero bytes")
    except ValueError as error:
        raise UserError(f"{path} is not UTF-8 text ({error}); get it again or save it as such") from error
    return text


def read_list(path: Path, dataset: Dataset) -> dict[int, str]:
    """Lines of a list that are not blank, without space around them, by their numbers from 1; raises as `read_text`."""
    lines = read_text(path, dataset).split("\n")
    return {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}


def read_csv(
    path: Path, dataset: Dataset, columns: Sequence[str], *, header: bool = True, text: str | None = None
) -> pd.DataFrame:
    """Rows of a csv, every value a string without space around it; the index, "line", has their lines.

    Args:
        columns: those that must be there; all of them, in order, where the file has no ``header``.
        header: whether the first line names the columns.
        text: to parse in place of the file's, line for line.

    Raises:
        UserError: names file and line of what is not there, not text, or has too few or too many fields.
    """
    return rows_of(path, read_text(path, dataset) if text is None else text, columns, header=header)


def place_of(path: str | Path, rows: pd.DataFrame | pd.Series) -> str:
    """The list and, where the index of ``rows`` has it, the line or row of the first of them."""
    return f"{path}, {rows.index.name} {rows.index[0]}" if rows.index.name else str(path)


def numbers(rows: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """A column of strings as numbers; UserError where one is no finite number."""
    values = per_value(rows[column], lambda values: pd.to_numeric(values, errors="coerce"))
    odd = rows.loc[~(values.abs() < LARGE), column]
    if len(odd):
        raise UserError(f"{place_of(path, odd)}: {column} `{odd.iloc[0]}` is no number; mend the row")
    return values


def per_value(column: pd.Series, look: Callable[[pd.Series], Found]) -> Found:
    """What ``look`` makes of each value of a column, asked once of each; missing where the column is.

    So only distinct values become objects of Python.
    """
    codes, values = column.factorize()
    return look(pd.Series(values)).reindex(codes).set_axis(column.index)


def check_known(values: pd.Series, known: Iterable[str | int], path: Path, index: str | Path) -> None:
    """Raise UserError for a value of a list that is not in an index."""
    strange = values[~values.isin(list(known))]
    if len(strange):
        raise UserError(
            f"{place_of(path, strange)}: unknown {values.name} `{strange.iloc[0]}`, which is not in {index}; "
            "mend one of them"
        )


def one_per(rows: pd.DataFrame, key: str, where: str | Path) -> pd.DataFrame:
    """Rows without repetitions; UserError where two rows of one ``key`` contradict each other."""
    from xdcbench.utils.mapped_table import are_distinct  # with pyarrow, which torch.hub's entries do without

    if are_distinct(rows[key]):
        return rows
    rows = rows.drop_duplicates()
    twice = rows[rows[key].duplicated(keep=False)]
    if len(twice):
        two = twice[twice[key] == twice[key].iloc[0]].iloc[:2]
        column = next(name for name in rows if two[name].nunique() > 1)
        lines = f", {two.index.name}s {two.index[0]} and {two.index[1]}" if two.index.name else ""
        raise UserError(
            f"{where}{lines}: `{two[key].iloc[0]}` has {column} `{two[column].iloc[0]}` and "
            f"`{two[column].iloc[1]}`; keep one of the rows"
        )
    return rows


def place(rows: pd.DataFrame, files: pd.DataFrame, on: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Join listed rows with files on a column that both have, as `place_at`; one row has each value."""
    from xdcbench.utils.mapped_table import places  # as above

    return place_at(rows, files, places(files[on], rows[on]))


def place_at(
    rows: pd.DataFrame, files: pd.DataFrame, at: NDArray[np.int64]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Join listed rows with the files that belong to them.

    Args:
        rows: of a list; ``listed`` is the path where the disk lacks the file.
        files: as of ``media_files``.
        at: (len(files),), the position of each file's row, -1 where it has none.

    Returns:
        the rows, in their order, with path and bytes, each as often as it has files and once without; paths of the
        files that belong to no row.
    """
    there = np.flatnonzero(at >= 0)
    without = np.ones(len(rows), dtype=bool)
    without[at[there]] = False
    row = np.concatenate([at[there], np.flatnonzero(without)])
    file = np.concatenate([there, np.full(without.sum(), ABSENT)])
    order = np.argsort(row, kind="stable")
    row, file = row[order], file[order]
    placed = rows.iloc[row].reset_index(drop=True)
    placed["path"] = pd.Series(files["path"].array.take(file, allow_fill=True)).fillna(placed["listed"])
    placed["bytes"] = pd.Series(files["bytes"].array.take(file, allow_fill=True, fill_value=MISSING))
    return placed, tuple(files.loc[at < 0, "path"])
