import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xdcbench.config.models import VideoInput, VideoModel
from xdcbench.models.folded_conv import FoldedConv3d
from xdcbench.models.r2plus1d import R2Plus1D

SMALL = VideoModel(width=8, blocks=(1, 1, 1, 1), input=VideoInput(frames=4, size=16))
LAYOUTS = (torch.contiguous_format, torch.channels_last_3d)


def over_space(size: int, stride: int) -> dict[str, tuple[int, int, int]]:
    pad = size // 2
    return {"kernel_size": (1, size, size), "stride": (1, stride, stride), "padding": (0, pad, pad)}


def over_time(stride: int) -> dict[str, tuple[int, int, int]]:
    return {"kernel_size": (3, 1, 1), "stride": (stride, 1, 1), "padding": (1, 0, 0)}


def gradients(conv: nn.Module, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = conv(x)
    (y * weights.to(y)).sum().backward()
    assert x.grad is not None
    return y.detach(), x.grad, conv.weight.grad  # type: ignore[return-value]


@settings(max_examples=60, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 9), st.integers(1, 17)),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    options=st.one_of(
        st.builds(over_space, st.sampled_from([1, 3, 7]), st.integers(1, 3)),
        st.builds(over_time, st.integers(1, 3)),
    ),
    layout=st.sampled_from(LAYOUTS),
)
def test_results_and_gradients_are_those_of_conv3d(
    channels: tuple[int, int],
    shape: tuple[int, int, int, int],
    options: dict[str, tuple[int, int, int]],
    layout: torch.memory_format,
) -> None:
    folded = FoldedConv3d(*channels, bias=False, **options)
    referee = nn.Conv3d(*channels, bias=False, **options).double()  # type: ignore[arg-type]
    referee.load_state_dict(folded.state_dict())
    batch, *places = shape
    x = torch.randn(batch, channels[0], *places).to(memory_format=layout)
    weights = torch.randn(referee(x.double()).shape)
    pairs = zip(gradients(folded, x, weights), gradients(referee, x.double(), weights), strict=True)
    for own, exact in pairs:
        assert own.dtype == torch.float32
        torch.testing.assert_close(own.double(), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "bias": False},
        {"kernel_size": (1, 3, 3), "stride": (2, 1, 1), "bias": False},
        {"kernel_size": (3, 1, 1), "padding": 1, "bias": False},
        {"kernel_size": (1, 3, 3), "bias": True},
        {"kernel_size": (1, 3, 3), "dilation": 2, "bias": False},
        {"kernel_size": (1, 3, 3), "groups": 2, "bias": False},
        {"kernel_size": (1, 3, 3), "padding_mode": "circular", "bias": False},
    ],
)
def test_what_is_no_two_dimensional_convolution_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="does not fold"):
        FoldedConv3d(4, 4, **options)


@pytest.mark.parametrize("options", [over_space(3, 2), over_time(2)], ids=["space", "time"])
def test_channels_last_goes_in_and_comes_out(options: dict[str, tuple[int, int, int]]) -> None:
    x = torch.randn(2, 8, 4, 6, 6).to(memory_format=torch.channels_last_3d)
    conv = FoldedConv3d(8, 12, bias=False, **options).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    assert conv(x).is_contiguous(memory_format=torch.channels_last_3d)


def unfolded(encoder: R2Plus1D) -> R2Plus1D:
    """The same encoder on torch's own three-dimensional convolutions."""
    plain = R2Plus1D(SMALL)
    plain.load_state_dict(encoder.state_dict())
    for module in plain.modules():
        if isinstance(module, FoldedConv3d):
            module.forward = nn.Conv3d.forward.__get__(module)  # type: ignore[method-assign]
    return plain


def test_features_of_the_encoder_are_those_of_three_dimensional_convolutions() -> None:
    encoder = R2Plus1D(SMALL).eval()
    x = torch.randn(3, 3, 4, 16, 16)
    with torch.no_grad():
        own, exact = encoder(x), unfolded(encoder).double().eval()(x.double())
    assert ((own - exact).norm() / exact.norm()).item() < 1e-5


@pytest.mark.parametrize("batch", [1, 5])
def test_the_encoder_exports_for_any_batch(batch: int) -> None:
    encoder = R2Plus1D(SMALL).eval()
    sizes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(encoder, (torch.randn(2, 3, 4, 16, 16),), dynamic_shapes=sizes)
    x = torch.randn(batch, 3, 4, 16, 16)
    torch.testing.assert_close(program.module()(x), encoder(x))


def test_the_encoder_is_one_graph_to_the_compiler() -> None:
    encoder = R2Plus1D(SMALL).eval()
    x = torch.randn(2, 3, 4, 16, 16)
    compiled = torch.compile(encoder, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), encoder(x))


@pytest.mark.parametrize("options", [over_space(7, 2), over_time(1)], ids=["space", "time"])
@pytest.mark.parametrize("channels", [(3, 45), (45, 64), (8, 230), (16, 8)])
def test_channels_that_are_filled_up_change_no_result(
    channels: tuple[int, int], options: dict[str, tuple[int, int, int]]
) -> None:
    conv = FoldedConv3d(*channels, bias=False, **options).double()
    x = torch.randn(2, channels[0], 4, 8, 8, dtype=torch.float64).to(memory_format=torch.channels_last_3d)
    weights = torch.randn(conv(x).shape, dtype=torch.float64)
    plain = gradients(conv, x, weights)
    conv.zero_grad()
    conv.forward = conv.aligned  # type: ignore[method-assign]
    for aligned, expected in zip(gradients(conv, x, weights), plain, strict=True):
        assert aligned.shape == expected.shape
        torch.testing.assert_close(aligned, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("training", [True, False])
def test_cuda_encodes_as_the_cpu_does(training: bool) -> None:
    here = R2Plus1D(SMALL).train(training).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    there = R2Plus1D(SMALL).train(training)
    there.load_state_dict(here.state_dict())
    there = there.cuda().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    x = torch.randn(6, 3, 4, 16, 16).to(memory_format=torch.channels_last_3d)
    weights = torch.randn(6, here.features)
    features = []
    with torch.backends.cudnn.flags(allow_tf32=False):
        for encoder in (here, there):
            device = next(encoder.parameters()).device
            found = encoder(x.to(device))
            (found * weights.to(device)).sum().backward()
            features.append(found.detach().cpu())
    torch.testing.assert_close(features[0], features[1], rtol=1e-3, atol=1e-3)
    for (name, cpu), gpu in zip(here.named_parameters(), there.parameters(), strict=True):
        assert cpu.grad is not None and gpu.grad is not None
        assert ((cpu.grad - gpu.grad.cpu()).norm() / cpu.grad.norm()).item() < 1e-2, name
    for (name, mean), its in zip(here.named_buffers(), there.buffers(), strict=True):
        torch.testing.assert_close(mean, its.cpu(), rtol=1e-3, atol=1e-3, msg=name)
