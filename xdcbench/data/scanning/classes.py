"""Classes: which names are one class, which only look like it, and the items of class folders."""

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.items import SPLIT, Scan, media_files, table
from xdcbench.data.scanning.lists import place
from xdcbench.errors import UserError

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
    return names.map(spellings)


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
    parents = files["folder"].str.extract(r"^([^/]+)/([^/]+)$")
    part = parents[0].map(dict(folders))
    items = files.assign(
        id=files["stem"], group=files["stem"], **{"class": parents[1], SPLIT + "official": part}
    )
    return items[part.notna()], tuple(files.loc[part.isna(), "path"])


def labeled(items: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Items with a label, from their column ``class``; and the classes in the order of the labels."""
    items = items.assign(**{"class": one_spelling(items["class"], "class folders")})
    classes = sorted(items["class"].unique())
    return items.assign(label=items["class"].map({name: i for i, name in enumerate(classes)})), tuple(classes)


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
