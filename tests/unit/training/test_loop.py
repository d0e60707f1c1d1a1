"""The training loop against a plain one; the schedule by hand; resuming, failing."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from xdcbench.context import Context
from xdcbench.data.clips import Batch
from xdcbench.errors import UserError
from xdcbench.schema import Schedule
from xdcbench.training import Trainer, rate_factor, sgd

CPU = torch.device("cpu")
SCHEDULE = Schedule(epochs=4, lr=0.1, warmup=1, steps=(2, 3), gamma=0.5, weight_decay=0.01)
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


def test_steps_by_hand() -> None:
    schedule = Schedule(epochs=10, warmup=2, decay="step", steps=(4, 8), gamma=0.1)
    for progress, factor in ((0, 0.0005), (1, 0.5005), (2, 1), (3.99, 1), (4, 0.1), (7.9, 0.1), (8, 0.01)):
        assert rate_factor(schedule, progress) == pytest.approx(factor)


def test_cosine_by_hand() -> None:
    schedule = Schedule(epochs=10, warmup=2, decay="cosine")
    for progress, factor in ((1, 0.5005), (2, 1), (4, 0.8535534), (6, 0.5), (8, 0.1464466), (10, 0)):
        assert rate_factor(schedule, progress) == pytest.approx(factor, abs=1e-7)


def test_no_warm_up_begins_at_the_peak() -> None:
    for decay in ("step", "cosine", "constant"):
        assert rate_factor(Schedule(warmup=0, decay=decay), 0.0) == 1.0
    assert rate_factor(Schedule(epochs=3, warmup=0, decay="constant"), 2.9) == 1.0


@given(
    progress=st.floats(0, 50),
    warmup=st.floats(0, 10),
    decay=st.sampled_from(["step", "cosine", "constant"]),
)
@example(progress=0.9995, warmup=1.0, decay="constant")
@settings(max_examples=200, deadline=None)
def test_the_rate_never_exceeds_its_peak(progress: float, warmup: float, decay: str) -> None:
    schedule = Schedule(epochs=50, warmup=warmup, decay=decay)  # type: ignore[arg-type]
    assert 0.0 <= rate_factor(schedule, progress) <= 1.0


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
    assert history[0]["start_loss"] == losses[0][0]
    assert not any(name.startswith("start_") for row in history[1:] for name in row)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


class Killed(Exception):
    """Stands for the end of the process."""


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
    timeless = [{k: v for k, v in row.items() if "second" not in k and "share" not in k} for row in history]
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


def test_batches_too_small_for_statistics_are_left_out(tmp_path: Path) -> None:
    model, plain = toy(), toy()
    schedule = Schedule(epochs=1, lr=0.1, warmup=0, steps=())
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
    assert history[0]["start_loss"] == history[0]["loss"]


def test_unreadable_batches_do_not_hold_up_the_schedule(tmp_path: Path) -> None:
    model = toy()
    schedule = Schedule(epochs=1, lr=0.1, warmup=0, decay="cosine")
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


# ------------------------------------------------------------------------------ interrupted at any moment

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


def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "end.pt"
    (tmp_path / "whole").mkdir()
    work.mkdir()
    end(tmp_path / "whole", tmp_path / "whole.pt")
    rng, kills = np.random.default_rng(0), 0
    while not out.exists():
        child = get_context("fork").Process(target=end, args=(work, out))
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
    assert again[0]["start_loss"] == history[0]["start_loss"]


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


def test_it_ends_when_the_epochs_are_enough(tmp_path: Path) -> None:
    model = toy()
    history, _ = trainer(model, tmp_path).fit(
        epoch_of, loss_with(model), until=lambda rows: len(rows) >= 2 and "loss" in rows[-1]
    )
    assert len(history) == 2


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
