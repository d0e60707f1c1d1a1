"""Room on the disk: what is taken, and what to say when there is none, which is the user's to mend."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xdcbench.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def explain_full_disk(folder: Path, needed: int) -> Iterator[None]:
    """Around writing ``needed`` bytes into ``folder``.

    Raises:
        UserError: the disk, or the user's part of it, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(folder).free
        raise UserError(
            f"no space left in {folder}: {needed:,} bytes are needed and {free:,} are free; free some "
            "(`xdcbench prune` removes what no result needs), and run the same command to resume"
        ) from error


def disk_usage(path: Path) -> int:
    """Bytes that a file, or a folder with all in it, takes on the disk; 0 where nothing is."""
    files = path.rglob("*") if path.is_dir() else [path] if path.exists() else []
    return sum(file.lstat().st_blocks * 512 for file in files)
