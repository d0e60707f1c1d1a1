"""Clips and images as RGB frames."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch
from av.container import InputContainer
from av.filter.graph import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from torch import Tensor

from xdcbench.data.media.container import (
    LOOK_BACK,
    SEEK_BACK,
    SEEK_BACK_FRAMES,
    UNINDEXED,
    Media,
    clock_origin,
    decoded,
    opened,
    path_of,
    reorders,
    seek_keyframe,
    time_base,
    video_stream,
)
from xdcbench.errors import MediaError

# Frame times at most this long after the wanted one count as reached, so that a clock of whole milliseconds does
# not show the frame before: the time and that of the first frame are each half of one off. Not by the file's tick,
# since other formats keep such times when they are copied.
CLOCK_SLACK = 0.001


def read_clip(media: Media, *, start: float, frames: int, fps: float, short_side: int) -> Tensor:
    """Decode the frames on display at ``start + i / fps``.

    The first frame stands in before the video begins, the last one after it ends.

    Args:
        start: seconds after the first frame.
        frames: their number.
        fps: need not be the file's.
        short_side: pixels; the aspect of stored pixels is kept, rotation is applied.

    Returns:
        uint8 (frames, H, W, 3), RGB.

    Raises:
        MediaError: there is no video or not one frame can be decoded.
    """
    times = [start + i / fps for i in range(frames)]
    clip = _clip(media, times, short_side, seek=True)
    if clip is None:
        clip = _clip(media, times, short_side, seek=False)
    if clip is None:
        raise MediaError(path_of(media), "no frame could be decoded")
    return clip


@dataclass(frozen=True)
class Frames:
    """All frames of a file, in the order of display.

    Attributes:
        times: float64 (n,), seconds after the first.
        images: uint8 (n, H, W, 3), RGB.
    """

    times: NDArray[np.float64]
    images: NDArray[np.uint8]

    def clip(self, *, start: float, frames: int, fps: float) -> Tensor:
        """What `read_clip` reads, bit for bit."""
        wanted = np.array([start + i / fps for i in range(frames)])
        reached = np.maximum.accumulate(self.times)
        shown = np.searchsorted(reached, wanted + CLOCK_SLACK, side="right") - 1
        return torch.from_numpy(self.images[np.maximum(shown, 0)])


def read_frames(media: Media, *, short_side: int) -> Frames | None:
    """Decode all frames of a file; None where they change their size or format, or none decodes.

    Raises:
        MediaError: as `read_clip`.
    """
    with opened(media) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(path_of(media), "no video stream")
        convert, kinds = _Converter(short_side), set()
        times: list[float] = []
        images: list[Tensor] = []
        for time, frame in timed(container, stream, clock_origin(container, media), sought=False):
            if frame is not None:
                kinds.add((frame.width, frame.height, frame.format.name, frame.rotation))
                if len(kinds) > 1:
                    return None
                times.append(time)
                images.append(convert(frame))
    return Frames(np.array(times), torch.stack(images).numpy()) if images else None


def read_image(media: Media, *, short_side: int) -> Tensor:
    """Decode an image, or the first frame of a video.

    Returns:
        uint8 (H, W, 3), RGB; the shorter of H and W is ``short_side``.

    Raises:
        MediaError: the file holds no frame.
    """
    return read_clip(media, start=0.0, frames=1, fps=1.0, short_side=short_side)[0]


def _clip(media: Media, times: list[float], short_side: int, *, seek: bool) -> Tensor | None:
    """Uint8 (len(times), H, W, 3); None where no frame decodes or a seek did not go well.

    A seek that lands late, off a keyframe, before damage or among faulty times is not trusted: some streams
    decode only from their start (old x264 writes into the first packet alone how its 4:4:4 frames are to be
    read), and which of faulty times are believed depends on all frames before.
    """
    with opened(media) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(path_of(media), "no video stream")
        origin = clock_origin(container, media)
        unindexed = container.format.name in UNINDEXED
        back = LOOK_BACK if unindexed else _seek_back(stream)
        sought = seek and times[0] > (0.0 if unindexed else back)
        try:
            if sought and times[0] > back:
                seek_keyframe(container, stream, origin + times[0] - back)
        except av.FFmpegError:
            return None
        since = origin + times[0] if sought and unindexed else -math.inf
        convert = _Converter(short_side)
        clip: list[Tensor] = []
        shown: VideoFrame | None = None
        # Faulty times show within as many frames as are reordered, if not within the clip.
        least = SEEK_BACK_FRAMES if sought and reorders(stream) else 0
        frames = timed(container, stream, origin, sought=sought, since=since)
        for seen, (time, frame) in enumerate(frames):
            if sought and (frame is None or frame.is_corrupt):
                return None
            if frame is None:
                continue
            if shown is None:
                if sought and (time > times[0] + CLOCK_SLACK or not frame.key_frame):
                    return None
                shown = frame
            over = sum(t + CLOCK_SLACK < time for t in times[len(clip) :])
            if over:
                clip += [convert(shown)] * over
            shown = frame
            if seen >= least and times[-1] + CLOCK_SLACK < time + _length(container, stream, frame):
                break
        if shown is None:
            return None
        if len(clip) < len(times):
            clip += [convert(shown)] * (len(times) - len(clip))
        return torch.stack(clip)


def _seek_back(stream: VideoStream) -> float:
    """Seconds before a time at which a seek finds the keyframe from which that time can be decoded."""
    if not reorders(stream):
        return 0.0
    return max(SEEK_BACK, SEEK_BACK_FRAMES / float(stream.guessed_rate)) if stream.guessed_rate else SEEK_BACK


def _length(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> float:
    """Seconds for which a frame is shown, 0 where only the next one tells.

    MP4 states them exactly (ISO 14496-12, 8.6.1.2), but in the order of decoding.
    """
    stated = "mp4" in container.format.name.split(",") and not reorders(stream)
    return frame.duration * float(time_base(stream)) if stated else 0.0


def timed(
    container: InputContainer, stream: VideoStream, origin: float, *, sought: bool, since: float = -math.inf
) -> Iterator[tuple[float, VideoFrame | None]]:
    """Frames with their times on the shared clock, seconds; None for a packet that did not decode.

    Args:
        container: at its start, or at a keyframe that was sought.
        origin: time zero of the shared clock on the container's, seconds.
        sought: whether it is not at its start; unknown times are then infinite.
        since: as of `decoded`.
    """
    tick = float(time_base(stream))
    step = float(1 / stream.guessed_rate) if stream.guessed_rate else 0.0
    time = math.inf if sought else -step
    for frame in decoded(container, stream, since=since):
        if frame is not None:
            time = time + step if frame.pts is None else frame.pts * tick - origin
        yield time, frame


class _Converter:
    """Frames to upright RGB images of one size.

    FFmpeg's own ``scale`` filter reads matrix, range and place of the chroma samples from each frame, which
    the bare scaler of PyAV does not (10-bit frames then differ by 3/255). A scaler holds about 15 MB, so
    there is one filter per decode, not one per frame.
    """

    def __init__(self, short_side: int) -> None:
        self.short_side = short_side
        self.graph: Graph | None = None

    def __call__(self, frame: VideoFrame) -> Tensor:
        """Uint8 (H, W, 3); all of the first frame's size, should the stream change its own."""
        if self.graph is None:
            self.graph = _scaler(frame, self.short_side)
        self.graph.vpush(frame)
        image = np.rot90(self.graph.vpull().to_ndarray(), k=round(frame.rotation / 90))
        return torch.from_numpy(np.ascontiguousarray(image))


def _scaler(frame: VideoFrame, short_side: int) -> Graph:
    """Filters from frames like this one to RGB, the aspect kept."""
    scale = short_side / min(frame.width, frame.height)
    size = f"{round(frame.width * scale)}:{round(frame.height * scale)}"
    return filter_graph(frame, ("scale", f"{size}:flags=bilinear"), ("format", "rgb24"))


def filter_graph(frame: VideoFrame, *filters: tuple[str, str]) -> Graph:
    """FFmpeg's filters (names and options) for frames like this one, which leave as they enter; one thread."""
    graph = Graph()
    graph.threads = 1
    tick = Fraction(1, 1)  # times do not matter
    graph.link_nodes(
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=tick),
        *(graph.add(*one) for one in filters),
        graph.add("buffersink"),
    ).configure()
    return graph
