"""A results folder with two rounds of XDC and what hangs on them, made once."""

from pathlib import Path

import pytest

from tests.unit.tiny import DATASETS, MODELS, linked, round_config
from xdcbench.config.pretraining import Augment
from xdcbench.config.stages import FeaturesStage, IndexStage, InitStage
from xdcbench.data.context import Context
from xdcbench.pipeline.building import run_stage
from xdcbench.pipeline.graph import Stage
from xdcbench.results.run_store import RunStore


@pytest.fixture(scope="session")
def results(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A results folder, and keys of its runs by name."""
    out = tmp_path_factory.mktemp("results")
    store = RunStore(out)
    context = Context("tests", roots={name: world / d.folder for name, d in DATASETS.items()})
    index = Stage("index", "index", IndexStage(name="kinetics400", dataset=DATASETS["kinetics400"]))
    init = Stage("init", "init", InitStage(models=MODELS, seed=0))
    features = FeaturesStage(modality="audio", num_clips=1, augment=Augment(), precision="fp32")
    first = Stage("round", "xdc/1", round_config("xdc"), (("encoders", init), ("data", index)))
    second = Stage("round", "xdc/2", round_config("xdc", number=2), (("encoders", first), ("data", index)))
    other = Stage("round", "sdc/1", round_config("sdc"), (("encoders", init), ("data", index)))
    again = Stage("round", "sdc/1b", round_config("sdc", seed=1), (("encoders", init), ("data", index)))
    taught = Stage("round", "supervised/1", round_config("supervised"), (("encoders", init), ("data", index)))
    probed = Stage("features", "features", features, (("encoders", second), ("data", index)))
    stages = {s.name: s for s in (index, init, first, second, other, again, taught, probed)}
    for stage in stages.values():
        assert run_stage(stage, store, context).status == "done"
    return out, {name: stage.key for name, stage in stages.items()}


@pytest.fixture
def files(world: Path, tmp_path: Path) -> Path:
    """A data root whose files may be taken away."""
    return linked(world, tmp_path / "files")
