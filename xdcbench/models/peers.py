"""Networks of peers that torchvision does not have, written from the names and shapes that they publish."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.models.video import r2plus1d_18

WIDTHS = (64, 128, 256, 512)


class FactorizedBlock(nn.Module):
    """A residual block of 1x3x3 and 3x1x1 convolutions of one width; no BatchNorm on the shortcut."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.spt_conv1, self.spt_bn1 = _over_space(inplanes, planes, stride), nn.BatchNorm3d(planes)
        self.tmp_conv1, self.tmp_bn1 = _over_time(planes, stride), nn.BatchNorm3d(planes)
        self.spt_conv2, self.spt_bn2 = _over_space(planes, planes, 1), nn.BatchNorm3d(planes)
        self.tmp_conv2, self.out_bn = _over_time(planes, 1), nn.BatchNorm3d(planes)
        if stride != 1 or inplanes != planes:
            self.res_conv: nn.Module = nn.Conv3d(inplanes, planes, 1, stride=stride, bias=False)
        else:
            self.res_conv = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inplanes, T, H, W) to (B, planes, T', H', W')."""
        y = self.spt_bn1(self.spt_conv1(x)).relu()
        y = self.tmp_bn1(self.tmp_conv1(y)).relu()
        y = self.spt_bn2(self.spt_conv2(y)).relu()
        added: Tensor = self.out_bn(self.tmp_conv2(y) + self.res_conv(x)).relu()
        return added


def _over_space(inplanes: int, planes: int, stride: int) -> nn.Conv3d:
    return nn.Conv3d(inplanes, planes, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False)


def _over_time(planes: int, stride: int) -> nn.Conv3d:
    return nn.Conv3d(planes, planes, (3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0), bias=False)


class FullStemR2Plus1D(nn.Module):
    """AVID's R(2+1)D-18: a 3x7x7 stem with a max-pool, and no midplanes.

    Source: names and shapes of AVID-CMA ``models/video.py``; CrissCross averages where AVID takes the maximum.

    Args:
        pool: what becomes of time and space at the end.
    """

    features = 512

    def __init__(self, pool: Callable[..., Tensor]) -> None:
        super().__init__()
        self.pool = pool
        self.conv1 = nn.Sequential(
            nn.Conv3d(3, 64, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
            nn.BatchNorm3d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        self.conv2x, self.conv3x, self.conv4x, self.conv5x = (
            nn.Sequential(
                FactorizedBlock(before, width, 1 if width == WIDTHS[0] else 2), FactorizedBlock(width, width)
            )
            for before, width in zip((64, *WIDTHS), WIDTHS, strict=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Prepared clips, (B, 3, T, S, S), to (B, 512)."""
        for stage in (self.conv1, self.conv2x, self.conv3x, self.conv4x, self.conv5x):
            x = stage(x)
        return self.pool(x, dim=(2, 3, 4))


class DilatedR2Plus1D(nn.Module):
    """TCLR's R(2+1)D-18: torchvision's, of which the last stage keeps all frames and opens with a dilated 3x3x3.

    Its tensors are named as torchvision's. Source: ``action_recognition/backbones.py`` of SEVERE.
    """

    features = 512

    def __init__(self) -> None:
        super().__init__()
        net = r2plus1d_18(weights=None)
        self.stem, self.layer1, self.layer2, self.layer3 = net.stem, net.layer1, net.layer2, net.layer3
        self.layer4 = net.layer4
        self.layer4[0].conv1[0] = nn.Conv3d(
            256, 512, 3, stride=(1, 2, 2), padding=(2, 1, 1), dilation=(2, 1, 1), bias=False
        )
        self.layer4[0].downsample[0] = nn.Conv3d(256, 512, 1, stride=(1, 2, 2), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Prepared clips, (B, 3, T, S, S), to (B, 512)."""
        for stage in (self.stem, self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x.mean(dim=(2, 3, 4))


class PlainBlock(nn.Module):
    """Two 3x3 convolutions, each with BatchNorm and ReLU, without a shortcut."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inplanes, T, F) to (B, planes, T', F')."""
        found: Tensor = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        return found


class ConvNet9(nn.Module):
    """AVID's audio encoder: nine convolutions, a maximum over time and frequency.

    Source: names and shapes of AVID-CMA ``models/audio.py``.
    """

    features = 512

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        )
        self.block1, self.block2 = PlainBlock(64, 64, 2), PlainBlock(64, 128, 2)
        self.block3, self.block4 = PlainBlock(128, 256, 2), PlainBlock(256, 512)

    def forward(self, x: Tensor) -> Tensor:
        """Spectrograms, (B, 1, frames, bins), to (B, 512)."""
        for stage in (self.conv1, self.block1, self.block2, self.block3, self.block4):
            x = stage(x)
        return x.amax(dim=(2, 3))


class OneChannelResNet(ResNet):
    """torchvision's ResNet of basic blocks on spectrograms of one channel, without a classifier."""

    features = 512

    def __init__(self, blocks: int) -> None:
        super().__init__(BasicBlock, [blocks] * 4)
        self.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.fc = nn.Identity()


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "avid_r2plus1d": lambda: FullStemR2Plus1D(torch.amax),
    "crisscross_r2plus1d": lambda: FullStemR2Plus1D(torch.mean),
    "tclr_r2plus1d": DilatedR2Plus1D,
    "avid_conv9": ConvNet9,
    "resnet9": lambda: OneChannelResNet(1),
    "resnet18": lambda: OneChannelResNet(2),
}
"""By source, as `PEERS` of origins names them."""
