"""Pages, help texts, messages and docstrings: spelled correctly, in American English, without archaic words."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = ("docs", "xdcbench", "configs", "tables", "baselines")
SUFFIXES = {".md", ".py", ".yaml", ".jinja", ".html", ".js", ".css"}
FILES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "hubconf.py")] + [
    path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES
]
ARCHAIC = (
    "albeit|amongst|aught|betwixt|ere|forthwith|heretofore|henceforth|hereby|herein|hereunto|hither|hitherto|lest|mayhap|"
    "naught|nigh|oft|perchance|shall|shalt|thee|thence|thereby|therefrom|therein|thereof|thereupon|thither|thou|thy|unto|"
    "verily|whereas|whereby|wherefore|wherein|whereof|whereupon|whilst|withal|yonder"
)
BRITISH = (
    "behaviour|catalogue|centre|colour|favour|grey|initialise|labelled|licence|modelling|normalise|optimise"
)
PHRASES = (
    "in an environment of its own with as much again",
    "are all that must be there",
    "what this machine lacks is",
    "goes not together",
    "that nothing states",
    "goes on from here",
)
WORDS = re.compile(rf"\b({ARCHAIC}|{BRITISH})\b|{'|'.join(PHRASES)}", re.IGNORECASE)
CODE = re.compile(r"colour\}?\}|_colour|\bcolour[,:\]]|\"colour\"|`colour`")
"""GRID's lists have a column of this name."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_archaic_and_no_british_word(path: Path) -> None:
    lines = CODE.sub("", path.read_text()).splitlines()
    found = [
        f"{number}: {match[0]}" for number, line in enumerate(lines, 1) for match in WORDS.finditer(line)
    ]
    assert found == []


def test_spelling() -> None:
    """codespell knows frequent misspellings; `[tool.codespell]` lists names that look like one."""
    command = [sys.executable, "-m", "codespell_lib", "--toml", str(ROOT / "pyproject.toml")]
    done = subprocess.run([*command, *map(str, FILES)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
