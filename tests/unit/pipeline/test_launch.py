from dataclasses import replace
from pathlib import Path

import pytest
import torch

from xdcbench.errors import UserError
from xdcbench.models.weights import build_encoder
from xdcbench.pipeline.launch import Launch, Request, find_origins, plan_launch
from xdcbench.pretraining import pretrained


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return Request(suite="smoke", results=tmp_path / "results", device="cpu")


def keys(launch: Launch) -> set[str]:
    return {stage.key for stage in launch.plan.stages}


def test_world_suite_reads_its_data_from_the_world(request_: Request) -> None:
    launch = plan_launch(request_)
    (world,) = [stage for stage in launch.plan.stages if stage.kind == "world"]
    assert launch.context.roots["ucf101"] == launch.store.path(world.key) / "ucf101"
    assert launch.context.roots.keys() == launch.plan.suite.datasets.keys()
    assert launch.context.suite == "smoke"


@pytest.mark.parametrize(
    "change", [{"num_workers": 4}, {"checkpoint_seconds": 1.0}, {"device": "auto"}, {"scratch": "$TMPDIR"}]
)
def test_machine_is_in_no_key(request_: Request, change: dict[str, object]) -> None:
    assert keys(plan_launch(replace(request_, **change))) == keys(plan_launch(request_))  # type: ignore[arg-type]


def test_runtime_reaches_the_context(request_: Request) -> None:
    context = plan_launch(replace(request_, num_workers=3, checkpoint_seconds=7.0)).context
    assert (context.num_workers, context.checkpoint_seconds, context.device) == (3, 7.0, "cpu")


def test_a_scratch_disk_without_shards_is_told(request_: Request, caplog: pytest.LogCaptureFixture) -> None:
    assert plan_launch(replace(request_, scratch="$TMPDIR")).context.scratch == "$TMPDIR"
    assert "--scratch: smoke reads no prepared shards, and none are copied" in caplog.text


def test_precision_of_the_request_is_that_of_every_stage(request_: Request) -> None:
    launch = plan_launch(replace(request_, overrides=("pretrain.precision=bf16",), precision="fp32"))
    said = [str(stage.config.model_dump()) for stage in launch.plan.stages]
    assert any("'precision': 'fp32'" in text for text in said)
    assert not any("'precision': 'auto'" in text or "'precision': 'bf16'" in text for text in said)


def test_auto_precision_is_resolved(request_: Request) -> None:
    launch = plan_launch(replace(request_, suite="mini"))
    assert not any("'precision': 'auto'" in str(s.config.model_dump()) for s in launch.plan.stages)


def test_parts_of_a_suite(request_: Request) -> None:
    whole = plan_launch(request_)
    part = plan_launch(replace(request_, methods=("xdc",), seeds=(3,), filter="xdc/*/round1"))
    assert [s.name for s in part.plan.stages if s.kind == "round"] == ["xdc/kinetics400/seed3/round1"]
    assert keys(plan_launch(replace(request_, filter="index/*"))) < keys(whole)


def test_any_real_suite_runs_in_the_synthetic_world(request_: Request) -> None:
    launch = plan_launch(replace(request_, suite="table1", synthetic="small"))
    (world,) = [stage for stage in launch.plan.stages if stage.kind == "world"]
    assert not any(stage.reason for stage in launch.plan.stages)
    assert set(launch.context.roots) == {"kinetics400", "ucf101", "hmdb51", "esc50"}
    assert launch.context.roots["esc50"] == launch.store.path(world.key) / "esc50"
    assert launch.context.suite == "table1-small"


def test_parts_have_one_world(request_: Request) -> None:
    plans = [
        plan_launch(replace(request_, suite=suite, synthetic="small")).plan for suite in ("table1", "table7")
    ]
    worlds = [{stage.key for stage in plan.stages if stage.kind == "world"} for plan in plans]
    assert worlds[0] == worlds[1], "one results folder holds the world once for all tables"


def test_what_parts_lack_is_unavailable(request_: Request, tmp_path: Path) -> None:
    launch = plan_launch(replace(request_, suite="full", data_root=tmp_path))
    lacking = {stage.name: stage.reason for stage in launch.plan.stages if stage.kind == "index"}
    assert lacking["index/ig_random"] == f"no folder {tmp_path / 'ig_random'} for ig_random"
    assert len(lacking) == 10 and all(lacking.values())
    assert not next(stage for stage in launch.plan.stages if stage.kind == "init").reason


def test_dry_look_makes_nothing(request_: Request, tmp_path: Path) -> None:
    launch = plan_launch(request_, write=False)
    assert launch.plan.stages
    assert list(tmp_path.iterdir()) == []


def test_real_suite_without_a_data_root_is_planned_as_unavailable(request_: Request) -> None:
    launch = plan_launch(replace(request_, suite="real-small"))
    lacking = {stage.name: stage.reason for stage in launch.plan.stages if stage.kind == "index"}
    labels = ("grid", "grid_color", "grid_digit", "grid_letter")
    assert lacking.keys() == {"index/esc10", *(f"index/{name}" for name in labels)}
    assert "give --data-root or --set datasets.grid.root=DIR" in lacking["index/grid"]
    assert launch.context.roots == {}


def test_roots_of_real_data(request_: Request, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    own = f"datasets.esc10.root={tmp_path / 'own'}"
    launch = plan_launch(replace(request_, suite="real-small", data_root=data, overrides=(own,)))
    labels = ("grid", "grid_color", "grid_digit", "grid_letter")
    assert launch.context.roots == {**dict.fromkeys(labels, data / "grid"), "esc10": tmp_path / "own"}
    assert {s.reason for s in launch.plan.stages} == {
        "",
        *(f"no folder {data / 'grid'} for {name}" for name in labels),
        f"no folder {tmp_path / 'own'} for esc10",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suite": "real-small", "data_root": Path("nowhere")}, "--data-root nowhere is no folder"),
        ({"suite": "smok"}, "did you mean 'smoke'"),
        ({"filter": "nothing/*"}, "unknown stage for --filter"),
        ({"device": "abacus"}, "abacus"),
        (
            {"overrides": ("evaluate=[{evaluation: a, dataset: b, splits: []}]",)},
            "evaluation of this suite 'a'",
        ),
        (
            {"suite": "real-small", "overrides": ("pretraining=[{methods: [xdc], data: gird}]",)},
            "dataset of this suite 'gird'; did you mean 'grid'",
        ),
    ],
)
def test_request_that_does_not_fit_is_told(request_: Request, change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as error:
        plan_launch(replace(request_, **change))  # type: ignore[arg-type]
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_world_reads_nothing_from_the_data_root(
    request_: Request, caplog: pytest.LogCaptureFixture
) -> None:
    """A data root that stands in the environment must not keep a suite with a world from running."""
    launch = plan_launch(replace(request_, data_root=Path("data")))
    assert "nothing is read from data" in caplog.text
    assert all("world-" in str(root) for root in launch.context.roots.values())


OWN = "tests.unit.models.own_encoder"


def with_encoder(request: Request, *settings: str) -> Launch:
    overrides = tuple(f"encoders.mine.{setting}" for setting in settings)
    return plan_launch(replace(request, suite="smoke", overrides=overrides), write=False)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (f"audio.source={OWN}:Absent", r"encoders\.mine\.audio: .* could not be built \(AttributeError"),
        (
            f"audio.source={OWN}:Sequence",
            r"encoders\.mine\.audio: .* a sequence\. Try: return its mean over time",
        ),
        (f"audio.source={OWN}:Tiny", r"must be a torch module with `input` \(an AudioInput or Waveform\)"),
        ("video.source=torchvision:r3d_81", r"encoders\.mine\.video: unknown model of torchvision 'r3d_81'"),
    ],
)
def test_an_encoder_that_cannot_be_built_is_refused_when_planning(
    request_: Request, setting: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        with_encoder(request_, setting)


def test_an_import_that_fails_is_told_when_planning(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torn_at_plan.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"No module named 'no_such_library', torn_at_plan.py line 1"):
        with_encoder(request_, "audio.source=torn_at_plan:Net")


def test_weights_are_seen_to_fit_when_planning(request_: Request, tmp_path: Path) -> None:
    model = plan_launch(request_, write=False).plan.suite.models.audio
    torch.save(build_encoder(model, seed=0).state_dict(), tmp_path / "w.pth")
    weights = f"audio.weights={tmp_path / 'w.pth'}"
    with pytest.raises(
        UserError, match=r"encoders\.mine\.audio: .*weights do not fit this AudioResNet: missing: "
    ):
        with_encoder(request_, weights)
    launch = with_encoder(
        request_, weights, f"audio.model={{width: {model.width}, blocks: {list(model.blocks)}}}"
    )
    assert any(stage.name == "mine" and not stage.reason for stage in launch.plan.stages)


def test_a_folder_without_encoders_is_an_error_and_one_that_is_not_there_unavailable(
    request_: Request, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"encoders\.mine: .* holds no encoders: encoders\.json is missing"):
        with_encoder(request_, f"run={tmp_path}")
    launch = with_encoder(request_, f"run={tmp_path / 'nowhere'}")
    reasons = {stage.reason for stage in launch.plan.stages if stage.name.startswith("mine")}
    assert reasons == {f"no folder {tmp_path / 'nowhere'} for mine"}


def test_what_code_of_others_declares_is_known_when_planning(request_: Request) -> None:
    suite = with_encoder(request_, f"audio.source={OWN}:Raw").plan.suite
    consent = replace(request_, trust_code=True).consent
    declared = find_origins(suite, consent)["mine"].inputs["audio"]
    assert declared.model_dump() == {"kind": "waveform", "sample_rate": 24_000, "seconds": 0.8}


@pytest.mark.parametrize(
    "setting", ["audio.source=mfcc", "video.weights=r2plus1d_18_xdc_audioset", "audio.source=resnet"]
)
def test_what_is_known_without_building_is_not_built(
    request_: Request, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("built while planning")

    monkeypatch.setattr(pretrained, "build_all", refuse)
    assert any(stage.name == "mine" for stage in with_encoder(request_, setting).plan.stages)
