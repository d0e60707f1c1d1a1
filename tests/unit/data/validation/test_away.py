"""Surveys and shards of media that are away: they stop, and remember nothing of it."""

from pathlib import Path

import pandas as pd
import pytest

from tests.unit.tiny import DATASETS, linked
from xdcbench.config.data import ShardSettings
from xdcbench.data.local import facts, find_local
from xdcbench.data.preparation import prepare as preparing
from xdcbench.data.preparation.prepare import Build, prepare
from xdcbench.errors import MediaUnreachableError

LIMIT = 60.0


def test_a_survey_stops_and_asks_again(world: Path, tmp_path: Path) -> None:
    root = linked(world / "esc50", tmp_path / "esc50")
    data = find_local("esc50", DATASETS["esc50"], root, tmp_path / "out")
    victim = sorted(root.glob("audio/*.wav"))[3]
    victim.rename(tmp_path / "away.wav")
    for _ in range(2):
        with pytest.raises(MediaUnreachableError, match=f"media not reachable: .*{victim.name}"):
            facts(data, workers=2, limit=LIMIT)
    assert not (data.folder / "items.parquet").exists()
    (tmp_path / "away.wav").rename(victim)
    assert (facts(data, workers=2, limit=LIMIT)["error"] == "").all()


def test_a_survey_does_not_keep_what_went_away_under_it(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there when it is looked for, and away when it is opened."""
    root = linked(world / "esc50", tmp_path / "esc50")
    data = find_local("esc50", DATASETS["esc50"], root, tmp_path / "out")
    victim = sorted(root.glob("audio/*.wav"))[3]
    from xdcbench.data import survey

    true = survey._look

    def going(*values: object, **more: object) -> None:
        victim.rename(tmp_path / "away.wav")
        true(*values, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(survey, "_look", going)
    with pytest.raises(MediaUnreachableError, match=f"media not reachable: .*{victim.name}"):
        facts(data, workers=1, limit=LIMIT)
    assert "reachable" not in (data.folder / "items.jsonl").read_text()
    monkeypatch.undo()
    (tmp_path / "away.wav").rename(victim)
    assert (facts(data, workers=2, limit=LIMIT)["error"] == "").all()


def test_shards_are_not_written_without_what_is_away(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdcbench.data.media.local_file.PAUSES", ())
    root = linked(world / "esc50", tmp_path / "esc50")
    data = find_local("esc50", DATASETS["esc50"], root, tmp_path / "out")
    build = Build(tmp_path / "shards", data, ShardSettings())
    for where in ("_make", "write_shards"):  # before originals are read, and before the index is written
        true = getattr(preparing, where)

        def going(*values: object, true: object = true, **more: object) -> pd.DataFrame:
            root.rename(tmp_path / "away")
            return true(*values, **more)  # type: ignore[operator,no-any-return]

        with monkeypatch.context() as patch:
            patch.setattr(preparing, where, going)
            with pytest.raises(MediaUnreachableError, match="media not reachable"):
                prepare(build, workers=1, limit=LIMIT)
        (tmp_path / "away").rename(root)
        assert not (build.folder / "items.parquet").exists()
        build = Build(tmp_path / "shards", data, ShardSettings())
    assert prepare(build, workers=1, limit=LIMIT)["ok"].all()
