"""Features of a frozen encoder for every item of a dataset, extracted once for all that reads them."""

import shutil
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from xdcbench.config.models import VideoInput
from xdcbench.config.stages import FeaturesStage
from xdcbench.data.clips import ClipSpec, even_clips, random_clip
from xdcbench.data.context import Context
from xdcbench.data.frame_order import frame_order
from xdcbench.data.index import Index, check_failed, media_of
from xdcbench.errors import UserError
from xdcbench.models.diagnosis import why_not_finite
from xdcbench.models.encoders import (
    Encoder,
    clips_for,
    load_encoder_metadata,
    load_encoders,
    save_encoders,
    with_frames,
)
from xdcbench.models.inference import Inference, extract, first_non_finite
from xdcbench.models.layers import at_layer
from xdcbench.utils.arrays import load_array
from xdcbench.utils.code import Consent
from xdcbench.utils.distributed import barrier, is_main_process
from xdcbench.utils.documents import LISTING, RUN_AGAIN, read_as, write_json
from xdcbench.utils.lazy_sequence import LazySequence
from xdcbench.utils.runtime import Stream, numpy_generator, pick_device

EXTRACTED = "extracted"
"""Folder of features in work."""


@dataclass(frozen=True)
class Features:
    """Features of the items that could be read.

    Attributes:
        of: float32 (items, clips, features), NaN for items without. Evenly spaced clips with center crop
            come first, augmented ones, which only training may use, after them.
        failed: reason per item that could not be decoded, by its position in the index.
    """

    of: np.ndarray
    failed: dict[int, str]

    def readable(self, rows: np.ndarray) -> np.ndarray:
        """Those of ``rows`` that have features."""
        readable: np.ndarray = rows[~np.isnan(self.of[rows, :, 0]).any(axis=1)]
        return readable

    def means(self, rows: np.ndarray) -> np.ndarray:
        """Mean features over the clips of ``rows``, float32 (len(rows), features)."""
        means = np.empty((len(rows), self.of.shape[2]), np.float32)
        for row, mean in zip(rows, means, strict=True):
            self.of[row].mean(axis=0, out=mean)
        return means


def run(config: FeaturesStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: features of the clips or windows of readable items, all or a split's test items, in eval mode."""
    index = Index.load(inputs["data"])
    metadata = with_frames(load_encoder_metadata(inputs["encoders"]), config.frames)
    device = pick_device(context.device)
    encoders = {config.modality: load_encoder(config, inputs["encoders"], device, context.consent)}
    clips = clips_for(index, media_of(index, context), encoders, context.decoded)
    there = (index.items["ok"] & index.items[config.modality]).to_numpy()
    if config.test_split:
        there = there & np.isin(np.arange(len(there)), index.listed(config.test_split, "test"))
    each = config.num_clips + config.num_augmented_clips
    clips_of_row = partial(clips_of, config, index, frames=metadata.models.video.input.frames)
    recent = lru_cache(maxsize=1)(clips_of_row)
    specs = LazySequence(len(there) * each, lambda at: recent(at // each)[at % each])
    label = f"{metadata.method}: {config.modality} features of {index.name}"
    inference = Inference(config.precision, device, context.num_workers, label)
    found, failed = extract(encoders, clips, specs, inference, into=work / EXTRACTED, there=there)
    check_failed(index, np.flatnonzero(there), failed, limit=index.max_failed)
    bad = first_non_finite(found[config.modality], np.setdiff1d(np.flatnonzero(there), list(failed)))
    if bad is not None:
        own = clips_of_row(bad)
        source = metadata.sources.get(config.modality)
        reason = (
            f"{source} makes them from readable input. Try: `xdcbench validate-encoder {source}`, which names the input"
            if source
            else why_not_finite(config.modality, encoders[config.modality], clips, own, inference)
        )
        raise UserError(
            f"{metadata.method}: the {config.modality} features of "
            f"{index.items['path'].iloc[bad]} are not finite; {reason}"
        )
    del found  # a network file system removes no file that is mapped
    barrier()
    if not is_main_process():
        return
    write_json(work / "failed.json", failed)
    save_encoders(work, {}, metadata)
    (work / EXTRACTED / f"{config.modality}.npy").rename(work / "features.npy")
    shutil.rmtree(work / EXTRACTED)


def load_encoder(config: FeaturesStage, run: Path, device: torch.device, consent: Consent) -> Encoder:
    """The encoder of a run directory, up to the layer and with the clip that the stage asks for."""
    modality = config.modality
    encoder = load_encoders(run, (modality,), device=device, frames=config.frames, consent=consent)[modality]
    if isinstance(encoder.input, VideoInput):
        encoder.input = encoder.input.at_rate(config.rate)
    return at_layer(encoder, config.layer) if config.layer else encoder


def clips_of(config: FeaturesStage, index: Index, row: int, *, frames: int) -> list[ClipSpec]:
    """The clips of one item: evenly spaced ones, then augmented ones, which depend on its id alone.

    Args:
        frames: of a clip of video; where their order is changed, all clips of an item have the same.
    """
    even = even_clips([row], config.num_clips, last_start=config.last_start)
    item = int.from_bytes(sha256(index.items["id"].iloc[row].encode()).digest()[:8])
    rng = numpy_generator(item)
    specs = [*even] + [random_clip(row, config.augment, rng) for _ in range(config.num_augmented_clips)]
    if config.frame_order is None:
        return specs
    order = frame_order(config.frame_order, frames, numpy_generator(item, config.seed, Stream.FRAME_ORDER))
    return [replace(spec, order=order) for spec in specs]


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
