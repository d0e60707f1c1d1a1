"""The stages that a suite consists of: what each reads and is named."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from xdcbench.config.base import Modality
from xdcbench.config.consistency import groups_with, measures_of, pretrain_of, settings_of
from xdcbench.config.data import ShardSettings
from xdcbench.config.evaluation import (
    CrossRetrieval,
    Evaluation,
    Finetune,
    Fusion,
    LinearProbe,
    OnFeatures,
    Temporal,
    modalities_of,
)
from xdcbench.config.pretraining import Clustering, EarlierClustering, Pretrain
from xdcbench.config.stages import (
    AssignmentsStage,
    EvaluationStage,
    FeaturesStage,
    IndexStage,
    InitStage,
    PretrainedStage,
    RoundStage,
    ShardsStage,
    WorldStage,
)
from xdcbench.config.suite import EvaluationTask, PretrainingGroup, Suite
from xdcbench.data.context import Source
from xdcbench.errors import UserError
from xdcbench.models.pretrained.origins import Origin
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.prepared import prepared_datasets
from xdcbench.utils.messages import unknown_name
from xdcbench.utils.precision import Precision

CLUSTERING_ONLY = (
    "preprocess",
    "pca_dim",
    "concat_l2",
    "kmeans_max_iter",
    "kmeans_n_init",
    "kmeans_tol",
    "spherical",
    "cluster_clip",
)
"""Settings of pretraining that a method without clusterings does not use."""

OTHER: dict[Modality, Modality] = {"video": "audio", "audio": "video"}


class StageBuilder:
    """Makes each stage of one suite; equal stages have equal keys, so making one twice is harmless."""

    def __init__(
        self,
        suite: Suite,
        sources: Mapping[str, Source],
        origins: Mapping[str, Origin],
        earlier: Mapping[str, AssignmentsStage],
        precision: Callable[[Precision], Precision],
        shards: ShardSettings,
    ) -> None:
        self.suite, self.sources, self.origins, self.precision = suite, sources, origins, precision
        self.earlier = earlier
        self.shards, self.prepared = shards, prepared_datasets(suite)
        self.world = Stage("world", "world", WorldStage(world=suite.world)) if suite.world else None

    def targets(self) -> Iterator[Stage]:
        """Each encoder and the evaluations that measure it; what they need hangs on them."""
        for group in self.suite.pretraining:
            for method in group.methods:
                for seed in self.suite.seeds:
                    encoder = self.encoder(method, group, seed)
                    yield encoder
                    encoders = self.suite.methods[method].encoders
                    for measure in measures_of(self.suite, group):
                        yield from self.measure(method, encoder, encoders, measure, seed)
        for name, pretrained in self.suite.encoders.items():
            origin = self.origins[name]
            config = PretrainedStage(name=name, encoders=pretrained, fingerprint=origin.fingerprint)
            encoder = Stage("pretrained", name, config, unavailable=origin.unavailable)
            for seed in self.suite.seeds:
                for measure in self.suite.evaluate:
                    yield from self.measure(name, encoder, origin.encoders, measure, seed)

    def index(self, name: str) -> Stage:
        """The index of a dataset: of originals, of given shards, or of shards that a stage makes."""
        dataset = self.suite.datasets[name]
        source = Source() if self.world else self.sources[name]
        inputs = (("world", self.world),) if self.world else ()
        if name in self.prepared and not source.shards:
            settings = ShardsStage(
                name=name, dataset=dataset, fingerprint=source.fingerprint, settings=self.shards
            )
            shards = Stage("shards", f"shards/{name}", settings, inputs, unavailable=source.unavailable)
            config = IndexStage(name=name, dataset=dataset)
            return Stage("index", f"index/{name}", config, (*inputs, ("shards", shards)))
        config = IndexStage(
            name=name, dataset=dataset, fingerprint=source.fingerprint, lengths=source.lengths
        )
        return Stage("index", f"index/{name}", config, inputs, unavailable=source.unavailable)

    def encoder(self, name: str, group: PretrainingGroup, seed: int) -> Stage:
        """The last round of a method, or its initialization where it learns nothing."""
        method = self.suite.methods[name]
        stage = Stage("init", f"init/seed{seed}", InitStage(models=self.suite.models, seed=seed))
        if not method.heads or group.data is None:
            return stage
        pretrain, data = pretrain_of(self.suite, group), self.index(group.data)
        where = "/".join([name, group.data, *_words(group.settings), f"seed{seed}"])
        clusterings = {
            label: Clustering(features=c.features, k=pretrain.k or c.k)
            for label, c in method.clusterings.items()
        }
        labels = [
            (f"labels/{label}", self.assignments(earlier, group, seed))
            for label, earlier in sorted(method.assignments.items())
        ]
        for number in range(1, (pretrain.rounds if clusterings else 1) + 1):
            config = RoundStage(
                method=name,
                clusterings=clusterings,
                assignments={label: earlier.clustering for label, earlier in method.assignments.items()},
                heads=method.heads,
                encoders=method.encoders,
                round=number,
                seed=seed,
                part=group.part,
                pretrain=self.settings(pretrain, clusterings),
            )
            inputs = (("encoders", stage), ("data", data), *labels)
            stage = Stage("round", f"{where}/round{number}", config, inputs)
        return stage

    def settings(self, pretrain: Pretrain, clusterings: Mapping[str, Clustering]) -> Pretrain:
        """Settings in the key of a round: without the number of rounds, and of clustering only where there is one."""
        elsewhere = ("rounds", "k") if clusterings else ("rounds", "k", *CLUSTERING_ONLY)
        defaults = {name: Pretrain.model_fields[name].default for name in elsewhere}
        return pretrain.model_copy(update={**defaults, "precision": self.precision(pretrain.precision)})

    def assignments(self, earlier: EarlierClustering, group: PretrainingGroup, seed: int) -> Stage:
        """The round whose clusters are learned: a method's last one, or one that is there."""
        if earlier.run in self.suite.methods:
            (theirs,) = groups_with(self.suite, earlier.run, group)
            return self.encoder(earlier.run, theirs, seed)
        return Stage("assignments", f"assignments/{earlier.run}", self.earlier[earlier.run])

    def measure(
        self, name: str, encoder: Stage, encoders: Iterable[Modality], measure: EvaluationTask, seed: int
    ) -> Iterator[Stage]:
        """An evaluation of an encoder, a stage for each split; none where the encoder lacks its modality."""
        settings = settings_of(self.suite, measure)
        if not set(modalities_of(settings)) <= set(encoders):
            return
        settings = settings.model_copy(update={"precision": self.precision(settings.precision)})
        if isinstance(settings, CrossRetrieval):
            clustering = self.across(encoder, settings)
            if clustering is None:
                return
            settings = settings.model_copy(update={"clustering": clustering})
        data = self.index(measure.dataset)
        where = encoder.name.rpartition("/")[0] if encoder.kind == "round" else f"{name}/seed{seed}"
        sources = self.sources_of(settings, encoder, data, where, measure.dataset)
        for split in measure.splits:
            config = EvaluationStage(name=measure.evaluation, split=split, seed=seed, settings=settings)
            title = f"{where}/{measure.evaluation}/{measure.dataset}/{split}"
            inputs = (*sources, *_changed_clips(config, sources), ("data", data))
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
                + unknown_name(f"clustering of {other} to retrieve by", settings.clustering, known)
            )
        return known[0]

    def sources_of(
        self, settings: Evaluation, encoder: Stage, data: Stage, where: str, dataset: str
    ) -> tuple[tuple[str, Stage], ...]:
        """What an evaluation reads: the encoder itself, or its features, extracted once for all."""
        if isinstance(settings, Finetune):
            return (("encoders", encoder),)
        features, *others = (
            Stage(
                "features",
                f"{where}/features/{modality}/{dataset}",
                _features(settings, modality),
                (("encoders", encoder), ("data", data)),
            )
            for modality in modalities_of(settings)
        )
        if not isinstance(settings, CrossRetrieval):
            return ("features", features), *(("other", stage) for stage in others)
        # A round clusters the features of the encoders that it starts from.
        other, before = OTHER[settings.modality], dict(encoder.inputs)["encoders"]
        config = FeaturesStage(modality=other, num_clips=1, precision=settings.precision)
        name = f"{where}/features/clustered-{other}/{dataset}"
        gallery = Stage("features", name, config, (("encoders", before), ("data", data)))
        return ("encoders", encoder), ("features", features), ("gallery", gallery)


def _changed_clips(
    config: EvaluationStage, sources: Iterable[tuple[str, Stage]]
) -> Iterator[tuple[str, Stage]]:
    """Features of a split's test items from each kind of changed clips that an evaluation reads, by its name."""
    if not isinstance(config.settings, Temporal):
        return
    plain = dict(sources)["features"]
    for name, (order, rate) in config.settings.variants.items():
        update = {"frame_order": order, "rate": rate, "test_split": config.split}
        if order == "shuffled":
            update["seed"] = config.seed
        changed = plain.config.model_copy(update=update)
        yield name, Stage("features", f"{plain.name}/{config.split}/{name}", changed, plain.inputs)


def _features(settings: CrossRetrieval | Fusion | OnFeatures, modality: Modality) -> FeaturesStage:
    """The features of one modality that an evaluation reads."""
    config = FeaturesStage(
        modality=modality,
        num_clips=settings.num_clips,
        frames=getattr(settings, "frames", None),
        last_start=settings.last_start,
        layer=getattr(settings, "layer", ""),
        precision=settings.precision,
    )
    if isinstance(settings, LinearProbe) and settings.num_augmented_clips:
        update = {"num_augmented_clips": settings.num_augmented_clips, "augment": settings.augment}
        config = config.model_copy(update=update)
    return config


def _words(settings: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Settings of a group as they stand in the names of its stages: ``k=64``, ``schedule.epochs=3``."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _words(value, f"{above}{key}.")
        else:
            yield f"{above}{key}={value}"
