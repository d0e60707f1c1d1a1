"""Videos of counted frames in every codec and container, written by ffmpeg, and what each reader makes of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.data.media.referee import decode_video, ffmpeg, track
from tests.unit.data.media.videos import index_of, numbered_frame
from xdcbench.config.data import ShardSettings
from xdcbench.data.media import probe, read_audio, read_clip, read_frames, read_track
from xdcbench.data.media.inspect import inspect
from xdcbench.data.preparation import video as prepared
from xdcbench.data.validation import hashes

FRAMES, FPS = 60, 25
EDGE = 1e-3
"""Within this of a change of frame, clocks of different ticks may disagree on the one on display; seconds."""

X264 = ("-preset", "ultrafast", "-x264-params", "b-adapt=0:ref=3:scenecut=0", "-qp", "18")
CODECS: dict[str, tuple[str, ...]] = {
    "xvid": ("-c:v", "libxvid", "-q:v", "2"),
    "h264": ("-c:v", "libx264", *X264),
    "mpeg4": ("-c:v", "mpeg4", "-q:v", "2"),
    "mpeg1": ("-c:v", "mpeg1video", "-q:v", "2"),
    "mpeg2": ("-c:v", "mpeg2video", "-q:v", "2"),
    "mjpeg": ("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"),
    "msmpeg4": ("-c:v", "msmpeg4", "-q:v", "2"),
    "wmv1": ("-c:v", "wmv1", "-q:v", "2"),
    "wmv2": ("-c:v", "wmv2", "-q:v", "2"),
}
WITHOUT_B = ("mjpeg", "msmpeg4", "wmv1", "wmv2")
"""Their encoders refuse B-frames."""

AUDIO_CODECS = {
    "avi": "libmp3lame",
    "mp4": "aac",
    "mkv": "aac",
    "mov": "aac",
    "mpg": "mp2",
    "ts": "aac",
    "asf": "wmav2",
    "flv": "aac",
}
"""Containers with the codec of their audio."""

REFUSED = {
    *((codec, "flv") for codec in CODECS if codec != "h264"),
    *((codec, "mp4") for codec in ("msmpeg4", "wmv1", "wmv2")),
}
"""What ffmpeg does not write."""
UNREADABLE = {(codec, container) for codec in WITHOUT_B for container in ("mpg", "ts")}
"""What ffmpeg writes and cannot read."""


def write(folder: Path, codec: str, b_frames: int, container: str) -> Path:
    """Sixty frames that spell their index, 25 a second, a keyframe every twelve, and noise to be heard.

    Raises:
        AssertionError: ffmpeg refuses; it holds the log.
    """
    raw, path = folder / "frames.rgb", folder / f"{codec}_{b_frames}.{container}"
    if not raw.exists():
        raw.write_bytes(b"".join(numbered_frame(i).tobytes() for i in range(FRAMES)))
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", FPS, "-i", raw),
        *("-f", "lavfi", "-i", f"anoisesrc=r=44100:d={FRAMES / FPS}:a=0.3:seed=1"),
        *(
            "-pix_fmt",
            "yuv420p",
            *CODECS[codec],
            "-bf",
            b_frames,
            "-g",
            12,
            "-c:a",
            AUDIO_CODECS[container],
            path,
        ),
    )
    return path


def index(frame: NDArray[np.uint8]) -> int:
    return index_of(torch.from_numpy(frame.copy()))


@dataclass(frozen=True)
class Counted:
    """A video as ffmpeg shows it.

    Attributes:
        path: of the file.
        first: time of the first frame on the container's clock, seconds.
        times: float64 (n,), seconds after the first frame, ascending.
        indices: int64 (n,), what each frame spells.
    """

    path: Path
    first: float
    times: NDArray[np.float64]
    indices: NDArray[np.int64]

    @classmethod
    def of(cls, path: Path) -> "Counted":
        shown = decode_video(path)
        return cls(path, shown.first, shown.times, np.array([index(frame) for frame in shown.frames]))

    def at(self, times: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Index of the frame on display at each time, and whether that is certain."""
        places = np.maximum(np.searchsorted(self.times, times, side="right") - 1, 0)
        near = np.abs(times[:, None] - self.times[None, 1:]).min(1, initial=1.0)
        return self.indices[places], near > EDGE

    def assert_shown(self, found: list[int], times: NDArray[np.float64]) -> None:
        expected, certain = self.at(times)
        np.testing.assert_array_equal(np.array(found)[certain], expected[certain], str(self.path.name))

    def assert_clip(self, start: float, frames: int, rate: float) -> None:
        """A clip shows ffmpeg's frames, one by one."""
        clip = read_clip(self.path, start=start, frames=frames, fps=rate, short_side=48).numpy()
        self.assert_shown([index(frame) for frame in clip], start + np.arange(frames) / rate)

    def assert_kept(self, *clips: tuple[float, int, float]) -> None:
        """Clips and windows cut from all that decodes are those that are read, bit for bit."""
        frames, heard = read_frames(self.path, short_side=48), read_track(self.path, sample_rate=16_000)
        assert frames and heard
        for start, count, rate in clips:
            clip = read_clip(self.path, start=start, frames=count, fps=rate, short_side=48)
            assert torch.equal(frames.clip(start=start, frames=count, fps=rate), clip), self.path.name
            window = read_audio(self.path, start=start, seconds=count / rate, sample_rate=16_000)
            kept = heard.window(start=start, seconds=count / rate, sample_rate=16_000)
            assert torch.equal(kept, window), self.path.name

    def assert_all_distinct(self) -> None:
        """Read at its own rate, half a frame after each begins, the video has as many distinct frames as ffmpeg's."""
        clip = read_clip(self.path, start=0.5 / FPS, frames=len(self.times), fps=FPS, short_side=48).numpy()
        times = (0.5 + np.arange(len(clip))) / FPS
        assert len({index(frame) for frame in clip}) == len(set(self.at(times)[0]))

    def assert_audio(self) -> None:
        """The track lies as long after the first frame as in ffmpeg, to the sample."""
        assert probe(self.path).start == pytest.approx(self.first, abs=1e-3)
        truth = track(self.path)
        begin, seconds = round((truth.start - self.first) * truth.rate), len(truth.samples) / truth.rate
        # Clocks of whole milliseconds leave the nearest sample open.
        starts = [(begin + shift) / truth.rate for shift in (-1, 0, 1)]
        own = [
            read_audio(self.path, start=s, seconds=seconds, sample_rate=truth.rate).numpy() for s in starts
        ]
        assert min(np.abs(wave - truth.samples).max() for wave in own) < 1e-4, self.path.name

    def assert_prepared(self, folder: Path) -> None:
        """Shards keep frame k as the one on display at ``k / rate``."""
        kept = prepared.encode_video(self.path, ShardSettings(short_side=48), folder / "kept.mp4")
        found = [index(frame) for frame in decode_video(folder / "kept.mp4").frames]
        assert len(found) == kept.frames
        self.assert_shown(found, np.arange(kept.frames) / float(kept.fps))

    def assert_inspected(self) -> None:
        """Facts count ffmpeg's frames and their length."""
        facts = inspect(self.path)
        assert facts.frames == len(self.times)
        assert facts.video_seconds == pytest.approx(self.times[-1] + 1 / FPS, abs=2e-3)

    def assert_hashed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The frames that are hashed are the first at or after each second; a flat one is left out."""
        seen: list[int] = []
        monkeypatch.setattr(hashes, "perceptual_hash", lambda gray: seen.append(index(gray[..., None])) or 0)
        list(hashes.frame_hashes(self.path))
        due, expected = -np.inf, []
        for time, shown in zip(self.times, self.indices, strict=True):
            if time > due - EDGE:
                due = time + hashes.EVERY
                expected += [shown] if shown else []
        assert seen == expected
