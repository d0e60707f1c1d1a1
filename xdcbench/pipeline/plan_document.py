"""A plan as plain data, for other schedulers: what ``run --plan-json`` prints."""

from typing import Any

from xdcbench.config.executors import Resources, Slurm
from xdcbench.pipeline.command import run_words, stage_request
from xdcbench.pipeline.costs.resources import resources_of
from xdcbench.pipeline.costs.sizes import sizes_of
from xdcbench.pipeline.costs.work import Works
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.launch import Launch, Request
from xdcbench.pipeline.needed import needed_keys

SCHEMA_VERSION = 1
ASKED = ("nodes", "gpus", "processes", "cores", "memory", "hours")
"""Resources that mean the same on every scheduler."""


def plan_document(launch: Launch, request: Request, settings: Slurm, *, on_nodes: bool) -> dict[str, Any]:
    """Every stage of a plan, inputs before what reads them.

    Args:
        launch: the plan.
        request: what it was made of.
        settings: of the nodes, for resources.
        on_nodes: whether commands name the nodes' devices, rather than the one that the request names.

    Raises:
        UserError: resources do not fit a kind of stage.
    """
    needed = needed_keys(launch.plan, launch.store, "missing")
    works = Works(lambda index: sizes_of(index, launch.store))
    states = {stage.key: state_of(stage, launch, needed) for stage in launch.plan.stages}

    def described(stage: Stage) -> dict[str, Any]:
        resources = resources_of(stage, works, settings, launch.plan.suite.models)
        return {
            "key": stage.key,
            "kind": stage.kind,
            "name": stage.name,
            "state": states[stage.key],
            "reason": stage.reason,
            "inputs": list(dict.fromkeys(source.key for source in stage.read)),
            "command": ["xdcbench", *stage_words(stage, launch, request, resources, on_nodes=on_nodes)],
            "resources": {name: getattr(resources, name) for name in ASKED},
        }

    return {
        "schema_version": SCHEMA_VERSION,
        "suite": launch.plan.suite.name,
        "results": str(launch.store.root),
        "stages": [described(stage) for stage in launch.plan.stages],
    }


def stage_words(
    stage: Stage, launch: Launch, request: Request, resources: Resources, *, on_nodes: bool
) -> list[str]:
    """Words after ``xdcbench`` of the command that runs one stage, at the precision that is planned."""
    asked = stage_request(request, resources) if on_nodes else request
    return [*run_words(asked, launch.auto_precision), "--stage", stage.key]


def state_of(stage: Stage, launch: Launch, needed: set[str]) -> str:
    """What a run has to do about a stage, in a word or two."""
    if stage.reason:
        return "unavailable"
    if stage.key in needed:
        return "to do"
    return "there" if launch.store.complete(stage.key) else "not needed"
