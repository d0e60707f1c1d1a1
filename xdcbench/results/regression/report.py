"""The regression check for machines: JUnit, JSON, annotations and the step summary of GitHub Actions."""

import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from xdcbench.results.regression.changes import RegressionChange, shown
from xdcbench.results.tables.render import escape_markdown
from xdcbench.utils.documents import write_json
from xdcbench.utils.io import atomic_write, writing
from xdcbench.utils.shown import safe_text

OTHER_FILE = "give another file"

ANNOTATIONS = 10
"""Annotations of one kind that GitHub Actions shows of a step."""


FURTHEST = 8
"""Moved values that a check ends with, so that the last 20 lines of a log say what there is to know."""


def told(moved: Sequence[RegressionChange], summary: Sequence[str]) -> list[str]:
    """What moved, and the summary of the tiers; of much that moved the furthest again, below all of it."""
    if len(moved) <= FURTHEST:
        return [*map(str, moved), *summary]
    furthest = sorted(moved, key=lambda value: value.excess, reverse=True)[:FURTHEST]
    return [
        *map(str, moved),
        *summary,
        f"Of {len(moved)} values that moved, the furthest:",
        *map(str, furthest),
    ]


def write_junit(path: Path, suite: str, values: Sequence[RegressionChange], *, error: str = "") -> None:
    """One test case for each reference value, named as in the reference; those that moved are failures.

    ``error`` says why a check could not tell; it is a test case of its own.

    Raises:
        UserError: the file cannot be written.
    """
    moved = [value for value in values if value.moved]
    root = ET.Element("testsuites")
    errors = [error] if error else []
    counts = {"tests": len(values) + len(errors), "failures": len(moved), "errors": len(errors), "skipped": 0}
    cases = ET.SubElement(root, "testsuite", {"name": f"xdcbench check {safe_text(suite)}"})
    cases.attrib |= {name: str(count) for name, count in counts.items()}
    for value in values:
        place, _, metric = safe_text(value.name).rpartition("/")
        case = ET.SubElement(cases, "testcase", {"classname": place, "name": metric, "time": "0"})
        if value.moved:
            ET.SubElement(case, "failure", {"message": safe_text(str(value)), "type": "moved"})
    for reason in errors:
        case = ET.SubElement(cases, "testcase", {"classname": "check", "name": "completes", "time": "0"})
        ET.SubElement(case, "error", {"message": safe_text(reason), "type": "cannot tell"})
    with writing(f"the JUnit file {path}", OTHER_FILE), atomic_write(path) as part:
        ET.ElementTree(root).write(part, encoding="utf-8", xml_declaration=True)


def write_check(
    path: Path, suite: str, values: Sequence[RegressionChange], versions: Mapping[str, Mapping[str, str]]
) -> None:
    """All reference values as JSON, with versions and commit ``then`` and ``now``.

    Raises:
        UserError: the file cannot be written.
    """
    content = {
        "suite": suite,
        "moved": sum(value.moved for value in values),
        "versions": {when: dict(of) for when, of in versions.items()},
        "values": [asdict(value) | {"found": _plain(value.found), "moved": value.moved} for value in values],
    }
    with writing(f"the file {path}", OTHER_FILE):
        write_json(path, content)


def _plain(found: float | str | None) -> float | str | None:
    """A value that JSON can hold: what is no number is a word."""
    return found if not isinstance(found, float) or math.isfinite(found) else str(found)


def annotations(suite: str, values: Sequence[RegressionChange]) -> Iterator[str]:
    """Workflow commands of GitHub Actions, which shows `ANNOTATIONS` of a step; none elsewhere.

    One for each value that moved, the furthest first; the last one counts those beyond.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    moved = sorted((value for value in values if value.moved), key=lambda value: value.excess, reverse=True)
    said = list(map(str, moved))
    if len(said) > ANNOTATIONS:
        said[ANNOTATIONS - 1 :] = [
            f"and {len(said) - ANNOTATIONS + 1} more values moved; see the step summary"
        ]
    for text in said:
        yield f"::error title={_escaped(f'xdcbench check {suite}', of_property=True)}::{_escaped(text)}"


def _escaped(text: str, *, of_property: bool = False) -> str:
    """Text within a workflow command: what would end it is written as a code."""
    codes = {"%": "%25", "\r": "%0D", "\n": "%0A"} | ({":": "%3A", ",": "%2C"} if of_property else {})
    return "".join(codes.get(letter, letter) for letter in text)


def append_summary(suite: str, values: Sequence[RegressionChange]) -> None:
    """Add a Markdown table of what moved to the step summary of GitHub Actions, where there is one.

    Raises:
        UserError: the file cannot be written.
    """
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if not place:
        return
    moved = [value for value in values if value.moved]
    lines = [
        f"### xdcbench check {escape_markdown(suite)}",
        "",
        f"{len(values)} reference values, {len(moved)} moved.",
    ]
    if moved:
        lines += ["", "| number | expected | found | tolerance |", "|---|---|---|---|"]
        lines += [
            f"| {escape_markdown(v.name)} | {shown(v.expected)} | {shown(v.found)} | {v.tolerance:g} |"
            for v in moved
        ]
    with (
        writing(f"the step summary {place}", "see GITHUB_STEP_SUMMARY"),
        Path(place).open("a", encoding="utf-8") as file,
    ):
        file.write("\n".join(lines) + "\n")
