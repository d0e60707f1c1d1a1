import math
from pathlib import Path

import pytest

from tests.unit.reports.results.made_results import record, write
from xdcbench.reports.gather import gather
from xdcbench.reports.results.charts import XAxis
from xdcbench.reports.results.learning import overlays
from xdcbench.reports.results.overlays import VARIANTS, Panel, Quantity, figure, variants_of
from xdcbench.reports.results.pretrainings import chains_of
from xdcbench.reports.results.tables import paper_first
from xdcbench.results.tables.grid import Cell, Grid, Group, Row


def test_lines_are_means_over_seeds_in_a_band_to_the_ends() -> None:
    panel = Panel()
    for x, y in ((1, 1.0), (1, 3.0), (2, 5.0), (2, math.nan), (3, math.nan)):
        panel.add("XDC", x, y)
    panel.levels["chance"] = 2.0
    made = figure(Quantity("Loss", XAxis("epoch")), {"audio": panel}, variants_of(["XDC"]))
    assert made is not None
    (chart,) = made["panels"]
    (line,) = chart.legend
    assert [(p.x, p.y, p.low, p.high) for p in line.points[:2]] == [(1, 2.0, 1.0, 3.0), (2, 5.0, None, None)]
    assert math.isnan(line.points[2].y)
    assert [tick.text for tick in chart.levels] == ["chance"]
    assert made["numbers"]["rows"][0] == ("1", ["2"])
    assert figure(Quantity("Loss", XAxis("epoch")), {"audio": Panel()}, {}) is None


def test_a_panel_holds_so_many_lines_and_names_the_rest() -> None:
    panel, names = Panel(), [f"method {n}" for n in range(VARIANTS + 2)]
    for name in names:
        panel.add(name, 1, 1.0)
    made = figure(Quantity("Loss", XAxis("epoch")), {"video": panel}, variants_of(names))
    assert made is not None
    assert len(made["panels"][0].legend) == VARIANTS and made["left_out"] == names[VARIANTS:]


def test_pretraining_and_clusters_of_a_results_folder(tmp_path: Path) -> None:
    results = gather([write(tmp_path / "results")])
    made = overlays(results, list(chains_of(results)))
    titles = [one["title"] for one in made["pretraining"]]
    assert titles == [
        *("Loss", "Accuracy on its labels"),
        *("Loss, held-out items", "Accuracy on its labels, held-out items"),
        *("NMI of clusters with the classes", "Purity of clusters"),
        "NMI of clusters with those of the round before",
    ]
    assert [one["folded"] for one in made["pretraining"]] == [False, False, True, True, False, False, False]
    loss, nmi = made["pretraining"][0]["panels"], made["pretraining"][4]["panels"]
    assert [chart.title for chart in loss] == ["Video"] and [chart.title for chart in nmi] == [
        "Video",
        "Audio",
    ]
    assert [p.y for p in nmi[0].legend[0].points] == [pytest.approx(0.3), pytest.approx(0.6)]
    assert made["legend"] == {"XDC": 1} and len(loss[0].breaks) == 1


def test_tables_of_the_paper_come_first_by_their_number() -> None:
    cell = Cell(value=1.0, status="measured", records=(record("a", "xdc", "knn", "top1", 1.0),))
    full = Grid("t", ("method",), ("x",), (Group("measured", (Row(("XDC",), "", (cell,)),)),), ())
    empty = Grid("t", ("method",), ("x",), (), ())
    names = ("across", "table10", "grid", "table2", "table1", "dataset-mine")
    assert paper_first({name: full for name in names} | {"table3": empty}) == [
        *("table1", "table2", "table10"),
        *("across", "grid", "dataset-mine"),
    ]
