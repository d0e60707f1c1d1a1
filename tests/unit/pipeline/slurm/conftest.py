import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.helpers import PICO
from tests.unit.pipeline.slurm.fake import FakeSlurm
from xdcbench.config.executors import Resources, Slurm
from xdcbench.pipeline.launch import Request, plan_launch
from xdcbench.pipeline.slurm.submit import Target
from xdcbench.results.run_store import RunStore
from xdcbench.utils.manifest import write_manifest

Publish = Callable[[str], None]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A fake cluster whose programs this process finds."""
    cluster = FakeSlurm(tmp_path / "slurm")
    for name in ("PATH", "FAKE_SLURM"):
        monkeypatch.setenv(name, cluster.environment[name])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert os.environ["PATH"].startswith(str(cluster.programs))
    return cluster


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """XDC's part of the smallest suite on audio, planned for nodes without GPUs; nothing of it is there.

    These are 13 stages: seven that follow each other, and an array of six evaluations.
    """
    request = Request(
        suite=str(PICO),
        results=tmp_path / "out",
        device="cpu",
        auto_precision="fp32",
        filter="xdc/kinetics400/seed0/audio_*",
    )
    settings = Slurm(device_class="cpu", default=Resources(nodes=1, cores=1, memory=1))
    return Target(plan_launch(request), request, settings, Path("mine.yaml"))


@pytest.fixture
def publish(target: Target) -> Publish:
    """Makes a stage's run complete, with nothing in it."""
    store: RunStore = target.launch.store

    def made(key: str) -> None:
        store.path(key).mkdir(parents=True)
        (store.path(key) / "ran.txt").write_text("")
        write_manifest(store.path(key))

    return made
