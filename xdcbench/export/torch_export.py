"""An encoder as an ExportedProgram that takes what a decoder gives: uint8 frames, or samples of audio."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.export import ExportedProgram

from xdcbench.config.base import Modality
from xdcbench.config.models import Input, VideoInput
from xdcbench.data.transforms import Normalize
from xdcbench.errors import UserError
from xdcbench.models.encoders import Encoder
from xdcbench.models.pretrained.external import ExternalEncoder
from xdcbench.models.raw_inputs import blank, noise

TOLERANCE = 1e-5
"""Largest difference of features, as a share of the largest feature where that is above 1."""

TORCH = ("aten", "prims")
"""Namespaces of the operators that every process has that imports torch."""


class FromFrames(nn.Module):
    """A video encoder and its normalization, in operations that torch.export knows."""

    def __init__(self, encoder: nn.Module, declared: VideoInput) -> None:
        super().__init__()
        self.encoder, self.normalize = encoder, Normalize(declared)

    def forward(self, clips: Tensor) -> Tensor:
        """RGB clips, uint8 (B, T, S, S, 3), to features, float32 (B, features)."""
        scaled = torch.addcmul(self.normalize.shift, clips.float(), self.normalize.scale)
        features: Tensor = self.encoder(scaled.permute(0, 4, 1, 2, 3))
        return features


class Prepared(nn.Module):
    """An encoder and its own preparation: an audio encoder's spectrogram, or what the code of others does."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, raw: Tensor) -> Tensor:
        """What ``takes`` says to features, float32 (B, features)."""
        features: Tensor = self.encoder(self.encoder.prepare(raw))
        return features


def takes(declared: Input) -> str:
    """Type and shape of a program's input, in words."""
    if isinstance(declared, VideoInput):
        return (
            f"uint8 (B, {declared.frames}, {declared.size}, {declared.size}, 3): RGB frames at {declared.fps:g} per "
            "second, not normalized"
        )
    return f"float32 (B, {declared.samples}): mono audio at {declared.sample_rate} samples per second, full scale 1"


def write_program(encoder: Encoder, path: Path) -> None:
    """Trace an encoder, on the CPU, with a batch of any size in eval mode, and write the program (``.pt2``).

    Raises:
        UserError: the encoder uses operators that torch does not have.
        Exception: torch.export cannot trace the encoder; torch says why in many ways.
    """
    declared = encoder.input
    own = isinstance(encoder, ExternalEncoder) and not isinstance(encoder.prepare, Normalize)
    module = (
        Prepared(encoder) if own or not isinstance(declared, VideoInput) else FromFrames(encoder, declared)
    )
    example = blank(declared, 2)
    with warnings.catch_warnings(), torch.no_grad():
        # torch warns of how it groups weights that share a storage, which a user cannot mend.
        warnings.simplefilter("ignore", UserWarning)
        program = torch.export.export(
            module.eval(), (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False
        )
        if foreign := _foreign(program):
            raise UserError(f"it uses {', '.join(foreign)}, which a process without its code does not have")
        torch.export.save(program, path)


@torch.inference_mode()
def differences(encoders: Mapping[Modality, Encoder], folder: Path) -> dict[Modality, float]:
    """Largest difference, on the scale of ``TOLERANCE``, of the features of each ``<modality>.pt2`` in ``folder``.

    ``encoders`` are those that the programs were made from, on the CPU, in eval mode. Features that are not
    finite raise a UserError.
    """
    apart = {}
    for modality, encoder in encoders.items():
        raw = noise(encoder.input, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch warns of how it reads its own file
            program = torch.export.load(folder / f"{modality}.pt2").module()
        found, expected = program(raw), encoder(encoder.prepare(raw))
        if not expected.isfinite().all():
            raise UserError(
                f"the {modality} encoder gives features that are not finite; there is nothing to export"
            )
        apart[modality] = float((expected - found).abs().max() / max(1.0, float(expected.abs().max())))
    return apart


def _foreign(program: ExportedProgram) -> list[str]:
    """Names of the operators of a program that torch does not have."""
    graphs = (part.graph for part in program.graph_module.modules() if isinstance(part, fx.GraphModule))
    targets = (node.target for graph in graphs for node in graph.nodes)
    return sorted({t.name() for t in targets if isinstance(t, OpOverload) and t.namespace not in TORCH})
