"""UCF101: ``<class>/v_<class>_g<group>_c<clip>.avi`` and the lists of ucfTrainTestlist."""

from pathlib import Path

from xdcbench.config.data import Dataset
from xdcbench.data.scanning.classes import listed
from xdcbench.data.scanning.items import Scan, options
from xdcbench.data.scanning.lists import read_list
from xdcbench.errors import UserError

INDEX = "classInd.txt"


def scan(root: Path, dataset: Dataset) -> Scan:
    """Three splits by 25 groups of videos per class; classes in the order of classInd.txt.

    Options:
        lists: folder of the lists, absolute or below the root ("ucfTrainTestlist").
    """
    lists = root / options(dataset, lists="ucfTrainTestlist")["lists"]
    numbers = _numbers(lists / INDEX, dataset)
    sources, splits = [], {}
    for number in dataset.splits:
        parts: dict[str, str] = {}
        for part in ("train", "test"):
            path = lists / f"{part}list{number.zfill(2)}.txt"
            for place, line in read_list(path, dataset).items():
                where = f"{path}, line {place}"
                key = _key(line, numbers, where)
                if parts.setdefault(key, part) != part:
                    raise UserError(f"{where}: {key} is in train and test of split {number}; mend the lists")
            sources.append(path)
        splits[number] = parts
    # The order of classInd.txt, which puts Hammering before HammerThrow.
    found = {key.partition("/")[0] for parts in splits.values() for key in parts}
    return listed(
        root,
        dataset,
        splits,
        classes=numbers or sorted(found, key=str.casefold),
        group=lambda stem: stem.rpartition("_c")[0],
        sources=sources,
    )


def _numbers(path: Path, dataset: Dataset) -> dict[str, str]:
    """Number of each class in the order of classInd.txt; none where that list is not there."""
    if not path.is_file():
        return {}
    lines = read_list(path, dataset)
    fields = {place: line.split() for place, line in lines.items()}
    for place, field in fields.items():
        if len(field) != 2:
            raise UserError(
                f"{path}, line {place}: `{lines[place]}` is not a number and a class; get the official list again"
            )
    return {name: number for number, name in fields.values()}


def _key(line: str, numbers: dict[str, str], where: str) -> str:
    """``class/name`` of a line ``class/name.avi``, after which train lists have the number of the class."""
    name, *number = line.split()
    folder, _, file = name.partition("/")
    stem = file.rpartition(".")[0]
    if not stem or "/" in stem:
        raise UserError(f"{where}: `{line}` does not read <class>/<name>.avi; get the official list again")
    if numbers and folder not in numbers:
        raise UserError(f"{where}: unknown class `{folder}`, which is not in {INDEX}; mend one of them")
    if numbers and number not in ([], [numbers[folder]]):
        raise UserError(
            f"{where}: `{line}` contradicts {INDEX}, where {folder} is {numbers[folder]}; mend one"
        )
    return f"{folder}/{stem}"
