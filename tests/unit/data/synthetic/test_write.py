"""The world on disk: layouts, lists, codecs, resuming, determinism."""

import csv
import errno
import hashlib
import wave
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from xdcbench.config.data import Factors, World
from xdcbench.config.load import load_dataset
from xdcbench.data.scan import scan
from xdcbench.data.synthetic import write_world
from xdcbench.data.synthetic.classes import CLASSES
from xdcbench.errors import UserError

SPLITS = ("1", "2", "3")
WORLD = World(
    classes=3,
    kinetics_train=2,
    kinetics_val=1,
    ucf101_groups=6,
    hmdb51_videos=10,
    imagenet_train=2,
    imagenet_val=2,
    esc50_per_fold=2,
    dcase_train=2,
    dcase_test=1,
    dcase_seconds=1.0,
    audioset_unbalanced=2,
    audioset_balanced=1,
    audioset_eval=1,
    ig_random=5,
    ig_kinetics=2,
)
NAMES = [kind.name for kind in CLASSES[:3]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(WORLD, root)
    return root


def digests(root: Path) -> dict[str, str]:
    paths = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def codecs(path: Path) -> list[str]:
    with av.open(str(path)) as media:
        frames = sum(1 for _ in media.decode(video=0))
        assert frames == 20
        return [stream.codec_context.codec.canonical_name for stream in media.streams]


def test_the_same_bytes_after_an_interruption(root: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []

    class Stop(Exception):
        pass

    def interrupt(done: int, total: int) -> None:
        calls.append((done, total))
        if done == total // 2:
            raise Stop

    with pytest.raises(Stop):
        write_world(WORLD, tmp_path, progress=interrupt)
    victim = next(tmp_path.glob("kinetics400/train/*/*.mp4"))
    victim.unlink()
    kept = next(tmp_path.glob("kinetics400/val/*/*.mp4"))
    before = kept.stat().st_mtime_ns
    write_world(WORLD, tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert digests(tmp_path) == digests(root)
    assert kept.stat().st_mtime_ns == before
    assert calls[-1] == (len(digests(root)) - 1,) * 2


@pytest.mark.parametrize(
    "damage", [lambda p: p.write_bytes(bytes(p.stat().st_size)), lambda p: p.write_bytes(b"")]
)
def test_a_damaged_file_of_a_world_in_work_is_written_again(
    root: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    class Stop(Exception):
        pass

    def interrupt(done: int, total: int) -> None:
        if done == total // 2:
            raise Stop

    with pytest.raises(Stop):
        write_world(WORLD, tmp_path, progress=interrupt)
    damage(next(tmp_path.glob("kinetics400/train/*/*.mp4")))
    damage(tmp_path / "world.json")
    write_world(WORLD, tmp_path)
    assert digests(tmp_path) == digests(root)


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        written(self, content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_world(WORLD, tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and ".json." in path.name] == []


def test_no_two_media_files_are_alike(root: Path) -> None:
    media = [digest for path, digest in digests(root).items() if not path.endswith((".txt", ".csv"))]
    assert len(set(media)) == len(media)


def test_another_world_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"world\.json"):
        write_world(WORLD.model_copy(update={"seed": 1}), root)


@pytest.mark.parametrize(
    ("world", "named"),
    [
        (World(ucf101_groups=1), "ucf101_groups is 1"),
        (World(hmdb51_videos=1), "hmdb51_videos is 1"),
        (World(sample_rate=8000), "sample_rate is 8000"),
    ],
)
def test_worlds_that_cannot_be_written_are_refused(world: World, named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=named):
        write_world(world, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_growing_a_world_keeps_its_items(root: Path, tmp_path: Path) -> None:
    write_world(World(classes=3, kinetics_train=3), tmp_path)
    small, large = digests(root), digests(tmp_path)
    shared = [path for path in small if path.startswith("kinetics400/train")]
    assert len(shared) == 6
    assert all(small[path] == large[path] for path in shared)


def test_kinetics400(root: Path) -> None:
    for part, count in (("train", 2), ("val", 1)):
        assert sorted(folder.name for folder in (root / "kinetics400" / part).iterdir()) == sorted(NAMES)
        for folder in (root / "kinetics400" / part).iterdir():
            files = list(folder.iterdir())
            assert len(files) == count
            for file in files:
                video, start, end = file.stem[:11], file.stem[12:18], file.stem[19:]
                assert len(video) == 11
                assert int(end) == int(start) + 10
                assert codecs(file) == ["h264", "aac"]


def test_ucf101(root: Path) -> None:
    folder = root / "ucf101"
    classes = dict(
        line.split() for line in (folder / "ucfTrainTestlist/classInd.txt").read_text().splitlines()
    )
    assert classes == {"1": NAMES[0], "2": NAMES[1], "3": NAMES[2]}
    tested: Counter[str] = Counter()
    everything = {str(path.relative_to(folder)) for path in folder.rglob("*.avi")}
    assert len(everything) == 3 * 6 * 2
    for split in SPLITS:
        train_lines = (folder / f"ucfTrainTestlist/trainlist0{split}.txt").read_text().splitlines()
        test = (folder / f"ucfTrainTestlist/testlist0{split}.txt").read_text().splitlines()
        train = dict(line.split() for line in train_lines)
        assert all(classes[label] == path.split("/")[0] for path, label in train.items())
        assert set(train) | set(test) == everything
        groups = [{path.split("_c")[0] for path in part} for part in (train, test)]
        assert not groups[0] & groups[1]
        assert len(groups[1]) == 3 * 2
        tested.update(test)
    assert set(tested.values()) == {1}


def test_ucf101_has_audio_in_half_of_the_classes(root: Path) -> None:
    tracks = [codecs(next((root / "ucf101" / name).iterdir())) for name in NAMES]
    assert [track[0] for track in tracks] == ["mpeg4"] * 3
    assert [track[1:] for track in tracks] == [["mp3"], [], ["mp3"]]


def test_hmdb51(root: Path) -> None:
    lists = root / "hmdb51/testTrainMulti_7030_splits"
    assert len(list(lists.iterdir())) == 9
    for name in NAMES:
        tested: list[str] = []
        for split in SPLITS:
            text = (lists / f"{name}_test_split{split}.txt").read_text()
            assert all(line.endswith(" ") for line in text.splitlines())
            parts = dict(line.split() for line in text.splitlines())
            assert Counter(parts.values()) == {"1": 7, "2": 3}
            assert {path.name for path in (root / "hmdb51" / name).iterdir()} == set(parts)
            tested += [video for video, part in parts.items() if part == "2"]
        assert len(set(tested)) == 9
    assert codecs(next((root / "hmdb51" / NAMES[0]).iterdir())) == ["mpeg4"]


def test_imagenet(root: Path) -> None:
    folder = root / "imagenet"
    ids = sorted(path.name for path in (folder / "train").iterdir())
    assert ids == sorted(path.name for path in (folder / "val").iterdir())
    assert all(len(wnid) == 9 and wnid[0] == "n" and wnid[1:].isdigit() for wnid in ids)
    train, val = list((folder / "train").rglob("*.JPEG")), list((folder / "val").rglob("*.JPEG"))
    assert all(path.stem.split("_")[0] == path.parent.name for path in train)
    assert sorted(path.name for path in val) == [f"ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 7)]
    with av.open(str(train[0])) as media:
        (frame,) = media.decode(video=0)
    assert (frame.width, frame.height) == (40, 40)


def test_esc50(root: Path) -> None:
    with (root / "esc50/meta/esc50.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    assert {row["filename"] for row in rows} == {path.name for path in (root / "esc50/audio").iterdir()}
    assert Counter((row["fold"], row["target"]) for row in rows) == {
        (str(fold), str(target)): 2 for fold in range(1, 6) for target in range(3)
    }
    folds: dict[str, set[str]] = {}
    for row in rows:
        assert row["filename"] == "{fold}-{src_file}-{take}-{target}.wav".format(**row)
        assert row["category"] == NAMES[int(row["target"])]
        folds.setdefault(row["src_file"], set()).add(row["fold"])
    assert all(len(found) == 1 for found in folds.values())
    with wave.open(str(root / "esc50/audio" / rows[0]["filename"])) as audio:
        assert audio.getparams()[:4] == (1, 2, 44_100, 5 * 44_100)
        assert np.frombuffer(audio.readframes(44_100), "<i2").std() > 300


def test_dcase(root: Path) -> None:
    train = sorted(path.name for path in (root / "dcase/scenes_stereo").iterdir())
    test = sorted(path.name for path in (root / "dcase/scenes_stereo_testset").iterdir())
    scenes = ["bus", "busystreet", "office"]
    assert train == [f"{scene}{number:02d}.wav" for scene in scenes for number in (1, 2)]
    assert test == [f"{scene}01.wav" for scene in scenes]
    with wave.open(str(root / "dcase/scenes_stereo/bus01.wav")) as audio:
        assert audio.getparams()[:4] == (2, 2, 44_100, 44_100)


def test_counts_of_zero_write_nothing(tmp_path: Path) -> None:
    write_world(World(classes=13, imagenet_val=1, factors=Factors(noise=0)), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["imagenet", "world.json"]


def test_dcase_has_ten_classes_at_most(tmp_path: Path) -> None:
    write_world(World(classes=13, dcase_test=1, dcase_seconds=0.1), tmp_path)
    assert len(list((tmp_path / "dcase/scenes_stereo_testset").iterdir())) == 10


def test_audioset(root: Path) -> None:
    found = scan(root / "audioset", load_dataset("audioset"))
    assert found.classes == ("drift_right", "drift_left", "drift_up", "drift")
    assert not found.missing and not found.extra
    assert Counter(found.items["split:official"]) == {"train": 3 * (2 + 1), "test": 3}
    assert Counter(found.items["labels"]) == {(0, 3): 4, (1, 3): 4, (2, 3): 4}
    drawn = scan(root / "audioset", load_dataset("audioset_240k"))
    assert Counter(drawn.items["split:official"]) == {"train": 3 * 2, "test": 3}
    for path in found.items["path"]:
        assert codecs(root / "audioset" / path) == ["h264", "aac"]


def test_classes_with_a_name_of_their_own_are_single(tmp_path: Path) -> None:
    write_world(World(classes=5, audioset_unbalanced=1, audioset_balanced=1, audioset_eval=1), tmp_path)
    found = scan(tmp_path / "audioset", load_dataset("audioset"))
    assert found.classes[4:] == ("grow", "drift")
    assert set(found.items["labels"]) == {(0, 5), (1, 5), (2, 5), (3, 5), (4,)}


def test_lists_of_files(root: Path) -> None:
    uncurated = scan(root / "ig_random", load_dataset("ig_random"))
    curated = scan(root / "ig_kinetics", load_dataset("ig_kinetics"))
    assert set(uncurated.items["label"]) == {-1} and uncurated.classes == ()
    assert Counter(curated.items["label"]) == {0: 2, 1: 2, 2: 2}
    assert curated.classes == tuple(sorted(NAMES))
    for found, name, count in ((uncurated, "ig_random", 5), (curated, "ig_kinetics", 6)):
        assert set(found.items["split:all"]) == {"train"}
        assert len(found.items) == count and not found.missing and not found.extra
        assert codecs(root / name / found.items["path"].iloc[0]) == ["h264", "aac"]


def test_a_dataset_leaves_the_bytes_of_the_others_as_they_are(root: Path, tmp_path: Path) -> None:
    without = WORLD.model_copy(
        update=dict.fromkeys(
            ("audioset_unbalanced", "audioset_balanced", "audioset_eval", "ig_random", "ig_kinetics"), 0
        )
    )
    write_world(without, tmp_path)
    label = "world.json"
    kept, grown = digests(tmp_path), digests(root)
    new = {path.split("/")[0] for path in grown.keys() - kept.keys()}
    assert new == {"audioset", "ig_random", "ig_kinetics"}
    assert all(grown[path] == digest for path, digest in kept.items() if path != label)
