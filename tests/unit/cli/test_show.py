"""What ``show`` prints of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xdcbench.cli.show import run_lines
from xdcbench.errors import UserError
from xdcbench.results.records import Record, write_records
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest


def test_show_tells_what_a_run_is_and_its_numbers(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    record = make_record(value=91.25, hyperparameters={"frames": 8})
    run = RunStore(tmp_path).path(record.run)
    run.mkdir()
    write_records(run, [record])
    write_manifest(run)
    facts: dict[str, Any] = {
        "name": "xdc/probe",
        "key": record.run,
        "kind": "linear_probe",
        "version": 1,
        "suite": "mini",
        "science": {"name": "linear_probe", "fit": {"C": 0.1}},
        "inputs": {"features": "features-1", "data": "index-2"},
        "seconds": 1.5,
        "device": "cpu",
        "commit": "",
        "config": {},
        "world_size": 1,
        "versions": {},
    }
    write_json(run / "run.json", facts)
    text = "\n".join(run_lines("000", tmp_path))
    for said in (
        "xdc/probe",
        "settings   name=linear_probe, fit.C=0.1",
        "features-1, index-2",
        "91.250%",
        "498 used, 2 failed of 500",
        "frames=8",
        "top1",
    ):
        assert said in text
    assert f"file       {run / 'records.json'}" in text


def test_show_tells_every_failed_attempt(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    attempts = [store.fail("round-abc", error) for error in ("no disk", "no memory")]
    assert list(run_lines("abc", tmp_path)) == [
        f"failed attempt {attempts[0]}",
        "no disk",
        f"failed attempt {attempts[1]}",
        "no memory",
    ]


def test_show_of_no_run_is_told(tmp_path: Path) -> None:
    RunStore(tmp_path)
    with pytest.raises(UserError, match="'abc' matches no run"):
        list(run_lines("abc", tmp_path))
