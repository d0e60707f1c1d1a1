import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from xdcbench.config.load import load_suite
from xdcbench.config.table import Column, Table
from xdcbench.data.context import Source
from xdcbench.errors import UserError
from xdcbench.pipeline.plan import make_plan
from xdcbench.pipeline.unavailable import unavailable_results
from xdcbench.results.published import Published
from xdcbench.results.records import Record
from xdcbench.results.tables.build import PUBLISHED, REAL, SYNTHETIC, Names, build
from xdcbench.results.tables.footnotes import DELTA
from xdcbench.results.tables.grid import Grid, Reference
from xdcbench.results.tables.present import grids, load_tables
from xdcbench.results.tables.unavailable import UnavailableResult

Make = Callable[..., Record]


def _column(**changes: Any) -> Column:
    fields = {
        "title": "UCF101",
        "evaluation": "finetune",
        "protocol": "finetune",
        "dataset": "ucf101",
        "split": "1",
        "frames": 8,
    }
    return Column(**(fields | changes))


def _table(*columns: Column, **changes: Any) -> Table:
    return Table(**({"title": "T", "columns": columns or (_column(),)} | changes))


def _rows(grid: Grid, group: str) -> dict[str, list[str]]:
    (found,) = [g for g in grid.groups if g.title == group]
    return {" | ".join(row.shown): [cell.text for cell in row.cells] for row in found.rows}


def _notes(grid: Grid) -> str:
    return "\n".join((*grid.footnotes, *grid.details))


ESC50 = _column(
    title="ESC-50",
    evaluation="audio_svm",
    protocol="linear_svm",
    dataset="esc50",
    split="mean",
    frames=None,
)


@pytest.fixture(scope="session")
def fold(record: Make) -> Make:
    base = {
        "evaluation": "audio_svm",
        "protocol": "linear_svm",
        "dataset": "esc50",
        "hyperparameters": {},
        "official_splits": tuple("12345"),
    }
    return lambda **changes: record(**(base | changes))


# ---------------------------------------------------------------------------------- a hand-worked grid


def test_a_hand_worked_table(record: Make, fold: Make, published: list[Published]) -> None:
    records = [
        record(run="a0", value=70.0),
        record(run="a1", value=74.0, pretrain_seed=1, seed=1),
        record(run="b0", method="scratch", pretrain_data="none", pretrain_items=0, value=50.04),
        *[fold(run=f"f{s}", split=s, value=v) for s, v in zip("12345", (80, 81, 82, 83, 84), strict=True)],
    ]
    table = _table(
        _column(), ESC50, methods=("scratch", "xdc"), published=("t1-016", "t7-192"), footnotes=("By hand.",)
    )
    grid = build(table, records, published, names=Names({"xdc": "XDC", "scratch": "Scratch"}))
    assert [group.title for group in grid.groups] == [REAL, PUBLISHED]
    assert _rows(grid, REAL) == {
        "Scratch | none": ["50.0", "—"],
        "XDC | kinetics400": ["72.0 ± 2.8", "82.0"],
    }
    assert _rows(grid, PUBLISHED) == {"XDC | kinetics400": ["74.2†", "—"], "XDC | audioset": ["—", "84.8"]}
    scratch, xdc = grid.groups[0].rows
    assert not any(cell.rank for cell in (*scratch.cells, *xdc.cells)), "nothing tests them"
    assert xdc.cells[1].runs == ("f1", "f2", "f3", "f4", "f5") and xdc.cells[1].items_used == 5 * 49
    notes = _notes(grid)
    assert notes.startswith("By hand.")
    for part in (
        "ucf101 (data feedbeef), split 1: 49 of 50 test items used, 1 failed.",
        "esc50 (data feedbeef), splits 1, 2, 3, 4, 5: 245 of 250 test items used, 5 failed.",
        "over n = 2 seeds.",
        "Test items: ucf101, split 1: 49 of 50; esc50, splits 1, 2, 3, 4, 5: 245 of 250.",
        "XDC kinetics400 / UCF101: seeds 0, 1; runs a0 a1.",
        "Seeds: 0, 1.",
        "Selection: last epoch.",
        "Epochs: audio_svm 12; finetune 12.",
        "Suites: smoke.",
        "Record schema: 2.",
        "† attributed",
    ):
        assert part in notes
    assert "missing" not in notes and "Left out" not in notes
    assert not any("data feedbeef" in note or "a0" in note for note in grid.footnotes), "details"


def test_the_order_of_records_does_not_matter(record: Make, published: list[Published]) -> None:
    records = [
        record(
            run=f"{m}{s}{k}",
            method=m,
            pretrain_seed=s,
            seed=s,
            value=s + k,
            hyperparameters={"frames": 8, "k": k},
        )
        for m in ("xdc", "sdc", "own")
        for s in (0, 1)
        for k in (64, 128)
    ]
    table = _table(methods=("sdc", "xdc"), published=("table:2",))
    grid = build(table, records, published)
    assert list(_rows(grid, REAL)) == [
        f"{m} (k {k}) | kinetics400" for m in ("sdc", "xdc", "own") for k in (64, 128)
    ]
    for seed in range(5):
        assert build(table, random.Random(seed).sample(records, len(records)), published) == grid


# ------------------------------------------------------------------------------------ never a silent mean


def test_settings_that_differ_become_rows(record: Make) -> None:
    records = [
        record(run="a", value=60.0, hyperparameters={"frames": 8, "k": 64}),
        record(run="b", value=70.0, hyperparameters={"frames": 8, "k": 128}),
        record(run="c", value=80.0, hyperparameters={"frames": 8, "k": 128}, pretrain_seed=1, seed=1),
    ]
    assert _rows(build(_table(), records, []), REAL) == {
        "xdc (k 64) | kinetics400": ["60.0"],
        "xdc (k 128) | kinetics400": ["75.0 ± 7.1"],
    }


@pytest.mark.parametrize(
    "field",
    ["architecture", "pretrain_items", "fingerprint", "subset", "epochs", "precision", "selection"],
)
def test_even_with_other_seeds_a_setting_is_not_averaged_over(record: Make, field: str) -> None:
    values = {"pretrain_items": 7, "epochs": 3, "selection": "val-best"}
    records = [
        record(run="a", value=60.0),
        record(
            **{"run": "b", "value": 70.0, "seed": 1, "pretrain_seed": 1, field: values.get(field, "bf16")}
        ),
    ]
    rows = _rows(build(_table(), records, []), REAL)
    assert sorted(rows.values()) == [["60.0"], ["70.0"]]
    assert all(f"({field}" in label for label in rows)


@pytest.mark.parametrize(
    "changes",
    [
        {"hyperparameters": {"frames": 8, "preprocess": None}},
        {"hyperparameters": {"frames": 8, "preprocess": ""}},
        {"hyperparameters": {"frames": 8, "preprocess": "none", "epochs": 3}},
    ],
)
def test_settings_that_read_alike_are_not_averaged_over(record: Make, changes: dict[str, Any]) -> None:
    first = record(run="a", value=60.0, hyperparameters={"frames": 8, "preprocess": "none"})
    second = record(**{"run": "b", "value": 70.0, "seed": 1, "pretrain_seed": 1} | changes)
    (group,) = build(_table(), [first, second], []).groups
    assert sorted(row.cells[0].text for row in group.rows) == ["60.0", "70.0"]


def test_runs_that_differ_in_nothing_recorded_are_named_by_suite_or_run(record: Make) -> None:
    same = [record(run="a", value=60.0), record(run="b", value=70.0)]
    assert set(_rows(build(_table(), same, []), REAL)) == {
        "xdc (suite smoke, run a) | kinetics400",
        "xdc (suite smoke, run b) | kinetics400",
    }
    suites = [same[0], record(run="b", suite="full", value=70.0)]
    assert set(_rows(build(_table(), suites, []), REAL)) == {
        "xdc (suite full) | kinetics400",
        "xdc (suite smoke) | kinetics400",
    }


def test_a_run_in_two_folders_counts_once(record: Make) -> None:
    copy = record(device="cuda", seconds=9.0, suite="other")
    grid = build(_table(), [record(), copy], [])
    assert _rows(grid, REAL) == {"xdc | kinetics400": ["70.0"]}
    assert "another value" not in _notes(grid)
    grid = build(_table(), [record(), record(value=71.0)], [])
    assert len(_rows(grid, REAL)) == 1
    assert "another value: 1" in _notes(grid)


# ------------------------------------------------------------------------------------------- what fits


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"hyperparameters": {"frames": 16}}, "Left out: 1 measured under UCF101, frames 16 (column: 8)."),
        ({"hyperparameters": {}}, "Left out: 1 measured under UCF101, frames not stated (column: 8)."),
        ({"split": "2"}, "Left out: 1 measured under UCF101, split 2 (column: 1)."),
        ({"protocol": "linear_probe"}, "1 measured under UCF101, protocol linear_probe (column: finetune)."),
        ({"dataset": "hmdb51"}, None),
        ({"evaluation": "audio_finetune"}, None),
        ({"metric": "top5"}, None),
    ],
)
def test_a_record_that_does_not_fit_is_left_out(record: Make, changes: dict[str, Any], note: str) -> None:
    grid = build(_table(), [record(), record(**{"run": "other", "value": 1.0} | changes)], [])
    assert _rows(grid, REAL) == {"xdc | kinetics400": ["70.0"]}
    assert (note in _notes(grid)) if note else ("Left out" not in _notes(grid))


def test_published_rows_stand_only_under_columns_that_they_fit(published: list[Published]) -> None:
    columns = (_column(), _column(title="32", split="mean", frames=32), ESC50)
    grid = build(_table(*columns, published=("table:1", "table:6", "table:7")), [], published)
    by_id = {row.id: row for row in published}
    shown = sum(cell.value is not None for g in grid.groups[1:] for row in g.rows for cell in row.cells)
    for row in grid.groups[0].rows:
        for column, cell in zip(columns, row.cells, strict=True):
            if cell.value is not None:
                source = by_id[cell.source]
                assert source.value == cell.value
                for name in ("protocol", "dataset", "split", "frames", "metric"):
                    assert getattr(source, name) == getattr(column, name)
                shown += 1
    asked = [row for row in published if row.table in (1, 6, 7)]
    left_out = [int(note.split()[2]) for note in grid.details if note.startswith("Left out")]
    assert shown > 0 and shown + sum(left_out) == len(asked)
    assert "published, no column for hmdb51." in _notes(grid)


def test_published_rows_that_leave_a_setting_open_stand_apart(published: list[Published]) -> None:
    columns = (_column(title="32", split="mean", frames=32), ESC50)
    asked = ("t6-133", "t6-174", "t6-180", "t7-186", "t7-187", "t1-016")
    grid = build(_table(*columns, published=asked), [], published)
    assert _rows(grid, PUBLISHED) == {"xdc | ig_kinetics": ["95.5", "—"], "SoundNet | flickr": ["—", "74.2"]}
    assert _rows(grid, "published, frames not stated") == {"SeLaVi | vggsound": ["86.1ᵃ", "—"]}
    open_ = "published, split not stated, frames not stated"
    assert _rows(grid, open_) == {"GDT | kinetics400": ["90.9ᵇ", "—"]}
    assert _rows(grid, "published, protocol of its own") == {"Piczak ConvNet | none": ["—", "64.5"]}
    assert "Left out: 1 published under 32, split 1 (column: mean), frames 8 (column: 32)." in grid.details
    assert "later than XDC: GDT, SeLaVi." in grid.details
    assert grid.footnotes[-2:] == (
        "ᵃ protocol of its own: the best test epoch counts.",
        "ᵇ protocol of its own: the best test epoch counts; 30 views of 32 frames.",
    )


def test_published_rows_need_the_frames_of_the_real_records(record: Make, published: list[Published]) -> None:
    table = _table(_column(split="mean", frames=None), published=("t6-135",))  # states no frames
    alone = build(table, [record(world="synthetic")], published)
    assert _rows(alone, PUBLISHED) == {"AVTS | kinetics400": ["85.8†"]}
    beside = build(table, [record()], published)
    assert [group.title for group in beside.groups] == [REAL]
    assert "frames not stated (column: not stated), measured with 8" in _notes(beside)


def test_printed_ks_become_rows_and_equal_numbers_one_cell(published: list[Published]) -> None:
    ks = build(_table(published=("table:2",)), [], published)
    rows = _rows(ks, PUBLISHED)
    assert rows["xdc (k 64) | kinetics400"] == ["73.8‡"] and len(rows) == 15
    twice = build(_table(published=("t1-016", "table:1", "table:3")), [], published)
    assert _rows(twice, PUBLISHED)["xdc | kinetics400"] == ["74.2†"]


def test_synthetic_real_and_published_never_share_a_group(record: Make, published: list[Published]) -> None:
    records = [
        record(run=f"{w}{m}", method=m, world=w, value=v)
        for w, m, v in (
            ("real", "xdc", 1),
            ("real", "sdc", 2),
            ("synthetic", "xdc", 99),
            ("synthetic", "sdc", 3),
        )
    ]
    grid = build(_table(published=("table:1",)), records, published)
    assert [group.title for group in grid.groups] == [SYNTHETIC, REAL, PUBLISHED]
    world = {record.run: record.world for record in records}
    for group, kind in ((grid.groups[0], "synthetic"), (grid.groups[1], "real")):
        cells = [cell for row in group.rows for cell in row.cells]
        assert {world[run] for cell in cells for run in cell.runs} == {kind}
    assert not any(cell.rank or cell.runs for row in grid.groups[2].rows for cell in row.cells)
    assert "ucf101, synthetic (data feedbeef)" in _notes(grid)


def test_a_missing_fold_is_named(fold: Make) -> None:
    whole = [fold(run=f"w{s}", method="sdc", split=s) for s in "12345"]
    part = [fold(run=f"p{s}", split=s) for s in "1245"]
    grid = build(_table(ESC50), whole + part, [])
    assert "ESC-50, measured: mean over 4 of 5 splits (missing: 3): xdc kinetics400." in _notes(grid)
    uneven = [fold(run=f"u{s}", split=s, seed=1, pretrain_seed=1) for s in "12345"]
    assert "4 of 5 splits (missing for some seed: 3)" in _notes(build(_table(ESC50), part + uneven, []))


def test_what_a_fit_finds_out_does_not_split_a_row(fold: Make, record: Make) -> None:
    found = [
        fold(run=f"r{s}", split=s, value=v, outcomes={"c": c, "inner_folds": 4, "converged": c < 1})
        for s, v, c in zip("12345", (80, 81, 82, 83, 84), (0.1, 0.1, 1.0, 0.01, 0.1), strict=True)
    ]
    grid = build(_table(ESC50), found, [])
    assert _rows(grid, REAL) == {"xdc | kinetics400": ["82.0"]}
    assert "Fits that stopped before they converged: 1 of 5 runs." in grid.footnotes
    probe = _column(evaluation="linear_probe", protocol="linear_probe")
    chosen = [
        record(
            run=f"c{c}",
            evaluation="linear_probe",
            protocol="linear_probe",
            hyperparameters={"frames": 8, "c": c},
        )
        for c in (1, 10)
    ]
    assert set(_rows(build(_table(probe), chosen, []), REAL)) == {
        "xdc (c 1) | kinetics400",
        "xdc (c 10) | kinetics400",
    }


def test_unequal_numbers_of_seeds_are_named(record: Make) -> None:
    records = [
        record(run=f"{m}{s}", method=m, seed=s, pretrain_seed=s, value=s)
        for m, n in (("xdc", 3), ("sdc", 2))
        for s in range(n)
    ]
    notes = _notes(build(_table(), records, []))
    assert "n = 2 seeds: sdc kinetics400 / UCF101." in notes
    assert "n = 3 seeds: xdc kinetics400 / UCF101." in notes


def test_where_limits_the_records(record: Make) -> None:
    records = [record(), record(run="b", pretrain_data="audioset")]
    grid = build(_table(where={"pretrain_data": ("kinetics400",)}), records, [])
    assert list(_rows(grid, REAL)) == ["xdc | kinetics400"]
    assert "Only pretrain_data kinetics400." in _notes(grid)


def test_rounds_stand_in_columns_of_their_factor(record: Make, tables_folder: Path) -> None:
    table = Table.model_validate(yaml.safe_load((tables_folder / "rounds.yaml").read_text(encoding="utf-8")))
    records = [
        record(
            **{"run": f"r{r}", "evaluation": "round", "protocol": "round", "dataset": "kinetics400"},
            **{"metric": "nmi_class", "unit": "", "value": r / 10 + (c == "v") / 100, "world": "synthetic"},
            hyperparameters={"round": r, "clustering": c},
        )
        for r in range(1, 8)
        for c in "av"
    ]
    assert _rows(build(table, records, []), SYNTHETIC) == {
        "xdc | kinetics400 | a": [f"0.{r}00" for r in range(1, 7)],
        "xdc | kinetics400 | v": [f"0.{r}10" for r in range(1, 7)],
    }


def test_an_unknown_field_or_published_row_is_a_user_error(published: list[Published]) -> None:
    with pytest.raises(UserError, match="'metod'"):
        build(_table(rows=("metod",)), [], published)
    with pytest.raises(UserError, match="t1-999"):
        build(_table(published=("t1-999",)), [], published)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rows: [metod]", "unknown field of a record 'metod'; did you mean 'method'"),
        ("where: {datset: [x]}", "unknown field of a record 'datset'; did you mean 'dataset'"),
        ("published: [t1-999]", "'t1-999' names no row"),
        ("titel: x", "titel"),
        ("figure: {x: k, title: k}", "x is 'k'; name one of `rows`: method, pretrain_data"),
    ],
)
def test_a_bad_line_of_a_table_is_told_in_one_message(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"title: T\ncolumns: [{{title: A, evaluation: finetune}}]\n{line}\n")
    with pytest.raises(UserError) as caught:
        grids(load_tables([str(path)]), [])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_key_of_a_column_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("title: T\ncolumns: [{title: A, evaluation: finetune, datset: ucf101}]\n")
    with pytest.raises(UserError, match=r"mine\.yaml.*datset.*dataset"):
        grids(load_tables([str(path)]), [])


def test_nothing_measured_is_said() -> None:
    grid = build(_table(), [], [])
    assert grid.groups == () and grid.footnotes == ("No record fits this table.",)


# ------------------------------------------------------------------------- beside the published, and absent


def test_a_difference_to_the_published_number_of_the_same(record: Make, published: list[Published]) -> None:
    runs = [record(run=f"r{s}", pretrain_seed=s, seed=s, value=v) for s, v in enumerate((74.0, 76.0))]
    grid = build(_table(published=("table:1",)), runs, published)
    (row,) = grid.groups[0].rows
    assert row.cells[0].reference == Reference(74.2, "unverified", "t1-016")
    assert (row.cells[0].text, row.cells[0].delta_text) == ("75.0 ± 1.4", "(+0.8†)")
    assert DELTA in grid.footnotes
    assert DELTA not in build(_table(), runs, published).footnotes, "only beside rows that the table asks for"


@pytest.mark.parametrize(
    "changes",
    [
        {"world": "synthetic"},
        {"subset": "5 per class"},
        {"pretrain_subset": "100 items"},
        {"pretrain_data": "audioset"},
        {"method": "own"},
        {"architecture": "R(2+1)D-18, width 16, blocks 1-1-1-1"},
    ],
)
def test_no_difference_where_something_differs(
    record: Make, published: list[Published], changes: dict[str, Any]
) -> None:
    grid = build(_table(published=("table:1",)), [record(**changes)], published)
    assert grid.groups[0].rows[0].cells[0].reference is None
    assert DELTA not in grid.footnotes


def test_methods_of_other_names_are_compared_too(record: Make, published: list[Published]) -> None:
    table = _table(methods=("supervised-kinetics", "xdc"), published=("t1-004", "t1-016"))
    named = {"supervised-kinetics": "supervised"}
    grid = build(
        table,
        [record(method="supervised-kinetics", value=91.0)],
        published,
        names=Names(printed_as=named),
    )
    assert grid.groups[0].rows[0].cells[0].delta_text == "(+0.1†)"
    assert list(_rows(grid, PUBLISHED)) == ["supervised | kinetics400", "xdc | kinetics400"]


def test_k_chooses_the_published_number(record: Make, published: list[Published]) -> None:
    runs = [
        record(run=f"r{a}{v}", value=74.0, hyperparameters={"frames": 8, "k_a": a, "k_v": v})
        for a, v in ((64, 64), (256, 256), (128, 64))
    ]
    table = _table(
        rows=("method", "hyperparameters.k"),
        published=("table:2",),
        where={"pretrain_data": ("kinetics400",)},
    )
    grid = build(table, runs, published)
    differences = {row.labels[1]: row.cells[0].delta_text for row in grid.groups[0].rows}
    assert differences == {"64": "(+0.2‡)", "128/64": "", "256": "(−0.2‡)"}
    assert list(differences) == ["64", "128/64", "256"]


def test_a_mean_has_a_difference_only_over_all_splits(fold: Make, published: list[Published]) -> None:
    table = _table(ESC50, published=("t7-192",))
    base = {"pretrain_data": "audioset", "architecture": "ResNet-18 (audio)", "value": 85.0}
    whole = [fold(run=f"f{s}", split=s, **base) for s in "12345"]
    (row,) = build(table, whole, published).groups[0].rows
    assert row.cells[0].delta_text == "(+0.2)"
    (row,) = build(table, whole[:4], published).groups[0].rows
    assert (row.cells[0].text, row.cells[0].delta_text) == ("85.0", "")


def test_two_published_numbers_of_one_thing_are_no_reference(
    record: Make, published: list[Published]
) -> None:
    one = next(row for row in published if row.id == "t1-016")
    table = _table(published=("t1-016", "other"))
    twice = [one, replace(one, id="other", value=73.0)]
    assert build(table, [record()], twice).groups[0].rows[0].cells[0].reference is None
    same = [one, replace(one, id="other", status="verified")]
    assert build(table, [record()], same).groups[0].rows[0].cells[0].reference == Reference(
        74.2, "verified", "other"
    )


def _lack(**changes: Any) -> UnavailableResult:
    stated = {
        "method": "xdc",
        "pretrain_data": "kinetics400",
        "evaluation": "finetune",
        "dataset": "ucf101",
        "split": "1",
        "reason": "no folder for ucf101",
    }
    return UnavailableResult(**(stated | changes))


def test_what_cannot_be_measured_is_told_from_what_is_missing(record: Make, fold: Make) -> None:
    lacks = [
        _lack(),
        _lack(method="mdc", evaluation="audio_svm", dataset="esc50", split="3", reason="no folder for esc50"),
        _lack(dataset="hmdb51"),  # no column
        _lack(method="sdc"),  # there is a number: from another folder
    ]
    records = [fold(), record(method="sdc", run="s")]
    grid = build(_table(_column(), ESC50, methods=("sdc", "mdc", "xdc")), records, [], lacks=lacks)
    assert _rows(grid, REAL) == {
        "sdc | kinetics400": ["70.0", "—"],
        "mdc | kinetics400": ["—", "n/a"],
        "xdc | kinetics400": ["n/a", "70.0"],
    }
    assert "n/a not available here (UCF101): no folder for ucf101." in grid.footnotes
    assert "n/a not available here (ESC-50): no folder for esc50." in grid.footnotes
    assert "— missing." in grid.footnotes
    assert not any("n/a" in note or "— not" in note for note in build(_table(), records, []).footnotes)


def test_a_table_of_lacks_alone(record: Make) -> None:
    grid = build(
        _table(rows=("method", "hyperparameters.k")),
        [],
        [],
        lacks=[_lack(hyperparameters={"k_a": 4, "k_v": 4})],
    )
    assert _rows(grid, REAL) == {"xdc | 4": ["n/a"]}
    other = _table(where={"method": ("sdc",)})
    assert build(other, [], [], lacks=[_lack()]).groups == ()


def test_a_lack_stands_in_the_row_whose_labels_it_does_not_know(record: Make) -> None:
    table = _table(
        _column(),
        _column(title="HMDB51", dataset="hmdb51"),
        rows=("method", "pretrain_data", "pretrain_items"),
    )
    grid = build(table, [record()], [], lacks=[_lack(dataset="hmdb51"), _lack(pretrain_data="ig_random")])
    assert _rows(grid, REAL) == {
        "xdc | kinetics400 | 100": ["70.0", "n/a"],
        "xdc | ig_random | ": ["n/a", "—"],
    }


def test_an_evaluation_of_both_encoders_may_lack_its_data() -> None:
    suite = load_suite("smoke", overrides=["world=null"])
    stages = make_plan(suite, {name: Source(unavailable=f"no {name}") for name in suite.datasets}).stages
    lacks = [k for k in unavailable_results(stages) if k.evaluation == "fusion"]
    assert {(k.method, k.dataset, k.reason) for k in lacks if k.method in ("scratch", "xdc")} == {
        ("scratch", "kinetics400", "no kinetics400"),
        ("xdc", "kinetics400", "no kinetics400"),
    }
    assert len(lacks) == 6


def test_lacks_of_a_plan() -> None:
    suite = load_suite("real-small")
    lacking = Source(unavailable="no folder for grid")
    sources = {name: Source("x") if name == "esc10" else lacking for name in suite.datasets}
    stages = make_plan(suite, sources).stages
    lacks = list(unavailable_results(stages))
    assert {k.reason for k in lacks} == {"no folder for grid"}
    where = {(k.method, k.pretrain_data, k.evaluation, k.dataset, k.split) for k in lacks}
    assert ("scratch", "none", "linear_probe", "grid", "hashed") in where
    assert ("xdc", "grid", "linear_probe", "grid", "hashed") in where
    assert ("sdc", "grid", "audio_svm", "esc10", "3") in where
    assert not any(k.method == "scratch" and k.dataset == "esc10" for k in lacks)
    assert next(k for k in lacks if k.method == "xdc").hyperparameters == {"round": 3, "k_a": 16, "k_v": 16}
    assert (
        list(unavailable_results(make_plan(suite, {name: Source("x") for name in suite.datasets}).stages))
        == []
    )


def test_order_of_pretraining_data(record: Make) -> None:
    runs = [record(run=d, pretrain_data=d) for d in ("audioset", "ig_random", "kinetics400", "mine")]
    grid = build(_table(methods=("xdc",), pretrain_data=("kinetics400", "audioset", "ig_random")), runs, [])
    assert [row.labels[1] for row in grid.groups[0].rows] == ["kinetics400", "audioset", "ig_random", "mine"]


# -------------------------------------------------------------------------------------- tables of the project


@pytest.mark.parametrize(
    "name",
    [
        *(f"table{n}" for n in range(1, 8)),
        "esc10_svm",
        "grid_audio",
        "grid_video",
        "mini",
        "probes",
        "rounds",
    ],
)
def test_every_table_of_the_project_is_valid(
    tables_folder: Path, name: str, published: list[Published]
) -> None:
    raw = yaml.safe_load((tables_folder / f"{name}.yaml").read_text(encoding="utf-8"))
    table = Table.model_validate(raw)
    grid = build(table, [], published)
    assert grid.columns == tuple(column.title for column in table.columns)
    assert bool(grid.groups) == bool(table.published)
    assert not any("published under" in n for n in grid.footnotes)


@pytest.mark.parametrize("number", range(1, 8))
def test_tables_of_the_paper_show_all_its_numbers(
    tables_folder: Path, number: int, published: list[Published]
) -> None:
    raw = yaml.safe_load((tables_folder / f"table{number}.yaml").read_text(encoding="utf-8"))
    grid = build(Table.model_validate(raw), [], published)
    cells = [cell for group in grid.groups for row in group.rows for cell in row.cells]
    assert {c.source for c in cells if c.source} == {row.id for row in published if row.table == number}
    assert not any(note.startswith("Left out") for note in grid.footnotes)


def test_table1_shows_the_papers_numbers(tables_folder: Path, published: list[Published]) -> None:
    table = Table.model_validate(yaml.safe_load((tables_folder / "table1.yaml").read_text(encoding="utf-8")))
    rows = _rows(build(table, [], published, names=Names({"xdc": "XDC"})), PUBLISHED)
    assert rows["XDC | kinetics400"] == ["74.2†", "39.0†", "78.0†"]
    assert rows["scratch | none"] == ["54.3†", "24.1†", "54.3†"]
    assert len(rows) == 6


def test_numbers_of_two_recipes_are_never_averaged(record: Make) -> None:
    """Seed 0 of one setting and seed 1 of another are two rows, not a mean with a spread."""
    two = [
        record(run=f"r{seed}", pretrain_seed=seed, config_hash=f"config_hash-{seed}", value=20.0 + seed)
        for seed in (0, 1)
    ]
    rows = _rows(build(_table(), two, []), SYNTHETIC if two[0].world == "synthetic" else REAL)
    assert len(rows) == 2
    one = [
        record(run=f"r{seed}", pretrain_seed=seed, config_hash="config_hash", value=20.0 + seed)
        for seed in (0, 1)
    ]
    assert len(_rows(build(_table(), one, []), SYNTHETIC if one[0].world == "synthetic" else REAL)) == 1


def test_draws_of_a_low_shot_probe_are_averaged(record: Make) -> None:
    rows = [
        record(value=v, metric="top1", hyperparameters={"frames": 8, "shots": "5", "draw": d}, run="one")
        for d, v in enumerate((40.0, 50.0, 60.0))
    ]
    first = rows[0]
    column = Column(
        title="5 shots",
        evaluation=first.evaluation,
        protocol=first.protocol,
        dataset=first.dataset,
        split=first.split,
        hyperparameters={"shots": "5"},
    )
    grid = build(Table(title="t", columns=(column,)), rows, [])
    (row,) = grid.groups[0].rows
    assert (row.cells[0].value, row.cells[0].n, row.cells[0].spread) == (50.0, 1, None)
