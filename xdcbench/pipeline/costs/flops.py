"""Work and size of the encoders from their configuration alone, so that planning needs no torch.

Counted are the multiplications and additions of convolutions, 2 per weight and place. BatchNorm, ReLU, pooling,
spectrograms and heads are left out: together they are below 1 % of the arithmetic, though not of the time.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from xdcbench.config.models import AudioModel, VideoModel

FLOAT = 4
"""Bytes of a float32."""


class Conv(NamedTuple):
    """A convolution: its weights without bias, its output channels, and the places of its output."""

    weights: int
    channels: int
    places: int

    @property
    def flop(self) -> int:
        """Of one clip, forward."""
        return 2 * self.weights * self.places


def forward_flop(model: VideoModel | AudioModel) -> int:
    """FLOP that encode one clip or window."""
    return sum(conv.flop for conv in _convs(model))


def training_flop(model: VideoModel | AudioModel) -> int:
    """FLOP of one clip's forward and backward pass: three times the forward pass, but for the first
    convolution, whose input needs no gradient."""
    return 3 * forward_flop(model) - _convs(model)[0].flop


def parameters(model: VideoModel | AudioModel) -> int:
    """Parameters without a classifier: weights, and BatchNorm's scale and shift."""
    count = sum(conv.weights + 2 * conv.channels for conv in _convs(model))
    # The first convolution of the audio encoder has a bias in place of BatchNorm.
    return count - _convs(model)[0].channels if isinstance(model, AudioModel) else count


def weight_bytes(model: VideoModel | AudioModel) -> int:
    """Bytes of a weights file, but for its header: parameters and BatchNorm's running mean and variance."""
    convs = _convs(model)
    normed = convs[1:] if isinstance(model, AudioModel) else convs
    return FLOAT * (parameters(model) + 2 * sum(conv.channels for conv in normed))


@lru_cache(maxsize=64)
def _convs(model: VideoModel | AudioModel) -> tuple[Conv, ...]:
    """Convolutions in order; a plan asks for those of a few models thousands of times."""
    return tuple(_video(model) if isinstance(model, VideoModel) else _audio(model))


def _video(model: VideoModel) -> Iterator[Conv]:
    """R(2+1)D: see models/video.py."""
    width, time = model.width, model.input.frames
    side, middle = _halved(model.input.size, model.stem_stride), round(45 / 64 * width)
    yield Conv(3 * 7 * 7 * middle, middle, time * side * side)
    yield Conv(middle * 3 * width, width, time * side * side)
    before = width
    for number, blocks in enumerate(model.blocks):
        channels, stride = width << number, 1 if number == 0 else 2
        for block in range(blocks):
            step = stride if block == 0 else 1
            after = _halved(time, step), _halved(side, step)
            yield from _factorised(before, channels, time, *after)
            yield from _factorised(channels, channels, after[0], *after)
            if step != 1:
                yield Conv(before * channels, channels, after[0] * after[1] ** 2)
            before, (time, side) = channels, after


def _factorised(inner: int, outer: int, time: int, new_time: int, side: int) -> Iterator[Conv]:
    """A 1x3x3 convolution, strided in space, and a 3x1x1 one, strided in time."""
    middle = inner * outer * 27 // (9 * inner + 3 * outer)
    yield Conv(inner * 9 * middle, middle, time * side * side)
    yield Conv(middle * 3 * outer, outer, new_time * side * side)


def _audio(model: AudioModel) -> Iterator[Conv]:
    """VMZ's audio ResNet: see models/audio.py."""
    width, shape = model.width, (model.log_mel.n_mels, model.log_mel.frames)
    before = width // 4
    yield Conv(9 * before, before, shape[0] * shape[1])
    stages: Sequence[tuple[int, int]] = [
        (width // 2, 3),
        *((width << number, blocks) for number, blocks in enumerate(model.blocks)),
    ]
    for channels, blocks in stages:
        shape = _halved(shape[0]), _halved(shape[1])
        places = shape[0] * shape[1]
        for block in range(blocks):
            yield Conv(before * 9 * channels, channels, places)
            yield Conv(channels * 9 * channels, channels, places)
            if block == 0:
                yield Conv(before * channels, channels, places)
            before = channels


def _halved(size: int, stride: int = 2) -> int:
    """Places of a padded convolution of odd kernel."""
    return -(-size // stride)
