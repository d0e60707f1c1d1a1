"""Features of frozen encoders, for clustering and for the evaluations that do not train an encoder."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from xdcbench.data.clips import Clips, Draw, batches
from xdcbench.distributed import gathered, size
from xdcbench.models.encoders import Encoder, encode
from xdcbench.progress import track
from xdcbench.runtime import autocast
from xdcbench.schema import Modality, Precision

BATCH = 64
"""Clips per forward pass; each clip's features do not depend on the others in eval mode."""


@torch.inference_mode()
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
    found = {m: np.full((len(draws), e.features), np.nan, dtype=np.float32) for m, e in encoders.items()}
    failed: dict[int, str] = {}
    for encoder in encoders.values():
        encoder.eval()
    with track(label, len(draws)) as tick:
        for batch in batches(clips, draws, size=BATCH, workers=workers):
            failed |= dict(batch.failed)
            if len(batch.rows):
                with autocast(precision, device):
                    for modality, encoder in encoders.items():
                        found[modality][batch.positions.numpy()] = (
                            encode(encoder, batch, device=device).float().cpu().numpy()
                        )
            tick(len(batch.rows) + len(batch.failed))
    everywhere = {modality: merged(of) for modality, of in found.items()}
    return everywhere, {row: reason for part in gathered(failed) for row, reason in part.items()}


def merged(rows: np.ndarray) -> np.ndarray:
    """Rows of every process, float32 (n, d); each was filled in by one of them, NaN in the others."""
    mine = np.flatnonzero(~np.isnan(rows).all(axis=1)) if size() > 1 else np.arange(0)
    for positions, part in gathered((mine, rows[mine])):
        rows[positions] = part
    return rows
