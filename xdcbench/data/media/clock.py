"""When frames are shown: FFmpeg's best-effort time stamps, by the rules of its own tool."""

from dataclasses import dataclass, field
from fractions import Fraction

from av.format import Flags
from av.video.frame import VideoFrame
from av.video.stream import VideoStream


@dataclass
class _Times:
    """Times of one kind; ``faulty`` counts those that do not come after the one before."""

    last: int | None = None
    faulty: int = 0

    def note(self, time: int | None, *, instead: int | None) -> None:
        if time is not None and self.last is not None:
            self.faulty += time <= self.last
        self.last = next((known for known in (time, instead) if known is not None), self.last)


@dataclass
class VideoClock:
    """Presentation times of a decoder's frames, in the order in which it hands them out.

    Files state presentation times, decoding times or both, and some state them wrong. The rules are those of
    ``guess_correct_pts`` in libavcodec and ``video_duration_estimate`` in ffmpeg: of the two, the times that
    ran backwards less often are believed; a frame without either follows the one before it. Formats that are a
    codec's bare stream state no times, whatever FFmpeg makes up for them.
    """

    stream: VideoStream
    presented: _Times = field(default_factory=_Times)
    decoded: _Times = field(default_factory=_Times)
    shown: int | None = None
    length: int = 0
    timed: bool = field(init=False)

    def __post_init__(self) -> None:
        self.timed = Flags.no_timestamps not in Flags(self.stream.container.format.flags)

    def stamp(self, frame: VideoFrame) -> bool:
        """Set ``frame.pts``, in units of the stream; None while no frame has stated a time.

        Returns:
            whether the presentation time that the file states is faulty.
        """
        pts, dts = (frame.pts, frame.dts) if self.timed else (None, None)
        faulty = self.presented.faulty
        self.decoded.note(dts, instead=pts)
        self.presented.note(pts, instead=dts)
        believed = dts is None or self.presented.faulty <= self.decoded.faulty
        stamp = pts if pts is not None and believed else dts
        if stamp is None and self.shown is not None:
            stamp = self.shown + self.length
        if stamp is not None:
            self.length = self._length(frame, 0 if self.shown is None else stamp - self.shown)
        frame.pts = self.shown = stamp
        return self.presented.faulty > faulty

    def _length(self, frame: VideoFrame, step: int) -> int:
        """Units for which a frame is shown that came ``step`` after the one before it."""
        # A length of one unit is a demuxer's guess where frames come further apart.
        if frame.duration > 0 and not (frame.duration == 1 and step > 2):
            return frame.duration
        if step > 0 or not self.stream.guessed_rate:
            return max(step, 1)
        return round(1 / (self.stream.guessed_rate * (self.stream.time_base or Fraction(1))))
