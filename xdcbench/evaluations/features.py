"""Features of a frozen encoder for every item of a data set, extracted once for all that reads them."""

import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from xdcbench.context import Context
from xdcbench.data.clips import Clips, Draw, even_draws, random_draw
from xdcbench.data.index import Index, check_failed
from xdcbench.distributed import barrier, leads
from xdcbench.errors import UserError
from xdcbench.extract import extract, first_bad
from xdcbench.models.diagnosis import why_not_finite
from xdcbench.models.encoders import load_card, load_encoders, save_encoders, with_frames
from xdcbench.models.layers import at_layer
from xdcbench.runtime import generator, pick_device
from xdcbench.stages import FeaturesStage
from xdcbench.store import write_json
from xdcbench.utils.arrays import load_array
from xdcbench.utils.documents import LISTING, RUN_AGAIN, read_as

EXTRACTED = "extracted"
"""Folder of features in work."""


@dataclass(frozen=True)
class Features:
    """Features of the items that could be read.

    Attributes:
        of: float32 (items, clips, features), NaN for items without. Evenly spaced clips with centre crop
            come first, augmented ones, which only training may use, after them.
        failed: reason per item that could not be decoded, by its position in the index.
    """

    of: np.ndarray
    failed: dict[int, str]

    def readable(self, rows: np.ndarray) -> np.ndarray:
        """Those of ``rows`` that have features."""
        readable: np.ndarray = rows[~np.isnan(self.of[rows, :, 0]).any(axis=1)]
        return readable


def run(config: FeaturesStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: features of the clips or windows of every readable item, in eval mode."""
    index, card = Index.load(inputs["data"]), with_frames(load_card(inputs["encoders"]), config.frames)
    device = pick_device(context.device)
    encoders = load_encoders(
        inputs["encoders"], (config.modality,), device=device, frames=config.frames, consent=context.consent
    )
    if config.layer:
        encoders[config.modality] = at_layer(encoders[config.modality], config.layer)
    spec = {config.modality: encoders[config.modality].input}
    clips = Clips(index, context.roots[index.name], **spec)  # type: ignore[arg-type]
    there = (index.items["ok"] & index.items[config.modality]).to_numpy()
    each = config.clips + config.augmented
    nothing: list[Draw | None] = [None] * each
    found, failed = extract(
        encoders,
        clips,
        [
            d
            for row, is_there in enumerate(there)
            for d in (draws_of(config, index, row) if is_there else nothing)
        ],
        precision=config.precision,
        device=device,
        workers=context.workers,
        label=f"{card.method}: {config.modality} features of {index.name}",
        into=work / EXTRACTED,
        shape=(len(there), each),
    )
    check_failed(index, np.flatnonzero(there), failed, limit=index.max_failed)
    bad = first_bad(found[config.modality], np.setdiff1d(np.flatnonzero(there), list(failed)))
    if bad is not None:
        reason = why_not_finite(
            config.modality,
            encoders[config.modality],
            clips,
            draws_of(config, index, bad),
            precision=config.precision,
            device=device,
        )
        raise UserError(
            f"{card.method}: the {config.modality} features of {index.items['path'].iloc[bad]} are not finite; {reason}"
        )
    del found  # a network file system removes no file that is mapped
    barrier()
    if not leads():
        return
    write_json(work / "failed.json", failed)
    save_encoders(work, {}, card)
    (work / EXTRACTED / f"{config.modality}.npy").rename(work / "features.npy")
    shutil.rmtree(work / EXTRACTED)


def draws_of(config: FeaturesStage, index: Index, row: int) -> list[Draw]:
    """The clips of one item: evenly spaced ones, then augmented ones, which depend on its id alone."""
    even = even_draws([row], config.clips, last_start=config.last_start)
    rng = generator(int.from_bytes(sha256(index.items["id"].iloc[row].encode()).digest()[:8]))
    return even + [random_draw(row, config.augment, rng) for _ in range(config.augmented)]


def load_features(run: Path) -> Features:
    """Read the run directory of a features stage, memory-mapped.

    Raises:
        UserError: a file of it is missing or damaged.
    """
    path = run / "features.npy"
    of = load_array(path, mmap_mode="r", fix=RUN_AGAIN)
    if of.ndim != 3 or of.dtype != np.float32:
        raise UserError(
            f"{path} holds {of.dtype} of shape {of.shape}, no features of clips of items. Try: {RUN_AGAIN}"
        )
    failed: dict[int, str] = read_as(dict[int, str], run / "failed.json", limit=LISTING, fix=RUN_AGAIN)
    return Features(of, failed)
