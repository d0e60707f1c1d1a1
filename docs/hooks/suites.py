"""The page of the library's suites, from the lines at the top of their files."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

SUITES = Path(__file__).parents[2] / "configs" / "suites"
PAGE = re.compile(r"\bdocs/([\w/-]+)\.md\b")
SUBJECT = re.compile(r"\b(Hardware|Time|Pretraining|Score to expect):")
INTRODUCTION = """\
# Suites

A suite names methods, data and evaluations. `xdcbench list suites` prints those of the library, and `--dry-run` what
one does and takes. [Write a suite](../how-to/own-suite.md) shows how to write one. `DIR` is a folder of
[datasets](../how-to/get-datasets.md).
"""


def suites_page() -> str:
    """Every suite with its command, hardware, time and expected score, in Markdown."""
    return INTRODUCTION + "".join(
        section(path) for path in sorted(SUITES.glob("*.yaml"), key=lambda path: path.stem)
    )


def section(path: Path) -> str:
    """One suite."""
    text = path.read_text()
    command, *lines = header(text)
    description = yaml.safe_load(text)["description"]
    said = PAGE.sub(r"[\1](../\1.md)", SUBJECT.sub(r"**\1:**", " ".join(lines)))
    return (
        f"\n## {path.stem}\n\n{description[0].upper()}{description[1:]}.\n"
        f"\n```bash\n{command}\n```\n\n{said}\n"
    )


def header(text: str) -> Iterator[str]:
    """The lines of comment that a file begins with."""
    for line in text.splitlines():
        if not line.startswith("#"):
            return
        yield line.removeprefix("#").strip()
