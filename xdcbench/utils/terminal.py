"""What is logged, as lines on standard error: with colors on a terminal, above the bars where there are any."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from xdcbench.utils.shown import SafeFilter
from xdcbench.utils.wrapping import wrapped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STYLES = {logging.WARNING: "yellow", logging.ERROR: "bold red", logging.DEBUG: "dim"}
PARTS = {
    r"^\[ *\d+/\d+\]": "cyan",
    r"(?<= {3}).*\d.*": "bold",
    r"\(chance [^)]*\)": "not bold dim",
    r"(?<= {3})[\d.]+ (s|min|h|d)( \d+ (s|min|h))?$": "not bold dim",
}
"""Parts of the line of a stage that stand out, and parts of these that do not."""


def takes_escapes(stream: TextIO) -> bool:
    """Whether a stream is a terminal that may be sent colors and orders: not with NO_COLOR, nor with TERM=dumb."""
    refused = os.environ.get("NO_COLOR") or os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return stream.isatty() and not refused


def columns_of(stream: TextIO) -> int:
    """Columns of the terminal that a stream goes to, or that COLUMNS states for it; 0 where it is none."""
    if not stream.isatty():
        return 0
    if (stated := os.environ.get("COLUMNS", "")).isdecimal():
        return int(stated)
    with suppress(OSError):
        return os.get_terminal_size(stream.fileno()).columns
    return 0


class TerminalHandler(logging.StreamHandler):
    """Writes log lines to standard error; of bars that are drawn, ``console`` is where.

    A terminal gets lines that are broken between words.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.console: Console | None = None
        self.addFilter(SafeFilter())

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record in lines that fit the terminal."""
        width = columns_of(self.stream)
        return "\n".join(row for line in super().format(record).split("\n") for row in wrapped(line, width))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, in color where that is taken."""
        console = self.console
        if console is None and takes_escapes(self.stream):
            from rich.console import Console

            console = Console(file=self.stream)
        if console is None:
            super().emit(record)
            return
        for line in super().format(record).split("\n"):
            for row in broken(colored(line, record.levelno), console.width):
                console.print(row, soft_wrap=True)


def colored(line: str, level: int) -> "Text":
    """A line in the color of its level; in an ordinary one its parts stand out."""
    from rich.text import Text

    text = Text(line, style=STYLES.get(level, ""))
    if level == logging.INFO:
        for pattern, style in PARTS.items():
            text.highlight_regex(pattern, style)
    return text


def broken(line: "Text", width: int) -> Iterator["Text"]:
    """A line in color as `wrapped` breaks its text."""
    from rich.text import Text

    end = 0
    for row in wrapped(line.plain, width):
        words = row.lstrip()
        start = line.plain.index(words, end)
        end = start + len(words)
        yield Text(row[: len(row) - len(words)]) + line[start:end]


def _handlers() -> list[TerminalHandler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, TerminalHandler)]


@contextmanager
def lines_on(console: "Console") -> Iterator[None]:
    """Within, log lines are written through ``console``, which keeps them clear of its bars."""
    handlers = _handlers()
    for handler in handlers:
        handler.console = console
    try:
        yield
    finally:
        for handler in handlers:
            handler.console = None


def tell_from(level: int) -> None:
    """Show log lines from this level on; files of logs hold all of them."""
    for handler in _handlers():
        handler.setLevel(level)
