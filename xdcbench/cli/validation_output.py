"""What the commands of ``xdcbench data`` do and tell."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tabulate import tabulate

from xdcbench.cli.request import Request
from xdcbench.config.data import Dataset, World
from xdcbench.config.load import load_dataset, override, validate
from xdcbench.config.paths import folder, names
from xdcbench.config.stages import WorldStage
from xdcbench.data.context import Context
from xdcbench.data.local import LocalDataset, facts, facts_of_part, find_local
from xdcbench.data.sources import root_of
from xdcbench.data.synthetic.layouts import files
from xdcbench.data.synthetic.stage import run as write_world
from xdcbench.data.validation.duplicates import find_duplicates, path_of
from xdcbench.data.validation.hashes import Match
from xdcbench.data.validation.statistics import GROUPS, dataset_statistics
from xdcbench.data.validation.verify import KINDS, verify
from xdcbench.errors import UserError
from xdcbench.utils.cores import available_cores
from xdcbench.utils.format import duration, short
from xdcbench.utils.parts import Part

NAMED = 3
"""Items of each kind of finding that a summary names."""


def placed(request: Request) -> tuple[Dataset, Path]:
    """The dataset that a request names, and its folder.

    Raises:
        UserError: there is no such dataset, or no folder was given for it.
    """
    dataset = load_dataset(request.name, overrides=request.overrides or (), consent=request.consent)
    root = request.root or root_of(dataset, request.data_root)
    if root is None:
        raise UserError(
            f"no place given for {request.name}; give its folder with --root or all with --data-root"
        )
    return dataset, root


def find(request: Request) -> LocalDataset:
    """The dataset that a request names, scanned.

    Raises:
        UserError: as ``placed``, or the folder does not fit.
    """
    where = placed(request)
    return find_local(Path(request.name).stem, *where, request.results, request.fingerprint, request.consent)


def processes(request: Request) -> int:
    """Processes that decode: as many as cores that may be used where none are asked for."""
    return request.num_workers or available_cores()


def verify_lines(request: Request, *, clip_seconds: float, part: Part | None = None) -> tuple[list[str], int]:
    """Counts, some of what is wrong and where all of it is; exit code 1 where too much is.

    Of a ``part`` the same, if no file is left to other parts.

    Raises:
        UserError: as `find`.
    """
    data = find(request)
    workers, limit = processes(request), request.timeout
    if part and (left := facts_of_part(data, part, workers=workers, limit=limit)):
        return [f"part {part} is verified; {left} of {len(data.scan.items)} files are left to other parts"], 0
    items = facts(data, workers=workers, limit=limit, wait=part is not None)
    report = verify(data, items, clip_seconds=clip_seconds)
    counts, classes = report["counts"], report["classes"]
    lines = [
        f"{data.dataset.title}, {report['root']}" + (f" ({report['subset']})" if report["subset"] else ""),
        ", ".join(f"{counts[name]} {name}" for name in ("expected", "found", "usable")),
        "",
        *tabulate(
            [
                (split, part, *("-" if n is None else n for n in numbers.values()))
                for split, parts in report["splits"].items()
                for part, numbers in parts.items()
            ],
            headers=["split", "part", "official", "listed", "found", "usable"],
        ).split("\n"),
        "",
    ]
    for kind in KINDS:
        lines.append(f"{kind:<12} {counts[kind]:>7}")
        named = [finding for finding in report["findings"] if finding["kind"] == kind]
        lines += [f"    {finding['path']}: {finding['reason']}" for finding in named[:NAMED]]
        if len(named) > NAMED:
            lines.append(f"    and {len(named) - NAMED} more")
    lacking = classes["without_items"]
    lines.append(
        f"classes      {classes['number']:>7}" + (f", {len(lacking)} without items" if lacking else "")
    )
    lines += [f"    {name}" for name in lacking[:NAMED]]
    if not report["ok"]:
        lines.append(
            f"a part of a split lacks more than {report['max_failed']:.0%} of its items (max_failed)"
        )
    lines.append(f"report       {data.folder / 'verify.json'}")
    return lines, 0 if report["ok"] else 1


def stats_lines(request: Request) -> Iterator[str]:
    """Numbers of a dataset, in a table, and where its numbers and its figure are.

    Raises:
        UserError: as `find`.
    """
    data = find(request)
    found = dataset_statistics(data, facts(data, workers=processes(request), limit=request.timeout))
    length, size = duration(3600 * found["hours"]), short(found["bytes"], "B")
    yield f"{found['title']}: {found['items']} items decode, {length}, {size}"
    yield ""
    units = {
        "seconds": ("length (s)", 1.0),
        "bytes_each": ("size (MB)", 1e-6),
        "short_side": ("short side (pixels)", 1.0),
        "fps": ("frames per second", 1.0),
        "peak": ("peak (dB of full scale)", 1.0),
    }
    numbers = [
        (title, *(value * scale for value in found[name].values()))
        for name, (title, scale) in units.items()
        if name in found
    ]
    headers = ["", "mean", "min", "5%", "median", "95%", "max"]
    yield from tabulate(numbers, headers=headers, floatfmt=".4g").split("\n")
    yield ""
    for name in (*GROUPS, "audio", "classes"):
        if found[name]:
            yield f"{name:<12} {_most(found[name])}"
    yield ""
    yield f"{'written':<12} {data.folder / 'stats'}.{{json,svg,png}}"


def _most(counts: dict[str, int], shown: int = 6) -> str:
    """The most frequent values with their numbers of items."""
    said = [f"{name} {count}" for name, count in list(counts.items())[:shown]]
    rest = len(counts) - shown
    return ", ".join(said) + (f", {rest} more down to {min(counts.values())}" if rest > 0 else "")


def list_lines(data_root: Path | None) -> Iterator[str]:
    """What is known of each dataset and, with a root, whether its folder is there."""
    for name in names(folder("configs") / "datasets"):
        dataset = load_dataset(name)
        here = root_of(dataset, data_root)
        place = "" if here is None else f", {'in' if here.is_dir() else 'not in'} {here}"
        yield f"{name}: {dataset.title} ({dataset.media}, adapter {dataset.adapter}{place})"
        for split in dataset.splits:
            numbers = " ".join(f"{part} {n}" for part, n in dataset.counts.get(split, {}).items())
            yield f"    split {split}" + (f": {numbers}" if numbers else "")
        yield f"    license: {dataset.license or 'not stated'}"
        yield f"    source: {dataset.source or 'not stated'}"


def synth_lines(folder: Path, overrides: Sequence[str]) -> Iterator[str]:
    """Write a synthetic world, or what is lacking of it, and tell what is in the folder.

    Raises:
        UserError: the settings do not fit, name nothing to write, or the folder holds something else.
    """
    tree = override({"world": {}}, overrides)
    for key in tree.keys() - {"world"}:
        raise UserError(
            f"--set {key}: settings of a world are named world.<key>, for example world.classes=4"
        )
    world = validate(World, tree["world"], where="--set world")
    parts = Counter(file.path.parts[0] for file in files(world))
    if not parts:
        raise UserError(
            "nothing to write; give counts of items per class, for example --set world.kinetics_train=40"
        )
    if folder.exists() and not (folder / "world.json").exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds files of no world; give another folder with --output")
    write_world(WorldStage(world=world), {}, folder, Context("synth"))
    yield from tabulate(parts.items(), headers=["dataset", "files"]).split("\n")
    yield f"the world is in {folder}, described by {folder / 'world.json'}"


def overlap_lines(
    a: Request, b: Request, *, parts: tuple[str, str], frames: int, bits: int, write: Path | None
) -> Iterator[str]:
    """Which items of ``a`` are also in ``b``, and where all of them are named; workers and limit are of ``a``.

    Raises:
        UserError: as `find`; a part has no item; the list cannot be written.
    """
    if write is not None and not write.parent.is_dir():
        raise UserError(f"--output {write}: no folder {write.parent}; make it or give another file")
    left, right = find(a), find(b)
    report = find_duplicates(left, right, parts, Match(frames, bits), workers=processes(a), limit=a.timeout)
    for side in (report["a"], report["b"]):
        told = "frames not compared" if side["hashed"] is None else f"{side['hashed']} with frames to compare"
        yield f"{side['name']}: {side['items']} items ({side['part']}), {told}"
    pairs = report["pairs"]
    named, seen = (sum(bool(pair[key]) for pair in pairs) for key in ("shared_id", "frames"))
    yield f"{named} pairs by id, {seen} by frames"
    for pair in pairs[:NAMED]:
        why = [f"id {pair['shared_id']}"] if pair["shared_id"] else []
        why += [f"{pair['frames']} frames"] if pair["frames"] else []
        yield f"    {pair['a']} is {pair['b']} ({', '.join(why)})"
    yield f"{len(report['leave_out'])} of {report['a']['items']} items of {left.name} are in {right.name}"
    yield f"report       {path_of(left, right)}"
    if write is not None:
        write.write_text("".join(f"{item}\n" for item in report["leave_out"]), encoding="utf-8")
        yield f"ids          {write}"
