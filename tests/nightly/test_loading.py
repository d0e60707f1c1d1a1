"""Memory of the loader over many clips."""

import os
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest

from tests.unit.tiny import MODELS, make_index
from xdcbench.config.data import World
from xdcbench.config.pretraining import Augment
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import training_clips
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.data.synthetic import write_world

pytestmark = pytest.mark.nightly
CLIPS, SIZE = 20_000, 32


def resident() -> float:
    """Memory of this process and its workers, MiB; pages that several of them hold count in each."""
    pages = [
        int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        for pid in [os.getpid(), *(child.pid for child in active_children())]
    ]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_memory_is_flat_over_20000_clips(tmp_path: Path) -> None:
    """Within 5 % from the tenth part of the clips on."""
    write_world(World(classes=4, size=48, kinetics_train=8), tmp_path / "world")
    index = Index.load(make_index(tmp_path / "index", tmp_path / "world", "kinetics400"))
    root = tmp_path / "world" / "kinetics400"
    clips = ClipDataset(index, root, video=MODELS.video.input, audio=MODELS.audio.input)
    specs = training_clips(np.arange(len(clips)), augment=Augment(), seed=0, epoch=0, clips=CLIPS)
    read, sizes = 0, []
    for batch in batches(clips, specs, size=SIZE, workers=2):
        read += len(batch.rows)
        sizes.append(resident())
    warm = sizes[len(sizes) // 10]
    late = sizes[-20:-10]  # the last batches come from workers that have ended
    said = f"{warm:.1f} MiB after a tenth, {np.mean(late):.1f} at the end, {max(sizes):.1f} at most"
    print(f"\n{CLIPS} clips: {said}")  # noqa: T201
    assert read == CLIPS
    assert len(active_children()) == 0
    assert abs(np.mean(late) - warm) < 0.05 * warm
    assert max(sizes) < 1.05 * warm
