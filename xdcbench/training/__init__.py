"""The one training loop, which rounds and finetuning share."""

from xdcbench.training.epoch import Epoch
from xdcbench.training.loop import Trainer
from xdcbench.training.meter import Meter
from xdcbench.training.schedule import rate_factor, saturated, sgd
from xdcbench.training.step import Loss

__all__ = ["Epoch", "Loss", "Meter", "Trainer", "rate_factor", "saturated", "sgd"]
