"""Clusters of an earlier round, kept like any run's, so that the round itself may go."""

import shutil
from pathlib import Path

from xdcbench.config.stages import AssignmentsStage
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.pretraining.pseudo_labels import ASSIGNMENTS, CLUSTERS
from xdcbench.utils.io import file_hash


def run(config: AssignmentsStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: copy what a round says of its clusters.

    Raises:
        UserError: the round is no longer as it was when this was planned.
    """
    source = Path(config.run)
    try:
        for name in (ASSIGNMENTS, CLUSTERS, "encoders.json"):
            shutil.copyfile(source / name, work / name)
    except FileNotFoundError as error:
        raise UserError(f"{source} has lost {error.filename}. Try: the suite that made it") from error
    if file_hash(work / ASSIGNMENTS) != config.fingerprint:
        raise UserError(f"{source / ASSIGNMENTS} has changed. Try: the same command again")
