"""A small net, its data in a known order, and a training run of it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from xdcbench.config.pretraining import Schedule
from xdcbench.data.clip_dataset import Batch
from xdcbench.data.context import Context
from xdcbench.training import Trainer, sgd

CPU = torch.device("cpu")


SCHEDULE = Schedule(epochs=4, lr=0.1, warmup_epochs=1, milestones=(2, 3), gamma=0.5, weight_decay=0.01)


ITEMS, SIZE = 22, 5


DATA = torch.randn(ITEMS, 6, generator=torch.Generator().manual_seed(1))


TARGETS = torch.arange(ITEMS) % 3


def toy() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def batch_of(rows: list[int], *, failed: tuple[tuple[int, str], ...] = ()) -> Batch:
    rows_ = torch.tensor(rows, dtype=torch.int64)
    return Batch(rows_, torch.arange(len(rows)), None, DATA[rows_], failed)


def order_of(epoch: int) -> list[list[int]]:
    order = np.random.default_rng(epoch).permutation(ITEMS).tolist()
    return [order[i : i + SIZE] for i in range(0, ITEMS, SIZE)]


def epoch_of(epoch: int, done: int) -> tuple[int, Iterator[Batch]]:
    return ITEMS, (batch_of(rows) for rows in order_of(epoch)[done // SIZE :])


def loss_with(model: nn.Module) -> Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]:
    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        logits = model(batch.audio)
        target = TARGETS[batch.rows]
        accuracy = (logits.argmax(1) == target).float().mean()
        return cross_entropy(logits, target), {"accuracy": accuracy}

    return loss


def trainer(model: nn.Sequential, work: Path, *, schedule: Schedule = SCHEDULE, **context: Any) -> Trainer:
    context = {"checkpoint_seconds": 0.0} | context
    return Trainer(
        modules=nn.ModuleDict({"model": model}),
        optimizer=sgd([(model[:3], schedule.lr), (model[3:], 2 * schedule.lr)], schedule),
        schedule=schedule,
        precision="fp32",
        device=CPU,
        work=work,
        batch=SIZE,
        context=Context("tests", **context),
        label="toy",
    )


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


class Killed(Exception):
    """Stands for the end of the process."""


LONG = SCHEDULE.model_copy(update={"epochs": 12})


def slow(loss: Any) -> Any:
    """Steps of some milliseconds, so that a kill may fall anywhere."""

    def of(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        time.sleep(0.004)
        return tuple(loss(batch))  # type: ignore[return-value]

    return of


def end(work: Path, out: Path) -> None:
    model = toy()
    history, _ = trainer(model, work, schedule=LONG).fit(epoch_of, slow(loss_with(model)))
    torch.save({"weights": model.state_dict(), "loss": [row["loss"] for row in history]}, out)
