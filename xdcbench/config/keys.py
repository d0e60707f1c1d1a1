"""Keys of runs: what decides a result, and the version of the code that makes it."""

import hashlib
import json
from typing import Any

from xdcbench.config.base import Config
from xdcbench.config.stages import AssignmentsStage, IndexStage, PretrainedStage, RoundStage, ShardsStage

VERSIONS = {
    "world": 2,
    "shards": 1,
    "index": 3,
    "init": 1,
    "pretrained": 1,
    "assignments": 1,
    "round": 3,
    "features": 2,
    "finetune": 2,
    "linear_probe": 1,
    "multilabel_probe": 1,
    "linear_svm": 1,
    "retrieval": 2,
    "knn": 1,
    "cross_retrieval": 2,
    "low_shot": 1,
    "clusters": 2,
    "fusion": 2,
    "temporal": 1,
}
"""Version of each kind of stage. Raise it when the code changes results; ``tests/golden`` fails until that is done."""

NOT_SCIENCE = {
    "title",
    "folder",
    "root",
    "official_splits",
    "multi_label",
    "counts",
    "published_items",
    "license",
    "source",
}
"""Fields of a dataset that say where it lies or what its adapter will find, which decide no result."""


def key_of(kind: str, content: dict[str, Any]) -> str:
    """Key of a run: its kind and 12 hex digits of the hash of all that its result depends on."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def science(config: Config) -> dict[str, Any]:
    """What of a configuration decides results: fields off their default, without titles and places."""
    content = config.model_dump(mode="json", exclude_defaults=True)
    if isinstance(config, IndexStage | ShardsStage):
        content["dataset"] = {k: v for k, v in content["dataset"].items() if k not in NOT_SCIENCE}
    if isinstance(config, AssignmentsStage):
        del content["run"]  # where it lies; the fingerprint says what it holds
    if isinstance(config, PretrainedStage):
        content["encoders"] = _without_places(content["encoders"])
    if isinstance(config, RoundStage):
        content["pretrain"].pop("max_failed", None)  # when to give up changes no number
    return content


def _without_places(given: dict[str, Any]) -> dict[str, Any]:
    """Without where weights lie on this machine; the fingerprint says which they are."""
    kept = {k: v for k, v in given.items() if k not in ("title", "run")}
    for modality in ("video", "audio"):
        if modality in kept:
            kept[modality] = {k: v for k, v in kept[modality].items() if k not in ("weights", "file")}
    return kept


def config_hash(config: Config, *sources: str) -> str:
    """Hash of how a number comes about, whatever the seed and split: numbers of one config_hash may be averaged.

    ``sources`` are recipes and fingerprints of what it starts from.
    """
    content = {k: v for k, v in science(config).items() if k not in ("seed", "split")}
    return key_of("config", {"config": content, "sources": list(sources)})
