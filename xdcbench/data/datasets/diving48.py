"""Diving48, version 2: ``Diving48_V2_train.json`` and ``Diving48_V2_test.json``, and files named as in them."""

from pathlib import Path

import pandas as pd
from typing_extensions import TypedDict

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import by_name
from xdcbench.data.scanning.items import SPLIT, Scan, options
from xdcbench.data.scanning.lists import check_known, need_lists
from xdcbench.utils.documents import LISTING, read_as

CLASSES = "Diving48_vocab.json"
PARTS = {"Diving48_V2_train.json": "train", "Diving48_V2_test.json": "test"}
GET_AGAIN = "get the official list again"


class Listed(TypedDict):
    """A row of a list; start and end of the dive are the whole file, and not read."""

    vid_name: str
    label: int


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official"; a class is a dive, as the vocabulary has its four parts: ``Back_15som_05Twis_FREE``.

    A group is the dives of one recording within a part: the name without its last number.

    Options:
        lists: folder of the lists, absolute or below the root; none: anywhere below the root.
    """
    options(dataset, lists=None)
    sources = need_lists(root, dataset, [CLASSES, *PARTS])
    dives: list[list[str]] = read_as(list[list[str]], sources[CLASSES], fix=GET_AGAIN)
    rows = pd.concat(
        [_rows(sources[name], part, len(dives)) for name, part in PARTS.items()], ignore_index=True
    )
    return by_name(root, dataset, rows, ["_".join(dive) for dive in dives], list(sources.values()))


def _rows(path: Path, part: str, classes: int) -> pd.DataFrame:
    listed: list[Listed] = read_as(list[Listed], path, limit=LISTING, fix=GET_AGAIN)
    names = pd.Series([row["vid_name"] for row in listed], dtype="str")
    labels = pd.Series([row["label"] for row in listed], dtype="int64", name="label")
    check_known(labels, range(classes), path, CLASSES)
    return pd.DataFrame(
        {"id": names, "label": labels, "group": names.str.rpartition("_")[0], SPLIT + "official": part}
    )
