"""Classes: which names are one class, which only look like it, and the items of class folders."""

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.items import LABELS, SPLIT, Scan, media_files, table
from xdcbench.data.scanning.lists import one_per, per_value, place
from xdcbench.errors import UserError
from xdcbench.utils.messages import unknown_name

log = logging.getLogger("xdcbench")

LEFT_OUT = re.compile("[\"'()]")
BLANKS = re.compile(r"[\s_]+")


def same(name: str) -> str:
    """What names of one class have in common: the text, whatever its Unicode normal form and case.

    Every script and sign counts. This is canonical caseless matching (Unicode 3.13, D145).
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def as_downloaded(name: str) -> str:
    """What a class in a list has in common with its folder, as programs that fetch Kinetics name folders.

    They keep the name, or write underscores for spaces, or leave out quotes and parentheses.
    """
    return BLANKS.sub(" ", LEFT_OUT.sub("", same(name))).strip()


def one_spelling(names: pd.Series, where: str | Path, *, known: Sequence[str] = ()) -> pd.Series:
    """Names with one spelling of each class, the first; a warning says which were taken for one.

    Classes that are ``known`` are told apart as they are written.
    """
    first = {same(name): name for name in reversed(known)}
    spellings = {
        name: name if name in known else first.setdefault(same(name), name) for name in names.unique()
    }
    for name, chosen in spellings.items():
        if name != chosen:
            log.warning(
                "%s: `%s` and `%s` are one class, since only case or Unicode form differs",
                where,
                chosen,
                name,
            )
    return per_value(names, lambda values: values.map(spellings))


def refuse_lookalikes(names: Iterable[str], where: str | Path) -> None:
    """Raise UserError where classes that a list tells apart differ at most in case and Unicode form."""
    first: dict[str, str] = {}
    for name in names:
        key = same(name)
        if key in first:
            raise UserError(
                f"{where}: classes `{first[key]}` and `{name}` are one, since at most case or Unicode form differs. "
                "Try: give each class one name of its own"
            )
        first[key] = name


def joined(sources: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """By name, one spelling of each class that several sources (lists, folders) name in their own ways: the first.

    Raises:
        UserError: two classes of one source could not be told apart where a folder's name leaves signs out.
    """
    first: dict[str, str] = {}
    chosen: dict[str, str] = {}
    for source, names in sources.items():
        own: dict[str, str] = {}
        for name in names:
            key = as_downloaded(name)
            if same(own.setdefault(key, name)) != same(name):
                raise UserError(
                    f"{source}: classes `{own[key]}` and `{name}` differ only in spaces, underscores, quotes or "
                    "parentheses, which downloaded folders may leave out. Try: rename one of them, or merge them"
                )
            chosen[name] = first.setdefault(key, name)
    return chosen


def class_folders(files: pd.DataFrame, folders: Mapping[str, str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The files ``<folder>/<class>/<id>.*`` with id, class, group and split; paths of the others.

    ``folders`` has each folder's part of the one split, "official".
    """
    parents = per_value(files["folder"], lambda values: values.str.extract(r"^([^/]+)/([^/]+)$"))
    part = per_value(parents[0], lambda values: values.map(dict(folders)))
    items = files.assign(
        id=files["stem"], group=files["stem"], **{"class": parents[1], SPLIT + "official": part}
    )
    return items[part.notna()], tuple(files.loc[part.isna(), "path"])


def labeled(items: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Items with a label, from their column ``class``; and the classes in the order of the labels."""
    items = items.assign(**{"class": one_spelling(items["class"], "class folders")})
    classes = sorted(items["class"].unique())
    numbers = {name: i for i, name in enumerate(classes)}
    return items.assign(label=per_value(items["class"], lambda values: values.map(numbers))), tuple(classes)


def keep_classes(scan: Scan, dataset: Dataset) -> Scan:
    """The items of the classes that a dataset names, labeled in the order of these names.

    A name may be spelled as in a list or as in a downloaded folder. Of an item of several classes, those are kept.

    Raises:
        UserError: names the first class that is not in the dataset, or is named twice.
    """
    chosen: dict[int, int] = {}
    for name in dataset.classes:
        exact = [label for label, known in enumerate(scan.classes) if known == name]
        near = [
            label for label, known in enumerate(scan.classes) if as_downloaded(known) == as_downloaded(name)
        ]
        if len(exact or near) != 1:
            raise UserError(f"{dataset.title}: classes: {unknown_name('class', name, scan.classes)}")
        (label,) = exact or near
        if label in chosen:
            raise UserError(f"{dataset.title}: classes: {name!r} is named twice. Try: remove one of them")
        chosen[label] = len(chosen)
    items = scan.items
    if LABELS in items:
        kept = cache(lambda found: tuple(sorted(chosen[of] for of in found if of in chosen)))
        # Items of the same classes share one tuple.
        several = items[LABELS].map(lambda found: kept(tuple(found)))
        items = items.assign(**{LABELS: several})[several.map(bool).astype(bool)]
    else:
        items = items[items["label"].isin(list(chosen))]
        items = items.assign(label=items["label"].map(chosen).astype("int64"))
    return replace(scan, items=items.reset_index(drop=True), classes=tuple(scan.classes[of] for of in chosen))


def by_name(
    root: Path, dataset: Dataset, rows: pd.DataFrame, classes: Sequence[str], sources: Sequence[Path]
) -> Scan:
    """Scan of media anywhere below the root that official lists name by their stem, in one split, "official".

    Args:
        rows: of the lists: id (the stem), label, group, and the column of the split. A group is one within a part,
            since the official parts stand.
        classes: in the order of the labels.
        sources: the lists.
    """
    rows = one_per(rows, "id", ", ".join(path.name for path in sources)).reset_index(drop=True)
    files, others = media_files(root, dataset)
    files = files.assign(id=files["stem"])
    group = rows[SPLIT + "official"] + "-" + rows["group"]
    items, extra = place(rows.assign(listed=rows["id"], group=group), files, "id")
    return Scan(table(items, ["official"]), tuple(classes), (*extra, *others), tuple(sources))


def listed(
    root: Path,
    dataset: Dataset,
    splits: Mapping[str, Mapping[str, str]],
    *,
    classes: Iterable[str],
    group: Callable[[str], str],
    sources: Sequence[Path],
) -> Scan:
    """Scan of videos in class folders anywhere below the root, with the splits of official lists.

    Args:
        splits: for each split, ``class/name`` without suffix to "train", "test" or "".
        classes: in the order of the labels.
        group: of a name without suffix.
        sources: the lists.

    Returns:
        the listed videos, found whatever their suffix; the name without suffix is the id.
    """
    files, others = media_files(root, dataset)
    files["listed"] = files["folder"].str.rpartition("/")[2] + "/" + files["stem"]
    keys = sorted({key for parts in splits.values() for key in parts})
    labels = {name: i for i, name in enumerate(classes)}
    refuse_lookalikes(labels, ", ".join(path.name for path in sources))
    ids = [key.partition("/")[2] for key in keys]
    rows = pd.DataFrame(
        {
            "id": ids,
            "listed": keys,
            "label": [labels[key.partition("/")[0]] for key in keys],
            "group": [group(stem) for stem in ids],
        }
        | {SPLIT + name: [parts.get(key, "") for key in keys] for name, parts in splits.items()}
    )
    items, extra = place(rows, files, "listed")
    return Scan(table(items, splits), tuple(labels), (*extra, *others), tuple(sources))
