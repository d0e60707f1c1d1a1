"""The stage that prepares a dataset for those that read it."""

from pathlib import Path

from xdcbench.config.stages import ShardsStage
from xdcbench.data.context import PREPARED, Context
from xdcbench.data.fingerprints import require_planned
from xdcbench.data.local import find_local
from xdcbench.data.preparation.prepare import Build, prepare

LIMIT = 300.0
"""Seconds that one original may take."""


def run(config: ShardsStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: decode every file of a dataset once, into shards (`prepare`).

    Raises:
        UserError: files have changed since the stage was planned; the disk is full.
    """
    root = context.roots[config.name]
    assert isinstance(root, Path), "shards of the user are not prepared again"
    data = find_local(config.name, config.dataset, root, None, context.fingerprint, context.consent)
    require_planned(config.fingerprint, data.fingerprint, root, context.cache)
    prepare(Build(work / PREPARED, data, config.settings), workers=max(1, context.num_workers), limit=LIMIT)
