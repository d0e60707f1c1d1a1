"""A step in parts is the step on the whole; precision; what a batch is cut into."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from xdcbench.config.pretraining import Schedule
from xdcbench.data.clip_dataset import Batch, CropBoxes
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.training import AverageMeter
from xdcbench.training.setup import TrainingSetup
from xdcbench.training.step import TrainingStep, micro_batches
from xdcbench.utils.precision import Precision

CPU = torch.device("cpu")


def batch_of(count: int, *, sides: tuple[int, ...] | None = None, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    sides = sides or (2,) * count
    pixels = torch.randint(256, (sum(2 * s * s * 3 for s in sides),), generator=draw).to(torch.uint8)
    boxes = CropBoxes(pixels, sides, 2, tuple(i % 2 == 0 for i in range(count)))
    rows = torch.arange(count) + 7
    return Batch(rows, torch.arange(count), boxes, torch.randn(count, 6, generator=draw), ())


def stepper_of(
    model: nn.Module,
    *,
    lr: float = 0.1,
    precision: Precision = "fp32",
    part: int | None = None,
    compiled: bool = False,
) -> TrainingStep:
    optimizer = torch.optim.SGD([{"params": list(model.parameters()), "lr": lr, "peak": lr}], lr=lr)
    context = Context("tests", micro_batch_size=part, compile=compiled)
    modules = nn.ModuleDict({"model": model})
    setup = TrainingSetup(modules, optimizer, Schedule(), precision, CPU, Path(), 4, context, "toy")
    return TrainingStep(setup)


@given(sides=st.lists(st.integers(1, 4), max_size=7), size=st.integers(1, 8))
def test_parts_follow_each_other_and_make_up_the_batch(sides: list[int], size: int) -> None:
    batch = batch_of(len(sides), sides=tuple(sides))
    cut = list(micro_batches(batch, size))
    lengths = [len(part.rows) for part in cut]
    assert sum(lengths) == len(sides) and max(lengths, default=0) - min(lengths, default=0) <= 1
    if size == 1 or len(sides) == 1:
        assert lengths == [1] * len(sides)
    else:
        assert all(2 <= length <= max(size, 3) for length in lengths), "BatchNorm needs two"
    if 3 not in lengths or size > 2:
        assert len(cut) == -(-len(sides) // size), "as few as can be"
    assert batch.video is not None
    boxes = [box for part in cut if part.video for box in part.video.split()]
    assert all(torch.equal(a, b) for a, b in zip(boxes, batch.video.split(), strict=True))
    assert [flip for part in cut if part.video for flip in part.video.flips] == list(batch.video.flips)
    assert [row for part in cut for row in part.rows.tolist()] == batch.rows.tolist()
    assert torch.equal(
        torch.cat([torch.empty(0, 6), *(p.audio for p in cut if p.audio is not None)]), batch.audio
    )


def test_parts_of_what_was_read_without_video_or_audio() -> None:
    whole = batch_of(5)
    assert [part.video for part in micro_batches(replace(whole, video=None), 2)] == [None] * 2
    assert [part.audio for part in micro_batches(replace(whole, audio=None), 2)] == [None] * 2


def test_cudnn_tries_its_algorithms_at_the_usual_size_alone() -> None:
    model, seen = nn.Linear(6, 3), []

    def loss(part: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        seen.append((len(part.rows), torch.backends.cudnn.benchmark))
        return model(part.audio).square().mean(), {}

    stepper = stepper_of(model)
    for clips in (4, 3, 4, 5):
        stepper(batch_of(clips), loss, AverageMeter(), count=clips, factor=1.0, at=(0.0, 0))
    assert seen == [(4, True), (3, False), (4, True), (5, True)]
    assert not torch.backends.cudnn.benchmark


def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))


def step(
    count: int, part: int | None, *, precision: Precision = "fp32"
) -> tuple[nn.Module, AverageMeter, TrainingStep]:
    model, meter = net(), AverageMeter()
    stepper = stepper_of(model, lr=0.5, precision=precision, part=part)

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        scores = model(batch.audio)
        target = batch.rows % 3
        right = (scores.argmax(1) == target).float().mean()
        return cross_entropy(scores.float(), target), {"accuracy": right}

    stepper(batch_of(count), loss, meter, count=count, factor=0.5, at=(0.0, 0))
    return model, meter, stepper


@given(count=st.integers(2, 12), part=st.integers(1, 13))
@settings(max_examples=40, deadline=None)
def test_the_gradient_of_parts_is_that_of_the_whole_batch(count: int, part: int) -> None:
    (whole, one, _), (cut, several, _) = step(count, None), step(count, part)
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None and a.grad.abs().sum() > 0
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(b, a)
    assert several.means() == pytest.approx(one.means(), rel=1e-6)


def test_fp16_scales_the_loss_and_steps_as_fp32_does() -> None:
    (plain, _, _), (half, _, stepper) = step(8, None), step(8, 3, precision="fp16")
    assert stepper.scaler.is_enabled() and stepper.scaler.get_scale() == 65536.0
    for a, b in zip(plain.parameters(), half.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=0.01, atol=2e-3)
    assert not torch.equal(next(plain.parameters()), next(half.parameters()))


def test_gradients_that_overflow_in_fp16_are_left_out_and_the_scale_halved() -> None:
    model = net()
    before = [p.detach().clone() for p in model.parameters()]
    stepper = stepper_of(model, lr=0.5, precision="fp16")
    stepper(
        batch_of(4),
        lambda batch: (model(batch.audio).float().sum() * 1e37, {}),
        AverageMeter(),
        count=4,
        factor=1.0,
        at=(0.0, 0),
    )
    assert stepper.scaler.get_scale() == 32768.0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_what_cannot_be_compiled_is_told() -> None:
    model = net()
    stepper = stepper_of(model, compiled=True)

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        from torch._dynamo.exc import Unsupported

        raise Unsupported("no C++ compiler")

    with pytest.raises(
        UserError, match=r"--compile: torch cannot compile .* \(no C\+\+ compiler\); run without"
    ):
        stepper(batch_of(4), loss, AverageMeter(), count=4, factor=1.0, at=(0.0, 0))


def test_a_single_clip_that_batchnorm_cannot_take_is_told() -> None:
    model = nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3))
    stepper = stepper_of(model, part=1)
    with pytest.raises(
        UserError, match=r"toy: BatchNorm cannot normalize over a single clip .* --micro-batch-size"
    ):
        stepper(
            batch_of(2),
            lambda batch: (model(batch.audio).sum(), {}),
            AverageMeter(),
            count=2,
            factor=1.0,
            at=(0.0, 0),
        )
