"""From a suite to the deduplicated graph of stages."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from xdcbench.config import merge, validate
from xdcbench.errors import UserError
from xdcbench.resources import unknown
from xdcbench.schema import (
    Clustering,
    Evaluation,
    Finetune,
    LinearProbe,
    Measurement,
    Method,
    Precision,
    Pretrain,
    Suite,
)
from xdcbench.stages import (
    EvaluationStage,
    FeaturesStage,
    IndexStage,
    InitStage,
    RoundStage,
    Source,
    Stage,
    WorldStage,
)

CLUSTERING_ONLY = (
    "preprocess",
    "pca_dim",
    "concat_l2",
    "kmeans_iterations",
    "kmeans_restarts",
    "cluster_clip",
)
"""Settings of pretraining that a method without clusterings does not use."""

NEEDED = {"world", "index", "init", "features"}
"""Kinds that are made only where a result needs them."""


@dataclass(frozen=True)
class Plan:
    """Stages of a suite, inputs before what hangs on them, each once.

    ``targets`` are the keys of the stages that it is run for; the others are made where these need them.
    """

    suite: Suite
    stages: tuple[Stage, ...]
    targets: frozenset[str]

    def only(self, pattern: str) -> "Plan":
        """The stages whose name or key matches the glob ``pattern``, and what they need.

        Raises:
            UserError: nothing matches.
        """
        wanted = [s for s in self.stages if fnmatch(s.name, pattern) or fnmatch(s.key, pattern)]
        if not wanted:
            raise UserError(unknown("stage for --only or --stage", pattern, (s.name for s in self.stages)))
        return Plan(self.suite, tuple(_ordered(wanted)), frozenset(s.key for s in wanted))


def make_plan(
    suite: Suite, sources: Mapping[str, Source], *, precision: Callable[[Precision], Precision] = lambda p: p
) -> Plan:
    """Expand methods x pretraining data x evaluations x splits x seeds.

    Args:
        suite: what to run.
        sources: for each real data set of the suite, its place; not used by a suite with a world.
        precision: resolves ``auto`` to what this machine's device will use.

    Raises:
        UserError: the suite names something that does not fit.
    """
    check(suite)
    stages = tuple(_ordered(_Builder(suite, sources, precision).targets()))
    return Plan(suite, stages, frozenset(stage.key for stage in stages if stage.kind not in NEEDED))


def check(suite: Suite) -> None:
    """Names inside a suite must fit each other.

    Raises:
        UserError: a head without a clustering, a split that a data set does not have, a method without
            data, or sound asked of images.
    """
    for name, method in suite.methods.items():
        for modality, labels in method.heads.items():
            if modality not in method.encoders:
                raise UserError(f"method {name!r} has heads for {modality} but does not list that encoder")
            for label in labels:
                if label != "labels" and label not in method.clusterings:
                    raise UserError(
                        f"method {name!r}: " + unknown("label source", label, [*method.clusterings, "labels"])
                    )
    for group in suite.pretraining:
        _check_known("method", group.methods, suite.methods)
        _check_known("data set", [group.data] if group.data else [], suite.datasets)
        for name in group.methods:
            _check_data(name, suite.methods[name], group.data, suite)
    for measure in suite.measure:
        _check_known("evaluation", [measure.evaluation], suite.evaluations)
        _check_known("data set", [measure.dataset], suite.datasets)
        settings_of(suite, measure)
        for split in measure.splits:
            known = suite.datasets[measure.dataset].splits
            if split not in known:
                raise UserError(unknown(f"split of {measure.dataset}", split, known))
    _check_leaks(suite)


def _check_known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise UserError(unknown(f"{what} of this suite", name, known))


def _check_leaks(suite: Suite) -> None:
    """What is learned from must not be tested on: encoders learn from ``train`` of a set's first split."""
    for group in suite.pretraining:
        for measure in suite.measure:
            first = suite.datasets[measure.dataset].splits[0]
            if measure.dataset == group.data and (group.split != "train" or set(measure.splits) != {first}):
                raise UserError(
                    f"suite {suite.name!r} learns from {group.split!r} of split {first} of {group.data} and "
                    f"measures on its splits {', '.join(measure.splits)}: test items would be learned from; "
                    f"measure on split {first} alone, and learn from 'train'"
                )


def _check_data(name: str, method: Method, data: str | None, suite: Suite) -> None:
    if method.heads and data is None:
        raise UserError(f"method {name!r} learns from data, but its group in `pretraining` names none")
    media = suite.datasets[data].media if data else "video"
    used = {m for c in method.clusterings.values() for m in c.features} | set(method.heads)
    lacking = {"image": "audio", "audio": "video"}.get(media)
    if lacking in used:
        raise UserError(
            f"method {name!r} uses {lacking}, but {data!r} holds {media} files; give it another data set"
        )


def settings_of(suite: Suite, measure: Measurement) -> Evaluation:
    """Settings of an evaluation, with what this measurement changes.

    Raises:
        UserError: a change that the evaluation does not take.
    """
    base = suite.evaluations[measure.evaluation]
    where = f"suite {suite.name!r}, {measure.evaluation} on {measure.dataset}"
    return validate(type(base), merge(base.model_dump(), measure.settings), where=where)


class _Builder:
    """Makes each stage of one suite; equal stages have equal keys, so making one twice is harmless."""

    def __init__(
        self, suite: Suite, sources: Mapping[str, Source], precision: Callable[[Precision], Precision]
    ) -> None:
        self.suite, self.sources, self.precision = suite, sources, precision
        self.world = Stage("world", "world", WorldStage(world=suite.world)) if suite.world else None

    def targets(self) -> Iterator[Stage]:
        for group in self.suite.pretraining:
            for method in group.methods:
                for seed in self.suite.seeds:
                    encoder = self.encoder(method, group.data, group.split, seed)
                    yield encoder
                    for measure in self.suite.measure:
                        yield from self.measure(method, encoder, measure, seed)

    def index(self, name: str) -> Stage:
        dataset = self.suite.datasets[name]
        if self.world:
            return Stage(
                "index", f"index/{name}", IndexStage(name=name, dataset=dataset), (("world", self.world),)
            )
        source = self.sources[name]
        config = IndexStage(name=name, dataset=dataset, fingerprint=source.fingerprint)
        return Stage("index", f"index/{name}", config, unavailable=source.unavailable)

    def encoder(self, name: str, data: str | None, part: str, seed: int) -> Stage:
        """The last round of a method, or its initialisation where it learns nothing."""
        method, pretrain = self.suite.methods[name], self.suite.pretrain
        stage = Stage("init", f"init/seed{seed}", InitStage(models=self.suite.models, seed=seed))
        if not method.heads or data is None:
            return stage
        clusterings = {
            label: Clustering(features=c.features, k=pretrain.k or c.k)
            for label, c in method.clusterings.items()
        }
        elsewhere = {"rounds", "k"} if clusterings else {"rounds", "k", *CLUSTERING_ONLY}
        defaults = {name: Pretrain.model_fields[name].default for name in elsewhere}
        settings = pretrain.model_copy(update={**defaults, "precision": self.precision(pretrain.precision)})
        for number in range(1, (pretrain.rounds if clusterings else 1) + 1):
            config = RoundStage(
                method=name,
                clusterings=clusterings,
                heads=method.heads,
                encoders=method.encoders,
                round=number,
                seed=seed,
                part=part,
                pretrain=settings,
            )
            inputs = (("encoders", stage), ("data", self.index(data)))
            stage = Stage("round", f"{name}/{data}/seed{seed}/round{number}", config, inputs)
        return stage

    def measure(self, name: str, encoder: Stage, measure: Measurement, seed: int) -> Iterator[Stage]:
        settings = settings_of(self.suite, measure)
        if settings.modality not in self.suite.methods[name].encoders:
            return
        settings = settings.model_copy(update={"precision": self.precision(settings.precision)})
        data = self.index(measure.dataset)
        where = f"{name}/seed{seed}" if encoder.kind == "init" else encoder.name.rpartition("/")[0]
        source = self.source(settings, encoder, data, where=where, dataset=measure.dataset)
        for split in measure.splits:
            config = EvaluationStage(name=measure.evaluation, split=split, seed=seed, settings=settings)
            title = f"{where}/{measure.evaluation}/{measure.dataset}/{split}"
            yield Stage(settings.kind, title, config, (source, ("data", data)))

    def source(
        self, settings: Evaluation, encoder: Stage, data: Stage, *, where: str, dataset: str
    ) -> tuple[str, Stage]:
        """What an evaluation reads: the encoder itself, or its features, extracted once for all."""
        if isinstance(settings, Finetune):
            return "encoders", encoder
        config = FeaturesStage(
            modality=settings.modality,
            clips=settings.clips,
            last_start=settings.last_start,
            augmented=settings.augmented if isinstance(settings, LinearProbe) else 0,
            layer=settings.layer,
            precision=settings.precision,
        )
        name = f"{where}/features/{settings.modality}/{dataset}"
        return "features", Stage("features", name, config, (("encoders", encoder), ("data", data)))


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
