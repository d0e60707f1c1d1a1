"""Text that is shown: nothing in it acts on a screen, and nothing else of it changes."""

import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.utils.shown import SafeFilter, printable

DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
MARKS = "\u061c\u200e\u200f"


def acts(character: str) -> bool:
    """By the Unicode database, whether a character is a control, separator, surrogate or sets the direction."""
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in DIRECTIONS
        or character in MARKS
    )


def test_every_character_is_judged_as_the_unicode_database_does() -> None:
    for code in range(0x110000):
        character = chr(code)
        assert (printable(character) != character) == acts(character), hex(code)


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_what_is_shown_is_a_line_that_can_be_written(text: str) -> None:
    shown = printable(text)
    assert not any(map(acts, shown))
    assert len(shown.encode("utf-8").splitlines()) <= 1
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\x07\n\tc", r"a\x1b[31mb\x07\n\tc"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("gnp\u202e4pm.exe", r"gnp\u202e4pm.exe"),
        ("caf\udce9", r"caf\udce9"),
        ("击鼓 pêche ركض 🎵 e\u0301 👩\u200d🎤 C++ \\x1b", "击鼓 pêche ركض 🎵 e\u0301 👩\u200d🎤 C++ \\x1b"),
    ],
)
def test_what_is_hidden_is_written_as_in_python(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_log_holds_one_line_per_message() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s is %d", ("a\x1b\nb", 3), None)
    assert SafeFilter().filter(record)
    assert logging.Formatter("%(levelname)s %(message)s").format(record) == r"INFO a\x1b\nb is 3"
    assert SafeFilter().filter(record), "of several handlers, each with its own"
    assert record.getMessage() == r"a\x1b\nb is 3"
