"""VMZ's audio ResNet-18, the audio encoder of XDC, at any width and depth."""

from functools import partial

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from xdcbench.config.models import AudioModel, Window
from xdcbench.data.spectrogram import LogMel

EPS = 1e-3


def _stage(inplanes: int, planes: int, blocks: int, norm: partial[nn.BatchNorm2d]) -> nn.Sequential:
    shortcut = nn.Sequential(nn.Conv2d(inplanes, planes, kernel_size=1, stride=2, bias=False), norm(planes))
    first = BasicBlock(inplanes, planes, stride=2, downsample=shortcut, norm_layer=norm)
    return nn.Sequential(first, *(BasicBlock(planes, planes, norm_layer=norm) for _ in range(blocks - 1)))


class AudioResNet(nn.Module):
    """ResNet on log-mel spectrograms without a classifier; 11.2 M parameters at the default configuration.

    A 3x3 convolution and three basic blocks take the place of ImageNet's 7x7 stem; then come four stages,
    each of which halves both axes, and a maximum over all that is left.

    Source: VMZ ``lib/models/audio_visual_model.py`` (``create_acoustic_resnet``) and
    ``lib/models/builder/audio_model.py``: the first convolution has a bias and neither BatchNorm nor ReLU.
    VMZ feeds time x frequency where this takes frequency x time; the kernels are square, so that is only
    a transposition of the weights. Unverified: that XDC used this stem; that Caffe2's default filling of
    the first convolution, unlike the others', matters (all are Kaiming here).

    Attributes:
        features: size of the pooled feature, 8 x width.
        input: the window of audio that ``prepare`` expects.
    """

    def __init__(self, model: AudioModel) -> None:
        super().__init__()
        width = model.width
        norm = partial(nn.BatchNorm2d, eps=EPS, momentum=model.bn_momentum)
        self.input: Window = model.input
        self.features = 8 * width
        self.logmel = LogMel(model.log_mel)
        self.conv1 = nn.Conv2d(1, width // 4, kernel_size=3, padding=1)
        self.stem = _stage(width // 4, width // 2, 3, norm)
        self.layer1 = _stage(width // 2, width, model.blocks[0], norm)
        self.layer2 = _stage(width, 2 * width, model.blocks[1], norm)
        self.layer3 = _stage(2 * width, 4 * width, model.blocks[2], norm)
        self.layer4 = _stage(4 * width, 8 * width, model.blocks[3], norm)
        self.apply(_initialize)

    def prepare(self, samples: Tensor) -> Tensor:
        """Turn windows of audio, float32 (B, N), into log-mel spectrograms, float32 (B, 1, mels, frames)."""
        spectrograms: Tensor = self.logmel(samples)
        return spectrograms

    def forward(self, x: Tensor) -> Tensor:
        """Encode spectrograms, (B, 1, mels, frames), into features, (B, features)."""
        for stage in (self.conv1, self.stem, self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x.amax(dim=(2, 3))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
