"""What the steps of a round share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from xdcbench.config.base import Modality
from xdcbench.config.stages import RoundStage
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.index import Index
from xdcbench.models.encoders import Encoder
from xdcbench.models.inference import Inference


@dataclass(frozen=True)
class RoundContext:
    """What a round works on, and where.

    Attributes:
        rows: int64, positions of the items that it clusters and learns from.
        encoders: those of the round before.
        clips: reads what they take.
        previous: run directory of the round before.
        work: this round's own.
        device: of the encoders and of k-means.
        workers: processes that read.
        earlier: run directories whose clusters are learned, by name of the source.
    """

    config: RoundStage
    index: Index
    rows: np.ndarray
    encoders: Mapping[Modality, Encoder]
    clips: ClipDataset
    previous: Path
    work: Path
    device: torch.device
    workers: int = 0
    earlier: Mapping[str, Path] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Method and number, for messages."""
        return f"{self.config.method} round {self.config.round}"

    @property
    def inference(self) -> Inference:
        """How the features that are clustered are extracted."""
        label = f"{self.label}: features"
        return Inference(self.config.pretrain.precision, self.device, self.workers, label)
