"""Footnotes name the prepared stores that numbers were read from."""

from collections.abc import Callable

from xdcbench.results.footnotes import record_notes
from xdcbench.results.records import Record

STORE = {
    "fingerprint": "f" * 64,
    "source_fingerprint": "5" * 64,
    "settings": {"short_side": 160, "rate": 30.0},
}


def test_a_store_is_named_once_for_each_data_set(make_record: Callable[..., Record]) -> None:
    rows = [
        make_record(dataset=name, store=STORE, seed=seed) for name in ("grid", "esc10") for seed in (0, 1)
    ]
    notes = [
        note for note in record_notes([*rows, make_record(dataset="ucf101")]) if "prepared store" in note
    ]
    assert notes == [
        f"{name} read from a prepared store (data ffffffff, made from 55555555; short_side 160, rate 30.0)."
        for name in ("grid", "esc10")
    ]


def test_records_of_before_stores_are_of_files(make_record: Callable[..., Record]) -> None:
    old = make_record().model_dump(mode="json")
    del old["store"]
    assert Record.model_validate(old).store is None
    assert not [note for note in record_notes([Record.model_validate(old)]) if "store" in note]
