"""Kinetics: the official csv and files named by YouTube id, in class folders or flat; or class folders alone."""

from pathlib import Path

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import class_folders, joined, labeled
from xdcbench.data.scanning.items import SPLIT, Scan, media_files, options, table
from xdcbench.data.scanning.lists import (
    check_known,
    find_lists,
    need_list,
    numbers,
    one_per,
    per_value,
    read_csv,
)
from xdcbench.data.scanning.youtube import place_clips

FOLDERS = {"train": "train", "val": "test"}
COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
PARTS = {"train": ("train",), "test": ("val", "validate", "validation")}


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official": the validation part is the test; test labels were never published.

    A part with a csv has the csv's clips, wherever below the root their files lie. A part without one has
    the files ``train/<class>/*`` or ``val/<class>/*``. Classes in alphabetical order; the names of folders may
    differ from those of a csv in case and Unicode form, have underscores for spaces, and no quotes or
    parentheses. A group is a video within a part, since the official parts stand.

    Options:
        lists: folder of the csv files, absolute or below the root; none: anywhere below the root.
        train: name or pattern of the training csv ("*train*.csv").
        test: name or pattern of the validation csv ("*val*.csv").
    """
    chosen = options(dataset, lists=None, train="*train*.csv", test="*val*.csv")
    found = find_lists(root, dataset, [chosen["train"], chosen["test"]])
    for part in dataset.options.keys() & PARTS.keys():
        need_list(found, chosen[part], root, dataset)
    files, extra = media_files(root, dataset)
    rest, tables = files, []
    lists = {part: found[chosen[part]] for part in PARTS if chosen[part] in found}
    if lists:
        clips = pd.concat([_clips(path, dataset, part) for part, path in lists.items()], ignore_index=True)
        where = ", ".join(path.name for path in lists.values())
        clips = one_per(one_per(clips, "id", where), "clip", where).drop(columns="clip")
        items, unlisted = place_clips(clips.reset_index(drop=True), files)
        tables.append(items)
        rest = files[files["path"].isin(unlisted)]
    folders = {folder: part for folder, part in FOLDERS.items() if part not in lists}
    items, unlisted = class_folders(rest, folders)
    if not lists and ((items.empty and unlisted) or chosen["lists"]):
        need_list(found, chosen["train"], root, dataset)
    items = pd.concat([*tables, items], ignore_index=True)
    sources = {part: str(path) for part, path in lists.items()}
    sources |= {part: str(root / folder) for folder, part in folders.items()}
    split = items[SPLIT + "official"]
    names = joined({name: items.loc[split == part, "class"].unique() for part, name in sources.items()})
    items, classes = labeled(
        items.assign(**{"class": per_value(items["class"], lambda values: values.map(names))})
    )
    return Scan(table(items, ["official"]), classes, (*unlisted, *extra), tuple(lists.values()))


def _clips(path: Path, dataset: Dataset, part: str) -> pd.DataFrame:
    rows = read_csv(path, dataset, COLUMNS)
    check_known(rows["split"], PARTS[part], path, " or ".join(PARTS[part]))
    start, end = numbers(rows, "time_start", path), numbers(rows, "time_end", path)
    begin, until = (t.astype("int64").astype("str").str.zfill(6) for t in (start, end))
    clip = rows["youtube_id"] + "_" + begin
    return pd.DataFrame(
        {
            "id": clip + "_" + until,
            "clip": clip,
            "ytid": rows["youtube_id"],
            "start": start,
            "class": rows["label"],
            SPLIT + "official": part,
            "group": part + "-" + rows["youtube_id"],
        }
    )
