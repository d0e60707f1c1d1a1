"""The one training loop, which rounds and finetuning share."""

from xdcbench.training.metrics import AverageMeter
from xdcbench.training.schedule import rate_factor, sgd, should_stop
from xdcbench.training.step import Loss
from xdcbench.training.trainer import Epoch, Trainer

__all__ = ["AverageMeter", "Epoch", "Loss", "Trainer", "rate_factor", "sgd", "should_stop"]
