"""What a plan asks for and this machine cannot measure, since it lacks the data."""

from collections.abc import Iterable, Iterator
from typing import Any

from xdcbench.config.stages import EvaluationStage, FeaturesStage, PretrainedStage, RoundStage
from xdcbench.models.pretrained.registry import registry
from xdcbench.pipeline.graph import Stage
from xdcbench.results.tables.unavailable import UnavailableResult


def unavailable_results(stages: Iterable[Stage]) -> Iterator[UnavailableResult]:
    """The evaluations among ``stages`` that cannot run here; their numbers would be of real data."""

    for stage in stages:
        if not stage.reason or not isinstance(stage.config, EvaluationStage):
            continue
        inputs = dict(stage.inputs)
        encoders = inputs.get("encoders") or inputs["features"]
        if isinstance(encoders.config, FeaturesStage):
            encoders = dict(encoders.inputs)["encoders"]
        method, *_ = stage.name.split("/")
        data, hyperparameters = _learned(encoders)
        name, split = stage.config.name, stage.config.split
        yield UnavailableResult(
            method, data, name, _name_of(inputs["data"]), split, stage.reason, hyperparameters=hyperparameters
        )


def _learned(encoders: Stage) -> tuple[str, dict[str, Any]]:
    """Name of the data that encoders have learned from, and the hyperparameters of their pretraining."""

    config = encoders.config
    if isinstance(config, RoundStage):
        ks = {f"k_{name}": clustering.k for name, clustering in config.clusterings.items()}
        return _name_of(dict(encoders.inputs)["data"]), {"round": config.round, **ks}
    if isinstance(config, PretrainedStage):
        weights = config.encoders.video.weights if config.encoders.video else None
        release = registry().get(weights or "")
        stated = config.encoders.pretrain_data
        return (release.pretrain_data if release and stated == "none" else stated), {}
    return "none", {}


def _name_of(index: Stage) -> str:
    return str(getattr(index.config, "name", ""))
