"""From a suite to the deduplicated graph of stages."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from xdcbench.config import merge, validate
from xdcbench.errors import UserError
from xdcbench.models.origins import Origin
from xdcbench.resources import unknown
from xdcbench.schema import (
    Clustering,
    CrossRetrieval,
    Evaluation,
    Finetune,
    LinearProbe,
    Measurement,
    Method,
    Modality,
    Precision,
    Pretrain,
    Suite,
)
from xdcbench.stages import (
    EvaluationStage,
    FeaturesStage,
    GivenStage,
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

OTHER: dict[Modality, Modality] = {"video": "audio", "audio": "video"}

NEEDED = {"world", "index", "init", "given", "features"}
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
    suite: Suite,
    sources: Mapping[str, Source],
    *,
    origins: Mapping[str, Origin] | None = None,
    precision: Callable[[Precision], Precision] = lambda p: p,
) -> Plan:
    """Expand methods x pretraining data x evaluations x splits x seeds.

    Args:
        suite: what to run.
        sources: for each real data set of the suite, its place; not used by a suite with a world.
        origins: for each encoder from elsewhere, what it is here.
        precision: resolves ``auto`` to what this machine's device will use.

    Raises:
        UserError: the suite names something that does not fit.
    """
    check(suite)
    stages = tuple(_ordered(_Builder(suite, sources, origins or {}, precision).targets()))
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
    for name in suite.encoders:
        if name in suite.methods:
            raise UserError(f"{name!r} is a method and one of `encoders`; give the encoders another name")
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
        self,
        suite: Suite,
        sources: Mapping[str, Source],
        origins: Mapping[str, Origin],
        precision: Callable[[Precision], Precision],
    ) -> None:
        self.suite, self.sources, self.origins, self.precision = suite, sources, origins, precision
        self.world = Stage("world", "world", WorldStage(world=suite.world)) if suite.world else None

    def targets(self) -> Iterator[Stage]:
        for group in self.suite.pretraining:
            for method in group.methods:
                for seed in self.suite.seeds:
                    encoder = self.encoder(method, group.data, group.split, seed)
                    yield encoder
                    encoders = self.suite.methods[method].encoders
                    for measure in self.suite.measure:
                        yield from self.measure(method, encoder, encoders, measure, seed)
        for name, given in self.suite.encoders.items():
            origin = self.origins[name]
            config = GivenStage(name=name, given=given, fingerprint=origin.fingerprint)
            encoder = Stage("given", name, config, unavailable=origin.unavailable)
            for seed in self.suite.seeds:
                for measure in self.suite.measure:
                    yield from self.measure(name, encoder, origin.encoders, measure, seed)

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

    def measure(
        self, name: str, encoder: Stage, encoders: Iterable[Modality], measure: Measurement, seed: int
    ) -> Iterator[Stage]:
        settings = settings_of(self.suite, measure)
        if settings.modality not in encoders:
            return
        settings = settings.model_copy(update={"precision": self.precision(settings.precision)})
        if isinstance(settings, CrossRetrieval):
            clustering = self.across(encoder, settings)
            if clustering is None:
                return
            settings = settings.model_copy(update={"clustering": clustering})
        data = self.index(measure.dataset)
        where = encoder.name.rpartition("/")[0] if encoder.kind == "round" else f"{name}/seed{seed}"
        inputs = (*self.sources_of(settings, encoder, data, where, measure.dataset), ("data", data))
        for split in measure.splits:
            config = EvaluationStage(name=measure.evaluation, split=split, seed=seed, settings=settings)
            title = f"{where}/{measure.evaluation}/{measure.dataset}/{split}"
            yield Stage(settings.kind, title, config, inputs)

    def across(self, encoder: Stage, settings: CrossRetrieval) -> str | None:
        """The clustering of the other modality that the queries' encoder has learned; None without one.

        Raises:
            UserError: there are several and `clustering` names none of them.
        """
        if not isinstance(encoder.config, RoundStage):
            return None
        other = OTHER[settings.modality]
        clusterings = encoder.config.clusterings
        known = [
            name
            for name in encoder.config.heads.get(settings.modality, ())
            if name in clusterings and clusterings[name].features == (other,)
        ]
        if settings.clustering in known or not known:
            return settings.clustering if known else None
        if settings.clustering or len(known) > 1:
            raise UserError(
                f"method {encoder.config.method!r}: "
                + unknown(f"clustering of {other} to retrieve by", settings.clustering, known)
            )
        return known[0]

    def sources_of(
        self, settings: Evaluation, encoder: Stage, data: Stage, where: str, dataset: str
    ) -> tuple[tuple[str, Stage], ...]:
        """What an evaluation reads: the encoder itself, or its features, extracted once for all."""
        if isinstance(settings, Finetune):
            return (("encoders", encoder),)
        config = FeaturesStage(
            modality=settings.modality,
            clips=settings.clips,
            frames=getattr(settings, "frames", None),
            last_start=settings.last_start,
            layer="" if isinstance(settings, CrossRetrieval) else settings.layer,
            precision=settings.precision,
        )
        if isinstance(settings, LinearProbe) and settings.augmented:
            update = {"augmented": settings.augmented, "augment": settings.augment}
            config = config.model_copy(update=update)
        name = f"{where}/features/{settings.modality}/{dataset}"
        features = Stage("features", name, config, (("encoders", encoder), ("data", data)))
        if not isinstance(settings, CrossRetrieval):
            return (("features", features),)
        # A round clusters the features of the encoders that it starts from.
        other, before = OTHER[settings.modality], dict(encoder.inputs)["encoders"]
        config = FeaturesStage(modality=other, clips=1, precision=settings.precision)
        name = f"{where}/features/clustered-{other}/{dataset}"
        gallery = Stage("features", name, config, (("encoders", before), ("data", data)))
        return ("encoders", encoder), ("features", features), ("gallery", gallery)


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
