"""A pair of encoders as a run directory: weights, and a card that says what they are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from xdcbench.data.clips import Batch
from xdcbench.data.transforms import squares
from xdcbench.memory import keep_memory
from xdcbench.models.audio import AudioResNet
from xdcbench.models.foreign import Foreign, build_foreign
from xdcbench.models.origins import OWN
from xdcbench.models.video import R2Plus1D
from xdcbench.models.weights import build_encoder, load_weights, save_weights
from xdcbench.schema import AudioInput, AudioModel, Config, Modality, Models, VideoInput, VideoModel
from xdcbench.store import write_json
from xdcbench.utils.code import NO_CODE, Consent
from xdcbench.utils.documents import read_as

Encoder = R2Plus1D | AudioResNet | Foreign


class Card(Config):
    """What a pair of encoders is and where it comes from; records and tables quote it.

    ``recipe`` is the same for all seeds of one way of making them.
    """

    method: str = "scratch"
    recipe: str
    pretrain_data: str = "none"
    pretrain_items: int = 0
    pretrain_subset: str = ""
    seed: int
    round: int = 0
    epochs: int = 0
    encoders: tuple[Modality, ...] = ("video", "audio")
    models: Models
    sources: dict[Modality, str] = Field({}, description="of encoders that are not this project's own")
    factors: dict[str, Any] = Field(default_factory=dict)


def with_frames(card: Card, frames: int | None) -> Card:
    """The card of encoders that are fed ``frames`` per clip; None leaves them what they declare.

    R(2+1)D averages over time, so it takes clips of any length (tables 6 and 7: pretrained on 8 frames,
    finetuned on 32).
    """
    if frames is None:
        return card
    declared = card.models.video.input.model_copy(update={"frames": frames})
    video = card.models.video.model_copy(update={"input": declared})
    return card.model_copy(update={"models": card.models.model_copy(update={"video": video})})


def save_encoders(run: Path, encoders: Mapping[Modality, nn.Module], card: Card) -> None:
    """Write ``<modality>.safetensors`` and ``encoders.json``."""
    for modality, encoder in encoders.items():
        save_weights(encoder, run / f"{modality}.safetensors", metadata={"method": card.method})
    write_json(run / "encoders.json", card.model_dump(mode="json"))


def load_card(run: Path) -> Card:
    """The card of a run directory that holds encoders.

    Raises:
        UserError: it is not whole, or of a version that this one does not read.
    """
    fix = "run the suite that made it again with --policy always, or read it with the xdcbench that wrote it"
    card: Card = read_as(Card, run / "encoders.json", fix=fix)
    return card


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
    card = with_frames(load_card(run), frames)
    encoders: dict[Modality, Encoder] = {}
    for modality in modalities:
        model = card.models.video if modality == "video" else card.models.audio
        encoder = build(card.sources.get(modality, OWN[0]), model, consent, where=str(run / "encoders.json"))
        encoder.input = model.input
        load_weights(encoder, run / f"{modality}.safetensors")
        encoders[modality] = place(encoder, device)
    return encoders


def build(
    source: str, model: VideoModel | AudioModel, consent: Consent = NO_CODE, *, where: str = "the suite"
) -> Encoder:
    """An encoder on the CPU, its weights still to be loaded.

    Args:
        source: as ``GivenVideo`` and ``GivenAudio`` take it; this project's own ones follow from ``model``.
        model: architecture, or for torchvision's models the input that they are to take.
        consent: the code of others that the user lets run.
        where: what names it, for the message.

    Raises:
        UserError: there is no such model, or the user's code may not run or gives no encoder.
    """
    return build_encoder(model, seed=0) if source in OWN else build_foreign(source, model, consent, where)


def place(encoder: Encoder, device: torch.device) -> Encoder:
    """Move an encoder to ``device``; video in the memory format that its convolutions run fastest in.

    On the CPU this process keeps its memory from then on, see ``keep_memory``.

    The audio encoder stays contiguous: torch 2.11 on the CPU corrupts memory in the backward pass of a
    strided 1x1 convolution of few channels in ``channels_last``.
    """
    if device.type == "cpu":
        keep_memory()
    if isinstance(encoder.input, VideoInput) and all(p.dim() != 4 for p in encoder.parameters()):
        encoder = encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return encoder.to(device)


def encode(encoder: Encoder, batch: Batch, *, device: torch.device) -> Tensor:
    """Features of a batch, float (B, features), of the modality that ``encoder`` takes.

    Raises:
        ValueError: the batch was read without that modality.
    """
    spec = encoder.input
    if isinstance(spec, VideoInput) and batch.video is not None:
        raw = squares(batch.video.to(device), spec.size)
    elif isinstance(spec, AudioInput) and batch.audio is not None:
        raw = batch.audio.to(device, non_blocking=True)
    else:
        raise ValueError(f"the batch holds nothing for {type(encoder).__name__}")
    features: Tensor = encoder(encoder.prepare(raw))
    return features
