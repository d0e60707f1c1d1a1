"""Shards that a stage of a plan prepares, and what reads them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.unit.tiny import DATASETS, MODELS
from xdcbench.config.data import ShardSettings
from xdcbench.config.stages import IndexStage, ShardsStage
from xdcbench.data import index_stage
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import even_clips
from xdcbench.data.context import PREPARED, Context
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index, media_of
from xdcbench.data.local import find_local
from xdcbench.data.preparation import stage
from xdcbench.data.preparation.prepare import Build, prepare
from xdcbench.data.shards.layout import read_manifest
from xdcbench.data.shards.reader import ShardReader
from xdcbench.errors import UserError

NAME = "kinetics400"
SETTINGS = ShardSettings(short_side=24, fps=8)


@pytest.fixture(scope="module")
def context(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context("tests", roots={NAME: world / NAME}, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def runs(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run directories of the two stages."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("shards", "index"):
        (root / name).mkdir()
    config = ShardsStage(name=NAME, dataset=DATASETS[NAME], settings=SETTINGS)
    stage.run(config, {}, root / "shards", context)
    index_stage.run(
        IndexStage(name=NAME, dataset=DATASETS[NAME]), {"shards": root / "shards"}, root / "index", context
    )
    return root


def test_they_are_those_of_the_command(runs: Path, world: Path, tmp_path: Path) -> None:
    data = find_local(NAME, DATASETS[NAME], world / NAME, None)
    prepare(Build(tmp_path / "shards", data, SETTINGS), workers=1, limit=60.0)
    mine, theirs = (read_manifest(path) for path in (runs / "shards" / PREPARED, tmp_path / "shards"))
    assert mine.fingerprint == theirs.fingerprint
    assert mine.shards == theirs.shards


def test_the_index_and_its_clips_are_those_of_the_shards(runs: Path, context: Context) -> None:
    index = Index.load(runs / "index")
    assert index.fingerprint == read_manifest(runs / "shards" / PREPARED).fingerprint
    assert index.shards is not None
    assert index.shards["settings"]["short_side"] == 24
    source = media_of(index, replace(context, prepared={NAME: runs / "shards" / PREPARED}))
    assert isinstance(source, ShardReader)
    clips = ClipDataset(index, source, video=MODELS.video.input, audio=MODELS.audio.input)
    specs = even_clips(index.rows("official", "train"), 1)
    read = list(batches(clips, specs, size=6, workers=0))
    assert sum(len(batch.rows) for batch in read) == len(specs) > 0
    assert not any(batch.failed for batch in read)
    assert all(batch.audio is not None and torch.isfinite(batch.audio).all() for batch in read)


def test_another_part_of_a_suite_may_read_the_originals(
    tiny_runs: Path, tiny_context: Context, runs: Path
) -> None:
    index = Index.load(tiny_runs / NAME)
    beside = replace(tiny_context, prepared={NAME: runs / "shards" / PREPARED})
    assert media_of(index, beside) == tiny_context.roots[NAME]


def test_originals_that_have_changed_since_planning_are_not_prepared(
    context: Context, tmp_path: Path
) -> None:
    config = ShardsStage(name=NAME, dataset=DATASETS[NAME], fingerprint="0" * 64, settings=SETTINGS)
    with pytest.raises(UserError, match="changed while this run was planned; give the same command again"):
        stage.run(config, {}, tmp_path, context)
    assert not (tmp_path / PREPARED).exists()
