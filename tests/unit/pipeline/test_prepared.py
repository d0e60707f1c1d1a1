"""Which datasets a suite prepares into shards, how, and what that makes of its plan."""

from collections.abc import Sequence

import pytest

from xdcbench.config.data import ShardSettings
from xdcbench.config.load import load_suite
from xdcbench.config.models import Waveform
from xdcbench.config.stages import ShardsStage
from xdcbench.config.suite import Suite
from xdcbench.data.context import Source
from xdcbench.errors import UserError
from xdcbench.models.pretrained.origins import Origin
from xdcbench.pipeline.plan import Plan, make_plan
from xdcbench.pipeline.prepared import fitting_settings, prepared_datasets

AUTO = "prepare=auto"
NAMED = "prepare=[grid]"


def suite(name: str, *overrides: str, world: str = "") -> Suite:
    return load_suite(name, overrides=overrides, world=world)


def planned(of: Suite, shards: Sequence[str] = ()) -> Plan:
    return make_plan(of, {name: Source(f"of-{name}", shards=name in shards) for name in of.datasets})


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("table1", [], []),
        ("table1", [AUTO], ["kinetics400"]),
        ("table1", [AUTO, "datasets.kinetics400.published_items=19999"], []),
        ("table1", [AUTO, "datasets.kinetics400.subset.items=19999"], []),
        ("table1", [AUTO, "datasets.kinetics400.subset.items=20000"], ["kinetics400"]),
        ("table6", [AUTO], ["audioset", "ig_kinetics", "ig_random", "kinetics400"]),  # and no images
        ("real-small", [AUTO], []),
        ("real-small", [NAMED], ["grid"]),
        ("smoke", [AUTO], []),
        ("smoke", ["prepare=[ucf101, esc50]"], ["esc50", "ucf101"]),
    ],
)
def test_what_is_prepared(name: str, overrides: list[str], expected: list[str]) -> None:
    assert sorted(prepared_datasets(suite(name, *overrides))) == expected


def test_in_a_synthetic_world_only_what_is_named() -> None:
    assert not prepared_datasets(suite("table1", AUTO, world="small"))


def test_another_name_is_refused() -> None:
    with pytest.raises(UserError, match="prepare: unknown dataset of this suite 'gird'; did you mean 'grid'"):
        prepared_datasets(suite("real-small", "prepare=[gird]"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seeds=[0]", {}),
        ("models.video.input.short_side=[128, 171]", {"short_side": 172}),
        ("models.video.input.fps=50", {"fps": 50.0}),
        ("models.audio.input.sample_rate=22050", {"sample_rate": 22050}),
    ],
)
def test_every_encoder_finds_what_it_takes(override: str, expected: dict[str, float]) -> None:
    assert fitting_settings(suite("table1", override)) == ShardSettings(**expected)


def test_shards_are_prepared_at_the_rate_that_code_of_others_was_found_to_declare() -> None:
    mine = suite("table1", "encoders.mine.audio.source=my_encoder:Raw")
    assert fitting_settings(mine) == ShardSettings()
    origin = Origin(("audio",), inputs={"audio": Waveform(sample_rate=24_000, seconds=2.0)})
    assert fitting_settings(mine, {"mine": origin}) == ShardSettings(sample_rate=24_000)


def test_shards_have_the_frames_of_clips_that_are_read_faster() -> None:
    words = ("models.video.input.fps=20", "evaluations.temporal.rates=[0.5, 2]")
    assert fitting_settings(suite("smoke", *words, "prepare=[ucf101]")).fps == 40
    assert fitting_settings(suite("smoke", *words, "prepare=[hmdb51]")).fps == ShardSettings().fps


def test_shards_come_before_the_index_of_what_is_prepared() -> None:
    plan = planned(suite("real-small", NAMED))
    order = [stage.name for stage in plan.stages]
    assert order.index("shards/grid") < order.index("index/grid")
    assert "shards/esc10" not in order
    by_name = {stage.name: stage for stage in plan.stages}
    shards = by_name["shards/grid"]
    assert isinstance(shards.config, ShardsStage)
    assert shards.config.fingerprint == "of-grid"
    assert by_name["index/grid"].media is shards
    assert by_name["index/esc10"].media is None
    (decoding,) = [s for s in plan.stages if s.name == "scratch/seed0/features/video/grid"]
    assert shards in decoding.read, "shards that are gone or damaged are made again before they are read"
    assert shards not in next(s for s in plan.stages if s.kind == "linear_probe").read


def test_settings_and_originals_are_in_the_key() -> None:
    def key(*overrides: str, fingerprint: str = "f") -> str:
        of = suite("real-small", NAMED, *overrides)
        plan = make_plan(of, dict.fromkeys(of.datasets, Source(fingerprint)))
        return next(stage.key for stage in plan.stages if stage.name == "index/grid")

    assert key() == key("datasets.grid.title=Other")
    assert len({key(), key(fingerprint="g"), key("models.video.input.fps=60")}) == 3


def test_shards_of_the_user_are_not_prepared_again() -> None:
    of = suite("real-small", NAMED)
    assert not any(stage.kind == "shards" for stage in planned(of, shards=["grid"]).stages)


def test_parts_prepare_a_dataset_once() -> None:
    plan = planned(suite("full", AUTO))
    shards = [stage.name for stage in plan.stages if stage.kind == "shards"]
    assert sorted(shards) == sorted(set(shards))
    assert "shards/kinetics400" in shards
