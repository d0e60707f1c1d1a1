"""What is kept decoded gives the clips that reading the files gives, bit for bit, and is bounded."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.tiny import MODELS
from xdcbench.config.pretraining import Augment
from xdcbench.data import slots as module
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import even_clips, training_clips
from xdcbench.data.dataloader import batches
from xdcbench.data.decoded import DecodedItems
from xdcbench.data.index import Index
from xdcbench.data.media import Media
from xdcbench.data.media.local_file import PAUSES
from xdcbench.data.scanning.items import MISSING
from xdcbench.data.slots import AudioSlots
from xdcbench.errors import MediaChangedError, MediaError

VIDEO, AUDIO = MODELS.video.input, MODELS.audio.input
LIMIT = 1 << 30


@pytest.fixture(scope="module")
def kinetics(tiny_runs: Path) -> Index:
    return Index.load(tiny_runs / "kinetics400")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that this process decodes as a whole."""
    seen: list[str] = []

    def counted(read: Callable[..., object]) -> Callable[..., object]:
        def reading(media: Media, **options: int) -> object:
            seen.append(read.__name__)
            return read(media, **options)

        return reading

    for name in ("read_frames", "read_track"):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return seen


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_files(kinetics: Index, world: Path, workers: int) -> None:
    root, kept = world / "kinetics400", DecodedItems(LIMIT)
    files = ClipDataset(kinetics, root, video=VIDEO, audio=AUDIO)
    decoded = ClipDataset(kinetics, root, video=VIDEO, audio=AUDIO, decoded=kept)
    for epoch in range(2):
        specs = training_clips(np.arange(len(files)), augment=Augment(), seed=1, epoch=epoch)
        read = (batches(clips, specs, size=7, workers=workers) for clips in (files, decoded))
        for one, other in zip(*read, strict=True):
            assert torch.equal(one.video.pixels, other.video.pixels)  # type: ignore[union-attr]
            assert one.video.sides == other.video.sides  # type: ignore[union-attr]
            assert torch.equal(one.audio, other.audio)  # type: ignore[arg-type]
    assert all(decoded.frames[VIDEO.short_side[1]].get(row) for row in range(len(files)))  # type: ignore[union-attr]


def test_images_are_those_of_the_files(tiny_runs: Path, world: Path) -> None:
    index = Index.load(tiny_runs / "imagenet")
    specs = even_clips(range(len(index.items)), 1)
    files = ClipDataset(index, world / "imagenet", video=VIDEO)
    decoded = ClipDataset(index, world / "imagenet", video=VIDEO, decoded=DecodedItems(LIMIT))
    for spec in specs:
        assert torch.equal(files[spec]["video"], decoded[spec]["video"])


def test_each_file_is_decoded_once_for_all_stages(kinetics: Index, world: Path, opened: list[str]) -> None:
    kept, root = DecodedItems(LIMIT), world / "kinetics400"
    for _ in range(3):
        clips = ClipDataset(kinetics, root, video=VIDEO, audio=AUDIO, decoded=kept)
        for spec in even_clips([0, 1], 3):
            clips[spec]
    assert sorted(opened) == ["read_frames"] * 2 + ["read_track"] * 2


def test_what_a_worker_decodes_the_others_have(kinetics: Index, world: Path, opened: list[str]) -> None:
    clips = ClipDataset(kinetics, world / "kinetics400", audio=AUDIO, decoded=DecodedItems(LIMIT))
    list(batches(clips, even_clips([0, 1, 2], 1), size=3, workers=1))
    for spec in even_clips([0, 1, 2], 5):
        clips[spec]
    assert not opened


@pytest.mark.parametrize("limit", [0, 100_000])
def test_too_large_a_dataset_is_read_from_its_files(
    kinetics: Index, world: Path, opened: list[str], limit: int
) -> None:
    kept = DecodedItems(limit)
    clips = ClipDataset(kinetics, world / "kinetics400", video=VIDEO, audio=AUDIO, decoded=kept)
    assert clips[even_clips([0], 1)[0]].keys() == {"video", "audio"}
    assert not opened and not kept.taken


def test_the_limit_holds_for_all_datasets_together(kinetics: Index, world: Path) -> None:
    kept = DecodedItems(LIMIT)
    ClipDataset(kinetics, world / "kinetics400", audio=AUDIO, decoded=kept)
    one = kept.taken
    kept = DecodedItems(one + one // 2)
    for rate in (8000, 8000, 16_000, 24_000):
        kept.audio("here", kinetics.items, rate)
    assert 0 < kept.taken <= kept.limit
    assert [slots is None for slots in kept.slots.values()][-1]


def test_equal_names_and_sizes_at_another_place_are_other_files(kinetics: Index) -> None:
    kept = DecodedItems(LIMIT)
    assert kept.audio("here", kinetics.items, 8000) is kept.audio("here", kinetics.items, 8000)
    assert kept.audio("here", kinetics.items, 8000) is not kept.audio("there", kinetics.items, 8000)


def test_an_item_that_needs_more_room_is_read_from_its_file(kinetics: Index, world: Path) -> None:
    root = world / "kinetics400"
    short = replace(kinetics, items=kinetics.items.assign(audio_seconds=0.0))
    small = DecodedItems(LIMIT)
    files, decoded = (ClipDataset(short, root, audio=AUDIO, decoded=of) for of in (None, small))
    (spec,) = even_clips([0], 1)
    assert torch.equal(files[spec]["audio"], decoded[spec]["audio"])
    assert decoded.tracks is not None and decoded.tracks.seen(0) and decoded.tracks.get(0) is None


def test_rooms_do_not_overlap() -> None:
    slots = AudioSlots(np.array([4096, 0, 8192]), 8000)
    waves = [np.full(n, n, np.float32) for n in (1000, 2000)]
    for row, wave in zip((0, 2), waves, strict=True):
        slots.decode = lambda media, wave=wave: module.Track(7, wave)  # type: ignore[method-assign,misc]
        slots.put(row, Path())
    slots.put(1, Path())
    for row, wave in zip((0, 2), waves, strict=True):
        found = slots.get(row)
        assert found is not None and found.begin == 7
        np.testing.assert_array_equal(found.wave, wave)
    assert slots.seen(1) and slots.get(1) is None


def test_a_file_that_does_not_decode_says_so_every_time(kinetics: Index, world: Path, tmp_path: Path) -> None:
    root = shutil.copytree(world / "kinetics400", tmp_path / "kinetics400")
    (root / kinetics.items["path"].iloc[0]).write_bytes(b"no video")
    unmarked = replace(kinetics, items=kinetics.items.assign(mtime=MISSING))
    clips = ClipDataset(unmarked, root, video=VIDEO, decoded=DecodedItems(LIMIT))
    for _ in range(2):
        with pytest.raises(MediaError, match="Invalid data"):
            clips[even_clips([0], 1)[0]]


def test_files_out_of_reach_are_not_waited_for_one_by_one(kinetics: Index, tmp_path: Path) -> None:
    kept = DecodedItems(LIMIT)
    began = time.monotonic()
    ClipDataset(kinetics, tmp_path, video=VIDEO, decoded=kept)
    assert time.monotonic() - began < 3 * sum(PAUSES), "one file for each size of frames"
    assert not kept.taken


def test_a_file_that_changes_is_noticed(kinetics: Index, world: Path, tmp_path: Path) -> None:
    root = shutil.copytree(world / "kinetics400", tmp_path / "kinetics400")
    path = root / kinetics.items["path"].iloc[0]
    clips = ClipDataset(kinetics, root, video=VIDEO, decoded=DecodedItems(LIMIT))
    (spec,) = even_clips([0], 1)
    clips[spec]
    os.utime(path, ns=(1, 1))
    with pytest.raises(MediaChangedError, match="written at another time"):
        clips[spec]
