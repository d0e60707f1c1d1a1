import json
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdcbench.config.data import Dataset
from xdcbench.data.local import LocalDataset, find_local
from xdcbench.data.validation.duplicates import by_id, find_duplicates, recording
from xdcbench.data.validation.hashes import (
    FLAT,
    ROWS,
    SIDE,
    Hashes,
    Match,
    frame_hashes,
    perceptual_hash,
    shared,
)
from xdcbench.errors import MediaError, UserError

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SOURCES = {
    "mandel": "mandelbrot=s=160x120:r=10:start_scale=0.5",
    "life": "life=s=160x120:r=10:mold=10:ratio=0.3:seed=3",
}
COPIES = {
    "encoded": ("-c:v", "mpeg4", "-q:v", "12"),
    "small": ("-vf", "scale=80:96"),
    "trimmed": ("-ss", "1.0"),
    "bright": ("-vf", "eq=brightness=0.05:contrast=1.1"),
    "cropped": ("-vf", "crop=iw*0.96:ih*0.96"),
}


def data(root: Path, out: Path, name: str, **changes: object) -> LocalDataset:
    config = Dataset(
        title=name, adapter="filelist", folder=name, media="video", splits=("all",), options={"list": None}
    )
    return find_local(name, config.model_copy(update=changes), root / name, out)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    (root / "originals").mkdir()
    (root / "copies").mkdir()
    for name, source in SOURCES.items():
        path = root / "originals" / f"{name}.mp4"
        subprocess.run([FFMPEG, "-v", "error", "-f", "lavfi", "-i", source, "-t", "6", path], check=True)
    for name, change in COPIES.items():
        source = root / "originals" / "mandel.mp4"
        subprocess.run(
            [FFMPEG, "-v", "error", "-i", source, *change, root / "copies" / f"{name}.avi"], check=True
        )
    image = ["-f", "lavfi", "-i", "color=gray:s=64x48:r=10", "-t", "3"]
    subprocess.run([FFMPEG, "-v", "error", *image, root / "copies" / "flat.mp4"], check=True)
    return root


# ------------------------------------------------------------------------------------------- by id


@pytest.mark.parametrize(
    "item",
    [
        "dQw4w9WgXcQ",
        "YdQw4w9WgXcQ",
        "dQw4w9WgXcQ_000010_000020",
        "dQw4w9WgXcQ_30.000",
        "dQw4w9WgXcQ_30.000_40.000",
        "dQw4w9WgXcQ_30000_40000",
        "train/abseiling/dQw4w9WgXcQ_000010_000020",
    ],
)
def test_ways_to_write_one_youtube_id(item: str) -> None:
    assert recording(item) == "dQw4w9WgXcQ"


def test_other_names_stay_apart() -> None:
    names = [
        "v_Archery_g01_c01",
        "v_Archery_g01_c02",
        "1-100032-A-0",
        "dQw4w9WgXcR_1_2",
        "YQw4w9WgXcQ",
        "a/b1",
        "b2",
    ]
    assert len({recording(name) for name in names}) == len(names)


@given(st.lists(st.sampled_from("abcdef"), max_size=8), st.lists(st.sampled_from("abcdef"), max_size=8))
def test_pairs_by_id_are_all_pairs(a: list[str], b: list[str]) -> None:
    found = by_id(pd.Series(a, dtype="str"), pd.Series(b, dtype="str"))
    expected = {(i, j) for i, x in enumerate(a) for j, y in enumerate(b) if x == y}
    assert set(zip(found["a"], found["b"], strict=True)) == expected
    assert len(found) == len(expected)


# -------------------------------------------------------------------------------------- by frames


def brute(a: list[list[int]], b: list[list[int]], bits: int, frames: int) -> set[tuple[int, int, int]]:
    found = set()
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            near = [[(x ^ y).bit_count() <= bits for y in right] for x in left]
            common = min(sum(map(any, near)), sum(map(any, zip(*near, strict=True))))
            if common and common >= min(frames, len(left), len(right)):
                found.add((i, j, common))
    return found


VIDEOS = st.lists(
    st.lists(st.sampled_from([0, 1, 3, 7, 2**63, 2**64 - 1, 255 << 20]), max_size=5), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(VIDEOS, VIDEOS, st.integers(0, 9), st.integers(1, 4))
def test_shared_frames_are_those_of_brute_force(
    a: list[list[int]], b: list[list[int]], bits: int, frames: int
) -> None:
    sides = []
    for videos in (a, b):
        values = np.array([h for video in videos for h in video], np.uint64)
        rows = np.repeat(np.arange(len(videos)), [len(video) for video in videos]).astype(np.int64)
        sides.append(Hashes(values, rows))
    found = shared(*sides, Match(frames, bits), workers=1)
    assert set(found.itertuples(index=False, name=None)) == brute(a, b, bits, frames)


@pytest.mark.parametrize("workers", [1, 2])
def test_blocks_do_not_part_an_item(workers: int) -> None:
    draw = np.random.default_rng(0)
    a, b = (draw.integers(0, 2**64, size, dtype=np.uint64) for size in (5 * ROWS, 5000))
    rows_a, rows_b = np.sort(draw.integers(0, 40, len(a))), np.sort(draw.integers(0, 300, len(b)))
    a[[0, ROWS - 1, ROWS, 3 * ROWS, -1]] = b[[0, 2047, 2048, 4096, -1]]
    found = shared(Hashes(a, rows_a), Hashes(b, rows_b), Match(1, 2), workers=workers)
    expected = {(rows_a[i], rows_b[j]) for i, j in zip(*np.nonzero(a[:, None] == b[None]), strict=True)}
    assert set(zip(found["a"], found["b"], strict=True)) == expected


def test_hash_ignores_brightness_and_contrast() -> None:
    gray = np.random.default_rng(1).integers(60, 180, (SIDE, SIDE)).astype(np.uint8)
    assert perceptual_hash(gray) == perceptual_hash((gray * 0.5 + 20).astype(np.float64))
    assert (perceptual_hash(gray) ^ perceptual_hash(255 - gray)).bit_count() > 55


def test_frame_a_second_is_hashed_unless_flat(root: Path) -> None:
    assert len(list(frame_hashes(root / "originals" / "mandel.mp4"))) == 6
    assert len(list(frame_hashes(root / "copies" / "trimmed.avi"))) == 5
    assert list(frame_hashes(root / "copies" / "flat.mp4")) == []
    assert FLAT > 0


def test_what_has_no_frame_is_a_media_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(MediaError):
        list(frame_hashes(tmp_path / "a.mp4"))


def test_copies_are_found_and_other_videos_are_not(root: Path, tmp_path: Path) -> None:
    a, b = data(root, tmp_path, "copies"), data(root, tmp_path, "originals")
    report = find_duplicates(a, b, ("train", "all"), Match(), workers=1, limit=60)
    assert {(pair["a"], pair["b"]) for pair in report["pairs"]} == {(name, "mandel") for name in COPIES}
    assert report["leave_out"] == sorted(COPIES)
    assert (report["a"]["items"], report["a"]["hashed"]) == (len(COPIES) + 1, len(COPIES))
    path = a.folder / f"overlap-{b.folder.name}.json"
    assert json.loads(path.read_text()) == report


def test_audio_is_compared_by_id_alone(tmp_path: Path) -> None:
    for folder, names in {"a": ("x", "y"), "b": ("y", "z")}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.wav").write_bytes(b"")
    a, b = (data(tmp_path, tmp_path, name, media="audio") for name in "ab")
    report = find_duplicates(a, b, ("train", "all"), Match(), workers=1, limit=60)
    assert report["pairs"] == [{"a": "y", "b": "y", "shared_id": "y", "frames": 0}]
    assert report["a"]["hashed"] is None
    with pytest.raises(UserError, match="part 'test'"):
        find_duplicates(a, b, ("train", "test"), Match(), workers=1, limit=60)
