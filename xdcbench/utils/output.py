"""Standard output in any locale, and where it cannot be written."""

import errno
import io
import locale
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def use_utf8() -> None:
    """Start this command again in Python's UTF-8 mode, unless the locale is UTF-8 already.

    In another locale names of files would not be what the lists of datasets call them. The terminal still gets
    its own encoding.
    """
    if sys.flags.utf8_mode or locale.getencoding().lower().replace("-", "") == "utf8":
        return
    os.environ["PYTHONUTF8"] = "1"
    if not os.environ.get("PYTHONIOENCODING"):
        os.environ["PYTHONIOENCODING"] = f"{locale.getencoding()}:backslashreplace"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextmanager
def standard_output() -> Iterator[None]:
    """Within, a character that the terminal does not know is written as an escape.

    A standard output that takes nothing ends the process with exit code 1: with a line on standard error, or, where
    its reader has left (``| head``), without a word.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if not _fails():
            raise
        _give_up(error)


def _fails() -> bool:
    """Whether standard output takes no line end; one more before a traceback does no harm."""
    try:
        if sys.stdout is not None:
            sys.stdout.write("\n")
            sys.stdout.flush()
    except OSError:
        return True
    return False


def _give_up(error: OSError) -> None:
    # Python writes what is left as it ends, and would say that it cannot.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:
        with suppress(OSError):
            sys.stderr.write(f"xdcbench: cannot write to standard output: {error.strerror}\n")
    raise SystemExit(1) from None
