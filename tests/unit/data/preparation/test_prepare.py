import json
import os
import resource
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from xdcbench.config.data import ShardSettings, World
from xdcbench.config.load import load_dataset
from xdcbench.data.index_stage import take
from xdcbench.data.local import LocalDataset
from xdcbench.data.preparation import prepare as module
from xdcbench.data.preparation.prepare import Build, prepare, prepare_part
from xdcbench.data.preparation.verify import verify_shards
from xdcbench.data.scan import scan
from xdcbench.data.scanning.items import fingerprint
from xdcbench.data.shards.layout import read_manifest
from xdcbench.data.synthetic import write_world
from xdcbench.errors import UserError
from xdcbench.utils.locks import lock
from xdcbench.utils.parts import Part
from xdcbench.utils.process_pool import WorkerFailure

WORLD = World(
    classes=2,
    size=16,
    seconds=0.5,
    kinetics_train=3,
    kinetics_val=1,
    imagenet_train=2,
    imagenet_val=1,
    esc50_per_fold=1,
    audioset_balanced=2,
    audioset_eval=1,
)
SMALL = 50_000
"""Bytes of a shard that holds one or two of the videos."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(WORLD, root)
    return root


@pytest.fixture
def videos(world: Path, tmp_path: Path) -> Path:
    """A copy of the videos that a test may change."""
    return Path(shutil.copytree(world / "kinetics400", tmp_path / "videos"))


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(
        function: Callable[[str], Any], tasks: Iterable[str], **_: object
    ) -> Iterator[tuple[str, Any]]:
        pairs = [(task, function(task)) for task in tasks]
        yield from reversed(pairs)  # the order of answers must not matter

    monkeypatch.setattr(module, "answers", answers)


def build(root: Path, folder: Path, name: str = "kinetics400", **changes: Any) -> Build:
    dataset = load_dataset(name)
    found = scan(root, dataset)
    settings = ShardSettings(**changes.pop("settings", {}))
    return Build(
        folder, LocalDataset(name, dataset, root, found, fingerprint(found), root), settings, **changes
    )


def made(root: Path, folder: Path, name: str = "kinetics400", **changes: Any) -> pd.DataFrame:
    return prepare(build(root, folder, name, **changes), workers=1, limit=60)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def times(folder: Path) -> dict[str, int]:
    return {
        p.name: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name != "failed.json"
    }


# -------------------------------------------------------------------------------------------- whole


@pytest.mark.parametrize(
    ("name", "suffixes", "shard_bytes"),
    [
        ("kinetics400", {"mp4", "wav", "json"}, SMALL),
        ("audioset", {"mp4", "wav", "json"}, SMALL),
        ("esc50", {"wav", "json"}, SMALL),
        ("imagenet", {"jpg", "json"}, 6_000),
    ],
)
def test_shards_hold_every_item(
    world: Path, tmp_path: Path, name: str, suffixes: set[str], shard_bytes: int
) -> None:
    found = scan(world / name, load_dataset(name))
    items = made(world / name, tmp_path / "s", name, shard_bytes=shard_bytes)
    scanned = [column for column in found.items if column != "labels"]
    pd.testing.assert_frame_equal(items[scanned], found.items[scanned])
    assert items["ok"].all()
    read = pd.read_parquet(tmp_path / "s" / "items.parquet")
    if "labels" in found.items:
        assert [tuple(labels) for labels in read["labels"]] == list(found.items["labels"])
    manifest = read_manifest(tmp_path / "s")
    assert (manifest.classes, manifest.source_fingerprint) == (found.classes, fingerprint(found))
    assert len(manifest.shards) > 1
    seen: set[str] = set()
    for position, shard in enumerate(manifest.shards):
        path = tmp_path / "s" / "shards" / shard.name
        assert path.stat().st_size == shard.bytes
        with tarfile.open(path) as tar:
            for info in tar:
                number, _, suffix = info.name.partition(".")
                seen.add(suffix)
                (row,) = read[read["number"] == int(number)].to_dict("records")
                assert row["shard"] == position
                if suffix == "json":
                    said = json.load(tar.extractfile(info))  # type: ignore[arg-type]
                    assert (said["id"], said["label"]) == (row["id"], row["label"])
                else:
                    kind = "audio" if suffix == "wav" else "video"
                    assert (row[f"{kind}_offset"], row[f"{kind}_size"]) == (info.offset_data, info.size)
    assert seen == suffixes
    assert verify_shards(tmp_path / "s", workers=1).faults == ()
    assert not (tmp_path / "s" / ".building").exists()


def test_shards_keep_to_their_size_in_the_order_of_items(world: Path, tmp_path: Path) -> None:
    items = made(world / "kinetics400", tmp_path / "s", shard_bytes=SMALL)
    shards = read_manifest(tmp_path / "s").shards
    assert all(shard.bytes <= SMALL for shard in shards)
    assert list(items["number"]) == list(range(len(items)))
    assert list(items["shard"]) == sorted(items["shard"])
    assert made(world / "kinetics400", tmp_path / "one")["shard"].max() == 0


def test_bad_files_are_listed_and_never_fatal(videos: Path, tmp_path: Path) -> None:
    first, *_ = sorted(videos.rglob("*.mp4"))
    first.write_bytes(b"no video")
    items = made(videos, tmp_path / "s")
    assert items["ok"].sum() == len(items) - 1
    failed = json.loads((tmp_path / "s" / "failed.json").read_text())
    assert list(failed) == [first.stem]
    manifest = (tmp_path / "s" / "shards.json").read_bytes()
    made(videos, tmp_path / "s")
    assert (tmp_path / "s" / "shards.json").read_bytes() == manifest


def test_a_file_whose_process_died_is_listed_and_tried_again(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = module.answers
    lost = WorkerFailure("the process that read it died (SIGSEGV)", timeout=False)

    def dying(function: Any, tasks: Iterable[str], **_: object) -> Iterator[tuple[str, Any]]:
        for i, task in enumerate(tasks):
            yield task, lost if i == 2 else function(task)

    monkeypatch.setattr(module, "answers", dying)
    items = made(videos, tmp_path / "s")
    assert list(items.loc[~items["ok"], "reason"]) == [lost.reason]
    monkeypatch.setattr(module, "answers", usual)
    again = made(videos, tmp_path / "s")
    assert again["ok"].all()
    assert list(again["number"]) == list(items["number"])
    assert verify_shards(tmp_path / "s", workers=1).faults == ()


# ------------------------------------------------------------------------------------------ updates


def test_nothing_is_written_where_nothing_changed(videos: Path, tmp_path: Path) -> None:
    made(videos, tmp_path / "s", shard_bytes=SMALL)
    before = times(tmp_path / "s")
    made(videos, tmp_path / "s", shard_bytes=SMALL)
    assert times(tmp_path / "s") == before


def test_an_update_adds_shards_and_touches_none(videos: Path, tmp_path: Path) -> None:
    before = made(videos, tmp_path / "s", shard_bytes=SMALL)
    shards = times(tmp_path / "s" / "shards")
    mark = read_manifest(tmp_path / "s").fingerprint
    gone, changed, *_ = sorted((videos / "train").rglob("*.mp4"))
    shutil.copy(changed, changed.with_name("zzzzzzzzzzz_000001_000011.mp4"))
    gone.unlink()
    os.utime(changed, ns=(1, 1))
    after = made(videos, tmp_path / "s", shard_bytes=SMALL)
    now = times(tmp_path / "s" / "shards")
    assert shards.items() < now.items()
    assert read_manifest(tmp_path / "s").fingerprint != mark
    old, new = before.set_index("id"), after.set_index("id")
    assert gone.stem not in new.index or not new.loc[gone.stem, "ok"]
    kept = old.index.difference([gone.stem, changed.stem])
    columns = ["number", "shard", "video_offset", "audio_offset", "video_sha256"]
    pd.testing.assert_frame_equal(old.loc[kept, columns], new.loc[kept, columns])
    assert new.loc[changed.stem, "number"] >= len(old)
    assert new.loc[changed.stem, "video_sha256"] == old.loc[changed.stem, "video_sha256"]
    found = verify_shards(tmp_path / "s", workers=1)
    assert found.faults == ()
    lost = old.loc[[gone.stem, changed.stem], ["video_size", "audio_size"]].to_numpy().sum()
    assert found.dead >= lost
    assert new["number"].is_unique


# --------------------------------------------------------------------------------------- interrupted


class Killed(BaseException):
    pass


def test_shards_interrupted_anywhere_end_with_the_same_bytes(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step that leaves something on disk is, in turn, the last before the process is gone; then every sixth."""
    broken, *others = sorted((videos / "train").rglob("*.mp4"))
    broken.write_bytes(b"no video")
    for other in others[3:]:
        other.unlink()
    usual, left = Path.replace, 0

    def step(part: Path, whole: Path) -> Path:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        return usual(part, whole)

    def killed(folder: Path, after: int) -> bool:
        nonlocal left
        left = after
        try:
            made(videos, folder, shard_bytes=SMALL)
        except Killed:
            return True
        return False

    monkeypatch.setattr(Path, "replace", step)
    assert not killed(tmp_path / "whole", 0)
    whole, steps = content(tmp_path / "whole"), -left
    assert steps > 20
    for after in range(1, steps + 1):
        assert killed(tmp_path / "s", after)
        assert not killed(tmp_path / "s", 0)
        assert content(tmp_path / "s") == whole
        shutil.rmtree(tmp_path / "s")
    assert sum(killed(tmp_path / "s", 6) for _ in range(steps)) >= 5
    assert content(tmp_path / "s") == whole


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [zero, Path.unlink])
@pytest.mark.parametrize("pattern", ["000000.json", "shards.json", "staged/*.facts", "staged/*.mp4"])
def test_what_is_damaged_in_unfinished_shards_is_prepared_again(
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pattern: str,
    damage: Callable[[Path], None],
) -> None:
    made(videos, tmp_path / "whole", shard_bytes=SMALL)
    usual = Path.replace
    left = 14

    def step(part: Path, whole: Path) -> Path:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        return usual(part, whole)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "replace", step)
        made(videos, tmp_path / "s", shard_bytes=SMALL)
    for path in sorted((tmp_path / "s" / ".building").glob(pattern))[:1]:
        damage(path)
    made(videos, tmp_path / "s", shard_bytes=SMALL)
    assert content(tmp_path / "s") == content(tmp_path / "whole")


def test_originals_may_change_between_interruption_and_resumption(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = module.write_shards

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(module, "write_shards", killed)
    with pytest.raises(Killed):
        made(videos, tmp_path / "s", shard_bytes=SMALL)
    monkeypatch.setattr(module, "write_shards", usual)
    first, second, *_ = sorted((videos / "train").rglob("*.mp4"))
    first.unlink()
    shutil.copy(sorted((videos / "val").rglob("*.mp4"))[0], second)
    made(videos, tmp_path / "s", shard_bytes=SMALL)
    assert verify_shards(tmp_path / "s", workers=1).faults == ()
    fresh = made(videos, tmp_path / "fresh").set_index("id")
    items = pd.read_parquet(tmp_path / "s" / "items.parquet").set_index("id")
    assert dict(items["video_sha256"]) == dict(fresh["video_sha256"])


def test_a_full_disk_is_told_and_resumed(videos: Path, tmp_path: Path) -> None:
    """The limit on the size of a file stands for the end of the disk, for shards and for what is staged."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (60_000, 1000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(
                UserError, match=r"File too large.*make room, then give the same command again"
            ):
                made(videos, tmp_path / "s")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert not (tmp_path / "s" / "shards.json").exists()
    made(videos, tmp_path / "s")
    made(videos, tmp_path / "whole")
    assert content(tmp_path / "s") == content(tmp_path / "whole")


# ------------------------------------------------------------------------------------------ mistakes


def test_other_folders_and_settings_are_refused(world: Path, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="something else than shards"):
        made(videos, tmp_path / "other")
    made(videos, tmp_path / "s")
    with pytest.raises(UserError, match="keyframe_interval=8"):
        made(videos, tmp_path / "s", settings={"keyframe_interval": 4})
    with pytest.raises(UserError, match="name='kinetics400'"):
        made(world / "esc50", tmp_path / "s", "esc50")
    less = build(videos, tmp_path / "s")
    dataset = less.data.dataset.model_copy(update={"max_failed": 0.5})
    prepare(replace(less, data=replace(less.data, dataset=dataset)), workers=1, limit=60)


def test_unfinished_shards_are_resumed_as_they_were_begun(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(module, "_make", killed)
    with pytest.raises(Killed):
        made(videos, tmp_path / "s")
    with pytest.raises(UserError, match="fps=30"):
        made(videos, tmp_path / "s", settings={"fps": 8})


def test_two_processes_do_not_write_into_one_folder(videos: Path, tmp_path: Path) -> None:
    with lock(tmp_path / module.LOCK), pytest.raises(UserError, match="another process"):
        made(videos, tmp_path)


def test_a_subset_is_prepared_alone(videos: Path, tmp_path: Path) -> None:
    whole = build(videos, tmp_path / "s")
    subset = whole.data.dataset.subset.model_copy(update={"per_class": 1})
    dataset = whole.data.dataset.model_copy(update={"subset": subset})
    items = take(whole.data.scan.items, subset, dataset.splits).reset_index(drop=True)
    part = replace(whole.data, dataset=dataset, scan=replace(whole.data.scan, items=items))
    assert len(prepare(replace(whole, data=part), workers=1, limit=60)) == 4
    assert read_manifest(tmp_path / "s").dataset["subset"] == {"per_class": 1}
    with pytest.raises(UserError, match="subset="):
        made(videos, tmp_path / "s")


# --------------------------------------------------------------------------------------------- parts


def prepared_part(root: Path, folder: Path, number: int, count: int, **changes: Any) -> int:
    return prepare_part(
        build(root, folder, shard_bytes=SMALL, **changes), Part(number, count), workers=1, limit=60
    )


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_end_with_the_bytes_of_one_run(videos: Path, tmp_path: Path, order: tuple[int, ...]) -> None:
    broken, *_ = sorted((videos / "train").rglob("*.mp4"))
    broken.write_bytes(b"no video")
    made(videos, tmp_path / "whole", shard_bytes=SMALL)
    left = [prepared_part(videos, tmp_path / "s", number, 3) for number in order]
    assert left[0] > left[1] > left[2] == 0
    assert not (tmp_path / "s" / "shards.json").exists(), "nothing is there until all is"
    made(videos, tmp_path / "s", shard_bytes=SMALL)
    assert content(tmp_path / "s") == content(tmp_path / "whole")


def test_a_part_that_was_killed_is_resumed(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(videos, tmp_path / "whole", shard_bytes=SMALL)
    first, keep, count = tmp_path / "s", module.staging.keep, 0

    def killed(*args: Any) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise Killed
        keep(*args)

    monkeypatch.setattr(module.staging, "keep", killed)
    with pytest.raises(Killed):
        prepared_part(videos, first, 1, 2)
    monkeypatch.setattr(module.staging, "keep", lambda *args: (asked.append(args), keep(*args)))
    asked: list[Any] = []
    before = len(module.staging.numbers(first / ".building" / "staged"))
    assert before == 1
    prepared_part(videos, first, 1, 2)
    assert prepared_part(videos, first, 2, 2) == 0
    total = len(module.staging.numbers(first / ".building" / "staged"))
    assert len(asked) == total - before, "what was done is not done again"
    made(videos, first, shard_bytes=SMALL)
    assert content(first) == content(tmp_path / "whole")


def test_a_whole_run_prepares_what_parts_have_left(videos: Path, tmp_path: Path) -> None:
    made(videos, tmp_path / "whole", shard_bytes=SMALL)
    assert prepared_part(videos, tmp_path / "s", 2, 3) > 0
    made(videos, tmp_path / "s", shard_bytes=SMALL)
    assert content(tmp_path / "s") == content(tmp_path / "whole")
    assert prepared_part(videos, tmp_path / "s", 1, 3) == 0


def test_parts_of_other_settings_or_another_number_are_refused(videos: Path, tmp_path: Path) -> None:
    prepared_part(videos, tmp_path / "s", 1, 4)
    with pytest.raises(UserError, match=r"in 4 parts, not 3\. Try: --part I/4, or no --part"):
        prepared_part(videos, tmp_path / "s", 1, 3)
    with pytest.raises(UserError, match="fps=30"):
        prepared_part(videos, tmp_path / "s", 2, 4, settings={"fps": 8})


def test_parts_work_side_by_side_and_no_part_twice(videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    prepared_part(videos, folder, 1, 2)
    with lock(folder / module.LOCK, shared=True), lock(folder / ".building" / "part-1.lock"):
        assert prepared_part(videos, folder, 2, 2) == 0
        with pytest.raises(UserError, match="another process prepares part 1/2"):
            prepared_part(videos, folder, 1, 2)
        with pytest.raises(UserError, match="another process writes"):
            made(videos, folder, shard_bytes=SMALL)
