"""The links from pages of clusters to the report of their results folder, which lead nowhere until it is written."""

from pathlib import Path

from xdcbench.utils.io import atomic_write

CLOSED, OPEN = b' data-report="', b' href="'
"""Attribute of the links while there is no report, which no page can show otherwise: text has no bare quotes."""


def report_of(results: Path) -> Path:
    """The report of a results folder, in its usual place."""
    return results / "report" / "index.html"


def open_report_links(results: Path) -> None:
    """Make the links of a results folder's pages of clusters lead to its report, which has been written."""
    for page in sorted(results.glob("clusters/*/index.html")):
        content = page.read_bytes()
        if CLOSED in content:
            with atomic_write(page) as part:
                part.write_bytes(content.replace(CLOSED, OPEN))
