"""Lines of the log on standard error: plain in a pipe, in colors on a terminal."""

import io
import logging
import sys

import pytest

from xdcbench.utils.terminal import TerminalHandler, colored, tell_from

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
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def test_a_pipe_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, LINE, terminal=False) == LINE + "\n"


def test_a_terminal_gets_colors_and_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in written(monkeypatch, LINE, terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in written(monkeypatch, LINE, terminal=True)


def test_a_narrow_terminal_wraps_the_line_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is one line again when it is copied."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "40")
    assert written(monkeypatch, LINE, terminal=True) == LINE + "\n"


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
