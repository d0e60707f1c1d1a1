"""Originals -> members of a store: film, still picture and sound."""

from dataclasses import dataclass, field
from pathlib import Path

from xdcbench.data.media import MediaInfo, probe, read_image
from xdcbench.data.media.container import opened, video_stream
from xdcbench.data.prepared.film import film
from xdcbench.data.prepared.layout import Kind, Settings
from xdcbench.data.prepared.soundtrack import sound
from xdcbench.errors import MediaError


@dataclass
class Contents:
    """What a store keeps of one original.

    Attributes:
        info: what the original's header says.
        members: file of each kind.
        width: of the stored picture, upright, pixels; 0 without.
        height: likewise.
        rate: of the stored pictures, per second; 0 without.
        faults: why a track of the original has no member.
    """

    info: MediaInfo
    members: dict[Kind, Path] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    rate: float = 0.0
    faults: list[str] = field(default_factory=list)


def contents(path: Path, media: str, settings: Settings, out: Path) -> Contents:
    """Write the members of one original; a track that does not decode is a fault, and the other is kept.

    Args:
        path: of the original.
        media: kind of the data set; of recordings the sound alone is kept, of images the picture.
        settings: of the store.
        out: what the members' files are called, to which their suffix is added.

    Raises:
        OSError: a member cannot be written.
        MediaError: the file cannot be opened, or holds nothing that a data set of this kind needs.
    """
    found = Contents(probe(path))
    if media == "image":
        data, found.width, found.height = image(path, settings)
        found.members["video"] = _named(out, "jpg")
        found.members["video"].write_bytes(data)
        return found
    if media == "video" and found.info.has_video:
        target = _named(out, "mp4")
        try:
            made = film(path, settings, target)
        except MediaError as error:
            target.unlink(missing_ok=True)
            found.faults.append(f"picture: {error.reason}")
        else:
            found.members["video"] = target
            found.width, found.height, found.rate = made.width, made.height, float(made.rate)
    if found.info.has_audio:
        target = _named(out, settings.sound)
        try:
            sound(path, settings, target)
        except MediaError as error:
            target.unlink(missing_ok=True)
            found.faults.append(f"sound: {error.reason}")
        else:
            found.members["sound"] = target
    if not found.members:
        raise MediaError(path, "; ".join(found.faults) or "holds no sound")
    return found


def _named(out: Path, suffix: str) -> Path:
    return out.with_name(f"{out.name}.{suffix}")


def image(path: Path, settings: Settings) -> tuple[bytes, int, int]:
    """A JPEG, upright and never enlarged: its bytes, width and height; the original's where it is small enough.

    Raises:
        MediaError: there is no picture.
    """
    from torchvision.io import encode_jpeg

    with opened(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(path, "no picture")
        width, height = stream.codec_context.width, stream.codec_context.height
        plain = stream.codec_context.name == "mjpeg"
    side = min(settings.short_side, width, height)
    picture = read_image(path, short_side=side)
    if plain and side == min(width, height) and tuple(picture.shape[:2]) == (height, width):
        return path.read_bytes(), width, height
    data = encode_jpeg(picture.permute(2, 0, 1).contiguous(), quality=settings.quality)
    return bytes(data.numpy()), picture.shape[1], picture.shape[0]
