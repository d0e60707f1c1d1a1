"""A suite: methods x pretraining data x evaluations x splits x seeds."""

from typing import Any, Literal

from pydantic import Field, NonNegativeInt

from xdcbench.config.base import Config
from xdcbench.config.data import Dataset, World
from xdcbench.config.evaluation import Evaluation
from xdcbench.config.models import Models, PretrainedEncoders
from xdcbench.config.pretraining import Method, Pretrain
from xdcbench.utils.names import Name


class PretrainingGroup(Config):
    """A group of methods on one pretraining set."""

    methods: tuple[Name, ...]
    data: Name | None = Field(None, description="name of a dataset; none for methods without training")
    part: Literal["train", "test"] = Field("train", description="part of the dataset that is learned from")
    settings: dict[str, Any] = Field({}, description="changes of the suite's `pretrain` for this group")
    evaluations: tuple[Name, ...] = Field(
        (), description="evaluations of `evaluate` that this group runs; none: all"
    )


class EvaluationTask(Config):
    """One evaluation on some splits of one dataset, for every encoder that fits."""

    evaluation: Name
    dataset: Name
    splits: tuple[Name, ...]
    settings: dict[str, Any] = Field({}, description="changes of the evaluation's settings on this dataset")


class Suite(Config):
    """Methods x pretraining data x evaluations x splits x seeds."""

    name: Name
    description: str = ""
    seeds: tuple[NonNegativeInt, ...] = Field((0,), min_length=1)
    world: World | None = Field(None, description="the synthetic world to write; none: the user's data root")
    models: Models = Models()
    pretrain: Pretrain = Pretrain()
    methods: dict[Name, Method] = Field({}, description="by name; none: `encoders` alone are measured")
    encoders: dict[Name, PretrainedEncoders] = Field({}, description="measured beside the methods, by name")
    datasets: dict[Name, Dataset]
    evaluations: dict[Name, Evaluation]
    pretraining: tuple[PretrainingGroup, ...] = ()
    evaluate: tuple[EvaluationTask, ...]
    tables: tuple[str, ...] = Field((), description="none: a default table of each dataset")
    prepare: Literal["auto", "never"] | tuple[Name, ...] = Field(
        "never",
        description="datasets that are first prepared into shards; auto: large ones that are learned from",
    )
    parts: tuple["Suite", ...] = Field(
        (), description="suites that are run as one; what they name is gathered above, and they run it"
    )

    @property
    def leaves(self) -> tuple["Suite", ...]:
        """The suites that say what to run: the parts, or the suite itself."""
        return self.parts or (self,)
