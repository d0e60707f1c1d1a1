"""Bombs: what states more than its limit is refused at once, in a process of its own whose memory is counted."""

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torchvision.io import encode_jpeg

from tests.unit.data.media.bombs import last_granule, png, wav
from tests.unit.data.media.referee import ffmpeg
from tests.unit.data.media.videos import write
from xdcbench.data.media import probe, read_audio, read_clip, read_image
from xdcbench.data.media.inspect import inspect
from xdcbench.data.media.limits import CHANNELS, IMAGE_BYTES, PIXELS, SAMPLE_RATES, check_seconds
from xdcbench.errors import MediaError

SECONDS, MEBIBYTES = 1.0, 500
WATCHED = """
import json, resource, sys, time
from pathlib import Path
from xdcbench.data.media import probe, read_audio, read_clip, read_image
from xdcbench.data.media.inspect import inspect
from xdcbench.config.data import ShardSettings
from xdcbench.data.preparation.transcode import transcode
from xdcbench.errors import MediaError

def used(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
found = {}
for name in sys.argv[2:]:
    path, media = Path(sys.argv[1], name), "image" if name[:5] == "image" else "audio"
    reads = {
        "probe": lambda: probe(path),
        "reader": lambda: read_image(path, short_side=64) if media == "image"
            else read_audio(path, start=0, seconds=2, sample_rate=16000),
        "verify": lambda: inspect(path),
        "prepare": lambda: transcode(path, media, ShardSettings(), path.with_name("out")),
    }
    for how, read in reads.items():
        before, begun, reason = used(), time.process_time(), ""
        try:
            read()
        except MediaError as error:
            reason = error.reason
        found[f"{name} {how}"] = reason, time.process_time() - begun, used() - before
print(json.dumps(found))
"""


def tone(folder: Path) -> Path:
    ffmpeg("-f", "lavfi", "-i", "sine=440:r=16000:d=2", "-c:a", "libvorbis", folder / "tone.ogg")
    return folder / "tone.ogg"


def sparse(path: Path) -> Path:
    """Three gigabytes, of which the disk holds none."""
    with path.open("ab") as file:
        file.truncate(3 << 30)
    return path


SILENCE = np.zeros(65 * 4000, np.float32)
BOMBS: dict[str, tuple[Callable[[Path], object], str]] = {
    **{
        f"{rate}.wav": (
            lambda path, rate=rate: wav(path, SILENCE, rate=rate, floats=False),
            f"states a sample rate of {rate} Hz; the limits are 1000 and 768000 Hz",
        )
        for rate in (2**31 - 1, SAMPLE_RATES[1] + 1, 1, SAMPLE_RATES[0] - 1)
    },
    "channels.wav": (
        lambda path: wav(path, SILENCE, channels=65, floats=False),
        "states 65 channels; the limit is 64",
    ),
    "ten_hours.ogg": (
        lambda path: path.write_bytes(last_granule(tone(path.parent).read_bytes(), 16_000 * 36_000)),
        "they span 36000 s; the limit for its ",
    ),
    "image_name.png": (sparse, f"holds {3 << 30} bytes; the limit for an image is {IMAGE_BYTES} bytes"),
    "image_content.mp4": (
        lambda path: sparse(png(path, 64, 48)),
        f"holds {3 << 30} bytes; the limit for an image is {IMAGE_BYTES} bytes",
    ),
    "image_webp.mp4": (
        lambda path: (path.write_bytes(b"RIFF\x00\x00\x00\x7fWEBPVP8 "), sparse(path)),
        f"holds {3 << 30} bytes; the limit for an image is {IMAGE_BYTES} bytes",
    ),
    "image_8300.png": (
        lambda path: png(path, 8300, 8300),
        f"states 8300 x 8300 pixels; the limit is {PIXELS}",
    ),
    "image_8300.mp4": (
        lambda path: png(path, 8300, 8300),
        f"states 8300 x 8300 pixels; the limit is {PIXELS}",
    ),
    "image_14000.png": (lambda path: png(path, 14_000, 14_000), "(196000000 pixels)"),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float, float]]:
    """Reason, seconds and more MiB of every way to every bomb, in a process of its own."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (make, _) in BOMBS.items():
        make(folder / name)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(folder), *BOMBS],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert not list(folder.glob("out*")), "nothing is stored"
    found: dict[str, tuple[str, float, float]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("how", ["probe", "reader", "verify", "prepare"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(refusals: dict[str, tuple[str, float, float]], name: str, how: str) -> None:
    reason, seconds, mebibytes = refusals[f"{name} {how}"]
    assert BOMBS[name][1] in reason
    assert seconds < SECONDS
    assert mebibytes < MEBIBYTES


def test_video_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", audio=None)
    monkeypatch.setattr("xdcbench.data.media.limits.PIXELS", 64 * 48 - 1)
    for read in (probe, inspect, lambda file: read_image(file, short_side=16)):
        with pytest.raises(MediaError, match="states 64 x 48 pixels; the limit is 3071 pixels"):
            read(path)


def test_a_frame_that_outgrows_the_header_does_not_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        out.start_encoding()
        for number, scale in enumerate((1, 1, 10, 1)):
            image = (
                encode_jpeg(torch.full((3, 48 * scale, 64 * scale), 90, dtype=torch.uint8)).numpy().tobytes()
            )
            packet = av.Packet(image)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 10), stream, True
            out.mux(packet)
    assert (inspect(path).frames, inspect(path).damaged) == (4, 0)
    monkeypatch.setattr("xdcbench.data.media.container.PIXELS", 64 * 48)
    assert (inspect(path).frames, inspect(path).damaged) == (3, 1)
    assert read_clip(path, start=0, frames=4, fps=10, short_side=48).shape == (4, 48, 64, 3)


def test_what_is_within_the_limits_is_read(tmp_path: Path) -> None:
    for rate in SAMPLE_RATES:
        path = wav(tmp_path / "a.wav", np.full(2 * rate, 0.5, np.float32), rate=rate)
        assert probe(path).sample_rate == rate
        assert read_audio(path, start=0.5, seconds=1, sample_rate=16_000).mean() > 0.4
    path = wav(tmp_path / "b.wav", np.full(CHANNELS * 16_000, 0.5, np.float32), channels=CHANNELS)
    assert inspect(path).channels == CHANNELS
    assert read_image(png(tmp_path / "c.png", 4000, 3000), short_side=30).shape == (30, 40, 3)


@pytest.mark.parametrize(("seconds", "size", "fine"), [
    (600, 0, True), (601, 0, False), (3600, 36_000, True), (3601, 36_000, False), (4 * 3600, 1_000_000, True),
])  # fmt: skip
def test_length_against_bytes(seconds: float, size: int, fine: bool) -> None:
    if fine:
        check_seconds(Path("a"), seconds, size)
    else:
        with pytest.raises(MediaError, match=f"span {seconds} s; the limit for its {size} bytes"):
            check_seconds(Path("a"), seconds, size)
