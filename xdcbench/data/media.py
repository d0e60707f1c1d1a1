"""Reading of sound, video and still images: the one place that decodes.

Both streams are read on one clock. Its zero is the presentation time of the video stream's first frame, or
of the sound stream's where there is no video; a clip and a sound window with the same centre are aligned.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray
from torch import Tensor

from xdcbench.errors import MediaError

# Decoders hand out frames late and some indices hold decoding times: FFmpeg's own tool also steps back by
# about three frames of 23 fps before a seek.
SEEK_BACK = 0.15
# Frame times closer than this to the wanted one count as reached, so that a clock of whole milliseconds
# (Matroska) does not show the frame before.
CLOCK_SLACK = 0.0005
# Sound packets may be stamped unevenly; they are joined seamlessly unless sound and stamp part by more than
# this (seconds), where FFmpeg's resampler, too, inserts silence or drops sound.
SOUND_JITTER = 0.1
# Packets of these codecs decode alike wherever decoding starts. Others carry state over (AAC's substituted
# noise, MP3's bit reservoir, Vorbis' overlap), so they are decoded from the start.
STATELESS = ("pcm_", "flac")
STILL = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
# Samples of the slower rate decoded around a window, more than the resampling filter reaches.
FILTER_MARGIN = 64


@dataclass(frozen=True)
class MediaInfo:
    """What a container says about its first video and first sound stream, without decoding.

    Attributes:
        duration: of the video stream, else of the sound, in seconds; nan where unknown.
        start: time zero of this module's clock on the container's clock, seconds.
        rate: frames per second; 0 without video.
        width: of stored frames in pixels, before rotation; 0 without video.
        height: likewise.
        has_video: cover pictures of sound files do not count.
        has_audio: a silent track counts.
        sample_rate: Hz; 0 without sound.
        channels: 0 without sound.
    """

    duration: float
    start: float
    rate: float
    width: int
    height: int
    has_video: bool
    has_audio: bool
    sample_rate: int
    channels: int


def probe(path: Path) -> MediaInfo:
    """Read a container's header.

    Raises:
        MediaError: the file cannot be opened or holds neither video nor sound.
    """
    with _opened(path) as container:
        video, audio = _video(container), _audio(container)
        main = video or audio
        if main is None:
            raise MediaError(path, "holds neither video nor sound")
        if main.duration is not None:
            duration = float(main.duration * _tick(main))
        else:
            duration = container.duration / av.time_base if container.duration else math.nan
        return MediaInfo(
            duration=duration,
            start=_origin(container),
            rate=float(video.guessed_rate or video.average_rate or 0) if video else 0.0,
            width=video.codec_context.width if video else 0,
            height=video.codec_context.height if video else 0,
            has_video=video is not None,
            has_audio=audio is not None,
            sample_rate=audio.codec_context.sample_rate if audio else 0,
            channels=audio.codec_context.channels if audio else 0,
        )


def read_clip(path: Path, *, start: float, frames: int, rate: float, short_side: int) -> Tensor:
    """Decode the pictures on display at ``start + i / rate``.

    The first frame stands in before the video begins, the last one after it ends.

    Args:
        path: any file with a video stream.
        start: seconds after the first frame.
        frames: number of pictures.
        rate: pictures per second; need not be the file's.
        short_side: pixels; the aspect of stored pixels is kept, rotation is applied.

    Returns:
        uint8 (frames, H, W, 3), RGB.

    Raises:
        MediaError: there is no video or not one frame can be decoded.
    """
    times = [start + i / rate for i in range(frames)]
    clip = _clip(path, times, short_side, seek=True)
    if clip is None:
        clip = _clip(path, times, short_side, seek=False)
    if clip is None:
        raise MediaError(path, "no frame could be decoded")
    return clip


def read_image(path: Path, *, short_side: int) -> Tensor:
    """Decode a still image, or the first frame of a video.

    Returns:
        uint8 (H, W, 3), RGB; the shorter of H and W is ``short_side``.

    Raises:
        MediaError: the file holds no picture.
    """
    return read_clip(path, start=0.0, frames=1, rate=1.0, short_side=short_side)[0]


def read_audio(path: Path, *, start: float, seconds: float, rate: int) -> Tensor:
    """Decode a window of sound: mean of the channels, resampled; silence outside the track.

    The window begins at the multiple of ``1 / rate`` nearest to ``start``, so that windows of one file are
    cut from one resampled signal.

    Args:
        path: any file with a sound stream.
        start: seconds after the first video frame (the first sample without video); may be negative.
        seconds: length.
        rate: samples per second of the result.

    Returns:
        float32 (round(seconds * rate),), full scale 1.

    Raises:
        MediaError: there is no sound track, or nothing of it can be decoded.
    """
    begin, size = round(start * rate), round(seconds * rate)
    sound = _sound(path, begin, size, rate, seek=True)
    if sound is None:
        sound = _sound(path, begin, size, rate, seek=False)
    if sound is None:
        raise MediaError(path, "no sound could be decoded")
    return torch.from_numpy(sound)


# ------------------------------------------------------------------------------------- containers


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        # FFmpeg takes the codec of a picture from its file's name unless it sees the content alone; ImageNet
        # holds PNGs that are called JPEG.
        source = BytesIO(path.read_bytes()) if path.suffix.lower() in STILL else str(path)
        # Genuine HMDB51 files hold titles that are not UTF-8. A list of remote files under a media file's
        # name is refused.
        options = {"protocol_whitelist": "file"}
        with av.open(source, "r", metadata_errors="replace", container_options=options) as container:
            yield container
    except (av.FFmpegError, OSError, UnicodeError) as error:
        # The text of FFmpeg's errors repeats the path; strerror is the reason alone.
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(path, " ".join(reason.split())) from error


def _video(container: InputContainer) -> VideoStream | None:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    return None


def _audio(container: InputContainer) -> AudioStream | None:
    return next((s for s in container.streams.audio if s.codec_context is not None), None)


def _tick(stream: VideoStream | AudioStream) -> Fraction:
    return stream.time_base or Fraction(1, av.time_base)


def _origin(container: InputContainer) -> float:
    """Time zero of this module's clock on the container's clock, seconds."""
    main = _video(container) or _audio(container)
    if main is None:
        return 0.0
    start = main.start_time or 0
    if container.format.name == "avi" and isinstance(main, VideoStream):
        # AVI's header counts decoding times, which lie before the presentation where there are B-frames.
        with _opened(Path(container.name)) as again:
            stamps = (
                _stamp(f)
                for f in _decoded(again, again.streams.video[container.streams.video.index(main)])
                if f is not None
            )
            start = next(stamps, None) or 0
    return float(start * _tick(main))


def _stamp(frame: VideoFrame) -> int | None:
    return frame.pts if frame.pts is not None else frame.dts


def _seek(container: InputContainer, stream: VideoStream | AudioStream, seconds: float) -> None:
    """Go to a keyframe at or before a time on the container's clock."""
    container.seek(math.floor(seconds / _tick(stream)), stream=stream)


def _decoded(container: InputContainer, stream: VideoStream | AudioStream) -> Iterator[Any]:
    """Frames of the stream's kind as the decoder presents them; None for a packet that did not decode."""
    stream.codec_context.thread_count = 1
    packets = container.demux(stream)
    packet: Packet | None = None
    drained = False
    while not drained:
        try:
            packet = next(packets)
            drained = packet.size == 0
        except (StopIteration, av.error.InvalidDataError):  # the rest of the file cannot be read
            packet, drained = None, True
        try:
            yield from stream.decode(packet)
        except av.error.InvalidDataError:
            yield None
        except EOFError:
            return


# ---------------------------------------------------------------------------------------- picture


def _clip(path: Path, times: list[float], short_side: int, *, seek: bool) -> Tensor | None:
    """Uint8 (len(times), H, W, 3); None where no frame decodes or a seek did not go well.

    A seek that lands late, off a keyframe or before damage is not trusted: some streams decode only from
    their start (old x264 writes into the first packet alone how its 4:4:4 pictures are to be read).
    """
    with _opened(path) as container:
        stream = _video(container)
        if stream is None:
            raise MediaError(path, "no video stream")
        origin = _origin(container)
        sought = seek and times[0] > SEEK_BACK
        try:
            if sought:
                _seek(container, stream, origin + times[0] - SEEK_BACK)
        except av.FFmpegError:
            return None
        slack = min(float(_tick(stream)) / 2, CLOCK_SLACK)
        convert = _Converter(short_side)
        pictures: list[Tensor] = []
        shown: VideoFrame | None = None
        for time, frame in _timed(container, stream, origin, sought=sought):
            if sought and (frame is None or frame.is_corrupt):
                return None
            if frame is None:
                continue
            if shown is None:
                if sought and (time > times[0] + slack or not frame.key_frame):
                    return None
                shown = frame
            over = sum(t + slack < time for t in times[len(pictures) :])
            if over:
                pictures += [convert(shown)] * over
            if len(pictures) == len(times):
                break
            shown = frame
        if shown is None:
            return None
        if len(pictures) < len(times):
            pictures += [convert(shown)] * (len(times) - len(pictures))
        return torch.stack(pictures)


def _timed(
    container: InputContainer, stream: VideoStream, origin: float, *, sought: bool
) -> Iterator[tuple[float, VideoFrame | None]]:
    """Frames with their times on this module's clock, seconds; after a seek, unknown times are infinite."""
    tick = float(_tick(stream))
    step = float(1 / stream.guessed_rate) if stream.guessed_rate else 0.0
    time = math.inf if sought else -step
    for frame in _decoded(container, stream):
        if frame is not None:
            stamp = _stamp(frame)
            time = time + step if stamp is None else stamp * tick - origin
        yield time, frame


class _Converter:
    """Frames to upright RGB pictures of one size, through one scaler.

    A scaler holds about 15 MB, so there is one per decode, not one per frame.
    """

    def __init__(self, short_side: int) -> None:
        self.short_side = short_side
        self.scaler = VideoReformatter()
        self.size: tuple[int, int] | None = None

    def __call__(self, frame: VideoFrame) -> Tensor:
        """Uint8 (H, W, 3); all of the first frame's size, should the stream change its own."""
        if self.size is None:
            scale = self.short_side / min(frame.width, frame.height)
            self.size = round(frame.width * scale), round(frame.height * scale)
        width, height = self.size
        scaled = self.scaler.reformat(frame, width=width, height=height, format="rgb24", threads=1)
        picture = np.rot90(scaled.to_ndarray(), k=round(frame.rotation / 90))
        return torch.from_numpy(np.ascontiguousarray(picture))


# ------------------------------------------------------------------------------------------ sound


def _sound(path: Path, begin: int, size: int, rate: int, *, seek: bool) -> NDArray[np.float32] | None:
    """Float32 (size,); None where a seek failed or landed late, or where no sound decodes."""
    with _opened(path) as container:
        stream = _audio(container)
        if stream is None:
            raise MediaError(path, "no sound track")
        native = stream.codec_context.sample_rate
        exact = stream.codec_context.name.startswith(STATELESS) and _tick(stream) * native <= 1
        origin = _origin(container)
        sought = seek and exact and begin / rate > SEEK_BACK
        try:
            if sought:
                _seek(container, stream, origin + begin / rate - SEEK_BACK)
        except av.FFmpegError:
            return None
        buffer: NDArray[np.float32] | None = None
        for place, frame in _placed(container, stream, origin):
            if buffer is None:
                native = frame.sample_rate
                first, length, skip = _native_window(begin, size, rate, native=native)
                if sought and place > first:
                    return None
                buffer = np.zeros(length, np.float32)
            if frame.sample_rate != native:
                raise MediaError(path, f"the sample rate changes from {native} to {frame.sample_rate} Hz")
            low, high = max(place, first), min(place + frame.samples, first + length)
            if low < high:
                buffer[low - first : high - first] = _mono(frame)[low - place : high - place]
            if place >= first + length:
                break
        if buffer is None:
            return None
        return _resampled(buffer, native, rate)[skip : skip + size]


def _placed(
    container: InputContainer, stream: AudioStream, origin: float
) -> Iterator[tuple[int, AudioFrame]]:
    """Frames with the index of their first sample on this module's clock."""
    tick = float(_tick(stream))
    expected: int | None = None
    for frame in _decoded(container, stream):
        if frame is None:
            expected = None
            continue
        place = expected or 0
        if frame.pts is not None:
            stamped = round((frame.pts * tick - origin) * frame.sample_rate)
            if expected is None or abs(stamped - expected) > SOUND_JITTER * frame.sample_rate:
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


def _mono(frame: AudioFrame) -> NDArray[np.float32]:
    """Float32 (samples,): mean of the channels, full scale 1."""
    wave = frame.to_ndarray()
    if frame.format.is_packed:
        wave = wave.reshape(frame.samples, -1).T
    mono: NDArray[np.float32] = wave.mean(0, dtype=np.float32)
    if wave.dtype.kind == "u":
        mono -= 128
    if wave.dtype.kind in "iu":
        mono /= 2.0 ** (8 * wave.dtype.itemsize - 1)
    return mono


def _resampled(wave: NDArray[np.float32], native: int, rate: int) -> NDArray[np.float32]:
    if native == rate:
        return wave
    frame = AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
    frame.sample_rate = native
    resampler = AudioResampler(format="fltp", layout="mono", rate=rate)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])
