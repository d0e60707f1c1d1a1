"""Runs of the results folder that a plan builds on, and indexes in it that are stale."""

import logging
import shutil
from collections.abc import Mapping

from xdcbench.config.stages import AssignmentsStage, IndexStage
from xdcbench.config.suite import Suite
from xdcbench.data.context import INDEX_ITEMS, Source
from xdcbench.errors import UserError
from xdcbench.pipeline.plan import Plan
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import read_json
from xdcbench.utils.io import file_hash

log = logging.getLogger("xdcbench")


def find_earlier(suite: Suite, store: RunStore) -> dict[str, AssignmentsStage]:
    """Rounds in the results folder whose clusters the suite's methods learn, by key.

    Raises:
        UserError: one is not there, is damaged, or has no clusters.
    """
    found: dict[str, AssignmentsStage] = {}
    for part in suite.leaves:
        used = {name for group in part.pretraining for name in group.methods}
        for name in sorted(used):
            for source, earlier in part.methods[name].assignments.items():
                if earlier.run in part.methods or earlier.run in found:
                    continue
                path = store.require(earlier.run)
                assigned = path / "assignments.parquet"
                if not assigned.exists():
                    raise UserError(
                        f"methods.{name}.assignments.{source}: {path} has no clusters. Try: the key of a round of a "
                        "method with `clusterings`, as `xdcbench run --dry-run` lists them"
                    )
                found[earlier.run] = AssignmentsStage(run=str(path), fingerprint=file_hash(assigned))
    return found


def forget_stale(plan: Plan, sources: Mapping[str, Source], store: RunStore) -> None:
    """Remove indexes of another version, or of files that were written again; keys and other runs stay."""
    for stage in plan.stages:
        if not isinstance(stage.config, IndexStage) or not store.complete(stage.key):
            continue
        if said := _why_stale(stage.key, sources.get(stage.config.name), store, shards=bool(stage.media)):
            log.warning("%s: %s", stage.name, said)
            with store.building(stage.key):
                shutil.rmtree(store.path(stage.key))


def _why_stale(key: str, source: Source | None, store: RunStore, *, shards: bool) -> str:
    """Why a complete index does not serve any more; empty where it does. ``shards`` hold what they were made of."""
    run = store.path(key)
    if not (run / INDEX_ITEMS).exists():
        return "its index is of another version of xdcbench and is made again"
    if source is None or not source.stamp or shards:
        return ""
    if read_json(run / "index.json").get("stamp") == source.stamp:
        return ""
    return (
        "files or lists were written again since they were indexed. Runs that have read them stay: files of equal size "
        "count as equal unless --fingerprint content compares what they hold"
    )
