import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from xdcbench.config.load import load_table, validate
from xdcbench.config.table import Chart, Table
from xdcbench.errors import UserError
from xdcbench.results.tables.figures import COLOURS, INK, draw, table_lines
from xdcbench.results.tables.grid import Cell, Grid, Group, Row
from xdcbench.results.tables.present import grids, load_tables, write_tables

CHART = Chart(x="hyperparameters.k", title="clusters k", log=True)
SVG = "{http://www.w3.org/2000/svg}"


def _cell(value: float, **changes: object) -> Cell:
    return replace(Cell(value=value, n=1, unit="%", status="measured"), **changes)  # type: ignore[arg-type]


def _grid() -> Grid:
    rows = tuple(
        Row(("XDC", k), "", (_cell(70.0 + i, spread=0.5, n=3), Cell()))
        for i, k in enumerate(("256", "64", "128"))
    )
    apart = Row(("XDC", "128/64"), "", (_cell(71.0), Cell()))
    printed = tuple(
        Row(("XDC", k), "", (Cell(value=v, n=1, unit="%", status="unverified-low"), Cell()))
        for k, v in (("64", 73.8), ("128", 73.1))
    )
    groups = (Group("measured", (*rows, apart)), Group("published", printed))
    return Grid(
        "Number of <clusters>", ("method", "hyperparameters.k"), ("UCF101", "HMDB51"), groups, (), CHART
    )


def _texts(svg: bytes) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_text_is_text_and_says_what_is_drawn() -> None:
    svg = draw(_grid(), CHART, "svg")
    assert svg is not None
    texts = _texts(svg)
    for said in (
        "Number of <clusters>",
        "UCF101",
        "HMDB51",
        "clusters k",
        "XDC (measured)",
        "XDC (published)‡",
        "Bars: standard deviation over seeds.",
        "‡ unverified, and of low confidence.",
        "Not drawn: XDC 128/64.",
    ):
        assert said in texts
    assert {"64", "128", "256"} <= set(texts), "ticks at the numbers themselves"


def test_points_lie_where_their_numbers_are() -> None:
    svg = draw(_grid(), CHART, "svg")
    assert svg is not None
    paths = [
        path.get("d", "")
        for path in ET.fromstring(svg).iter(f"{SVG}path")
        if "stroke-dasharray" in (path.get("style") or "")
    ]
    dashed = [path for path in paths if path.count("L") == 1]
    assert dashed, "the published line, of two points"
    (x0, y0), (x1, y1) = re.findall(r"[ML] (\S+) (\S+)", dashed[0])
    assert float(x0) < float(x1)
    assert float(y0) < float(y1), "73.1 at k 128 lies below 73.8 at k 64: y grows downwards"


def test_an_interval_may_end_a_rounding_error_below_its_number() -> None:
    """Wilson's at 8 of 8 items."""
    grid = _grid()
    row = Row(("XDC", "64"), "", (_cell(100.0, interval=(67.6, 99.99999999999999)), Cell()))
    assert draw(replace(grid, groups=(Group("measured", (row,)),)), CHART, "svg")


def test_interval_stands_for_a_spread() -> None:
    grid = _grid()
    row = Row(("XDC", "64"), "", (_cell(70.0, interval=(68.0, 71.5)), Cell()))
    svg = draw(replace(grid, groups=(Group("measured", (row,)),)), CHART, "svg")
    assert svg is not None and "Bars: 95 % interval from the test items." in _texts(svg)


def test_nothing_to_draw() -> None:
    assert draw(replace(_grid(), groups=()), CHART, "svg") is None
    words = Row(("XDC", "128/64"), "", (_cell(71.0), Cell()))
    assert draw(replace(_grid(), groups=(Group("measured", (words,)),)), CHART, "pdf") is None


def _luminance(color: str) -> float:
    parts = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117", "#1e1e1e"])
@pytest.mark.parametrize("color", [INK, *COLOURS])
def test_colors_are_read_on_light_and_dark_pages(color: str, page: str) -> None:
    """WCAG 2.1, 1.4.11: graphics have a contrast of 3:1 or more; the background is clear."""
    dark, light = sorted((_luminance(color), _luminance(page)))
    assert (light + 0.05) / (dark + 0.05) >= 3.0
    svg = draw(_grid(), CHART, "svg")
    assert svg is not None and b"#ffffff" not in svg.lower() and b"#000000" not in svg


@pytest.mark.parametrize("fmt", ["svg", "pdf"])
def test_same_table_same_bytes(fmt: str, tmp_path: Path) -> None:
    code = (
        "import sys; from tests.unit.results.tables.test_figures import CHART, _grid, draw\n"
        f"sys.stdout.buffer.write(draw(_grid(), CHART, {fmt!r}))"
    )
    root = Path(__file__).parents[4]
    other = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True).stdout
    assert draw(_grid(), CHART, fmt) == other  # type: ignore[arg-type]
    assert other.startswith(b"%PDF" if fmt == "pdf" else b"<?xml")


def test_figures_are_written_beside_the_tables(tmp_path: Path) -> None:
    tables = grids(load_tables(["table1", "table2", "table3"]), [])
    assert {name for name, grid in tables.items() if grid.chart} == {"table2", "table3"}
    written = {path.name for path in write_tables(tables, tmp_path)}
    assert {name for name in written if name.endswith(("svg", "pdf"))} == {
        f"{table}.{fmt}" for table in ("table2", "table3") for fmt in ("svg", "pdf")
    }
    texts = _texts((tmp_path / "table2.svg").read_bytes())
    assert {"XDC, Kinetics-400 (published)‡", "1024", "ESC-50"} <= set(texts)
    texts = _texts((tmp_path / "table3.svg").read_bytes())
    assert "Not drawn: Scratch none 0." in texts and "65 M" in texts


def test_figure_of_a_field_that_names_no_rows_is_told() -> None:
    tree = load_table("table2").model_dump(mode="json")
    tree["figure"]["x"] = "k"
    with pytest.raises(UserError, match=r"mine\.yaml: .*x is 'k'; name one of `rows`: method"):
        validate(Table, tree, where="mine.yaml")


def test_names_are_places_in_the_tables_order_and_not_joined() -> None:
    chart = Chart(x="method", title="method", names=True)
    rows = tuple(Row((name,), "", (_cell(value),)) for name, value in (("Scratch", 10.0), ("XDC", 80.0)))
    grid = Grid("In miniature", ("method",), ("video",), (Group("measured", rows),), (), chart)
    lines, left_out = table_lines(grid, chart)
    assert [(point.x, point.y) for line in lines for point in line.columns[0]] == [(0.0, 10.0), (1.0, 80.0)]
    assert left_out == [] and [line.label for line in lines] == ["measured"]
    svg = draw(grid, chart, "svg")
    assert svg is not None
    assert [text for text in _texts(svg) if text in ("Scratch", "XDC")] == ["Scratch", "XDC"]


def test_a_label_with_decimals_has_its_place() -> None:
    chart = Chart(x="hyperparameters.appearance", title="strength")
    rows = tuple(Row(("XDC", x), "", (_cell(50.0),)) for x in ("0", "0.5", "2", "hue 1, pitch 2"))
    grid = Grid("t", ("method", "hyperparameters.appearance"), ("video",), (Group("m", rows),), (), chart)
    (line,), left_out = table_lines(grid, chart)
    assert [point.x for point in line.columns[0]] == [0.0, 0.5, 2.0]
    assert left_out == ["XDC hue 1, pitch 2"]


def test_many_columns_stand_in_rows_of_panels() -> None:
    columns = tuple(f"panel {i}" for i in range(6))
    rows = tuple(Row(("XDC", k), "", tuple(_cell(50.0) for _ in columns)) for k in ("64", "128"))
    grid = Grid("t", ("method", "hyperparameters.k"), columns, (Group("m", rows),), (), CHART)
    svg = draw(grid, CHART, "svg")
    assert svg is not None
    root = ET.fromstring(svg)
    width, height = (float(root.attrib[name].removesuffix("pt")) for name in ("width", "height"))
    assert set(columns) <= set(_texts(svg))
    assert width < 72 * 3.2 * 5 and height > 72 * 2 * 2.2


def test_names_have_no_logarithm() -> None:
    with pytest.raises(UserError, match="names have no logarithm"):
        validate(Chart, {"x": "method", "title": "t", "names": True, "log": True}, where="a.yaml")
