"""UCF101: ``<class>/v_<class>_g<group>_c<clip>.avi`` and the lists of ucfTrainTestlist."""

from pathlib import Path

from xdcbench.data.scan import Scan, listed, options, read_list
from xdcbench.errors import UserError
from xdcbench.schema import Dataset


def scan(root: Path, dataset: Dataset) -> Scan:
    """Three splits by 25 groups of videos per class; classes in the order of classInd.txt.

    Options:
        lists: folder of the lists, absolute or below the root ("ucfTrainTestlist").
    """
    lists = root / options(dataset, lists="ucfTrainTestlist")["lists"]
    sources, splits = [], {}
    for number in dataset.splits:
        parts: dict[str, str] = {}
        for part in ("train", "test"):
            path = lists / f"{part}list{number.zfill(2)}.txt"
            for line in read_list(path, dataset):
                # Train lists carry a label after the name, test lists do not.
                key = str(Path(line.split()[0]).with_suffix(""))
                if parts.setdefault(key, part) != part:
                    raise UserError(f"{path}: {key} is in train and test of split {number}; mend the lists")
            sources.append(path)
        splits[number] = parts
    return listed(root, dataset, splits, group=lambda stem: stem.rpartition("_c")[0], sources=sources)
