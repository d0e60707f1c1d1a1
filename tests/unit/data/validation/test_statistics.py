import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from tests.unit.data.validation.test_verify import FILES, FINE
from xdcbench.data.local import FACTS, LocalDataset
from xdcbench.data.scanning.items import MISSING, Scan
from xdcbench.data.validation.statistics import dataset_statistics

SILENT = {"peak": 0.0}
MUTE = {"audio_codec": "", "audio_seconds": 0.0, "sample_rate": 0, "channels": 0, "peak": math.nan}
CLASSES = ("$x^2$ & <b>", "dog", "$unclosed")


def described(
    folder: Path, rows: list[dict[str, Any]], *, media: str = "video", classes: tuple[str, ...] = CLASSES
) -> dict[str, Any]:
    items = pd.DataFrame([{"label": 0, "bytes": 1000, **vars(FINE), **row} for row in rows])
    items = items.astype({name: kind for name, kind in FACTS.items() if kind != "float64"})
    items = items.assign(id=items.index.astype(str), path=items.index.astype(str))
    config = FILES.model_copy(update={"media": media, "title": "A $set$"})
    return dataset_statistics(
        LocalDataset("files", config, folder, Scan(items, classes), "f" * 64, folder), items
    )


ABSENT = {"bytes": MISSING} | {name: None for name in FACTS}


def test_numbers_are_those_of_the_items_that_decode(tmp_path: Path) -> None:
    seconds = [10.0, 4.0, 7.0, 3.0]
    rows = [{"video_seconds": s, **c} for s, c in zip(seconds, ({}, SILENT, MUTE, {"label": 1}), strict=True)]
    found = described(tmp_path, [*rows, ABSENT])
    assert found["items"] == 4
    assert found["bytes"] == 4000
    assert found["hours"] == pytest.approx(24 / 3600)
    assert found["seconds"]["mean"] == 6
    assert found["seconds"]["median"] == np.median(seconds)
    assert found["seconds"]["95%"] == pytest.approx(np.quantile(seconds, 0.95))
    assert found["audio"] == {"audio": 2, "silent": 1, "no audio": 1}
    assert found["sample_rate"] == {"16000": 3}
    assert found["size"] == {"64x48": 4}
    assert found["classes"] == {CLASSES[0]: 3, "dog": 1, CLASSES[2]: 0}
    assert json.loads((tmp_path / "stats.json").read_text()) == found


@pytest.mark.parametrize("media", ["audio", "image"])
def test_kinds_without_video_or_audio_have_no_such_numbers(media: str, tmp_path: Path) -> None:
    no_video = {"video_codec": "", "pix_fmt": "", "frames": 0, "width": 0, "height": 0, "video_seconds": 0.0}
    found = described(tmp_path, [no_video if media == "audio" else MUTE], media=media)
    assert ("seconds" in found) == (media == "audio")
    assert bool(found["video_codec"]) == (media == "image")
    assert "fps" not in found
    assert found["audio"] == ({"audio": 1} if media == "audio" else {})


def test_multi_label_items_count_in_each_class(tmp_path: Path) -> None:
    found = described(tmp_path, [{"label": -1, "labels": (0, 1)}, {"label": -1, "labels": (1,)}])
    assert found["classes"] == {"dog": 2, CLASSES[0]: 1, CLASSES[2]: 0}


def test_figure_shows_names_as_they_are(tmp_path: Path) -> None:
    described(tmp_path, [{}, SILENT])
    assert (tmp_path / "stats.png").read_bytes().startswith(b"\x89PNG")
    ElementTree.parse(tmp_path / "stats.svg")
    comments = (tmp_path / "stats.svg").read_text()
    assert "A $set$" in comments
    assert "$unclosed" in comments


@pytest.mark.parametrize("rows", [[ABSENT], [{}]])
def test_little_to_show_is_no_error(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    assert described(tmp_path, rows, classes=())["classes"] == {}
    assert (tmp_path / "stats.svg").exists()
