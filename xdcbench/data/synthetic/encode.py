"""Arrays -> the bytes of media files, the same bytes for the same arrays."""

import io
import wave
from fractions import Fraction
from typing import Literal, cast

import av
import numpy as np
from av.audio import AudioStream
from av.video import VideoStream
from numpy.typing import NDArray

from xdcbench.data.synthetic import xvid

Container = Literal["mp4", "avi"]

_EXACT = {"flags": "+bitexact"}
# x264's analysis of frames to come is not quite repeatable on frames this small (about one file in two
# thousand differed), so the quantizer is constant and nothing looks ahead. Keyframes make seeks quick.
_X264 = "rc-lookahead=0:no-mbtree=1:scenecut=0:weightp=0:bframes=0:keyint=8"
_VIDEO = {
    "mp4": ("libx264", _EXACT | {"preset": "veryfast", "qp": "20", "x264-params": _X264}),
    "avi": ("mpeg4", xvid.OPTIONS | {"qmin": "2", "qmax": "4", "g": "8"}),
}
_AUDIO = {
    "mp4": ("aac", _EXACT | {"aac_coder": "fast"}),
    "avi": ("libmp3lame", _EXACT | {"compression_level": "7"}),
}


def encode_video(
    frames: NDArray[np.uint8],
    audio: NDArray[np.float32] | None,
    *,
    container: Container,
    fps: int,
    sample_rate: int,
) -> bytes:
    """Encode video and audio: H.264 and AAC in mp4; MPEG-4 part 2 with B-frames, packed as XviD does, and MP3
    in avi.

    Args:
        frames: uint8 RGB (T, H, W, 3), H and W even.
        audio: float32 mono (samples,), within -1 to 1; None leaves the track out.
        container: file format.
        fps: of the frames.
        sample_rate: one that AAC and MP3 know, Hz.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as out:
        codec, options = _VIDEO[container]
        video = cast(VideoStream, out.add_stream(codec, rate=fps, options=options))
        packets = []
        if audio is not None:
            codec, options = _AUDIO[container]
            stream = out.add_stream(codec, rate=sample_rate, layout="mono", options=options)
            packets = _audio_packets(cast(AudioStream, stream), audio)
        # Every stream must be known before the first packet is written.
        out.mux(_video_packets(video, frames) + packets)
    return buffer.getvalue()


def _video_packets(stream: VideoStream, frames: NDArray[np.uint8]) -> list[av.Packet]:
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    # More threads would change the bytes.
    stream.codec_context.thread_count = 1
    if stream.codec_context.name == "mpeg4":
        stream.codec_context.codec_tag = xvid.FOURCC
    packets = []
    for index, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.time_base, frame.pts = 1 / Fraction(stream.codec_context.framerate), index
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return _xvid_packets(stream, packets) if stream.codec_context.name == "mpeg4" else packets


def _xvid_packets(stream: VideoStream, packets: list[av.Packet]) -> list[av.Packet]:
    """Chunks one after another: AVI keeps their order and no times."""
    tick = 1 / Fraction(stream.codec_context.framerate)
    made = []
    chunks = xvid.packed(map(bytes, packets), ticks=tick.denominator)
    for place, (chunk, packet) in enumerate(zip(chunks, packets, strict=True)):
        new = av.Packet(chunk)
        new.stream, new.time_base, new.is_keyframe = stream, tick, packet.is_keyframe
        new.pts = new.dts = place
        made.append(new)
    return made


def _audio_packets(stream: AudioStream, audio: NDArray[np.float32]) -> list[av.Packet]:
    frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = stream.rate, Fraction(1, stream.rate), 0
    return stream.encode(frame) + stream.encode(None)


def encode_wav(audio: NDArray[np.float32], *, sample_rate: int) -> bytes:
    """Encode 16-bit PCM of float32 (samples,) or (samples, channels), within -1 to 1."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1 if audio.ndim == 1 else audio.shape[1])
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        out.writeframes(np.rint(audio * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Encode a JPEG of uint8 RGB (H, W, 3)."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 1)
    encoder.options = _EXACT | {"qmin": "2", "qmax": "3"}
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
