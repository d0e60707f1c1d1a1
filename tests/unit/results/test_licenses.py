from pathlib import Path
from typing import Any

import pytest

from tests.unit.reports.results.made_results import record, run
from xdcbench.results.licenses import licenses_of
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest


def found(
    folder: Path,
    kind: str,
    metadata: dict[str, Any],
    *,
    config: dict[str, Any] | None = None,
    **outcomes: Any,
) -> set[str]:
    """Licenses of an evaluation of features of encoders that a stage of ``kind`` has made."""
    store = RunStore(folder)
    made = run(store, f"{kind}-0", kind, kind, config=config or {"encoders": {}, "seed": 0}, inputs={})
    write_json(made / "encoders.json", metadata)
    run(store, "features-0", "features", "features", inputs={"encoders": made.name})
    run(store, "knn-0", "knn", "knn", inputs={"features": "features-0", "data": "index-0"})
    for key in store.there():
        write_manifest(store.path(key))
    return licenses_of(record("knn-0", "m", "knn", "top1", 1.0, outcomes=outcomes), [store])


def test_made_here_or_not_stated(tmp_path: Path) -> None:
    assert found(tmp_path / "init", "init", {}) == {"own"}
    assert found(tmp_path / "pretrained", "pretrained", {"method": "m"}) == {"not stated"}


@pytest.mark.parametrize(
    "metadata", [{"license": "MIT"}, {"license": {"video": "MIT"}}, {"provenance": {"license": "MIT"}}]
)
def test_stated_by_the_encoders(tmp_path: Path, metadata: dict[str, Any]) -> None:
    assert found(tmp_path, "pretrained", metadata) == {"MIT"}


def test_stated_by_the_settings_or_the_record(tmp_path: Path) -> None:
    config = {"encoders": {"video": {"license": "BSD-3-Clause"}, "audio": {"license": ""}}}
    assert found(tmp_path / "config", "pretrained", {}, config=config) == {"BSD-3-Clause"}
    assert found(tmp_path / "record", "pretrained", {}, license="Apache-2.0") == {"Apache-2.0"}


def test_encoders_that_are_not_here(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run(store, "knn-0", "knn", "knn", inputs={"features": "features-0"})
    write_manifest(store.path("knn-0"))
    assert licenses_of(record("knn-0", "m", "knn", "top1", 1.0), [store]) == {"not stated"}
