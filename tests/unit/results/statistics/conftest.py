"""A results folder, and a function that writes runs into it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.reports.results.made_results import FACTS
from tests.unit.results.statistics.made_runs import Maker, Measure, table
from xdcbench.results.records import Record, write_records
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return RunStore(tmp_path / "results").root


@pytest.fixture
def measure(out: Path, record: Maker) -> Measure:
    """Writes the run of a method: its record (fields as keywords), predictions and settings."""

    def write(
        method: str,
        right: Sequence[bool] | pd.DataFrame,
        *,
        size: int = 1,
        config: dict[str, Any] | None = None,
        root: Path = out,
        **fields: Any,
    ) -> Record:
        predictions = right if isinstance(right, pd.DataFrame) else table(right, size=size)
        made = record(method=method, **fields)
        said = {"method": method, **fields}
        key = f"finetune-{method}-" + "-".join(
            str(said.get(n, 0)) for n in ("split", "pretrain_seed", "dataset")
        )
        own = predictions
        value = 100 * float((own["prediction"] == own["label"]).mean())
        update = {"run": fields.get("run", key), "items_used": len(own), "value": fields.get("value", value)}
        made = made.model_copy(update=update)
        run = RunStore(root).path(made.run)
        run.mkdir(parents=True)
        predictions.to_parquet(run / "predictions.parquet", index=False)
        write_records(run, [made])
        settings = config or {"schedule": {"lr": 0.1}, "clips": 2}
        about = {"key": made.run, "kind": "linear_probe", "name": "probe", "config": {"settings": settings}}
        write_json(run / "run.json", FACTS | about)
        write_manifest(run)
        return made

    return write
