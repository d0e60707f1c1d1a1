from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xdcbench.results.published import Published, load_published
from xdcbench.results.records import Record

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    """Makes a record of XDC finetuned on UCF101 split 1 with 8 frames; keywords replace fields."""
    fields: dict[str, Any] = {
        "run": "run0",
        "suite": "smoke",
        "method": "xdc",
        "pretrain_data": "kinetics400",
        "pretrain_items": 100,
        "architecture": "R(2+1)D-18",
        "evaluation": "finetune",
        "protocol": "finetune",
        "evaluation_version": 1,
        "dataset": "ucf101",
        "world": "real",
        "fingerprint": "feedbeef",
        "subset": "",
        "items_expected": 50,
        "items_used": 49,
        "items_failed": 1,
        "failed_items": (),
        "train_items_used": 0,
        "train_items_failed": 0,
        "pretrain_subset": "",
        "config_hash": "r",
        "split": "1",
        "official_splits": ("1", "2", "3"),
        "pretrain_seed": 0,
        "seed": 0,
        "metric": "top1",
        "value": 70.0,
        "unit": "%",
        "higher_is_better": True,
        "selection": "last",
        "hyperparameters": {"frames": 8},
        "epochs": 12,
        "seconds": 1.0,
        "device": "cpu",
        "precision": "fp32",
        "world_size": 1,
        "versions": {"torch": "2.11.0"},
        "commit": "abc",
    }
    return lambda **changes: Record(**(fields | changes))


@pytest.fixture(scope="session")
def published() -> list[Published]:
    return load_published(ROOT / "baselines" / "published.csv")


@pytest.fixture(scope="session")
def tables_folder() -> Path:
    return ROOT / "tables"
