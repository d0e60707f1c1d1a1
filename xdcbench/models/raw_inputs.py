"""Batches of what readers give an encoder, made without reading: blank and noise."""

import torch
from torch import Tensor

from xdcbench.config.models import Input, VideoInput

LOUDNESS = 0.1
"""Deviation of noise in audio, full scale 1."""


def blank(declared: Input, batch: int) -> Tensor:
    """Black clips, uint8 (B, T, S, S, 3), or silent windows, float32 (B, samples)."""
    dtype = torch.uint8 if isinstance(declared, VideoInput) else torch.float32
    return torch.zeros(_shape(declared, batch), dtype=dtype)


def noise(declared: Input, batch: int) -> Tensor:
    """Clips, uint8 (B, T, S, S, 3), or windows, float32 (B, samples), the same at every call."""
    generator = torch.Generator().manual_seed(0)
    shape = _shape(declared, batch)
    if isinstance(declared, VideoInput):
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return LOUDNESS * torch.randn(shape, generator=generator)


def _shape(declared: Input, batch: int) -> tuple[int, ...]:
    if isinstance(declared, VideoInput):
        return batch, declared.frames, declared.size, declared.size, 3
    return batch, declared.samples
