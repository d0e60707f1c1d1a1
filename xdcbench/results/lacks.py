"""What a plan asks for and this machine cannot measure, since it lacks the data."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xdcbench.schema import Column

if TYPE_CHECKING:
    from xdcbench.stages import Stage


@dataclass(frozen=True)
class Lack:
    """A number that cannot be measured here, named as its record would name it, and why."""

    method: str
    pretrain_data: str
    evaluation: str
    dataset: str
    split: str
    reason: str
    world: str = "real"
    factors: Mapping[str, Any] = field(default_factory=dict)

    def under(self, column: Column) -> bool:
        """Whether its number would stand there."""
        return (
            column.evaluation == self.evaluation
            and column.dataset in ("", self.dataset)
            and column.split in ("", "mean", self.split)
            and all(self.factors.get(name, want) == want for name, want in column.factors.items())
        )


def lacks_of(stages: Iterable["Stage"]) -> Iterator[Lack]:
    """The evaluations among ``stages`` that cannot run here; their numbers would be of real data."""
    from xdcbench.stages import EvaluationStage, FeaturesStage

    for stage in stages:
        if not stage.reason or not isinstance(stage.config, EvaluationStage):
            continue
        inputs = dict(stage.inputs)
        encoders = inputs.get("encoders") or inputs["features"]
        if isinstance(encoders.config, FeaturesStage):
            encoders = dict(encoders.inputs)["encoders"]
        method, *_ = stage.name.split("/")
        data, factors = _learned(encoders)
        name, split = stage.config.name, stage.config.split
        yield Lack(method, data, name, _name_of(inputs["data"]), split, stage.reason, factors=factors)


def _learned(encoders: "Stage") -> tuple[str, dict[str, Any]]:
    """Name of the data that encoders have learned from, and the factors of their pretraining."""
    from xdcbench.models.released import registry
    from xdcbench.stages import GivenStage, RoundStage

    config = encoders.config
    if isinstance(config, RoundStage):
        ks = {f"k_{name}": clustering.k for name, clustering in config.clusterings.items()}
        return _name_of(dict(encoders.inputs)["data"]), {"round": config.round, **ks}
    if isinstance(config, GivenStage):
        weights = config.given.video.weights if config.given.video else None
        release = registry().get(weights or "")
        stated = config.given.pretrain_data
        return (release.pretrain_data if release and stated == "none" else stated), {}
    return "none", {}


def _name_of(index: "Stage") -> str:
    return str(getattr(index.config, "name", ""))
