from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pytest

from xdcbench.config.consistency import check, settings_of
from xdcbench.config.evaluation import CrossRetrieval, Finetune, Fusion
from xdcbench.config.keys import VERSIONS, science
from xdcbench.config.load import load_suite
from xdcbench.config.models import VideoInput
from xdcbench.config.stages import RoundStage
from xdcbench.config.suite import EvaluationTask, Suite
from xdcbench.data.context import Source
from xdcbench.errors import UserError
from xdcbench.models.pretrained.origins import Origin
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.plan import Plan, make_plan

Sources = Callable[[Suite], Mapping[str, Source]]
XDC = "pretraining=[{methods: [xdc], data: kinetics400}]"


def planned(name: str, overrides: Sequence[str] = (), lacking: str = "") -> Plan:
    """A shipped suite, planned; the dataset ``lacking`` is not on this machine."""
    suite = load_suite(name, overrides=overrides)
    sources = {
        name: Source(unavailable=f"no folder for {name}") if name == lacking else Source(f"of-{name}")
        for name in suite.datasets
    }
    return make_plan(suite, sources)


def names(plan: Plan) -> list[str]:
    return [stage.name for stage in plan.stages]


@pytest.fixture(scope="module")
def smoke() -> Plan:
    return planned("smoke")


# -------------------------------------------------------------------------------------- expansion


MEASURED = (
    "features/video/kinetics400",
    "features/audio/kinetics400",
    "features/audio/esc50",
    "linear_probe/kinetics400/official",
    "audio_probe/kinetics400/official",
    "finetune/ucf101/1",
    *(f"audio_svm/esc50/{fold}" for fold in range(1, 6)),
)


def test_mini_expands_to_these_stages() -> None:
    clustered = [f"{method}/kinetics400/seed0" for method in ("sdc", "mdc", "cdc", "xdc")]
    learned = [*clustered, "supervised/kinetics400/schedule.epochs=24/seed0"]
    rounds = [f"{where}/round{number}" for where in clustered for number in (1, 2)] + [
        f"{learned[-1]}/round1"
    ]
    measured = [f"{where}/{what}" for where in ("scratch/seed0", *learned) for what in MEASURED]
    indices = [f"index/{name}" for name in ("kinetics400", "ucf101", "esc50")]
    expected = ["world", *indices, "init/seed0", *rounds, *measured]
    assert sorted(names(planned("mini", ["pretrain.rounds=2", "seeds=[0]"]))) == sorted(expected)


@pytest.mark.parametrize("name", ["smoke", "mini", "real-small", "instrument", "audioset_eval"])
def test_inputs_come_first_and_every_stage_once(name: str) -> None:
    plan = planned(name)
    seen: set[str] = set()
    for stage in plan.stages:
        assert stage.key not in seen
        assert {source.key for _, source in stage.inputs} <= seen
        seen.add(stage.key)


def test_what_can_be_shared_is_made_once(smoke: Plan) -> None:
    kinds = Counter(stage.kind for stage in smoke.stages)
    assert kinds["world"] == kinds["init"] == 1
    assert kinds["index"] == len(smoke.suite.datasets)
    features = Counter(stage.name for stage in smoke.stages if stage.kind == "features")
    assert set(features.values()) == {1}
    readers = [
        s for s in smoke.stages if any(i.name == "scratch/seed0/features/audio/esc50" for _, i in s.inputs)
    ]
    once = dict.fromkeys(("linear_probe", "retrieval", "knn", "low_shot", "clusters"), 1)
    assert Counter(s.kind for s in readers) == {**once, "linear_svm": 5}


def test_rounds_form_a_chain_that_evaluations_end(smoke: Plan) -> None:
    stages = {stage.name: stage for stage in smoke.stages}
    second = stages["xdc/kinetics400/seed0/round2"]
    assert dict(second.inputs)["encoders"].name == "xdc/kinetics400/seed0/round1"
    first = dict(second.inputs)["encoders"]
    assert {name: stage.name for name, stage in first.inputs} == {
        "encoders": "init/seed0",
        "data": "index/kinetics400",
    }
    finetune = stages["xdc/kinetics400/seed0/finetune/ucf101/1"]
    assert dict(finetune.inputs)["encoders"].key == second.key


def test_supervised_methods_have_one_round(smoke: Plan) -> None:
    rounds = [name for name in names(smoke) if name.startswith("supervised-") and "/round" in name]
    assert sorted(rounds) == [
        "supervised-imagenet/imagenet/seed0/round1",
        "supervised-kinetics/kinetics400/seed0/round1",
    ]


def test_method_without_audio_encoder_gets_no_audio_evaluation(smoke: Plan) -> None:
    def measured(method: str) -> set[str]:
        return {
            s.name.split("/")[3] for s in smoke.stages if s.name.startswith(method) and s.key in smoke.targets
        }

    frozen = {"retrieval", "knn", "low_shot", "clusters"}
    video = {"finetune", "linear_probe", "temporal", "round1", *frozen}
    both = {"fusion"}
    audio = {"audio_finetune", "audio_probe", "audio_svm", *(f"audio_{name}" for name in frozen)}
    assert measured("supervised-imagenet/") == video
    assert measured("supervised-kinetics/") == video | audio | both


def test_fusion_reads_the_features_of_both_encoders_that_probes_read(smoke: Plan) -> None:
    measures = ",".join(
        f"{{evaluation: {name}, dataset: kinetics400, splits: [official]}}"
        for name in ("fusion", "linear_probe", "audio_probe")
    )
    probes = ["evaluations.audio_probe.num_clips=2", f"evaluate=[{measures}]"]
    plan = planned("smoke", probes)
    stages = {stage.name: stage for stage in plan.stages}
    for where in ("scratch/seed0", "xdc/kinetics400/seed0"):
        inputs = dict(stages[f"{where}/fusion/kinetics400/official"].inputs)
        for name, probe in (("other", "audio_probe"), ("features", "linear_probe")):
            read = dict(stages[f"{where}/{probe}/kinetics400/official"].inputs)["features"]
            assert inputs[name].key == read.key
    assert Counter(s.kind for s in plan.stages)["features"] == 2 * 6 + 1, "one for video alone"
    fused = [s.name.split("/")[0] for s in smoke.stages if isinstance(settings_in(s), Fusion)]
    assert "supervised-imagenet" not in fused and len(fused) == 6


def test_a_fusion_that_fits_no_method_is_said_where_others_fit(caplog: pytest.LogCaptureFixture) -> None:
    plan = planned("smoke", ["pretraining=[{methods: [supervised-imagenet], data: imagenet}]"])
    assert caplog.messages == [
        "fusion measures nothing: no method and none of `encoders` has both an audio and a video encoder"
    ]
    assert "knn" in {stage.kind for stage in plan.stages}


def test_a_temporal_probe_reads_changed_clips_of_the_test_items_alone() -> None:
    measures = ["temporal", "linear_probe"]
    evaluate = ",".join(f"{{evaluation: {name}, dataset: ucf101, splits: ['1', '2']}}" for name in measures)
    overrides = [
        "evaluations.temporal.orders=[reversed, shuffled]",
        f"evaluate=[{evaluate}]",
        "pretraining=[{methods: [scratch]}]",
        "seeds=[0, 4]",
    ]
    stages = {stage.name: stage for stage in planned("smoke", overrides).stages}
    assert sum(stage.kind == "features" for stage in stages.values()) == 2 * (1 + 2 * 3)
    for seed, split in ((0, "1"), (0, "2"), (4, "1")):
        where = f"scratch/seed{seed}"
        inputs = dict(stages[f"{where}/temporal/ucf101/{split}"].inputs)
        probe = dict(stages[f"{where}/linear_probe/ucf101/{split}"].inputs)
        assert list(inputs) == ["features", "reversed", "shuffled", "rate-0.5", "data"]
        assert inputs["features"].key == probe["features"].key
        changes = {name: science(inputs[name].config) for name in ("reversed", "shuffled", "rate-0.5")}
        plain = science(inputs["features"].config) | {"test_split": split}
        seeded = {"seed": seed} if seed else {}
        assert changes == {
            "reversed": plain | {"frame_order": "reversed"},
            "shuffled": plain | {"frame_order": "shuffled"} | seeded,
            "rate-0.5": plain | {"rate": 0.5},
        }


def test_a_temporal_probe_needs_a_video_encoder_and_several_frames() -> None:
    measured = "evaluate=[{evaluation: temporal, dataset: ucf101, splits: ['1']}]"
    suite = load_suite("smoke", overrides=[measured, "pretraining=[]", "encoders.mine.audio.source=mfcc"])
    with pytest.raises(UserError, match=r"temporal measures nothing: .* has a video encoder\. Try: add one"):
        make_plan(suite, {}, origins={"mine": Origin(("audio",), "f")})
    own = [measured, "pretraining=[]", "encoders.mine.video.source='torchvision:resnet18'"]
    for frames, override in ((1, "evaluations.temporal.frames=null"), (8, "evaluations.temporal.frames=1")):
        origin = Origin(("video",), "f", inputs={"video": VideoInput(frames=frames)})
        suite = load_suite("smoke", overrides=[*own, override])
        with pytest.raises(
            UserError, match="mine/seed0/temporal/ucf101/1: clips of 1 frame have neither order"
        ):
            make_plan(suite, {}, origins={"mine": origin})
        several = load_suite("smoke", overrides=[*own, "evaluations.temporal.frames=2"])
        assert make_plan(several, {}, origins={"mine": origin}).targets


def settings_in(stage: Stage) -> object:
    return getattr(stage.config, "settings", None)


def test_k_of_the_suite_replaces_that_of_every_clustering() -> None:
    def ks(overrides: Sequence[str]) -> set[int]:
        rounds = [s for s in planned("mini", overrides).stages if s.kind == "round"]
        return {c["k"] for s in rounds for c in s.config.model_dump()["clusterings"].values()}

    assert ks(["pretrain.k=7"]) == {7}
    assert ks(["pretrain.k=null"]) == {64, 128}


def test_targets_are_results_and_not_what_they_need(smoke: Plan) -> None:
    kinds = {stage.kind for stage in smoke.stages if stage.key in smoke.targets}
    needed = {"world", "shards", "index", "init", "pretrained", "assignments", "features"}
    of_several_labels = {"multilabel_probe"}  # smoke has no dataset for it
    assert kinds == VERSIONS.keys() - needed - of_several_labels
    assert of_several_labels <= {stage.kind for stage in planned("audioset_eval").stages}


def test_precision_of_the_machine_is_in_the_plan() -> None:
    suite = load_suite("mini")
    plans = [make_plan(suite, {}, precision=lambda asked, p=p: p) for p in ("fp32", "bf16")]  # type: ignore[misc]
    shared = {s.key for s in plans[0].stages} & {s.key for s in plans[1].stages}
    assert {s.kind for s in plans[0].stages if s.key in shared} == {"world", "index", "init"}


def test_a_measurement_changes_settings_for_its_dataset_alone() -> None:
    measure = (
        "evaluate=[{evaluation: linear_probe, dataset: kinetics400, splits: [official], settings: {num_clips: 5}},"
        "{evaluation: audio_probe, dataset: kinetics400, splits: [official]}]"
    )
    known = {stage.key for stage in planned("mini").stages}
    new = {stage.name for stage in planned("mini", [measure]).stages if stage.key not in known}
    assert new == {
        name for name in names(planned("mini")) if "/linear_probe/" in name or "/features/video/" in name
    }


def test_a_measurement_keeps_what_it_does_not_change() -> None:
    suite = load_suite("smoke")
    measure = EvaluationTask(
        evaluation="finetune", dataset="ucf101", splits=("1",), settings={"schedule": {"epochs": 7}}
    )
    base, changed = suite.evaluations["finetune"], settings_of(suite, measure)
    assert isinstance(changed, Finetune)
    assert isinstance(base, Finetune)
    assert changed.schedule == base.schedule.model_copy(update={"epochs": 7})
    assert changed.model_copy(update={"schedule": base.schedule}) == base


# ---------------------------------------------------------------------------------- groups and parts


def test_a_group_changes_its_pretraining_and_names_it() -> None:
    groups = (
        "pretraining=[{methods: [xdc], data: kinetics400},"
        "{methods: [xdc], data: kinetics400, settings: {k: 5, schedule: {epochs: 3}}}]"
    )
    plan = planned("mini", [groups, "pretrain.rounds=1", "seeds=[0]"])
    first, second = [stage for stage in plan.stages if stage.kind == "round"]
    assert first.name == "xdc/kinetics400/seed0/round1"
    assert second.name == "xdc/kinetics400/k=5/schedule.epochs=3/seed0/round1"
    assert isinstance(first.config, RoundStage) and isinstance(second.config, RoundStage)
    assert {c.k for c in second.config.clusterings.values()} == {5}
    assert second.config.pretrain.schedule.epochs == 3
    assert second.config.pretrain.schedule.lr == first.config.pretrain.schedule.lr
    assert "xdc/kinetics400/k=5/schedule.epochs=3/seed0/linear_probe/kinetics400/official" in names(plan)
    assert len(plan.only("*/k=5/*/round*").targets) == 1


def test_what_a_group_does_not_change_is_pretrained_once() -> None:
    groups = "pretraining=[{methods: [xdc], data: kinetics400, settings: {rounds: 6}}]"
    keys = {stage.key for stage in planned("mini").stages}
    assert {stage.key for stage in planned("mini", [groups]).stages} < keys


def test_a_group_is_measured_by_the_evaluations_that_it_names() -> None:
    groups = (
        "pretraining=[{methods: [sdc], data: kinetics400, evaluations: [audio_probe]},"
        "{methods: [xdc], data: kinetics400}]"
    )
    said = [stage.name.split("/") for stage in planned("mini", [groups]).stages if "probe" in stage.kind]
    assert {(name[0], name[3]) for name in said} == {
        ("sdc", "audio_probe"),
        ("xdc", "audio_probe"),
        ("xdc", "linear_probe"),
    }


def test_a_suite_of_parts_keeps_the_plan_of_each() -> None:
    full = planned("full")
    parts = {part.suite.name: part for part in full.parts}
    assert list(parts) == [f"table{number}" for number in range(1, 8)]
    for name, part in parts.items():
        assert [stage.key for stage in part.stages] == [stage.key for stage in planned(name).stages]
    assert [s.key for s in full.stages] == list(dict.fromkeys(s.key for p in full.parts for s in p.stages))
    assert full.targets == frozenset().union(*(part.targets for part in full.parts))
    assert len(full.stages) < sum(len(part.stages) for part in full.parts)


def test_a_pretraining_serves_every_table_of_the_full_suite() -> None:
    last = Counter(s.name.rpartition("/")[0] for s in planned("full").stages if s.name.endswith("/round10"))
    assert set(last.values()) == {1}
    ks = {name for name in last if "/k=" in name}
    assert len(ks) == 15, "five k on three datasets"
    assert last.keys() - ks == {
        *(f"{method}/kinetics400/seed0" for method in ("sdc", "mdc", "cdc", "xdc")),
        *(f"xdc/{data}/seed0" for data in ("audioset_240k", "audioset")),
        *(f"xdc/{data}/val_fraction=0.001/seed0" for data in ("ig_random", "ig_kinetics")),
    }


def test_what_a_machine_lacks_leaves_the_other_parts_whole() -> None:
    full = planned("full", lacking="ig_random")
    lacking = {part.suite.name: {s.reason for s in part.stages} for part in full.parts}
    without = {"table1", "table2"}
    assert {name for name, reasons in lacking.items() if reasons == {""}} == without
    assert {r for name in lacking.keys() - without for r in lacking[name]} == {"", "no folder for ig_random"}


# ----------------------------------------------------------------------------- data that is not here


def test_lack_of_data_reaches_all_that_hangs_on_it() -> None:
    plan = planned("real-small", lacking="grid")
    lacking = {stage.name for stage in plan.stages if stage.reason}
    assert lacking == {
        stage.name
        for stage in plan.stages
        if stage.name.split("/")[0] in ("sdc", "xdc") or "grid" in stage.name.split("/")
    }
    assert {stage.reason for stage in plan.stages} == {"", "no folder for grid"}
    assert "scratch/seed0/audio_svm/esc10/1" in set(names(plan)) - lacking


def test_nothing_is_lacking_where_all_is_here() -> None:
    assert not any(stage.reason for stage in planned("real-small").stages)


# ------------------------------------------------------------------------------------------ --filter


def test_only_keeps_what_matches_and_what_that_needs(smoke: Plan) -> None:
    part = smoke.only("xdc/*/round1")
    assert sorted(names(part)[:-1]) == ["index/kinetics400", "init/seed0", "world"]
    assert names(part)[-1] == "xdc/kinetics400/seed0/round1"
    assert part.targets == {part.stages[-1].key}


def test_only_takes_a_key(smoke: Plan) -> None:
    stage = next(s for s in smoke.stages if s.kind == "linear_svm")
    assert smoke.only(stage.key).targets == {stage.key}


def test_only_knows_a_stage_by_its_name_in_any_part() -> None:
    """Of one seed and k, table 2's pretraining is that of the other tables in the synthetic world."""
    suite = load_suite("full", world="small")
    full = make_plan(suite, {})
    one, two = (full.only(f"xdc/kinetics400/{where}seed0/round2") for where in ("", "k=4/"))
    assert one.targets == two.targets
    assert len(one.targets) == 1


def test_only_that_matches_nothing_is_told(smoke: Plan) -> None:
    with pytest.raises(
        UserError, match="unknown stage for --filter or --stage 'index/ucf10'; did you mean 'index/ucf101'"
    ):
        smoke.only("index/ucf10")


# ------------------------------------------------------------------------------------------- check


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        (
            "mini",
            ["methods.xdc.heads.video=[q]"],
            "method 'xdc': unknown label source 'q'; known: a, v, labels",
        ),
        (
            "mini",
            ["methods.xdc.encoders=[video]"],
            "'xdc' has heads for audio but does not list that encoder",
        ),
        ("mini", ["pretraining=[{methods: [xdc]}]"], "'xdc' learns from data, but its group"),
        (
            "smoke",
            ["pretraining=[{methods: [xdc], data: imagenet}]"],
            "uses audio, but 'imagenet' holds image",
        ),
        ("smoke", ["pretraining=[{methods: [xdc], data: esc50}]"], "uses video, but 'esc50' holds audio"),
        (
            "smoke",
            ["evaluate=[{evaluation: fusion, dataset: esc50, splits: ['1']}]"],
            "fusion fuses audio and video, but 'esc50' holds audio files",
        ),
        (
            "smoke",
            ["evaluate=[{evaluation: temporal, dataset: esc50, splits: ['1']}]"],
            "temporal changes the order and rate of frames, but 'esc50' holds audio files. Try: a dataset of videos",
        ),
        (
            "smoke",
            ["evaluate=[{evaluation: temporal, dataset: imagenet, splits: [official]}]"],
            "temporal changes the order and rate of frames, but 'imagenet' holds image files",
        ),
        (
            "smoke",
            ["datasets.ucf101.multi_label=true"],
            "linear_probe predicts one class of each item, but items of 'ucf101' have several. Try: ",
        ),
        (
            "audioset_eval",
            ["datasets.audioset_balanced.multi_label=false"],
            "audio_multilabel_probe predicts a set of classes of each item, but items of 'audioset_balanced' have one",
        ),
        (
            "audioset_eval",
            ["evaluations.finetune.selection=val-best"],
            "finetune chooses by top-1 what it keeps, but items of 'audioset_balanced' have several classes. Try: ",
        ),
        (
            "audioset_eval",
            ["evaluations.finetune.sweep.lr=[0.1]"],
            "finetune chooses by top-1 what it keeps, but items of 'audioset_balanced' have several classes. Try: ",
        ),
        (
            "smoke",
            [
                "pretraining=[{methods: [supervised-imagenet], data: imagenet}]",
                "evaluate=[{evaluation: fusion, dataset: kinetics400, splits: [official]}]",
            ],
            "fusion measures nothing: no method and none of `encoders` has both an audio and a video encoder. Try",
        ),
        ("mini", ["pretraining=[{methods: [cdx], data: kinetics400}]"], "unknown method of this suite 'cdx'"),
        ("mini", ["pretraining=[{methods: [xdc], data: kinetics}]"], "did you mean 'kinetics400'"),
        (
            "mini",
            [XDC, "datasets.kinetics400.splits=[other]"],
            "dataset 'kinetics400': unknown split 'official'",
        ),
        (
            "mini",
            ["evaluate=[{evaluation: audio_probe, dataset: dcase, splits: [official]}]"],
            "unknown dataset of this suite 'dcase'",
        ),
        (
            "mini",
            ["evaluate=[{evaluation: audio_prob, dataset: kinetics400, splits: [official]}]"],
            "unknown evaluation of this suite 'audio_prob'; did you mean 'audio_probe'",
        ),
        (
            "mini",
            ["pretraining=[{methods: [xdc], data: kinetics400, settings: {kk: 2}}]"],
            "suite 'mini', xdc on kinetics400: unknown key 'kk': no field 'kk'; did you mean 'k'",
        ),
        (
            "mini",
            ["pretraining=[{methods: [xdc], data: kinetics400, evaluations: [audio_prob]}]"],
            "unknown evaluation of this suite 'audio_prob'; did you mean 'audio_probe'",
        ),
        (
            "mini",
            ["evaluate=[{evaluation: audio_probe, dataset: kinetics400, splits: [], settings: {clipz: 2}}]"],
            "suite 'mini', audio_probe on kinetics400: unknown key 'clipz': no field 'clipz'; did you mean 'num_clips'",
        ),
    ],
)
def test_names_that_do_not_fit_are_told(name: str, overrides: list[str], said: str) -> None:
    suite = load_suite(name, overrides=overrides)
    with pytest.raises(UserError) as error:
        make_plan(suite, {})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_images_may_teach_the_video_encoder(smoke: Plan) -> None:
    assert "supervised-imagenet/imagenet/seed0/round1" in names(smoke)


@pytest.mark.parametrize(
    "override",
    [
        "pretraining=[{methods: [sdc], data: kinetics400, part: test}]",
        "datasets.kinetics400.splits=[other, official]",
    ],
)
def test_learning_from_test_items_is_refused(override: str) -> None:
    with pytest.raises(UserError, match="test items would be learned from"):
        check(load_suite("mini", overrides=[override]))


# --------------------------------------------------------------------- retrieval across modalities


def across(**settings: str) -> Plan:
    """Smoke, asked for nothing but retrieval across modalities."""
    measure = EvaluationTask(evaluation="across", dataset="kinetics400", splits=("official",))
    update = {"evaluations": {"across": CrossRetrieval(**settings)}, "evaluate": (measure,)}
    return make_plan(load_suite("smoke").model_copy(update=update), {})


def test_methods_that_learn_across_modalities_alone_are_asked_across() -> None:
    plan = across()
    asked = {stage.name.split("/")[0]: stage for stage in plan.stages if stage.kind == "cross_retrieval"}
    assert set(asked) == {"mdc", "xdc"}
    inputs = dict(asked["xdc"].inputs)
    assert inputs["encoders"].name.endswith("round2")
    assert dict(inputs["features"].inputs)["encoders"] == inputs["encoders"]
    # The second round clustered what the first round's encoders gave.
    assert dict(inputs["gallery"].inputs)["encoders"].name.endswith("round1")
    assert inputs["gallery"].config.modality == "audio"
    assert asked["xdc"].config.settings.clustering == "a"


def test_a_clustering_that_is_not_across_is_told() -> None:
    with pytest.raises(UserError, match="clustering of audio to retrieve by 'b'"):
        across(clustering="b")
