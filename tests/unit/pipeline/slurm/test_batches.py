from pathlib import Path

import pytest

from tests.integration.helpers import PICO
from xdcbench.config.executors import Resources
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.launch import Request, plan_launch
from xdcbench.pipeline.slurm.batches import Batch, batches_of, inputs_of


@pytest.fixture
def stages(tmp_path: Path) -> tuple[Stage, ...]:
    return plan_launch(Request(suite=str(PICO), results=tmp_path, device="cpu"), write=False).plan.stages


def batches(stages: tuple[Stage, ...], max_array: int = 1001, **own: Resources) -> list[Batch]:
    return batches_of(stages, {stage.key: own.get(stage.kind, Resources()) for stage in stages}, max_array)


def test_evaluations_that_wait_for_the_same_are_an_array(stages: tuple[Stage, ...]) -> None:
    found = batches(stages)
    arrays = [[stage.kind for stage in batch.stages] for batch in found if len(batch.stages) > 1]
    together = ["linear_probe", "linear_svm", "linear_svm", "retrieval", "low_shot", "clusters"]
    assert arrays == [together, together], "those of scratch, and those of xdc"
    assert sorted(s.key for batch in found for s in batch.stages) == sorted(s.key for s in stages)


def test_inputs_stand_before_what_reads_them(stages: tuple[Stage, ...]) -> None:
    seen: set[str] = set()
    for batch in batches(stages):
        assert all(set(inputs_of(stage)) == set(batch.inputs) for stage in batch.stages)
        assert set(batch.inputs) <= seen
        seen.update(stage.key for stage in batch.stages)


def test_arrays_are_no_larger_than_the_cluster_takes(stages: tuple[Stage, ...]) -> None:
    sizes = [len(batch.stages) for batch in batches(stages, max_array=4) if len(batch.stages) > 1]
    assert sizes == [4, 2, 4, 2]
    assert all(len(batch.stages) == 1 for batch in batches(stages, max_array=1))


def test_other_resources_are_another_job(stages: tuple[Stage, ...]) -> None:
    found = batches(stages, linear_svm=Resources(memory=64))
    kinds = [{stage.kind for stage in batch.stages} for batch in found if len(batch.stages) > 1]
    assert {"linear_svm"} in kinds
    assert all(k == {"linear_svm"} or "linear_svm" not in k for k in kinds)


def test_numbers_of_tasks(stages: tuple[Stage, ...]) -> None:
    one, two = stages[:2]
    assert Batch((one,), Resources()).numbers("7") == {one.key: "7"}
    assert Batch((one, two), Resources()).numbers("7") == {one.key: "7_0", two.key: "7_1"}


def test_halves_of_an_array(stages: tuple[Stage, ...]) -> None:
    sizes = [len(half.stages) for half in Batch(stages[:5], Resources(cores=3)).halves()]
    assert sizes == [2, 3]
    assert Batch(stages[:2], Resources()).halves() == tuple(Batch((s,), Resources()) for s in stages[:2])
