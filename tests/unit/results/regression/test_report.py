"""What the check writes for machines: read back by parsers that are not ours."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from xdcbench.errors import UserError
from xdcbench.results.regression.changes import RegressionChange
from xdcbench.results.regression.report import annotations, append_summary, told, write_check, write_junit

STAYED = RegressionChange("xdc/k400/seed0/finetune/ucf101/top1", 90.0, 89.5, 2.0)
MOVED = RegressionChange("xdc/k400/seed0/finetune/hmdb51/top1", 60.0, 40.0, 2.0)
ODD = RegressionChange("<a href='x'>|`%0A::warning::/\x1b[31m/top1", None, 1.0, 0.0)
VALUES = [STAYED, MOVED, ODD]


def test_junit_has_a_case_for_each_number(tmp_path: Path) -> None:
    write_junit(tmp_path / "check.xml", "smoke & <more>", VALUES)
    (suite,) = ET.parse(tmp_path / "check.xml").getroot()
    assert suite.get("name") == "xdcbench check smoke & <more>"
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    cases = {f"{case.get('classname')}/{case.get('name')}": case.find("failure") for case in suite}
    assert cases[STAYED.name] is None
    failure = cases[MOVED.name]
    assert failure is not None
    assert failure.get("message") == f"{MOVED.name}: expected 60 ± 2, found 40"
    assert sum(failure is not None for failure in cases.values()) == 2


def test_a_check_that_cannot_tell_is_an_error(tmp_path: Path) -> None:
    write_junit(tmp_path / "check.xml", "smoke", [STAYED], error="stages failed")
    (suite,) = ET.parse(tmp_path / "check.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", "1")
    (error,) = suite.iter("error")
    assert error.get("message") == "stages failed"


def test_json_holds_what_is_no_number(tmp_path: Path) -> None:
    value = RegressionChange("x/top1", 1.0, float("nan"), 0.5)
    write_check(tmp_path / "check.json", "smoke", [value], {})
    (row,) = json.loads((tmp_path / "check.json").read_text(), parse_constant=pytest.fail)["values"]
    assert (row["found"], row["moved"]) == ("nan", True)


def test_json_has_every_number(tmp_path: Path) -> None:
    write_check(tmp_path / "check.json", "smoke", VALUES, {"then": {"torch": "1"}, "now": {"torch": "2"}})
    content = json.loads((tmp_path / "check.json").read_text())
    assert (content["suite"], content["moved"], len(content["values"])) == ("smoke", 2, 3)
    assert content["values"][1] == {
        "name": MOVED.name,
        "expected": 60.0,
        "found": 40.0,
        "tolerance": 2.0,
        "again": None,
        "items": [],
        "moved": True,
    }
    assert content["versions"]["now"] == {"torch": "2"}


def test_annotations_are_one_command_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    lines = list(annotations("smoke: a, b", [*VALUES, RegressionChange("a\nb", 1.0, 2.0, 0.0)]))
    assert len(lines) == 3
    assert (
        lines[2] == f"::error title=xdcbench check smoke%3A a%2C b::{MOVED.name}: expected 60 ± 2, found 40"
    )
    assert all(line.startswith("::error ") and "\n" not in line for line in lines)
    assert "%250A" in lines[0], "a percent sign of a name is no code"
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert list(annotations("smoke", VALUES)) == []


def test_the_last_20_lines_say_what_there_is_to_know() -> None:
    values = [RegressionChange(f"m{n}/top1", 50.0, 40.0 - n, 2.0) for n in range(40)]
    tiers = [f"smoke: tier {n}" for n in range(6)]
    lines = told(values, tiers)
    assert lines[:46] == [*map(str, values), *tiers], "everything is told"
    end = [*lines, "versions", "verdict"][-20:]
    assert set(tiers) < set(end)
    assert lines[46:] == ["Of 40 values that moved, the furthest:", *map(str, values[:-9:-1])]
    assert told(values[:8], tiers) == [*map(str, values[:8]), *tiers], "few are told once"


def test_github_is_told_of_ten_and_how_many_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    values = [RegressionChange(f"m{n}/top1", 50.0, 40.0 - n, 2.0) for n in range(12)]
    lines = list(annotations("smoke", values))
    assert len(lines) == 10
    assert "m11/top1" in lines[0]
    assert "m3/top1" in lines[8]
    assert lines[9].endswith("::and 3 more values moved; see the step summary")


def test_the_summary_is_a_table_in_which_names_are_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    append_summary("smoke", VALUES)
    html = MarkdownIt("commonmark").enable("table").render(path.read_text())
    assert html.startswith("<p>before")
    assert html.count("<tr>") == 3
    assert "<a " not in html and "<code>" not in html
    assert f"<td>{MOVED.name}</td>" in html
    append_summary("smoke", [STAYED])
    assert path.read_text().endswith("1 reference values, 0 moved.\n")


def test_without_a_summary_file_nothing_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)
    append_summary("smoke", VALUES)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write the JUnit file .*check\.xml"):
        write_junit(tmp_path / "none" / "check.xml", "smoke", VALUES)
    with pytest.raises(UserError, match=r"cannot write the file .*check\.json"):
        write_check(tmp_path / "none" / "check.json", "smoke", VALUES, {})
