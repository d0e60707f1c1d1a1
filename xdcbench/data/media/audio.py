"""Windows of audio: placed on the clock by sample, mixed down, resampled."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby

import av
import numpy as np
import torch
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray
from torch import Tensor

from xdcbench.data.media.container import (
    SEEK_BACK,
    Media,
    Member,
    audio_stream,
    clock_origin,
    decoded,
    edit_shift,
    opened,
    path_of,
    seek_keyframe,
    time_base,
)
from xdcbench.data.media.limits import check_audio, check_seconds
from xdcbench.data.media.samples import BadSampleError, check_numbers, planes, to_mono
from xdcbench.data.media.wav import pcm
from xdcbench.errors import MediaError

# Audio packets may be stamped unevenly; they are joined seamlessly unless audio and stamp part by more than
# this (seconds), where FFmpeg's resampler, too, inserts silence or drops audio.
AUDIO_JITTER = 0.1
# Packets of these codecs decode alike wherever decoding starts. Others carry state over (AAC's substituted
# noise, MP3's bit reservoir, Vorbis' overlap), so they are decoded from the start.
STATELESS = ("pcm_", "flac")
# Samples of the slower rate decoded around a window, more than the resampling filter reaches.
FILTER_MARGIN = 64
# Samples resampled at once: FFmpeg takes three times as long over one frame of two seconds.
CHUNK = 8192


def read_audio(media: Media, *, start: float, seconds: float, sample_rate: int) -> Tensor:
    """Decode a window of audio: mean of the channels, resampled; silence outside the track.

    The window begins at the multiple of ``1 / rate`` nearest to ``start``, so that windows of one file are
    cut from one resampled signal.

    Args:
        start: seconds after the first video frame (the first sample without video); may be negative.
        seconds: length.
        sample_rate: of the result, Hz.

    Returns:
        float32 (round(seconds * sample_rate),), full scale 1.

    Raises:
        MediaError: there is no audio track, nothing of it can be decoded, or a sample of any channel in the
            window or within the resampler's reach of it is no number.
    """
    begin, size = round(start * sample_rate), round(seconds * sample_rate)
    audio = _cut(media, begin, size, sample_rate) if isinstance(media, Member) else None
    if audio is None:
        audio = _decoded(media, begin, size, sample_rate, seek=True)
    if audio is None:
        audio = _decoded(media, begin, size, sample_rate, seek=False)
    if audio is None:
        raise MediaError(path_of(media), "no audio could be decoded")
    return torch.from_numpy(audio)


@dataclass(frozen=True)
class Track:
    """All audio of a file, resampled.

    Attributes:
        begin: number of its first sample on the shared clock.
        wave: float32 (n,), mean of the channels, full scale 1.
    """

    begin: int
    wave: NDArray[np.float32]

    def window(self, *, start: float, seconds: float, sample_rate: int) -> Tensor:
        """What `read_audio` reads at the track's rate, bit for bit."""
        begin, size = round(start * sample_rate) - self.begin, round(seconds * sample_rate)
        window = np.zeros(size, np.float32)
        low, high = max(0, begin), min(len(self.wave), begin + size)
        if low < high:
            window[low - begin : high - begin] = self.wave[low:high]
        return torch.from_numpy(window)


def read_track(media: Media, *, sample_rate: int) -> Track | None:
    """Decode all audio of a file; None where windows of it may fail or differ, each for its own part.

    So it is where a sample is no number, the rate changes, stamps run backwards or nothing decodes.

    Raises:
        MediaError: as `read_audio`.
    """
    with opened(media) as container:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError(path_of(media), "no audio track")
        frames = list(
            _placed(container, stream, clock_origin(container, media) + edit_shift(container, media))
        )
        size = container.size
    places, rates = [place for place, _ in frames], {frame.sample_rate for _, frame in frames}
    if len(rates) != 1 or places != sorted(places):
        return None
    (native,) = rates
    ends = [place + frame.samples for place, frame in frames]
    check_audio(path_of(media), native, max(frame.layout.nb_channels for _, frame in frames))
    check_seconds(path_of(media), (max(ends) - places[0]) / native, size)
    begin = math.floor(places[0] * sample_rate / native) - FILTER_MARGIN
    length = math.ceil(max(ends) * sample_rate / native) + FILTER_MARGIN - begin
    first, count, skip = _native_window(begin, length, sample_rate, native=native)
    try:
        laid = _laid([(place - first, frame) for place, frame in frames], count)
    except BadSampleError:
        return None
    return Track(begin, _resampled(laid, native, sample_rate)[skip : skip + length])


def audio_end(media: Media) -> float:
    """When the last sample that decodes ends, seconds on the shared clock; all of the track is decoded.

    Raises:
        MediaError: there is no audio track, nothing of it decodes, or its time stamps are beyond a limit.
    """
    with opened(media) as container:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError(path_of(media), "no audio track")
        origin = clock_origin(container, media) + edit_shift(container, media)
        ends = (
            (place + frame.samples) / frame.sample_rate for place, frame in _placed(container, stream, origin)
        )
        end = max(ends, default=None)
        if end is None:
            raise MediaError(path_of(media), "no audio could be decoded")
        check_seconds(path_of(media), end, container.size)
        return end


def _cut(media: Member, begin: int, size: int, rate: int) -> NDArray[np.float32] | None:
    """Float32 (size,), what ``_decoded`` decodes, a hundred times as fast; None where it is not plain PCM."""
    found = pcm(media.data)
    if found is None or not found.count:
        return None
    native = found.rate
    check_audio(media.path, native, found.channels)
    first, length, skip = _native_window(begin, size, rate, native=native)
    low, high = max(0, first), max(0, min(found.count, first + length))
    buffer = np.zeros(length, np.float32)
    if low < high:
        buffer[low - first : high - first] = found.samples(low, high).mean(1, dtype=np.float32) / 2.0**15
    return _resampled(buffer, native, rate)[skip : skip + size]


def _decoded(media: Media, begin: int, size: int, rate: int, *, seek: bool) -> NDArray[np.float32] | None:
    """Float32 (size,); None where a seek failed or landed late, or where no audio decodes."""
    with opened(media) as container:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError(path_of(media), "no audio track")
        native = stream.codec_context.sample_rate
        exact = stream.codec_context.name.startswith(STATELESS) and time_base(stream) * native <= 1
        origin = clock_origin(container, media) + edit_shift(container, media)
        sought = seek and exact and begin / rate > SEEK_BACK
        try:
            if sought:
                seek_keyframe(container, stream, origin + begin / rate - SEEK_BACK)
        except av.FFmpegError:
            return None
        frames = _placed(container, stream, origin)
        opening = next(frames, None)
        if opening is None:
            return None
        native = opening[1].sample_rate
        check_audio(path_of(media), native, opening[1].layout.nb_channels)
        first, length, skip = _native_window(begin, size, rate, native=native)
        if sought and opening[0] > first:
            return None
        pieces: list[tuple[int, AudioFrame]] = []
        for place, frame in chain([opening], frames):
            if frame.sample_rate != native:
                raise MediaError(
                    path_of(media), f"the sample rate changes from {native} to {frame.sample_rate} Hz"
                )
            if place >= first + length:
                break
            if place + frame.samples > first:
                pieces.append((place - first, frame))
        try:
            laid = _laid(pieces, length)
        except BadSampleError as bad:
            raise MediaError(path_of(media), bad.reason((first + bad.place) / native)) from bad
        return _resampled(laid, native, rate)[skip : skip + size]


def _placed(
    container: InputContainer, stream: AudioStream, origin: float
) -> Iterator[tuple[int, AudioFrame]]:
    """Frames with the index of their first sample on the shared clock."""
    tick = float(time_base(stream))
    expected: int | None = None
    for frame in decoded(container, stream):
        if frame is None:
            expected = None
            continue
        place = expected or 0
        if frame.pts is not None:
            stamped = round((frame.pts * tick - origin) * frame.sample_rate)
            if expected is None or abs(stamped - expected) > AUDIO_JITTER * frame.sample_rate:
                place = stamped
        expected = place + frame.samples
        yield place, frame


def _native_window(begin: int, size: int, rate: int, *, native: int) -> tuple[int, int, int]:
    """Stretch to decode for a window: first sample, number of samples, output samples to drop.

    It begins where samples of both rates coincide, so that every window resamples with the same phases,
    and reaches past the window on both sides, so that no edge of the filter enters it.
    """
    common = math.gcd(native, rate)
    margin = math.ceil(FILTER_MARGIN * max(1, rate / native))
    block = (begin - margin) // (rate // common)
    first = block * (native // common)
    end = math.ceil((begin + size + margin) * native / rate)
    return first, end - first, begin - block * (rate // common)


def _laid(pieces: list[tuple[int, AudioFrame]], length: int) -> NDArray[np.float32]:
    """Float32 (length,): frames at their places, mixed down; silence between them.

    Raises:
        BadSampleError: a sample is no number.
    """
    buffer = np.zeros(length, np.float32)
    for _, alike in groupby(pieces, key=lambda piece: (piece[1].format.name, piece[1].layout.nb_channels)):
        places, frames = zip(*alike, strict=True)
        wave, begin = planes(frames), 0
        mean = to_mono(wave)
        for place, frame in zip(places, frames, strict=True):
            low, high = max(place, 0), min(place + frame.samples, length)
            part = slice(begin + low - place, begin + high - place)
            check_numbers(wave[:, part], low)
            buffer[low:high] = mean[part]
            begin += frame.samples
    return buffer


def _resampled(wave: NDArray[np.float32], native: int, rate: int) -> NDArray[np.float32]:
    if native == rate:
        return wave
    resampler = AudioResampler(format="fltp", layout="mono", rate=rate)
    parts = [part for frame in _frames(wave, native) for part in resampler.resample(frame)]
    parts += resampler.resample(None)
    return np.concatenate([part.to_ndarray()[0] for part in parts])


def _frames(wave: NDArray[np.float32], rate: int) -> Iterator[AudioFrame]:
    for begin in range(0, len(wave), CHUNK):
        frame = AudioFrame.from_ndarray(wave[None, begin : begin + CHUNK], format="fltp", layout="mono")
        frame.sample_rate = rate
        yield frame
