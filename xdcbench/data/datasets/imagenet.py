"""ImageNet: ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``."""

from pathlib import Path

import pandas as pd

from xdcbench.data.folders import class_folders, labelled
from xdcbench.data.scan import Scan, media_files, options, table
from xdcbench.schema import Dataset

FOLDERS = {"train": "train", "val": "test"}


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official"; classes are WordNet ids in their order, the usual order of the labels."""
    options(dataset)
    found = [media_files(root, dataset, folder) for folder in FOLDERS]
    items, stray = class_folders(pd.concat([files for files, _ in found], ignore_index=True), FOLDERS)
    items, classes = labelled(items)
    others = (path for _, paths in found for path in paths)
    return Scan(table(items, ["official"]), classes, (*stray, *others))
