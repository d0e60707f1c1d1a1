"""Something-Something v2: the official JSON lists, and files named by the id of their row."""

from pathlib import Path

import pandas as pd
from typing_extensions import TypedDict

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import by_name
from xdcbench.data.scanning.items import SPLIT, Scan, options
from xdcbench.data.scanning.lists import check_known, need_lists
from xdcbench.utils.documents import LISTING, read_as

LABELS = "something-something-v2-labels.json"
PARTS = {"something-something-v2-train.json": "train", "something-something-v2-validation.json": "test"}
GET_AGAIN = "get the official list again"


class Listed(TypedDict):
    """A row of a list; its other fields are not read."""

    id: str
    template: str


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official": the validation part is the test; test labels were never published.

    The class of a row is its ``template`` without brackets; classes in the order of the list of labels. Which
    videos are of one person no list says: each is a group of its own.

    Options:
        lists: folder of the lists, absolute or below the root; none: anywhere below the root.
    """
    options(dataset, lists=None)
    sources = need_lists(root, dataset, [LABELS, *PARTS])
    numbers: dict[str, int] = read_as(dict[str, int], sources[LABELS], fix=GET_AGAIN)
    classes = sorted(numbers, key=lambda name: numbers[name])
    labels = {name: label for label, name in enumerate(classes)}
    rows = pd.concat([_rows(sources[name], part, labels) for name, part in PARTS.items()], ignore_index=True)
    return by_name(root, dataset, rows, classes, list(sources.values()))


def _rows(path: Path, part: str, labels: dict[str, int]) -> pd.DataFrame:
    listed: list[Listed] = read_as(list[Listed], path, limit=LISTING, fix=GET_AGAIN)
    ids = pd.Series([row["id"] for row in listed], dtype="str")
    templates = [row["template"].replace("[", "").replace("]", "") for row in listed]
    classes = pd.Series(templates, dtype="str", name="template")
    check_known(classes, labels, path, LABELS)
    return pd.DataFrame({"id": ids, "label": classes.map(labels), "group": ids, SPLIT + "official": part})
