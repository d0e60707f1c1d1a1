"""Methods, and the settings of pretraining.

The defaults are the paper's protocol as far as it is established (docs/reference/fidelity.md).
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from xdcbench.config.base import DISTANCE, Config, EncoderPrecision, Modality
from xdcbench.utils.names import Name


class Clustering(Config):
    """One k-means per round, on the features of one encoder or of both, concatenated."""

    features: tuple[Modality, ...] = Field(
        min_length=1, max_length=2, description="the encoder whose features are clustered, or both"
    )
    k: int = Field(ge=2, description="clusters")


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

    title: str = Field(description="in tables")
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

    epochs: int = Field(45, ge=1, description="of a round or of an evaluation")
    lr: float = Field(0.01, gt=0, description="per `batch_size` clips, after warm-up")
    warmup_epochs: float = Field(10, ge=0, description="epochs")
    lr_scheduler: Literal["step", "cosine", "constant"] = Field(
        "step", description="step: falls by `gamma` at each milestone"
    )
    milestones: tuple[float, ...] = Field((20, 30, 40), description="epochs at which the rate falls")
    gamma: float = Field(0.1, description="factor of the rate at a milestone")
    momentum: float = Field(0.9, description="of SGD, Nesterov's")
    weight_decay: float = Field(1e-4, description="L2 penalty of all weights")


class Augment(Config):
    """Training-time augmentation; test time takes the center crop, unflipped."""

    flip: bool = Field(True, description="mirror a clip with probability 1/2")
    crop: Literal["random", "center"] = Field("random", description="where the square is cut")
    temporal_crop: Literal["random", "center"] = Field(
        "random", description="where the clip or window lies in its item"
    )


class EarlyStopping(Config):
    """When the validation loss of a round saturates: after ``patience`` epochs in a row without a gain.

    An epoch gains if its loss on held-out training items, summed over encoders and label sources, is below
    ``1 - min_delta`` times the lowest before; the round then ends, at the latest with ``schedule.epochs``.
    """

    patience: int = Field(3, ge=1, description="epochs in a row without a gain that end the round")
    min_delta: float = Field(0.01, ge=0, lt=1, description="least drop of the loss, as a share of the lowest")


class Pretrain(Config):
    """The loop of deep clustering: rounds of extract, cluster, train."""

    rounds: int = Field(10, ge=1, description="of extraction, clustering and training")
    k: int | None = Field(None, ge=2, description="overrides the k of every clustering")
    batch_size: int = Field(32, ge=2, description="global batch, clips")
    schedule: Schedule = Field(Schedule(), description="of each round")
    augment: Augment = Field(Augment(), description="of training clips")
    clips_per_epoch: int | None = Field(None, ge=1, description="clips per epoch; none: one per item")
    val_fraction: float = Field(
        0.05, ge=0, lt=1, description="share of items held out for the validation loss"
    )
    preprocess: Literal["none", "l2", "pca_whiten_l2"] = Field(
        "none", description="of features before k-means"
    )
    pca_dim: int = Field(256, description="dimensions that `pca_whiten_l2` keeps")
    concat_l2: bool = Field(True, description="L2-normalize each modality before concatenating (CDC)")
    kmeans_max_iter: int = Field(20, ge=1, description="iterations of k-means")
    kmeans_n_init: int = Field(1, ge=1, description="starts of k-means; the one with the lowest cost counts")
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
    max_failed: float = Field(0.1, ge=0, le=1, description="share of unreadable items that fails a stage")
    precision: EncoderPrecision = "auto"
    early_stopping: EarlyStopping | None = Field(
        None, description="ends a round before `schedule.epochs`; none: all epochs are trained"
    )

    @model_validator(mode="after")
    def _saturation_has_items(self) -> Self:
        if self.early_stopping and not self.val_fraction:
            raise ValueError("early_stopping needs held-out items: raise val_fraction above 0")
        return self
