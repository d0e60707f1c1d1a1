"""A pair of encoders as a run directory: weights, and a card that says what they are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from xdcbench.data.clips import Batch
from xdcbench.models.audio import AudioResNet
from xdcbench.models.video import R2Plus1D
from xdcbench.models.weights import build_encoder, load_weights, save_weights
from xdcbench.schema import Config, Modality, Models
from xdcbench.store import read_json, write_json

Encoder = R2Plus1D | AudioResNet


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
    factors: dict[str, Any] = Field(default_factory=dict)


def save_encoders(run: Path, encoders: Mapping[Modality, nn.Module], card: Card) -> None:
    """Write ``<modality>.safetensors`` and ``encoders.json``."""
    for modality, encoder in encoders.items():
        save_weights(encoder, run / f"{modality}.safetensors", metadata={"method": card.method})
    write_json(run / "encoders.json", card.model_dump(mode="json"))


def load_card(run: Path) -> Card:
    """The card of a run directory that holds encoders."""
    return Card.model_validate(read_json(run / "encoders.json"))


def load_encoders(
    run: Path, modalities: Iterable[Modality], *, device: torch.device
) -> dict[Modality, Encoder]:
    """The encoders of ``modalities`` from a run directory, on ``device``."""
    models = load_card(run).models
    encoders: dict[Modality, Encoder] = {}
    for modality in modalities:
        encoder = build_encoder(models.video if modality == "video" else models.audio, seed=0)
        load_weights(encoder, run / f"{modality}.safetensors")
        encoders[modality] = place(encoder, device)
    return encoders


def place(encoder: Encoder, device: torch.device) -> Encoder:
    """Move an encoder to ``device``; video in the memory format that its convolutions run fastest in.

    The audio encoder stays contiguous: torch 2.11 on the CPU corrupts memory in the backward pass of a
    strided 1x1 convolution of few channels in ``channels_last``.
    """
    if isinstance(encoder, R2Plus1D):
        encoder = encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return encoder.to(device)


def encode(encoder: Encoder, batch: Batch, *, device: torch.device) -> Tensor:
    """Features of a batch, float (B, features), of the modality that ``encoder`` takes.

    Raises:
        ValueError: the batch was read without that modality.
    """
    raw = batch.video if isinstance(encoder, R2Plus1D) else batch.audio
    if raw is None:
        raise ValueError(f"the batch holds nothing for {type(encoder).__name__}")
    features: Tensor = encoder(encoder.prepare(raw.to(device, non_blocking=True)))
    return features
