"""A user's own encoders: everything that the suite asks of one, and each mistake that it refuses."""

import torch
from torch import Tensor, nn

from xdcbench.config.models import VideoInput, Waveform


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


class Raw(nn.Module):
    """Takes samples of audio as they are; one strided convolution and its mean over time."""

    input = Waveform(sample_rate=24_000, seconds=0.8)
    features = 6

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, self.features, kernel_size=64, stride=16)

    def forward(self, x: Tensor) -> Tensor:
        """Samples, float32 (B, 19200), to features (B, 6)."""
        return self.conv(x[:, None]).relu().mean(dim=2)


class OwnFront(Raw):
    """A front end of its own, learnable, in ``prepare``."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0))

    def prepare(self, samples: Tensor) -> Tensor:
        """Samples (B, 19200) to every second one, louder."""
        return self.gain * samples[:, ::2]


class FrontModule(Raw):
    """A front end of its own that is a module."""

    def __init__(self) -> None:
        super().__init__()
        self.prepare = nn.Sequential(nn.Unflatten(1, (1, 19_200)), nn.Conv1d(1, 1, 3), nn.Flatten())


class Sequence(Raw):
    """Forgets the mean over time."""

    def forward(self, x: Tensor) -> Tensor:
        """Samples to (B, T, 6)."""
        return self.conv(x[:, None]).transpose(1, 2)


class Squeezed(Raw):
    """Loses the batch where it is 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Samples to (B, 6), but (6,) of one."""
        return super().forward(x).squeeze()


class Fitful(Raw):
    """Gives fewer features of sound than of silence."""

    def forward(self, x: Tensor) -> Tensor:
        """Samples to (B, 6) or (B, 5)."""
        return super().forward(x)[:, : 5 if x.abs().max() > 0 else 6]


class Undefined(Raw):
    """Takes the logarithm of silence."""

    def forward(self, x: Tensor) -> Tensor:
        """Samples to (B, 6), NaN or infinite where nothing is heard."""
        return super().forward(x) * x.square().mean(dim=1, keepdim=True).log()
