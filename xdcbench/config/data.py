"""Datasets, their subsets, how they are prepared into shards, and the synthetic world."""

from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from xdcbench.config.base import Config, Modality
from xdcbench.utils.names import Below, Name

LEARNED_TRACKS: dict[str, tuple[Modality, ...]] = {
    "video": ("video", "audio"),
    "image": ("video",),
    "audio": ("audio",),
}
"""Tracks of the items that every method learns from, by the media of the dataset."""


class Subset(Config):
    """A deterministic, stratified part of a dataset; part of the key and of the table's footnote."""

    per_class: int | None = Field(None, ge=1, description="items per class, in each part of each split")
    items: int | None = Field(None, ge=1, description="items in each part of each split, evenly over classes")
    parts: tuple[Literal["train", "test"], ...] = Field(
        ("train", "test"), min_length=1, description="those that are cut; the other one stays whole"
    )
    seed: int = Field(0, description="of the draw")

    @property
    def words(self) -> str:
        """The subset as a footnote says it; empty for the whole dataset."""
        limits = {"items per class": self.per_class, "items": self.items}
        said = " and ".join(f"{limit} {what}" for what, limit in limits.items() if limit)
        where = f"the {self.parts[0]} part" if len(self.parts) == 1 else "each part"
        return f"{said} in {where} of a split, drawn by seed {self.seed}" if said else ""


class Dataset(Config):
    """One dataset: where it lies, what it holds, how it is split."""

    title: str = Field(description="in tables")
    adapter: str = Field(description="module of xdcbench.data.datasets, or module:function")
    folder: Below = Field(description="folder below the data root")
    media: Literal["video", "audio", "image"] = Field(description="what its files are")
    splits: tuple[Name, ...] = Field(description="names of the splits, in the dataset's own terms")
    official_splits: tuple[Name, ...] = Field(
        (), description="all official splits, where `splits` has only some of them"
    )
    multi_label: bool = Field(False, description="items have a set of classes each, not one class")
    options: dict[str, Any] = Field({}, description="what the adapter takes beyond the folder")
    classes: tuple[str, ...] = Field((), description="the only classes that are kept, by name; none: all")
    counts: dict[Name, dict[Literal["train", "test"], int]] = Field(
        {}, description="items that the official lists name, by split and part; what `data verify` expects"
    )
    published_items: int | None = Field(
        None,
        ge=1,
        description="training items that publications state; estimates use it until items are counted",
    )
    root: str | None = Field(None, description="folder of this dataset; instead of the data root")
    subset: Subset = Field(Subset(), description="the part that is used; default: all items")
    max_failed: float = Field(0.1, ge=0, le=1, description="share of unreadable items that fails a stage")
    license: str = Field("", description="as the authors state it")
    source: str = Field("", description="where the authors offer it")


class ShardSettings(Config):
    """How originals are prepared; other settings make other shards."""

    short_side: int = Field(
        160, ge=16, multiple_of=2, description="pixels; smaller originals stay as they are"
    )
    fps: float = Field(30.0, gt=0, description="frames per second; slower originals keep their own")
    keyframe_interval: int = Field(8, ge=1, description="frames from one keyframe to the next")
    qp: int = Field(23, ge=1, le=51, description="constant quantizer of H.264")
    audio_codec: Literal["wav", "flac"] = Field("wav", description="of stored audio; both are lossless")
    sample_rate: int = Field(16_000, gt=0, description="samples per second, mono, 16 bits")
    quality: int = Field(95, ge=1, le=100, description="of JPEG")


FACTOR_GROUPS = {
    "appearance": ("hue", "pitch"),
    "timing": ("motion", "rhythm"),
    "nuisances": ("background", "camera", "hum", "gain", "noise"),
}
"""Factors by what they carry: the first two groups tell the class in both modalities, the last tells nothing."""


class Factors(Config):
    """Strengths of the synthetic world's factors; 1 is the trial world, 0 takes a factor away."""

    motion: float = Field(1.0, ge=0, description="class: path of the disc")
    rhythm: float = Field(1.0, ge=0, description="class: events and vibrato of the tone")
    hue: float = Field(1.0, ge=0, description="class: shared color; 0 draws the hue from the whole circle")
    pitch: float = Field(1.0, ge=0, description="class: shared pitch; 0 draws the pitch from the whole range")
    background: float = Field(
        1.0, ge=0, description="nuisance of the video: color and texture behind the disc"
    )
    camera: float = Field(
        1.0, ge=0, description="nuisance of the video: drift of the whole scene, size, position"
    )
    hum: float = Field(1.0, ge=0, description="nuisance of the audio: a low hum")
    gain: float = Field(1.0, ge=0, description="nuisance of the audio: level and spectral tilt")
    noise: float = Field(1.0, ge=0, description="nuisance of both streams: white noise")

    @property
    def groups(self) -> dict[str, float | str]:
        """Strength of each group of factors; in words, such as ``hue 0.5, pitch 1``, where its factors differ."""
        found: dict[str, float | str] = {}
        for group, names in FACTOR_GROUPS.items():
            strengths = {name: getattr(self, name) for name in names}
            words = ", ".join(f"{name} {strength:g}" for name, strength in strengths.items())
            found[group] = words if len(set(strengths.values())) > 1 else strengths[names[0]]
        return found


class World(Config):
    """A synthetic world: class-tied motion and audio, written as files in the layouts of real datasets.

    Counts are items per class. A dataset with a count of 0 is not written.
    """

    seed: int = Field(0, description="of all that is drawn")
    classes: int = Field(10, ge=2, le=13, description="of every dataset")
    size: int = Field(40, ge=16, multiple_of=2, description="side of the square frame, pixels")
    fps: int = Field(8, description="frames per second")
    seconds: float = Field(2.5, gt=0, description="length of a video")
    sample_rate: int = Field(16_000, description="of audio, samples per second")
    kinetics_train: int = Field(0, description="training videos per class")
    kinetics_val: int = Field(0, description="test videos per class")
    ucf101_groups: int = Field(
        0, description="groups per class, 2 videos each; a third of them test per split"
    )
    hmdb51_videos: int = Field(
        0, description="videos per class; 70/30 of them in each split, as in the original"
    )
    imagenet_train: int = Field(0, description="training images per class")
    imagenet_val: int = Field(0, description="test images per class")
    esc50_per_fold: int = Field(0, description="recordings of 5 s per class and fold, 5 folds")
    dcase_train: int = Field(0, description="recordings per class")
    dcase_test: int = Field(0, description="test recordings per class")
    dcase_seconds: float = Field(30.0, description="length of a DCASE recording")
    audioset_unbalanced: int = Field(0, description="segments per class of AudioSet's unbalanced list")
    audioset_balanced: int = Field(0, description="segments per class of AudioSet's balanced list")
    audioset_eval: int = Field(0, description="segments per class of AudioSet's evaluation list")
    ig_random: int = Field(
        0, description="videos in all: classes as unequal as 1 / rank, every third video without a class"
    )
    ig_kinetics: int = Field(0, description="videos per class, picked by tags")
    factors: Factors = Field(Factors(), description="strengths of what tells the class, and of nuisances")
    unseen: tuple[NonNegativeInt, ...] = Field(
        (), description="labels of classes that videos do not tell: motion and hue are as at strength 0"
    )
    unheard: tuple[NonNegativeInt, ...] = Field(
        (), description="labels of classes that audio does not tell: rhythm and pitch are as at strength 0"
    )

    @model_validator(mode="after")
    def _labels_are_of_classes(self) -> Self:
        for name in ("unseen", "unheard"):
            beyond = [label for label in getattr(self, name) if label >= self.classes]
            if beyond:
                raise ValueError(f"{name} names label {beyond[0]}; labels are 0 to {self.classes - 1}")
        return self
