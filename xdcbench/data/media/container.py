"""Media files opened and cut into frames; the clock that picture and sound share."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from xdcbench.data.media.limits import (
    PIXELS,
    STILL_HEAD,
    check_image_bytes,
    check_image_pixels,
    check_pixels,
    check_seconds,
    check_sound,
    still_content,
)
from xdcbench.data.media.wave import HEADER, Header, header
from xdcbench.data.ranges import Content, Stream
from xdcbench.errors import MediaError

# Decoders hand out reordered frames late and some indices hold decoding times: FFmpeg's own tool also steps
# back by about three frames of 23 fps before a seek.
SEEK_BACK = 0.15
# These are searched for times, not for keyframes: a seek lands in the middle of a group of pictures.
UNINDEXED = {"mpeg", "mpegts"}
# Seconds in which such a file is expected to hold a keyframe: broadcasts have one each 0.5 to 2 s.
LOOK_BACK = 2.0
STILL = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
# What these show lies in other files, which no fingerprint covers.
PLAYLISTS = {"concat", "dash", "hls"}


@dataclass(frozen=True)
class Member:
    """A media file that has no path of its own, such as a member of a shard.

    Attributes:
        path: what errors call it.
        data: its content.
    """

    path: Path
    data: Content


Media = Path | Member
"""What media are read from: a local file, or a file's content."""


def path_of(media: Media) -> Path:
    """What errors call a file."""
    return media.path if isinstance(media, Member) else media


def wave_header(container: InputContainer, media: Media) -> Header | None:
    """Header of a WAVE file; None of others."""
    return header(beginning(media, HEADER)) if container.format.name == "wav" else None


def beginning(media: Media, size: int) -> bytes:
    """The first ``size`` bytes, or fewer.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(media, Member):
        return bytes(media.data[:size])
    with media.open("rb") as file:
        return file.read(size)


@contextmanager
def opened(media: Media, **options: str) -> Iterator[InputContainer]:
    """Container of a file; ``options`` are those of FFmpeg's demuxer.

    Raises:
        MediaError: the file cannot be opened, is beyond a limit, or FFmpeg or the file system fails inside
            the ``with`` block.
    """
    path = path_of(media)
    try:
        # FFmpeg takes the codec of a picture from its file's name unless it sees the content alone; ImageNet
        # holds PNGs that are called JPEG.
        if isinstance(media, Path) and _still(media):
            check_image_bytes(path, path.stat().st_size)
            content = path.read_bytes()
            check_image_pixels(path, content)
            media = Member(path, content)
        source = Stream(media.data) if isinstance(media, Member) else str(path)
        # Genuine HMDB51 files hold titles that are not UTF-8. Nothing is fetched from elsewhere.
        options = {"protocol_whitelist": "file"} | options
        with av.open(source, "r", metadata_errors="replace", container_options=options) as container:
            if container.format.name in PLAYLISTS:
                raise MediaError(path, "is a playlist, which names media files and holds none")
            _check_limits(container, path)
            yield container
    except (av.FFmpegError, OSError, UnicodeError) as error:
        # The text of FFmpeg's errors repeats the path; strerror is the reason alone.
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(path, " ".join(reason.split())) from error


def _still(path: Path) -> bool:
    """Whether name or content are those of a still image."""
    return path.suffix.lower() in STILL or still_content(beginning(path, STILL_HEAD))


def _check_limits(container: InputContainer, path: Path) -> None:
    video, audio = video_stream(container), audio_stream(container)
    if video is not None:
        check_pixels(path, video.codec_context.width, video.codec_context.height)
        # A frame that outgrows what the header states does not decode.
        video.codec_context.options = {"max_pixels": str(PIXELS)}
    if audio is not None:
        check_sound(path, audio.codec_context.sample_rate, audio.codec_context.channels)
    check_seconds(path, (container.duration or 0) / av.time_base, container.size)


def video_stream(container: InputContainer) -> VideoStream | None:
    """First video stream with a decoder that is no cover picture."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    return None


def audio_stream(container: InputContainer) -> AudioStream | None:
    """First sound stream with a decoder."""
    return next((s for s in container.streams.audio if s.codec_context is not None), None)


def time_base(stream: VideoStream | AudioStream) -> Fraction:
    """Seconds per unit of the stream's time stamps."""
    return stream.time_base or Fraction(1, av.time_base)


def clock_origin(container: InputContainer, media: Media) -> float:
    """Presentation time of the first frame, else sample, on the clock of ``media``'s container, seconds."""
    main = video_stream(container) or audio_stream(container)
    if main is None:
        return 0.0
    start = main.start_time or 0
    if container.format.name == "avi" and isinstance(main, VideoStream) and reorders(main):
        # AVI's header counts decoding times.
        with opened(media) as again:
            same = next(stream for stream in again.streams.video if stream.index == main.index)
            stamps = (frame_stamp(frame) for frame in decoded(again, same) if frame is not None)
            start = next(stamps, None) or 0
    return float(start * time_base(main))


def edit_shift(container: InputContainer, media: Media) -> float:
    """Seconds by which FFmpeg stamps all frames of a trimmed film too early, less than a frame's length.

    Where an edit list (ISO 14496-12, 8.6.6) begins within a frame, FFmpeg moves the next frame to its start,
    but cuts the sound by the sample. Read without this, the index has the true times.
    """
    stream = video_stream(container)
    if stream is None or not any(entry.is_discard for entry in stream.index_entries[:1]):
        return 0.0
    kept = next((entry for entry in stream.index_entries if not entry.is_discard), None)
    with opened(media, advanced_editlist="0") as plain:
        entries = plain.streams[stream.index].index_entries
        shifts = (entry.timestamp - kept.timestamp for entry in entries if kept and entry.pos == kept.pos)
        shift = float(next(shifts, 0) * time_base(stream))
    return shift if 0 < shift * float(stream.guessed_rate or 0) < 1 else 0.0


def reorders(stream: VideoStream) -> bool:
    """Whether pictures may be decoded in another order than they are shown (B-frames)."""
    return bool(stream.codec_context.has_b_frames)


def frame_stamp(frame: VideoFrame) -> int | None:
    """Presentation time in units of the stream, else decoding time; None where the file states neither."""
    return frame.pts if frame.pts is not None else frame.dts


def seek_keyframe(container: InputContainer, stream: VideoStream | AudioStream, seconds: float) -> None:
    """Go to a keyframe at or before a time on the container's clock.

    Raises:
        av.FFmpegError: the container cannot seek there.
    """
    container.seek(math.floor(seconds / time_base(stream)), stream=stream)


def decoded(
    container: InputContainer, stream: VideoStream | AudioStream, *, since: float = -math.inf
) -> Iterator[Any]:
    """Frames of the stream's kind as the decoder presents them; None for a packet that did not decode.

    Args:
        container: from where it stands on.
        stream: of the container.
        since: time on the container's clock, seconds; what lies before its last keyframe is not decoded.
    """
    stream.codec_context.thread_count = 1
    for other in container.streams:  # what is not asked for need not be fetched from the disk
        other.discard = Discard.default if other.index == stream.index else Discard.all
    packets = _from_keyframe(container.demux(stream), since / time_base(stream))
    packet: Packet | None
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.InvalidDataError):  # the rest of the file cannot be read
            packet = None
        if packet is not None and packet.size == 0:  # the picture before goes on (Theora, AVI)
            continue
        try:
            yield from stream.decode(packet)
        except av.error.EOFError:
            return
        except av.FFmpegError:  # of whatever kind: AAC's decoder calls damage "not permitted"
            yield None
        if packet is None:
            return


def _from_keyframe(packets: Iterator[Packet], stamp: float) -> Iterator[Packet]:
    """The packets from the last keyframe on that is shown at ``stamp`` or before; all of them where none is."""
    held: list[Packet] = []
    for packet in packets:
        early = packet.pts is not None and packet.pts <= stamp
        if early and packet.is_keyframe:
            held.clear()
        held.append(packet)
        if not early:
            break
    yield from held
    yield from packets
