"""The one exchange of a step, by which all processes save, tell and end together."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from xdcbench.utils.distributed import all_reduce, is_main_process

TELL_EVERY = 10.0
"""Seconds between two rows of metrics within an epoch."""


class StepDecision(NamedTuple):
    """What all processes know after a step's one exchange: clips that were read, and what to do."""

    read: float
    stop: bool
    save: bool
    tell: bool


class StepSync:
    """Goes by the main process's clock, and by what any of them was asked; saves every ``save_every`` seconds."""

    def __init__(self, asked: Callable[[], bool], save_every: float) -> None:
        self.asked, self.save_every = asked, save_every
        self.saved = self.told = time.monotonic()

    def __call__(self, read: int) -> StepDecision:
        """Exchange the clips that this process has read, and what is to be done; all call it together."""
        now = time.monotonic()
        save = is_main_process() and now - self.saved >= self.save_every
        tell = is_main_process() and now - self.told >= TELL_EVERY
        wishes = torch.tensor([read, self.asked(), save, tell], dtype=torch.float64)
        clips, *flags = all_reduce(wishes).tolist()
        return StepDecision(clips, *map(bool, flags))
