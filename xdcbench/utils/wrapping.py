"""Lines of a terminal that is narrower than they are, broken where a reader expects it."""

import re
from collections.abc import Iterator

INDENT = 2
WORDS, STEPS = re.compile(r"\s*\S+"), re.compile(r"\s*[^/,]+[/,]*|\s*[/,]+")


def wrapped(line: str, width: int) -> list[str]:
    """A line as lines of at most ``width`` columns, broken between words and never within a key; 0: as it is.

    What follows the first is indented. A word that is wider than a line is broken behind its slashes and commas alone.
    Wide letters, such as Chinese ones, take two columns.
    """
    if not width:
        return [line]
    from rich.cells import cell_len

    if cell_len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + INDENT)
    lines, row = [], ""
    for word in WORDS.findall(line):
        room = width - len(indent)
        for part in [word] if cell_len(word.strip()) <= room else _steps(word):
            if row.strip() and cell_len(row + part) > width:
                lines.append(row)
                row = indent + part.lstrip()
            else:
                row += part
    return [*lines, row]


def _steps(word: str) -> Iterator[str]:
    """Parts of a path or a list, each with the sign behind it."""
    yield from STEPS.findall(word)
