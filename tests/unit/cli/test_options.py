"""What commands print fits the terminal, and stays as it is in files and pipes."""

import sys

import pytest

from xdcbench.cli.options import say

LINE = "to do        linear_probe-cdbde81f9aa2   scratch/seed0/linear_probe/my_clips/main"


@pytest.mark.parametrize("terminal", [True, False])
def test_lists_wrap_on_a_terminal_alone(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    say([LINE], wrap=True)
    lines = capsys.readouterr().out.splitlines()
    assert "".join("".join(lines).split()) == "".join(LINE.split())
    assert lines == [LINE] if not terminal else max(map(len, lines)) <= 40


def test_lines_that_are_copied_never_wrap(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    say([LINE])
    assert capsys.readouterr().out == LINE + "\n"
