import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from xdcbench.config.models import AudioInput, AudioModel, VideoInput, VideoModel
from xdcbench.models.audio_resnet import AudioResNet
from xdcbench.models.r2plus1d import R2Plus1D
from xdcbench.pipeline.costs.flops import forward_flop, parameters, training_flop, weight_bytes

Model = VideoModel | AudioModel
BLOCKS = st.tuples(*[st.integers(1, 2)] * 4)


@st.composite
def videos(draw: st.DrawFn) -> VideoModel:
    size = draw(st.integers(16, 48))
    frames = draw(st.integers(1, 9))
    return VideoModel(
        width=draw(st.integers(4, 12)),
        blocks=draw(BLOCKS),
        stem_stride=draw(st.sampled_from([1, 2])),
        input=VideoInput(frames=frames, size=size, short_side=(size, size)),
    )


@st.composite
def audios(draw: st.DrawFn) -> AudioModel:
    window = AudioInput(n_mels=draw(st.integers(16, 40)), seconds=draw(st.sampled_from([0.5, 1.3, 2.0])))
    return AudioModel(width=4 * draw(st.integers(1, 4)), blocks=draw(BLOCKS), input=window)


def counted(model: Model, *, train: bool) -> int:
    """What torch's own counter sees of one clip, on tensors without storage; two clips keep BatchNorm content."""
    with torch.device("meta"):
        encoder = R2Plus1D(model) if isinstance(model, VideoModel) else AudioResNet(model)
        declared = model.input
        if isinstance(declared, AudioInput):
            x = torch.empty(2, 1, declared.n_mels, declared.frames)
        else:
            x = torch.empty(2, 3, declared.frames, declared.size, declared.size)
    with FlopCounterMode(display=False) as counter:
        features = encoder(x)
        if train:
            features.sum().backward()
    return int(counter.get_total_flops()) // 2


def built(model: Model) -> torch.nn.Module:
    with torch.device("meta"):
        return R2Plus1D(model) if isinstance(model, VideoModel) else AudioResNet(model)


@settings(max_examples=12, deadline=None)
@given(st.one_of(videos(), audios()))
def test_any_encoder_as_torch_counts_it(model: Model) -> None:
    assert forward_flop(model) == counted(model, train=False)
    assert training_flop(model) == counted(model, train=True)


@settings(max_examples=12, deadline=None)
@given(st.one_of(videos(), audios()))
def test_parameters_and_bytes_are_those_of_the_module(model: Model) -> None:
    module = built(model)
    assert parameters(model) == sum(p.numel() for p in module.parameters())
    floats = [t for t in module.state_dict().values() if t.is_floating_point()]
    assert weight_bytes(model) == sum(4 * t.numel() for t in floats)


@pytest.mark.parametrize("model", [VideoModel(), AudioModel()], ids=["video", "audio"])
def test_the_encoders_of_the_paper(model: Model) -> None:
    assert forward_flop(model) == counted(model, train=False)
    assert training_flop(model) == counted(model, train=True)
    known = 33_165_639 if isinstance(model, VideoModel) else 11_200_000
    assert parameters(model) == pytest.approx(known, rel=0 if known == 33_165_639 else 0.01)
