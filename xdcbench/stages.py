"""The kinds of stage: their typed configurations, their versions and where their code is.

A stage turns a configuration and the run directories of its inputs into a run directory. Raise a kind's
version when its code changes its results; ``tests/golden`` fails until that is done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import Field

from xdcbench.schema import (
    Augment,
    Clustering,
    Config,
    Dataset,
    Evaluation,
    Given,
    Modality,
    Models,
    Precision,
    Pretrain,
    World,
)
from xdcbench.store import key_of
from xdcbench.utils.code import load_own

NOT_SCIENCE = {"title", "folder", "root", "official", "counts", "licence", "source"}
"""Fields of a data set that say where it lies, not what it holds."""


class WorldStage(Config):
    """Write a synthetic world as media files."""

    world: World


class IndexStage(Config):
    """List the items of a data set, with labels, splits and what its files hold."""

    name: str
    dataset: Dataset
    fingerprint: str | None = Field(
        None, description="of the files as scanned; none inside a synthetic world"
    )
    lengths: str | None = Field(
        None, description="hash of lengths that `data verify` decoded and that the packets do not give"
    )


class InitStage(Config):
    """A pair of randomly initialised encoders."""

    models: Models
    seed: int


class GivenStage(Config):
    """Encoders that come from elsewhere, as a run directory like any other's."""

    name: str
    given: Given
    fingerprint: str = Field(description="of weights and code")


class RoundStage(Config):
    """One round: extract, cluster, train."""

    method: str
    clusterings: dict[str, Clustering]
    heads: dict[Modality, tuple[str, ...]]
    encoders: tuple[Modality, ...]
    round: int = Field(ge=1)
    seed: int
    part: str = "train"
    pretrain: Pretrain


class FeaturesStage(Config):
    """Features of a frozen encoder for every item of a data set."""

    modality: Modality
    clips: int
    frames: int | None = None
    last_start: float | None = None
    augmented: int = 0
    augment: Augment = Augment()
    layer: str = ""
    precision: Precision


class EvaluationStage(Config):
    """One evaluation of one encoder on one split."""

    name: str
    split: str
    seed: int
    settings: Evaluation


class Kind(NamedTuple):
    """A kind of stage: version of its results, and ``module:function`` of its code.

    The processes of torchrun do a ``shared`` stage together; of the others, the leading one does all.
    """

    version: int
    target: str
    shared: bool = False


KINDS: dict[str, Kind] = {
    "world": Kind(2, "xdcbench.data.synth.stage:run"),
    "index": Kind(2, "xdcbench.data.index:run"),
    "init": Kind(1, "xdcbench.pretrain.init:run"),
    "given": Kind(1, "xdcbench.models.given:run"),
    "round": Kind(3, "xdcbench.pretrain.rounds:run", shared=True),
    "features": Kind(2, "xdcbench.evaluations.features:run", shared=True),
    "finetune": Kind(2, "xdcbench.evaluations.finetune:run", shared=True),
    "linear_probe": Kind(1, "xdcbench.evaluations.linear_probe:run"),
    "linear_svm": Kind(1, "xdcbench.evaluations.linear_svm:run"),
    "retrieval": Kind(1, "xdcbench.evaluations.retrieval:run"),
    "cross_retrieval": Kind(1, "xdcbench.evaluations.cross_retrieval:run"),
    "low_shot": Kind(1, "xdcbench.evaluations.low_shot:run"),
    "clusters": Kind(1, "xdcbench.evaluations.clusters:run"),
}


@dataclass(frozen=True)
class Stage:
    """A node of the plan.

    ``name`` says in words what it is (``xdc/kinetics400/seed0/round2``) and is what ``--only`` matches;
    ``key`` says exactly what it is, and is what results are kept under. ``unavailable`` holds the reason
    where this machine lacks the data.
    """

    kind: str
    name: str
    config: Config
    inputs: tuple[tuple[str, "Stage"], ...] = ()
    unavailable: str = ""

    @cached_property
    def key(self) -> str:
        """Hash of kind, version, science configuration and inputs' keys."""
        content: dict[str, Any] = {
            "kind": self.kind,
            "version": KINDS[self.kind].version,
            "config": science(self.config),
            "inputs": {name: stage.key for name, stage in self.inputs},
        }
        return key_of(self.kind, content)

    @property
    def reason(self) -> str:
        """Why this stage cannot run here: its own lack or that of what it hangs on; empty if it can."""
        return next((r for r in (self.unavailable, *(s.reason for _, s in self.inputs)) if r), "")

    @property
    def read(self) -> tuple["Stage", ...]:
        """Stages whose files this one reads: its inputs, and the world whose media a shared stage decodes."""
        sources = tuple(source for _, source in self.inputs)
        worlds = (of for source in sources for _, of in source.inputs if of.kind == "world")
        return sources + (tuple(dict.fromkeys(worlds)) if KINDS[self.kind].shared else ())

    def code(self) -> Callable[..., None]:
        """The function ``(config, inputs, work, context) -> None`` that does the work."""
        code: Callable[..., None] = load_own(KINDS[self.kind].target)
        return code


@dataclass(frozen=True)
class Source:
    """Where a data set's files are on this machine, or why they are not; marks as of ``data.states.Marks``."""

    fingerprint: str | None = None
    unavailable: str = ""
    lengths: str | None = None
    stamp: str = ""


def science(config: Config) -> dict[str, Any]:
    """What of a configuration decides results: fields off their default, without titles and places."""
    content = config.model_dump(mode="json", exclude_defaults=True)
    if isinstance(config, IndexStage):
        content["dataset"] = {k: v for k, v in content["dataset"].items() if k not in NOT_SCIENCE}
    if isinstance(config, GivenStage):
        content["given"] = _without_places(content["given"])
    if isinstance(config, RoundStage):
        content["pretrain"].pop("max_failed", None)  # when to give up changes no number
    return content


def _without_places(given: dict[str, Any]) -> dict[str, Any]:
    """Without where weights lie on this machine; the fingerprint says which they are."""
    kept = {k: v for k, v in given.items() if k not in ("title", "run")}
    for modality in ("video", "audio"):
        if modality in kept:
            kept[modality] = {k: v for k, v in kept[modality].items() if k != "weights"}
    return kept


def recipe(config: Config, *sources: str) -> str:
    """Hash of how a number comes about, whatever the seed and split: numbers of one recipe may be averaged.

    Args:
        config: of a stage.
        sources: recipes and fingerprints of what it starts from.
    """
    content = {k: v for k, v in science(config).items() if k not in ("seed", "split")}
    return key_of("recipe", {"config": content, "sources": list(sources)})
