"""An encoder as an ExportedProgram that takes what a decoder gives: uint8 frames, or samples of sound."""

import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xdcbench.data.transforms import Normalise
from xdcbench.errors import UserError
from xdcbench.models.encoders import Encoder
from xdcbench.schema import AudioInput, Modality, VideoInput

TOLERANCE = 1e-5
"""Largest difference of features, as a share of the largest feature where that is above 1."""

REPLAY = """
import sys, torch
from safetensors.torch import load_file, save_file
raw, features, *programs = sys.argv[1:]
for name, clips in load_file(raw).items():
    program = next(path for path in programs if path.endswith(name + ".pt2"))
    with torch.inference_mode():
        save_file({name: torch.export.load(program).module()(clips).contiguous()}, features + name)
"""
"""What any other process would do with programs: it knows nothing of this package."""


class FromFrames(nn.Module):
    """A video encoder and its normalisation, in operations that torch.export knows."""

    def __init__(self, encoder: nn.Module, declared: VideoInput) -> None:
        super().__init__()
        self.encoder, self.normalise = encoder, Normalise(declared)

    def forward(self, clips: Tensor) -> Tensor:
        """RGB clips, uint8 (B, T, S, S, 3), to features, float32 (B, features)."""
        scaled = torch.addcmul(self.normalise.shift, clips.float(), self.normalise.scale)
        features: Tensor = self.encoder(scaled.permute(0, 4, 1, 2, 3))
        return features


class FromSound(nn.Module):
    """An audio encoder and its spectrogram."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, samples: Tensor) -> Tensor:
        """Windows of mono sound, float32 (B, samples), full scale 1, to features, float32 (B, features)."""
        features: Tensor = self.encoder(self.encoder.prepare(samples))
        return features


def takes(declared: VideoInput | AudioInput) -> str:
    """Type and shape of a program's input, in words."""
    if isinstance(declared, VideoInput):
        return (
            f"uint8 (B, {declared.frames}, {declared.size}, {declared.size}, 3): RGB frames at {declared.rate:g} per "
            "second, not normalised"
        )
    return (
        f"float32 (B, {samples_of(declared)}): mono sound at {declared.rate} samples per second, full scale 1"
    )


def write_program(encoder: Encoder, path: Path) -> None:
    """Trace an encoder with a batch of any size, on the CPU, in eval mode, and write the program.

    Args:
        encoder: on the CPU; put into eval mode.
        path: the ``.pt2`` file to write.

    Raises:
        Exception: torch.export cannot trace the encoder; torch says why in many ways.
    """
    declared = encoder.input
    module = FromFrames(encoder, declared) if isinstance(declared, VideoInput) else FromSound(encoder)
    example = torch.zeros_like(noise(declared, 2))
    with warnings.catch_warnings(), torch.no_grad():
        # torch warns of how it groups weights that share a storage, which a user cannot mend.
        warnings.simplefilter("ignore", UserWarning)
        program = torch.export.export(
            module.eval(), (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False
        )
        torch.export.save(program, path)


@torch.inference_mode()
def differences(encoders: Mapping[Modality, Encoder], folder: Path) -> dict[Modality, float]:
    """Largest difference of the features of ``<modality>.pt2`` in ``folder``, loaded by a process of its own.

    Args:
        encoders: those that the programs were made from, on the CPU, in eval mode.
        folder: of the programs.

    Returns:
        By modality, on the scale of ``TOLERANCE``.

    Raises:
        UserError: the process fails, or an encoder's features are not finite.
    """
    raw: dict[str, Tensor] = {modality: noise(encoder.input, 3) for modality, encoder in encoders.items()}
    with TemporaryDirectory(prefix="xdcbench-export-") as work:
        save_file(raw, Path(work, "raw"))
        programs = [str(folder / f"{modality}.pt2") for modality in encoders]
        replay = [
            sys.executable,
            "-P",
            "-W",
            "ignore",
            "-c",
            REPLAY,
            str(Path(work, "raw")),
            f"{work}/",
            *programs,
        ]
        done = subprocess.run(replay, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
            raise UserError(
                f"{folder}: the exported programs do not run in a process of their own ({reason})"
            )
        found = {modality: load_file(Path(work, modality))[modality] for modality in encoders}
    return {m: _difference(encoder(encoder.prepare(raw[m])), found[m], m) for m, encoder in encoders.items()}


def noise(declared: VideoInput | AudioInput, batch: int) -> Tensor:
    """A batch of raw clips, uint8 (B, T, S, S, 3), or windows, float32 (B, samples), the same at every call."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(declared, AudioInput):
        return 0.1 * torch.randn(batch, samples_of(declared), generator=generator)
    shape = (batch, declared.frames, declared.size, declared.size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def samples_of(declared: AudioInput) -> int:
    """Samples per window, as clips are read."""
    return round(declared.seconds * declared.rate)


def _difference(expected: Tensor, found: Tensor, modality: str) -> float:
    if not expected.isfinite().all():
        raise UserError(
            f"the {modality} encoder gives features that are not finite; there is nothing to export"
        )
    return float((expected - found).abs().max() / max(1.0, float(expected.abs().max())))
