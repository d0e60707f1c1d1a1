"""Originals -> members of shards: video, image and audio."""

import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from xdcbench.config.data import ShardSettings
from xdcbench.data.media import MediaInfo, probe, read_audio, read_image
from xdcbench.data.media.audio import audio_end
from xdcbench.data.media.container import opened, video_stream
from xdcbench.data.media.url import local_url
from xdcbench.data.preparation.video import encode_video
from xdcbench.data.shards.layout import Kind
from xdcbench.errors import MediaError

BLOCK = 4096
"""Samples of a frame of FLAC."""
WINDOW = 480 * BLOCK
"""Samples that are decoded at once, which bounds memory; two minutes of 16 kHz."""


@dataclass
class TranscodedItem:
    """What shards keep of one original.

    Attributes:
        width, height: of the video or image, upright, pixels; 0 without.
        fps: of the video; 0 without.
        faults: why a track of the original has no member.
    """

    info: MediaInfo
    members: dict[Kind, Path] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    fps: float = 0.0
    faults: list[str] = field(default_factory=list)


def transcode(path: Path, media: str, settings: ShardSettings, out: Path) -> TranscodedItem:
    """Write the members of one original; a track that does not decode is a fault, and the other is kept.

    Of recordings only the audio is kept, of images only the image. ``out`` is what the members' files are called, to
    which their suffix is added.

    Raises:
        OSError: a member cannot be written.
        MediaError: the file cannot be opened, or holds nothing that a dataset of this kind needs.
    """
    found = TranscodedItem(probe(path))
    if media == "image":
        data, found.width, found.height = image(path, settings)
        found.members["video"] = _named(out, "jpg")
        found.members["video"].write_bytes(data)
        return found
    if media == "video" and found.info.has_video:
        with _member(found, "video", _named(out, "mp4")) as target:
            made = encode_video(path, settings, target)
            found.width, found.height, found.fps = made.width, made.height, float(made.fps)
    if found.info.has_audio:
        with _member(found, "audio", _named(out, settings.audio_codec)) as target:
            encode_audio(path, settings, target)
    if not found.members:
        raise MediaError(path, "; ".join(found.faults) or "holds no audio")
    return found


@contextmanager
def _member(found: TranscodedItem, kind: Kind, target: Path) -> Iterator[Path]:
    """Note a member that is written to ``target``, or why it is not."""
    try:
        yield target
        found.members[kind] = target
    except MediaError as error:
        target.unlink(missing_ok=True)
        found.faults.append(f"{kind}: {error.reason}")


def _named(out: Path, suffix: str) -> Path:
    return out.with_name(f"{out.name}.{suffix}")


def image(path: Path, settings: ShardSettings) -> tuple[bytes, int, int]:
    """A JPEG, upright and never enlarged: its bytes, width and height; the original's where it is small enough.

    Raises:
        MediaError: there is no image.
    """
    from torchvision.io import encode_jpeg

    with opened(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(path, "no image")
        width, height = stream.codec_context.width, stream.codec_context.height
        plain = stream.codec_context.name == "mjpeg"
    side = min(settings.short_side, width, height)
    pixels = read_image(path, short_side=side)
    if plain and side == min(width, height) and tuple(pixels.shape[:2]) == (height, width):
        return path.read_bytes(), width, height
    data = encode_jpeg(pixels.permute(2, 0, 1).contiguous(), quality=settings.quality)
    return bytes(data.numpy()), pixels.shape[1], pixels.shape[0]


def encode_audio(path: Path, settings: ShardSettings, out: Path) -> None:
    """Write the audio of a file from time zero of its clock to the last sample that decodes.

    It is mixed and resampled as `read_audio` does it. Where the track begins later than the video, silence
    keeps its time; nothing stands for what comes after it.

    Raises:
        OSError: ``out`` cannot be written.
        MediaError: nothing decodes, or a sample is no number.
    """
    rate = settings.sample_rate
    blocks = _blocks(path, max(1, round(audio_end(path) * rate)), rate)
    (_flac if settings.audio_codec == "flac" else _wav)(out, blocks, rate)


def _blocks(path: Path, size: int, rate: int) -> Iterator[NDArray[np.int16]]:
    """The first ``size`` samples of a file, `WINDOW` at a time; full scale is 2**15, louder audio is cut off."""
    for begin in range(0, size, WINDOW):
        seconds = min(WINDOW, size - begin) / rate
        samples = read_audio(path, start=begin / rate, seconds=seconds, sample_rate=rate).numpy()
        yield np.rint(samples * np.float32(2**15)).clip(-(2**15), 2**15 - 1).astype(np.int16)


def _wav(out: Path, blocks: Iterator[NDArray[np.int16]], rate: int) -> None:
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        for block in blocks:
            file.writeframes(block.tobytes())


def _flac(out: Path, blocks: Iterator[NDArray[np.int16]], rate: int) -> None:
    with av.open(local_url(out), "w", format="flac", options={"fflags": "+bitexact"}) as file:
        encoder, place = file.add_stream("flac", rate=rate, layout="mono", options={"flags": "+bitexact"}), 0
        for block in blocks:
            for begin in range(0, len(block), BLOCK):
                samples = np.ascontiguousarray(block[None, begin : begin + BLOCK])
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), place
                file.mux(encoder.encode(frame))
                place += samples.shape[1]
        file.mux(encoder.encode(None))
