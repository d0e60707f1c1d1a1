"""Files by address: fetched once, taken up where a broken connection left off, checked by hash."""

import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from threading import Thread
from typing import IO, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from xdcbench.errors import UserError
from xdcbench.utils.io import file_hash, is_web_page
from xdcbench.utils.locks import lock
from xdcbench.utils.progress import log, track
from xdcbench.utils.secrets import redact

CHUNK = 1 << 20
"""Bytes read at once: a MiB, in which progress is counted."""

SILENCE = 30.0
"""Seconds without a byte after which a server counts as gone."""

PATIENCE = 60.0
"""Seconds until an answer must have begun, and until its bytes must come fast enough."""

SLOWEST = 10 << 10
"""Bytes per second, in the mean, below which a server counts as gone."""

LARGEST = 4 << 30
"""Bytes of a file at most."""

SCHEMES = ("http", "https")

PARTIAL, NOTHING_LEFT = 206, 416
"""Status of an answer that resumes where asked to, and of one that has nothing more to give."""


def download(url: str, target: Path, *, digits: str, progress: bool = True) -> None:
    """Have ``target`` hold what ``url`` offers, whole or not at all; nothing is asked for where it is there.

    Of several processes one fetches, and the others wait for it. What a broken connection left is kept
    beside ``target`` and resumed from.

    Args:
        url: http or https; https is never left for http.
        target: the file; its folder is made.
        digits: first hex digits of the file's SHA-256; empty: any file but a web page.

    Raises:
        UserError: the file cannot be fetched or written, is larger than `LARGEST`, comes too slowly, its hash is
            another, or it is a web page; one that was fetched is then removed.
    """
    if target.exists():
        found = file_hash(target)
        if not found.startswith(digits):
            raise UserError(
                f"{target} has the SHA-256 {found[: len(digits)]}..., not {digits}...: it is cut short or another "
                f"file; move it away, and run again to fetch {redact(url)}"
            )
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        waiting = f"{target.name}: another process fetches it; waiting"
        with lock(target.with_name(f".{target.name}.lock"), waiting=waiting):
            if not target.exists():
                part = target.with_name(f"{target.name}.part")
                _fetch(url, part, progress=progress)
                _keep(part, target, digits, url)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a server leads to what is no address
        raise UserError(
            f"cannot fetch {redact(url)} ({redact(str(error)) or type(error).__name__}); run again to resume from "
            f"there, or fetch it elsewhere and put it at {target}"
        ) from error


def _fetch(url: str, part: Path, *, progress: bool) -> None:
    """Append to ``part`` what it lacks; a server that cannot resume from there sends the whole again."""
    if urlsplit(url).scheme not in SCHEMES:
        raise UserError(
            f"{redact(url)} is no address of http or https. Try: fetch it yourself, and give the file"
        )
    have = part.lstat().st_size if os.path.lexists(part) else 0
    try:
        answer = _ask(url, have)
    except HTTPError as error:
        if have and error.code == NOTHING_LEFT:
            return
        raise
    with answer:
        have = have if answer.status == PARTIAL else 0
        length = _length(answer, have)
        total = have + (length or 0)
        shown = (
            track(f"{part.stem}, MiB", math.ceil(total / CHUNK)) if progress else nullcontext(lambda _: None)
        )
        with _opened(part, have) as file, shown as done:
            done(have // CHUNK)
            got = have + _copy(answer, file, have, done)
    if length is not None and got < total:
        raise OSError(f"it ended after {got} of {total} bytes")


@contextmanager
def _opened(part: Path, have: int) -> Iterator[BinaryIO]:
    """A part file to write to after ``have`` bytes: a plain file, never what a link there leads to."""
    try:
        number = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise UserError(
            f"{part} cannot be written ({error.strerror}): is it a link? Try: remove it"
        ) from error
    facts = os.fstat(number)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        os.close(number)
        raise UserError(f"{part} is no plain file, or has another name, too. Try: remove it")
    with os.fdopen(number, "r+b") as file:
        file.truncate(have)
        file.seek(have)
        yield file


def _ask(url: str, have: int) -> HTTPResponse:
    """The answer of a server that is asked for a file from byte ``have`` on.

    A thread asks, since a server that sends its headers byte by byte is never silent for long.

    Raises:
        OSError: the answer does not begin in time.
    """
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    answer: Future[HTTPResponse] = Future()

    opener = build_opener(_Redirects)

    def ask() -> None:
        try:
            answer.set_result(opener.open(request, timeout=SILENCE))
        except Exception as error:
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    if not wait([answer], PATIENCE).done:
        raise OSError(f"no answer within {PATIENCE:g} s")
    return answer.result()


def _length(answer: HTTPResponse, have: int) -> int | None:
    """Bytes that an answer says it holds; None where it says nothing.

    Raises:
        OSError: it says what cannot be, more than may be, or resumes from elsewhere than asked.
    """
    said = set(answer.headers.get_all("Content-Length", []))
    begin = answer.headers.get("Content-Range", f"bytes {have}-")
    if have and not begin.startswith(f"bytes {have}-"):
        raise OSError(f"asked to resume from byte {have}, the server sends {begin!r}")
    if not said:
        return None
    text = said.pop()
    if said or not (text.isascii() and text.isdigit() and len(text) < 19):
        raise OSError(f"the server states a Content-Length of {', '.join([text, *said])!r:.60}")
    if have + int(text) > LARGEST:
        raise OSError(
            f"the server states {have + int(text):,} bytes, more than the {LARGEST:,} of a file of weights"
        )
    return int(text)


def _copy(answer: HTTPResponse, file: BinaryIO, have: int, done: Callable[[int], object]) -> int:
    """Write what comes; number of bytes.

    Raises:
        OSError: it is too much, or comes too slowly.
    """
    begun, got = time.monotonic(), 0
    while data := answer.read1(CHUNK):
        file.write(data)
        if steps := math.ceil((got + len(data)) / CHUNK) - math.ceil(got / CHUNK):
            done(steps)
        got += len(data)
        if have + got > LARGEST:
            raise OSError(f"more than {LARGEST:,} bytes came")
        if time.monotonic() - begun > PATIENCE + got / SLOWEST:
            raise OSError(f"{got:,} bytes in {time.monotonic() - begun:.0f} s is too slow")
    return got


class _Redirects(HTTPRedirectHandler):
    """Follows to other http and https addresses, from https to https alone."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """See the base class."""
        to = urlsplit(newurl).scheme
        if to not in SCHEMES or (req.type == "https" and to != "https"):
            raise OSError(f"{redact(req.full_url)} leads to {redact(newurl)}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _keep(part: Path, target: Path, digits: str, url: str) -> None:
    found = file_hash(part)
    if not found.startswith(digits):
        part.unlink()
        raise UserError(
            f"{redact(url)} gave a file with the SHA-256 {found[: len(digits)]}..., not {digits}..., which was "
            f"removed; fetch the right one elsewhere and put it at {target}"
        )
    if is_web_page(part):
        part.unlink()
        raise UserError(
            f"{redact(url)} gave a web page in place of the file. Try: fetch it elsewhere, and put it at {target}"
        )
    part.replace(target)
    log.info("%s: fetched, SHA-256 %s", target, found)
