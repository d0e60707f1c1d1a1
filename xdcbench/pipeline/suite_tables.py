"""The tables of a suite, each with the stages whose numbers it may show."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xdcbench.config.load import load_table
from xdcbench.config.stages import EvaluationStage, IndexStage
from xdcbench.config.suite import Suite
from xdcbench.config.table import Table
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.plan import Plan
from xdcbench.results.tables.default import Measurement, default_tables, measurements_of_stage
from xdcbench.results.tables.titles import dataset_titles


@dataclass(frozen=True)
class SuiteTable:
    """A table, and the keys of the stages whose records it may show."""

    table: Table
    keys: frozenset[str]


def tables_of(plan: Plan) -> dict[str, SuiteTable]:
    """Tables by name; what a suite without ``tables`` measures is in default ones.

    A table of a part shows what this part runs, whatever else the other parts do with the same methods.
    """
    shown: dict[str, SuiteTable] = {}
    unnamed: dict[str, Stage] = {}
    for part in plan.parts or (plan,):
        stages = {stage.key: stage for stage in part.stages}
        for name in part.suite.tables:
            known = shown.get(name)
            keys = known.keys if known else frozenset()
            shown[name] = SuiteTable(load_table(name), keys | stages.keys())
        if not part.suite.tables:
            unnamed |= stages
    measured = _measurements(unnamed.values())
    default = default_tables(measured, _methods(plan.suite), titles=titles_of(plan))
    shown = {Path(name).stem: one for name, one in shown.items()}
    return shown | {name: SuiteTable(table, frozenset(unnamed)) for name, table in default.items()}


def titles_of(plan: Plan) -> dict[str, str]:
    """Display name of each dataset, as the plan's suites and the library have it."""
    indices = (stage.config for stage in plan.stages if isinstance(stage.config, IndexStage))
    return dataset_titles((index.name, index.dataset.title) for index in indices)


def _measurements(stages: Iterable[Stage]) -> Iterator[Measurement]:
    for stage in stages:
        if isinstance(stage.config, EvaluationStage):
            index = dict(stage.inputs)["data"].config
            assert isinstance(index, IndexStage)
            yield from measurements_of_stage(stage.config, index.name, multi_label=index.dataset.multi_label)


def _methods(suite: Suite) -> list[str]:
    groups = [group for part in suite.leaves for group in part.pretraining]
    return list(dict.fromkeys([*(name for group in groups for name in group.methods), *suite.encoders]))
