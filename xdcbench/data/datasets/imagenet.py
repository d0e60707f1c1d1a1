"""ImageNet: ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``."""

from pathlib import Path

from xdcbench.data.scan import Scan, class_folders
from xdcbench.schema import Dataset


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official"; classes are WordNet ids in their order, the usual order of the labels."""
    return class_folders(root, dataset, {"train": "train", "val": "test"})
