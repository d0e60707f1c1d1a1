"""The configuration of each kind of stage; with its inputs, all that its result depends on."""

from pydantic import Field

from xdcbench.config.base import Config, Modality
from xdcbench.config.data import Dataset, ShardSettings, World
from xdcbench.config.evaluation import Evaluation, FrameOrder
from xdcbench.config.models import Models, PretrainedEncoders
from xdcbench.config.pretraining import Augment, Clustering, Pretrain
from xdcbench.utils.precision import Precision


class WorldStage(Config):
    """Write a synthetic world as media files."""

    world: World


class ShardsStage(Config):
    """Decode a dataset once into prepared shards."""

    name: str
    dataset: Dataset
    fingerprint: str | None = Field(
        None, description="of the files as scanned; none inside a synthetic world"
    )
    settings: ShardSettings


class IndexStage(Config):
    """List the items of a dataset, with labels, splits and what its files hold."""

    name: str
    dataset: Dataset
    fingerprint: str | None = Field(
        None, description="of the files as scanned; none inside a synthetic world"
    )
    lengths: str | None = Field(
        None, description="hash of lengths that `data verify` decoded and that the packets do not give"
    )


class InitStage(Config):
    """A pair of randomly initialized encoders."""

    models: Models
    seed: int


class PretrainedStage(Config):
    """Encoders that come from elsewhere, as a run directory like any other's."""

    name: str
    encoders: PretrainedEncoders
    fingerprint: str = Field(description="of weights and code")


class AssignmentsStage(Config):
    """Clusters of a round in the results folder, as a run directory like any other's."""

    run: str = Field(description="run directory of the round")
    fingerprint: str = Field(description="of its assignments")


class RoundStage(Config):
    """One round: extract, cluster, train."""

    method: str
    clusterings: dict[str, Clustering]
    assignments: dict[str, str] = Field(
        {}, description="clusterings of earlier runs, by name of the source; the inputs `labels/NAME`"
    )
    heads: dict[Modality, tuple[str, ...]]
    encoders: tuple[Modality, ...]
    round: int = Field(ge=1)
    seed: int
    part: str = "train"
    pretrain: Pretrain


class FeaturesStage(Config):
    """Features of a frozen encoder for every item of a dataset."""

    modality: Modality
    num_clips: int
    frames: int | None = None
    last_start: float | None = None
    num_augmented_clips: int = 0
    augment: Augment = Augment()
    layer: str = ""
    precision: Precision
    frame_order: FrameOrder | None = Field(None, description="none: as they are read")
    seed: int = Field(0, description="of shuffled frames")
    rate: float = Field(1.0, gt=0, description="factor of the encoder's fps")
    test_split: str = Field("", description="split whose test items alone are read; empty: all items")


class EvaluationStage(Config):
    """One evaluation of one encoder on one split."""

    name: str
    split: str
    seed: int
    settings: Evaluation
