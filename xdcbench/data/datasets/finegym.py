"""FineGym: lists of element-level actions, and files named ``<ytid>_E_<event>_A_<action>``."""

import re
from pathlib import Path

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import by_name
from xdcbench.data.scanning.items import SPLIT, Scan, options
from xdcbench.data.scanning.lists import need_lists, read_list
from xdcbench.errors import UserError

ROW = re.compile(r"((.+)_E_\d+_\d+_A_\d+_\d+)\s+(\d+)")
CLASS = re.compile(r"Clabel:\s*(\d+);.*?;\s*([^;]+)")


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official": the validation part is the test.

    Classes are those of the list of categories, in the order of their numbers. A group is a video within a part.

    Options:
        lists: folder of the lists, absolute or below the root; none: anywhere below the root.
        train: name of the training list ("gym99_train_element_v1.1.txt").
        test: name of the validation list ("gym99_val_element.txt").
        categories: name of the list of classes ("gym99_categories.txt").
    """
    chosen = options(
        dataset,
        lists=None,
        train="gym99_train_element_v1.1.txt",
        test="gym99_val_element.txt",
        categories="gym99_categories.txt",
    )
    names = [chosen[what] for what in ("categories", "train", "test")]
    sources = list(need_lists(root, dataset, names).values())
    classes = _classes(sources[0], dataset)
    parts = zip(sources[1:], ("train", "test"), strict=True)
    rows = pd.concat([_rows(path, part, dataset, len(classes)) for path, part in parts], ignore_index=True)
    return by_name(root, dataset, rows, classes, sources)


def _classes(path: Path, dataset: Dataset) -> list[str]:
    names: list[str] = []
    for place, line in read_list(path, dataset).items():
        match = CLASS.fullmatch(line)
        if not match or int(match[1]) != len(names):
            raise UserError(
                f"{path}, line {place}: `{line}` does not read `Clabel: {len(names)}; ...; <name>`; "
                "get the official list again"
            )
        names.append(match[2].strip())
    return names


def _rows(path: Path, part: str, dataset: Dataset, classes: int) -> pd.DataFrame:
    found = []
    for place, line in read_list(path, dataset).items():
        match = ROW.fullmatch(line)
        if not match or int(match[3]) >= classes:
            raise UserError(
                f"{path}, line {place}: `{line}` does not read <ytid>_E_<start>_<end>_A_<start>_<end> and a class "
                f"from 0 to {classes - 1}; get the official list again"
            )
        found.append({"id": match[1], "label": int(match[3]), "group": match[2], SPLIT + "official": part})
    return pd.DataFrame(found, columns=["id", "label", "group", SPLIT + "official"])
