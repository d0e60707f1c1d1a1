"""Released weights by name: which there are, what their files hold, what is published of them."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from xdcbench.config.base import Config, Modality
from xdcbench.config.compose import mapping, merge, read
from xdcbench.config.models import (
    AudioModel,
    PretrainedAudio,
    PretrainedEncoders,
    PretrainedVideo,
    VideoModel,
)
from xdcbench.config.paths import folder
from xdcbench.config.validate import validate
from xdcbench.errors import UserError
from xdcbench.utils.messages import unknown_name
from xdcbench.utils.names import Name

PlainClass = Literal["argparse.Namespace"]
"""A class of settings that holds values and runs no code; a name here never becomes an import."""

Digits = Annotated[str, Field(pattern=r"^([0-9a-f]{8,64})?$")]
Address = Annotated[str, Field(pattern=r"^(https?://\S+)?$")]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression ({error})") from error
    return text


class License(Config):
    """Under what terms the authors give weights away."""

    name: str = Field(description="as the authors state it")
    commercial: bool | None = Field(description="whether commercial use is allowed; null: nothing is stated")


class Tensors(Config):
    """Where the tensors of one encoder lie in a file, and how its own names follow from theirs."""

    source: str = Field(description="as of an entry of `encoders`")
    prefix: str = Field("", description="of its tensors' names, taken off; other tensors are of other parts")
    rename: dict[Annotated[str, AfterValidator(_pattern)], str] = Field(
        {}, description="regular expressions and what takes their place, in order"
    )
    leave_out: tuple[str, ...] = Field((), description="beginnings of the names, renamed, of heads")


class VideoTensors(Tensors):
    """A video encoder of a file."""

    channels: Literal["rgb", "bgr"] = Field(
        "rgb",
        description="order of colors that it has learned from; its first convolution is turned to red first",
    )
    model: VideoModel = Field(VideoModel(), description="the network that they are of")


class AudioTensors(Tensors):
    """An audio encoder of a file."""

    model: AudioModel = Field(AudioModel(), description="the network that they are of")


class Statistics(Config):
    """The file of means and deviations per bin that a front end normalizes by: npz, `mean` and `std`."""

    url: Address = Field(description="direct address")
    file: Name = Field(description="name of the file")
    sha256: Digits = Field("", description="whole, the first digits, or empty: unknown")


class Release(Config):
    """One file of weights and the encoders in it.

    ``sha256`` is the whole hash, its first digits, or empty: then nothing tells a changed file.
    """

    name: str = Field(description="as of `list weights`")
    title: str = Field(description="in tables")
    method: str = Field(description="as in published.csv")
    pretrain_data: str = Field(description="as in published.csv")
    paper: str = Field(description="that describes them")
    license: License = Field(description="of the weights")
    page: Address = Field(description="where the authors offer it")
    url: Address = Field("", description="direct address; empty: the user provides the file")
    file: Name = Field(description="name of the file")
    sha256: Digits = Field("", description="whole, the first digits, or empty: unknown")
    zipped: bool = Field(False, description="whether the file is a zip archive with the weights file in it")
    nested: tuple[str, ...] = Field((), description="keys under which the tensors lie in the file")
    allowed: tuple[PlainClass, ...] = Field((), description="classes in the file beside tensors")
    statistics: Statistics | None = Field(
        None, description="file of means and deviations; none: the front end needs none"
    )
    video: VideoTensors | None = Field(None, description="the video encoder; none: the file has none")
    audio: AudioTensors | None = Field(None, description="the audio encoder; none: the file has none")
    published: tuple[str, ...] = Field((), description="ids of the rows of published.csv with its scores")
    protocol: str = Field("", description="how the published scores came about")
    unverified: tuple[str, ...] = Field((), description="what of this entry nobody has seen in the file")

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not self.by_modality:
            raise ValueError("give `video`, `audio` or both")
        return self

    @property
    def by_modality(self) -> Mapping[Modality, VideoTensors | AudioTensors]:
        """Those of ``video`` and ``audio`` that the file holds."""
        parts: dict[Modality, VideoTensors | AudioTensors | None]
        parts = {"video": self.video, "audio": self.audio}
        return {modality: part for modality, part in parts.items() if part}

    @property
    def mark(self) -> str:
        """What tells it apart in keys: the known digits of its hash, or its name where there are none."""
        return self.sha256 or self.name


def registry() -> Mapping[str, Release]:
    """All released weights by name, in the order of the files of ``baselines/released``.

    Raises:
        UserError: a file is not what it should be, or a name comes twice.
    """
    return _registry(tuple(sorted((folder("baselines") / "released").glob("*.yaml"))))


@cache
def _registry(paths: tuple[Path, ...]) -> Mapping[str, Release]:
    """The weights of some files; reading them takes longer than most plans."""
    found: dict[str, Release] = {}
    for path in paths:
        tree = read(path)
        if unknown := tree.keys() - {"shared", "weights"}:
            raise UserError(f"{path}: no field {min(unknown)!r}. Try: `shared` and `weights`")
        shared, weights = mapping(tree, "shared", path), mapping(tree, "weights", path)
        for name in weights:
            if name in found or not name.isidentifier():
                raise UserError(
                    f"{path}: weights.{name}: the name is taken, or not of letters, digits and underscores"
                )
            entry = merge(shared, mapping(weights, name, path)) | {"name": name}
            entry.setdefault("file", str(entry.get("url", "")).rpartition("/")[2])
            found[name] = validate(Release, entry, where=f"{path}: weights.{name}")
    return found


def release_of(part: PretrainedVideo | PretrainedAudio) -> Release | None:
    """The release that ``weights`` names; None where it names a file, or weights of torchvision.

    Raises:
        UserError: a name of nothing, or of weights that hold no such encoder.
    """
    name = part.weights or ""
    if not name.isidentifier() or (Path(name).exists() and not part.file):
        _check_no_file(part)
        return None
    modality: Modality = "video" if isinstance(part, PretrainedVideo) else "audio"
    release = registry().get(name)
    if release is None:
        if part.file or part.source == type(part).model_fields["source"].default:
            raise UserError(unknown_name("released weights, and no file,", name, registry()))
        return None
    if modality not in release.by_modality:
        (other,) = release.by_modality
        raise UserError(f"weights {name!r} hold no {modality} encoder. Try: name them below `{other}`")
    return release


def _check_no_file(part: PretrainedVideo | PretrainedAudio) -> None:
    if part.file:
        raise UserError(
            f"file {part.file!r} is given for weights {part.weights!r}, which is no name of `xdcbench list weights`. "
            "Try: give the path as `weights`, and leave out `file`"
        )


def with_releases(given: PretrainedEncoders) -> PretrainedEncoders:
    """Encoders from elsewhere with what is known of the released weights that they name; what is stated stands.

    Raises:
        UserError: as `release_of`; a source that the weights are not for.
    """
    update: dict[str, Any] = {modality: _with_release(part) for modality, part in given.by_modality.items()}
    return given.model_copy(update=update)


def _with_release(part: PretrainedVideo | PretrainedAudio) -> PretrainedVideo | PretrainedAudio:
    release = release_of(part)
    if release is None:
        return part
    modality: Modality = "video" if isinstance(part, PretrainedVideo) else "audio"
    known, stated = release.by_modality[modality], part.model_dump(exclude_unset=True)
    if stated.get("source", known.source) != known.source:
        raise UserError(
            f"weights {release.name!r} are of {known.source!r} and do not fit {part.source!r}. Try: leave out `source`"
        )
    declared: dict[str, Any] = {"source": known.source, "model": known.model.model_dump(exclude_unset=True)}
    return validate(type(part), merge(declared, stated), where=release.name)
