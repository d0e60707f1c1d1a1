"""Room on the disk that stages need while they work, from configurations and counts alone."""

import logging
import shutil

from xdcbench.config.evaluation import Finetune, modalities_of
from xdcbench.config.stages import (
    EvaluationStage,
    FeaturesStage,
    InitStage,
    PretrainedStage,
    RoundStage,
    ShardsStage,
)
from xdcbench.errors import UserError
from xdcbench.pipeline.costs.flops import FLOAT, weight_bytes
from xdcbench.pipeline.costs.sizes import sizes_of
from xdcbench.pipeline.costs.work import Works
from xdcbench.pipeline.graph import Stage
from xdcbench.results.run_store import RunStore
from xdcbench.utils.disk import disk_usage
from xdcbench.utils.format import short

CHECKPOINT = 3
"""A checkpoint over the weights that it holds: weights, momentum, and room for buffers, heads and a second copy
while the new one is written."""

STAGED = 256 << 20
"""Prepared videos that wait until they fill a shard."""

SCORED = 64
"""Bytes per test item of an evaluation's predictions, beside its scores."""

BLOCKS_TOO = 2
"""Extracted features lie on the disk as a matrix and as the blocks that it was joined from."""

log = logging.getLogger("xdcbench")


def scratch(stage: Stage, works: Works, *, checkpoints: int) -> int:
    """Bytes that a stage needs beyond what it leaves: checkpoints, blocks of features, features that are clustered."""
    match stage.config:
        case RoundStage() as config:
            models, n = works.models(stage), works.items(stage, config)
            trained = sum(weight_bytes(model) for m in config.heads if (model := models[m]))
            widths = {m: 8 * model.width for m, model in models.items() if model}
            used = {m for c in config.clusterings.values() for m in c.features}
            extracted = sum(widths.get(m, 0) for m in used)
            derived = [sum(widths.get(m, 0) for m in c.features) for c in config.clusterings.values()]
            joint = any(len(c.features) > 1 for c in config.clusterings.values())
            # At most two matrices are made of the features: joined, and preprocessed.
            made = (joint + (config.pretrain.preprocess != "none")) * max(derived, default=0)
            return CHECKPOINT * checkpoints * trained + FLOAT * (n or 0) * (BLOCKS_TOO * extracted + made)
        case FeaturesStage():
            return works.of(stage).written
        case ShardsStage():
            return min(works.of(stage).written, STAGED)
        case EvaluationStage(settings=Finetune(modality=modality)):
            model = works.models(stage)[modality]
            return CHECKPOINT * checkpoints * weight_bytes(model) if model else 0
    return 0


def need(stage: Stage, works: Works, *, checkpoints: int) -> int | None:
    """Bytes that a stage needs on the disk; None where its kind or its data cannot be counted."""
    match stage.config:
        case InitStage() | PretrainedStage() | RoundStage() | FeaturesStage():
            written = works.of(stage).written
        case EvaluationStage(split=split, settings=settings):
            sizes = works.sizes(stage)
            tested = sizes.parts.get((split, "test", frozenset(modalities_of(settings)))) if sizes else None
            written = (tested or 0) * (SCORED + FLOAT * (sizes.classes or 0 if sizes else 0))
            if tested is None:
                return None
        case _:
            return None
    if any(what.startswith("items of") for what in works.of(stage).unknown):
        return None
    return written + scratch(stage, works, checkpoints=checkpoints)


def require_space(stage: Stage, store: RunStore, *, checkpoints: int) -> None:
    """See that what a stage needs is free; its log says how much it is.

    Raises:
        UserError: less is free than it needs.
    """
    needed = need(stage, Works(lambda index: sizes_of(index, store)), checkpoints=checkpoints)
    needed = None if needed is None else max(0, needed - disk_usage(store.work(stage.key)))
    free = shutil.disk_usage(store.runs).free
    if needed is None:
        return
    log.debug("needs about %s on the disk, %s free", short(needed, "B"), short(free, "B"))
    if needed > free:
        raise UserError(
            f"{stage.name} needs about {short(needed, 'B')} ({needed:,} bytes), and {store.runs} has "
            f"{short(free, 'B')} free; make room (`xdcbench prune` removes what no result needs), or give another "
            "folder with --results"
        )


def peak_line(written: int, most: int, store: RunStore) -> str:
    """What stages leave in all and the most that one of them needs while it works, against what is free."""
    place = next(folder for folder in (store.runs, *store.runs.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    both, stay, work, left = (short(amount, "B") for amount in (written + most, written, most, free))
    lacking = "; not enough" if written + most > free else ""
    return f"disk: about {both} ({stay} stay, {work} while a stage works), {left} free{lacking}"
