"""Kinetics: ``train/<class>/<id>.mp4`` and ``val/<class>/<id>.mp4``."""

from pathlib import Path

from xdcbench.data.scan import Scan, class_folders
from xdcbench.schema import Dataset


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official": the validation part is the test; test labels were never published."""
    return class_folders(root, dataset, {"train": "train", "val": "test"})
