"""Videos whose frames spell their index, with a click at one of them, written by PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray

FPS, FRAMES, SECONDS, RATE = 10, 30, 3.0, 16_000
FLASH = 12  # the frame that is white; a click sounds at its time


def numbered_frame(index: int, *, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Six vertical bars that spell the index in binary; frame FLASH has a white lower half."""
    image = np.zeros((height, width, 3), np.uint8)
    for bit in range(6):
        image[: height // 2, bit * width // 6 : (bit + 1) * width // 6] = 220 * (index >> bit & 1) + 16
    image[height // 2 :] = 235 if index == FLASH else 16
    return image


def index_of(image: torch.Tensor) -> int:
    height, width = image.shape[:2]
    bars = [image[height // 4, round((b + 0.5) * width / 6)].float().mean() for b in range(6)]
    return sum(int(level > 110) << bit for bit, level in enumerate(bars))


def click_track(rate: int, seconds: float = SECONDS) -> NDArray[np.float32]:
    """A 5-ms burst at the time of the flash in silence."""
    wave = np.zeros(round(rate * seconds), np.float32)
    begin, size = round(FLASH / FPS * rate), round(0.005 * rate)
    wave[begin : begin + size] = 0.8 * np.sin(np.arange(size) * 2 * np.pi * 1000 / rate)
    return wave


def write(
    path: Path,
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    wave: NDArray[np.float32] | None = None,
    rate: int = RATE,
    offset: float = 0.0,
    options: dict[str, str] | None = None,
    rotation: int = 0,
    container: dict[str, str] | None = None,
) -> Path:
    """A file of counted frames and a click; ``offset`` delays both streams on the container's clock."""
    with av.open(str(path), "w", options=container or {}) as out:
        video_stream = out.add_stream(video, rate=FPS, options=options or {}) if video else None
        audio_stream = out.add_stream(audio, rate=rate) if audio else None
        if video_stream:
            video_stream.width, video_stream.height, video_stream.pix_fmt = (
                64,
                48,
                "yuvj420p" if video == "mjpeg" else "yuv420p",
            )
            if rotation:
                video_stream.set_display_rotation(rotation)
        if audio_stream:
            audio_stream.layout = "mono"
        for i in range(FRAMES if video_stream else 0):
            frame = av.VideoFrame.from_ndarray(numbered_frame(i), format="rgb24")
            frame.pts, frame.time_base = i + round(offset * FPS), Fraction(1, FPS)
            out.mux(video_stream.encode(frame))
        if audio_stream:
            wave = click_track(rate) if wave is None else wave
            planar = "p" if audio_stream.format.is_planar else ""
            kind = "s16" if "s16" in audio_stream.format.name else "flt"
            data = (wave * 32767).astype(np.int16) if kind == "s16" else wave
            piece = audio_stream.codec_context.frame_size or 1024
            for begin in range(0, len(data), piece):
                block = np.ascontiguousarray(data[None, begin : begin + piece])
                frame = av.AudioFrame.from_ndarray(block, format=kind + planar, layout="mono")
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = begin + round(offset * rate)
                out.mux(audio_stream.encode(frame))
            out.mux(audio_stream.encode(None))
        if video_stream:
            out.mux(video_stream.encode(None))
    return path
