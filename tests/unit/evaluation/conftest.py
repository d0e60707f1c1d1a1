"""What evaluations of frozen features read, written without an encoder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.tiny import MODELS
from xdcbench.data.index import Index
from xdcbench.models.encoders import EncoderMetadata
from xdcbench.utils.documents import write_json

FeatureRuns = Callable[..., dict[str, Path]]


@pytest.fixture
def feature_runs(tmp_path: Path) -> FeatureRuns:
    """Run directories ``data`` and ``features`` of an index, its features and what could not be decoded."""

    def write(
        index: Index, features: np.ndarray, failed: dict[int, str] | None = None, *, name: str = "inputs"
    ) -> dict[str, Path]:
        inputs = {kind: tmp_path / name / kind for kind in ("data", "features")}
        for folder in inputs.values():
            folder.mkdir(parents=True)
        index.save(inputs["data"])
        np.save(inputs["features"] / "features.npy", features.astype(np.float32), allow_pickle=False)
        write_json(inputs["features"] / "failed.json", failed or {})
        metadata = EncoderMetadata(config_hash="r", seed=0, models=MODELS)
        write_json(inputs["features"] / "encoders.json", metadata.model_dump(mode="json"))
        return inputs

    return write
