"""How long the tracks of a file are, without decoding: by their packets where the header cannot be trusted."""

import math
import struct
from contextlib import suppress
from dataclasses import dataclass, field

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from xdcbench.data.media.container import demux, time_base
from xdcbench.data.media.wav import Header

Track = VideoStream | AudioStream

AGREE = 2.0
"""Packets by which a header may differ from the packets: what is trimmed, and how long the last one is."""
MEASURED = {"mpeg", "mpegts"}
"""Formats without a header, of which FFmpeg measures the length from the first time stamp to the last."""
SKIP = struct.Struct("<II")
"""Samples to leave out at the beginning and at the end of a packet (FFmpeg's AV_PKT_DATA_SKIP_SAMPLES)."""


@dataclass(frozen=True)
class Extent:
    """Where a track lies on its container's clock: begin of its first frame or sample, and length, seconds."""

    begin: float
    seconds: float


def extents(container: InputContainer, tracks: list[Track], wave: Header | None) -> list[Extent]:
    """Where tracks lie: as the header has it where that is a table of what is there, else by their packets.

    Trusted are the sample table of MP4 and QuickTime and the header of uncompressed WAVE, where all that they
    name lies within the file. Everything else states a guess from the bit rate, one length for all tracks, or
    nothing, and its packets are read.

    The container is at its start, and afterwards somewhere else; ``wave`` is its header, where it is a WAVE file.
    """
    if all(_tabled(container, track) or _filled(container, track, wave) for track in tracks):
        return [Extent(_begin(track, 0.0), stated(track)) for track in tracks]
    packets = {track.index: Packets(container, track) for track in tracks}
    with suppress(av.FFmpegError):  # the rest of the file cannot be read
        for packet in demux(container, *tracks):
            packets[packet.stream.index].take(packet)
    return [packets[track.index].extent() for track in tracks]


def stated(track: Track) -> float:
    """Length that the header states or that FFmpeg guesses, seconds; nan where neither does."""
    return math.nan if track.duration is None else track.duration * float(time_base(track))


def _tabled(container: InputContainer, track: Track) -> bool:
    """Whether a table names every packet, spans what the header states and lies within the file."""
    entries = track.index_entries
    # The tables of a fragmented file are spread over it, and FFmpeg reads some of them.
    if "mp4" not in container.format.name.split(",") or len(entries) < 2 or len(entries) != track.frames:
        return False
    if track.duration is None or entries[-1].pos + entries[-1].size > container.size:
        return False
    span = entries[-1].timestamp - entries[0].timestamp
    step = span / (len(entries) - 1)
    primed = (track.start_time or 0) - entries[0].timestamp if isinstance(track, AudioStream) else 0
    return abs(span + step - primed - track.duration) <= AGREE * step


def _filled(container: InputContainer, track: Track, wave: Header | None) -> bool:
    """Whether an uncompressed WAVE file holds all samples that its header states."""
    if wave is None or wave.placeholder or not wave.plain:
        return False
    there = wave.begin + wave.size <= container.size
    return there and abs(stated(track) - wave.seconds) * wave.rate < 1


def _begin(track: Track, otherwise: float) -> float:
    return otherwise if track.start_time is None else track.start_time * float(time_base(track))


@dataclass
class Packets:
    """Time stamps of one track, gathered packet by packet."""

    container: InputContainer
    track: Track
    count: int = 0
    stamps: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        # AVI states only the order of decoding, of which FFmpeg makes presentation times with a delay.
        self.decoding = self.container.format.name == "avi"

    def take(self, packet: Packet) -> None:
        """Note a packet; one that is empty and has no time ends the file and does not count."""
        first, second = (packet.dts, packet.pts) if self.decoding else (packet.pts, packet.dts)
        stamp = second if first is None else first
        self.count += bool(packet.size or stamp is not None)
        if stamp is not None:
            self.stamps.append(stamp)
            self.durations.append(packet.duration or 0)
            self.left_out.append(_left_out(packet))

    def extent(self) -> Extent:
        """Where the track lies by its packets."""
        scale = float(time_base(self.track))
        if not self.stamps:
            return Extent(_begin(self.track, 0.0), self.count * self._frame())
        order = np.argsort(self.stamps, kind="stable")
        stamps = np.array(self.stamps, dtype=np.float64)[order] * scale
        lengths = self._lengths(order)
        ends = np.maximum.accumulate(stamps + lengths)
        begin = float(stamps[0]) if self.decoding else _begin(self.track, float(stamps[0]))
        seconds = max(0.0, float(ends[-1]) - begin)
        said = stated(self.track)
        measured = self.container.format.name in MEASURED and abs(said - seconds) <= AGREE * float(
            lengths.max()
        )
        return Extent(_begin(self.track, begin), said if measured else seconds)

    def _lengths(self, order: NDArray[np.intp]) -> NDArray[np.float64]:
        """Lengths of the packets, seconds; of a frame at the guessed rate where none is stated.

        The last one of audio is no longer than any before: Ogg counts up to whatever its last page states.
        """
        lengths = np.array(self.durations, dtype=np.float64)[order] * float(time_base(self.track))
        lengths = np.where(lengths > 0, lengths, self._frame())
        if not isinstance(self.track, AudioStream) or len(lengths) < 2:
            return lengths
        longest = lengths[:-1].max()
        left_out = np.array(self.left_out, dtype=np.float64)[order] / (
            self.track.codec_context.sample_rate or 1
        )
        # Some formats count what is left out as part of the packet, others do not.
        lengths[left_out > 0] = np.minimum(lengths, longest - left_out)[left_out > 0]
        lengths[-1] = min(lengths[-1], longest)
        return lengths

    def _frame(self) -> float:
        """Length of a frame of video at the guessed rate, seconds; 0 for audio."""
        rate = self.track.guessed_rate if isinstance(self.track, VideoStream) else None
        return float(1 / rate) if rate else 0.0


def _left_out(packet: Packet) -> int:
    """Samples at the end of a packet that are padding."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int(SKIP.unpack_from(bytes(packet.get_sidedata("skip_samples")))[1])
