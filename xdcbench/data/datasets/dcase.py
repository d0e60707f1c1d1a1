"""DCASE 2013 scenes: ``scenes_stereo/<class><number>.wav`` and ``scenes_stereo_testset/`` alike."""

import re
from pathlib import Path

from xdcbench.data.scan import SPLIT, File, Scan, media_files, options, table
from xdcbench.errors import UserError
from xdcbench.schema import Dataset

FOLDERS = {"scenes_stereo": "train", "scenes_stereo_testset": "test"}
# dcase_util puts test_ before the names of the test set.
NAME = re.compile(r"(?:test_)?([a-z]+)\d+")


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official": the development set trains, the private set of the challenge tests.

    The two sets share file names, so an id is folder/name.
    """
    options(dataset)
    named: list[tuple[str, str, File]] = []
    extra = []
    for folder in FOLDERS:
        before = len(named)
        for f in media_files(root, dataset, folder):
            match = NAME.fullmatch(f.path.stem)
            if match:
                named.append((folder, match[1], f))
            else:
                extra.append(f.path.as_posix())
        if len(named) == before:
            raise UserError(
                f"{dataset.title}: no file named like bus01.wav in {root / folder}; "
                f"get it from {dataset.source or 'the challenge'}"
            )
    classes = sorted({name for _, name, _ in named})
    rows = [
        {
            "id": f"{folder}/{f.path.stem}",
            "path": f.path.as_posix(),
            "label": classes.index(name),
            "group": f"{folder}/{f.path.stem}",
            "bytes": f.bytes,
            SPLIT + "official": FOLDERS[folder],
        }
        for folder, name, f in named
    ]
    return Scan(table(rows, ["official"]), tuple(classes), extra=tuple(extra))
