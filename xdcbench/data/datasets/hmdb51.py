"""HMDB51: ``<class>/*.avi`` and the lists of testTrainMulti_7030_splits."""

from pathlib import Path

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import listed
from xdcbench.data.scanning.items import Scan, options
from xdcbench.data.scanning.lists import no_list, read_list
from xdcbench.errors import UserError

PARTS = {"0": "", "1": "train", "2": "test"}


def scan(root: Path, dataset: Dataset) -> Scan:
    """Three splits of 70 training and 30 test clips per class; the other clips belong to none.

    Test lists of different splits share clips, which is as the authors made them. A group is the clips whose
    names differ in the last number alone; no official split parts one.

    Options:
        lists: folder of the lists, absolute or below the root ("testTrainMulti_7030_splits").
    """
    lists = root / options(dataset, lists="testTrainMulti_7030_splits")["lists"]
    sources, splits = [], {}
    for number in dataset.splits:
        ending = f"_test_split{number}.txt"
        found = sorted(lists.glob("*" + ending))
        if not found:
            raise no_list(lists / ("<class>" + ending), dataset)
        parts: dict[str, str] = {}
        for path in found:
            for place, line in read_list(path, dataset).items():
                name, _, code = line.rpartition(" ")
                if code not in PARTS:
                    raise UserError(
                        f"{path}, line {place}: `{line}` must end in 0, 1 or 2; get the official list again"
                    )
                key = f"{path.name.removesuffix(ending)}/{Path(name.strip()).stem}"
                if parts.setdefault(key, PARTS[code]) != PARTS[code]:
                    raise UserError(
                        f"{path}, line {place}: {key} is in two parts of split {number}; mend the list"
                    )
        sources += found
        splits[number] = parts
    return listed(
        root,
        dataset,
        splits,
        classes=sorted({key.partition("/")[0] for parts in splits.values() for key in parts}),
        group=lambda stem: stem.rpartition("_")[0],
        sources=sources,
    )
