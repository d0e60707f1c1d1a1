"""What a training run needs besides its data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xdcbench.config.pretraining import Schedule
from xdcbench.data.context import Context
from xdcbench.utils.precision import Precision


@dataclass(frozen=True)
class TrainingSetup:
    """What a training run needs besides its data.

    Attributes:
        modules: everything that is trained and saved.
        optimizer: its parameter groups carry ``peak``, their rate after warm-up.
        precision: of the forward pass, resolved.
        work: folder for checkpoints and metrics.
        batch: clips per step, over all processes.
        context: says how often to save, in what parts to compute, what is left of the plan.
        label: what to call it in progress and logs.
        preface: what to note before the first epoch.
        items: ids of the items, for messages; positions where there are none.
    """

    modules: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    precision: Precision
    device: torch.device
    work: Path
    batch: int
    context: Context
    label: str
    preface: Mapping[str, Any] = field(default_factory=dict)
    items: Sequence[str] = ()
