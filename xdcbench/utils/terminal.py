"""What is logged, as lines on standard error: with colors on a terminal, above the bars where there are any."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xdcbench.utils.shown import SafeFilter

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


class TerminalHandler(logging.StreamHandler):
    """Writes log lines to standard error. Of bars that are drawn, ``console`` is where."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.console: Console | None = None
        self.addFilter(SafeFilter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, which wraps as the terminal wraps it."""
        console = self.console
        if console is None and self.stream.isatty():
            from rich.console import Console

            console = Console(file=self.stream)
        if console is None:
            super().emit(record)
        else:
            console.print(colored(self.format(record), record.levelno), soft_wrap=True)


def colored(line: str, level: int) -> "Text":
    """A line in the color of its level; in an ordinary one its parts stand out."""
    from rich.text import Text

    text = Text(line, style=STYLES.get(level, ""))
    if level == logging.INFO:
        for pattern, style in PARTS.items():
            text.highlight_regex(pattern, style)
    return text


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
