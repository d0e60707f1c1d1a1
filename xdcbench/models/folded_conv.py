"""Convolutions over space alone or time alone, computed as the two-dimensional ones that they are.

Parameters, shapes and results are those of torch's own modules; docs/explanation/speed.md says what is gained.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

ALIGNMENT = 8
"""Tensor cores take channels by the eight; other numbers cuDNN first copies, filled up."""


class FoldedConv3d(nn.Conv3d):
    """A ``Conv3d`` whose kernel is (1, k, k) or (k, 1, 1), with its parameters.

    ``conv2d`` computes it, whose kernels are better tuned than those for three dimensions. In ``channels_last_3d``
    all reshaping is of views: (1, k, k) takes frames for items of the batch, (k, 1, 1) takes the places of a frame for
    one axis. Results agree with ``Conv3d`` to rounding.

    Compiled for a GPU, it fills channels up with zeros to a multiple of ``ALIGNMENT``: the code that writes them
    writes some more, and cuDNN need not copy them.

    Raises:
        ValueError: it is neither over space nor over time alone, or has a dilation, groups, a bias or
            padding by other values than zero.
    """

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._spatial = (self.kernel_size[0], self.stride[0], self.padding[0]) == (1, 1, 0)
        temporal = (self.kernel_size[1:], self.stride[1:], self.padding[1:]) == ((1, 1), (1, 1), (0, 0))
        plain = self.groups == 1 and self.bias is None and self.padding_mode == "zeros"
        if not (self._spatial or temporal) or not plain or self.dilation != (1, 1, 1):
            raise ValueError(f"{self} does not fold into a two-dimensional convolution")

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, T, H, W) to (B, out, T', H', W')."""
        if x.is_cuda and torch.compiler.is_compiling():
            return self.aligned(x)
        return self._folded(x, self.weight)

    def aligned(self, x: Tensor) -> Tensor:
        """``forward`` on channels that are filled up; the result is a view of those that count."""
        inner, outer = -self.in_channels % ALIGNMENT, -self.out_channels % ALIGNMENT
        weight, places = self.weight, (0, 0) * 3
        if inner:
            x, weight = pad(x, (*places, 0, inner)), pad(weight, (*places, 0, inner))
        if outer:
            weight = pad(weight, (*places, 0, 0, 0, outer))
        return self._folded(x, weight)[:, : self.out_channels]

    def _folded(self, x: Tensor, weight: Tensor) -> Tensor:
        if self._spatial:
            frames = x.transpose(1, 2)
            stride, padding = self.stride[1:], tuple(map(int, self.padding[1:]))
            y = conv2d(frames.flatten(0, 1), weight.squeeze(2), None, stride, padding)
            folded: Tensor = y.unflatten(0, frames.shape[:2])
            return folded.transpose(1, 2)
        stride, padding = (self.stride[0], 1), (int(self.padding[0]), 0)
        y = conv2d(x.flatten(3), weight.squeeze(4), None, stride, padding)
        unfolded: Tensor = y.unflatten(3, x.shape[3:])
        return unfolded
