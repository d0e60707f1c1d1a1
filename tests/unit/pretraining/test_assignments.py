"""Labels that an earlier run has made: what a suite may say, what is planned, what is learned."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from tests.unit.tiny import CPU, round_config, small_index
from xdcbench.config.consistency import check
from xdcbench.config.keys import science
from xdcbench.config.load import load_suite
from xdcbench.config.stages import AssignmentsStage, RoundStage
from xdcbench.config.suite import Suite
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.launch import Request, plan_launch
from xdcbench.pipeline.plan import Plan, make_plan
from xdcbench.pretraining import assignments
from xdcbench.pretraining.pseudo_labels import (
    PseudoLabels,
    make_pseudo_labels,
    read_clusters,
    write_clusters,
)
from xdcbench.pretraining.round_context import RoundContext

INDEX = small_index([i % 4 for i in range(12)], ["train"] * 12)
OF = np.array([2, 2, -1, 1, 1, 0, 0, 0, 2, 1, 2, 0])

SUITE = """
seeds: [0, 1]
world: {classes: 4, kinetics_train: 12, kinetics_val: 3}
models: {base: reduced}
pretrain: {base: reduced, rounds: 2}
methods:
  same:
    title: Same modality
    assignments: {own: {run: sdc, clustering: v}}
    heads: {video: [own]}
pretraining:
  - {methods: [sdc], data: kinetics400}
  - {methods: [same], data: kinetics400, settings: {schedule: {epochs: 9}}}
evaluate: []
tables: [probes]
"""


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(SUITE, encoding="utf-8")
    return path


def planned(path: Path, *overrides: str, **options: Any) -> Plan:
    suite = load_suite(str(path), overrides=overrides, **options)
    return make_plan(suite, {})


def round_of(plan: Plan, name: str) -> Stage:
    (stage,) = [stage for stage in plan.stages if stage.name == name]
    return stage


# ------------------------------------------------------------------------------------- planning


def test_the_last_round_of_the_same_data_and_seed_is_learned(suite_file: Path) -> None:
    plan = planned(suite_file)
    for seed in (0, 1):
        same = round_of(plan, f"same/kinetics400/schedule.epochs=9/seed{seed}/round1")
        assert dict(same.inputs)["labels/own"].name == f"sdc/kinetics400/seed{seed}/round2"
        assert dict(same.inputs)["encoders"].name == f"init/seed{seed}"
        assert isinstance(same.config, RoundStage) and same.config.assignments == {"own": "v"}
    assert not any("same" in stage.name and "round2" in stage.name for stage in plan.stages)


def test_a_method_brings_the_one_whose_clusters_it_learns(suite_file: Path) -> None:
    plan = planned(suite_file, methods=["same"], seeds=[0])
    rounds = [stage.name for stage in plan.stages if stage.kind == "round"]
    assert rounds == [
        "sdc/kinetics400/seed0/round1",
        "sdc/kinetics400/seed0/round2",
        "same/kinetics400/schedule.epochs=9/seed0/round1",
    ]


def test_methods_without_earlier_clusters_keep_their_keys() -> None:
    assert "assignments" not in science(round_config("xdc"))


def of(path: Path, *overrides: str) -> Suite:
    return load_suite(str(path), overrides=overrides)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("methods.same.assignments.own.clustering=w", "'sdc': unknown clustering 'w'"),
        ("methods.same.heads.video=[owns]", "label source 'owns'"),
        ("methods.same.assignments.own.run=same", "itself learns from earlier clusters"),
        ("pretraining=[{methods: [same], data: kinetics400}]", "0 groups of `pretraining` have 'sdc'"),
        (
            "pretraining=[{methods: [sdc, same], data: kinetics400}, "
            "{methods: [sdc], data: kinetics400, settings: {k: 3}}]",
            "2 groups of `pretraining` have 'sdc'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(suite_file: Path, override: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check(of(suite_file, override))


def test_one_name_for_two_sources_is_refused(suite_file: Path) -> None:
    with pytest.raises(UserError, match="'own' is one of `clusterings` and of `assignments`"):
        of(suite_file, "methods.same.clusterings={own: {features: [video], k: 3}}")


def test_a_run_that_is_not_there_is_refused(suite_file: Path, tmp_path: Path) -> None:
    request = Request(
        suite=str(suite_file),
        overrides=["methods.same.assignments.own.run=round-0123456789ab"],
        results=tmp_path / "results",
        device="cpu",
    )
    with pytest.raises(UserError, match="no run round-0123456789ab in"):
        plan_launch(request)


# ------------------------------------------------------------------------------------- learning


def earlier_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    labels = PseudoLabels({"v": OF}, {"v": 3}, {"v": {}}, {})
    write_clusters(folder, INDEX, labels, {"v": np.zeros(len(OF), dtype=np.float32)})
    (folder / "encoders.json").write_text("{}", encoding="utf-8")
    return folder


def learned(run: Path, clustering: str, index: Any = INDEX) -> PseudoLabels:
    config = round_config("supervised").model_copy(update={"assignments": {"own": clustering}})
    context = RoundContext(
        config, index, np.arange(12), {}, cast(ClipDataset, None), run / "none", run / "work", CPU
    )
    return make_pseudo_labels(replace(context, earlier={"own": run}))


def test_items_have_the_clusters_of_the_run(tmp_path: Path) -> None:
    labels = learned(earlier_run(tmp_path / "run"), "v")
    assert np.array_equal(labels.of["own"], OF) and labels.sizes["own"] == 3
    clustered = OF >= 0
    expected = normalized_mutual_info_score(INDEX.labels[clustered], OF[clustered])
    assert labels.facts["own"]["nmi_class"] == pytest.approx(expected)


def test_clusters_are_found_by_the_names_of_items(tmp_path: Path) -> None:
    run = earlier_run(tmp_path / "run")
    turned = replace(INDEX, items=INDEX.items.iloc[::-1].reset_index(drop=True))
    assert np.array_equal(learned(run, "v", turned).of["own"], OF[::-1])


def test_a_run_of_other_items_is_refused(tmp_path: Path) -> None:
    run = earlier_run(tmp_path / "run")
    other = replace(INDEX, items=INDEX.items.assign(id=[f"other{n}" for n in range(12)]))
    with pytest.raises(UserError, match="has clustered no item of"):
        learned(run, "v", other)


def test_a_clustering_that_the_run_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="clustering 'w'"):
        learned(earlier_run(tmp_path / "run"), "w")


# ----------------------------------------------------------------------------------- by its key


def test_a_rounds_clusters_are_kept_as_a_run(tmp_path: Path) -> None:
    source, work = earlier_run(tmp_path / "run"), tmp_path / "work"
    work.mkdir()
    mark = assignments.file_hash(source / "assignments.parquet")
    config = AssignmentsStage(run=str(source), fingerprint=mark)
    assignments.run(config, {}, work, Context(suite="own"))
    found = read_clusters(work, INDEX)
    assert found is not None and np.array_equal(found.of["v"], OF)
    assert science(config) == {"fingerprint": mark}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "clusters.json").unlink(), "has lost .*clusters.json"),
        (lambda run: (run / "assignments.parquet").write_bytes(b"other"), "has changed"),
    ],
)
def test_a_run_that_changed_since_it_was_planned_is_refused(tmp_path: Path, spoil: Any, said: str) -> None:
    source, work = earlier_run(tmp_path / "run"), tmp_path / "work"
    work.mkdir()
    mark = assignments.file_hash(source / "assignments.parquet")
    spoil(source)
    with pytest.raises(UserError, match=said):
        assignments.run(AssignmentsStage(run=str(source), fingerprint=mark), {}, work, Context(suite="own"))
