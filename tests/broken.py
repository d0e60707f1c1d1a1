"""Small files of every kind that the project reads, damaged; what ffmpeg makes of them, and what the readers do."""

import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import pandas as pd

from tests.mutator import Mutant, mutants
from xdcbench.config.data import World
from xdcbench.data.media import read_audio, read_clip
from xdcbench.data.media.container import IMAGE_SUFFIXES
from xdcbench.data.media.inspect import inspect
from xdcbench.data.scanning.items import SUFFIXES
from xdcbench.data.synthetic.layouts import files
from xdcbench.errors import MediaError

PATTERN = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=12:d=0.75")
TONE = ("-f", "lavfi", "-i", "sine=f=440:r=16000:d=0.75")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "6", "-pix_fmt", "yuv420p")
MJPEG = ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le")
VIDEOS = {
    "h264.mp4": (*H264, "-c:a", "aac"),
    "start.mp4": (*H264, "-c:a", "aac", "-movflags", "faststart"),
    "fragments.mp4": (*H264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+delay_moov"),
    "mpeg4.m4v": ("-c:v", "mpeg4", "-c:a", "aac", "-f", "mp4"),
    "mjpeg.mov": MJPEG,
    "mjpeg.avi": MJPEG,
    "xvid.avi": ("-c:v", "mpeg4", "-vtag", "XVID", "-bf", "2", "-c:a", "libmp3lame"),
    "msmpeg4.avi": ("-c:v", "msmpeg4", "-c:a", "libmp3lame"),
    "h264.mkv": (*H264, "-c:a", "flac"),
    "vp8.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"),
    "mpeg1.mpg": ("-c:v", "mpeg1video", "-r", "25", "-c:a", "mp2"),
    "mpeg2.mpeg": ("-c:v", "mpeg2video", "-r", "25", "-bf", "2", "-c:a", "mp2", "-f", "vob"),
    "wmv2.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "flv1.flv": ("-c:v", "flv1", "-c:a", "libmp3lame", "-ar", "22050"),
    "h263.3gp": ("-c:v", "h263", "-s", "128x96", "-c:a", "aac"),
}
RECORDINGS = {
    "s16.wav": ("-c:a", "pcm_s16le"),
    "u8.wav": ("-c:a", "pcm_u8"),
    "f32.wav": ("-c:a", "pcm_f32le", "-ac", "2"),
    "plain.flac": (),
    "vorbis.ogg": ("-c:a", "libvorbis"),
    "plain.opus": (),
    "plain.mp3": ("-c:a", "libmp3lame"),
    "aac.m4a": ("-c:a", "aac"),
    "alac.m4a": ("-c:a", "alac"),
    "adts.aac": ("-c:a", "aac"),
}
IMAGES = {"plain.jpg": ("-q:v", "3"), "plain.png": (), "plain.bmp": (), "plain.webp": ("-c:v", "libwebp")}
WORLD = World(classes=2, size=32, kinetics_train=1, kinetics_val=1, ucf101_groups=3, esc50_per_fold=1)
"""Written by the project's own encoder; one file of each dataset and suffix is taken."""
CORRUPT = re.compile(
    "corrupt decoded frame|corrupt input packet|Error submitting packet to decoder|Error while opening decoder"
    "|Error during demuxing|Decoding error"
)
"""What ffmpeg's log has where a packet or a frame is marked as corrupt, or a packet does not decode."""
PACKET = 2048
"""Samples by which lengths may differ: ffmpeg cuts the padding of the last packet of AAC off, PyAV does not, and
either may drop what a damaged first packet begins."""


def sources(folder: Path) -> dict[str, bytes]:
    """Bytes of a whole file of each kind, by name; made in ``folder``."""
    image = (*PATTERN, "-frames:v", "1")
    for inputs, named in (((*PATTERN, *TONE), VIDEOS), (TONE, RECORDINGS), (image, IMAGES)):
        for name, words in named.items():
            _ffmpeg("-y", "-v", "error", *inputs, *words, str(folder / name))
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    for file in files(WORLD):
        name = f"{file.path.parts[0]}{file.path.suffix}"
        if _media(name) and name not in found:
            found[name] = file.make()
    return found


def _media(name: str) -> str:
    """Kind of dataset that holds a file of this name; empty for lists."""
    return next((kind for kind, known in SUFFIXES.items() if Path(name).suffix in known), "")


def write_broken(root: Path, *, count: int, seed: int) -> dict[Path, Mutant]:
    """Write mutants below ``root``: a folder per kind of dataset, each with a ``list.csv``; by their paths.

    The list has path, class and part; classes and parts alternate, so that each part has items of both.
    """
    (root / "whole").mkdir(parents=True)
    written = {}
    for mutant in mutants(sources(root / "whole"), count, seed=seed):
        path = root / _media(mutant.source) / mutant.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(mutant.data)
        written[path] = mutant
    for folder in {path.parent for path in written}:
        names = sorted(path.name for path in folder.iterdir())
        rows = [(name, "ab"[i // 2 % 2], ("train", "test")[i % 2]) for i, name in enumerate(names)]
        pd.DataFrame(rows, columns=["path", "class", "part"]).to_csv(folder / "list.csv", index=False)
    return written


@dataclass(frozen=True)
class Verdict:
    """What a decoder makes of a file.

    Attributes:
        frames: of the first video stream that is no cover.
        samples: of the first audio stream, per channel.
        damaged: whether a packet or a frame of them is corrupt or does not decode.
        said: the reason why nothing decodes, or the log.
    """

    frames: int
    samples: int
    damaged: bool
    said: str

    @property
    def tracks(self) -> tuple[bool, bool]:
        """Whether video and audio can be read."""
        return self.frames > 0, self.samples > 0


@dataclass(frozen=True)
class Look:
    """What the project makes of a file, and at what price: seconds, and MiB above those held before."""

    verdict: Verdict
    seconds: float
    memory: float


def look(path: str) -> Look:
    """Decode a file whole, and read a clip and a window at its start and in its middle."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = _peak(), time.monotonic()
    try:
        facts = inspect(Path(path))
        samples = round(facts.audio_seconds * facts.sample_rate)
        verdict = Verdict(facts.frames, samples, facts.damaged > 0, "")
    except MediaError as error:
        verdict = Verdict(0, 0, False, error.reason)
    for start in (0.0, 0.3):
        for read in (_clip, _window):
            try:
                read(Path(path), start)
            except MediaError:
                continue
    return Look(verdict, time.monotonic() - began, _peak() - before)


def _clip(path: Path, start: float) -> None:
    read_clip(path, start=start, frames=4, fps=8, short_side=32)


def _window(path: Path, start: float) -> None:
    read_audio(path, start=start, seconds=0.3, sample_rate=16_000)


def _peak() -> float:
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) / 1024


def referee(path: Path) -> Verdict:
    """What the ffmpeg program decodes; of an image, as the reader does, by its content alone."""
    with tempfile.TemporaryDirectory() as folder:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            path = Path(shutil.copy(path, Path(folder) / "content"))
        both = _decoded(path, "0:V:0?", "0:a:0?")
        if any(both.tracks):
            return both
        # One stream that cannot be opened makes the program give up the other.
        video, audio = _decoded(path, "0:V:0"), _decoded(path, "0:a:0")
    return Verdict(video.frames, audio.samples, video.damaged or audio.damaged, both.said)


def _decoded(path: Path, *streams: str) -> Verdict:
    maps = [word for stream in streams for word in ("-map", stream)]
    source = ("-v", "warning", "-threads", "1", "-protocol_whitelist", "file,pipe", "-i", str(path))
    done = _ffmpeg(*source, *maps, "-fps_mode", "passthrough", "-f", "framecrc", "pipe:1", check=False)
    said, table = done.stderr.decode(errors="replace"), done.stdout.decode(errors="replace")
    kinds = dict(re.findall(r"#media_type (\d): (\w+)", table))
    rows = [line.split(",") for line in table.splitlines() if not line.startswith("#")]
    frames = sum(kinds[row[0]] == "video" for row in rows)
    samples = sum(int(row[3]) for row in rows if kinds[row[0]] == "audio")
    return Verdict(frames, samples, bool(CORRUPT.search(said)), said)


def _ffmpeg(*words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", *words]
    return subprocess.run(program, capture_output=True, check=check, timeout=60)


def difference(own: Verdict, theirs: Verdict) -> str:
    """In what the two differ; empty where they are equal."""
    if own.tracks != theirs.tracks:
        return f"tracks {own.tracks}, ffmpeg {theirs.tracks}"
    if own.frames != theirs.frames or abs(own.samples - theirs.samples) > PACKET:
        return f"{own.frames} frames, {own.samples} samples; ffmpeg {theirs.frames} and {theirs.samples}"
    if any(own.tracks) and own.damaged != theirs.damaged:
        return f"damaged {own.damaged}, ffmpeg {theirs.damaged}"
    return ""


STRICTER = re.compile("the limits? |time stamps are wrong|must be numbers|sample rate changes|is a playlist")
"""What the reasons say of files that ffmpeg decodes and the project refuses on purpose (docs/reference/media.md)."""


def known(own: Verdict, theirs: Verdict) -> str:
    """Why a difference is as it should be; empty where nothing says so."""
    marks = set(CORRUPT.findall(theirs.said))
    if STRICTER.search(own.said):
        return (
            "beyond a limit, or samples that are no numbers: refused, where ffmpeg decodes whatever there is"
        )
    if own.tracks != theirs.tracks or own.damaged or own.frames != theirs.frames:
        return ""
    if marks == {"Decoding error"}:
        return (
            "what follows a frame that decoded in its packet does not decode: PyAV hands out the frame alone"
        )
    if (
        "corrupt input packet" in marks <= {"corrupt input packet", "Decoding error"}
        and "/wav @" in theirs.said
    ):
        return "the last packet of a WAVE file that was cut: what is not there counts as lost"
    return ""
