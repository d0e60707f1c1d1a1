"""A pair of encoders as a run directory: weights, and metadata that say what they are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from xdcbench.config.base import Config, Modality
from xdcbench.config.models import AudioModel, Models, VideoInput, VideoModel
from xdcbench.data.clip_dataset import Batch, ClipDataset
from xdcbench.data.decoded import DecodedItems
from xdcbench.data.index import Index
from xdcbench.data.shards.reader import ShardReader
from xdcbench.data.transforms import square_crops
from xdcbench.models.audio_resnet import AudioResNet
from xdcbench.models.pretrained.external import ExternalEncoder, build_external, check_features
from xdcbench.models.pretrained.origins import OWN
from xdcbench.models.r2plus1d import R2Plus1D
from xdcbench.models.weights import build_encoder, load_weights, save_weights
from xdcbench.utils.code import NO_CODE, Consent
from xdcbench.utils.documents import read_as, write_json

Encoder = R2Plus1D | AudioResNet | ExternalEncoder


class WeightsFile(Config):
    """The file of released weights that an encoder was filled from."""

    name: str = Field(description="of `list weights`")
    url: str = Field(description="direct address, where the authors offer one")
    license: str = Field(description="as the authors state it")
    sha256: str
    pinned: Literal["whole", "prefix", "unpinned"] = Field(
        description="how much of the hash was known before"
    )


class EncoderMetadata(Config):
    """What a pair of encoders is and where it comes from; records and tables quote it.

    ``config_hash`` is the same for all seeds of one way of making them.
    """

    method: str = "scratch"
    config_hash: str
    pretrain_data: str = "none"
    pretrain_items: int = 0
    pretrain_subset: str = ""
    seed: int
    round: int = 0
    epochs: int = 0
    processes: int = Field(1, ge=1, description="the most that shared a batch of a training")
    encoders: tuple[Modality, ...] = ("video", "audio")
    models: Models
    sources: dict[Modality, str] = Field({}, description="of encoders that are not this project's own")
    released: dict[Modality, WeightsFile] = Field({}, description="of encoders with released weights")
    hyperparameters: dict[str, Any] = Field(default_factory=dict)


def with_frames(metadata: EncoderMetadata, frames: int | None) -> EncoderMetadata:
    """The metadata of encoders that are fed ``frames`` per clip; None leaves them what they declare."""
    video = metadata.models.video.with_frames(frames)
    return metadata.model_copy(update={"models": metadata.models.model_copy(update={"video": video})})


def save_encoders(run: Path, encoders: Mapping[Modality, nn.Module], metadata: EncoderMetadata) -> None:
    """Write ``<modality>.safetensors`` and ``encoders.json``."""
    for modality, encoder in encoders.items():
        save_weights(encoder, run / f"{modality}.safetensors", metadata={"method": metadata.method})
    write_json(run / "encoders.json", metadata.model_dump(mode="json"))


def load_encoder_metadata(run: Path) -> EncoderMetadata:
    """The metadata of a run directory that holds encoders.

    Raises:
        UserError: it is not whole, or of a version that this one does not read.
    """
    fix = "run the suite that made it again with --policy always, or read it with the xdcbench that wrote it"
    metadata: EncoderMetadata = read_as(EncoderMetadata, run / "encoders.json", fix=fix)
    return metadata


def load_encoders(
    run: Path,
    modalities: Iterable[Modality],
    *,
    device: torch.device,
    frames: int | None = None,
    consent: Consent = NO_CODE,
) -> dict[Modality, Encoder]:
    """The encoders of ``modalities`` from a run directory, on ``device``; see ``with_frames``.

    Raises:
        UserError: they are damaged, or built by code that the user has not let run.
    """
    metadata = with_frames(load_encoder_metadata(run), frames)
    encoders: dict[Modality, Encoder] = {}
    for modality in modalities:
        model = metadata.models.by_modality[modality]
        source = metadata.sources.get(modality, OWN[0])
        encoder = build(source, model, consent, where=str(run / "encoders.json"))
        encoder.input = model.input
        load_weights(encoder, run / f"{modality}.safetensors")
        encoders[modality] = to_device(encoder, device)
    return encoders


def build(
    source: str, model: VideoModel | AudioModel, consent: Consent = NO_CODE, *, where: str = "the suite"
) -> Encoder:
    """An encoder on the CPU, its weights still to be loaded; ``where`` is what names it, for the message.

    Its source is as ``PretrainedVideo`` and ``PretrainedAudio`` have it; this project's own ones follow from ``model``.

    Raises:
        UserError: there is no such model, or the user's code may not run or gives no encoder.
    """
    return build_encoder(model, seed=0) if source in OWN else build_external(source, model, consent, where)


def clips_for(
    index: Index,
    root: Path | ShardReader,
    encoders: Mapping[Modality, Encoder],
    decoded: DecodedItems | None = None,
) -> ClipDataset:
    """A dataset of the clips that encoders declare, cut from what is kept decoded where it is."""
    inputs = {modality: encoder.input for modality, encoder in encoders.items()}
    return ClipDataset(index, root, decoded=decoded, **inputs)  # type: ignore[arg-type]


def to_device(encoder: Encoder, device: torch.device) -> Encoder:
    """Move an encoder to ``device``; video in the memory format that its convolutions run fastest in.

    The audio encoder stays contiguous: torch 2.11 on the CPU corrupts memory in the backward pass of a
    strided 1x1 convolution of few channels in ``channels_last``.
    """
    if isinstance(encoder.input, VideoInput) and all(p.dim() != 4 for p in encoder.parameters()):
        encoder = encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return encoder.to(device)


def encode(encoder: Encoder, batch: Batch, *, device: torch.device) -> Tensor:
    """Features of a batch, float (B, features), of the modality that ``encoder`` takes.

    Raises:
        ValueError: the batch was read without that modality.
        UserError: an encoder of others gives features of another shape than it declares.
    """
    spec = encoder.input
    if isinstance(spec, VideoInput) and batch.video is not None:
        raw = square_crops(batch.video.to(device), spec.size)
    elif not isinstance(spec, VideoInput) and batch.audio is not None:
        raw = batch.audio.to(device, non_blocking=True)
    else:
        raise ValueError(f"the batch holds nothing for {type(encoder).__name__}")
    features: Tensor = encoder(encoder.prepare(raw))
    if isinstance(encoder, ExternalEncoder):
        check_features(features, len(raw), encoder)
    return features
