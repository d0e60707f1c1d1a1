from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from xdcbench.data.prepared.layout import Label, Settings, Shard, parse_label, read_label, store_fingerprint
from xdcbench.errors import UserError

LABEL = Label(
    name="films",
    dataset={"adapter": "filelist"},
    media="video",
    classes=("a", "b"),
    splits=("official",),
    official=("official",),
    settings=Settings(),
    source_fingerprint="0" * 64,
    fingerprint="1" * 64,
    items_sha256="2" * 64,
    versions={"av": "18"},
    shards=(Shard(name="000000.tar", bytes=2048, sha256="3" * 64),),
)
ITEMS = pd.DataFrame(
    {"id": ["b", "a"], "video_sha256": [b"v" * 32, b"w" * 32], "sound_sha256": [b"s" * 32, None]}
)


def test_a_label_is_read_as_it_was_saved(tmp_path: Path) -> None:
    LABEL.save(tmp_path)
    assert read_label(tmp_path) == LABEL


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LABEL.model_dump_json().replace('"schema_version":2', '"schema_version":3'), "upgrade xdcbench"),
        (
            LABEL.model_dump_json().replace('"schema_version":2', '"schema_version":1'),
            "prepare the originals again",
        ),
        (LABEL.model_dump_json().replace("000000.tar", "../../x.tar"), r"shards\.0\.name"),
        (LABEL.model_dump_json().replace("000000.tar", "/x.tar"), r"shards\.0\.name"),
        (LABEL.model_dump_json()[:40], "is not readable JSON"),
        ("[]", "does not describe a store"),
        ('{"schema_version": "new"}', "does not describe a store"),
        ("{}", "does not describe a store"),
    ],
)
def test_other_labels_are_refused(content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_label(content.encode(), "store.json")


def test_a_folder_without_a_label_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="to the end"):
        read_label(tmp_path)


def test_settings_are_checked() -> None:
    for wrong in ({"short_side": 15}, {"short_side": 161}, {"rate": 0}, {"keyframe": 0}, {"sound": "mp3"}):
        with pytest.raises(ValidationError):
            Settings(**wrong)


def test_the_fingerprint_is_that_of_settings_and_contents() -> None:
    mark = store_fingerprint(Settings(), "source", ITEMS)
    assert mark == store_fingerprint(Settings(), "source", ITEMS.iloc[::-1])
    others = {
        store_fingerprint(Settings(keyframe=4), "source", ITEMS),
        store_fingerprint(Settings(), "other", ITEMS),
        store_fingerprint(Settings(), "source", ITEMS.iloc[:1]),
        store_fingerprint(Settings(), "source", ITEMS.assign(sound_sha256=[None, b"s" * 32])),
        store_fingerprint(
            Settings(),
            "source",
            ITEMS.rename(columns={"video_sha256": "sound_sha256", "sound_sha256": "video_sha256"}),
        ),
    }
    assert len(others | {mark}) == 6
