"""A user's own video encoder: everything that the suite asks of one."""

from torch import Tensor, nn

from xdcbench.config.models import VideoInput


class Tiny(nn.Module):
    """One convolution over space and time, and the mean of what it sees."""

    input = VideoInput(frames=4, size=16, fps=4, short_side=(16, 16))
    features = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, self.features, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Clips, float32 (B, 3, T, S, S), normalized as declared, to features (B, 8)."""
        return self.conv(x).relu().mean(dim=(2, 3, 4))


class Undeclared(nn.Module):
    """Lacks the declarations."""


class Lying(Tiny):
    """Declares more features than it gives."""

    features = 9

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 8, kernel_size=3)
