"""Whether the encoder or the data is at fault where features are of no use: an untrained encoder is the referee."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from xdcbench.config.base import Modality
from xdcbench.data.clip_dataset import Batch, ClipDataset
from xdcbench.data.clips import ClipSpec
from xdcbench.data.dataloader import batches
from xdcbench.models.encoders import Encoder, encode
from xdcbench.models.inference import Inference
from xdcbench.utils.runtime import autocast, seeded

LOOK = 64
"""Items that are read again."""

NAMED = 3
"""Items that a message names."""

EQUAL = 1e-5
"""Share of the largest magnitude by which values differ that count as equal."""

BLACK, CONSTANT = 16, 2
"""Largest value of a black clip, and largest difference within a constant one, of 255."""

SILENT = 1e-3
"""Largest magnitude of a silent window: -60 dB of full scale, as ``data verify`` has it."""


def why_equal(
    encoders: Mapping[Modality, Encoder],
    clips: ClipDataset,
    specs: Sequence[ClipSpec],
    inference: Inference,
) -> str:
    """Say why features of all items, a clip of ``specs`` each, are equal, of each modality whose features are.

    The encoders are in eval mode.
    """
    batch = _read(
        clips, [specs[at] for at in np.linspace(0, len(specs) - 1, min(LOOK, len(specs))).astype(int)]
    )
    reasons = []
    for modality, encoder in encoders.items():
        features, referee = (_features(net, batch, inference) for net in (encoder, untrained(encoder)))
        if _equal(features):
            named = ", ".join(str(clips.files[row]) for row in batch.rows[:NAMED].tolist())
            items = f"all {len(batch.rows)} items looked at, such as {named}"
            reasons.append(_reason(modality, batch, items, data=_equal(referee)))
    return (
        "; ".join(reasons)
        or f"those of the {len(batch.rows)} items looked at differ when they are read again"
    )


def why_not_finite(
    modality: Modality,
    encoder: Encoder,
    clips: ClipDataset,
    specs: Sequence[ClipSpec],
    inference: Inference,
) -> str:
    """Say why the features of one item, whose clips are ``specs``, are not finite, and what to do."""
    if not _features(untrained(encoder), _read(clips, specs), inference).isfinite().all():
        return (
            f"those of an untrained encoder are not finite either, so that the {modality} of the item is at fault. "
            f"Try: look at it with `xdcbench data verify`, replace it or take it out of the dataset"
        )
    return "those of an untrained encoder are finite. Try: train the encoder again at a lower learning rate"


def untrained(encoder: Encoder) -> Encoder:
    """An encoder of the same architecture with new weights, in eval mode."""
    fresh = deepcopy(encoder)
    with seeded(0):
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None)
            if isinstance(module, nn.Module) and callable(reset):
                reset()
    return fresh.eval()


def _read(clips: ClipDataset, specs: Sequence[ClipSpec]) -> Batch:
    """Read in this process, whole, also of several processes."""
    (batch,) = batches(clips, specs, size=len(specs), workers=0, groups=[range(len(specs))])
    return batch


@torch.inference_mode()
def _features(encoder: Encoder, batch: Batch, inference: Inference) -> Tensor:
    with autocast(inference.precision, inference.device):
        return encode(encoder, batch, device=inference.device).float()


def _equal(x: Tensor) -> bool:
    """Whether all rows are equal, but for rounding."""
    return bool((x - x[:1]).abs().max() <= EQUAL * x.abs().max())


def _reason(modality: Modality, batch: Batch, items: str, *, data: bool) -> str:
    if not data:
        return (
            f"the {modality} encoder has collapsed: features of an untrained one differ between these items. "
            f"Try: train it again at a lower learning rate"
        )
    return (
        f"features of an untrained {modality} encoder are equal, too: the {modality} of {items}, "
        f"{_content(modality, batch)}. Try: look at these files with `xdcbench data verify`"
    )


def _content(modality: Modality, batch: Batch) -> str:
    """What clips or windows hold that no encoder tells apart."""
    if modality == "audio" and batch.audio is not None:
        return "is silent" if batch.audio.abs().max() < SILENT else "is the same or hardly differs"
    boxes = batch.video.split() if batch.video is not None else []
    if all(int(box.max()) <= BLACK for box in boxes):
        return "is black"
    if all(int(box.max()) - int(box.min()) <= CONSTANT for box in boxes):
        return "is of one color"
    return "is the same or hardly differs"
