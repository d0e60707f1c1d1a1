"""Features of frozen encoders, for clustering and for the evaluations that do not train an encoder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from xdcbench.config.base import Modality
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import ClipSpec
from xdcbench.data.dataloader import batches
from xdcbench.models.encoders import Encoder, encode
from xdcbench.utils.distributed import all_gather_dict, all_gather_object, all_gather_rows, contiguous_shard
from xdcbench.utils.lazy_sequence import LazySequence
from xdcbench.utils.matrix import Blocks, block_of
from xdcbench.utils.precision import Precision
from xdcbench.utils.progress import track
from xdcbench.utils.runtime import autocast

BATCH = 64
"""Clips per forward pass; each clip's features do not depend on the others in eval mode."""

LOOK = 1024
"""Items whose features are looked through at a time."""


@dataclass(frozen=True)
class Inference:
    """How encoders are run over clips.

    Attributes:
        precision: of the forward pass, resolved.
        device: of the encoders.
        workers: processes that read.
        label: of the progress.
    """

    precision: Precision
    device: torch.device
    workers: int
    label: str


@torch.inference_mode()
def extract(
    encoders: Mapping[Modality, Encoder],
    clips: ClipDataset,
    specs: Sequence[ClipSpec],
    inference: Inference,
    *,
    into: Path | None = None,
    there: np.ndarray | None = None,
) -> tuple[dict[Modality, np.ndarray], dict[int, str]]:
    """Encode ``specs`` in eval mode; of several processes, each reads its share and all get the whole.

    A batch holds the same clips for every number of processes, so that none of them moves a bit of the result.

    Args:
        specs: what to encode; of each item the same number.
        into: folder of the features, ``<modality>.npy``, which then need not fit in memory. What an
            interrupted attempt has left there is not read again, nor are its unreadable items.
        there: which items are read, bool (items,); features are then (items, clips, features). None: all, and
            features are (len(specs), features).

    Returns:
        Features, float32, per modality, NaN where there was nothing to read or it could
        not be read, and the reason for each unreadable item by its position in the index.
    """
    for encoder in encoders.values():
        encoder.eval()
    widths = {modality: encoder.features for modality, encoder in encoders.items()}
    there, shape = (
        (np.ones(len(specs), dtype=bool), (len(specs),))
        if there is None
        else (there, (len(there), len(specs) // len(there)))
    )
    size = block_of(math.prod(shape), BATCH)
    kept = Blocks(into, widths, shape, block=size) if into else Held(widths, shape, block=size)
    missing = kept.missing()
    work = WorkList(missing, there, len(specs) // len(there), size // BATCH)
    with track(inference.label, work.clips) as tick:
        read = batches(
            clips, specs, size=min(BATCH, len(specs)), workers=inference.workers, groups=work.groups
        )
        for number, batch in enumerate(read):
            block, part = work.part(number)
            if part.start == block.start:
                values = {m: np.full((len(block), width), np.nan, np.float32) for m, width in widths.items()}
                failed: dict[int, str] = {}
            if len(batch.rows):
                places = batch.positions.numpy() - block.start
                with autocast(inference.precision, inference.device):
                    for modality, encoder in encoders.items():
                        found = encode(encoder, batch, device=inference.device)
                        values[modality][places] = found.float().cpu().numpy()
            failed |= batch.failed
            tick(len(batch.rows) + len(batch.failed))
            if part.stop == block.stop:
                kept.put(block, values, failed)
    return kept.whole()


@dataclass(frozen=True)
class WorkList:
    """The batches of the blocks that are missing, none of which is held.

    Attributes:
        blocks: positions of clips, whole batches but for the last.
        there: which items are read, bool (items,).
        each: clips of an item.
        batches: of a whole block.
    """

    blocks: Sequence[range]
    there: np.ndarray
    each: int
    batches: int

    @property
    def clips(self) -> int:
        """How many are read."""
        return sum(len(self._read(block)) for block in self.blocks)

    @property
    def groups(self) -> Sequence[Sequence[int]]:
        """Positions of the clips that are read in each batch."""
        count = sum(math.ceil(len(block) / BATCH) for block in self.blocks)
        return LazySequence(count, lambda number: self._read(self.part(number)[1]).tolist())

    def part(self, number: int) -> tuple[range, range]:
        """The block of a batch, and the positions of the batch itself."""
        block = self.blocks[number // self.batches]
        return block, block[number % self.batches * BATCH :][:BATCH]

    def _read(self, part: range) -> np.ndarray:
        positions = np.arange(part.start, part.stop)
        read: np.ndarray = positions[self.there[positions // self.each]]
        return read


def first_non_finite(features: np.ndarray, rows: np.ndarray) -> int | None:
    """The first of ``rows`` with a value that is not finite; each process looks through its share.

    Args:
        features: float32 (items, clips, features).
        rows: positions of items.
    """
    mine = rows[contiguous_shard(len(rows), LOOK)]
    parts = (mine[begin : begin + LOOK] for begin in range(0, len(mine), LOOK))
    bad = (part[~np.isfinite(features[part]).all(axis=(1, 2))] for part in parts)
    here = next((int(part[0]) for part in bad if len(part)), None)
    return min((row for row in all_gather_object(here) if row is not None), default=None)


class Held:
    """What ``Blocks`` keeps in files, in memory, for one attempt."""

    def __init__(self, widths: Mapping[Modality, int], shape: tuple[int, ...], *, block: int) -> None:
        self.shape, self.block = shape, block
        self.mine = contiguous_shard(math.prod(shape), block)
        self.parts = {name: np.empty((len(self.mine), width), np.float32) for name, width in widths.items()}
        self.failed: dict[int, str] = {}

    def missing(self) -> list[range]:
        """See ``Blocks``."""
        return [range(begin, self.mine.stop)[: self.block] for begin in self.mine[:: self.block]]

    def put(self, rows: range, values: Mapping[Modality, np.ndarray], failed: Mapping[int, str]) -> None:
        """See ``Blocks``."""
        begin = rows.start - self.mine.start
        for name, part in values.items():
            self.parts[name][begin : begin + len(rows)] = part
        self.failed |= failed

    def whole(self) -> tuple[dict[Modality, np.ndarray], dict[int, str]]:
        """See ``Blocks``."""
        joint = {name: all_gather_rows(torch.from_numpy(part)).numpy() for name, part in self.parts.items()}
        shaped = {name: of.reshape(*self.shape, of.shape[1]) for name, of in joint.items()}
        return shaped, dict(sorted(all_gather_dict(self.failed).items()))
