"""Suites of real data, end to end in the synthetic world."""

from pathlib import Path

import pandas as pd
import pytest

from tests.integration.helpers import one_thread, xdcbench

UNUSED = ("kinetics_train", "kinetics_val", "imagenet_train", "imagenet_val", "dcase_train", "dcase_test")
AUDIOSET = ("audioset_unbalanced", "audioset_balanced", "audioset_eval")
SIZES = {"classes": 3, "ig_random": 24, "ig_kinetics": 8, **dict.fromkeys((*UNUSED, *AUDIOSET), 0)}


@pytest.mark.slow
def test_table_4_from_nothing(tmp_path: Path) -> None:
    """Curated against uncurated, of one size, from media files to cells."""
    sizes = [word for name, count in SIZES.items() for word in ("--set", f"world.{name}={count}")]
    words = (
        "run",
        "--suite",
        "table4",
        "--synthetic",
        "small",
        "--results",
        tmp_path,
        "--device",
        "cpu",
        *sizes,
    )
    done = xdcbench(*words, "--set", "pretrain.k=3", "--set", "pretrain.pca_dim=3", env=one_thread())
    assert done.returncode == 0, done.stderr
    cells = pd.read_csv(tmp_path / "tables" / "table4-small" / "table4.csv")
    measured = cells[cells["group"] == "measured (synthetic data)"]
    assert len(measured) == 2 * 3, "two pretraining sets, three datasets"
    assert set(measured["pretrain_data"]) == {"ig_random", "ig_kinetics"}
    assert set(measured["pretrain_items"]) == {24}
    assert measured["value"].between(0, 100).all()
    again = xdcbench(*words, "--set", "pretrain.k=3", "--set", "pretrain.pca_dim=3", env=one_thread())
    assert again.stdout.splitlines()[-1] == "table4-small: 17 kept"


@pytest.mark.slow
def test_several_classes_of_an_item_from_nothing(tmp_path: Path) -> None:
    """AudioSet's lists to cells of mAP, mAUC and d', of probes and of finetuned encoders."""
    words = ("run", "--suite", "audioset_eval", "--synthetic", "small", "--methods", "scratch")
    done = xdcbench(*words, "--results", tmp_path, "--device", "cpu", env=one_thread())
    assert done.returncode == 0, done.stderr
    cells = pd.read_csv(tmp_path / "tables" / "audioset_eval-small" / "audioset_eval.csv")
    measured = cells[cells["group"] == "measured (synthetic data)"]
    assert len(measured) == 4 * 3, "probes and finetuning of audio and video, three metrics"
    audio = measured[measured["column"].str.startswith("audio probe")]["value"].item()
    assert audio > 40, "ten classes, two of them of many items: a random order has about 13"
