"""Files in class folders, with a folder for each part or a split drawn by hash."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import labeled
from xdcbench.data.scanning.draw import draw
from xdcbench.data.scanning.items import SPLIT, Scan, media_files, options, table
from xdcbench.data.scanning.lists import per_value
from xdcbench.errors import UserError
from xdcbench.utils.tree import Folder, children

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
}
"""Part by the name of its folder, in any case."""


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split: ``train/<class>/`` and ``test/<class>/`` or ``val/<class>/``; or drawn by hash from ``<class>/``.

    Where both are there, ``test`` is the test part and the files of ``val`` are extra. The first folder below a
    class is a group, whatever lies in it; any other file is a group of its own. A draw depends on the path of a
    group alone and is made within each class: of two or more groups at least one is in each part, and a lone one
    is learned from. A group is one within a part where there are folders of parts, since these stand.

    Options:
        test_fraction: share of groups expected in the test part of a draw (0.2).
        seed: of the draw (0).

    Raises:
        UserError: parts, classes or options that do not fit.
    """
    chosen = options(dataset, test_fraction=0.2, seed=0)
    parts = _parts(root, dataset)
    _check_options(chosen["test_fraction"], chosen["seed"], parts, dataset)
    files, others = media_files(root, dataset)
    (split,) = (SPLIT + name for name in dataset.splits)
    items = _placed(files, parts, split)
    items, extra = items.dropna(subset="class"), items.loc[items["class"].isna(), "path"]
    for top in [f"{name}/" for name, part in parts.items() if part] or [""]:
        _check_classes(root / top, items[items["path"].str.startswith(top)], dataset)
    items, classes = labeled(items)
    if len(classes) == 1:
        raise UserError(
            f"{dataset.title}: {root} has a single class, `{classes[0]}`, and one class tells encoders nothing. "
            "Try: add another class folder, or set `folder` to the one that holds the class folders"
        )
    if parts:
        _check_learned(items, split, dataset)
    else:
        items[split] = _drawn(items, chosen["test_fraction"], chosen["seed"])
        if (items[split] == "train").all():
            raise UserError(
                f"{dataset.title}: each class in {root} has one file or one group, which leaves none to test on. "
                "Try: add files, or a second subfolder to a class"
            )
    return Scan(table(items, dataset.splits), classes, (*extra, *others))


def _placed(files: pd.DataFrame, parts: Mapping[str, str], split: str) -> pd.DataFrame:
    """Files with id, group, part and class; the class is missing where a file lies in none, or in an unused part."""
    part = "(?P<part>[^/]+)/" if parts else "(?P<part>)"
    form = f"^(?P<group>{part}(?P<class>[^/]+)(?:/(?P<inner>[^/]+))?)"
    found = per_value(files["folder"], lambda values: values.str.extract(form))
    ids = files["path"].str.replace(r"\.[^./]*$", "", regex=True)
    groups = found["group"].where(found["inner"].notna(), ids)
    sides = found["part"].map(dict(parts)).fillna("") if parts else found["part"]
    classes = found["class"].where(sides != "") if parts else found["class"]
    return files.assign(**{"id": ids, "group": groups, split: sides, "class": classes})


def _folders(root: Path) -> list[str]:
    found = children(
        Folder.top(root), lambda path, reason: None
    )  # `media_files` tells of what is passed over
    return [entry.name for entry in found if isinstance(entry, Folder)]


def _parts(root: Path, dataset: Dataset) -> dict[str, str]:
    """Folders of parts, each with its part, "" for one that is not used; nothing where the folders are classes."""
    found = {name: PARTS[name.casefold()] for name in _folders(root) if name.casefold() in PARTS}
    test = "test" if "test" in found.values() else "val"
    if found and {"train", test} - set(found.values()):
        missing = "`train`" if "train" not in found.values() else "`test` or `val`"
        raise UserError(
            f"{dataset.title}: {root} has a folder `{next(iter(found))}` and none named {missing}. "
            "Try: add that folder, or rename the first if it is a class"
        )
    return {name: {"train": "train", test: "test"}.get(part, "") for name, part in found.items()}


def _check_options(fraction: object, seed: object, parts: Mapping[str, str], dataset: Dataset) -> None:
    title = dataset.title
    if len(dataset.splits) != 1:
        raise UserError(f"{title}: adapter `folders` makes one split, not {list(dataset.splits)}")
    if not isinstance(fraction, float) or not 0 < fraction < 1:
        raise UserError(
            f"{title}: options.test_fraction is {fraction!r}. Try: a number between 0 and 1, as 0.2"
        )
    if type(seed) is not int:
        raise UserError(f"{title}: options.seed is {seed!r}. Try: a whole number, as 0")
    if parts and dataset.options:
        raise UserError(
            f"{title}: options.{next(iter(dataset.options))} and the folders {', '.join(parts)} both say how to "
            "split. Try: remove one of them"
        )


def _check_classes(top: Path, items: pd.DataFrame, dataset: Dataset) -> None:
    """Refuse a folder without class folders, and a class folder without files."""
    names = _folders(top)
    if not names:
        raise UserError(
            f"{dataset.title}: no class folder in {top}. Try: move the files of each class into a folder with its "
            "name, or use adapter `filelist`"
        )
    empty = sorted(set(names) - set(items["class"]))
    if empty:
        raise UserError(
            f"{dataset.title}: class folder {top / empty[0]} has no {dataset.media} file. "
            "Try: add files, remove the folder, or set `media`"
        )


def _check_learned(items: pd.DataFrame, split: str, dataset: Dataset) -> None:
    unseen = sorted(set(items["class"]) - set(items.loc[items[split] == "train", "class"]))
    if unseen:
        raise UserError(
            f"{dataset.title}: class `{unseen[0]}` is in the test part and not in `train`, so nothing can learn it. "
            "Try: add files of it to `train`, or remove it"
        )


def _drawn(items: pd.DataFrame, test_fraction: float, seed: int) -> pd.Series:
    """Part of each item by a hash of its group and the seed, within each class."""
    test = np.zeros(len(items), dtype=bool)
    for inside in items.groupby("class").indices.values():
        group, names = items["group"].iloc[inside].factorize()
        if len(names) > 1:
            test[inside] = draw(f"{seed}/" + pd.Series(names), test_fraction)[group]
    return pd.Series(np.where(test, "test", "train"), index=items.index, dtype="str")
