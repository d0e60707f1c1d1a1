"""What a key hangs on, and what it does not."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from xdcbench.config.evaluation import Finetune
from xdcbench.config.keys import VERSIONS, science
from xdcbench.config.load import load_suite
from xdcbench.config.models import Models
from xdcbench.config.pretraining import Pretrain, Schedule
from xdcbench.config.stages import FeaturesStage, IndexStage, InitStage
from xdcbench.config.suite import Suite
from xdcbench.data.context import Source
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.plan import Plan, make_plan

Sources = Callable[[Suite], Mapping[str, Source]]
Planner = Callable[..., Plan]


@pytest.fixture(scope="module")
def planned(everything_here: Sources) -> Planner:
    """Plans a shipped suite with overrides."""

    def plan(name: str, overrides: Sequence[str] = (), seeds: Sequence[int] = ()) -> Plan:
        suite = load_suite(name, overrides=overrides, seeds=seeds or (0,))
        return make_plan(suite, everything_here(suite))

    return plan


def keys(plan: Plan) -> dict[str, str]:
    """Names of a plan's stages by key."""
    return {stage.key: stage.name for stage in plan.stages}


def changed(before: Plan, after: Plan) -> set[str]:
    """Names of the stages of ``after`` that ``before`` has not."""
    return {name for key, name in keys(after).items() if key not in keys(before)}


# ------------------------------------------------------------------------------ what changes no key


@pytest.mark.parametrize("name", ["smoke", "real-small"])
def test_field_stated_at_its_default_changes_no_key(name: str, planned: Planner) -> None:
    for stage in planned(name).stages:
        stated = type(stage.config).model_validate(stage.config.model_dump())
        assert Stage(stage.kind, stage.name, stated, stage.inputs).key == stage.key


def test_new_option_with_a_default_orphans_no_run() -> None:
    class Longer(InitStage):
        gain: float = 1.0

    old = InitStage(models=Models(), seed=0)
    new = Longer(models=Models(), seed=0)
    assert Stage("init", "a", old).key == Stage("init", "a", new).key
    assert Stage("init", "a", old).key != Stage("init", "a", new.model_copy(update={"gain": 2.0})).key


@pytest.mark.parametrize(
    "override",
    [
        "datasets.grid.title=Another",
        "datasets.grid.folder=elsewhere",
        "datasets.grid.root=/elsewhere",
        "datasets.grid.license=none",
        "datasets.grid.source=a friend",
        "methods.xdc.title=X",
        "methods.xdc.family=ours",
        "description=another",
        "name=another",
        "tables=[rounds]",
    ],
)
def test_titles_and_places_change_no_key(override: str, planned: Planner) -> None:
    assert keys(planned("real-small", [override])) == keys(planned("real-small"))


def test_name_of_a_stage_is_not_in_its_key() -> None:
    config = InitStage(models=Models(), seed=0)
    assert Stage("init", "a", config).key == Stage("init", "b", config, unavailable="no disk").key


def test_number_of_rounds_leaves_the_earlier_rounds(planned: Planner) -> None:
    two, three = planned("mini", ["pretrain.rounds=2"]), planned("mini", ["pretrain.rounds=3"])
    rounds = {name for name in keys(two).values() if "/round" in name}
    assert len(rounds) == 4 * 2 + 1, "supervision has one"
    assert {n for k, n in keys(three).items() if k in keys(two) and "/round" in n} == rounds


# --------------------------------------------------------------------------------- what changes one


@pytest.mark.parametrize(
    ("override", "kinds"),
    [
        ("evaluations.audio_svm.max_iter=7", {"linear_svm"}),
        ("evaluations.linear_probe.C=2", {"linear_probe"}),
        ("evaluations.finetune.head_lr=0.01", {"finetune"}),
        ("evaluations.linear_probe.num_clips=4", {"linear_probe", "features"}),
    ],
)
def test_setting_of_an_evaluation_changes_its_own_keys_alone(
    override: str, kinds: set[str], planned: Planner
) -> None:
    evaluation = override.split(".")[1]
    before, after = planned("smoke"), planned("smoke", [override])
    new = [stage for stage in after.stages if stage.key not in keys(before)]
    assert {stage.kind for stage in new} == kinds
    measured = [s for s in after.stages if f"/{evaluation}/" in s.name]
    assert measured
    assert {s.name for s in new if s.kind != "features"} == {s.name for s in measured}


def test_another_seed_changes_exactly_what_hangs_on_it(planned: Planner) -> None:
    zero, one, both = (planned("smoke", seeds=seeds) for seeds in ([0], [1], [0, 1]))
    kept = {key: name for key, name in keys(one).items() if key in keys(zero)}
    assert {name.split("/")[0] for name in kept.values()} == {"world", "index"}
    assert {n.replace("seed1", "seed0") for n in changed(zero, one)} == changed(one, zero)
    assert keys(both) == keys(zero) | keys(one)


def test_clustering_of_one_method_changes_that_method_alone(planned: Planner) -> None:
    base = ["pretrain.k=null"]
    before, after = planned("mini", base), planned("mini", [*base, "methods.xdc.clusterings.a.k=9"])
    assert changed(before, after) == {name for name in keys(after).values() if name.startswith("xdc/")}


def test_a_setting_of_pretraining_leaves_initialisations_and_data(planned: Planner) -> None:
    before, after = planned("mini"), planned("mini", ["pretrain.schedule.lr=0.02"])
    kept = set(keys(after).values()) - changed(before, after)
    assert kept == {
        n for n in keys(after).values() if n.split("/")[0] in ("world", "index", "init", "scratch")
    }


@pytest.mark.parametrize("override", ["world.seed=1", "world.factors.hue=0"])
def test_another_world_leaves_only_initializations(override: str, planned: Planner) -> None:
    before, after = planned("mini"), planned("mini", [override])
    assert set(keys(after).values()) - changed(before, after) == {"init/seed0"}


@pytest.mark.parametrize(
    "change", [{"subset": {"per_class": 2}}, {"splits": ["2"]}, {"options": {"a": 1}}, {"max_failed": 0.5}]
)
def test_what_a_dataset_holds_is_in_its_key(change: dict[str, object]) -> None:
    dataset = load_suite("smoke").datasets["ucf101"]
    other = type(dataset).model_validate(dataset.model_dump() | change)
    before, after = (Stage("index", "a", IndexStage(name="ucf101", dataset=d)) for d in (dataset, other))
    assert before.key != after.key


def test_fingerprint_is_in_the_key() -> None:
    dataset = load_suite("smoke").datasets["ucf101"]
    marks = [IndexStage(name="ucf101", dataset=dataset, fingerprint=mark) for mark in ("a", "b", None)]
    assert len({Stage("index", "a", config).key for config in marks}) == 3


def test_version_changes_its_kind_and_what_hangs_on_it(
    planned: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, learned = planned("mini"), ("sdc", "mdc", "cdc", "xdc", "supervised")
    monkeypatch.setitem(VERSIONS, "round", VERSIONS["round"] + 1)
    after = planned("mini")
    assert changed(before, after) == {n for n in keys(after).values() if n.split("/")[0] in learned}


def test_kind_and_inputs_are_in_the_key() -> None:
    config = FeaturesStage(modality="audio", num_clips=1, precision="fp32")
    one, other = (Stage("init", "a", InitStage(models=Models(), seed=seed)) for seed in (0, 1))
    made = [
        Stage("features", "a", config),
        Stage("round", "a", config),
        Stage("features", "a", config, (("encoders", one),)),
        Stage("features", "a", config, (("encoders", other),)),
        Stage("features", "a", config, (("data", one),)),
    ]
    assert len({stage.key for stage in made}) == len(made)
    assert all(stage.key.startswith(f"{stage.kind}-") for stage in made)


def test_default_of_a_part_is_told_from_the_default_of_its_type() -> None:
    own, plain = Finetune(), Finetune(schedule=Schedule())
    assert own.schedule != plain.schedule
    assert science(own) == {}
    assert science(plain) != science(own)


def test_science_is_what_was_changed() -> None:
    assert science(Pretrain(rounds=3, schedule=Schedule(lr=0.5))) == {"rounds": 3, "schedule": {"lr": 0.5}}


# ------------------------------------------------------------------------------------ stage itself


def test_reason_comes_from_any_input() -> None:
    config = InitStage(models=Models(), seed=0)
    lacking = Stage("index", "a", config, unavailable="no folder")
    between = Stage("round", "b", config, (("encoders", Stage("init", "c", config)), ("data", lacking)))
    assert Stage("finetune", "d", config, (("encoders", between),)).reason == "no folder"
    assert Stage("init", "c", config).reason == ""
