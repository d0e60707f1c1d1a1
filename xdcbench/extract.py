"""Features of frozen encoders, for clustering and for the evaluations that do not train an encoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from xdcbench.data.clips import Batch, Clips, Draw
from xdcbench.data.loading import batches
from xdcbench.distributed import gathered, size, united
from xdcbench.models.encoders import Encoder, encode
from xdcbench.progress import track
from xdcbench.runtime import autocast
from xdcbench.schema import Modality, Precision

Name = TypeVar("Name", bound=str)

BATCH = 64
"""Clips per forward pass; each clip's features do not depend on the others in eval mode."""


def extract(
    encoders: Mapping[Modality, Encoder],
    clips: Clips,
    draws: Sequence[Draw],
    *,
    precision: Precision,
    device: torch.device,
    workers: int,
    label: str,
) -> tuple[dict[Modality, np.ndarray], dict[int, str]]:
    """Encode ``draws`` in eval mode; of several processes, each reads its share and all get the whole.

    Returns:
        Features, float32 (len(draws), features) per modality, NaN where a clip could not be read, and
        the reason for each such item by its position in the index.
    """
    for encoder in encoders.values():
        encoder.eval()
    return forward(
        lambda batch: {m: encode(encoder, batch, device=device) for m, encoder in encoders.items()},
        {m: encoder.features for m, encoder in encoders.items()},
        clips,
        draws,
        precision=precision,
        device=device,
        workers=workers,
        label=label,
    )


@torch.inference_mode()
def forward(
    outputs: Callable[[Batch], Mapping[Name, Tensor]],
    widths: Mapping[Name, int],
    clips: Clips,
    draws: Sequence[Draw],
    *,
    precision: Precision,
    device: torch.device,
    workers: int,
    label: str,
) -> tuple[dict[Name, np.ndarray], dict[int, str]]:
    """What ``outputs`` gives for every clip: (B, width) tensors by name, as ``extract`` returns them."""
    found = {name: np.full((len(draws), width), np.nan, dtype=np.float32) for name, width in widths.items()}
    failed: dict[int, str] = {}
    with track(label, len(draws)) as tick:
        for batch in batches(clips, draws, size=BATCH, workers=workers):
            failed |= dict(batch.failed)
            if len(batch.rows):
                with autocast(precision, device):
                    for name, values in outputs(batch).items():
                        found[name][batch.positions.numpy()] = values.float().cpu().numpy()
            tick(len(batch.rows) + len(batch.failed))
    return {name: merged(of) for name, of in found.items()}, united(failed)


def merged(rows: np.ndarray) -> np.ndarray:
    """Rows of every process, float32 (n, d); each was filled in by one of them, NaN in the others."""
    mine = np.flatnonzero(~np.isnan(rows).all(axis=1)) if size() > 1 else np.arange(0)
    for positions, part in gathered((mine, rows[mine])):
        rows[positions] = part
    return rows
