"""Batches: whole, the same for any number of workers and ranks, and never silent about a lost worker."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tiny import MODELS, linked, small_index, spoil
from xdcbench.config.pretraining import Augment
from xdcbench.data import clip_dataset as module
from xdcbench.data.clip_dataset import Batch, ClipDataset
from xdcbench.data.clips import ClipSpec, training_clips
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.data.media import Media
from xdcbench.data.media.container import path_of
from xdcbench.data.shared_batches import shared
from xdcbench.errors import MediaChangedError, MediaError, UserError

VIDEO, AUDIO = MODELS.video.input, MODELS.audio.input


@pytest.fixture(scope="module")
def kinetics(tiny_runs: Path) -> Index:
    return Index.load(tiny_runs / "kinetics400")


@pytest.fixture(scope="module")
def folder(world: Path) -> Path:
    return world / "kinetics400"


def same(one: Batch, other: Batch) -> bool:
    assert one.video is not None and other.video is not None
    assert one.audio is not None and other.audio is not None
    return (
        torch.equal(one.rows, other.rows)
        and torch.equal(one.positions, other.positions)
        and torch.equal(one.video.pixels, other.video.pixels)
        and (one.video.sides, one.video.flips) == (other.video.sides, other.video.flips)
        and torch.equal(one.audio, other.audio)
        and one.failed == other.failed
    )


def test_a_batch_holds_what_its_specs_show(kinetics: Index, folder: Path) -> None:
    clips = ClipDataset(kinetics, folder, video=VIDEO, audio=AUDIO)
    specs = training_clips(np.arange(9), augment=Augment(), seed=3, epoch=0)
    read = list(batches(clips, specs, size=4, workers=0))
    assert [len(b.rows) for b in read] == [4, 5]  # a clip is never left alone
    shown = [box for b in read for box in b.video.split()]  # type: ignore[union-attr]
    heard = [wave for b in read for wave in b.audio]  # type: ignore[union-attr]
    for position, spec in enumerate(specs):
        assert torch.equal(shown[position], clips[spec]["video"])
        assert torch.equal(heard[position], clips[spec]["audio"])
    assert [flip for b in read for flip in b.video.flips] == [d.flip for d in specs]  # type: ignore[union-attr]
    assert len({box.shape for box in shown}) > 1


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_number_of_workers_changes_nothing(kinetics: Index, folder: Path, workers: int) -> None:
    clips = ClipDataset(kinetics, folder, video=VIDEO, audio=AUDIO)
    specs = training_clips(np.arange(17), augment=Augment(), seed=1, epoch=0)
    alone, together = (list(batches(clips, specs, size=3, workers=n)) for n in (0, workers))
    assert [len(b.rows) for b in together] == [3, 3, 3, 3, 3, 2]
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))
    assert not active_children()


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_leaves_the_global_generator_as_it_is(kinetics: Index, folder: Path, workers: int) -> None:
    clips, before = ClipDataset(kinetics, folder, audio=AUDIO), torch.get_rng_state()
    assert len(list(batches(clips, [ClipSpec(0), ClipSpec(1)], size=1, workers=workers))) == 1
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("ranks", "workers"), [(2, 0), (3, 0), (3, 2)])
def test_ranks_share_the_batches_of_one(
    kinetics: Index, folder: Path, monkeypatch: pytest.MonkeyPatch, ranks: int, workers: int
) -> None:
    clips = ClipDataset(kinetics, folder, video=VIDEO, audio=AUDIO)
    specs = training_clips(np.arange(13), augment=Augment(), seed=1, epoch=0)
    whole = list(batches(clips, specs, size=4, workers=0))
    parts: list[list[Batch]] = []
    monkeypatch.setenv("WORLD_SIZE", str(ranks))
    for rank in range(ranks):
        monkeypatch.setenv("RANK", str(rank))
        parts.append(list(batches(clips, specs, size=4, workers=workers)))
    for number, batch in enumerate(whole):
        shares = [part[number] for part in parts]
        order = np.argsort(np.concatenate([share.positions.numpy() for share in shares]))
        assert (
            np.concatenate([s.positions.numpy() for s in shares])[order].tolist() == batch.positions.tolist()
        )
        assert np.concatenate([s.rows.numpy() for s in shares])[order].tolist() == batch.rows.tolist()
        boxes = [box for share in shares if share.video for box in share.video.split()]
        assert batch.video is not None
        assert all(torch.equal(boxes[i], box) for i, box in zip(order, batch.video.split(), strict=True))


@given(
    count=st.integers(0, 40),
    size=st.integers(1, 9),
    ranks=st.integers(1, 4),
    bad=st.sets(st.integers(0, 39)),
)
@settings(max_examples=80, deadline=None)
def test_every_draw_is_read_once_by_one_rank(count: int, size: int, ranks: int, bad: set[int]) -> None:
    clips = ClipDataset(small_index([0] * 40, ["train"] * 40), Path("nowhere"))
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClipDataset, "__getitem__", lambda _, spec: empty(spec, bad))
        patch.setenv("WORLD_SIZE", str(ranks))
        for rank in range(ranks):
            patch.setenv("RANK", str(rank))
            read = list(batches(clips, [ClipSpec(row) for row in range(count)], size=size, workers=0))
            assert len(read) == (max(1, -(-(count - 1) // size)) if count else 0)
            for batch in read:
                assert not bad & set(batch.rows.tolist())
                seen += batch.rows.tolist() + [row for row, _ in batch.failed]
    assert sorted(seen) == list(range(count))


def empty(spec: ClipSpec, bad: set[int]) -> dict[str, torch.Tensor]:
    if spec.row in bad:
        raise MediaError(Path("x"), "torn")
    return {}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_item_is_named_and_in_no_batch(
    kinetics: Index, folder: Path, tmp_path: Path, workers: int
) -> None:
    root = linked(folder, tmp_path / "kinetics400")
    for row in (2, 5):
        spoil(root / kinetics.items["path"].iloc[row])
    clips = ClipDataset(kinetics, root, video=VIDEO, audio=AUDIO)
    specs = [ClipSpec(row) for row in (0, 2, 4, 5, 2, 6, 5, 5)]
    read = list(batches(clips, specs, size=3, workers=workers))
    assert [b.rows.tolist() for b in read] == [[0, 4], [6], []]
    assert [b.positions.tolist() for b in read] == [[0, 2], [5], []]
    assert [[row for row, _ in b.failed] for b in read] == [[2], [5, 2], [5, 5]]
    assert all(reason for b in read for _, reason in b.failed)
    assert read[0].video is not None and len(read[0].video.split()) == 2
    assert torch.equal(read[0].video.split()[1], clips[ClipSpec(4)]["video"])
    assert read[2].video is None and read[2].audio is None


def trapped(monkeypatch: pytest.MonkeyPatch, trap: Callable[[], object]) -> ClipDataset:
    """Clips of twelve items that are read at once, but for the seventh, which springs ``trap``."""

    def decoded_clip(media: Media, *, frames: int, short_side: int, **_: Any) -> torch.Tensor:
        path = path_of(media)
        if path.name == "item06":
            trap()
        return torch.full((frames, short_side, short_side, 3), int(path.name[4:]), dtype=torch.uint8)

    monkeypatch.setattr(module, "read_clip", decoded_clip)
    return ClipDataset(small_index([0] * 12, ["train"] * 12), Path("videos"), video=VIDEO)


DRAWS = [ClipSpec(row) for row in range(12)]

PATIENCE = 2.0
"""Seconds, in which a worker also starts on a busy machine."""


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize(
    ("trap", "cause"),
    [
        (lambda: os._exit(3), r"exit code 3, exit code 3\); replace the file"),
        (lambda: os._exit(0), r"exit code 0, exit code 0\); replace the file"),
        (
            lambda: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)),
            r"SIGSEGV, SIGSEGV\); replace the file",
        ),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"SIGKILL, SIGKILL\); use fewer --num-workers"),
    ],
    ids=["exit", "clean exit", "segfault", "kill"],
)
def test_an_item_that_kills_two_workers_is_named(
    monkeypatch: pytest.MonkeyPatch, trap: Callable[[], object], cause: str, workers: int
) -> None:
    read = batches(trapped(monkeypatch, trap), DRAWS, size=2, workers=workers)
    seen: list[int] = []
    with pytest.raises(UserError, match=r"^videos/item06: two reading processes died \(" + cause):
        for batch in read:
            seen += batch.rows.tolist()
    assert seen == [0, 1, 2, 3, 4, 5]
    assert not active_children()


def test_a_worker_killed_from_outside_between_two_items_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    read = batches(trapped(monkeypatch, lambda: None), DRAWS, size=2, workers=1)
    rows = next(read).rows.tolist()
    (worker,) = active_children()
    time.sleep(0.3)  # it has read ahead, and waits
    os.kill(worker.pid or 0, signal.SIGKILL)
    time.sleep(0.3)  # the death of a worker is nothing to what this process does between two batches
    rows += [row for batch in read for row in batch.rows.tolist()]
    assert rows == list(range(12))
    assert not active_children()


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("row", [0, 1, 5, 6, 11])
def test_a_worker_that_dies_once_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, row: int, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    clips = trapped(monkeypatch, lambda: None)
    quick, dead = module.read_clip, shared(1, torch.int64)

    def dying(media: Media, **rest: Any) -> torch.Tensor:
        if path_of(media).name == f"item{row:02}" and not dead:
            dead[0] = 1
            os.kill(os.getpid(), signal.SIGKILL)
        return quick(media, **rest)

    monkeypatch.setattr(module, "read_clip", dying)
    with caplog.at_level("WARNING"):
        read = list(batches(clips, DRAWS, size=4, workers=workers))
    assert caplog.messages == [
        f"videos/item{row:02}: the reading process died (SIGKILL); another one takes its place"
    ]
    monkeypatch.setattr(module, "read_clip", quick)
    for one, other in zip(read, batches(clips, DRAWS, size=4, workers=0), strict=True):
        assert one.video is not None and other.video is not None
        assert torch.equal(one.rows, other.rows) and torch.equal(one.positions, other.positions)
        assert torch.equal(one.video.pixels, other.video.pixels) and one.video.flips == other.video.flips
    assert not active_children()


def test_two_workers_that_die_at_different_items_of_a_batch_name_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither need be the cause, as where memory runs out."""
    clips = trapped(monkeypatch, lambda: None)
    quick, deaths = module.read_clip, shared(1, torch.int64)

    def dying(media: Media, **rest: Any) -> torch.Tensor:
        if path_of(media).name == f"item{4 + int(deaths[0]):02}" and deaths < 2:
            deaths[0] += 1
            os.kill(os.getpid(), signal.SIGKILL)
        return quick(media, **rest)

    monkeypatch.setattr(module, "read_clip", dying)
    both = r"at videos/item04 \(SIGKILL\) and at videos/item05 \(SIGKILL\); use fewer --num-workers"
    with pytest.raises(UserError, match="^two reading processes died, " + both):
        list(batches(clips, DRAWS, size=2, workers=1))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_hangs_is_told_by_its_item(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    clips = trapped(monkeypatch, lambda: time.sleep(60))
    began = time.monotonic()
    with pytest.raises(UserError, match=rf"^videos/item06: not read within {PATIENCE:g} s; replace the file"):
        list(batches(clips, DRAWS, size=2, workers=workers, patience=PATIENCE))
    assert time.monotonic() - began < 10
    assert not active_children()


def test_a_pipe_that_nobody_writes_to_is_no_hang(kinetics: Index, folder: Path, tmp_path: Path) -> None:
    root = linked(folder, tmp_path / "kinetics400")
    path = root / kinetics.items["path"].iloc[4]
    path.unlink()
    os.mkfifo(path)
    clips = ClipDataset(kinetics, root, video=VIDEO, audio=AUDIO)
    with pytest.raises(MediaChangedError, match=f"changed since they were indexed: {path}"):
        list(batches(clips, [ClipSpec(row) for row in range(8)], size=2, workers=2))
    assert not active_children()


def test_a_slow_batch_of_quick_items_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = trapped(monkeypatch, lambda: None)
    quick = module.read_clip
    monkeypatch.setattr(module, "read_clip", lambda *a, **k: (time.sleep(0.2), quick(*a, **k))[1])
    (batch,) = batches(clips, DRAWS, size=12, workers=1, patience=PATIENCE)
    assert len(batch.rows) == 12


@pytest.mark.parametrize("row", [0, 5])
def test_whoever_reads_the_first_batch_is_watched(monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    clips = trapped(monkeypatch, lambda: None)
    quick = module.read_clip

    def hang(media: Media, **rest: Any) -> torch.Tensor:
        time.sleep(60 * (path_of(media).name == f"item{row:02}"))
        return quick(media, **rest)

    monkeypatch.setattr(module, "read_clip", hang)
    with pytest.raises(UserError, match=f"^videos/item{row:02}: not read within {PATIENCE:g} s"):
        list(batches(clips, DRAWS, size=6, workers=1, patience=PATIENCE))
    assert not active_children()


def test_a_mistake_in_the_code_is_shown_with_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = trapped(monkeypatch, lambda: [][0])
    with pytest.raises(RuntimeError, match=r"(?s)^videos/item06:\nTraceback .*IndexError: list index"):
        list(batches(clips, DRAWS, size=2, workers=2))
    assert not active_children()


def test_what_is_left_unread_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    read = batches(trapped(monkeypatch, lambda: time.sleep(60)), 9 * DRAWS, size=2, workers=3)
    next(read)
    assert len(active_children()) == 3
    read.close()
    assert not active_children()


def test_a_batch_outlives_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for workers in (0, 2):
        read = list(batches(trapped(monkeypatch, lambda: None), DRAWS, size=2, workers=workers))
        shown = [int(box.unique()) for batch in read for box in batch.video.split()]  # type: ignore[union-attr]
        assert shown == list(range(12))


ORPHAN = """
import os, sys, time
from pathlib import Path
from tests.unit.tiny import MODELS
from tests.unit.tiny import small_index
from xdcbench.data import clip_dataset as module
from xdcbench.data.clips import ClipSpec
from xdcbench.data.dataloader import batches

def hang(*_, **__):
    print(os.getpid(), flush=True)
    time.sleep(60)

module.read_clip = hang
clips = module.ClipDataset(small_index([0] * 4, ["train"] * 4), Path(), video=MODELS.video.input)
list(batches(clips, [ClipSpec(row) for row in range(4)], size=1, workers=2))
"""


def test_no_worker_outlives_a_killed_process() -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = [int(process.stdout.readline()) for _ in range(2)]
        assert all(alive(pid) for pid in workers)
        process.kill()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in workers)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
