"""Speed of XDC's training step with both encoders, and how long it waits for clips that processes read.

A small synthetic dataset is written for it, and read as any other: from its files, or from prepared shards.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from xdcbench.config.data import ShardSettings, World
from xdcbench.config.load import load_dataset
from xdcbench.config.models import Models, VideoInput
from xdcbench.config.pretraining import Pretrain, Schedule
from xdcbench.config.stages import IndexStage, RoundStage
from xdcbench.data import index_stage
from xdcbench.data.context import Context
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.data.local import find_local
from xdcbench.data.preparation.prepare import Build, prepare
from xdcbench.data.restarting_loader import PREFETCH
from xdcbench.data.shards.reader import ShardReader, open_shards
from xdcbench.data.synthetic import write_world
from xdcbench.models.encoders import clips_for, to_device
from xdcbench.models.weights import build_encoder
from xdcbench.pipeline.costs.gpu import Work
from xdcbench.pretraining.learner import Learner
from xdcbench.pretraining.pseudo_labels import PseudoLabels
from xdcbench.training import AverageMeter
from xdcbench.training.step import TrainingStep
from xdcbench.training.trainer import LOOK_EVERY
from xdcbench.utils.runtime import numpy_generator, resolve_precision

WORLD = World(classes=2, size=256, fps=30, seconds=4, kinetics_train=2)
"""What is read: four videos of 256 x 256 H.264 at 30 frames/s with the encoder's own keyframes, and AAC."""

DATASET = "kinetics400"
K = 128
"""Clusters of each modality."""

EPOCH_STEPS = 16
EPOCHS = 100_000
"""More than there is time for."""


@dataclass(frozen=True)
class DataWait:
    """Training on clips that processes read.

    Attributes:
        source: what is read, ``files`` or ``shards``.
        read_per_second: clips that they read while nothing is trained.
        clips_per_second: of training.
        loop_share: of its time, in which the training loop waits for a batch, as its metrics tell it. On a GPU the
            loop runs ahead of the computing, so that it may wait while the GPU does not.
    """

    source: str
    frames: int
    batch: int
    readers: int
    read_per_second: float
    clips_per_second: float
    loop_share: float


@contextmanager
def synthetic_sources(
    world: World = WORLD, *, workers: int, settings: ShardSettings | None = None
) -> Iterator[Mapping[str, tuple[Index, Path | ShardReader]]]:
    """A dataset in a temporary folder, Kinetics-400 of ``world``, and prepared shards of it, each with its index."""
    dataset = load_dataset(DATASET)
    with TemporaryDirectory(prefix="xdcbench-bench-") as name:
        folder = Path(name)
        write_world(world, folder / "data")
        root = folder / "data" / dataset.folder
        build = Build(
            folder / "shards",
            find_local(DATASET, dataset, root, folder / "scan"),
            settings or ShardSettings(),
        )
        prepare(build, workers=workers, limit=300.0)
        shards = open_shards(str(folder / "shards"))
        roots: dict[str, tuple[Path | ShardReader, str | None]] = {
            "files": (root, None),
            "shards": (shards, shards.manifest.fingerprint),
        }
        found = {}
        for source, (where, fingerprint) in roots.items():
            run = folder / f"index of {source}"
            run.mkdir()
            config = IndexStage(name=DATASET, dataset=dataset, fingerprint=fingerprint)
            index_stage.run(config, {}, run, Context("bench", roots={DATASET: where}, cache=folder))
            found[source] = (Index.load(run), where)
        yield found


def xdc_learner(
    index: Index, root: Path | ShardReader, models: Models, *, batch: int, device: torch.device, readers: int
) -> Learner:
    """What learns in a round of XDC, from random labels."""
    encoders = {m: to_device(build_encoder(model, seed=0), device) for m, model in models.by_modality.items()}
    config = RoundStage(
        method="xdc",
        clusterings={},
        heads={"video": ("a",), "audio": ("v",)},
        encoders=("video", "audio"),
        round=1,
        seed=0,
        pretrain=Pretrain(
            batch_size=batch,
            clips_per_epoch=EPOCH_STEPS * batch,
            val_fraction=0.0,
            precision=resolve_precision("auto", device),
            schedule=Schedule(epochs=EPOCHS),
        ),
    )
    rng = numpy_generator(0)
    labels = {source: rng.integers(K, size=len(index.items)) for source in ("a", "v")}
    return Learner(
        config,
        PseudoLabels(labels, dict.fromkeys(labels, K), facts={}, failed={}),
        encoders,
        clips_for(index, root, encoders),
        device,
        readers,
    )


def xdc_step(learner: Learner, *, compiled: bool = False) -> Work:
    """A training step on one batch of decoded clips and audio: sent to the device, resized, encoded, learned from."""
    trainer = learner.trainer(Path(), Context("bench", compile=compiled))
    if compiled:
        for module in trainer.modules.values():
            module.compile()
    stepper = TrainingStep(trainer)
    specs = learner.specs(training_rows(learner), 0)
    (batch,) = batches(learner.clips, specs[: trainer.batch], size=trainer.batch, workers=0)
    meter, steps = AverageMeter(), 0

    def step() -> None:
        nonlocal steps
        stepper(batch, learner.loss, meter, count=len(batch.rows), factor=0.1, at=(0.0, steps))
        steps += 1
        if steps % LOOK_EVERY == 0:
            stepper.look()

    return step


def data_wait(learner: Learner, source: str, *, seconds: float) -> DataWait:
    """Read alone, then train in the real loop, on clips that the learner's processes read, ``seconds`` each."""
    read = reading_speed(learner, seconds=seconds)
    done: list[tuple[int, float]] = []

    def enough(history: Sequence[Mapping[str, float]]) -> bool:
        done.append((len(history), time.monotonic()))  # between epochs a GPU has done all that it was given
        counted = [(epochs, at) for epochs, at in done if epochs * EPOCH_STEPS >= ahead(learner)]
        return len(counted) > 1 and counted[-1][1] - counted[0][1] > seconds

    with TemporaryDirectory(prefix="xdcbench-bench-") as work, quiet():
        trainer = learner.trainer(Path(work), Context("bench", checkpoint_seconds=1e9))
        with learner.reader(training_rows(learner), np.zeros(0, dtype=np.int64)) as reader:
            history, _ = trainer.fit(
                lambda epoch, done: reader.section(2 * epoch, done),
                learner.loss,
                validate=lambda: learner.validate(reader.section(reader.next)[1]),
                until=enough,
            )
    (first, begun), *_, (last, ended) = [at for at in done if at[0] * EPOCH_STEPS >= ahead(learner)]
    counted = history[first:last]
    took = [1 / row["clips_per_second"] for row in counted]  # epochs have the same number of clips
    waited = sum(t * row["data_wait"] for t, row in zip(took, counted, strict=True))
    declared = learner.encoders["video"].input
    assert isinstance(declared, VideoInput)
    return DataWait(
        source,
        frames=declared.frames,
        batch=trainer.batch,
        readers=learner.workers,
        read_per_second=read,
        clips_per_second=(last - first) * EPOCH_STEPS * trainer.batch / (ended - begun),
        loop_share=waited / sum(took),
    )


def reading_speed(learner: Learner, *, seconds: float) -> float:
    """Clips per second that the learner's processes read, while nothing else is done."""
    with learner.reader(training_rows(learner), np.zeros(0, dtype=np.int64)) as reader:
        read, begun = 0, 0.0
        for epoch in range(EPOCHS):
            for number, batch in enumerate(reader.section(2 * epoch)[1], epoch * EPOCH_STEPS):
                if number < ahead(learner):
                    begun = time.monotonic()
                    continue
                read += len(batch.rows)
                if time.monotonic() - begun > seconds:
                    return read / (time.monotonic() - begun)
            list(reader.section(reader.next)[1])  # nothing is held out
    raise AssertionError("there is time for some epochs only")


def ahead(learner: Learner) -> int:
    """Batches that may be read before the first step; what comes after them comes as fast as it is read."""
    return max(1, PREFETCH * learner.workers)


def training_rows(learner: Learner) -> np.ndarray:
    """Positions of all items that are read."""
    return np.arange(len(learner.clips))


@contextmanager
def quiet() -> Iterator[None]:
    """Within, epochs are not told."""
    log = logging.getLogger("xdcbench")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)
