"""Runs by key, beginning, name of a stage and method, in a folder of runs written by hand; and their list."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from xdcbench.errors import UserError
from xdcbench.results.find_run import find_runs, names_of_runs
from xdcbench.results.listing import listed_runs, run_rows
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import write_json

FIRST, LAST, OTHER = "round-aaaaaaaaaaaa", "round-bbbbbbbbbbbb", "round-cdc000000000"
PROBE, INDEX = "linear_probe-dddddddddddd", "index-eeeeeeeeeeee"


def add(store: RunStore, key: str, name: str, made: int, **about: Any) -> None:
    facts = {"version": 1, "suite": "mini", "science": {}, "config": {}, "inputs": {}, "seconds": 80.0}
    machine = {"device": "cpu", "world_size": 1, "versions": {}, "commit": ""}
    with store.building(key) as work:
        whole = {"key": key, "kind": key.split("-")[0], "name": name, **facts, **machine, **about}
        write_json(work / "run.json", whole)
        os.utime(work / "run.json", (made, made))
        store.publish(key, work)


def a_round(number: int, before: str, *, method: str = "xdc") -> dict[str, Any]:
    config = {"method": method, "round": number, "seed": 0, "clusterings": {}}
    return {"config": config, "inputs": {"encoders": before, "data": INDEX}}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path)
    add(store, INDEX, "index/kinetics400", 5)
    add(store, FIRST, "xdc/kinetics400/seed0/round1", 10, **a_round(1, "init-0"))
    add(store, LAST, "xdc/kinetics400/seed0/round2", 20, **a_round(2, FIRST))
    add(store, OTHER, "cdc/audioset/seed0/round1", 30, **a_round(1, "init-0", method="cdc"))
    add(store, PROBE, "xdc/kinetics400/seed0/probe/esc50/1", 40)
    store.fail("round-ffffffffffff", "no space")
    return store


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        (FIRST, [FIRST]),
        ("aaa", [FIRST]),
        ("linear", [PROBE]),
        ("xdc/kinetics400/seed0/round1", [FIRST]),
        ("xdc/kinetics400/seed0/probe/esc50/1", [PROBE]),
        ("xdc", [LAST]),
        ("xdc@kinetics400", [LAST]),
        ("cdc", [OTHER]),
        ("ffff", ["round-ffffffffffff"]),
    ],
)
def test_a_run_has_many_names(store: RunStore, name: str, keys: list[str]) -> None:
    """``cdc`` is a method, and the beginning of a hash as well."""
    assert find_runs(name, store) == keys


def test_a_method_is_every_pretraining_of_it(store: RunStore) -> None:
    add(store, "round-777777777777", "xdc/kinetics400/seed1/round1", 50, **a_round(1, "init-1"))
    assert find_runs("xdc", store) == ["round-777777777777", LAST]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("xcd", "'xcd' matches no run in .*; did you mean 'xdc'?"),
        ("xdc/kinetics400/seed0/round3", "did you mean 'xdc/kinetics400/seed0/round[12]'?"),
        ("zzzzzz", "`xdcbench runs` lists its runs"),
        ("xdc@audioset", "matches no run"),
        ("round", "'round' matches 4 runs"),
        ("scratch", "'scratch' has no pretraining in .*Try: .*such as 'scratch/none/seed0/probe/esc50/1'"),
    ],
)
def test_a_name_of_no_run_is_told_with_what_is_near(store: RunStore, name: str, said: str) -> None:
    add(store, "linear_probe-999999999999", "scratch/none/seed0/probe/esc50/1", 40)
    with pytest.raises(UserError, match=said):
        find_runs(name, store)


def test_all_names_are_known(store: RunStore) -> None:
    assert names_of_runs(store)[:4] == ["cdc", "xdc", "cdc/audioset/seed0/round1", "index/kinetics400"]
    assert set(names_of_runs(store)) > {FIRST, PROBE}


def test_runs_are_listed_newest_last_or_sorted(store: RunStore) -> None:
    assert [run.key for run in listed_runs(store)] == [INDEX, FIRST, LAST, OTHER, PROBE]
    assert [run.key for run in listed_runs(store, "*round*")] == [FIRST, LAST, OTHER]
    assert [run.key for run in listed_runs(store, "mini", order="method")] == [
        INDEX,
        OTHER,
        PROBE,
        FIRST,
        LAST,
    ]
    assert [run.kind for run in listed_runs(store, order="kind")] == ["index", "linear_probe", *["round"] * 3]
    assert re.fullmatch(
        r"19\d\d-\d\d-\d\d \d\d:\d\d  index-e+\s+1 min 20 s  index/kinetics400",
        next(run_rows(listed_runs(store))),
    )
    with pytest.raises(UserError, match=r"no run that matches 'sdc\*'"):
        listed_runs(store, "sdc*")


def test_a_folder_without_runs_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path} has no complete run. Try: `xdcbench run --results"):
        listed_runs(RunStore(tmp_path))
