"""DCASE 2013 scenes: ``scenes_stereo/<class><number>.wav`` and ``scenes_stereo_testset/`` alike."""

from pathlib import Path

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import labeled
from xdcbench.data.scanning.items import SPLIT, Scan, media_files, options, table
from xdcbench.errors import UserError

FOLDERS = {"scenes_stereo": "train", "scenes_stereo_testset": "test"}
# dcase_util puts test_ before the names of the test set.
NAME = r"^(?:test_)?([a-z]+)\d+$"


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official": the development set trains, the private set of the challenge tests.

    The two sets share file names, so an id is folder/name.
    """
    options(dataset)
    tables, extra = [], []
    for folder, part in FOLDERS.items():
        files, others = media_files(root, dataset, folder)
        name = files["stem"].str.extract(NAME)[0]
        if name.isna().all():
            raise UserError(
                f"{dataset.title}: no file named like bus01.wav in {root / folder}; "
                f"get it from {dataset.source or 'the challenge'}"
            )
        ids = folder + "/" + files["stem"]
        items = files.assign(id=ids, group=ids, **{"class": name})
        items[SPLIT + "official"] = part
        tables.append(items[name.notna()])
        extra += [*files.loc[name.isna(), "path"], *others]
    items, classes = labeled(pd.concat(tables, ignore_index=True))
    return Scan(table(items, ["official"]), classes, tuple(extra))
