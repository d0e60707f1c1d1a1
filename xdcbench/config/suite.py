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

    methods: tuple[Name, ...] = Field(description="of `methods`")
    data: Name | None = Field(None, description="name of a dataset; none for methods without training")
    part: Literal["train", "test"] = Field("train", description="part of the dataset that is learned from")
    settings: dict[str, Any] = Field({}, description="changes of the suite's `pretrain` for this group")
    evaluations: tuple[Name, ...] = Field(
        (), description="evaluations of `evaluate` that this group runs; none: all"
    )


class EvaluationTask(Config):
    """One evaluation on some splits of one dataset, for every encoder that fits."""

    evaluation: Name = Field(description="one of `evaluations`")
    dataset: Name = Field(description="one of `datasets`")
    splits: tuple[Name, ...] = Field(description="of this dataset")
    settings: dict[str, Any] = Field({}, description="changes of the evaluation's settings on this dataset")


class Suite(Config):
    """Methods x pretraining data x evaluations x splits x seeds."""

    name: Name = Field(description="of its tables folder and in messages")
    description: str = Field("", description="a line for `list suites`")
    seeds: tuple[NonNegativeInt, ...] = Field(
        (0,), min_length=1, description="of initialization, clustering and training; each is a run of its own"
    )
    world: World | None = Field(None, description="the synthetic world to write; none: the user's data root")
    models: Models = Field(Models(), description="the two encoders that methods train")
    pretrain: Pretrain = Field(Pretrain(), description="rounds of pretraining")
    methods: dict[Name, Method] = Field({}, description="by name; none: `encoders` alone are measured")
    encoders: dict[Name, PretrainedEncoders] = Field({}, description="measured beside the methods, by name")
    datasets: dict[Name, Dataset] = Field(description="by name")
    evaluations: dict[Name, Evaluation] = Field(description="settings of each kind of measurement, by name")
    pretraining: tuple[PretrainingGroup, ...] = Field(
        (), description="which methods learn from which dataset"
    )
    evaluate: tuple[EvaluationTask, ...] = Field(description="what is measured on which dataset")
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
