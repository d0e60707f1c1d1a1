"""AudioSet: ``*_segments.csv``, ``class_labels_indices.csv`` and files named by YouTube id, in any folders."""

import re
from pathlib import Path

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.scanning import lists
from xdcbench.data.scanning.items import LABELS, SPLIT, Scan, media_files, options, table
from xdcbench.data.scanning.youtube import place_clips
from xdcbench.errors import UserError

FIELDS = ("ytid", "start", "end", "class")
CLASSES = "class_labels_indices.csv"
COMMENT = re.compile(r"^#.*$", re.MULTILINE)


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official", multi-label; an item is a segment, and each video has one.

    Options:
        lists: folder of the lists, absolute or below the root; none: anywhere below the root.
        train: names of the lists of the training part (unbalanced and balanced).
        test: names of the lists of the test part (evaluation).
    """
    chosen = options(
        dataset,
        lists=None,
        train=["unbalanced_train_segments.csv", "balanced_train_segments.csv"],
        test=["eval_segments.csv"],
    )
    part_of = {name: part for part in ("train", "test") for name in chosen[part]}
    paths = lists.need_lists(root, dataset, [CLASSES, *part_of])
    mids, classes = _classes(paths[CLASSES], dataset)
    parts = [
        _segments(paths[name], dataset, mids).assign(**{SPLIT + "official": part})
        for name, part in part_of.items()
    ]
    segments = pd.concat(parts, ignore_index=True)
    rows = lists.one_per(segments, "ytid", ", ".join(part_of)).reset_index(drop=True)
    files, others = media_files(root, dataset)
    items, extra = place_clips(rows.assign(id=rows["ytid"]), files)
    items = items.assign(label=-1, group=items["ytid"])
    return Scan(table(items, ["official"]), classes, (*extra, *others), tuple(paths.values()))


def _classes(path: Path, dataset: Dataset) -> tuple[dict[str, int], tuple[str, ...]]:
    """Index of each machine id, and names in the order of the indices."""
    rows = lists.read_csv(path, dataset, ("index", "mid", "display_name"))
    rows = rows.assign(index=lists.numbers(rows, "index", path)).sort_values("index")
    if rows["index"].tolist() != list(range(len(rows))) or rows["mid"].duplicated().any():
        raise UserError(f"{path}: its {len(rows)} classes are not numbered from 0, each once; get it again")
    return dict(zip(rows["mid"], rows["index"], strict=True)), tuple(rows["display_name"])


def _segments(path: Path, dataset: Dataset, mids: dict[str, int]) -> pd.DataFrame:
    """Segments of one list: ytid, start (seconds) and labels (sorted tuples)."""
    # Comments become blank lines, so that messages name the right line; no field has a comma and a space.
    text = COMMENT.sub("", lists.read_text(path, dataset)).replace(", ", ",")
    rows = lists.one_per(lists.read_csv(path, dataset, FIELDS, header=False, text=text), "ytid", path)
    texts = rows["class"].drop_duplicates()
    sets = texts.map(lambda text: [name.strip() for name in text.split(",")])
    lists.check_known(sets.explode(), mids, path, CLASSES)
    # Segments of the same classes share one tuple.
    labels = {
        text: tuple(sorted({mids[name] for name in names})) for text, names in zip(texts, sets, strict=True)
    }
    return pd.DataFrame(
        {
            "ytid": rows["ytid"],
            "start": lists.numbers(rows, "start", path),
            LABELS: lists.per_value(rows["class"], lambda values: values.map(labels)),
        }
    )
