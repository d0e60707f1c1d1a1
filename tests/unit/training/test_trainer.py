"""The training loop against a plain one; what it leaves out, what it refuses."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tests.unit.training.toy import (
    DATA,
    ITEMS,
    SIZE,
    TARGETS,
    batch_of,
    epoch_of,
    loss_with,
    order_of,
    same,
    toy,
    trainer,
)
from xdcbench.config.pretraining import Schedule
from xdcbench.data.clip_dataset import Batch
from xdcbench.errors import UserError
from xdcbench.training.step import TrainingStep


def test_weights_equal_those_of_a_plain_loop(tmp_path: Path) -> None:
    model, plain = toy(), toy()
    history, failed = trainer(model, tmp_path).fit(epoch_of, loss_with(model))
    groups = [{"params": plain[:3].parameters()}, {"params": plain[3:].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True, weight_decay=0.01)
    losses: list[list[float]] = []
    for epoch in range(4):
        losses.append([])
        for number, rows in enumerate(order_of(epoch)):
            at = epoch + number * SIZE / ITEMS
            factor = (at + 1e-3) / 1 if at < 1 else 1.0 if at < 2 else 0.5 if at < 3 else 0.25
            for group, peak in zip(optimizer.param_groups, (0.1, 0.2), strict=True):
                group["lr"] = peak * factor
            loss = cross_entropy(plain(DATA[rows]), TARGETS[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1] += [loss.item()] * len(rows)
    assert same(model, plain)
    assert failed == {}
    assert [row["loss"] for row in history] == pytest.approx([np.mean(means) for means in losses])
    assert history[0]["initial_loss"] == losses[0][0]
    assert not any(name.startswith("initial_") for row in history[1:] for name in row)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


def test_seconds_of_an_epoch_include_the_last_steps_of_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = TrainingStep.look

    def waiting(stepper: TrainingStep) -> None:
        time.sleep(0.5)
        look(stepper)

    monkeypatch.setattr(TrainingStep, "look", waiting)
    model = toy()
    schedule = Schedule(epochs=1, lr=0.1, warmup_epochs=0, milestones=())
    (row,), _ = trainer(model, tmp_path, schedule=schedule, checkpoint_seconds=1e9).fit(
        epoch_of, loss_with(model)
    )
    assert row["clips_per_second"] < ITEMS / 0.5


def test_batches_too_small_for_statistics_are_left_out(tmp_path: Path) -> None:
    model, plain = toy(), toy()
    schedule = Schedule(epochs=1, lr=0.1, warmup_epochs=0, milestones=())
    parts = [batch_of([]), batch_of([4], failed=((9, "torn"),)), batch_of([0, 1])]
    history, failed = trainer(model, tmp_path, schedule=schedule).fit(
        lambda epoch, done: (4, iter(parts)), loss_with(model)
    )
    (tmp_path / "plain").mkdir()
    trainer(plain, tmp_path / "plain", schedule=schedule).fit(
        lambda epoch, done: (2, iter(parts[2:])), loss_with(plain)
    )
    assert same(model, plain)
    assert failed == {9: "torn"}
    assert history[0]["initial_loss"] == history[0]["loss"]


def test_unreadable_batches_do_not_hold_up_the_schedule(tmp_path: Path) -> None:
    model = toy()
    schedule = Schedule(epochs=1, lr=0.1, warmup_epochs=0, lr_scheduler="cosine")
    torn = batch_of([], failed=tuple((row, "torn") for row in range(SIZE)))
    parts = iter([batch_of([0, 1, 2]), torn, batch_of([3, 4, 5])])
    learning, rates = trainer(model, tmp_path, schedule=schedule), []

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        rates.append(learning.optimizer.param_groups[0]["lr"])
        return loss_with(model)(batch)

    learning.fit(lambda epoch, done: (3 * SIZE, parts), loss)
    assert rates == pytest.approx([0.1, 0.1 * 0.25])  # (1 + cos(pi 2/3)) / 2


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    model = toy()
    with pytest.raises(UserError, match="toy: no clip of epoch 1 could be read"):
        trainer(model, tmp_path).fit(
            lambda epoch, done: (1, iter([batch_of([], failed=((0, "torn"),))])), loss_with(model)
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_the_epoch(tmp_path: Path, value: float) -> None:
    model = toy()
    calls = 0

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        nonlocal calls
        calls += 1
        base, values = loss_with(model)(batch)
        return base * (value if calls == 8 else 1), values  # the third of five batches of epoch 1

    with pytest.raises(
        UserError, match=rf"the loss became {value} at epoch 1\.45, step 8, rate 0\.1, in a batch with"
    ):
        trainer(model, tmp_path).fit(epoch_of, loss)


def test_the_last_epoch_stays_whatever_the_validation_says(tmp_path: Path) -> None:
    model, plain = toy(), toy()
    worse = iter([0.1, 0.5, 0.7, 0.9])
    history, _ = trainer(model, tmp_path).fit(
        epoch_of, loss_with(model), validate=lambda: {"val_loss": next(worse)}
    )
    (tmp_path / "plain").mkdir()
    trainer(plain, tmp_path / "plain").fit(epoch_of, loss_with(plain))
    assert [row["val_loss"] for row in history] == [0.1, 0.5, 0.7, 0.9]
    assert same(model, plain)


def test_checkpoints_are_no_more_frequent_than_asked(tmp_path: Path) -> None:
    model = toy()
    trainer(model, tmp_path, checkpoint_seconds=3600.0).fit(epoch_of, loss_with(model))
    assert not any(tmp_path.glob("checkpoint*"))


def test_modules_train_even_where_validation_left_them_in_eval_mode(tmp_path: Path) -> None:
    model = toy()
    modes: list[bool] = []

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        modes.append(model.training)
        return loss_with(model)(batch)

    def validate() -> dict[str, float]:
        model.eval()
        return {}

    trainer(model, tmp_path).fit(epoch_of, loss, validate=validate)
    assert len(modes) == 4 * 5
    assert all(modes)


def test_it_ends_when_the_epochs_are_enough(tmp_path: Path) -> None:
    model = toy()
    history, _ = trainer(model, tmp_path).fit(
        epoch_of, loss_with(model), until=lambda rows: len(rows) >= 2 and "loss" in rows[-1]
    )
    assert len(history) == 2
