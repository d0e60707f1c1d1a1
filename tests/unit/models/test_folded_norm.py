from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xdcbench.config.models import VideoInput, VideoModel
from xdcbench.models.folded_norm import FoldedBatchNorm3d, RowBatchNorm
from xdcbench.models.r2plus1d import R2Plus1D

SMALL = VideoModel(width=8, blocks=(1, 1, 1, 1), input=VideoInput(frames=4, size=16))
LAST = torch.channels_last_3d


def fill(module: nn.Module) -> None:
    """Other weights than those of a new BatchNorm, which are all alike."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 2.0)


def used(norm: Callable[[Tensor], Tensor], x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The result and the gradient of x, of a norm that a ReLU in place follows, as in the encoder."""
    mine = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = norm(mine)
    y.relu_()
    (y * weights).sum().backward()
    assert mine.grad is not None
    return y.detach(), mine.grad


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_folded_batchnorm_is_batchnorm(training: bool, layout: torch.memory_format) -> None:
    own, referee = FoldedBatchNorm3d(6).train(training), nn.BatchNorm3d(6).train(training)
    fill(referee)
    own.load_state_dict(referee.state_dict())
    x, weights = torch.randn(3, 6, 4, 5, 7).to(memory_format=layout), torch.randn(3, 6, 4, 5, 7)
    found = [used(norm, x, weights) for norm in (own.folded, referee)]
    assert all(y.is_contiguous(memory_format=layout) for y, _ in found)
    torch.testing.assert_close(*found)
    torch.testing.assert_close(own.state_dict(), referee.state_dict())
    torch.testing.assert_close(own.weight.grad, referee.weight.grad)


def test_writing_into_a_folded_batchnorm_copies_no_gradient() -> None:
    y = FoldedBatchNorm3d(6).folded(torch.randn(3, 6, 4, 5, 7)).relu_()
    assert y.grad_fn is not None and "CopySlices" not in y.grad_fn.name()


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 19),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    momentum=st.sampled_from([0.1, 0.9, None]),
    mean=st.sampled_from([0.0, 100.0]),
)
def test_batchnorm_by_rows_is_batchnorm(
    channels: int, shape: tuple[int, int, int, int], momentum: float | None, mean: float
) -> None:
    """In float64: of two positions of a large mean, rounding to float32 is all that either computes."""
    batch, *places = shape
    x = (torch.randn(batch + 1, channels, *places, dtype=torch.float64) + mean).to(memory_format=LAST)
    weights = torch.randn(x.shape, dtype=torch.float64)
    own = FoldedBatchNorm3d(channels, momentum=momentum).double()
    fill(own)
    referee = nn.BatchNorm3d(channels, momentum=momentum).double()
    referee.load_state_dict(own.state_dict())
    for _ in range(2):  # without a momentum, the second batch weighs a half
        found, exact = used(own.by_rows, x, weights), used(referee, x, weights)
        assert found[0].is_contiguous(memory_format=LAST)
        torch.testing.assert_close(found, exact, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(own.state_dict(), referee.state_dict())
    for mine, its in zip(own.parameters(), referee.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, its.grad, rtol=1e-7, atol=1e-7)


def test_rounding_by_rows_is_that_of_torch() -> None:
    x, weights = (torch.randn(6, 18, 4, 8, 8).to(memory_format=LAST) for _ in range(2))
    exact = used(nn.BatchNorm3d(18).double(), x.double(), weights.double())
    for norm in (FoldedBatchNorm3d(18).by_rows, nn.BatchNorm3d(18)):
        for found, expected in zip(used(norm, x, weights), exact, strict=True):
            assert found.dtype == torch.float32
            assert ((found - expected).norm() / expected.norm()).item() < 1e-6


def test_gradients_by_rows_are_those_of_differences() -> None:
    x = torch.randn(2, 3, 2, 3, 2, dtype=torch.float64).to(memory_format=LAST).requires_grad_()
    weight, bias = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda *of: RowBatchNorm.apply(*of, 1e-3)[0], (x, weight, bias))


@pytest.mark.parametrize(("channels", "rows"), [(18, True), (8, False), (16, False)])
def test_rows_serve_where_channels_are_no_multiple_of_eight(channels: int, rows: bool) -> None:
    y = FoldedBatchNorm3d(channels)(torch.randn(2, channels, 2, 4, 4).to(memory_format=LAST))
    assert y.grad_fn is not None and y.grad_fn.name().startswith("RowBatchNorm") == rows


@pytest.mark.parametrize("case", ["eval", "contiguous", "bf16"])
def test_elsewhere_torch_computes(case: str) -> None:
    norm, x = FoldedBatchNorm3d(18), torch.randn(2, 18, 2, 4, 4)
    if case != "contiguous":
        x = x.to(memory_format=LAST)
    if case == "eval":
        norm.eval()
    y = norm(x.bfloat16() if case == "bf16" else x)
    assert y.grad_fn is not None and "RowBatchNorm" not in y.grad_fn.name()


def test_a_single_position_is_refused_as_torch_refuses_it() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        FoldedBatchNorm3d(6)(torch.randn(1, 6, 1, 1, 1).to(memory_format=LAST))


def test_every_batchnorm_of_the_encoder_is_folded() -> None:
    norms = [module for module in R2Plus1D(SMALL).modules() if isinstance(module, nn.BatchNorm3d)]
    assert norms and all(isinstance(norm, FoldedBatchNorm3d) for norm in norms)


def test_batchnorm_of_other_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 5 dimensions, not 3"):
        FoldedBatchNorm3d(6)(torch.randn(3, 6, 4))
