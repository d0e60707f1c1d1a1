"""Sections read ahead: the batches of each, whatever was read before, by processes that are forked once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tiny import MODELS, small_index
from xdcbench.config.pretraining import Augment
from xdcbench.data import clip_dataset as module
from xdcbench.data import restarting_loader
from xdcbench.data.clip_dataset import Batch, ClipDataset
from xdcbench.data.clips import ClipSpec, random_clip, training_clips
from xdcbench.data.dataloader import Reader, batches
from xdcbench.data.media import Media
from xdcbench.data.media.container import path_of
from xdcbench.data.restarting_loader import PREFETCH
from xdcbench.data.shared_batches import shared
from xdcbench.errors import MediaError, UserError
from xdcbench.utils.runtime import numpy_generator

ITEMS, SIZE = 23, 4


@pytest.fixture
def clips(monkeypatch: pytest.MonkeyPatch) -> ClipDataset:
    """Clips whose pixels are the numbers of their items; the sixth cannot be read."""

    def frame(media: Media, *, frames: int, short_side: int, **_: Any) -> torch.Tensor:
        path = path_of(media)
        if path.name == "item05":
            raise MediaError(path, "torn")
        return torch.full((frames, short_side, short_side, 3), int(path.name[4:]), dtype=torch.uint8)

    monkeypatch.setattr(module, "read_clip", frame)
    return ClipDataset(small_index([0] * ITEMS, ["train"] * ITEMS), Path("videos"), video=MODELS.video.input)


def draws_of(section: int) -> Sequence[ClipSpec]:
    """Epochs of all items, and between them lists of three, of nothing, of three and so on."""
    if section % 2:
        return [ClipSpec(row) for row in range(3)] if section % 4 == 1 else []
    return training_clips(np.arange(ITEMS), augment=Augment(), seed=1, epoch=section)


def reader(clips: ClipDataset, workers: int, **options: Any) -> Reader:
    return Reader(clips, draws_of, sections=6, size=SIZE, workers=workers, **options)


def content(read: Sequence[Batch]) -> list[tuple[Any, ...]]:
    return [
        (b.rows.tolist(), b.failed, b.video and (b.video.sides, b.video.flips, b.video.pixels.tolist()))
        for b in read
    ]


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_sections_are_those_that_are_read_one_by_one(clips: ClipDataset, workers: int) -> None:
    with reader(clips, workers) as ahead:
        for number in range(6):
            count, read = ahead.section(number)
            assert ahead.next == number
            alone = batches(clips, draws_of(number), size=SIZE, workers=0)
            assert content(list(read)) == content(list(alone))
            assert count == len(draws_of(number))
    assert not active_children()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("number", "done"), [(0, 8), (2, 0), (2, 16), (3, 0), (4, 20), (4, ITEMS)])
def test_reading_goes_on_inside_a_section(clips: ClipDataset, workers: int, number: int, done: int) -> None:
    with reader(clips, workers) as ahead:
        count, rest = ahead.section(number, done)
        assert count == len(draws_of(number))
        assert (
            content(list(rest))
            == content(list(batches(clips, draws_of(number), size=SIZE, workers=0)))[-(-done // SIZE) :]
        )
        if number < 5:
            following = list(ahead.section(number + 1)[1])
            assert content(following) == content(
                list(batches(clips, draws_of(number + 1), size=SIZE, workers=0))
            )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_section_left_half_read_is_begun_anew(clips: ClipDataset, workers: int) -> None:
    with reader(clips, workers) as ahead:
        next(ahead.section(0)[1])
        whole = list(ahead.section(0)[1])
        assert content(whole) == content(list(batches(clips, draws_of(0), size=SIZE, workers=0)))
        assert len(list(ahead.section(4)[1])) == -(-ITEMS // SIZE)


def test_workers_are_forked_once_and_end_with_the_reader(clips: ClipDataset) -> None:
    with reader(clips, 2) as ahead:
        crews = []
        for number in range(5):
            list(ahead.section(number)[1])
            crews.append({child.pid for child in active_children()})
    assert len(crews[0]) == 2
    assert all(crew <= crews[0] for crew in crews)
    assert not active_children()


def test_reading_runs_ahead_of_what_is_asked_for(clips: ClipDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the moment that the context is entered, and into the next section."""
    read_clip, read = vars(module)["read_clip"], shared(ITEMS, torch.int64)

    def counted(media: Media, **rest: Any) -> torch.Tensor:
        read[int(path_of(media).name[4:])] += 1
        return torch.as_tensor(read_clip(media, **rest))

    def until(done: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 10
        while not done() and time.monotonic() < deadline:
            time.sleep(0.01)
        return done()

    monkeypatch.setattr(module, "read_clip", counted)
    with reader(clips, 1) as ahead:
        assert until(lambda: int(read.sum()) >= PREFETCH * SIZE)
        list(ahead.section(0)[1])
        assert until(lambda: int(read.sum()) > ITEMS)
        assert read.min() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT])
def test_asked_to_end_as_they_are_born_workers_read_on(
    clips: ClipDataset, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Before their first line they would answer as this process does."""
    init_worker = restarting_loader._init_worker

    def asked(*words: Any) -> None:
        os.kill(os.getpid(), number)
        init_worker(*words)

    def leave(number: int, frame: object) -> None:
        raise SystemExit(75)

    alone = [batch.rows.tolist() for batch in batches(clips, draws_of(0), size=SIZE, workers=0)]
    monkeypatch.setattr(restarting_loader, "_init_worker", asked)
    before = signal.signal(number, leave)
    try:
        with reader(clips, 2) as read:
            rows = [batch.rows.tolist() for batch in read.section(0)[1]]
    finally:
        signal.signal(number, before)
    assert rows == alone


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT])
def test_what_a_scheduler_sends_to_all_ends_no_worker(clips: ClipDataset, number: signal.Signals) -> None:
    with reader(clips, 1) as ahead:
        first = ahead.section(0)[1]
        next(first)
        (worker,) = active_children()
        os.kill(worker.pid or 0, number)
        assert len(list(first)) == -(-ITEMS // SIZE) - 1
        assert len(list(ahead.section(1)[1])) == 1


def test_a_worker_that_dies_in_a_later_section_is_told(
    clips: ClipDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_clip = vars(module)["read_clip"]

    def deadly(media: Media, **rest: Any) -> torch.Tensor:
        return os._exit(3) if path_of(media).name == "item22" else torch.as_tensor(read_clip(media, **rest))

    monkeypatch.setattr(module, "read_clip", deadly)
    with reader(clips, 1) as ahead:
        assert len(list(ahead.section(1)[1])) == 1  # of the first three items
        with pytest.raises(
            UserError, match=r"^videos/item22: two reading processes died \(exit code 3, exit"
        ):
            list(ahead.section(2)[1])


@given(count=st.integers(1, 40), seed=st.integers(0, 99), flip=st.booleans())
@settings(max_examples=50, deadline=None)
def test_an_epoch_is_drawn_as_one_draw_after_another(count: int, seed: int, flip: bool) -> None:
    augment, rng = Augment(flip=flip), numpy_generator(seed, 5, 1)
    one_by_one = [random_clip(int(row), augment, rng) for row in rng.permutation(np.arange(count))]
    draws = training_clips(np.arange(count), augment=augment, seed=seed, epoch=5)
    assert list(draws) == one_by_one
    assert draws[1:7:2] == one_by_one[1:7:2]
    assert draws[-1] == one_by_one[-1]


LEFT_OPEN = """
from pathlib import Path
from tests.unit.tiny import MODELS
from tests.unit.tiny import small_index
from xdcbench.data import clip_dataset as module
from xdcbench.data.clips import ClipSpec
from xdcbench.data.dataloader import Reader
from xdcbench.errors import MediaError

def torn(media, **_):
    raise MediaError(media.path, "torn")

module.read_clip = torn
clips = module.ClipDataset(small_index([0] * 9, ["train"] * 9), Path(), video=MODELS.video.input)
reader = Reader(clips, lambda _: [ClipSpec(row) for row in range(9)], sections=9, size=2, workers=2)
next(reader.section(0)[1])
"""


def test_a_reader_left_open_does_not_hold_up_the_end_of_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
