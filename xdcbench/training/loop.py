"""The training loop: one for every device, and for rounds as for finetuning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xdcbench.context import Context
from xdcbench.distributed import united
from xdcbench.schema import Precision, Schedule
from xdcbench.signals import deferred
from xdcbench.training.epoch import Epoch, Run
from xdcbench.training.step import Loss


@dataclass(frozen=True)
class Trainer:
    """What a training run needs besides its data.

    Of several processes, each takes its share of every batch; gradients are those of the whole batch,
    while BatchNorm normalises within a share, and the leading process's running statistics are kept.

    Attributes:
        modules: everything that is trained and saved.
        optimizer: its parameter groups carry ``peak``, their rate after warm-up.
        schedule: epochs, warm-up, decay.
        precision: of the forward pass, resolved.
        device: where it runs.
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

    def fit(
        self,
        epoch_of: Epoch,
        loss_of: Loss,
        *,
        validate: Callable[[], dict[str, float]] | None = None,
        best_by: str = "",
        until: Callable[[Sequence[dict[str, float]]], bool] | None = None,
    ) -> tuple[list[dict[str, float]], dict[int, str]]:
        """Train for all epochs, going on after the last checkpoint.

        Args:
            epoch_of: batches of an epoch.
            loss_of: the loss of a batch.
            validate: what to measure after each epoch.
            best_by: the measure whose highest epoch, the first of equals, is left in the modules; empty
                leaves the last.
            until: whether the epochs so far are enough; at most those of the schedule are trained.

        Returns:
            The means of each epoch, in order (in the first, ``start_...loss``: before the first step), and
            the reason of every item that could not be read.

        Raises:
            UserError: the loss is not finite, no clip of an epoch could be read, or the disk is full.
            SystemExit: it was asked to end, with the code that says so; the state is saved.
        """
        if self.context.compile:
            # Inductor's own choice of layout on a CPU is channels_last, in which torch 2.11 corrupts memory
            # (``models.encoders.place``).
            options = {"layout_optimization": False} if self.device.type == "cpu" else None
            for module in self.modules.values():
                module.compile(options=options)
        with deferred() as asked:
            run = Run(self, asked)
            while not run.enough(until):
                run.epoch(epoch_of, loss_of, validate, best_by)
        if best_by:
            self.modules.load_state_dict(run.state.best)
        return run.state.history, united(run.state.failed)
