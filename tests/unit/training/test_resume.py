"""Interrupted at any moment, training ends with the bits of a run that nobody disturbed."""

import errno
import os
import signal
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from tests.unit.training.toy import (
    Killed,
    batch_of,
    end,
    epoch_of,
    loss_with,
    order_of,
    same,
    toy,
    trainer,
)
from xdcbench.data.clip_dataset import Batch
from xdcbench.errors import UserError
from xdcbench.utils import disk


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_going_on_after_a_checkpoint_changes_no_bit(tmp_path: Path, stop: int) -> None:
    whole = toy()
    (tmp_path / "whole").mkdir()
    history, _ = trainer(whole, tmp_path / "whole").fit(epoch_of, loss_with(whole))

    def dying(epoch: int, done: int) -> tuple[int, Iterator[Batch]]:
        if epoch == stop:
            raise Killed
        return epoch_of(epoch, done)

    first = toy()
    with pytest.raises(Killed):
        trainer(first, tmp_path).fit(dying, loss_with(first))
    second = toy()
    again, _ = trainer(second, tmp_path).fit(epoch_of, loss_with(second))
    assert same(second, whole)
    timeless = [{k: v for k, v in row.items() if "second" not in k and "wait" not in k} for row in history]
    assert [{name: row[name] for name in want} for row, want in zip(again, timeless, strict=True)] == timeless


def test_failures_outlive_an_interruption(tmp_path: Path) -> None:
    def epochs(epoch: int, done: int) -> tuple[int, Iterator[Batch]]:
        if epoch == 1 and not (tmp_path / "second").exists():
            raise Killed
        return 6, iter([batch_of([0, 1, 2], failed=((5 + epoch, "torn"),))])

    model = toy()
    with pytest.raises(Killed):
        trainer(model, tmp_path).fit(epochs, loss_with(model))
    (tmp_path / "second").touch()
    _, failed = trainer(model, tmp_path).fit(epochs, loss_with(model))
    assert failed == {5: "torn", 6: "torn", 7: "torn", 8: "torn"}


@pytest.mark.parametrize("killed_after", [None, 2, 3])
def test_the_best_epoch_is_left_where_that_is_asked(killed_after: int | None, tmp_path: Path) -> None:
    """The first of the best epochs by a measure, also when the run is interrupted before or after it."""
    measures = iter([1.0, 3.0, 3.0, 2.0])
    kept: list[Tensor] = []
    model = toy()

    def validate() -> dict[str, float]:
        if killed_after is not None and len(kept) == killed_after:
            raise KeyboardInterrupt
        kept.append(model[0].weight.detach().clone())
        return {"measure": next(measures)}

    def fit() -> None:
        trainer(model, tmp_path).fit(epoch_of, loss_with(model), validate=validate, best_by="measure")

    if killed_after is not None:
        with pytest.raises(KeyboardInterrupt):
            fit()
        killed_after = None
        model = toy()
    fit()
    assert len(kept) == 4
    assert torch.equal(model[0].weight, kept[1])


def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "end.pt"
    (tmp_path / "whole").mkdir()
    work.mkdir()
    end(tmp_path / "whole", tmp_path / "whole.pt")
    context = get_context("forkserver")  # what this process has compiled or threaded is in no child
    context.set_forkserver_preload([end.__module__])
    first = context.Process(target=toy)
    first.start()
    first.join()  # from now on a child starts at once
    rng, kills = np.random.default_rng(0), 0
    while not out.exists():
        child = context.Process(target=end, args=(work, out))
        child.start()
        child.join(float(rng.uniform(0.02, 0.3)) * (kills + 1))
        if child.is_alive():
            child.kill()
            kills += 1
        child.join()
    assert kills >= 3, "it ended before it could be killed"
    found, whole = (torch.load(path, weights_only=True) for path in (out, tmp_path / "whole.pt"))
    assert all(torch.equal(found["weights"][name], tensor) for name, tensor in whole["weights"].items())
    assert found["loss"] == whole["loss"]


@pytest.mark.parametrize("step", [1, 4, 5, 7, 19])
def test_going_on_inside_an_epoch_reads_only_what_is_left(tmp_path: Path, step: int) -> None:
    whole, dying, second = toy(), toy(), toy()
    (tmp_path / "whole").mkdir()
    history, _ = trainer(whole, tmp_path / "whole").fit(epoch_of, loss_with(whole))
    calls: list[list[int]] = []

    def until_killed(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        calls.append(batch.rows.tolist())
        if len(calls) == step + 1:
            raise Killed
        return loss_with(dying)(batch)

    with pytest.raises(Killed):
        trainer(dying, tmp_path).fit(epoch_of, until_killed)
    read: list[list[int]] = []

    def spying(epoch: int, done: int) -> tuple[int, Iterator[Batch]]:
        clips, left = epoch_of(epoch, done)
        return clips, (read.append(batch.rows.tolist()) or batch for batch in left)  # type: ignore[func-returns-value]

    again, _ = trainer(second, tmp_path).fit(spying, loss_with(second))
    every = [rows for epoch in range(4) for rows in order_of(epoch)]
    assert read == every[step:]
    assert same(second, whole)
    assert [row["loss"] for row in again] == [row["loss"] for row in history]
    assert again[0]["initial_loss"] == history[0]["initial_loss"]


def test_asked_to_end_it_finishes_the_step_and_saves(tmp_path: Path) -> None:
    whole, first, second = toy(), toy(), toy()
    (tmp_path / "whole").mkdir()
    trainer(whole, tmp_path / "whole").fit(epoch_of, loss_with(whole))
    calls = 0

    def asked(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        nonlocal calls
        calls += 1
        if calls == 7:
            os.kill(os.getpid(), signal.SIGUSR2)
        return loss_with(first)(batch)

    before = signal.getsignal(signal.SIGUSR2)
    with pytest.raises(SystemExit) as end:
        trainer(first, tmp_path, checkpoint_seconds=3600.0).fit(epoch_of, asked)
    assert (end.value.code, calls) == (75, 7)
    assert signal.getsignal(signal.SIGUSR2) is before
    assert [path.name.split("-")[1] for path in tmp_path.glob("checkpoint-*")] == ["000000007"]
    trainer(second, tmp_path).fit(epoch_of, loss_with(second))
    assert same(second, whole)


def test_a_loss_that_is_not_finite_leaves_a_good_checkpoint(tmp_path: Path) -> None:
    model, calls = toy(), 0

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        nonlocal calls
        calls += 1
        base, values = loss_with(model)(batch)
        return base * (float("nan") if calls == 8 else 1), values

    with pytest.raises(UserError, match="step 8"):
        trainer(model, tmp_path).fit(epoch_of, loss)
    for path in tmp_path.glob("checkpoint-*"):
        weights = torch.load(path, weights_only=True)["modules"]
        assert int(path.name.split("-")[1]) <= 7
        assert all(tensor.isfinite().all() for tensor in weights.values() if tensor.is_floating_point())


def test_a_module_that_draws_goes_on_with_the_same_draws(tmp_path: Path) -> None:
    def dropping() -> nn.Sequential:
        model = toy()
        model[2] = nn.Sequential(nn.ReLU(), nn.Dropout(0.5))
        return model

    whole, first, second = dropping(), dropping(), dropping()
    (tmp_path / "whole").mkdir()
    trainer(whole, tmp_path / "whole").fit(epoch_of, loss_with(whole))
    steps = iter(range(9))

    def dying(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if next(steps, None) is None:
            raise Killed
        return loss_with(first)(batch)

    with pytest.raises(Killed):
        trainer(first, tmp_path).fit(epoch_of, dying)
    torch.rand(3)
    trainer(second, tmp_path).fit(epoch_of, loss_with(second))
    assert same(second, whole)


@pytest.mark.parametrize("call", ["os.fsync", "torch.utils.tensorboard.SummaryWriter.add_scalar"])
def test_a_full_disk_ends_it_and_once_there_is_room_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A checkpoint, or a row of metrics, that finds no room."""
    whole, first, second = toy(), toy(), toy()
    (tmp_path / "whole").mkdir()
    history, _ = trainer(whole, tmp_path / "whole").fit(epoch_of, loss_with(whole))
    target: Any = os.fsync if call == "os.fsync" else SummaryWriter.add_scalar
    room = iter(range(5))

    def filling(*arguments: Any) -> None:
        if next(room, None) is None:
            with disk.explain_full_disk(tmp_path, 123):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        target(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(call, filling)
        with pytest.raises(UserError, match=rf"no space left in {tmp_path}: [\d,]+ bytes are needed"):
            trainer(first, tmp_path).fit(epoch_of, loss_with(first))
    again, _ = trainer(second, tmp_path).fit(epoch_of, loss_with(second))
    assert same(second, whole)
    assert [row["loss"] for row in again] == [row["loss"] for row in history]
