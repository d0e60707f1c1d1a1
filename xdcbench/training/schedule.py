"""The optimizer, its rate over time, and when an epoch was the last."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from xdcbench.config.pretraining import EarlyStopping, Schedule


def sgd(groups: list[tuple[nn.Module, float]], schedule: Schedule) -> torch.optim.SGD:
    """SGD with Nesterov momentum over ``(module, peak rate)`` groups."""
    return torch.optim.SGD(
        [{"params": list(module.parameters()), "lr": peak, "peak": peak} for module, peak in groups],
        lr=schedule.lr,
        momentum=schedule.momentum,
        nesterov=schedule.momentum > 0,
        weight_decay=schedule.weight_decay,
    )


def rate_factor(schedule: Schedule, progress: float) -> float:
    """Learning rate as a share of its peak after ``progress`` epochs (VMZ: linear warm-up, then steps)."""
    if progress < schedule.warmup_epochs:
        return min(1.0, (progress + 1e-3) / schedule.warmup_epochs)
    if schedule.lr_scheduler == "step":
        return schedule.gamma ** sum(progress >= step for step in schedule.milestones)
    if schedule.lr_scheduler == "cosine":
        done = (progress - schedule.warmup_epochs) / max(schedule.epochs - schedule.warmup_epochs, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return 1.0


def should_stop(losses: Sequence[float], rule: EarlyStopping) -> bool:
    """Whether the validation losses of the epochs so far say that the last epoch is enough.

    An epoch gains if its loss is below ``1 - min_delta`` times the lowest before the last gain; the first
    epoch gains. Training ends after ``patience`` epochs in a row without a gain.
    """
    best, since = math.inf, 0
    for loss in losses:
        gains = loss < best * (1 - rule.min_delta)
        best, since = (loss, 0) if gains else (best, since + 1)
    return since >= rule.patience
