import csv
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.golden.simulated import measured
from xdcbench.config.table import Column, Table
from xdcbench.errors import UserError
from xdcbench.results.published import MARKS, Published
from xdcbench.results.records import Record
from xdcbench.results.tables.build import build
from xdcbench.results.tables.grid import Cell, Grid, Group, Reference, Row
from xdcbench.results.tables.render import Format, render
from xdcbench.results.tables.texts import Look

A_RUN = measured(run="a0")
FORMATS: tuple[Format, ...] = get_args(Format)
HOSTILE = [
    "<script>alert(1)</script>",
    "$x$",
    "a & b",
    "\\input{/etc/passwd}",
    "=cmd()",
    "a|b",
    "50%_#~^{}",
    '" onclick="x',
    "[x]",
    "line\nbreak",
]


def _grid(name: str = "xdc", ranked: bool = True) -> Grid:
    best = Cell(
        value=72.04,
        spread=2.83,
        n=2,
        unit="%",
        splits=("1",),
        seeds=("0", "1"),
        records=(A_RUN, A_RUN.model_copy(update={"run": "a1"})),
        items_used=49,
        items_expected=50,
        items_failed=1,
        status="measured",
        dataset="ucf101",
        fingerprint="feedbeef",
        rank="best" if ranked else "",
        p=None,
        metric="top1",
        guesses=(10.0, 12.5),
        reference=Reference(74.2, "unverified", "t1-016"),
    )
    other = replace(best, value=50.0, spread=None, n=1, seeds=("0",), reference=None, rank="")
    other = replace(other, records=(A_RUN.model_copy(update={"run": "b0"}),), p=0.01)
    printed = Cell(value=74.2, n=1, unit="%", splits=("1",), status="unverified", source="t1-016")
    lack = Cell(absent="no folder of hmdb51")
    rows = (Row((name, "kinetics400"), "k 64", (best, lack)), Row(("scratch", "none"), "", (other, Cell())))
    chance = Row(("chance", ""), "", (Cell(value=10.0, unit="%", status="chance"), Cell(status="chance")))
    groups = (
        Group("measured", rows, (chance,)),
        Group("published", (Row((name, "kinetics400"), "", (printed, Cell())),)),
    )
    fields, columns = ("method", "pretrain_data"), ("UCF101", "HMDB51")
    return Grid(
        "Table 1: top-1 (%)", fields, columns, groups, ("† unverified.",), details=("Suites: smoke.",)
    )


def _lines(grid: Grid) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(grid, "csv"))))


# ------------------------------------------------------------------------------------------ each format


def test_markdown() -> None:
    text = render(_grid(), "md")
    assert text.startswith("### Table 1: top-1 (%)\n\n| method")
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert cells[0] == ["method", "pretraining data", "UCF101", "HMDB51"]
    assert cells[2:] == [
        ["*measured*", "", "", ""],
        ["xdc (k 64)", "kinetics400", "**72.0 ± 2.8** (−2.2†)", "n/a"],
        ["scratch", "none", "50.0", "—"],
        ["chance", "", "10.0", ""],
        ["*published*", "", "", ""],
        ["xdc", "kinetics400", "74.2†", "—"],
    ]
    assert "- Bold: the best" in text and text.endswith("- † unverified.\n")
    assert render(_grid(), "md", Look(details=True)).endswith("- † unverified.\n\n- Suites: smoke.\n")


def test_text() -> None:
    text = render(_grid(), "txt")
    assert re.search(r"xdc \(k 64\) +kinetics400 +\*72\.0 ± 2\.8 \(−2\.2†\) +n/a", text)
    assert re.search(r"scratch +none +50\.0 +—", text)
    assert re.search(r"chance +10\.0\n", text)
    assert "*: the best" in text and "[published]" in text
    unmarked = render(_grid(ranked=False), "txt")
    assert "*" not in unmarked and "No best number is marked" in unmarked


def test_csv_is_the_full_form() -> None:
    measured, lack, other, printed = _lines(_grid())
    assert measured == {
        "group": "measured",
        "method": "xdc",
        "pretrain_data": "kinetics400",
        "setting": "k 64",
        "column": "UCF101",
        "metric": "top1",
        "value": "72.04",
        "unit": "%",
        "low": "",
        "high": "",
        "spread": "2.83",
        "n": "2",
        "seeds": "0 1",
        "split": "1",
        "runs": "a0 a1",
        "items_of": "test",
        "items_used": "49",
        "items_expected": "50",
        "items_failed": "1",
        "dataset": "ucf101",
        "fingerprint": "feedbeef",
        "subset": "",
        "status": "measured",
        "differs": "",
        "source": "",
        "rank": "best",
        "p": "",
        "chance": "10.0",
        "most_frequent_class": "12.5",
        "published": "74.2",
        "published_status": "unverified",
        "published_source": "t1-016",
        "delta": "-2.16",
        "reason": "",
    }
    assert (lack["value"], lack["status"], lack["reason"]) == ("", "unavailable", "no folder of hmdb51")
    assert (other["spread"], other["rank"], other["p"], other["delta"]) == ("", "", "0.01", "")
    assert (printed["status"], printed["source"], printed["runs"]) == ("unverified", "t1-016", "")


def _latex_rows(text: str) -> list[str]:
    inside = text.split("\\toprule\n")[1].split("\\bottomrule")[0]
    return [line for line in inside.splitlines() if line.endswith(r"\\")]


def _assert_latex_is_sound(text: str, columns: int) -> None:
    bare = re.sub(r"^%.*$|\\[\\{}]", "", text, flags=re.MULTILINE)
    depth = 0
    for sign in bare:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        assert kind == "begin" or opened.pop() == name
        opened += [name] if kind == "begin" else []
    assert opened == []
    for line in _latex_rows(text):
        span = re.match(r"\\multicolumn\{(\d+)\}\{l\}", line)
        cells = len(re.findall(r"(?<!\\)&", line)) + (int(span[1]) if span else 1)
        assert cells == columns
        assert not line.startswith("[")


def test_latex() -> None:
    text = render(_grid(), "tex")
    _assert_latex_is_sound(text, 4)
    assert _latex_rows(text) == [
        r"method & pretraining data & {UCF101} & {HMDB51} \\",
        r"\multicolumn{4}{l}{\emph{measured}} \\",
        r"xdc (k 64) & kinetics400 & \bfseries 72.0 {\mdseries{} $\pm$ 2.8 {\small ($-$2.2\dag{})}} & {n/a} \\",
        r"scratch & none & 50.0 & {---} \\",
        r"chance &  & 10.0 & {} \\",
        r"\multicolumn{4}{l}{\emph{published}} \\",
        r"xdc & kinetics400 & 74.2 {\dag{}} & {---} \\",
    ]
    assert text.startswith("% Table 1: top-1 (%)\n% \\usepackage{booktabs,siunitx}\n\\begin{tabular}{llS[")
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")
    assert text.count(r"\midrule") == 2


def test_latex_is_a_float_with_a_caption_or_a_label() -> None:
    text = render(_grid(), "tex", Look(caption=r"Ours \cite{us}.", label="tab:ours"))
    _assert_latex_is_sound(text, 4)
    assert "\\centering\n\\caption{Ours \\cite{us}.}\n\\label{tab:ours}\n\\begin{tabular}" in text
    assert r"\caption{top-1 (\%)}" in render(_grid(), "tex", Look(label="tab:ours")), "numbered once"
    assert r"\label" not in render(_grid(), "tex", Look(caption="Ours."))


def test_latex_has_notes_when_asked_for() -> None:
    assert r"{\footnotesize Bold: the best" in render(_grid(), "tex", Look(notes=True))
    assert "smoke" not in render(_grid(), "tex", Look(notes=True))
    assert "Suites: smoke." in render(_grid(), "tex", Look(notes=True, details=True))


def test_latex_of_measured_numbers_alone_does_not_say_so() -> None:
    grid = _grid()
    assert r"\emph" not in render(replace(grid, groups=grid.groups[:1]), "tex")


def test_latex_says_which_engine_other_letters_need() -> None:
    assert "XeLaTeX" in render(_grid("中文"), "tex") and "XeLaTeX" not in render(_grid("Ørsted"), "tex")


def test_html() -> None:
    text = render(_grid(), "html")
    table = ET.fromstring(text)
    assert table.tag == "table" and table.findtext("caption") == "Table 1: top-1 (%)"
    assert [th.text for th in table.findall("thead/tr/th")] == [
        "method",
        "pretraining data",
        "UCF101",
        "HMDB51",
    ]
    bodies = table.findall("tbody")
    assert [body.findtext("tr/th") for body in bodies] == ["measured", "published"]
    cell = bodies[0].find("tr[2]/td")
    assert (
        cell is not None
        and cell.get("title") == "a0 a1 published: t1-016"
        and cell.findtext("strong") == "72.0 ± 2.8"
    )
    assert cell.findtext("small") == "(−2.2†)"
    lack = bodies[0].find("tr[2]/td[2]")
    assert lack is not None and (lack.text, lack.get("title")) == ("n/a", "no folder of hmdb51")
    assert bodies[0].findtext("tr[3]/td") == "50.0" and bodies[0].findtext("tr[4]/td") == "10.0"
    printed = bodies[1].find("tr[2]/td")
    assert printed is not None and (printed.text, printed.get("title")) == ("74.2†", "t1-016")
    assert [li.text for li in table.iter("li")][-1] == "† unverified."


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_grid_without_rows_renders(fmt: Format) -> None:
    text = render(Grid("T", ("method",), ("UCF101",), (), ("No record fits this table.",)), fmt)
    assert "method" in text and text.endswith("\n")
    if fmt not in ("csv", "tex"):
        assert "No record fits this table." in text


def test_an_unknown_format_is_a_user_error() -> None:
    with pytest.raises(UserError, match="md, tex, csv, html, txt"):
        render(_grid(), "pdf")  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------- hostile names


def _hostile(name: str) -> Grid:
    grid = _grid(name)
    groups = tuple(replace(group, title=name) for group in grid.groups)
    return replace(
        grid, title=name, fields=("method", f"hyperparameters.{name}"), columns=(name, "B"), groups=groups
    )


def shown(name: str) -> str:
    return " ".join("".join(c for c in name if c.isprintable() or c.isspace()).split())


def _assert_html_is_safe(name: str) -> None:
    table = ET.fromstring(render(_hostile(name), "html"))
    allowed = {"table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "ul", "li", "strong"}
    allowed |= {"small"}
    assert {element.tag for element in table.iter()} <= allowed
    attributes = {key for element in table.iter() for key in element.attrib}
    assert attributes <= {"title", "scope", "colspan"}
    assert table.findtext("caption", "") == shown(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    _assert_html_is_safe(name)
    tex = render(_hostile(name), "tex")
    _assert_latex_is_sound(tex, 4)
    assert r"\input" not in "\n".join(tex.splitlines()[1:])
    assert set(re.findall(r"\\([a-z]+)", "\n".join(tex.splitlines()[2:]))) <= {
        *("begin", "toprule", "midrule", "multicolumn", "emph", "bfseries", "mdseries", "pm", "dag"),
        *("bottomrule", "end", "textbackslash", "textless", "textgreater", "textasciitilde"),
        *("textasciicircum", "small", "textbar"),
    }
    assert tex.startswith("% ") and "\n% \\usepackage" in tex, "the title stays a comment"
    assert (
        len(re.findall(r"(?<!\\)\$", "\n".join(tex.splitlines()[2:]))) == 8
    )  # ± and − alone are mathematics
    markdown = render(_hostile(name), "md")
    assert "<script" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {5}
    assert len(rows) == 8


@given(st.text(max_size=12))
def test_any_name_leaves_html_latex_and_csv_sound(name: str) -> None:
    _assert_html_is_safe(name)
    _assert_latex_is_sound(render(_hostile(name), "tex"), 4)
    assert len(list(csv.reader(io.StringIO(render(_grid(name), "csv"), newline="")))) == 5


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t=", "\r@"])
def test_a_name_is_no_spreadsheet_formula(start: str) -> None:
    (line, *_) = _lines(_grid(f"{start}cmd()"))
    assert line["method"] == f"'{start.strip()}cmd()"


def test_negative_numbers_stay_numbers() -> None:
    grid = _grid()
    cell = replace(grid.groups[0].rows[0].cells[0], value=-0.5)
    rows = (Row(("xdc", "none"), "", (cell, cell)),)
    assert float(_lines(replace(grid, groups=(Group("measured", rows),)))[0]["value"]) == -0.5


# ------------------------------------------------------------------------------------------------- marks


def _seen(grid: Grid, fmt: Format) -> list[str]:
    """Every text of a cell under the one column, as a reader of the format finds it."""
    text = render(grid, fmt)
    if fmt == "csv":
        lines = csv.DictReader(io.StringIO(text))
        letter = ("", "ᵃ")
        return [
            f"{float(line['value']):.1f}{_mark(line['status'])}{letter[bool(line['differs'])]}"
            for line in lines
        ]
    if fmt == "html":
        return ["".join(td.itertext()) for td in ET.fromstring(text).findall("tbody/tr/td")]
    if fmt == "tex":
        last = [line.removesuffix(r" \\").split(" & ")[-1] for line in _latex_rows(text)[1:] if " & " in line]
        shown = {r"\dag{}": "†", r"\ddag{}": "‡", r"\textsuperscript{a}": "ᵃ"}
        marks = re.compile(" {(" + "|".join(map(re.escape, shown)) + ")}")
        return [marks.sub(lambda found: shown[found[1]], cell) for cell in last]
    return re.findall(r"\d+\.\d[†‡ᵃ]?(?=\s*(?:\|?$))", text.split("\n\n")[1], flags=re.MULTILINE)


def _mark(status: str) -> str:
    return {str(key): mark for key, mark in MARKS.items()}[status]


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_published_row_carries_its_mark_in_every_format(
    published: list[Published], fmt: Format
) -> None:
    for row in published:
        column = Column(
            title="C",
            evaluation="any",
            protocol=row.protocol,
            dataset=row.dataset,
            split=row.split,
            frames=row.frames,
        )
        grid = build(Table(title="T", columns=(column,), published=(row.id,)), [], published)
        letter = "ᵃ" if row.differs else ""
        assert _seen(grid, fmt) == [f"{row.value:.1f}{MARKS[row.status]}{letter}"]
        if row.status != "verified" and fmt != "csv":
            assert {"†": r"\dag{}", "‡": r"\ddag{}"}[MARKS[row.status]] in render(grid, "tex")
            assert any(note.startswith(MARKS[row.status]) for note in grid.footnotes)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_measured_number_looks_the_same_in_every_format(record: Callable[..., Record], fmt: Format) -> None:
    column: dict[str, Any] = {"title": "C", "evaluation": "finetune", "dataset": "ucf101"}
    grid = build(Table(title="T", columns=(Column(**column),)), [record(value=70.0)], [])
    if fmt == "csv":
        assert _lines(grid)[0]["status"] == "measured"
    else:
        assert _seen(grid, fmt) == ["70.0"]


def test_tables_do_not_import_torch_or_pandas() -> None:
    code = (
        "import sys, xdcbench.results.tables.build, xdcbench.results.tables.render;"
        "print([m for m in ('torch', 'pandas', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
