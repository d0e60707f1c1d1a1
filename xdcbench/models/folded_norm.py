"""BatchNorm of videos by the kernels that are fast for it; results are those of torch's own.

Parameters and buffers are those of ``torch.nn.BatchNorm3d``; docs/explanation/speed.md says what is gained.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from xdcbench.models.folded_conv import ALIGNMENT


class FoldedBatchNorm3d(nn.BatchNorm3d):
    """A ``BatchNorm3d`` that folds axes where torch 2.11 would take slow kernels.

    - On a GPU, torch has fast kernels for ``channels_last``, and general ones for ``channels_last_3d``: frames and
      rows become one axis.
    - On a CPU, in training, in ``channels_last_3d``, torch takes channels beyond the last multiple of 8 one at a time:
      positions of a row and their channels become one axis (``RowBatchNorm``).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T, H, W), normalized."""
        if torch.compiler.is_compiling():
            return super().forward(x)
        if x.is_cuda:
            return self.folded(x)
        return self.by_rows(x) if self.training and _has_ragged_rows(x) else super().forward(x)

    def folded(self, x: Tensor) -> Tensor:
        """``forward`` in four dimensions.

        To autograd the result is no view: ReLU and the residual sum that follow write into it, and into a view that
        would cost three more passes over its gradient. Nothing else refers to what it is a view of.
        """
        unfolded: Tensor = torch.ops.aten._unsafe_view(super().forward(x.flatten(2, 3)), x.shape)
        return unfolded

    def by_rows(self, x: Tensor) -> Tensor:
        """``forward`` in training, of more than one position in ``channels_last_3d``."""
        y, mean, var = RowBatchNorm.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            momentum = self.momentum
            weight = 1 / self.num_batches_tracked.item() if momentum is None else momentum  # type: ignore[union-attr]
            count = x.numel() // len(mean)
            self.running_mean.lerp_(mean, weight)  # type: ignore[union-attr]
            self.running_var.lerp_(var * (count / (count - 1)), weight)  # type: ignore[union-attr]
        normalized: Tensor = y
        return normalized

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() not in (4, 5):
            raise ValueError(f"expected 5 dimensions, not {x.dim()}")


def _has_ragged_rows(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dim() == 5
        and x.shape[1] % ALIGNMENT > 0
        and x.dtype in (torch.float32, torch.float64)
        and x.numel() > x.shape[1]
        and x.is_contiguous(memory_format=torch.channels_last_3d)
    )


class RowBatchNorm(torch.autograd.Function):
    """BatchNorm in training over videos in ``channels_last_3d``, as matrices of (B T H, W channels).

    Sums over rows are matrix products with a row of ones, and what is repeated over positions has the length of a row.
    The variance is that of centered values.

    Source: Ioffe and Szegedy 2015, algorithm 1 and section 3 (gradients).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Normalize (B, channels, T, H, W); also give the mean and the biased variance, each (channels,)."""
        rows, width = _rows(x), x.shape[-1]
        mean = _mean(rows, width)
        centered = rows - mean.repeat(width)
        var = _mean(centered * centered, width)
        scale = (var + eps).rsqrt()
        ctx.save_for_backward(centered, scale, weight)
        ctx.mark_non_differentiable(mean, var)
        y = torch.empty_like(x)
        torch.addcmul(bias.repeat(width), centered, (weight * scale).repeat(width), out=_rows(y))
        return y, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of x, weight and bias."""
        centered, scale, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        rows, width = _rows(gradient), gradient.shape[-1]
        count = gradient.numel() // len(scale)
        of_bias, of_weight = _mean(rows, width), _mean(rows * centered, width) * scale
        factor = weight * scale
        of_x = torch.empty_like(gradient)
        torch.addcmul((-factor * of_bias).repeat(width), rows, factor.repeat(width), out=_rows(of_x))
        _rows(of_x).addcmul_(centered, (-factor * scale * of_weight).repeat(width))
        return of_x, of_weight * count, of_bias * count, None


def _rows(x: Tensor) -> Tensor:
    """(B, channels, T, H, W) in ``channels_last_3d``, viewed as (B T H, W channels)."""
    return x.permute(0, 2, 3, 4, 1).view(-1, x.shape[4] * x.shape[1])


def _mean(rows: Tensor, width: int) -> Tensor:
    """Mean of each channel over rows and the positions in them."""
    sums = rows.new_ones(len(rows)) @ rows
    return sums.view(width, -1).mean(0) / len(rows)
