"""The paper's seven tables, all of them, in the synthetic world at reduced size."""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.integration.helpers import xdcbench
from xdcbench.config.load import load_suite
from xdcbench.results.records import Record, read_records
from xdcbench.results.run_store import RunStore
from xdcbench.results.tables.titles import dataset_titles

pytestmark = pytest.mark.nightly

MINUTES = 10
CLASSES = 4 + 1
"""Of the world's AudioSet: four kinds of motion, and their family."""
TABLES = [f"table{number}" for number in range(1, 8)]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Results of the whole suite; it must be done in time on 2 cores."""
    out = tmp_path_factory.mktemp("full")
    start = time.monotonic()
    done = xdcbench("run", "--suite", "full", "--synthetic", "small", "--results", out, "--device", "cpu")
    assert done.returncode == 0, done.stderr[-3000:]
    assert time.monotonic() - start < 60 * MINUTES
    print(done.stdout)  # noqa: T201 - the tables are what this run is for
    yield out


@pytest.fixture(scope="module")
def records(full: Path) -> list[Record]:
    return read_records([RunStore(full, write=False)])


@pytest.mark.parametrize("name", TABLES)
def test_every_cell_of_every_table_is_measured(full: Path, name: str) -> None:
    """All that a table's suite asks for stands in it: no row of ours has a gap that its encoders could fill."""
    cells = pd.read_csv(full / "tables" / "full-small" / f"{name}.csv")
    measured = cells[cells["group"].str.startswith("measured")]
    assert set(measured["group"]) == {"measured (synthetic data)"}
    assert measured["value"].between(0, 100).all()
    suite = load_suite(name, world="small")
    titles = dataset_titles((name, dataset.title) for name, dataset in suite.datasets.items()) | {
        None: "none"
    }
    pretrained = {(suite.methods[m].title, titles[g.data]) for g in suite.pretraining for m in g.methods}
    found = measured[["method", "pretrain_data"]].itertuples(index=False)
    assert {(row.method, row.pretrain_data) for row in found} == pretrained


def test_trained_encoders_differ_from_random_ones(full: Path) -> None:
    """Whatever trains, but for single-modality clustering, is above scratch; the last tables are not of chance.

    A single number is of one seed and 16 items or so: means over rows and columns are what can be asserted.
    """

    def values(name: str) -> pd.DataFrame:
        cells = pd.read_csv(full / "tables" / "full-small" / f"{name}.csv")
        return cells[cells["group"].str.startswith("measured")]

    means = values("table1").groupby("method")["value"].mean()
    assert means.drop(["Scratch", "SDC"]).min() > means["Scratch"] + 10
    for name in ("table6", "table7"):
        assert values(name).groupby("column")["value"].mean().min() > 50, "chance is 25"


def test_each_k_is_told_apart(full: Path, records: list[Record]) -> None:
    ks = {
        (r.pretrain_data, r.hyperparameters["k_a"])
        for r in records
        if r.evaluation == "finetune" and r.method == "xdc" and "k_a" in r.hyperparameters
    }
    assert ks >= {(data, k) for data in ("kinetics400", "audioset_240k", "audioset") for k in (2, 4, 8)}


def test_sizes_of_the_pretraining_data_are_those_of_the_world(records: list[Record]) -> None:
    sizes = {
        (r.pretrain_data, r.pretrain_items)
        for r in records
        if r.evaluation == "finetune" and r.method == "xdc"
    }
    assert sizes == {
        ("kinetics400", 64),
        ("audioset_240k", 48),
        ("audioset", 80),
        ("ig_random", 64),
        ("ig_kinetics", 64),
    }


def test_several_labels_are_learned(records: list[Record]) -> None:
    values = {
        (r.pretrain_data, r.metric): r.value
        for r in records
        if r.method == "supervised-audioset" and r.evaluation == "round"
    }
    for data in ("audioset_240k", "audioset"):
        assert values[data, "loss"] < 0.95 * values[data, "initial_loss"]
        for modality in ("video", "audio"):
            start = values[data, f"initial_{modality}_labels_loss"]
            assert abs(start / (CLASSES * math.log(2)) - 1) < 0.1


def test_the_final_tables_take_32_frames_and_all_splits(records: list[Record]) -> None:
    final = [record for record in records if record.evaluation == "finetune32"]
    assert {record.hyperparameters["frames"] for record in final} == {32}
    assert {(r.dataset, r.split) for r in final} == {(d, s) for d in ("ucf101", "hmdb51") for s in "123"}


def test_a_table_alone_finds_its_runs_there(full: Path) -> None:
    words = ("run", "--suite", "table5", "--synthetic", "small", "--results", full, "--device", "cpu")
    done = xdcbench(*words)
    assert done.returncode == 0, done.stderr
    assert " done" not in done.stdout.splitlines()[-1]
    plans = {json.loads(path.read_text())["suite"] for path in full.glob("runs/*/run.json")}
    assert plans == {"full-small"}
