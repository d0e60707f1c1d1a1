"""A tiny synthetic world and what the first stages make of it, for tests that need real files.

Its fixtures are every test's, by tests/conftest.py. (Nothing is asserted here: PYTEST_DONT_REWRITE.)
"""

import os
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from xdcbench.config.base import Modality
from xdcbench.config.data import Dataset, World
from xdcbench.config.models import AudioInput, AudioModel, Models, VideoInput, VideoModel
from xdcbench.config.pretraining import Clustering, Pretrain, Schedule
from xdcbench.config.stages import IndexStage, InitStage, RoundStage
from xdcbench.data import index_stage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.data.synthetic import write_world
from xdcbench.pretraining import init as init_stage

CPU = torch.device("cpu")
CLASSES = 3
WORLD = World(
    classes=CLASSES,
    size=24,
    seconds=1.5,
    kinetics_train=6,
    kinetics_val=2,
    imagenet_train=4,
    imagenet_val=1,
    esc50_per_fold=1,
)
MODELS = Models(
    video=VideoModel(
        width=4, blocks=(1, 1, 1, 1), input=VideoInput(frames=4, size=16, fps=8, short_side=(16, 20))
    ),
    audio=AudioModel(width=8, blocks=(1, 1, 1, 1), input=AudioInput(seconds=0.8)),
)
DATASETS = MappingProxyType(
    {
        "kinetics400": Dataset(
            title="Kinetics", adapter="kinetics", folder="kinetics400", media="video", splits=("official",)
        ),
        "imagenet": Dataset(
            title="ImageNet", adapter="imagenet", folder="imagenet", media="image", splits=("official",)
        ),
        "esc50": Dataset(
            title="ESC-50", adapter="esc50", folder="esc50", media="audio", splits=tuple("12345")
        ),
    }
)
METHODS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "sdc": {"heads": {"video": ("v",), "audio": ("a",)}},
        "mdc": {"heads": {"video": ("v", "a"), "audio": ("a", "v")}},
        "xdc": {"heads": {"video": ("a",), "audio": ("v",)}},
        "cdc": {"heads": {"video": ("joint",), "audio": ("joint",)}},
        "supervised": {"heads": {"video": ("labels",), "audio": ("labels",)}},
    }
)
PRETRAIN = Pretrain(
    batch_size=6,
    val_fraction=0.2,
    kmeans_max_iter=5,
    precision="fp32",
    schedule=Schedule(epochs=3, lr=0.02, warmup_epochs=0, milestones=(2,)),
)


def round_config(method: str, *, k: int = 3, number: int = 1, seed: int = 0, **pretrain: Any) -> RoundStage:
    """A round of one of the paper's methods, ``k`` video and ``k + 1`` audio clusters."""
    heads = METHODS[method]["heads"]
    known = {
        "v": Clustering(features=("video",), k=k),
        "a": Clustering(features=("audio",), k=k + 1),
        "joint": Clustering(features=("video", "audio"), k=k),
    }
    used = {source for sources in heads.values() for source in sources}
    return RoundStage(
        method=method,
        clusterings={name: c for name, c in known.items() if name in used},
        heads=heads,
        encoders=("video", "audio"),
        round=number,
        seed=seed,
        pretrain=PRETRAIN.model_copy(update=pretrain),
    )


def make_index(run: Path, root: Path, name: str, **dataset: Any) -> Path:
    """The run directory of an index stage over ``root / folder``."""
    run.mkdir(parents=True)
    config = IndexStage(name=name, dataset=DATASETS[name].model_copy(update=dataset))
    index_stage.run(config, {}, run, Context("tests", roots={name: root / config.dataset.folder}))
    return run


def small_index(
    labels: Iterable[int], parts: Iterable[str], *, root: Path | None = None, media: str = "video"
) -> Index:
    """An index of items that are all readable; their files are ``<id>`` below the caller's root."""
    labels, parts = list(labels), list(parts)
    names = [f"item{i:02d}" for i in range(len(labels))]
    items = pd.DataFrame(
        {
            "id": names,
            "path": names,
            "label": labels,
            "group": names,
            "bytes": 1,
            "mtime": 1,
            "split:official": parts,
        }
    )
    items = items.assign(ok=True, reason="", duration=2.0, video=True, audio=True)
    items = items.assign(video_seconds=2.0, audio_start=0.0, audio_seconds=2.0)
    return Index(
        name="toy",
        media=media,
        classes=tuple(f"class{i}" for i in range(max(labels) + 1)),
        splits=("official",),
        official=("official",),
        fingerprint="f",
        world=True,
        subset="",
        max_failed=0.1,
        items=items,
    )


def weights_of(run: Path, modality: Modality) -> bytes:
    """The bytes of an encoder's weights file."""
    return (run / f"{modality}.safetensors").read_bytes()


def spoil(path: Path) -> None:
    """Replace a file, which may be a link into the session's world, by garbage of its size and time of change."""
    before = path.stat()
    path.unlink()
    path.write_bytes(np.resize(np.arange(256, dtype=np.uint8), before.st_size).tobytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def linked(source: Path, target: Path) -> Path:
    """A tree of links to the files of ``source``, of which single files can be replaced."""
    for file in source.rglob("*"):
        if file.is_file():
            (target / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (target / file.relative_to(source)).hardlink_to(file)
    return target


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny world's datasets."""
    root = tmp_path_factory.mktemp("tiny")
    write_world(WORLD, root)
    return root


@pytest.fixture(scope="session")
def tiny_runs(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run directories ``kinetics400``, ``imagenet``, ``esc50`` (indices) and ``init`` (encoders)."""
    runs = tmp_path_factory.mktemp("runs")
    for name in DATASETS:
        make_index(runs / name, world, name)
    (runs / "init").mkdir()
    init_stage.run(InitStage(models=MODELS, seed=0), {}, runs / "init", Context("tests"))
    return runs


@pytest.fixture(scope="session")
def tiny_context(world: Path) -> Context:
    """A context that knows where the tiny world lies."""
    return Context("tests", roots={name: world / d.folder for name, d in DATASETS.items()})
