"""Class folders: classes from the names of folders, splits from folders or from lists."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import one_spelling, refuse_lookalikes
from xdcbench.data.scanning.items import SPLIT, Scan, media_files, table
from xdcbench.data.scanning.lists import place


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
