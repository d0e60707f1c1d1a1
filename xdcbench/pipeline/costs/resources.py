"""What a stage asks of a cluster's node: as the executor's settings say, else by the cost model."""

from xdcbench.config.executors import Resources, Slurm
from xdcbench.config.models import Models
from xdcbench.errors import UserError
from xdcbench.pipeline.costs.disk import scratch
from xdcbench.pipeline.costs.flops import training_flop
from xdcbench.pipeline.costs.work import Works
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.registry import STAGES

CORES_PER_GPU, CORES = 8, 4
"""Cores beside each GPU, which read media for it, and of a node without."""

BASE, PER_CORE, COPIES = 4, 2, 3
"""GiB of a process with torch and of each core's reading process, and copies of the features that are fitted."""

MARGIN, EXTRA_HOURS = 2, 1
"""A time limit over the estimate, and the hours that are added for reading, testing and writing."""


def resources_of(stage: Stage, works: Works, settings: Slurm, models: Models) -> Resources:
    """Resources of one stage, all numbers given.

    ``default`` gives nodes, GPUs and processes only to kinds of stages that processes share.

    Raises:
        UserError: several processes are asked for a stage that one process works on.
    """
    own, shared = settings.stages.get(stage.kind, Resources()), STAGES[stage.kind].shared
    if not shared and (
        several := next((n for n in ("nodes", "processes") if (getattr(own, n) or 1) > 1), "")
    ):
        raise UserError(
            f"stages.{stage.kind}.{several} = {getattr(own, several)}: one process works on such a stage. "
            f"Try: leave {several} out"
        )
    alone = {} if shared else {"nodes": 1, "gpus": None, "processes": 1}
    asked = own.over(settings.default.model_copy(update=alone))
    gpus = asked.gpus if asked.gpus is not None else int(settings.has_gpus and shared)
    processes = asked.processes or max(1, gpus)
    nodes, cores = asked.nodes or 1, asked.cores or gpus * CORES_PER_GPU or CORES
    counted = Resources(
        nodes=nodes,
        gpus=gpus,
        processes=processes,
        cores=cores,
        memory=BASE * processes + PER_CORE * cores + COPIES * _held(stage, works) / 2**30,
        hours=_hours(stage, works, settings, models, nodes * processes),
    )
    return asked.over(counted)


def _held(stage: Stage, works: Works) -> int:
    """Bytes of features that a stage keeps in memory."""
    if stage.kind == "round":
        return scratch(stage, works, checkpoints=0)
    return sum(works.of(source).written for _, source in stage.inputs if source.kind == "features")


def _hours(stage: Stage, works: Works, settings: Slurm, models: Models, devices: int) -> float:
    """Time limit by FLOP, where the devices' speed is stated and all of the work is counted."""
    work = works.of(stage)
    if settings.clips_per_second is None or not work.flop or work.unknown:
        return settings.max_hours
    rate = settings.clips_per_second * (training_flop(models.video) + training_flop(models.audio)) * devices
    return min(settings.max_hours, EXTRA_HOURS + MARGIN * sum(work.flop.values()) / rate / 3600)
