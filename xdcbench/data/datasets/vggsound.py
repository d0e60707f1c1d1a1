"""VGGSound: ``vggsound.csv``, or ``train.csv`` and ``test.csv``, and files named by YouTube id and start."""

from pathlib import Path

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data.scanning import lists
from xdcbench.data.scanning.classes import one_spelling
from xdcbench.data.scanning.items import SPLIT, Scan, media_files, options, table
from xdcbench.data.scanning.youtube import named_parts, place_clips
from xdcbench.errors import UserError

LIST = "vggsound.csv"
PARTS = {"train.csv": "train", "test.csv": "test"}
STATISTICS = "stat.csv"


def scan(root: Path, dataset: Dataset) -> Scan:
    """One split, "official"; classes in alphabetical order.

    ``vggsound.csv`` holds ytid, start, label and part; the lists of the first release hold
    ``<ytid>_<start>.mp4`` and label, one of them for each part. Where ``stat.csv`` is there, it says which
    classes there are. A video may have several clips; a group is a video within a part, since the official
    parts stand.

    Options:
        lists: folder of the lists, absolute or below the root; none: anywhere below the root.
    """
    options(dataset, lists=None)
    found = lists.find_lists(root, dataset, [LIST, *PARTS, STATISTICS])
    if LIST in found:
        sources = [found[LIST]]
        rows = _clips(found[LIST], dataset)
    else:
        sources = [found[name] for name in PARTS if name in found]
        if not sources:
            lists.need_list(found, LIST, root, dataset)
        rows = pd.concat([_files(path, dataset) for path in sources], ignore_index=True)
    known = rows["class"] = one_spelling(rows["class"], sources[0])
    if STATISTICS in found:
        known = lists.read_csv(found[STATISTICS], dataset, ("class", "clips", "kind"), header=False)["class"]
        lists.check_known(rows["class"], known, sources[0], found[STATISTICS])
        sources.append(found[STATISTICS])
    classes = sorted(set(known))
    numbers = {name: i for i, name in enumerate(classes)}
    rows["id"] = rows["ytid"] + "_" + rows["start"].astype("int64").astype("str").str.zfill(6)
    rows = lists.one_per(rows, "id", sources[0]).reset_index(drop=True)
    files, others = media_files(root, dataset)
    items, extra = place_clips(rows, files)
    items = items.assign(
        label=lists.per_value(items["class"], lambda values: values.map(numbers)),
        group=items[SPLIT + "official"] + "-" + items["ytid"],
    )
    return Scan(table(items, ["official"]), tuple(classes), (*extra, *others), tuple(sources))


def _clips(path: Path, dataset: Dataset) -> pd.DataFrame:
    split = SPLIT + "official"
    rows = lists.read_csv(path, dataset, ("ytid", "start", "class", split), header=False)
    lists.check_known(rows[split], PARTS.values(), path, "train, test")
    return rows.assign(start=lists.numbers(rows, "start", path))


def _files(path: Path, dataset: Dataset) -> pd.DataFrame:
    rows = lists.read_csv(path, dataset, ("file", "class"), header=False)
    ytid, start, _ = named_parts(rows["file"].str.replace(r"\.[^.]*$", "", regex=True))
    strange = rows["file"][start.isna()]
    if len(strange):
        raise UserError(
            f"{lists.place_of(path, strange)}: `{strange.iloc[0]}` does not read <ytid>_<start>.mp4; mend the row"
        )
    return pd.DataFrame(
        {
            "ytid": ytid,
            "start": lists.per_value(start, pd.to_numeric),
            "class": rows["class"],
            SPLIT + "official": PARTS[path.name],
        }
    )
