from pathlib import Path

import pytest

from xdcbench.errors import UserError
from xdcbench.reports.clusters.origin import ClusteredRound, find_round

Results = tuple[Path, dict[str, str]]


def find(run: str, results: Results, world: Path, number: int | None = None) -> ClusteredRound:
    return find_round(run, number, results[0], data_root=world, shards=())


def test_a_method_means_its_last_round(results: Results, world: Path) -> None:
    found = find("xdc", results, world)
    assert found.run.name == results[1]["xdc/2"]
    assert found.encoders.name == results[1]["xdc/1"]
    assert len(found.table) == len(found.index.items)
    assert set(found.facts) == {"a", "v"}


def test_rounds_lead_back(results: Results, world: Path) -> None:
    key = results[1]["xdc/2"]
    assert find(key.split("-")[1][:8], results, world, 1).run.name == results[1]["xdc/1"]
    with pytest.raises(UserError, match="went through rounds 1, 2;"):
        find(key, results, world, 3)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("supervised", "made no clusters"),
        ("sdc", "pretrained 2 times .*give one of round-"),
        ("features", "its encoders are of round-"),
        ("index", "give a round, or the name of a method"),
        ("nothing", "matches no run"),
    ],
)
def test_other_runs_say_what_to_give(run: str, said: str, results: Results, world: Path) -> None:
    with pytest.raises(UserError, match=said):
        find(run, results, world)


def test_data_that_is_elsewhere(results: Results, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no place given .*kinetics400.*--data-root"):
        find_round("xdc", None, results[0], data_root=None, shards=())
    with pytest.raises(UserError, match=f"no folder {tmp_path}"):
        find_round("xdc", None, results[0], data_root=tmp_path, shards=())
