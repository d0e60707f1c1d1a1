"""Locks between processes, on any number of machines that share a file system; they end with their process.

A lock is an ``flock`` on a file. The file stays when the lock is released: another process may be waiting for
that very file, and would hold a lock on a name that a third one makes anew.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xdcbench.errors import UserError

log = logging.getLogger("xdcbench")

SWITCH = "XDCBENCH_LOCKS"
"""Environment variable; ``off`` goes without locks, on file systems that have none."""

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""What a folder says that may be read and not written."""

HELD = (errno.EAGAIN, errno.EACCES)


OWNER_BYTES = 200


class LockedError(Exception):
    """Another process holds the lock; the text is its ``owner``, or "" where it stated none."""


class NoLocksError(UserError):
    """The file system has no locks."""


@contextmanager
def lock(
    path: Path, *, shared: bool = False, waiting: str | None = None, busy: str = "", owner: str = ""
) -> Iterator[str]:
    """Hold the lock file ``path``, which is made where it is missing.

    Gives the ``owner`` that an earlier holder stated and did not take back, since it was killed; else "".

    Args:
        path: of the lock file; its folder exists.
        shared: hold it together with others who do so, rather than alone.
        waiting: what to log while another process holds it, which is then waited for; "" waits without a word,
            None does not wait.
        busy: what to say to the user where another process holds it and is not waited for.
        owner: what the lock file tells others of this process while it holds the lock.

    Raises:
        LockedError: another process holds it, and both ``waiting`` and ``busy`` are left out.
        UserError: another process holds it: ``busy``.
        NoLocksError: the file system has no locks.
        OSError: the file cannot be opened.
    """
    if os.environ.get(SWITCH) == "off":
        yield ""
        return
    file = _opened(path)
    try:
        _take(file, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, waiting, busy)
        try:
            with _stated(file, owner) as left:
                yield left
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing would leave it to processes that were forked meanwhile
    finally:
        os.close(file)


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock file ``path``; no file is made."""
    if not path.exists():
        return False
    try:
        with lock(path):
            return False
    except LockedError:
        return True


def _opened(path: Path) -> int:
    """A descriptor of the lock file: for reading and writing, since NFS gives each kind of lock for one of them."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno not in READ_ONLY or not path.exists():
            raise
        return os.open(path, os.O_RDONLY)


def _take(file: int, path: Path, kind: int, waiting: str | None, busy: str) -> None:
    try:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in HELD:
                raise
            if waiting is None:
                raise (UserError(busy) if busy else LockedError(_owner(file))) from error
            if waiting:
                log.info("%s", waiting)
            fcntl.flock(file, kind)
    except OSError as error:
        if error.errno == errno.EBADF and fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise UserError(
                f"{path} cannot be locked: another user made it, and NFS locks no file that one may not write. "
                f"Try: chmod a+w {path}"
            ) from error
        raise NoLocksError(
            f"the file system of {path} gives no lock ({error.strerror}), without which two commands could write the "
            f"same file. Try: a folder on another file system, or {SWITCH}=off, and one command at a time"
        ) from error


@contextmanager
def _stated(file: int, owner: str) -> Iterator[str]:
    """State the owner in the lock file for as long as it is held; gives what stood there before."""
    left = _owner(file)
    if owner:
        _state(file, owner)
    try:
        yield left
    finally:
        if owner:
            _state(file, "")


def _owner(file: int) -> str:
    return os.pread(file, OWNER_BYTES, 0).decode(errors="replace").strip()


def _state(file: int, owner: str) -> None:
    """Synced, since a file that stays open reaches no other node; left out where the file cannot be written."""
    with suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, owner.encode()[:OWNER_BYTES], 0)
        os.fsync(file)
