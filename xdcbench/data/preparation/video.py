"""The video of an original as shards keep it: H.264 of a constant rate that decodes fast."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.filter.graph import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from xdcbench.config.data import ShardSettings
from xdcbench.data.media.container import clock_origin, demux, opened, readable, time_base, video_stream
from xdcbench.data.media.url import local_url
from xdcbench.data.media.video import CLOCK_SLACK, filter_graph, timed
from xdcbench.errors import MediaError

X264 = {"preset": "superfast", "tune": "fastdecode", "flags": "+bitexact"}
PARAMS = "bframes=0:ref=1:scenecut=0:rc-lookahead=0:no-mbtree=1:keyint={0}:min-keyint={0}:qp={1}"
"""Nothing looks ahead and the quantizer is constant: x264 then makes the same bytes of the same frames."""

LONGEST_FRAME = 3600.0
"""Seconds for which one frame may stand; more is a fault in the file's time stamps."""
GRID = 0.1
"""Share of a frame's length by which the frames of a constant rate may lie off its grid."""


@dataclass(frozen=True)
class EncodedVideo:
    """H.264 in mp4: size in pixels, frames per second, length in frames."""

    width: int
    height: int
    fps: Fraction
    frames: int


def encode_video(path: Path, settings: ShardSettings, out: Path) -> EncodedVideo:
    """Write frames of a constant rate from time zero of the file's clock, upright, never enlarged.

    Frame k is the one on display at ``k / fps``, as `read_clip` has it. The rate is the original's where
    that is constant and not above ``settings.fps``, which otherwise stands for it.

    Raises:
        OSError: ``out`` cannot be written.
        MediaError: no frame decodes, or one stands for hours.
    """
    fps, count = encoded_fps(path, settings.fps), 0
    frames = _upright_frames(path, fps, settings.short_side)
    try:
        with av.open(local_url(out), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            for frame, times in frames:
                if not count:
                    width, height = frame.width, frame.height
                    encoder = _encoder(container, width, height, fps, settings)
                for place in range(count, count + times):
                    frame.pts, frame.time_base, frame.pict_type = place, 1 / fps, 0
                    container.mux(encoder.encode(frame))
                count += times
            if not count:
                raise MediaError(path, "no frame could be decoded")
            container.mux(encoder.encode(None))
    except av.FFmpegError as error:
        if isinstance(error, OSError):  # of what is written: what is read raises MediaError
            raise
        raise MediaError(path, f"cannot be encoded ({error.strerror})") from error
    return EncodedVideo(width, height, fps, count)


def _upright_frames(path: Path, fps: Fraction, short_side: int) -> Iterator[tuple[VideoFrame, int]]:
    """Upright frames of the shards' size, and at how many ``k / fps`` each is on display."""
    with opened(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(path, "no video stream")
        graph = None
        for frame, times in _at_rate(path, container, stream, fps):
            graph = graph or _upright(frame, short_side)
            graph.vpush(frame)
            yield graph.vpull(), times


def encoded_fps(path: Path, most: float) -> Fraction:
    """Frames per second that shards keep of a file: its own, if constant, or ``most``.

    Raises:
        MediaError: the file cannot be opened or has no video.
    """
    limit = Fraction(most).limit_denominator(1001)
    with opened(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(path, "no video stream")
        own = stream.guessed_rate
        if not own or own > limit:
            return limit
        stated = (
            packet.dts if packet.pts is None else packet.pts for packet in readable(demux(container, stream))
        )
        stamps = np.array(sorted(stamp for stamp in stated if stamp is not None), dtype=np.float64)
        places = (stamps - stamps[:1]) * float(time_base(stream) * own)
        off = np.abs(places - np.rint(places))
        return own if (off < GRID + float(time_base(stream) * own) / 2).all() else limit


def _at_rate(
    path: Path, container: InputContainer, stream: VideoStream, fps: Fraction
) -> Iterator[tuple[VideoFrame, int]]:
    """Frames that are on display at any ``k / fps``, and at how many."""
    step = float(1 / (stream.guessed_rate or fps))
    shown: VideoFrame | None = None
    count, last = 0, 0.0

    def until(end: float) -> int:
        if end - last > LONGEST_FRAME:
            raise MediaError(path, f"one frame stands for {end - last:.0f} s; its time stamps are wrong")
        return max(0, math.ceil((end - CLOCK_SLACK) * fps) - count)

    for time, frame in timed(container, stream, clock_origin(container, path), sought=False):
        if frame is None:
            continue
        if shown is not None and (times := until(time)):
            yield shown, times
            count += times
        shown, last = frame, time
    if shown is not None:
        times = until(last + step)
        if times or not count:
            yield shown, max(1, times)


def _upright(frame: VideoFrame, short_side: int) -> Graph:
    """Filters from frames like this one to 4:2:0 of BT.601 and limited range, upright and of even size."""
    short = min(frame.width, frame.height)
    scale = min(short_side, short // 2 * 2) / short
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (frame.width, frame.height))
    turns = {1: [("transpose", "cclock")], 2: [("hflip", ""), ("vflip", "")], 3: [("transpose", "clock")]}
    size = f"{width}:{height}:flags=bilinear:out_color_matrix=bt601:out_range=tv"
    turn = turns.get(round(frame.rotation / 90) % 4, [])
    return filter_graph(frame, ("scale", size), ("format", "yuv420p"), *turn)


def _encoder(
    out: av.container.OutputContainer, width: int, height: int, fps: Fraction, settings: ShardSettings
) -> VideoStream:
    options = X264 | {"x264-params": PARAMS.format(settings.keyframe_interval, settings.qp)}
    stream = out.add_stream("libx264", rate=fps, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    # More threads would change the bytes.
    stream.codec_context.thread_count = 1
    stream.codec_context.colorspace, stream.codec_context.color_range = Colorspace.ITU601, ColorRange.MPEG
    return stream
