"""ESC-50 and ESC-10: ``audio/*`` and ``meta/esc50.csv``."""

from pathlib import Path

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import refuse_lookalikes
from xdcbench.data.scanning.items import MISSING, SPLIT, Scan, media_files, options, table
from xdcbench.data.scanning.lists import check_known, numbers, one_per, place, read_csv
from xdcbench.errors import UserError

COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")


def scan(root: Path, dataset: Dataset) -> Scan:
    """Split n tests on the official fold n and trains on all other folds.

    Labels are the official targets, counted up from 0 where only some are present. A group is a source
    recording within a fold: four official ones lie in two folds, and the official folds stand.

    Options:
        esc10_only: keep the ten classes of ESC-10 (false).
    """
    chosen = options(dataset, esc10_only=False)
    csv = root / "meta" / "esc50.csv"
    meta = read_csv(csv, dataset, COLUMNS)
    check_known(meta["esc10"], ("True", "False"), csv, "True, False")
    meta["listed"] = "audio/" + meta["filename"].str.replace(r"\.[^.]*$", "", regex=True)
    meta = one_per(meta[["listed", *COLUMNS[1:]]], "listed", csv)
    meta["target"] = numbers(meta, "target", csv)
    classes = one_per(meta[["target", "category"]], "target", csv).sort_values("target")
    refuse_lookalikes(classes["category"], csv)
    files, others = media_files(root, dataset, "audio")
    files["listed"] = files["folder"] + "/" + files["stem"]
    items, extra = place(meta, files, "listed")
    if chosen["esc10_only"]:
        items = items[items["esc10"] == "True"]
        classes = classes[classes["target"].isin(items["target"])]
    items = items.assign(
        id=items["listed"].str.removeprefix("audio/"),
        label=items["target"].map({target: i for i, target in enumerate(classes["target"])}),
        group=items["fold"] + "-" + items["src_file"],
        **{SPLIT + n: (items["fold"] == n).map({True: "test", False: "train"}) for n in dataset.splits},
    )
    for name in dataset.splits:
        if (items.loc[items["fold"] == name, "bytes"] == MISSING).all():
            raise UserError(f"{csv}: fold {name} has no recording in {root / 'audio'}; take it from `splits`")
    return Scan(table(items, dataset.splits), tuple(classes["category"]), (*extra, *others), (csv,))
