"""What a media file really holds, told by decoding all of it once."""

import math
from collections.abc import Iterator
from contextlib import suppress
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

from xdcbench.data.media.audio import AUDIO_JITTER
from xdcbench.data.media.clock import VideoClock
from xdcbench.data.media.container import audio_stream, demux, opened, time_base, video_stream, wave_header
from xdcbench.data.media.lengths import Packets, Track, stated
from xdcbench.data.media.limits import check_seconds
from xdcbench.data.media.samples import BadSampleError, check_numbers, planes, to_mono
from xdcbench.data.media.wav import Header
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
        video_codec, audio_codec: as FFmpeg names them; a cover image is no video.
        pix_fmt: format of the first frame.
        width, height: of stored frames in pixels, before rotation.
        rotation: degrees counter-clockwise by which a frame is turned before it is shown.
        fps: frames per second, on average.
        variable: whether the time between frames varies.
        frames: frames that decode.
        video_seconds: from the first frame to the end of the last, by presentation times.
        sample_rate, channels: of the first samples; Hz.
        audio_seconds: of audio that decodes.
        offset: seconds from the first frame to the first sample; nan without both.
        peak: largest magnitude of the mean of the channels, which encoders hear; full scale is 1.
        damaged: packets marked as corrupt or without a frame or samples, and frames marked as corrupt.
        lost: seconds that the container states and that do not decode, at the end.
        video_stated, audio_stated: length that the header states or that is guessed from the bit rate, seconds; nan
            where neither does.
        video_packets, audio_packets: length by the time stamps of the packets, seconds; nan without a track.
        video_gap: longest time from one frame to the next, seconds.
        audio_gap: longest hole in the time stamps of the samples, seconds.
        audio_span: seconds from the first sample to the end of the last, gaps included.
        bad_sample: which sample is no number; empty where all are.
    """

    container: str
    video_codec: str
    pix_fmt: str
    width: int
    height: int
    rotation: int
    fps: float
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
    video_stated: float
    video_packets: float
    video_gap: float
    audio_stated: float
    audio_packets: float
    audio_span: float
    audio_gap: float
    bad_sample: str


def inspect(path: Path) -> Facts:
    """Decode a file, video and audio, from beginning to end.

    Raises:
        MediaError: the file cannot be opened, is beyond a limit, or nothing of it decodes.
    """
    with opened(path) as container:
        video, audio = _VideoTrack(video_stream(container)), _AudioTrack(audio_stream(container))
        tracks = [track for track in (video.stream, audio.stream) if track is not None]
        packets = {track.index: Packets(container, track) for track in tracks}
        wave = wave_header(container, path)
        damaged = 0
        for packet, frames in _decoded(container, tracks):
            # Of samples that were not filled in up to the size stated, or of a size never stated, the last
            # packet is cut short and marked; what is not there is in `lost`.
            corrupt = packet is not None and packet.is_corrupt and not (wave and wave.plain)
            damaged += packet is None or corrupt or frames is None
            if packet is not None:
                packets[packet.stream.index].take(packet)
            for frame in frames or ():
                damaged += frame.is_corrupt
                (video if isinstance(frame, VideoFrame) else audio).take(frame)
        if not video.frames and not audio.samples:
            raise MediaError(path, "nothing of it decodes")
        lengths = {index: of.extent().seconds for index, of in packets.items()}
        for seconds in lengths.values():
            check_seconds(path, seconds, container.size)
        return _facts(container, video, audio, damaged, lengths, wave)


def _decoded(
    container: InputContainer, streams: list[VideoStream | AudioStream]
) -> Iterator[tuple[Packet | None, list[Any] | None]]:
    """Packets with what they decode to; no packet where the file cannot be read on, no frames for a failure."""
    for stream in streams:
        stream.codec_context.thread_count = 1
    frames: list[Any] | None
    try:
        for packet in demux(container, *streams) if streams else ():
            try:
                frames = list(packet.decode())
            except EOFError:
                continue
            except av.FFmpegError:
                frames = None
            yield packet, frames
    except av.FFmpegError:
        rest: list[Any] = []  # which the decoders still hold back
        for stream in streams:
            with suppress(av.FFmpegError):
                rest += stream.decode(None)
        yield None, rest


@dataclass
class _VideoTrack:
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
        """Length, and whether the time between frames varies."""
        if self.stream is None or not self.frames:
            return 0.0, False
        steps = np.diff(np.unique(self.stamps))
        tick = float(time_base(self.stream))
        if not len(steps):
            return self.frames / float(self.stream.guessed_rate or 1), False
        step = float(np.median(steps))
        variable = bool((abs(steps - step) > STEADY * step + 1).any())
        return (float(steps.sum()) + step) * tick, variable

    @property
    def gap(self) -> float:
        """Longest time from one frame to the next, seconds."""
        steps = np.diff(np.unique(self.stamps))
        return float(steps.max()) * float(time_base(self.stream)) if self.stream and len(steps) else 0.0


@dataclass
class _AudioTrack:
    """What decoding notes of the audio stream."""

    stream: AudioStream | None
    samples: int = 0
    peak: float = 0.0
    first: AudioFrame | None = None
    jumps: list[float] = field(default_factory=list)
    bad: str = ""
    end: float = math.nan

    def take(self, frame: AudioFrame) -> None:
        if self.first is None:
            self.first = frame
        begin = self._begin(frame)
        if begin - self.end > AUDIO_JITTER:  # never so of nan
            self.jumps.append(begin - self.end)
        else:
            begin = begin if math.isnan(self.end) else self.end
        self.end = begin + frame.samples / frame.sample_rate
        wave = planes([frame])
        try:
            check_numbers(wave)
        except BadSampleError as bad:
            self.bad = self.bad or bad.reason(begin + bad.place / frame.sample_rate)
        else:
            self.peak = max(self.peak, float(abs(to_mono(wave)).max(initial=0)))
        self.samples += frame.samples

    def _begin(self, frame: AudioFrame) -> float:
        """Time of the first sample on the container's clock, seconds; that of the end before it without one."""
        if frame.pts is None or self.stream is None:
            return 0.0 if math.isnan(self.end) else self.end
        return float(frame.pts * time_base(self.stream))


def _facts(
    container: InputContainer,
    video: _VideoTrack,
    audio: _AudioTrack,
    damaged: int,
    lengths: dict[int, float],
    wave: Header | None,
) -> Facts:
    shown, heard = video.first, audio.first
    video_seconds, variable = video.seconds_variable()
    audio_seconds = audio.samples / heard.sample_rate if heard else 0.0
    offset = _offset(video, audio)
    late = 0.0 if math.isnan(offset) else offset
    decoded = max(video_seconds, late + audio_seconds) - min(0.0, late)
    timed = bool(TIMED & set(container.format.name.split(",")))
    return Facts(
        container=container.format.name,
        video_codec=video.stream.codec_context.name if video.stream else "",
        pix_fmt=shown.format.name if shown else "",
        width=shown.width if shown else 0,
        height=shown.height if shown else 0,
        rotation=int(shown.rotation) if shown else 0,
        fps=video.frames / video_seconds if video_seconds else 0.0,
        variable=variable,
        frames=video.frames,
        video_seconds=video_seconds,
        audio_codec=audio.stream.codec_context.name if audio.stream else "",
        sample_rate=heard.sample_rate if heard else 0,
        channels=len(heard.layout.channels) if heard else 0,
        audio_seconds=audio_seconds,
        offset=offset,
        peak=audio.peak if heard else math.nan,
        damaged=damaged,
        lost=max(0.0, _whole(container, wave) - decoded) if timed else 0.0,
        video_stated=_stated(video.stream, None),
        video_packets=lengths[video.stream.index] if video.stream else math.nan,
        video_gap=video.gap,
        audio_stated=_stated(audio.stream, wave),
        audio_packets=lengths[audio.stream.index] if audio.stream else math.nan,
        audio_span=audio_seconds + sum(audio.jumps),
        audio_gap=max(audio.jumps, default=0.0),
        bad_sample=audio.bad,
    )


def _whole(container: InputContainer, wave: Header | None) -> float:
    """Length of all tracks as the container states it, seconds; 0 where it does not.

    FFmpeg shortens that of WAVE to what is there.
    """
    if wave is not None and wave.plain:
        return 0.0 if wave.placeholder else wave.seconds
    return (container.duration or 0) / av.time_base


def _stated(track: Track | None, wave: Header | None) -> float:
    if track is None:
        return math.nan
    if wave is not None and wave.plain:
        return math.nan if wave.placeholder else wave.seconds
    return stated(track)


def _offset(video: _VideoTrack, audio: _AudioTrack) -> float:
    """Seconds from the first frame to the first sample; nan where either has no time."""
    if video.stream is None or audio.stream is None or not video.stamps:
        return math.nan
    if audio.first is None or audio.first.pts is None:
        return math.nan
    begin = min(video.stamps) * time_base(video.stream)
    return float(audio.first.pts * time_base(audio.stream) - begin)
