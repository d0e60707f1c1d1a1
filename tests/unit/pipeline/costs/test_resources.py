from pathlib import Path

import pytest

from tests.integration.helpers import PICO
from xdcbench.config.executors import Resources, Slurm
from xdcbench.errors import UserError
from xdcbench.pipeline.costs.flops import training_flop
from xdcbench.pipeline.costs.resources import resources_of
from xdcbench.pipeline.costs.sizes import sizes_of
from xdcbench.pipeline.costs.work import Works
from xdcbench.pipeline.launch import Launch, Request, plan_launch


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return plan_launch(Request(suite=str(PICO), results=tmp_path, device="cpu"), write=False)


def asked(launch: Launch, kind: str, settings: Slurm) -> Resources:
    stage = next(stage for stage in launch.plan.stages if stage.kind == kind)
    works = Works(lambda index: sizes_of(index, launch.store))
    return resources_of(stage, works, settings, launch.plan.suite.models)


def test_gpus_are_for_stages_that_compute_on_them(launch: Launch) -> None:
    settings = Slurm(device_class="ampere", default=Resources(gpus=4, nodes=2))
    found = asked(launch, "round", settings)
    assert (found.nodes, found.gpus, found.processes, found.cores) == (2, 4, 4, 32)
    found = asked(launch, "linear_svm", settings)
    assert (found.nodes, found.gpus, found.processes, found.cores) == (1, 0, 1, 4)
    assert asked(launch, "round", Slurm(device_class="cpu")).gpus == 0


def test_a_kind_of_stage_has_its_own(launch: Launch) -> None:
    own = {"linear_svm": Resources(partition="big", memory=200, cores=2, hours=3)}
    settings = Slurm(device_class="ampere", default=Resources(partition="gpu"), stages=own)
    assert asked(launch, "round", settings).partition == "gpu"
    found = asked(launch, "linear_svm", settings)
    assert (found.partition, found.memory, found.cores, found.hours) == ("big", 200, 2, 3)


def test_memory_holds_the_features_that_are_fitted(launch: Launch) -> None:
    """3 classes x 5 folds x 2 clips of ESC-50, two clips each, features of 8 x 16 floats; 4 GiB and 2 GiB per core."""
    stage = next(stage for stage in launch.plan.stages if stage.kind == "linear_svm")
    (features,) = [source for _, source in stage.inputs if source.kind == "features"]
    held = Works(lambda index: sizes_of(index, launch.store)).of(features).written
    assert held > 0
    found = asked(launch, "linear_svm", Slurm(device_class="cpu"))
    assert found.memory == pytest.approx(4 + 2 * 4 + 3 * held / 2**30)


def test_time_follows_from_the_speed_that_is_stated(launch: Launch) -> None:
    stage = next(stage for stage in launch.plan.stages if stage.kind == "round")
    models = launch.plan.suite.models
    flop = sum(Works(lambda index: sizes_of(index, launch.store)).of(stage).flop.values())
    rate = flop / (training_flop(models.video) + training_flop(models.audio)) / 3600  # an hour's work
    assert asked(launch, "round", Slurm(device_class="ampere")).hours == 24
    settings = Slurm(device_class="ampere", clips_per_second=rate)
    assert asked(launch, "round", settings).hours == pytest.approx(1 + 2)
    two = Slurm(device_class="ampere", clips_per_second=rate, stages={"round": Resources(gpus=2)})
    assert asked(launch, "round", two).hours == pytest.approx(1 + 1)
    short = Slurm(device_class="ampere", clips_per_second=rate, max_hours=2)
    assert asked(launch, "round", short).hours == 2


def test_several_processes_for_a_stage_of_one_are_refused(launch: Launch) -> None:
    settings = Slurm(device_class="cpu", stages={"linear_svm": Resources(nodes=2)})
    with pytest.raises(UserError, match=r"stages\.linear_svm\.nodes = 2: one process works on such a stage"):
        asked(launch, "linear_svm", settings)
