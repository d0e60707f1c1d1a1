"""Convolutions over space alone or time alone, computed as the two-dimensional ones that they are."""

from torch import Tensor, nn
from torch.nn.functional import conv2d


class FoldedConv3d(nn.Conv3d):
    """A ``Conv3d`` whose kernel is (1, k, k) or (k, 1, 1), with its parameters, computed by ``conv2d``.

    Kernels for two dimensions are better tuned than those for three. In ``channels_last_3d`` all reshaping
    is of views: (1, k, k) takes frames for items of the batch, (k, 1, 1) takes the places of a frame for one
    axis. Results agree with ``Conv3d`` to rounding.

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
        if self._spatial:
            frames = x.transpose(1, 2)
            stride, padding = self.stride[1:], tuple(map(int, self.padding[1:]))
            y = conv2d(frames.flatten(0, 1), self.weight.squeeze(2), None, stride, padding)
            folded: Tensor = y.unflatten(0, frames.shape[:2])
            return folded.transpose(1, 2)
        stride, padding = (self.stride[0], 1), (int(self.padding[0]), 0)
        y = conv2d(x.flatten(3), self.weight.squeeze(4), None, stride, padding)
        unfolded: Tensor = y.unflatten(3, x.shape[3:])
        return unfolded
