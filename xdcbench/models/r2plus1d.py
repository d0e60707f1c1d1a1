"""R(2+1)D, the video encoder of XDC, at any width, depth and stride of the stem."""

from functools import partial

from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock

from xdcbench.config.models import VideoModel
from xdcbench.data.transforms import Normalize
from xdcbench.models.folded_conv import FoldedConv3d
from xdcbench.models.folded_norm import FoldedBatchNorm3d

STEM_SHARE = 45 / 64
EPS = 1e-3


def midplanes(inplanes: int, planes: int) -> int:
    """Channels between the two convolutions that give a factorised 3x3x3 its number of weights.

    Source: Tran et al. 2018, section 3.5; VMZ computes them anew for each convolution.
    """
    return inplanes * planes * 27 // (9 * inplanes + 3 * planes)


class Conv2Plus1D(nn.Sequential):
    """A 3x3x3 convolution as one over space and one over time, with BatchNorm and ReLU between.

    torchvision hands a block's second convolution the midplanes of its first; VMZ does not share them.
    """

    def __init__(self, inplanes: int, planes: int, _shared: int, stride: int = 1) -> None:
        middle = midplanes(inplanes, planes)
        super().__init__(
            _over_space(inplanes, middle, 3, stride=stride),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            _over_time(middle, planes, stride=stride),
        )

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        """Stride of the shortcut beside it, as torchvision's blocks ask for it."""
        return stride, stride, stride


def _over_space(inplanes: int, planes: int, size: int, *, stride: int) -> FoldedConv3d:
    padding = (0, size // 2, size // 2)
    return FoldedConv3d(
        inplanes, planes, (1, size, size), stride=(1, stride, stride), padding=padding, bias=False
    )


def _over_time(inplanes: int, planes: int, *, stride: int) -> FoldedConv3d:
    return FoldedConv3d(inplanes, planes, (3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0), bias=False)


def _stem(width: int, stride: int) -> nn.Sequential:
    middle = round(STEM_SHARE * width)
    return nn.Sequential(
        _over_space(3, middle, 7, stride=stride),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        _over_time(middle, width, stride=1),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def _stage(inplanes: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1:
        shortcut = nn.Sequential(
            nn.Conv3d(inplanes, planes, kernel_size=1, stride=stride, bias=False), nn.BatchNorm3d(planes)
        )
    first = BasicBlock(inplanes, planes, Conv2Plus1D, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(planes, planes, Conv2Plus1D) for _ in range(blocks - 1)))


def _fold_norms(module: nn.Module) -> None:
    """Put the BatchNorm that takes fast kernels in the place of each one, torchvision's own included."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm3d:
            setattr(module, name, FoldedBatchNorm3d(child.num_features))


def _initialize(module: nn.Module, *, momentum: float) -> None:
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.BatchNorm3d):
        module.eps = EPS
        module.momentum = momentum


class R2Plus1D(nn.Module):
    """R(2+1)D without a classifier; 33,165,639 parameters at the default configuration.

    Parameters are named as those of torchvision's ``VideoResNet``. Their shapes differ only where the
    midplanes do: here each convolution has its own, as in VMZ's models and XDC's released weights.

    Source: Tran et al. 2018; XDC's and VMZ's code for the stem, the midplanes and BatchNorm's eps.

    Attributes:
        features: size of the pooled feature, 8 x width.
        input: the clip that ``prepare`` expects.
    """

    def __init__(self, model: VideoModel) -> None:
        super().__init__()
        width = model.width
        self.input = model.input
        self.features = 8 * width
        self.stem = _stem(width, model.stem_stride)
        self.layer1 = _stage(width, width, model.blocks[0], 1)
        self.layer2 = _stage(width, 2 * width, model.blocks[1], 2)
        self.layer3 = _stage(2 * width, 4 * width, model.blocks[2], 2)
        self.layer4 = _stage(4 * width, 8 * width, model.blocks[3], 2)
        self.apply(_fold_norms)
        # XDC's code sets momentum 0.9 "as in Caffe2", but Caffe2's momentum weights the old statistic
        # and PyTorch's the new batch: what Caffe2 did is 0.1 here.
        self.apply(partial(_initialize, momentum=model.bn_momentum))
        self.normalize = Normalize(model.input)

    def prepare(self, clips: Tensor) -> Tensor:
        """Normalize RGB clips, uint8 (B, T, H, W, 3), on the encoder's device, by the declared mean and deviation.

        Returns:
            float32 (B, 3, T, H, W), laid out in memory as ``channels_last_3d``.

        Raises:
            TypeError: the clips are not uint8, so their range is unknown.
        """
        prepared: Tensor = self.normalize(clips)
        return prepared

    def forward(self, x: Tensor) -> Tensor:
        """Encode prepared clips, (B, 3, T, H, W), into features, (B, features): means over time and space."""
        for stage in (self.stem, self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x.mean(dim=(2, 3, 4))
