"""ESC-50 and ESC-10: ``audio/*`` and ``meta/esc50.csv``."""

from pathlib import Path

import pandas as pd

from xdcbench.data.scan import MISSING, SPLIT, Scan, media_files, options, place, table
from xdcbench.errors import UserError
from xdcbench.schema import Dataset

COLUMNS = {"filename", "fold", "target", "category", "esc10", "src_file"}


def scan(root: Path, dataset: Dataset) -> Scan:
    """Split n tests on the official fold n and trains on all other folds.

    Labels are the official targets, counted up from 0 where only some are present. A group is a source
    recording within a fold: four official ones lie in two folds, and the official folds stand.

    Options:
        esc10_only: keep the ten classes of ESC-10 (false).
    """
    chosen = options(dataset, esc10_only=False)
    csv = root / "meta" / "esc50.csv"
    if not csv.is_file():
        raise UserError(f"{dataset.title}: no list {csv}; get it from {dataset.source or 'ESC-50'}")
    meta = pd.read_csv(csv, dtype={"src_file": str})
    if COLUMNS - set(meta):
        raise UserError(f"{csv}: no column {', '.join(sorted(COLUMNS - set(meta)))}; get the official file")
    meta = meta.drop_duplicates("filename")
    files = {f.path.stem: f for f in media_files(root, dataset, "audio")}
    stems = meta["filename"].map(lambda name: Path(name).stem)
    extra = tuple(files[stem].path.as_posix() for stem in sorted(set(files) - set(stems)))
    if chosen["esc10_only"]:
        meta, stems = meta[meta["esc10"]], stems[meta["esc10"]]
    classes = meta.drop_duplicates("target").sort_values("target")
    labels = {target: i for i, target in enumerate(classes["target"])}
    rows = []
    for stem, fold, target, source in zip(
        stems, meta["fold"].astype(str), meta["target"], meta["src_file"], strict=True
    ):
        row = {"id": stem, "label": labels[target], "group": f"{fold}-{source}"}
        row |= place(files.get(stem), f"audio/{stem}")
        rows.append(row | {SPLIT + n: "test" if fold == n else "train" for n in dataset.splits})
    for name in dataset.splits:
        if not any(row[SPLIT + name] == "test" and row["bytes"] != MISSING for row in rows):
            raise UserError(f"{csv}: fold {name} has no recording in {root / 'audio'}; take it from `splits`")
    return Scan(table(rows, dataset.splits), tuple(classes["category"]), extra, (csv,))
