"""The world as files: folders, names and lists exactly as the real datasets have them."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from xdcbench.config.data import World
from xdcbench.data.synthetic import audio
from xdcbench.data.synthetic import frames as visual
from xdcbench.data.synthetic.classes import CLASSES
from xdcbench.data.synthetic.encode import Container, encode_jpeg, encode_video, encode_wav
from xdcbench.data.synthetic.factors import Item, sample_item, sample_unlabeled_item
from xdcbench.errors import UserError

SCENES = (
    "bus",
    "busystreet",
    "office",
    "openairmarket",
    "park",
    "quietstreet",
    "restaurant",
    "supermarket",
    "tube",
    "tubestation",
)
_STUDIO_RATE = 44_100
_ESC50_SECONDS = 5.0
_SPLITS = (1, 2, 3)
_UCF101_LISTS = "ucf101/ucfTrainTestlist"


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written: its path below the root and how to make its bytes."""

    path: PurePosixPath
    make: Callable[[], bytes]


def files(world: World) -> Iterator[File]:
    """Every file of a world, dataset by dataset.

    Raises:
        UserError: too few groups or videos for a split.
    """
    for key, what in (("ucf101_groups", "group"), ("hmdb51_videos", "video")):
        if getattr(world, key) == 1:
            raise UserError(
                f"world.{key} is 1, which leaves no {what} to train on: set it to 0, or 2 or more"
            )
    datasets = _kinetics400, _ucf101, _hmdb51, _imagenet, _esc50, _dcase, _audioset, _ig_random, _ig_kinetics
    for dataset in datasets:
        yield from dataset(world)


def class_names(world: World) -> tuple[str, ...]:
    """Names of the world's classes, in the order of their labels."""
    return tuple(kind.name for kind in CLASSES[: world.classes])


def _kinetics400(world: World) -> Iterator[File]:
    for part, count in (("train", world.kinetics_train), ("val", world.kinetics_val)):
        for label, name in enumerate(class_names(world)):
            for number in range(count):
                group = ("kinetics400", part, name, number)
                video, start = _upload(*group)
                path = f"kinetics400/{part}/{name}/{video}_{start:06d}_{start + 10:06d}.mp4"
                yield _video(path, world, sample_item(world, label, *group), audible=True)


def _ucf101(world: World) -> Iterator[File]:
    names, groups = class_names(world), world.ucf101_groups
    if groups == 0:
        return
    tests = -(-groups // 3)
    yield _text(
        f"{_UCF101_LISTS}/classInd.txt", [f"{label} {name}" for label, name in enumerate(names, 1)], "\r\n"
    )
    for split in _SPLITS:
        train, test = [], []
        for label, name in enumerate(names, 1):
            for group in range(groups):
                paths = [_ucf101_path(name, group, take) for take in range(2)]
                if _turn(group, groups, split, tests) < tests:
                    test += paths
                else:
                    train += [f"{path} {label}" for path in paths]
        yield _text(f"{_UCF101_LISTS}/trainlist{split:02d}.txt", train, "\r\n")
        yield _text(f"{_UCF101_LISTS}/testlist{split:02d}.txt", test, "\r\n")
    for label, name in enumerate(names):
        for group in range(groups):
            for take in range(2):
                item = sample_item(world, label, "ucf101", name, group, take=take)
                path = f"ucf101/{_ucf101_path(name, group, take)}"
                yield _video(path, world, item, audible=label % 2 == 0)


def _ucf101_path(name: str, group: int, take: int) -> str:
    return f"{name}/v_{name}_g{group + 1:02d}_c{take + 1:02d}.avi"


def _hmdb51(world: World) -> Iterator[File]:
    count = world.hmdb51_videos
    train, test = 7 * count // 10, max(1, 3 * count // 10)
    for label, name in enumerate(class_names(world)):
        videos = [f"{name}_{number:03d}_nm_np1_fr_med_0.avi" for number in range(count)]
        for split in _SPLITS if videos else ():
            turns = (_turn(number, count, split, test) for number in range(count))
            parts = [2 if turn < test else 1 if turn < test + train else 0 for turn in turns]
            lines = [f"{video} {part} " for video, part in zip(videos, parts, strict=True)]
            yield _text(f"hmdb51/testTrainMulti_7030_splits/{name}_test_split{split}.txt", lines, "\n")
        for number, video in enumerate(videos):
            item = sample_item(world, label, "hmdb51", name, number)
            yield _video(f"hmdb51/{name}/{video}", world, item, audible=False)


def _imagenet(world: World) -> Iterator[File]:
    for label, name in enumerate(class_names(world)):
        wnid = f"n{10_000_001 + label}"
        for number in range(world.imagenet_train):
            item = sample_item(world, label, "imagenet", "train", name, number)
            yield _jpeg(f"imagenet/train/{wnid}/{wnid}_{number}.JPEG", world, item)
        for number in range(world.imagenet_val):
            item = sample_item(world, label, "imagenet", "val", name, number)
            serial = number * world.classes + label + 1
            yield _jpeg(f"imagenet/val/{wnid}/ILSVRC2012_val_{serial:08d}.JPEG", world, item)


def _esc50(world: World) -> Iterator[File]:
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for label, name in enumerate(class_names(world)):
            for number in range(world.esc50_per_fold):
                source, take = divmod(number, 2)
                # Like the real ones, source ids are unique over folds and classes.
                clip = 100_000 * fold + 1000 * label + source
                file = f"{fold}-{clip}-{'AB'[take]}-{label}.wav"
                rows.append(f"{file},{fold},{label},{name},{label < 10},{clip},{'AB'[take]}")
                item = sample_item(world, label, "esc50", fold, name, source, take=take)
                yield _wav(f"esc50/audio/{file}", item, _ESC50_SECONDS)
    if world.esc50_per_fold:
        yield _text("esc50/meta/esc50.csv", rows, "\n")


def _dcase(world: World) -> Iterator[File]:
    for folder, count in (("scenes_stereo", world.dcase_train), ("scenes_stereo_testset", world.dcase_test)):
        for label, scene in enumerate(SCENES[: world.classes]):
            for number in range(count):
                item = sample_item(world, label, "dcase", folder, scene, number)
                path = f"dcase/{folder}/{scene}{number + 1:02d}.wav"
                yield _wav(path, item, world.dcase_seconds, channels=2)


def _audioset(world: World) -> Iterator[File]:
    """Three lists of segments with their videos; a class whose name has two words is also of its first one."""
    lists = {
        "unbalanced_train": world.audioset_unbalanced,
        "balanced_train": world.audioset_balanced,
        "eval": world.audioset_eval,
    }
    if not any(lists.values()):
        return
    names = class_names(world)
    families = dict.fromkeys(name.partition("_")[0] for name in names if "_" in name)
    mids = {name: f"/m/0{number:02d}" for number, name in enumerate([*names, *families])}
    rows = [f"{number},{mid},{name}" for number, (name, mid) in enumerate(mids.items())]
    yield _text("audioset/class_labels_indices.csv", ["index,mid,display_name", *rows], "\n")
    for part, count in lists.items():
        segments = []
        for label, name in enumerate(names):
            positive = ",".join(mids[of] for of in (name, name.partition("_")[0]) if of in mids)
            for number in range(count):
                group = ("audioset", part, name, number)
                video, start = _upload(*group)
                segments.append(f'{video}, {start}.000, {start + 10}.000, "{positive}"')
                path = f"audioset/{part}/{video}_{start}000_{start + 10}000.mp4"
                yield _video(path, world, sample_item(world, label, *group), audible=True)
        head = [
            f"# {part}",
            f"# num_segs={len(segments)}",
            "# YTID, start_seconds, end_seconds, positive_labels",
        ]
        yield _text(f"audioset/{part}_segments.csv", [*head, *segments], "\n")


def _ig_random(world: World) -> Iterator[File]:
    paths = [f"media/{_upload('ig_random', number)[0]}.mp4" for number in range(world.ig_random)]
    if paths:
        yield _text("ig_random/list.csv", ["path", *paths], "\n")
    for number, path in enumerate(paths):
        yield _video(f"ig_random/{path}", world, sample_unlabeled_item(world, number), audible=True)


def _ig_kinetics(world: World) -> Iterator[File]:
    rows = ["path,label"]
    for label, name in enumerate(class_names(world)):
        for number in range(world.ig_kinetics):
            group = ("ig_kinetics", name, number)
            path = f"media/{_upload(*group)[0]}.mp4"
            rows.append(f"{path},{name}")
            yield _video(f"ig_kinetics/{path}", world, sample_item(world, label, *group), audible=True)
    if world.ig_kinetics:
        yield _text("ig_kinetics/list.csv", rows, "\n")


def _upload(*group: str | int) -> tuple[str, int]:
    """What a video is called where it was uploaded, 11 characters, and the second at which its clip starts."""
    digest = hashlib.sha256("/".join(map(str, group)).encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:11], int.from_bytes(digest[-2:], "big") % 300


def _turn(index: int, count: int, split: int, tests: int) -> int:
    """Place of an item in a split that begins with ``tests`` test items, others for each split."""
    return (index - (split - 1) * tests) % count


def _text(path: str, lines: list[str], end: str) -> File:
    return File(PurePosixPath(path), lambda: "".join(line + end for line in lines).encode())


def _video(path: str, world: World, item: Item, *, audible: bool) -> File:
    """A video of the world's size and length, in the container that the suffix names."""

    def make() -> bytes:
        frames = visual.render_video(item, size=world.size, fps=world.fps, seconds=world.seconds)
        samples = (
            audio.render_mono(item, sample_rate=world.sample_rate, seconds=world.seconds) if audible else None
        )
        container: Container = "mp4" if path.endswith(".mp4") else "avi"
        return encode_video(
            frames, samples, container=container, fps=world.fps, sample_rate=world.sample_rate
        )

    return File(PurePosixPath(path), make)


def _jpeg(path: str, world: World, item: Item) -> File:
    return File(PurePosixPath(path), lambda: encode_jpeg(visual.render_image(item, size=world.size)))


def _wav(path: str, item: Item, seconds: float, *, channels: Literal[1, 2] = 1) -> File:
    def make() -> bytes:
        hear = audio.render_mono if channels == 1 else audio.render_stereo
        return encode_wav(hear(item, sample_rate=_STUDIO_RATE, seconds=seconds), sample_rate=_STUDIO_RATE)

    return File(PurePosixPath(path), make)
