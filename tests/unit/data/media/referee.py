"""The ffmpeg program as the referee: it makes videos and decodes them with code that the reader does not share."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from xdcbench.data.media import read_clip

EDGE = 1e-3
"""Within this of a change of frame, clocks of different ticks may disagree on the one on display; seconds."""

PTS = re.compile(r"Parsed_a?showinfo.* pts_time:(\S+)")
FRAME = re.compile(r"Parsed_showinfo.* s:(\d+)x(\d+)")
AUDIO = re.compile(r"Parsed_ashowinfo.* channels:(\d+).* rate:(\d+) nb_samples:")
PATTERN = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2,scroll=h=0.11:v=0.07")
TONE = ("-f", "lavfi", "-i", "sine=f=440:r=16000:d=2")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "8")


def ffmpeg(*words: object) -> tuple[bytes, str]:
    """Run ffmpeg, writing over what is there; its standard output and its log."""
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", *map(str, words)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    log = done.stderr.decode(errors="replace")
    assert done.returncode == 0, log
    return done.stdout, log


@dataclass(frozen=True)
class DecodedVideo:
    """Every frame that ffmpeg presents.

    Attributes:
        first: presentation time of the first frame on the container's clock, seconds.
        times: float64 (n,), seconds after the first frame, ascending: a frame whose time runs backwards is shown
            at once.
        frames: uint8 (n, H, W, 3), upright, RGB.
    """

    first: float
    times: NDArray[np.float64]
    frames: NDArray[np.uint8]

    def at(self, time: float) -> NDArray[np.uint8] | None:
        """The frame on display at a time; None where that is a matter of the clock's ticks."""
        if np.abs(self.times[1:] - time).min(initial=1.0) < EDGE:
            return None
        return self.frames[max(np.searchsorted(self.times, time, side="right") - 1, 0)]


def decode_video(path: Path, *, size: str = "iw:ih") -> DecodedVideo:
    """Decode the first stream that is a video and no cover, to frames of ``size``, width:height."""
    raw, log = ffmpeg(
        *("-threads", 1, "-copyts", "-i", path, "-map", "0:V:0", "-fps_mode", "passthrough"),
        *(
            "-vf",
            f"scale={size}:flags=bilinear,format=rgb24,showinfo=checksum=0",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-",
        ),
    )
    ((width, height),) = {tuple(map(int, size)) for size in FRAME.findall(log)}
    frames = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    times = np.maximum.accumulate([float(time) for time in PTS.findall(log)])
    assert len(times) == len(frames)
    return DecodedVideo(times[0], times - times[0], frames)


def distances(path: Path, truth: DecodedVideo, *, start: float, frames: int, fps: float) -> list[float]:
    """Mean absolute difference from ffmpeg's frames, of 255, of each frame that a clip shows for certain."""
    short_side = min(truth.frames.shape[1:3])
    clip = read_clip(path, start=start, frames=frames, fps=fps, short_side=short_side).numpy()
    assert clip.shape == (frames, *truth.frames.shape[1:])
    known = [(frame, truth.at(start + i / fps)) for i, frame in enumerate(clip)]
    return [float(np.abs(own.astype(int) - other).mean()) for own, other in known if other is not None]


@dataclass(frozen=True)
class Track:
    """Every sample that ffmpeg presents.

    Attributes:
        start: of the first sample, seconds on the container's clock.
        rate: Hz.
        samples: float32 (n,), mean of the channels by the ``pan`` filter.
    """

    start: float
    rate: int
    samples: NDArray[np.float32]


def track(path: Path) -> Track:
    """Decode the first audio stream."""
    source = ("-copyts", "-i", path, "-map", "0:a:0")
    _, log = ffmpeg(*source, "-af", "ashowinfo", "-f", "null", "-")
    channels, rate = map(int, AUDIO.findall(log)[0])
    mean = "+".join(f"{1 / channels:.9f}*c{i}" for i in range(channels))
    raw, _ = ffmpeg(*source, "-af", f"aformat=sample_fmts=dbl,pan=mono|c0={mean}", "-f", "f32le", "-")
    return Track(float(PTS.findall(log)[0]), rate, np.frombuffer(raw, np.float32))
