"""Small files that every browser plays and shows: looping videos, audio, spectrograms, images."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame
from torch import Tensor

from xdcbench.config.models import AudioInput
from xdcbench.data.media.container import (
    audio_stream,
    clock_origin,
    decoded,
    edit_shift,
    opened,
    seek_keyframe,
    time_base,
)
from xdcbench.data.media.samples import BadSampleError, check_numbers, planes
from xdcbench.data.media.url import local_url
from xdcbench.data.spectrogram import LogMel
from xdcbench.errors import MediaError
from xdcbench.utils.io import atomic_write
from xdcbench.utils.plotting import imsave

PREROLL = 1.0
"""Seconds decoded before a window of audio, in which codecs that carry state over settle."""
QUALITY = "26"
"""x264's constant rate factor: about 20 kB for 2 s of 128 x 128."""


def write_video(frames: Tensor, fps: float, path: Path) -> None:
    """MP4 with H.264 of the baseline profile, which begins to play before it is whole.

    ``frames`` are RGB, uint8 (T, H, W, 3), H and W even; ``fps`` of them are shown per second.
    """
    fast = {"movflags": "+faststart"}
    with atomic_write(path) as part, av.open(local_url(part), "w", format="mp4", options=fast) as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        stream.options = {"crf": QUALITY, "preset": "veryfast", "profile": "baseline"}
        for image in frames.numpy():
            file.mux(stream.encode(VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        file.mux(stream.encode(None))


def write_image(image: Tensor, path: Path) -> None:
    """JPEG of a frame, uint8 (H, W, 3)."""
    with atomic_write(path) as part:
        imsave(part, image.numpy(), format="jpg", pil_kwargs={"quality": 82, "optimize": True})


def write_audio(wave: Tensor, sample_rate: int, path: Path) -> None:
    """MP3, mono, at a rate that it knows, of float32 (samples,), full scale 1, ``sample_rate`` of them per second."""
    with atomic_write(path) as part, av.open(local_url(part), "w", format="mp3") as file:
        known = sorted(av.Codec("libmp3lame", "w").audio_rates or ())
        nearest = next((r for r in known if r >= sample_rate), known[-1])
        stream = file.add_stream("libmp3lame", rate=nearest, layout="mono", options={"b": "64k"})
        frame = AudioFrame.from_ndarray(wave.clamp(-1, 1).numpy()[None], format="fltp", layout="mono")
        frame.sample_rate = sample_rate
        resampler = AudioResampler(format="fltp", layout="mono", rate=nearest, frame_size=stream.frame_size)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))


def write_spectrogram(wave: Tensor, spec: AudioInput, path: Path) -> None:
    """PNG of the log-mel spectrogram that the encoder takes: time to the right, pitch upwards, loud is light."""
    mel = LogMel(spec)(wave[None])[0, 0].numpy()
    low, high = np.quantile(mel, [0.05, 0.995]).tolist()
    with atomic_write(path) as part:
        imsave(part, mel, format="png", cmap="magma", origin="lower", vmin=low, vmax=max(high, low + 1e-3))


def audio_within(path: Path, *, start: float, seconds: float, sample_rate: int) -> Tensor:
    """A window of audio of a long file, float32 (round(seconds * sample_rate),), full scale 1.

    Channels are averaged, and outside the track there is silence. Only what lies around the window is decoded:
    codecs that carry state over may differ inaudibly from what encoders are fed, which is decoded from the start.

    Raises:
        MediaError: the file cannot be sought in, no audio decodes there, or a sample is no number.
    """
    with opened(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError(path, "no audio track")
        origin = clock_origin(container, path) + edit_shift(container, path)
        seek_keyframe(container, stream, max(0.0, start - PREROLL) + origin)
        resampler, first, parts = AudioResampler(format="flt", layout="mono", rate=sample_rate), None, []
        for frame in decoded(container, stream):
            if frame is None or frame.pts is None:
                continue
            now = float(frame.pts * time_base(stream)) - origin
            first = now if first is None else first
            if now > start + seconds + PREROLL:
                break
            try:
                check_numbers(planes([frame]))
            except BadSampleError as bad:
                raise MediaError(path, bad.reason(now + bad.place / frame.sample_rate)) from bad
            frame.pts = None
            parts += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
        if first is None:
            raise MediaError(path, "no audio could be decoded there")
        parts += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    wave = np.concatenate([np.zeros(max(0, round((first - start) * sample_rate)), np.float32), *parts])
    wave = wave[max(0, round((start - first) * sample_rate)) :][: round(seconds * sample_rate)]
    return torch.from_numpy(np.pad(wave, (0, round(seconds * sample_rate) - len(wave))))
