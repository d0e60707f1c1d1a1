"""Any files with a csv of labels."""

import hashlib
from pathlib import Path

import pandas as pd

from xdcbench.data.scan import SPLIT, Scan, media_files, options, place, table
from xdcbench.errors import UserError
from xdcbench.schema import Dataset


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, made from a hash of each item's id: no item changes sides when others come or go.

    Each class is split by itself: of two or more files, at least one is on each side.

    Options:
        list: the csv, absolute or below the root ("labels.csv").
        path: column of file paths below the root ("file").
        label: column of class names ("label"); an empty one is unlabelled.
        test_share: share of items expected in the test part (0.25).
    """
    chosen = options(dataset, list="labels.csv", path="file", label="label", test_share=0.25)
    csv = root / chosen["list"]
    if not csv.is_file():
        raise UserError(f"{dataset.title}: no list {csv}; say where it is with `options.list`")
    if len(dataset.splits) != 1:
        raise UserError(f"{dataset.title}: adapter `labelled` makes one split, not {list(dataset.splits)}")
    if not 0 < chosen["test_share"] < 1:
        raise UserError(f"{dataset.title}: options.test_share is {chosen['test_share']}; give 0 to 1")
    meta = pd.read_csv(csv, dtype=str, keep_default_na=False)
    for option in ("path", "label"):
        if chosen[option] not in meta:
            columns = ", ".join(map(str, meta))
            raise UserError(
                f"{csv}: no column `{chosen[option]}`; set `options.{option}` to one of {columns}"
            )
    names = dict(zip(meta[chosen["path"]], meta[chosen["label"]], strict=True))
    files = {f.path.as_posix(): f for f in media_files(root, dataset)}
    classes = sorted(set(names.values()) - {""})
    ids = {path: Path(path).with_suffix("").as_posix() for path in names}
    parts: dict[str, str] = {}
    for name in set(names.values()):
        parts |= _parts([i for path, i in ids.items() if names[path] == name], chosen["test_share"])
    rows = [
        {
            "id": ids[path],
            "label": classes.index(names[path]) if names[path] else -1,
            "group": ids[path],
            SPLIT + dataset.splits[0]: parts[ids[path]],
        }
        | place(files.get(path), path)
        for path in sorted(ids)
    ]
    extra = tuple(sorted(set(files) - set(names)))
    return Scan(table(rows, dataset.splits), tuple(classes), extra, (csv,))


def _parts(ids: list[str], test_share: float) -> dict[str, str]:
    draws = {i: int.from_bytes(hashlib.sha256(i.encode()).digest()[:8]) / 2**64 for i in ids}
    parts = {i: "test" if draw < test_share else "train" for i, draw in draws.items()}
    if len(ids) > 1:
        parts[min(draws, key=draws.__getitem__)] = "test"
        parts[max(draws, key=draws.__getitem__)] = "train"
    return parts
