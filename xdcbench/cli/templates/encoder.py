# PYTHONPATH=FOLDER xdcbench run --suite smoke --set encoders.NAME.video.source=NAME:Encoder --filter 'NAME/*'
# In a suite file, to run with PYTHONPATH=. and --trust-code:
#   encoders:
#     NAME:
#       video: {source: "NAME:Encoder"}
"""A video encoder of my own."""

from torch import Tensor, nn

from xdcbench.config.models import VideoInput


class Encoder(nn.Module):
    """One convolution, averaged over time and space. Called without arguments; load your weights in ``__init__``."""

    # The clips that it takes. An audio encoder declares an `AudioInput` and takes log-mel spectrograms,
    # float32 (B, 1, n_mels, frames); a suite then names it under `audio`.
    input = VideoInput(frames=4, size=16, fps=4, short_side=(16, 16))
    features = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, self.features, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Normalized frames, float32 (B, 3, frames, size, size), to features, float32 (B, 8)."""
        features: Tensor = self.conv(x).relu().mean(dim=(2, 3, 4))
        return features
