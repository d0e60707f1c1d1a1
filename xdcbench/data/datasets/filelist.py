"""Any files: named by a csv or Parquet with a column of paths, or all that lie below the root."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import one_spelling
from xdcbench.data.scanning.csv_rows import check_once
from xdcbench.data.scanning.draw import draw
from xdcbench.data.scanning.items import MISSING, SPLIT, Scan, media_files, options, table
from xdcbench.data.scanning.lists import check_known, one_per, per_value, place, place_of, read_csv
from xdcbench.errors import UserError
from xdcbench.utils.arrays import read_table

COLUMNS = ("path", "label", "split", "group")


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split: declared by a column, or drawn by hash, or with all items in the train part.

    A draw depends on an item's id or, where there are groups, on its group alone: no item changes sides when
    others come or go. Without groups each class is drawn by itself. Of two or more, at least one is on each
    side.

    Options:
        list: the csv or ``.parquet``, absolute or below the root; none: every media file below the root.
        path: column of file paths, below the root or absolute ("path"); any suffix will do.
        label: column of class names; an empty one is unlabeled.
        classes: names in the order of the labels; none: those of the list, sorted.
        split: column of "train", "test" or nothing.
        group: column of the sources of items, which no draw parts.
        test_share: share of items expected in the test part of a draw.
    """
    chosen = options(
        dataset, list=None, path="path", label=None, classes=None, split=None, group=None, test_share=None
    )
    _check_options(chosen, dataset)
    found, others = media_files(root, dataset)
    files = pd.DataFrame({"listed": found["path"], "path": found["path"], "bytes": found.pop("bytes")})
    del found  # folders and stems of a large dataset
    if chosen["list"] is None:
        sources: tuple[Path, ...] = ()
        rows = files[["listed"]]
    else:
        sources = (root / chosen["list"],)
        rows = _rows(sources[0], dataset, chosen)
        _refuse_backslashes(rows, files, root, sources[0])
    ids = rows["listed"].str.replace(r"([^/])\.[^./]*$", r"\1", regex=True)
    rows = rows.assign(id=ids, label=rows.get("label", ""), group=rows.get("group", ids))
    rows, classes = _labeled(rows, sources, chosen["classes"] or ())
    if "split" not in rows:
        together = "group" if chosen["group"] else "label"
        rows = rows.assign(split=_draw(rows, together, chosen["test_share"] or 0))
    items, extra = place(rows.sort_values("listed"), files, "listed")
    items = items.assign(bytes=_sizes(items, root))
    (split,) = dataset.splits
    items = table(items.rename(columns={"split": SPLIT + split}), [split])
    strays = set(others) - set(items.loc[items["path"].isin(others), "path"])
    return Scan(items, classes, (*extra, *sorted(strays)), sources)


def _labeled(
    rows: pd.DataFrame, sources: tuple[Path, ...], known: Sequence[str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows with the position of their class in place of its name, -1 without one; and all classes.

    Without ``known`` classes they are those of the list, sorted.
    """
    if sources:
        rows = rows.assign(label=one_spelling(rows["label"], sources[0], known=known))
    classes = tuple(known or sorted(set(rows["label"].unique()) - {""}))
    indices = {name: i for i, name in enumerate(classes)} | {"": -1}
    if sources:
        check_known(rows["label"], indices, sources[0], "options.classes")
    return rows.assign(label=per_value(rows["label"], lambda values: values.map(indices))), classes


def _sizes(items: pd.DataFrame, root: Path) -> NDArray[np.int64]:
    """Bytes of each item, also of those that lie elsewhere."""
    sizes = items["bytes"].to_numpy(copy=True)
    elsewhere = np.flatnonzero(sizes == MISSING)
    for at, path in zip(elsewhere, items["path"].iloc[elsewhere], strict=True):
        sizes[at] = _bytes(root / path)
    return sizes


def _check_options(chosen: dict[str, Any], dataset: Dataset) -> None:
    share, title = chosen["test_share"], dataset.title
    if len(dataset.splits) != 1:
        raise UserError(f"{title}: adapter `filelist` makes one split, not {list(dataset.splits)}")
    if share is not None and not 0 < share < 1:
        raise UserError(f"{title}: options.test_share is {share}; give 0 to 1")
    if share is not None and chosen["split"]:
        raise UserError(f"{title}: options.split and options.test_share both say how to split; keep one")
    lone = [name for name in ("label", "classes", "split", "group") if chosen[name]]
    if chosen["list"] is None and lone:
        raise UserError(f"{title}: options.{lone[0]} needs a list; say where it is with `options.list`")


def _rows(path: Path, dataset: Dataset, chosen: dict[str, Any]) -> pd.DataFrame:
    """Rows of the list with those of path (as ``listed``), label, split and group that the options name."""
    names = {column: chosen[column] for column in COLUMNS if chosen[column]}
    if not path.is_file():
        raise UserError(f"{dataset.title}: no list {path}; say where it is with `options.list`")
    rows = _read_parquet(path) if path.suffix == ".parquet" else read_csv(path, dataset, ())
    for option, column in names.items():
        if column not in rows:
            there = ", ".join(map(str, rows)) or "none"
            raise UserError(f"{path}: no column `{column}`; set `options.{option}` to one of {there}")
    # Two options may name one column.
    rows = pd.DataFrame({option: rows[column] for option, column in names.items()}, index=rows.index)
    rows = rows.apply(_stripped)
    rows = rows.rename(columns={"path": "listed"})
    rows["listed"] = rows["listed"].str.replace(r"^(?:\./)+", "", regex=True)
    empty = rows[rows["listed"] == ""]
    if len(empty):
        raise UserError(f"{place_of(path, empty)}: there is no path. Try: fill it in, or remove the row")
    if "split" in rows:
        check_known(rows["split"], ("train", "test", ""), path, "train, test")
    return one_per(rows, "listed", path)


def _stripped(column: pd.Series) -> pd.Series:
    """Values as strings without space around them, empty where there is none."""
    filled = column if isinstance(column.dtype, pd.StringDtype) else column.astype("object")
    return filled.fillna("").astype("str").str.strip()


def _read_parquet(path: Path) -> pd.DataFrame:
    """The rows by their numbers, from 1."""
    with suppress(pa.ArrowException, OSError):  # why it cannot be read is said below
        check_once(pq.read_schema(path).names, str(path))
    rows = read_table(path, fix="write it again")
    return rows.set_index(pd.RangeIndex(1, len(rows) + 1, name="row"))


def _refuse_backslashes(rows: pd.DataFrame, files: pd.DataFrame, root: Path, path: Path) -> None:
    """See that no path is written with backslashes for slashes; a name may hold one."""
    suspects = rows["listed"][rows["listed"].str.contains("\\", regex=False)]
    present = set(files["path"]) if len(suspects) else set()
    for name in suspects:
        slashed = name.replace("\\", "/")
        if name not in present and (slashed in present or _bytes(root / slashed) != MISSING):
            raise UserError(
                f"{place_of(path, suspects[suspects == name])}: `{name}` is written with backslashes. Try: write "
                f"`{slashed}`"
            )


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else MISSING
    except OSError:  # no name of a file, or of one that this process may not look at
        return MISSING


def _draw(rows: pd.DataFrame, together: str, test_share: float) -> pd.Series:
    """Part of each row by a hash of its group: each label drawn by itself, or all groups together."""
    if not test_share:
        return pd.Series("train", index=rows.index, dtype="str")
    test = np.zeros(len(rows), dtype=bool)
    pools = rows.groupby("label").indices.values() if together == "label" else [np.arange(len(rows))]
    for pool in pools:
        group, names = rows["group"].iloc[pool].factorize()
        test[pool] = draw(names, test_share)[group]
    return pd.Series(np.where(test, "test", "train"), index=rows.index, dtype="str")
