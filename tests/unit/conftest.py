"""Fixtures of the harness's own tests."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from xdcbench.config.suite import Suite
from xdcbench.data.context import Source
from xdcbench.results.records import Record


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own results folder, data root or torchrun must not reach a test."""
    for name in (
        "XDCBENCH_RESULTS",
        "XDCBENCH_DATA_ROOT",
        "XDCBENCH_CACHE",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def everything_here() -> Callable[[Suite], Mapping[str, Source]]:
    """Sources of a suite as if all its datasets were on this machine."""
    return lambda suite: {name: Source(fingerprint=f"of-{name}") for name in suite.datasets}


@pytest.fixture
def write_suite(tmp_path: Path) -> Callable[[str], str]:
    """Writes text as ``mine.yaml``; returns its path, as a user would give it."""

    def write(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """Makes a record of a linear probe in the synthetic world; keywords replace fields."""
    fields: dict[str, Any] = {
        "run": "linear_probe-000000000000",
        "suite": "mini",
        "method": "xdc",
        "pretrain_data": "kinetics400",
        "pretrain_items": 1500,
        "architecture": "R(2+1)D-10",
        "evaluation": "linear_probe",
        "protocol": "linear_probe",
        "evaluation_version": 1,
        "dataset": "kinetics400",
        "world": "synthetic",
        "fingerprint": "f00d",
        "subset": "",
        "items_expected": 500,
        "items_used": 498,
        "items_failed": 2,
        "failed_items": (),
        "train_items_used": 0,
        "train_items_failed": 0,
        "pretrain_subset": "",
        "config_hash": "r",
        "split": "official",
        "official_splits": ("official",),
        "pretrain_seed": 0,
        "seed": 0,
        "metric": "top1",
        "value": 91.0,
        "unit": "%",
        "higher_is_better": True,
        "selection": "last",
        "hyperparameters": {"frames": 8},
        "epochs": 0,
        "seconds": 1.5,
        "device": "cpu",
        "precision": "fp32",
        "world_size": 1,
        "versions": {"torch": "2.11.0"},
        "commit": "",
    }
    return lambda **changes: Record(**(fields | changes))
