"""Settings of each evaluation.

The defaults are the paper's protocol as far as it is established (docs/reference/fidelity.md).
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from xdcbench.config.base import Config, EncoderPrecision, Modality
from xdcbench.config.pretraining import Augment, Schedule

LAST_START = "start of the last clip, seconds, clamped to the item; none: the last that fits"
FRAMES = "frames per clip, in place of the encoder's own; video alone"
PLAIN = "plain"
"""Name of the test clips of `Temporal` that are read as the encoder declares."""

FrameOrder = Literal["reversed", "shuffled", "frozen"]
"""How the frames of a changed clip follow each other; frozen repeats the middle one."""

Measured = Annotated[Modality, Field(description="encoder that is measured")]

LAYER = "submodule whose mean output is the feature; empty: the encoder's own feature"


class Sweep(Config):
    """Every pair of these rates and weight decays is tried; without values, the schedule's own counts."""

    lr: tuple[PositiveFloat, ...] = Field((), description="rates of the encoder; the head's keeps its ratio")
    weight_decay: tuple[PositiveFloat, ...] = Field((), description="L2 penalties")

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        if not self.lr and not self.weight_decay:
            raise ValueError("the grid is empty; give values of `lr` or `weight_decay`, or leave `sweep` out")
        return self

    @property
    def size(self) -> int:
        """Number of pairs."""
        return max(1, len(self.lr)) * max(1, len(self.weight_decay))


class Finetune(Config):
    """Full finetuning of one encoder and a new head; the last epoch counts, or the best on held-out items."""

    kind: Literal["finetune"] = "finetune"
    modality: Measured = "video"
    batch_size: int = Field(32, ge=2, description="clips per step, over all processes")
    schedule: Schedule = Field(
        Schedule(epochs=12, lr=2.5e-4, warmup_epochs=2, milestones=(6, 10), gamma=0.05, weight_decay=5e-3),
        description="of the encoder; the head has `head_lr`",
    )
    head_lr: float = Field(2.5e-3, gt=0, description="rate of the head after warm-up")
    augment: Augment = Field(Augment(), description="of training clips")
    num_clips: int = Field(10, ge=1, description="test clips or windows per item, evenly spaced")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    selection: Literal["last", "val-best"] = Field(
        "last", description="epoch that counts; val-best holds out part of the training items to choose it"
    )
    val_fraction: float = Field(
        0.1, gt=0, lt=1, description="share of training groups held out for val-best or for the sweep"
    )
    sweep: Sweep | None = Field(
        None, description="settings to choose from on held-out training items, before training on all of them"
    )
    precision: EncoderPrecision = "auto"

    @model_validator(mode="after")
    def _holds_out_for_one_purpose(self) -> Self:
        if self.sweep and self.selection == "val-best":
            raise ValueError("`sweep` and `selection: val-best` exclude each other; leave one of them out")
        return self


class LinearProbe(Config):
    """Logistic regression on frozen features, standardized."""

    kind: Literal["linear_probe"] = "linear_probe"
    modality: Measured = "video"
    num_clips: int = Field(10, ge=1, description="clips or windows per item, evenly spaced")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    num_augmented_clips: int = Field(
        0, ge=0, description="augmented clips that are learned from beside those"
    )
    augment: Augment = Field(Augment(), description="of the augmented clips")
    layer: str = Field("", description=LAYER)
    solver: Literal["lbfgs", "sgd"] = Field("lbfgs", description="lbfgs: to the optimum; sgd: by `schedule`")
    C: float = Field(1.0, gt=0, description="inverse L2 penalty (lbfgs)")
    Cs: tuple[PositiveFloat, ...] = Field(
        (), description="values to choose C from, inside the training part; none: C as it stands (lbfgs)"
    )
    inner_folds: int = Field(4, ge=2, description="to choose C by")
    max_iter: int = Field(1000, ge=1, description="iterations (lbfgs)")
    schedule: Schedule = Field(
        Schedule(epochs=30, lr=0.1, warmup_epochs=0, lr_scheduler="cosine"), description="of the layer (sgd)"
    )
    batch_size: int = Field(256, ge=1, description="clips per step (sgd)")
    precision: EncoderPrecision = "auto"

    @model_validator(mode="after")
    def _solver_has_a_c(self) -> Self:
        if self.Cs and self.solver == "sgd":
            raise ValueError("`Cs` are of the solver lbfgs; sgd has no C, so leave `Cs` out")
        return self


class MultilabelProbe(Config):
    """Logistic regression of each class on frozen features, standardized, for items with several classes each."""

    kind: Literal["multilabel_probe"] = "multilabel_probe"
    modality: Measured = "video"
    num_clips: int = Field(10, ge=1, description="clips or windows per item, evenly spaced")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    C: float = Field(1.0, gt=0, description="inverse L2 penalty")
    max_iter: int = Field(1000, ge=1, description="iterations, of all classes together")
    precision: EncoderPrecision = "auto"


class LinearSVM(Config):
    """One-vs-all linear SVM on frozen audio features, C chosen inside the training part."""

    kind: Literal["linear_svm"] = "linear_svm"
    modality: Literal["audio"] = "audio"
    num_clips: int = Field(10, ge=1, description="windows per recording, evenly spaced")
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    Cs: tuple[PositiveFloat, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0), min_length=1, description="inverse penalties to choose from"
    )
    inner_folds: int = Field(4, ge=2, description="to choose C by")
    max_iter: int = Field(5000, ge=1, description="Newton steps for each C")
    precision: EncoderPrecision = "auto"


class Retrieval(Config):
    """Nearest training items of each test item by cosine of mean features; recall is of the class."""

    kind: Literal["retrieval"] = "retrieval"
    modality: Measured = "video"
    num_clips: int = Field(10, ge=1, description="clips or windows per item, evenly spaced, averaged")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    ks: tuple[int, ...] = Field((1, 5, 10, 20), min_length=1, description="depths of recall")
    precision: EncoderPrecision = "auto"


class KNN(Config):
    """Votes of the nearest training items by cosine of mean features, as in Wu et al. 2018 and DINO."""

    kind: Literal["knn"] = "knn"
    modality: Measured = "video"
    num_clips: int = Field(10, ge=1, description="clips or windows per item, evenly spaced, averaged")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    ks: tuple[PositiveInt, ...] = Field((1, 20, 200), min_length=1, description="numbers of voters")
    temperature: float = Field(0.07, gt=0, description="a vote weighs exp(cosine / temperature)")
    precision: EncoderPrecision = "auto"


class CrossRetrieval(Config):
    """Training items of the other modality by the cluster that an encoder's head takes a test item for."""

    kind: Literal["cross_retrieval"] = "cross_retrieval"
    modality: Modality = Field("video", description="of the queries; the gallery is of the other one")
    num_clips: int = Field(10, ge=1, description="clips or windows per query, evenly spaced, mean softmax")
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    clustering: str = Field("", description="clustering of the other modality; empty: the only one")
    ks: tuple[int, ...] = Field((1, 5, 10, 20), min_length=1, description="depths of recall")
    precision: EncoderPrecision = "auto"


class LowShot(Config):
    """Linear probes that learn from few training items, several draws of them."""

    kind: Literal["low_shot"] = "low_shot"
    modality: Measured = "video"
    num_clips: int = Field(10, ge=1, description="clips or windows per item, evenly spaced")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    per_class: tuple[int, ...] = Field((1, 5, 20), description="training items of each class")
    fractions: tuple[float, ...] = Field((0.01, 0.1), description="shares of the training items, by class")
    num_draws: int = Field(5, ge=1, description="of the training items; the mean is reported")
    C: float = Field(1.0, gt=0, description="inverse L2 penalty")
    max_iter: int = Field(1000, ge=1, description="iterations")
    precision: EncoderPrecision = "auto"


def shot_names(per_class: Sequence[int], fractions: Sequence[float]) -> tuple[str, ...]:
    """What a low-shot probe learns from, as records name it: ``5`` items of each class, ``1%`` of the items."""
    return (*map(str, per_class), *(f"{100 * share:g}%" for share in fractions))


class Fusion(Config):
    """Mean features of audio, of video and of both side by side, measured alike on items with both tracks."""

    kind: Literal["fusion"] = "fusion"
    by: Literal["linear_probe", "retrieval", "low_shot"] = Field(
        "linear_probe", description="what is done with the features of each and of both"
    )
    num_clips: int = Field(10, ge=1, description="clips and windows per item, evenly spaced, averaged")
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    normalize: Literal["standardize", "l2"] = Field(
        "standardize", description="of each modality: deviations of training items, or length 1 of every item"
    )
    C: float = Field(1.0, gt=0, description="inverse L2 penalty of the probes")
    max_iter: int = Field(1000, ge=1, description="iterations of the probes")
    ks: tuple[int, ...] = Field((1, 5, 10, 20), min_length=1, description="depths of recall (retrieval)")
    per_class: tuple[int, ...] = Field((1, 5, 20), description="training items of each class (low_shot)")
    fractions: tuple[float, ...] = Field((), description="shares of the training items (low_shot)")
    num_draws: int = Field(5, ge=1, description="draws of these items (low_shot)")
    precision: EncoderPrecision = "auto"


class Temporal(Config):
    """A linear probe that learned from plain clips, on test clips whose frames or rate are changed."""

    kind: Literal["temporal"] = "temporal"
    modality: Literal["video"] = "video"
    num_clips: int = Field(10, ge=1, description="clips per item, evenly spaced")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    orders: tuple[FrameOrder, ...] = Field(
        ("reversed", "shuffled", "frozen"),
        description="changed orders of the frames; frozen repeats the middle one",
    )
    rates: tuple[PositiveFloat, ...] = Field(
        (0.5, 2.0), description="factors of the encoder's fps; at 0.5 a clip lasts twice as long"
    )
    C: float = Field(1.0, gt=0, description="inverse L2 penalty")
    max_iter: int = Field(1000, ge=1, description="iterations")
    precision: EncoderPrecision = "auto"

    @model_validator(mode="after")
    def _changes_clips(self) -> Self:
        if 1.0 in self.rates:
            raise ValueError("rates holds 1, which is the plain clip and measured anyway. Try: leave it out")
        if len(self.variants) != len(self.orders) + len(self.rates):
            raise ValueError("orders or rates holds a value twice. Try: name each once")
        if not self.variants:
            raise ValueError(
                "orders and rates are both empty, so nothing is changed. Try: orders: [reversed]"
            )
        return self

    @property
    def variants(self) -> dict[str, tuple[FrameOrder | None, float]]:
        """Order and rate of each kind of changed clip, by its name in records: ``reversed``, ``rate-0.5``."""
        orders: dict[str, tuple[FrameOrder | None, float]] = {order: (order, 1.0) for order in self.orders}
        return orders | {f"rate-{rate:g}": (None, rate) for rate in self.rates}


class Clusters(Config):
    """k-means on the mean features of test items, compared with their classes."""

    kind: Literal["clusters"] = "clusters"
    modality: Measured = "video"
    num_clips: int = Field(1, ge=1, description="clips or windows per item, evenly spaced, averaged")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    k: int | None = Field(None, ge=2, description="clusters; none: as many as classes")
    preprocess: Literal["none", "l2", "pca_whiten_l2"] = Field(
        "l2", description="of mean features before k-means"
    )
    pca_dim: int = Field(256, description="dimensions that `pca_whiten_l2` keeps")
    max_iter: int = Field(50, ge=1, description="iterations of k-means")
    n_init: int = Field(5, ge=1, description="starts of k-means; the one with the lowest cost counts")
    precision: EncoderPrecision = "auto"


OnFeatures = LinearProbe | MultilabelProbe | LinearSVM | Retrieval | KNN | LowShot | Temporal | Clusters
"""Evaluations of a frozen encoder; those with equal clips and layer share its features."""

Evaluation = Annotated[Finetune | CrossRetrieval | Fusion | OnFeatures, Field(discriminator="kind")]


def modalities_of(settings: Evaluation) -> tuple[Modality, ...]:
    """The modalities whose encoders an evaluation measures."""
    return ("video", "audio") if isinstance(settings, Fusion) else (settings.modality,)
