from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.video import resnet

from xdcbench.config.models import VideoInput, VideoModel
from xdcbench.models.r2plus1d import R2Plus1D, midplanes

SMALL = VideoModel(width=8, input=VideoInput(frames=4, size=16))


class CorrectedBlock(nn.Module):
    """torchvision's block with midplanes of its own for each convolution, written out for the referee."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        conv_builder: Callable[..., nn.Module],
        stride: int = 1,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        first = (inplanes * planes * 3 * 3 * 3) // (inplanes * 3 * 3 + 3 * planes)
        second = (planes * planes * 3 * 3 * 3) // (planes * 3 * 3 + 3 * planes)
        self.conv1 = nn.Sequential(
            conv_builder(inplanes, planes, first, stride), nn.BatchNorm3d(planes), nn.ReLU()
        )
        self.conv2 = nn.Sequential(conv_builder(planes, planes, second), nn.BatchNorm3d(planes))
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.conv2(self.conv1(x)) + shortcut)


@pytest.fixture(scope="module")
def full() -> R2Plus1D:
    return R2Plus1D(VideoModel())


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def test_parameters_of_the_full_model(full: R2Plus1D) -> None:
    count = sum(parameter.numel() for parameter in full.parameters())
    assert count == 33_165_639
    assert count + full.features * 400 + 400 == 33_370_839


def test_names_are_torchvisions_and_shapes_differ_only_with_the_midplanes(full: R2Plus1D) -> None:
    own, theirs = shapes(full), shapes(resnet.r2plus1d_18(weights=None))
    assert own.keys() == {name for name in theirs if not name.startswith("fc.")}
    # The second convolution of a block that changes its width is the only one to get other midplanes.
    differing = {name.rsplit(".", 2)[0] for name in own if own[name] != theirs[name]}
    assert differing == {f"layer{stage}.0.conv2.0" for stage in (2, 3, 4)}


def test_midplanes_of_the_paper() -> None:
    pairs = [(64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    assert [midplanes(*pair) for pair in pairs] == [144, 230, 288, 460, 576, 921, 1152]


def test_forward_agrees_with_torchvision_on_a_corrected_block(full: R2Plus1D) -> None:
    referee = resnet.VideoResNet(
        block=CorrectedBlock,  # type: ignore[arg-type]
        conv_makers=[resnet.Conv2Plus1D] * 4,
        layers=[2, 2, 2, 2],
        stem=resnet.R2Plus1dStem,
    )
    referee.fc = nn.Identity()  # type: ignore[assignment]
    for module in referee.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = 1e-3
    referee.load_state_dict(full.state_dict())
    x = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(full.eval()(x), referee.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "middle", "blocks", "stem_stride"),
    [(4, 3, (1, 1, 1, 1), 1), (8, 6, (1, 2, 1, 1), 2), (12, 8, (1, 1, 1, 1), 2)],
)
def test_width_depth_and_stem_stride(
    width: int, middle: int, blocks: tuple[int, int, int, int], stem_stride: int
) -> None:
    encoder = R2Plus1D(VideoModel(width=width, blocks=blocks, stem_stride=stem_stride))
    stages = [encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4]
    assert encoder.stem[0].out_channels == middle
    assert tuple(len(stage) for stage in stages) == blocks
    assert encoder.stem(torch.zeros(1, 3, 2, 16, 16)).shape == (
        1,
        width,
        2,
        16 // stem_stride,
        16 // stem_stride,
    )
    assert encoder(torch.zeros(2, 3, 4, 16, 16)).shape == (2, encoder.features) == (2, 8 * width)


@pytest.mark.parametrize("momentum", [0.1, 0.9])
def test_batchnorm_weights_the_new_batch_by_the_momentum(momentum: float) -> None:
    encoder = R2Plus1D(SMALL.model_copy(update={"bn_momentum": momentum}))
    x = torch.randn(4, 3, 4, 16, 16) + 1
    batch_mean = encoder.stem[0](x).mean(dim=(0, 2, 3, 4))
    encoder.train()(x)
    torch.testing.assert_close(encoder.stem[1].running_mean, momentum * batch_mean, rtol=1e-4, atol=1e-6)


def test_prepare_normalises_each_color() -> None:
    encoder = R2Plus1D(SMALL)
    clips = torch.randint(256, (2, 4, 5, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    prepared = encoder.prepare(clips)
    assert prepared.shape == (2, 3, 4, 5, 6)
    assert prepared.is_contiguous(memory_format=torch.channels_last_3d)
    for color in range(3):
        expected = (clips[..., color] / 255 - SMALL.input.mean[color]) / SMALL.input.std[color]
        torch.testing.assert_close(prepared[:, color], expected, rtol=1e-5, atol=1e-5)


def test_prepare_refuses_clips_of_unknown_range() -> None:
    with pytest.raises(TypeError, match="uint8"):
        R2Plus1D(SMALL).prepare(torch.zeros(1, 4, 8, 8, 3))
