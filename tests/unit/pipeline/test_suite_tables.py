from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from xdcbench.cli.output import suite_tables
from xdcbench.pipeline.launch import Request, plan_launch
from xdcbench.pipeline.suite_tables import tables_of
from xdcbench.results.records import Record

SUITES = Path(__file__).parents[3] / "configs" / "suites"
UNNAMED = """
world: {classes: 3, ucf101_groups: 3, esc50_per_fold: 1}
models: {base: reduced}
encoders: {mfcc: {title: MFCC, audio: {source: mfcc}}}
evaluations: {audio_svm: {precision: fp32}, low_shot: {precision: fp32, per_class: [1], fractions: [0.5]}}
pretraining: [{methods: [scratch]}]
evaluate:
  - {evaluation: audio_svm, dataset: esc50, splits: ["1", "2"]}
  - {evaluation: low_shot, dataset: ucf101, splits: ["1"]}
  - {evaluation: retrieval, dataset: ucf101, splits: ["1"], settings: {ks: [20, 5], precision: fp32}}
"""


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return Request(suite="smoke", results=tmp_path / "results", device="cpu")


def test_tables_of_a_part_show_what_this_part_runs(request_: Request) -> None:
    """The sweep over k of table 2 must not stand among the methods of table 1."""
    whole = plan_launch(replace(request_, suite="full", synthetic="small", filter="xdc/*/round1")).whole
    stages = {stage.key: stage.name for stage in whole.stages}
    tables = tables_of(whole)
    assert list(tables) == [f"table{number}" for number in range(1, 8)]
    assert set(stages) == set().union(*(table.keys for table in tables.values()))
    shown = {name: {stages[key] for key in table.keys} for name, table in tables.items()}
    assert any("/k=8/" in name for name in shown["table2"])
    assert not any("/k=" in name for table, of in shown.items() if table != "table2" for name in of)
    assert {name.split("/")[0] for name in shown["table1"] if "round" in name} == {
        *("supervised-kinetics", "sdc", "mdc", "cdc", "xdc")
    }


def test_a_table_of_two_parts_shows_what_both_run(request_: Request, tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    other = tmp_path / "other.yaml"
    other.write_text((SUITES / "table4.yaml").read_text().replace("table4]", "table3]"))
    path.write_text(f"parts: [table3, {other}]\n")
    alone = [plan_launch(replace(request_, suite=suite)) for suite in ("table3", "table4")]
    (shown,) = tables_of(plan_launch(replace(request_, suite=str(path))).whole).values()
    assert shown.keys == set(alone[0].keys) | set(alone[1].keys)


def test_a_suite_without_tables_has_one_of_each_dataset(request_: Request, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(UNNAMED)
    launch = plan_launch(replace(request_, suite=str(tmp_path / "own.yaml")))
    tables = {name: shown.table for name, shown in tables_of(launch.whole).items()}
    assert {name: [column.title for column in table.columns] for name, table in tables.items()} == {
        "dataset-esc50": ["audio_svm, top-1"],
        "dataset-ucf101": [
            "low_shot (video), 1 per class, top-1",
            "low_shot (video), 50% of the items, top-1",
            "retrieval (video), R@5",
        ],
    }
    assert [column.split for table in tables.values() for column in table.columns] == ["mean", "1", "1", "1"]
    assert {table.methods for table in tables.values()} == {("scratch", "mfcc")}


def test_default_tables_show_what_the_parts_without_tables_run(request_: Request, tmp_path: Path) -> None:
    part, both = tmp_path / "part.yaml", tmp_path / "both.yaml"
    part.write_text(UNNAMED.replace("world:", "# world:") + "worlds: {small: {}}\n")
    both.write_text(f"parts: [table7, {part}]\n")
    whole, alone = (
        plan_launch(replace(request_, suite=str(path), synthetic="small")).whole for path in (both, part)
    )
    tables = tables_of(whole)
    assert list(tables) == ["table7", "dataset-esc50", "dataset-ucf101"]
    assert tables["dataset-esc50"].keys == tables["dataset-ucf101"].keys == {s.key for s in alone.stages}


def test_a_default_table_holds_the_numbers_of_its_suite(
    request_: Request, tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    (tmp_path / "own.yaml").write_text(UNNAMED)
    launch = plan_launch(replace(request_, suite=str(tmp_path / "own.yaml")))
    keys = {stage.name: stage.key for stage in launch.whole.stages}
    records = [
        make_record(
            **{"run": keys[f"mfcc/seed0/audio_svm/esc50/{split}"], "method": "mfcc", "split": split},
            **{"evaluation": "audio_svm", "protocol": "linear_svm", "dataset": "esc50"},
            **{"official_splits": ("1", "2"), "value": value, "hyperparameters": {}},
        )
        for split, value in {"1": 60.0, "2": 70.0}.items()
    ]
    grid = suite_tables(launch, records)["dataset-esc50"]
    ((row,),) = [group.rows for group in grid.groups]
    assert (row.labels[0], row.cells[0].text) == ("MFCC", "65.0")
    assert any("ESC-50, splits 1, 2: 996 of 1000" in note for note in grid.footnotes)
