"""What a media file really holds, told by decoding all of it once."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from xdcbench.data.media.clock import VideoClock
from xdcbench.data.media.container import audio_stream, opened, time_base, video_stream
from xdcbench.errors import MediaError

TIMED = {"mov", "matroska", "avi", "wav", "flac", "ogg"}
"""Containers that state how long they are; others leave it to be guessed from the bit rate."""
STEADY = 0.1
"""Share by which the time between frames may part from its median at a constant rate."""


@dataclass(frozen=True)
class Facts:
    """What one file holds. Texts are empty and numbers 0 or nan where there is no such track.

    Attributes:
        container: FFmpeg's names of the format, comma-separated.
        video_codec: as FFmpeg names it; empty without a video track, or with a cover picture alone.
        pix_fmt: format of the first picture.
        width: of stored pictures in pixels, before rotation.
        height: likewise.
        rotation: degrees counter-clockwise by which a picture is turned before it is shown.
        rate: pictures per second, on average.
        variable: whether the time between pictures varies.
        frames: pictures that decode.
        video_seconds: from the first picture to the end of the last, by presentation times.
        audio_codec: as FFmpeg names it; empty without a sound track.
        sample_rate: Hz.
        channels: of the first samples.
        audio_seconds: of sound that decodes.
        offset: seconds from the first picture to the first sample; nan without both.
        peak: largest magnitude of the mean of the channels, which encoders hear; full scale is 1.
        damaged: packets marked as corrupt or without a picture or sound, and pictures marked as corrupt.
        lost: seconds that the container states and that do not decode, at the end.
    """

    container: str
    video_codec: str
    pix_fmt: str
    width: int
    height: int
    rotation: int
    rate: float
    variable: bool
    frames: int
    video_seconds: float
    audio_codec: str
    sample_rate: int
    channels: int
    audio_seconds: float
    offset: float
    peak: float
    damaged: int
    lost: float


def inspect(path: Path) -> Facts:
    """Decode a file, picture and sound, from beginning to end.

    Raises:
        MediaError: the file cannot be opened, or nothing of it decodes.
    """
    with opened(path) as container:
        picture, sound = _Picture(video_stream(container)), _Sound(audio_stream(container))
        damaged = 0
        for packet, frames in _decoded(container, [s for s in (picture.stream, sound.stream) if s]):
            damaged += packet is None or packet.is_corrupt or frames is None
            for frame in frames or ():
                damaged += frame.is_corrupt
                (picture if isinstance(frame, VideoFrame) else sound).take(frame)
        if not picture.frames and not sound.samples:
            raise MediaError(path, "nothing of it decodes")
        return _facts(container, picture, sound, damaged)


def _decoded(
    container: InputContainer, streams: list[VideoStream | AudioStream]
) -> Iterator[tuple[Packet | None, list[Any] | None]]:
    """Packets with what they decode to; no packet where the file cannot be read on, no frames for a failure."""
    for stream in streams:
        stream.codec_context.thread_count = 1
    packets = container.demux(*streams) if streams else iter(())
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:
            break
        try:
            yield packet, list(packet.decode())
        except EOFError:
            continue
        except av.FFmpegError:
            yield packet, None
    yield None, [frame for stream in streams for frame in _rest(stream)]


def _rest(stream: VideoStream | AudioStream) -> list[Any]:
    """What a decoder still holds back."""
    try:
        return list(stream.decode(None))
    except av.FFmpegError:
        return []


@dataclass
class _Picture:
    """What decoding notes of the video stream."""

    stream: VideoStream | None
    clock: VideoClock | None = field(init=False)
    frames: int = 0
    stamps: list[int] = field(default_factory=list)
    first: VideoFrame | None = None

    def __post_init__(self) -> None:
        self.clock = VideoClock(self.stream) if self.stream else None

    def take(self, frame: VideoFrame) -> None:
        self.first = self.first or frame
        self.frames += 1
        if self.clock is not None:
            self.clock.stamp(frame)
        if frame.pts is not None:
            self.stamps.append(frame.pts)

    def seconds_variable(self) -> tuple[float, bool]:
        """Length, and whether the time between pictures varies."""
        if self.stream is None or not self.frames:
            return 0.0, False
        steps = np.diff(np.unique(self.stamps))
        tick = float(time_base(self.stream))
        if not len(steps):
            return self.frames / float(self.stream.guessed_rate or 1), False
        step = float(np.median(steps))
        variable = bool((abs(steps - step) > STEADY * step + 1).any())
        return (float(steps.sum()) + step) * tick, variable


@dataclass
class _Sound:
    """What decoding notes of the sound stream."""

    stream: AudioStream | None
    samples: int = 0
    peak: float = 0.0
    first: AudioFrame | None = None

    def take(self, frame: AudioFrame) -> None:
        self.first = self.first or frame
        self.samples += frame.samples
        wave = frame.to_ndarray()
        wave = wave.reshape(frame.samples, -1).T if frame.format.is_packed else wave
        mono = wave.mean(0, dtype=np.float32) - (128 if wave.dtype.kind == "u" else 0)
        full = 2.0 ** (8 * wave.dtype.itemsize - 1) if wave.dtype.kind in "iu" else 1.0
        self.peak = max(self.peak, float(np.nan_to_num(abs(mono)).max(initial=0)) / full)


def _facts(container: InputContainer, picture: _Picture, sound: _Sound, damaged: int) -> Facts:
    shown, heard = picture.first, sound.first
    video_seconds, variable = picture.seconds_variable()
    audio_seconds = sound.samples / heard.sample_rate if heard else 0.0
    offset = _offset(picture, sound)
    late = 0.0 if math.isnan(offset) else offset
    decoded = max(video_seconds, late + audio_seconds) - min(0.0, late)
    stated = (container.duration or 0) / av.time_base
    timed = bool(TIMED & set(container.format.name.split(",")))
    return Facts(
        container=container.format.name,
        video_codec=picture.stream.codec_context.name if picture.stream else "",
        pix_fmt=shown.format.name if shown else "",
        width=shown.width if shown else 0,
        height=shown.height if shown else 0,
        rotation=int(shown.rotation) if shown else 0,
        rate=picture.frames / video_seconds if video_seconds else 0.0,
        variable=variable,
        frames=picture.frames,
        video_seconds=video_seconds,
        audio_codec=sound.stream.codec_context.name if sound.stream else "",
        sample_rate=heard.sample_rate if heard else 0,
        channels=len(heard.layout.channels) if heard else 0,
        audio_seconds=audio_seconds,
        offset=offset,
        peak=sound.peak if heard else math.nan,
        damaged=damaged,
        lost=max(0.0, stated - decoded) if timed else 0.0,
    )


def _offset(picture: _Picture, sound: _Sound) -> float:
    """Seconds from the first picture to the first sample; nan where either has no time."""
    if picture.stream is None or sound.stream is None or not picture.stamps:
        return math.nan
    if sound.first is None or sound.first.pts is None:
        return math.nan
    begin = min(picture.stamps) * time_base(picture.stream)
    return float(sound.first.pts * time_base(sound.stream) - begin)
