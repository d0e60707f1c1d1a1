"""Markdown that shows what it is given, whatever that holds."""

import html
import re
from typing import Any

from tabulate import tabulate

INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
"""Control characters, and those that turn the direction of what follows them."""


def plain(text: object) -> str:
    """A string of the user's as Markdown that shows it as it is, on one line, whatever it holds."""
    flat = INVISIBLE.sub(" ", str(text)).strip()
    return html.escape(re.sub(r"([\\`*\[\]|$~#!]|(?<!\w)_|_(?!\w))", r"\\\1", flat), quote=False)


def table(rows: list[list[Any]], head: list[str]) -> str:
    """A table; cells are Markdown already."""
    return tabulate(rows, head, tablefmt="pipe", disable_numparse=True)
