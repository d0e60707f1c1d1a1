"""ImageNet: ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``."""

from pathlib import Path

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import class_folders, labeled
from xdcbench.data.scanning.items import Scan, media_files, options, table

FOLDERS = {"train": "train", "val": "test"}


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official"; classes are WordNet ids in their order, the usual order of the labels."""
    options(dataset)
    found = [media_files(root, dataset, folder) for folder in FOLDERS]
    items, stray = class_folders(pd.concat([files for files, _ in found], ignore_index=True), FOLDERS)
    items, classes = labeled(items)
    others = (path for _, paths in found for path in paths)
    return Scan(table(items, ["official"]), classes, (*stray, *others))
