"""Files by address: fetched once, taken up where a broken connection left off, checked by hash."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from xdcbench.errors import UserError
from xdcbench.progress import log, track
from xdcbench.store import file_hash
from xdcbench.utils.locks import locked

CHUNK = 1 << 20
"""Bytes read at once: a MiB, in which progress is counted."""

SILENCE = 30.0
"""Seconds without a byte after which a server counts as gone."""

PARTIAL, NOTHING_LEFT = 206, 416
"""Status of an answer that goes on where asked to, and of one that has nothing more to give."""


def download(url: str, target: Path, *, digits: str, progress: bool = True) -> None:
    """Have ``target`` hold what ``url`` offers, whole or not at all; nothing is asked for where it is there.

    Of several processes one fetches, and the others wait for it. What a broken connection left is kept
    beside ``target`` and gone on from.

    Args:
        url: http or https.
        target: the file; its folder is made.
        digits: first hex digits of the file's SHA-256.
        progress: whether it is shown.

    Raises:
        UserError: the file cannot be fetched or written, or its hash is another; one that was fetched is
            then removed.
    """
    if target.exists():
        found = file_hash(target)
        if not found.startswith(digits):
            raise UserError(
                f"{target} has the SHA-256 {found[: len(digits)]}..., not {digits}...: it is cut short or another "
                f"file; move it away, and run again to fetch {url}"
            )
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if not target.exists():
                part = target.with_name(f"{target.name}.part")
                _fetch(url, part, progress=progress)
                _keep(part, target, digits, url)
    except (OSError, HTTPException) as error:
        raise UserError(
            f"cannot fetch {url} ({str(error) or type(error).__name__}); run again to go on from there, or "
            f"fetch it elsewhere and put it at {target}"
        ) from error


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    waiting = f"{target.name}: another process fetches it; waiting"
    with locked(target.with_name(f".{target.name}.lock"), waiting=waiting):
        yield


def _fetch(url: str, part: Path, *, progress: bool) -> None:
    """Append to ``part`` what it lacks; a server that cannot go on from there sends the whole again."""
    have = part.stat().st_size if part.exists() else 0
    try:
        answer = urlopen(Request(url, headers={"Range": f"bytes={have}-"} if have else {}), timeout=SILENCE)
    except HTTPError as error:
        if have and error.code == NOTHING_LEFT:
            return
        raise
    with answer:
        have = have if answer.status == PARTIAL else 0
        total = have + int(answer.headers.get("Content-Length", 0))
        shown = track(f"{part.stem}, MiB", math.ceil(total / CHUNK)) if progress else nullcontext(_silent)
        with part.open("ab" if have else "wb") as file, shown as done:
            done(have // CHUNK)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                done()
    if part.stat().st_size < total:
        raise OSError(f"it ended after {part.stat().st_size} of {total} bytes")


def _silent(_chunks: int = 1) -> None:
    """Progress that nobody asked for."""


def _keep(part: Path, target: Path, digits: str, url: str) -> None:
    found = file_hash(part)
    if not found.startswith(digits):
        part.unlink()
        raise UserError(
            f"{url} gave a file with the SHA-256 {found[: len(digits)]}..., not {digits}..., which was removed; "
            f"fetch the right one elsewhere and put it at {target}"
        )
    part.replace(target)
    log.info("%s: fetched, SHA-256 %s", target, found)
