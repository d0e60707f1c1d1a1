"""What a plan asks for and this machine cannot measure, since it lacks the data."""

from collections.abc import Iterable, Iterator
from typing import Any

from xdcbench.config.released import registry
from xdcbench.config.stages import EvaluationStage, FeaturesStage, PretrainedStage, RoundStage
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
        named = (registry().get(part.weights or "") for part in config.encoders.by_modality.values())
        known = (release.pretrain_data for release in named if release)
        stated = config.encoders.pretrain_data
        return (stated if stated != "none" else next(known, "none")), {}
    return "none", {}


def _name_of(index: Stage) -> str:
    return str(getattr(index.config, "name", ""))
