"""Lines of the log on standard error: plain in a pipe, in colors on a terminal."""

import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import pytest
from rich.text import Text

from xdcbench.utils.terminal import TerminalHandler, broken, colored, tell_from

LINE = "[ 3/38] xdc · round 3   loss 5.51 (chance 5.55)   NMI a 0.14, v 0.13   1 min 20 s"


def record(line: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("xdcbench", level, __file__, 1, line, (), None)


def written(monkeypatch: pytest.MonkeyPatch, line: str, *, terminal: bool) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    TerminalHandler().handle(record(line))
    return stream.getvalue()


@pytest.fixture(autouse=True)
def xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def test_a_pipe_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, LINE, terminal=False) == LINE + "\n"


def test_a_terminal_gets_colors_and_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in written(monkeypatch, LINE, terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in written(monkeypatch, LINE, terminal=True)


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
@pytest.mark.parametrize(("columns", "rows"), [(40, 3), (80, 2), (120, 1)])
def test_a_line_breaks_between_words(
    monkeypatch: pytest.MonkeyPatch, plain: dict[str, str], columns: int, rows: int
) -> None:
    for name, value in {**plain, "COLUMNS": str(columns)}.items():
        monkeypatch.setenv(name, value)
    text = written(monkeypatch, LINE, terminal=True)
    assert ("\x1b" in text) == (not plain)
    first, *others = re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()
    assert len(others) == rows - 1 and all(len(row) <= columns for row in (first, *others))
    assert all(row.startswith("  ") for row in others)
    assert " ".join((first, *others)).split() == LINE.split()


def test_what_is_wider_than_the_terminal_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    key = "k" * 50
    assert written(monkeypatch, f"a {key} b", terminal=True).split() == ["a", key, "b"]


def test_colors_stay_where_a_line_breaks() -> None:
    def styled(text: Text, style: str) -> str:
        return "".join(text.plain[span.start : span.end] for span in text.spans if span.style == style)

    whole = colored(LINE, logging.INFO)
    for style in ("cyan", "bold"):
        rows = "".join(styled(row, style) for row in broken(whole, 40))
        assert rows.replace(" ", "") == styled(whole, style).replace(" ", "") != ""


TOLD = """
import logging
from xdcbench.utils.progress import track
from xdcbench.utils.terminal import TerminalHandler
logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[TerminalHandler()])
log = logging.getLogger("xdcbench")
log.info(LINE)
with track("reading", 2) as tick:
    tick(1)
    log.warning(LINE)
    tick(1)
"""


@pytest.mark.parametrize(
    ("environment", "plain"),
    [({"NO_COLOR": "1"}, True), ({"TERM": "dumb"}, True), ({"NO_COLOR": ""}, False)],
)
def test_no_escape_sequence_where_none_is_wanted(environment: dict[str, str], plain: bool) -> None:
    """On a real terminal: neither colors nor bars, whose cursor is hidden and moved."""
    read, write = pty.openpty()
    fcntl.ioctl(write, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    code = f"LINE = {LINE!r}\n{TOLD}"
    known = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    done = subprocess.run([sys.executable, "-c", code], stderr=write, env=known | environment, check=False)
    os.close(write)
    text = b""
    with suppress(OSError):  # the end of a terminal that is closed
        while part := os.read(read, 1 << 16):
            text += part
    os.close(read)
    assert done.returncode == 0, text
    assert (b"\x1b" not in text) == plain
    assert plain != (b"\x1b[?25l" in text)
    if plain:
        rows = text.decode().split("\r\n")[:-1]
        assert max(map(len, rows)) <= 40 and " ".join(rows).split() == LINE.split() * 2


def test_markup_and_orders_to_the_terminal_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert written(monkeypatch, "[red]x[/]\x1b[2J", terminal=True) == "[red]x[/]\\x1b[2J\n"


def test_numbers_stand_out_and_chance_and_time_do_not() -> None:
    text = colored(LINE, logging.INFO)
    bold = [LINE[span.start : span.end] for span in text.spans if span.style == "bold"]
    assert bold == ["loss 5.51 (chance 5.55)   NMI a 0.14, v 0.13   1 min 20 s"]
    dim = {LINE[span.start : span.end] for span in text.spans if "dim" in str(span.style)}
    assert dim == {"(chance 5.55)", "1 min 20 s"}
    assert str(colored("x   1 2", logging.WARNING).style) == "yellow"


def test_levels_of_the_terminal_leave_files_alone() -> None:
    root, handler = logging.getLogger(), TerminalHandler()
    root.addHandler(handler)
    before = root.level
    try:
        tell_from(logging.WARNING)
        assert handler.level == logging.WARNING and root.level == before
    finally:
        root.removeHandler(handler)
