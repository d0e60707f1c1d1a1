"""From a suite to the deduplicated graph of stages."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from xdcbench.config.consistency import check
from xdcbench.config.data import ShardSettings
from xdcbench.config.stages import AssignmentsStage
from xdcbench.config.suite import Suite
from xdcbench.data.context import Source
from xdcbench.errors import UserError
from xdcbench.models.pretrained.origins import Origin
from xdcbench.pipeline.evaluations_fit import check_evaluations
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.prepared import fitting_settings
from xdcbench.pipeline.stage_builder import StageBuilder
from xdcbench.utils.messages import unknown_name
from xdcbench.utils.precision import Precision

NEEDED = {"world", "shards", "index", "init", "pretrained", "assignments", "features"}
"""Kinds that are made only where a result needs them."""


@dataclass(frozen=True)
class Plan:
    """Stages of a suite, inputs before what hangs on them, each once.

    ``targets`` are the keys of the stages that it is run for; the others are made where these need them.
    ``parts`` are the plans that it is the union of, for a suite of parts.
    """

    suite: Suite
    stages: tuple[Stage, ...]
    targets: frozenset[str]
    parts: tuple["Plan", ...] = ()

    def only(self, pattern: str) -> "Plan":
        """The stages whose name or key matches the glob ``pattern``, and what they need.

        Raises:
            UserError: nothing matches.
        """
        plan = self.those(lambda stage: fnmatch(stage.name, pattern) or fnmatch(stage.key, pattern))
        if not plan.stages:
            known = (stage.name for stage in self._named())
            raise UserError(unknown_name("stage for --filter or --stage", pattern, known))
        return plan

    def those(self, wanted: Callable[[Stage], bool]) -> "Plan":
        """The stages that are wanted, and what they need."""
        chosen = [stage for stage in self._named() if wanted(stage)]
        return Plan(self.suite, tuple(_ordered(chosen)), frozenset(stage.key for stage in chosen))

    def _named(self) -> list[Stage]:
        """All stages; one may have a name of its own in each part."""
        return [stage for plan in self.parts or (self,) for stage in plan.stages]


def make_plan(
    suite: Suite,
    sources: Mapping[str, Source],
    *,
    origins: Mapping[str, Origin] | None = None,
    earlier: Mapping[str, AssignmentsStage] | None = None,
    precision: Callable[[Precision], Precision] = lambda p: p,
    shards: ShardSettings | None = None,
) -> Plan:
    """Expand methods x pretraining data x evaluations x splits x seeds.

    Args:
        sources: for each real dataset of the suite, its place; not used by a suite with a world.
        origins: for each encoder from elsewhere, what it is here.
        earlier: by key, each round in the results folder whose clusters a method learns.
        precision: resolves ``auto`` to what this machine's device will use.
        shards: how datasets are prepared; none: such that all encoders of the suite find what they take.

    Raises:
        UserError: the suite names something that does not fit.
    """
    if suite.parts:
        shards = shards or fitting_settings(suite, origins)
        parts = [
            make_plan(part, sources, origins=origins, earlier=earlier, precision=precision, shards=shards)
            for part in suite.parts
        ]
        stages = tuple({stage.key: stage for part in parts for stage in part.stages}.values())
        return Plan(suite, stages, frozenset().union(*(part.targets for part in parts)), tuple(parts))
    check(suite)
    builder = StageBuilder(
        suite, sources, origins or {}, earlier or {}, precision, shards or fitting_settings(suite, origins)
    )
    stages = tuple(_ordered(builder.targets()))
    check_evaluations(suite, stages, origins or {})
    return Plan(suite, stages, frozenset(stage.key for stage in stages if stage.kind not in NEEDED))


def _ordered(targets: Iterator[Stage] | list[Stage]) -> Iterator[Stage]:
    """Targets and all that they hang on, inputs first, one stage per key."""
    seen: set[str] = set()

    def visit(stage: Stage) -> Iterator[Stage]:
        if stage.key in seen:
            return
        seen.add(stage.key)
        for _, needed in stage.inputs:
            yield from visit(needed)
        yield stage

    for target in targets:
        yield from visit(target)
