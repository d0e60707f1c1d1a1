"""Media files opened and cut into frames; the clock that video and audio share."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from xdcbench.data.media.byte_ranges import Content, Stream
from xdcbench.data.media.clock import VideoClock
from xdcbench.data.media.limits import (
    IMAGE_HEAD,
    PIXELS,
    check_audio,
    check_image,
    check_pixels,
    check_seconds,
    is_image_content,
)
from xdcbench.data.media.local_file import FileState, LocalFile
from xdcbench.data.media.url import local_url
from xdcbench.data.media.wav import Header, header
from xdcbench.errors import MediaError

# Decoders hand out reordered frames late and some indices hold decoding times: FFmpeg's own tool also steps
# back by about three frames of 23 fps before a seek.
SEEK_BACK = 0.15
# At low rates four frames are more: in AVI a keyframe is shown when it and its B-frames, up to three, are decoded.
SEEK_BACK_FRAMES = 4
# These are searched for times, not for keyframes: a seek lands in the middle of a group of pictures.
UNINDEXED = {"mpeg", "mpegts"}
# Seconds in which such a file is expected to hold a keyframe: broadcasts have one each 0.5 to 2 s.
LOOK_BACK = 2.0
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
# What these show lies in other files, which no fingerprint covers.
PLAYLISTS = {"concat", "dash", "hls"}
PLAYLIST = "is a playlist, which names media files and holds none"


@dataclass(frozen=True)
class Member:
    """The content of a media file that has no path of its own, such as a member of a shard; errors call it ``path``."""

    path: Path
    data: Content


@dataclass(frozen=True)
class Indexed:
    """A local file that must be as the index saw it."""

    path: Path
    state: FileState


Media = Path | Indexed | Member
"""What media are read from: a local file, or a file's content."""


def path_of(media: Media) -> Path:
    """What errors call a file."""
    return media if isinstance(media, Path) else media.path


def wave_header(container: InputContainer, media: Media) -> Header | None:
    """Header of a WAVE file; None of others; raises as ``opened`` where the file cannot be read."""
    if container.format.name != "wav":
        return None
    with _content(media) as content:
        return header(content)


@contextmanager
def opened(media: Media, **options: str) -> Iterator[InputContainer]:
    """Container of a file; ``options`` are those of FFmpeg's demuxer.

    Raises:
        MediaError: FFmpeg cannot open what the file holds, it is beyond a limit, or FFmpeg fails inside the
            ``with`` block.
        MediaUnreachableError: the file, or a part of it, cannot be read; so nothing is known of its content.
        MediaChangedError: the file is not the one that was indexed.
    """
    path = path_of(media)
    image = path.suffix.lower() in IMAGE_SUFFIXES
    with _content(media) as content:
        # FFmpeg reads through this process, so that failures to read are known. It takes the codec of an image from its
        # file's name unless it sees the content alone; ImageNet holds PNGs that are called JPEG. A playlist is known as
        # one by its format, once it has found its files by its own name.
        source = Stream(content, "" if image or isinstance(media, Member) else local_url(path))
        try:
            if image or is_image_content(bytes(content[:IMAGE_HEAD])):
                check_image(path, cast(IO[bytes], source))
            # Genuine HMDB51 files hold titles that are not UTF-8. Nothing is fetched from elsewhere. PyAV would have
            # FFmpeg make up the presentation times that a file does not state, which goes wrong for B-frames in AVI.
            options = {"protocol_whitelist": "file", "fflags": "-genpts"} | options
            with av.open(source, "r", metadata_errors="replace", container_options=options) as container:
                if container.format.name in PLAYLISTS:
                    raise MediaError(path, PLAYLIST)
                _check_limits(container, path)
                yield container
        except (av.FFmpegError, UnicodeError, MediaError) as error:
            if source.failure:
                raise source.failure from error
            if isinstance(error, MediaError):
                raise
            if isinstance(error, av.error.FileNotFoundError):  # this file is open: it names another
                raise MediaError(path, PLAYLIST) from error
            # The text of FFmpeg's errors repeats the path; strerror is the reason alone.
            reason = getattr(error, "strerror", None) or str(error)
            raise MediaError(path, " ".join(reason.split())) from error
        if source.failure:
            raise source.failure


@contextmanager
def _content(media: Media) -> Iterator[Content]:
    if isinstance(media, Member):
        yield media.data
        return
    with LocalFile(path_of(media), media.state if isinstance(media, Indexed) else None) as content:
        yield content


def _check_limits(container: InputContainer, path: Path) -> None:
    video, audio = video_stream(container), audio_stream(container)
    if video is not None:
        check_pixels(path, video.codec_context.width, video.codec_context.height)
        # A frame that outgrows what the header states does not decode.
        video.codec_context.options = {"max_pixels": str(PIXELS)}
    if audio is not None:
        check_audio(path, audio.codec_context.sample_rate, audio.codec_context.channels)
    check_seconds(path, (container.duration or 0) / av.time_base, container.size)


def video_stream(container: InputContainer) -> VideoStream | None:
    """First video stream with a decoder that is no cover image."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    return None


def audio_stream(container: InputContainer) -> AudioStream | None:
    """First audio stream with a decoder."""
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
    if isinstance(main, VideoStream) and _shown_late(container, main):
        with opened(media) as again:
            same = next(stream for stream in again.streams.video if stream.index == main.index)
            start = next((frame.pts or 0 for frame in decoded(again, same) if frame is not None), 0)
    return float(start * time_base(main))


def _shown_late(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the header counts decoding times, so that the first frame alone says when it is shown."""
    return container.format.name == "asf" or (container.format.name == "avi" and reorders(stream))


def edit_shift(container: InputContainer, media: Media) -> float:
    """Seconds by which FFmpeg stamps all frames of a trimmed video too early, less than a frame's length.

    Where an edit list (ISO 14496-12, 8.6.6) begins within a frame, FFmpeg moves the next frame to its start,
    but cuts the audio by the sample. Read without this, the index has the true times.
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
    """Whether frames may be decoded in another order than they are shown (B-frames)."""
    return bool(stream.codec_context.has_b_frames)


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

    Of video, ``pts`` is the time at which ffmpeg shows the frame, as `VideoClock` has it; None also stands
    where a packet states the same presentation time as the one before, or a frame no later one.

    Args:
        container: from where it stands on.
        since: time on the container's clock, seconds; what lies before its last keyframe is not decoded.
    """
    stream.codec_context.thread_count = 1
    clock = VideoClock(stream) if isinstance(stream, VideoStream) else None
    for other in container.streams:  # what is not asked for need not be fetched from the disk
        other.discard = Discard.default if other.index == stream.index else Discard.all
    packets = readable(_from_keyframe(demux(container, stream), since / time_base(stream)))
    shown: int | None = None
    last: list[Packet | None] = [None]  # empties the decoder
    for packet in chain(packets, last):
        if packet is not None and packet.size == 0:  # the frame before stays (Theora, AVI)
            continue
        if clock is not None and packet is not None and packet.pts is not None:
            if packet.pts == shown:
                yield None
            shown = packet.pts
        try:
            for frame in stream.decode(packet):
                if clock is not None and isinstance(frame, VideoFrame) and clock.stamp(frame):
                    yield None
                yield frame
        except av.error.EOFError:
            return
        except av.FFmpegError:  # of whatever kind: AAC's decoder calls damage "not permitted"
            yield None


def demux(container: InputContainer, *streams: VideoStream | AudioStream) -> Iterator[Packet]:
    """Packets in the order of the file; then, for each stream, an empty one that empties its decoder.

    Of those at the end, ``stream_index`` is always 0: ask ``packet.stream``. FFmpeg may find a further stream
    while it reads (a damaged FLV, MPEG); PyAV then looks for it at the end among those known when the file was
    opened, after all packets have been handed out, and fails.

    Raises:
        av.FFmpegError: the file cannot be read on.
    """
    with suppress(IndexError):
        yield from container.demux(*streams)


def readable(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The packets up to where the rest of the file cannot be read."""
    with suppress(av.error.InvalidDataError):
        yield from packets


def _from_keyframe(packets: Iterator[Packet], stamp: float) -> Iterator[Packet]:
    """The packets from the last keyframe on that is shown at ``stamp`` or before; all of them where none is.

    MPEG program streams leave out the time of some keyframes, which are then shown when the next frame is
    decoded that is no B-frame: one whose times of decoding and presentation differ.
    """
    held: list[Packet] = []
    untimed: int | None = None  # place of a keyframe whose time is not known yet
    for packet in packets:
        if untimed is not None and packet.pts != packet.dts:
            if packet.dts is not None and packet.dts <= stamp:
                del held[:untimed]
            untimed = None
        if packet.is_keyframe and packet.pts is None:
            untimed = len(held)
        elif packet.is_keyframe and packet.pts is not None and packet.pts <= stamp:
            held, untimed = [], None
        held.append(packet)
        known = packet.dts if packet.pts is None else packet.pts
        if known is None or known > stamp:
            break
    yield from held
    yield from packets
