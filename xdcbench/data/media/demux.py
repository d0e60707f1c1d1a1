"""Packets of a file, as PyAV hands them out but for two faults of its own."""

from collections.abc import Iterator
from contextlib import suppress

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream


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
