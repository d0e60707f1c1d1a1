import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, max_pool2d, relu

from xdcbench.config.models import AudioInput, AudioModel
from xdcbench.models.audio_resnet import AudioResNet


def vmz_count(filters: list[int], stem: int, blocks: int) -> int:
    """Parameters by VMZ's layer list: weights without bias, BatchNorm's two, a projection per stride."""

    def block(inside: int, outside: int, projected: bool) -> int:
        convolutions = 9 * inside * outside + 9 * outside * outside + 4 * outside
        return convolutions + projected * (inside * outside + 2 * outside)

    total = 9 * stem + stem  # the first convolution keeps its bias
    total += block(stem, 2 * stem, True) + 2 * block(2 * stem, 2 * stem, False)
    inside = 2 * stem
    for planes in filters:
        total += block(inside, planes, True) + (blocks - 1) * block(planes, planes, False)
        inside = planes
    return total


def test_parameters_of_the_full_model() -> None:
    count = sum(parameter.numel() for parameter in AudioResNet(AudioModel()).parameters())
    assert count == vmz_count([64, 128, 256, 512], stem=16, blocks=2)
    assert round(count / 1e6, 1) == 11.2


def test_forward_agrees_with_vmzs_layers_written_out() -> None:
    encoder = AudioResNet(AudioModel(width=8)).eval()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    w = encoder.state_dict()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        statistics = (w[f"{name}.running_mean"], w[f"{name}.running_var"])
        return batch_norm(x, *statistics, w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-3)

    x = torch.randn(2, 1, 40, 100)
    y = conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=1)
    for stage, blocks in (("stem", 3), ("layer1", 2), ("layer2", 2), ("layer3", 2), ("layer4", 2)):
        for block in range(blocks):
            name, stride = f"{stage}.{block}", 2 if block == 0 else 1
            shortcut = y
            if block == 0:
                shortcut = norm(conv2d(y, w[f"{name}.downsample.0.weight"], stride=2), f"{name}.downsample.1")
            y = relu(norm(conv2d(y, w[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1"))
            y = relu(norm(conv2d(y, w[f"{name}.conv2.weight"], padding=1), f"{name}.bn2") + shortcut)
    assert y.shape == (2, 64, 2, 4)  # VMZ's last kernel is 4 x 2, time x frequency
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), max_pool2d(y, (2, 4)).flatten(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("width", "blocks"), [(4, (1, 1, 1, 1)), (16, (1, 2, 1, 1))])
def test_width_and_depth(width: int, blocks: tuple[int, int, int, int]) -> None:
    encoder = AudioResNet(AudioModel(width=width, blocks=blocks))
    stages = [encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4]
    assert tuple(len(stage) for stage in stages) == blocks
    assert encoder(torch.zeros(2, 1, 40, 100)).shape == (2, encoder.features) == (2, 8 * width)


def test_audio_to_features() -> None:
    audio = AudioInput(seconds=0.5)
    encoder = AudioResNet(AudioModel(width=4, input=audio))
    prepared = encoder.prepare(torch.randn(3, 8000))
    assert prepared.shape == (3, 1, audio.n_mels, audio.frames)
    assert encoder(prepared).isfinite().all()


def test_the_spectrogram_adds_nothing_to_the_weights() -> None:
    names = AudioResNet(AudioModel(width=4)).state_dict()
    assert not [name for name in names if not name.startswith(("conv1.", "stem.", "layer"))]
