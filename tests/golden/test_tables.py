"""Tables in every format, as they were read by eye; new ones are written with ``XDCBENCH_GOLDEN=write``.

``rich`` has one of everything that a table can say; ``table2`` and ``table6`` are the paper's, filled with
simulated numbers of a full suite.
"""

import os
from pathlib import Path

import pytest

from tests.golden.simulated import ROOT, full_suite, measured
from xdcbench.config.table import Column, Table
from xdcbench.results.published import load_published
from xdcbench.results.records import Record
from xdcbench.results.tables.build import Names, build
from xdcbench.results.tables.cells import CellStatistics
from xdcbench.results.tables.grid import Grid
from xdcbench.results.tables.present import FORMATS, grids, load_tables
from xdcbench.results.tables.render import Format, render
from xdcbench.results.tables.unavailable import UnavailableResult

FOLDER = Path(__file__).parent / "tables"
NAMES = ("rich", "table2", "table6")

RICH = Table(
    title="Everything a table can say: 100 % of <tags>, $signs$ & under_scores",
    methods=("scratch", "sdc", "xdc"),
    pretrain_data=("none", "kinetics400"),
    where={"pretrain_data": ("none", "kinetics400", "ig_random")},
    columns=(
        Column(
            title="UCF101",
            evaluation="finetune",
            protocol="finetune",
            dataset="ucf101",
            split="1",
            frames=8,
        ),
        Column(
            title="mean | 32",
            evaluation="finetune32",
            protocol="finetune",
            dataset="ucf101",
            split="mean",
            frames=32,
        ),
        Column(title="NMI_a", evaluation="round", dataset="kinetics400", metric="nmi_class"),
    ),
    published=("t1-001", "t1-007", "t1-016", "t2-019", "t6-133", "t6-174"),
    footnotes=("One footnote of the table's own, with a [bracket].",),
)


def rich() -> Grid:
    """A grid with spreads, intervals, differences, subsets, missing splits, lacks and hostile names."""
    wide = {"hyperparameters": {"frames": 32}, "evaluation": "finetune32"}
    nmi = {
        "evaluation": "round",
        "protocol": "round",
        "dataset": "kinetics400",
        "metric": "nmi_class",
        "unit": "",
    }
    records: list[Record] = [
        *(measured(run=f"x{s}", value=74.0 + s, pretrain_seed=s, seed=s) for s in range(3)),
        measured(run="s0", method="sdc", value=60.93, items_used=3780, items_failed=3),
        measured(
            run="r0",
            method="scratch",
            pretrain_data="none",
            pretrain_items=0,
            value=54.1,
            selection="val-best",
        ),
        measured(run="h0", method="<b>& 50% own_method", value=75.04, pretrain_subset="100 items"),
        *(measured(run=f"w{f}", split=f, value=80.0 + int(f), **wide) for f in "12"),
        *(measured(run=f"v{f}", method="sdc", split=f, value=70.0 + int(f), **wide) for f in "123"),
        measured(run="n0", value=0.41234, world="synthetic", **nmi),
        measured(run="n1", method="sdc", value=0.03, world="synthetic", subset="5 per class", **nmi),
        measured(run="o0", value=1.0, hyperparameters={"frames": 16}),
    ]
    lack = UnavailableResult(
        "xdc", "ig_random", "finetune", "ucf101", "1", "no folder for ig_random; give --data-root"
    )
    return build(
        RICH,
        records,
        load_published(ROOT / "baselines" / "published.csv"),
        names=Names({"xdc": "XDC", "sdc": "SDC"}),
        statistics=CellStatistics(
            intervals=lambda runs: (runs[0].value - 1.5, runs[0].value + 1.25) if runs[0].unit else None,
            test=lambda first, others: [0.01 if first[0].value - of[0].value > 5 else 0.4 for of in others],
            every=True,
        ),
        lacks=[lack],
    )


@pytest.fixture(scope="module")
def tables() -> dict[str, Grid]:
    lack = UnavailableResult(
        "xdc", "ig_random", "finetune32", "ucf101", "1", "no folder for ig_random; give --data-root"
    )
    records = [r for r in full_suite(3, tables=(2, 6)) if r.pretrain_data != "ig_random"]
    return {"rich": rich(), **grids(load_tables(["table2", "table6"]), records, lacks=[lack])}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_table_reads_as_it_did(name: str, fmt: Format, tables: dict[str, Grid]) -> None:
    path = FOLDER / f"{name}.{fmt}"
    text = render(tables[name], fmt)
    if os.environ.get("XDCBENCH_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path.name} changed: read it, then write it anew"
