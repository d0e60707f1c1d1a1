"""Methods, and the settings of pretraining.

The defaults are the paper's protocol as far as it is established (docs/reference/fidelity.md).
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from xdcbench.config.base import DISTANCE, Config, Modality
from xdcbench.utils.names import Name
from xdcbench.utils.precision import Precision


class Clustering(Config):
    """One k-means per round, on the features of one encoder or of both, concatenated."""

    features: tuple[Modality, ...] = Field(min_length=1, max_length=2)
    k: int = Field(ge=2)


class EarlierClustering(Config):
    """The clusters of a run that is there: a label source that this method does not make itself."""

    run: Name = Field(
        description="a method that the suite pretrains on the same data, of which the last round of the same seed is "
        "taken; or the key of a round in the results folder"
    )
    clustering: Name = Field(description="of that run, by name")


class Method(Config):
    """A method is data: where the labels of each encoder come from.

    ``heads`` lists, for each encoder, its label sources: names of ``clusterings`` or ``assignments``, or ``labels``
    for the ground truth. An encoder without a list is not trained; a method without heads is an
    initialization only.
    """

    title: str
    family: str = Field("", description="short note for tables")
    encoders: tuple[Modality, ...] = Field(("video", "audio"), description="encoders that the method yields")
    clusterings: dict[Name, Clustering] = Field({}, description="by name")
    assignments: dict[Name, EarlierClustering] = Field({}, description="clusters of earlier runs, by name")
    heads: dict[Modality, tuple[Name, ...]] = Field({}, description="label sources of each encoder")

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        sources = [*self.clusterings, *self.assignments]
        taken = {name for name in sources if name in ("labels", "id") or name.endswith(DISTANCE)}
        if taken:
            raise ValueError(
                f"a clustering may not be called {taken.pop()!r}, which stands for something else"
            )
        if both := self.clusterings.keys() & self.assignments.keys():
            raise ValueError(
                f"{both.pop()!r} is one of `clusterings` and of `assignments`; rename one of them"
            )
        return self


class Schedule(Config):
    """SGD with Nesterov momentum, linear warm-up and steps or a cosine; restarted each round."""

    epochs: int = Field(45, ge=1)
    lr: float = Field(0.01, gt=0, description="per `batch_size` clips, after warm-up")
    warmup_epochs: float = Field(10, ge=0, description="epochs")
    lr_scheduler: Literal["step", "cosine", "constant"] = "step"
    milestones: tuple[float, ...] = Field((20, 30, 40), description="epochs at which the rate falls")
    gamma: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4


class Augment(Config):
    """Training-time augmentation; test time takes the center crop, unflipped."""

    flip: bool = True
    crop: Literal["random", "center"] = "random"
    temporal_crop: Literal["random", "center"] = "random"


class EarlyStopping(Config):
    """When the validation loss of a round saturates: after ``patience`` epochs in a row without a gain.

    An epoch gains if its loss on held-out training items, summed over encoders and label sources, is below
    ``1 - min_delta`` times the lowest before; the round then ends, at the latest with ``schedule.epochs``.
    """

    patience: int = Field(3, ge=1, description="epochs in a row without a gain that end the round")
    min_delta: float = Field(0.01, ge=0, lt=1, description="least drop of the loss, as a share of the lowest")


class Pretrain(Config):
    """The loop of deep clustering: rounds of extract, cluster, train."""

    rounds: int = Field(10, ge=1)
    k: int | None = Field(None, ge=2, description="overrides the k of every clustering")
    batch_size: int = Field(32, ge=2, description="global batch, clips")
    schedule: Schedule = Schedule()
    augment: Augment = Augment()
    clips_per_epoch: int | None = Field(None, ge=1, description="clips per epoch; none: one per item")
    val_fraction: float = Field(
        0.05, ge=0, lt=1, description="share of items held out for the validation loss"
    )
    preprocess: Literal["none", "l2", "pca_whiten_l2"] = "none"
    pca_dim: int = 256
    concat_l2: bool = Field(True, description="L2-normalize each modality before concatenating (CDC)")
    kmeans_max_iter: int = Field(20, ge=1)
    kmeans_n_init: int = Field(1, ge=1)
    kmeans_tol: float = Field(
        0.0, ge=0, lt=1, description="share of items that may still change their cluster when k-means stops"
    )
    spherical: bool = Field(False, description="k-means of rows and centroids of unit length, by cosine")
    balanced_sampling: bool = Field(False, description="sample clips uniformly over pseudo-labels")
    reset_heads: bool = Field(True, description="new heads each round")
    update_bn: bool = Field(
        False, description="after a round, BatchNorm's running statistics are those of one more epoch's clips"
    )
    cluster_clip: Literal["center", "random"] = Field(
        "center", description="the clip of an item that is clustered"
    )
    max_failed: float = Field(0.1, ge=0, le=1)
    precision: Precision = "auto"
    early_stopping: EarlyStopping | None = Field(
        None, description="ends a round before `schedule.epochs`; none: all epochs are trained"
    )

    @model_validator(mode="after")
    def _saturation_has_items(self) -> Self:
        if self.early_stopping and not self.val_fraction:
            raise ValueError("early_stopping needs held-out items: raise val_fraction above 0")
        return self
