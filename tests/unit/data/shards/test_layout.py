from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from xdcbench.config.data import ShardSettings
from xdcbench.data.shards.layout import (
    Shard,
    ShardsManifest,
    parse_manifest,
    read_manifest,
    shards_fingerprint,
)
from xdcbench.errors import UserError

MANIFEST = ShardsManifest(
    name="videos",
    dataset={"adapter": "filelist"},
    media="video",
    classes=("a", "b"),
    splits=("official",),
    official=("official",),
    settings=ShardSettings(),
    source_fingerprint="0" * 64,
    fingerprint="1" * 64,
    items_sha256="2" * 64,
    versions={"av": "18"},
    shards=(Shard(name="000000.tar", bytes=2048, sha256="3" * 64),),
)
ITEMS = pd.DataFrame(
    {"id": ["b", "a"], "video_sha256": [b"v" * 32, b"w" * 32], "audio_sha256": [b"s" * 32, None]}
)


def test_a_manifest_is_read_as_it_was_saved(tmp_path: Path) -> None:
    MANIFEST.save(tmp_path)
    assert read_manifest(tmp_path) == MANIFEST


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MANIFEST.model_dump_json().replace('"schema_version":3', '"schema_version":4'), "upgrade xdcbench"),
        (
            MANIFEST.model_dump_json().replace('"schema_version":3', '"schema_version":1'),
            "prepare the originals again",
        ),
        (MANIFEST.model_dump_json().replace("000000.tar", "../../x.tar"), r"shards\.0\.name"),
        (MANIFEST.model_dump_json().replace("000000.tar", "/x.tar"), r"shards\.0\.name"),
        (MANIFEST.model_dump_json()[:40], "is not readable JSON"),
        ("[]", "does not describe shards"),
        ('{"schema_version": "new"}', "does not describe shards"),
        ("{}", "does not describe shards"),
    ],
)
def test_other_labels_are_refused(content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_manifest(content.encode(), "shards.json")


def test_a_folder_without_a_manifest_holds_no_shards(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="to the end"):
        read_manifest(tmp_path)


def test_settings_are_checked() -> None:
    for wrong in (
        {"short_side": 15},
        {"short_side": 161},
        {"fps": 0},
        {"keyframe_interval": 0},
        {"audio_codec": "mp3"},
    ):
        with pytest.raises(ValidationError):
            ShardSettings(**wrong)


def test_the_fingerprint_is_that_of_settings_and_contents() -> None:
    mark = shards_fingerprint(ShardSettings(), "source", ITEMS)
    assert mark == shards_fingerprint(ShardSettings(), "source", ITEMS.iloc[::-1])
    others = {
        shards_fingerprint(ShardSettings(keyframe_interval=4), "source", ITEMS),
        shards_fingerprint(ShardSettings(), "other", ITEMS),
        shards_fingerprint(ShardSettings(), "source", ITEMS.iloc[:1]),
        shards_fingerprint(ShardSettings(), "source", ITEMS.assign(audio_sha256=[None, b"s" * 32])),
        shards_fingerprint(
            ShardSettings(),
            "source",
            ITEMS.rename(columns={"video_sha256": "audio_sha256", "audio_sha256": "video_sha256"}),
        ),
    }
    assert len(others | {mark}) == 6
