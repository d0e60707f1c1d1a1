"""Peers' networks against plain torch functions of the published shapes, and torchvision's ResNet-18."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, conv3d, max_pool3d
from torchvision.models import resnet18

from xdcbench.models.peers import NETWORKS, OneChannelResNet

State = dict[str, Tensor]


def random_state(shapes: State, seed: int = 0) -> State:
    """Tensors of the shapes of a state, of a scale at which features neither vanish nor explode."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, like in shapes.items():
        if name.endswith("num_batches_tracked"):
            found[name] = torch.zeros((), dtype=torch.int64)
        elif like.dim() > 1:
            fan = like[0].numel()
            found[name] = torch.randn(like.shape, generator=generator) * (2 / fan) ** 0.5
        else:
            found[name] = torch.rand(like.shape, generator=generator) + 0.5
    return found


def norm(x: Tensor, s: State, name: str) -> Tensor:
    mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    return batch_norm(x, mean, var, s[f"{name}.weight"], s[f"{name}.bias"])


def block3d(x: Tensor, s: State, name: str, stride: int) -> Tensor:
    """1x3x3, BatchNorm, ReLU, 3x1x1, BatchNorm, ReLU, 1x3x3, BatchNorm, ReLU, 3x1x1, sum, BatchNorm, ReLU."""
    w = {part: s[f"{name}.{part}.weight"] for part in ("spt_conv1", "tmp_conv1", "spt_conv2", "tmp_conv2")}
    y = conv3d(x, w["spt_conv1"], stride=(1, stride, stride), padding=(0, 1, 1))
    y = norm(y, s, f"{name}.spt_bn1").relu()
    y = conv3d(y, w["tmp_conv1"], stride=(stride, 1, 1), padding=(1, 0, 0))
    y = norm(y, s, f"{name}.tmp_bn1").relu()
    y = norm(conv3d(y, w["spt_conv2"], padding=(0, 1, 1)), s, f"{name}.spt_bn2").relu()
    y = conv3d(y, w["tmp_conv2"], padding=(1, 0, 0))
    short = s.get(f"{name}.res_conv.weight")
    x = x if short is None else conv3d(x, short, stride=stride)
    return norm(y + x, s, f"{name}.out_bn").relu()


def video_features(x: Tensor, s: State, pool: str) -> Tensor:
    x = conv3d(x, s["conv1.0.weight"], stride=(1, 2, 2), padding=(1, 3, 3))
    x = max_pool3d(norm(x, s, "conv1.1").relu(), (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    for stage in ("conv2x", "conv3x", "conv4x", "conv5x"):
        x = block3d(x, s, f"{stage}.0", 1 if stage == "conv2x" else 2)
        x = block3d(x, s, f"{stage}.1", 1)
    return x.amax(dim=(2, 3, 4)) if pool == "max" else x.mean(dim=(2, 3, 4))


def audio_features(x: Tensor, s: State) -> Tensor:
    x = norm(conv2d(x, s["conv1.0.weight"], stride=2, padding=3), s, "conv1.1").relu()
    for number, stride in ((1, 2), (2, 2), (3, 2), (4, 1)):
        name = f"block{number}"
        x = norm(conv2d(x, s[f"{name}.conv1.weight"], stride=stride, padding=1), s, f"{name}.bn1").relu()
        x = norm(conv2d(x, s[f"{name}.conv2.weight"], padding=1), s, f"{name}.bn2").relu()
    return x.amax(dim=(2, 3))


@pytest.mark.parametrize(("source", "pool"), [("avid_r2plus1d", "max"), ("crisscross_r2plus1d", "mean")])
def test_the_video_network_is_a_full_stem_and_factorized_blocks(source: str, pool: str) -> None:
    net = NETWORKS[source]().eval()
    state = random_state(net.state_dict())
    net.load_state_dict(state)
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(net(clips), video_features(clips, state, pool), rtol=1e-4, atol=1e-4)
    assert [state[f"conv{n}x.0.res_conv.weight"].shape[:2] for n in (3, 4, 5)] == [
        (128, 64),
        (256, 128),
        (512, 256),
    ]
    assert "conv2x.0.res_conv.weight" not in state


def test_the_audio_network_is_nine_convolutions() -> None:
    net = NETWORKS["avid_conv9"]().eval()
    state = random_state(net.state_dict())
    net.load_state_dict(state)
    assert sum(tensor.dim() == 4 for tensor in state.values()) == 9
    given = torch.randn(2, 1, 50, 65)
    with torch.inference_mode():
        torch.testing.assert_close(net(given), audio_features(given, state), rtol=1e-4, atol=1e-4)


def test_one_channel_is_torchvisions_resnet_of_the_summed_kernel() -> None:
    """A gray image in three channels, with a kernel summed over them, is the same in one."""
    theirs = resnet18(weights=None).eval()
    state = random_state(theirs.state_dict())
    theirs.load_state_dict(state)
    ours = OneChannelResNet(2).eval()
    own = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    ours.load_state_dict(own | {"conv1.weight": own["conv1.weight"].sum(dim=1, keepdim=True)})
    theirs.fc = torch.nn.Identity()  # type: ignore[assignment]
    given = torch.randn(2, 1, 40, 99)
    with torch.inference_mode():
        torch.testing.assert_close(ours(given), theirs(given.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-3)
