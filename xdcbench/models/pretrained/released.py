"""Files of released weights: in the cache or of the user, recognized by hash, downloaded at the first use."""

import sys
from pathlib import Path
from typing import Literal

from xdcbench.config.released import Release, registry
from xdcbench.errors import UserError
from xdcbench.models.pretrained.download import download
from xdcbench.utils.cache_folder import cache_folder
from xdcbench.utils.io import file_hash
from xdcbench.utils.progress import log

Pinning = Literal["whole", "prefix", "unpinned"]
UNPINNED: Pinning = "unpinned"


def cached(release: Release) -> Path:
    """Where the file of a release lies in the cache, once it is there."""
    return cache_folder("weights") / release.file


def pinning(release: Release) -> Pinning:
    """How much of the file's hash is known: ``whole``, ``prefix`` or ``unpinned``."""
    if not release.sha256:
        return UNPINNED
    return "whole" if len(release.sha256) == 64 else "prefix"


def recognize(path: Path, sha256: str) -> Release | None:
    """The release whose file ``path`` is, by its hash; None where it is the user's own.

    Raises:
        UserError: it is called as a released file, but has another hash.
    """
    for release in registry().values():
        if not release.sha256:
            continue
        if sha256.startswith(release.sha256):
            return release
        if path.name == release.file:
            raise UserError(_another(path, sha256, release))
    return None


def check_file(release: Release, path: Path) -> str:
    """The SHA-256 of a file that the user says is that of a release, hex.

    Raises:
        UserError: it has another hash.
    """
    found = file_hash(path)
    if not found.startswith(release.sha256):
        raise UserError(_another(path, found, release))
    return found


def _another(path: Path, sha256: str, release: Release) -> str:
    return (
        f"{path} has the SHA-256 {sha256[: len(release.sha256)]}..., not {release.sha256}...: it is cut short or "
        f"another file; fetch {release.url or release.page} again"
    )


def license_note(release: Release) -> str:
    """What a license forbids, in words, of a file that is still to be downloaded; empty where there is nothing."""
    if release.license.commercial is not False or not release.url or cached(release).exists():
        return ""
    return f"{release.title} ({release.name}) is licensed {release.license.name}: no commercial use"


def require_license(release: Release, *, accepted: bool) -> None:
    """Refuse to download, in a batch job, what is under a license that forbids commercial use and is not accepted.

    Raises:
        UserError: nobody sits at a terminal to read the license.
    """
    if (told := license_note(release)) and not accepted and not sys.stdin.isatty():
        raise UserError(f"{told}. Try: read {release.page}, then give --accept-license")


def fetch(release: Release, *, accepted: bool = False, progress: bool = True) -> Path:
    """The file of a release in the cache, downloaded at the first call.

    Raises:
        UserError: as `require_license` and `download`; it has no direct address, and is not there.
    """
    target = cached(release)
    if not release.url:
        if target.is_file():
            check_file(release, target)
            return target
        raise UserError(lacking(release))
    require_license(release, accepted=accepted)
    if told := license_note(release):
        log.warning("%s; see %s", told, release.page)
    download(release.url, target, digits=release.sha256, progress=progress)
    if not release.sha256:
        log.warning("%s: %s, no hash is published to check it by", release.name, UNPINNED)
    return target


def fetch_statistics(release: Release) -> Path | None:
    """The file of statistics of a release's front end; None where it needs none.

    Raises:
        UserError: as `download`.
    """
    if release.statistics is None:
        return None
    target = cache_folder("weights") / release.statistics.file
    download(release.statistics.url, target, digits=release.statistics.sha256, progress=False)
    return target


def lacking(release: Release) -> str:
    """Why a release that has no direct address is not here, and what helps."""
    return (
        f"weights {release.name} have no direct address. Try: get {release.file} from {release.page}, and give its "
        f"path as `file`, or put it at {cached(release)}"
    )
