"""Released weights by name: which there are, what they scored as published, where their files are."""

from pathlib import Path

from pydantic import Field

from xdcbench.config.base import Config
from xdcbench.config.load import read, validate
from xdcbench.config.models import PretrainedAudio, PretrainedVideo
from xdcbench.config.paths import folder
from xdcbench.errors import UserError
from xdcbench.models.pretrained.download import download
from xdcbench.utils.cache_folder import cache_folder
from xdcbench.utils.messages import unknown_name

SOURCE = "r2plus1d"
"""The encoder that all released weights are for."""


class Release(Config):
    """One file of weights, called ``<name>-<first hex digits of its SHA-256>.pth`` as torch.hub has it."""

    title: str
    method: str = Field(description="as in published.csv")
    pretrain_data: str = Field(description="as in published.csv")
    url: str = Field(pattern=r"^https?://\S+/\w+-[0-9a-f]{8,64}\.pth$")
    published: tuple[str, ...] = Field((), description="ids of the rows of published.csv with its scores")

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def name(self) -> str:
        """What a suite calls it."""
        return self.file.rpartition("-")[0]

    @property
    def digits(self) -> str:
        """First hex digits of the file's SHA-256."""
        return self.file.rpartition("-")[2].removesuffix(".pth")


class _Registry(Config):
    weights: tuple[Release, ...]


def registry() -> dict[str, Release]:
    """All released weights by name, in the order of ``baselines/weights.yaml``.

    Raises:
        UserError: the file is not what it should be.
    """
    path = folder("baselines") / "weights.yaml"
    return {release.name: release for release in validate(_Registry, read(path), where=str(path)).weights}


def release_of(part: PretrainedVideo | PretrainedAudio) -> Release | None:
    """The release that ``weights`` names; None where it names a file.

    Raises:
        UserError: a name that is neither, or of weights that are for another encoder.
    """
    name = part.weights or ""
    if not name.isidentifier() or Path(name).exists():
        return None
    known = registry()
    if part.source != SOURCE and name in known:
        raise UserError(
            f"weights {name!r} are of a video encoder {SOURCE!r} and do not fit {part.source!r}; leave out `source`, "
            "and name them below `video`"
        )
    if part.source == SOURCE and name not in known:
        raise UserError(unknown_name("released weights, and no file,", name, known))
    return known.get(name)


def recognize(path: Path, sha256: str) -> Release | None:
    """The release whose file ``path`` is, by its hash; None where it is the user's own.

    Raises:
        UserError: it is called as a released file, but has another hash.
    """
    for release in registry().values():
        if sha256.startswith(release.digits):
            return release
        if path.name == release.file:
            raise UserError(
                f"{path} has the SHA-256 {sha256[: len(release.digits)]}..., not {release.digits}...: it is cut "
                f"short or another file; fetch {release.url} again"
            )
    return None


def fetch(release: Release, *, progress: bool = True) -> Path:
    """The file of a release in the cache, downloaded at the first call.

    Raises:
        UserError: as `download`.
    """
    target = cache_folder("weights") / release.file
    download(release.url, target, digits=release.digits, progress=progress)
    return target
