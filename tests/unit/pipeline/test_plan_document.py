import json
from pathlib import Path

import pytest

from tests.integration.helpers import PICO
from xdcbench.config.executors import load_executor
from xdcbench.pipeline.launch import Launch, Request, plan_launch
from xdcbench.pipeline.plan_document import plan_document


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return Request(suite=str(PICO), results=tmp_path / "out", device="cpu", auto_precision="bf16")


@pytest.fixture
def launch(request_: Request) -> Launch:
    return plan_launch(request_, write=False)


def test_the_document_has_every_stage_after_its_inputs(launch: Launch, request_: Request) -> None:
    settings, _ = load_executor("slurm")
    document = json.loads(json.dumps(plan_document(launch, request_, settings, on_nodes=False)))
    keys = [stage["key"] for stage in document["stages"]]
    assert keys == list(launch.keys)
    for place, stage in enumerate(document["stages"]):
        assert set(stage["inputs"]) <= set(keys[:place])
        assert stage["state"] == "to do"
        assert stage["command"][:2] == ["xdcbench", "run"]
        assert stage["command"][-2:] == ["--stage", stage["key"]]
        assert "--auto-precision" in stage["command"]
        assert stage["resources"].keys() == {"nodes", "gpus", "processes", "cores", "memory", "hours"}


def test_what_a_stage_decodes_is_among_its_inputs(launch: Launch, request_: Request) -> None:
    """A round reads the media of the world, not only its index."""
    settings, _ = load_executor("slurm")
    stages = plan_document(launch, request_, settings, on_nodes=False)["stages"]
    (world,) = [stage["key"] for stage in stages if stage["kind"] == "world"]
    assert all(world in stage["inputs"] for stage in stages if stage["kind"] == "round")


def test_commands_for_nodes_name_their_devices(launch: Launch, request_: Request) -> None:
    settings, _ = load_executor("slurm")
    stages = plan_document(launch, request_, settings, on_nodes=True)["stages"]
    devices = {s["kind"]: s["command"][s["command"].index("--device") + 1] for s in stages}
    assert (devices["round"], devices["linear_svm"]) == ("cuda", "cpu")
