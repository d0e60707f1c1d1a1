"""Footnotes name the prepared shards that numbers were read from."""

from collections.abc import Callable

from xdcbench.results.records import Record
from xdcbench.results.tables.footnotes import record_details

SHARDS = {
    "fingerprint": "f" * 64,
    "source_fingerprint": "5" * 64,
    "settings": {"short_side": 160, "fps": 30.0},
}


def test_shards_are_named_once_for_each_dataset(make_record: Callable[..., Record]) -> None:
    rows = [
        make_record(dataset=name, shards=SHARDS, seed=seed) for name in ("grid", "esc10") for seed in (0, 1)
    ]
    details = record_details([*rows, make_record(dataset="ucf101")], {"grid": "GRID"})
    notes = [note for note in details if "prepared shards" in note]
    assert notes == [
        f"{name} read from prepared shards (data ffffffff, made from 55555555; short_side 160, fps 30.0)."
        for name in ("GRID", "esc10")
    ]


def test_records_of_before_shards_are_of_files(make_record: Callable[..., Record]) -> None:
    old = make_record().model_dump(mode="json")
    del old["shards"]
    assert Record.model_validate(old).shards is None
    assert not [note for note in record_details([Record.model_validate(old)], {}) if "shards" in note]


def test_trainings_by_several_processes_are_named(make_record: Callable[..., Record]) -> None:
    """BatchNorm normalizes over the share of each, so their numbers are not those of one process."""
    alone, shared = make_record(), make_record(hyperparameters={"processes": 4})
    said = [note for note in record_details([alone, shared, shared], {}) if "processes" in note]
    assert said == [
        "Trained by several processes, each of which normalizes over its share of a batch: 4 (2 of 3 runs)."
    ]
    assert not [note for note in record_details([alone], {}) if "processes" in note]
