"""What stages have to do: clips read, encoded and trained on, arithmetic, bytes left on disk."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xdcbench.config.base import Modality
from xdcbench.config.data import LEARNED_TRACKS
from xdcbench.config.evaluation import Finetune
from xdcbench.config.models import AudioModel, Models, VideoModel
from xdcbench.config.stages import (
    EvaluationStage,
    FeaturesStage,
    IndexStage,
    InitStage,
    PretrainedStage,
    RoundStage,
    ShardsStage,
)
from xdcbench.models.pretrained.exported import read_stated
from xdcbench.models.pretrained.origins import OWN
from xdcbench.pipeline.costs.flops import FLOAT, forward_flop, training_flop, weight_bytes
from xdcbench.pipeline.costs.rates import Rates, cluster_flop
from xdcbench.pipeline.costs.sizes import Sizes, Tracks
from xdcbench.pipeline.graph import Stage
from xdcbench.utils.precision import Precision

Model = VideoModel | AudioModel | None
"""An encoder; None for one that is not this project's, whose arithmetic is not known."""

ASSIGNMENT = 16
"""Bytes per item of a round's assignments, as Parquet packs them: an id of 11 characters and cluster numbers, but not
the distances."""


ITEM_SECONDS = 10
"""Length of a video where no file was opened: that of Kinetics' and AudioSet's."""

PREPARED = 86_000
"""Bytes of prepared shards per second of video with audio: the mean of 19 clips of Kinetics, VAS and others."""


@dataclass(frozen=True)
class Work:
    """An amount of work; amounts add up.

    Attributes:
        clips: ``read``, ``read prepared``, ``encode`` or ``train`` and a modality, to a number of clips or windows;
            ``prepare`` to one of videos.
        flop: ``encode`` or ``train`` and a modality, or ``cluster``, to FLOP.
        written: bytes that stay on disk.
        unknown: what could not be counted, in words.
    """

    clips: Counter[str] = field(default_factory=Counter)
    flop: Counter[str] = field(default_factory=Counter)
    written: int = 0
    unknown: frozenset[str] = frozenset()

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.clips + other.clips,
            self.flop + other.flop,
            self.written + other.written,
            self.unknown | other.unknown,
        )


def total(works: Iterable[Work]) -> Work:
    """Their sum."""
    return sum(works, Work())


def seconds(work: Work, rates: Rates, workers: int) -> float:
    """Time of ``work``, as far as it is counted: reading runs beside computing where processes do it."""
    reading = reading_seconds(work, rates)
    computing = sum(n / rates.per_second[what] for what, n in work.flop.items())
    return max(reading / workers, computing) if workers else reading + computing


def reading_seconds(work: Work, rates: Rates) -> float:
    """Processor time of what reads and prepares."""
    done = ((what, n) for what, n in work.clips.items() if what.startswith(("read", "prepare")))
    return sum(n / rates.per_second[what] for what, n in done)


class Works:
    """Finds the work of stages; models, and ``sizes`` of datasets behind index stages, are looked up once."""

    def __init__(self, sizes: Callable[[Stage], Sizes | None]) -> None:
        self._lookup = sizes
        self._sizes: dict[str, Sizes | None] = {}
        self._models: dict[str, dict[Modality, Model]] = {}

    def of(self, stage: Stage) -> Work:
        """Work of one stage. World, index and fits on features are not estimated: no encoder runs in them."""
        match stage.config:
            case InitStage(models=models):
                return Work(written=weight_bytes(models.video) + weight_bytes(models.audio))
            case PretrainedStage():
                return Work(written=sum(weight_bytes(m) for m in self.models(stage).values() if m))
            case ShardsStage() as config:
                sizes = self._lookup(stage)
                if sizes is None:
                    return Work(unknown=_uncounted(config))
                return Work(Counter(prepare=sizes.rows), written=sizes.rows * ITEM_SECONDS * PREPARED)
            case RoundStage() as config:
                return self._round(stage, config)
            case FeaturesStage() as config:
                return self._features(stage, config)
            case EvaluationStage(settings=Finetune() as settings) as config:
                return self._finetune(stage, config, settings)
        return Work()

    def models(self, stage: Stage) -> dict[Modality, Model]:
        """The encoders that a stage leaves or starts from."""
        if stage.key not in self._models:
            match stage.config:
                case InitStage(models=models):
                    found: dict[Modality, Model] = {**models.by_modality}
                case PretrainedStage() as config:
                    found = _pretrained(config)
                case _:
                    found = self.models(dict(stage.inputs)["encoders"])
            self._models[stage.key] = found
        return self._models[stage.key]

    def sizes(self, stage: Stage) -> Sizes | None:
        """Sizes of the dataset that a stage reads."""
        index = dict(stage.inputs)["data"]
        if index.key not in self._sizes:
            self._sizes[index.key] = self._lookup(index)
        return self._sizes[index.key]

    def items(self, stage: Stage, config: RoundStage) -> int | None:
        """Items that a round learns from; None where nothing states them."""
        dataset, sizes = _data(stage).dataset, self.sizes(stage)
        tracks = frozenset(LEARNED_TRACKS[dataset.media])
        return sizes.parts.get((dataset.splits[0], config.part, tracks)) if sizes else None

    def _round(self, stage: Stage, config: RoundStage) -> Work:
        data, models, settings = _data(stage), self.models(stage), config.pretrain
        n = self.items(stage, config)
        written = sum(weight_bytes(m) for name in config.encoders if (m := models[name]))
        if n is None:
            return Work(written=written, unknown=_uncounted(data))
        encoded = n if config.clusterings else 0
        assigned = (ASSIGNMENT + FLOAT * len(config.clusterings)) * encoded
        held = int(settings.val_fraction * n)
        epochs = settings.schedule.epochs
        trained = (settings.clips_per_epoch or n - held) * epochs
        clustered = {m for c in config.clusterings.values() for m in c.features}
        widths = {name: 8 * model.width for name, model in models.items() if model}
        flop = sum(
            cluster_flop(n, sum(widths[m] for m in c.features), c.k, settings.kmeans_max_iter)
            * settings.kmeans_n_init
            for c in config.clusterings.values()
        )
        return total(
            [
                _read(stage, config.encoders, encoded + trained + held * epochs),
                _passes("encode", {m: models[m] for m in clustered}, encoded),
                _passes("encode", {m: models[m] for m in config.heads}, held * epochs),
                _passes("train", {m: models[m] for m in config.heads}, trained),
                Work(flop=Counter(cluster=flop), written=written + assigned),
            ]
        )

    def _features(self, stage: Stage, config: FeaturesStage) -> Work:
        sizes, model = self.sizes(stage), _fed(self.models(stage)[config.modality], config.frames)
        items = _read_items(sizes, config) if sizes else None
        if sizes is None or items is None:
            return Work(unknown=_uncounted(_data(stage)))
        each = config.num_clips + config.num_augmented_clips
        clips = items * each
        values = sizes.rows * each * 8 * model.width if model else 0
        work = _read(stage, [config.modality], clips) + _passes("encode", {config.modality: model}, clips)
        return work + Work(written=FLOAT * values)

    def _finetune(self, stage: Stage, config: EvaluationStage, settings: Finetune) -> Work:
        modality, sizes = settings.modality, self.sizes(stage)
        model = _fed(self.models(stage)[modality], settings.frames)
        tracks: Tracks = frozenset({modality})
        train, test = (
            sizes.parts.get((config.split, part, tracks)) if sizes else None for part in ("train", "test")
        )
        if train is None or test is None:
            return Work(unknown=_uncounted(_data(stage)))
        epochs = settings.schedule.epochs
        share = train // max(2, round(1 / settings.val_fraction))
        held = share if settings.selection == "val-best" else 0
        tried = settings.sweep.size if settings.sweep else 0
        trained = (train - held + tried * (train - share)) * epochs
        scored = (test + held * epochs + tried * share) * settings.num_clips
        return total(
            [
                _read(stage, [modality], trained + scored),
                _passes("train", {modality: model}, trained),
                _passes("encode", {modality: model}, scored),
            ]
        )


def _read_items(sizes: Sizes, config: FeaturesStage) -> int | None:
    """Items whose features are extracted; None where nothing states their number."""
    tracks: Tracks = frozenset({config.modality})
    if config.test_split:
        return sizes.parts.get((config.test_split, "test", tracks))
    return sizes.whole[tracks]


def precision_of(stage: Stage) -> Precision:
    """Precision of a stage's forward passes."""
    match stage.config:
        case RoundStage(pretrain=pretrain):
            return pretrain.precision
        case FeaturesStage(precision=precision):
            return precision
        case EvaluationStage(settings=settings):
            return settings.precision
    return "fp32"


def _read(stage: Stage, modalities: Iterable[Modality], clips: int) -> Work:
    media = dict(stage.inputs)["data"].media
    how = "read prepared" if media and media.kind == "shards" else "read"
    return Work(clips=Counter({f"{how} {m}": clips for m in modalities}))


def _passes(do: str, models: Mapping[Modality, Model], clips: int) -> Work:
    flop_of = training_flop if do == "train" else forward_flop
    foreign = [
        f"FLOP of {m} encoders that are not this project's" for m, model in models.items() if not model
    ]
    return Work(
        Counter({f"{do} {m}": clips for m in models}),
        Counter({f"{do} {m}": clips * flop_of(model) for m, model in models.items() if model}),
        unknown=frozenset(foreign),
    )


def _fed(model: Model, frames: int | None) -> Model:
    return model.with_frames(frames) if isinstance(model, VideoModel) else model


def _pretrained(config: PretrainedStage) -> dict[Modality, Model]:
    """Encoders from elsewhere: by their run's metadata, or by what the suite says of them."""
    pretrained = config.encoders
    if pretrained.run is not None:
        metadata = read_stated(Path(pretrained.run))
        models, sources = metadata["models"], metadata.get("sources", {})
    else:
        parts = pretrained.by_modality
        models = Models.model_validate({m: part.model for m, part in parts.items()})
        sources = {m: part.source for m, part in parts.items()}
    return {m: model if sources.get(m, OWN[0]) in OWN else None for m, model in models.by_modality.items()}


def _data(stage: Stage) -> IndexStage:
    config = dict(stage.inputs)["data"].config
    assert isinstance(config, IndexStage)
    return config


def _uncounted(data: IndexStage | ShardsStage) -> frozenset[str]:
    return frozenset({f"items of {data.name}: not indexed yet, and no count of them is in its configuration"})
