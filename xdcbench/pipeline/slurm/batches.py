"""Which stages go into one submission: each its own, or an array of evaluations that wait for the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdcbench.config.executors import Resources
from xdcbench.config.stages import EvaluationStage
from xdcbench.pipeline.graph import Stage


@dataclass(frozen=True)
class Batch:
    """Stages that one sbatch submits, all with these resources; several are an array."""

    stages: tuple[Stage, ...]
    resources: Resources

    @property
    def name(self) -> str:
        """The job's name, by which it is known again."""
        return self.stages[0].key

    @property
    def inputs(self) -> tuple[str, ...]:
        """Keys of what each of the stages reads."""
        return inputs_of(self.stages[0])

    def numbers(self, job: str) -> dict[str, str]:
        """The number of each stage's job or task, by key."""
        if len(self.stages) == 1:
            return {self.stages[0].key: job}
        return {stage.key: f"{job}_{task}" for task, stage in enumerate(self.stages)}

    def halves(self) -> tuple["Batch", "Batch"]:
        """Two batches of the stages of an array."""
        middle = len(self.stages) // 2
        return Batch(self.stages[:middle], self.resources), Batch(self.stages[middle:], self.resources)


def inputs_of(stage: Stage) -> tuple[str, ...]:
    """Keys of what a stage reads, each once."""
    return tuple(dict.fromkeys(source.key for source in stage.read))


def batches_of(stages: Sequence[Stage], resources: Mapping[str, Resources], max_array: int) -> list[Batch]:
    """Batches in an order in which inputs stand before what reads them.

    Args:
        stages: in the order of their plan.
        resources: of each stage by key.
        max_array: tasks of an array at most.
    """
    groups: dict[object, list[Stage]] = {}
    for stage in stages:
        level = (frozenset(inputs_of(stage)), resources[stage.key].model_dump_json())
        alike = level if isinstance(stage.config, EvaluationStage) else stage.key
        groups.setdefault(alike, []).append(stage)
    return [
        Batch(tuple(group[start : start + max_array]), resources[group[0].key])
        for group in groups.values()
        for start in range(0, len(group), max_array)
    ]
