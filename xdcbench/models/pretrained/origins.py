"""Encoders from elsewhere: what they are on this machine, known when planning, without torch."""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xdcbench.config.base import Modality
from xdcbench.config.models import Input, PretrainedAudio, PretrainedEncoders, PretrainedVideo
from xdcbench.config.released import Release, release_of
from xdcbench.errors import UserError
from xdcbench.models.pretrained.exported import is_export, read_stated, verified
from xdcbench.models.pretrained.released import cached, check_file, lacking, recognize
from xdcbench.utils.code import NO_CODE, Consent, find_code
from xdcbench.utils.documents import read_as
from xdcbench.utils.io import file_hash
from xdcbench.utils.manifest import MANIFEST, find_damage, make_again

TORCHVISION = "torchvision:"
OWN = ("r2plus1d", "resnet")
MFCC = "mfcc"
PEERS: Mapping[str, Modality] = {
    "avid_r2plus1d": "video",
    "crisscross_r2plus1d": "video",
    "tclr_r2plus1d": "video",
    "avid_conv9": "audio",
    "resnet9": "audio",
    "resnet18": "audio",
}
"""Peers' networks that this project builds, for released weights."""


@dataclass(frozen=True)
class Origin:
    """What planning knows of encoders from elsewhere.

    Attributes:
        encoders: the modalities that they come in.
        fingerprint: sha256 of their weights and code, hex.
        unavailable: why they are not here; empty where they are.
        inputs: what they were found to declare, of those that were built.
    """

    encoders: tuple[Modality, ...]
    fingerprint: str = ""
    unavailable: str = ""
    inputs: Mapping[Modality, Input] = field(default_factory=dict, hash=False)


def find_origin(name: str, pretrained: PretrainedEncoders, *, consent: Consent = NO_CODE) -> Origin:
    """Hash the weights and the code of ``pretrained``.

    Raises:
        UserError: a source that is neither known nor code, code that cannot be found, or weights of an
            unknown name; a folder without encoders; an exported folder that was changed; code that the user has
            not let run.
    """
    if pretrained.run is not None:
        return _of_run(name, Path(pretrained.run), consent)
    encoders = tuple(pretrained.by_modality)
    marks = hashlib.sha256()
    for modality, part in pretrained.by_modality.items():
        code = _code_hash(f"encoders.{name}.{modality}.source", part.source, consent)
        marks.update(f"{modality} {part.source} {code}".encode())
        mark = weights_hash(part)
        if mark is None:
            return Origin(encoders, unavailable=_missing(name, part))
        marks.update(mark.encode())
    return Origin(encoders, marks.hexdigest())


def must_be_built(pretrained: PretrainedEncoders) -> bool:
    """Whether only building the encoders tells if they can be built: others' code, or weights of a file."""
    if pretrained.run is not None:
        return any(":" in source for source in read_stated(Path(pretrained.run)).get("sources", {}).values())
    parts = pretrained.by_modality.values()
    return any(part.file or ((":" in part.source or part.weights) and not release_of(part)) for part in parts)


def named(part: PretrainedVideo | PretrainedAudio) -> bool:
    """Whether ``weights`` is a name of torchvision's (``KINETICS400_V1``), no file."""
    weights = part.weights or ""
    is_name = part.source.startswith(TORCHVISION) and weights.isidentifier() and not Path(weights).exists()
    return is_name and release_of(part) is None


def weights_hash(part: PretrainedVideo | PretrainedAudio) -> str | None:
    """What tells weights apart, wherever they lie; None where their file is not here.

    Returns:
        The name of torchvision's, the known digits of a release's hash, by name or by path and without a
        download, the hash of any other file, hex; empty without weights. A release of unknown hash has its name, or
        the hash of the file that the user gives.

    Raises:
        UserError: weights of an unknown name, or a file that is not the release whose name it bears.
    """
    if part.weights is None or named(part):
        return part.weights or ""
    if release := release_of(part):
        return _release_hash(release, part.file)
    path = Path(part.weights)
    if not path.is_file():
        return None
    sha256 = file_hash(path)
    release = recognize(path, sha256)
    return release.mark if release else sha256


def _release_hash(release: Release, file: str | None) -> str | None:
    if file is None:
        return release.mark if release.url or cached(release).is_file() else None
    path = Path(file)
    if not path.is_file():
        return None
    found = check_file(release, path)
    return release.sha256 or found


def _missing(name: str, part: PretrainedVideo | PretrainedAudio) -> str:
    """Why the weights of an encoder are not here."""
    if not part.file and (release := release_of(part)):
        return f"{name}: {lacking(release)}"
    return f"no weights file {part.file or part.weights} for {name}"


def _key(run: Path) -> str:
    """Key of a run, whatever its folder has been renamed to; the folder's name where the run does not say."""
    with suppress(UserError):
        return str(read_as(dict[str, Any], run / "run.json").get("key", run.name))
    return run.name


def _of_run(name: str, run: Path, consent: Consent) -> Origin:
    metadata = run / "encoders.json"
    if not run.exists():
        return Origin(("video", "audio"), unavailable=f"no folder {run} for {name}")
    if not metadata.is_file():
        raise UserError(
            f"encoders.{name}: {run} holds no encoders: {metadata.name} is missing. Try: a run directory of kind init, "
            "pretrained or round, or an exported folder"
        )
    if (run / MANIFEST).exists() and (said := find_damage(run, thorough=True, hashed=set())):
        raise UserError(f"encoders.{name}: {run} is damaged: {said}. {make_again(_key(run))}")
    known = verified(run).sha256 if is_export(run) else {}
    stated = read_stated(run)
    encoders: tuple[Modality, ...] = stated.get("encoders", ("video", "audio"))
    require_sources(stated.get("sources", {}).values(), consent, str(metadata))
    files = [metadata, *(run / f"{modality}.safetensors" for modality in encoders)]
    gone = [file.name for file in files if not file.is_file()]
    if gone:
        return Origin(encoders, unavailable=f"{run} has no {' and no '.join(gone)} for {name}: it was pruned")
    digests = [known.get(file.name) or file_hash(file) for file in files]
    return Origin(encoders, hashlib.sha256("".join(digests).encode()).hexdigest())


def require_sources(sources: Iterable[str], consent: Consent, where: str) -> None:
    """Refuse code of others that the user has not let run; nothing is imported.

    Raises:
        UserError: names the source and ``where`` it stands.
    """
    for source in sources:
        if not _known(source):
            consent.require(source, where)


def _known(source: str) -> bool:
    """Whether this project or torchvision builds it."""
    return source in (*OWN, MFCC, *PEERS) or source.startswith(TORCHVISION)


def _code_hash(where: str, source: str, consent: Consent) -> str:
    """Hash of the file that holds the user's code; nothing for what this project or torchvision builds."""
    if _known(source):
        return ""
    try:
        file = find_code(source, consent, where) if ":" in source else None
    except (ImportError, ValueError) as error:
        raise UserError(f"{where}: cannot find {source!r} ({error})") from error
    if file is None or not file.is_file():
        raise UserError(
            f"{where}: source {source!r} is none of {', '.join((*OWN, MFCC))}, torchvision:NAME or an importable "
            "module:object; mend its `source`, or put its folder on PYTHONPATH"
        )
    return file_hash(file)
