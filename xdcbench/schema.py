"""What a suite may say: every option of every part, with its type, unit and default.

The defaults are the paper's protocol as far as it is established (see docs/fidelity.md); suites state
what they change. A field at its default is left out of a stage's key.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, model_validator

from xdcbench.utils.names import Below, Name

Modality = Literal["video", "audio"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

DISTANCE = "_distance"
"""Ends the names of columns that stand beside those of clusterings."""


class Config(BaseModel):
    """A frozen part of a configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


# ---------------------------------------------------------------------------------------- encoders


class VideoInput(Config):
    """The clip that a video encoder declares; whoever feeds the encoder obeys it."""

    frames: int = Field(8, ge=1, description="frames per clip")
    size: int = Field(112, ge=8, description="side of the square crop, pixels")
    rate: float = Field(30.0, gt=0, description="frames per second")
    short_side: tuple[int, int] = Field((128, 160), description="range of the short side in training, pixels")
    mean: tuple[float, float, float] = (0.43216, 0.394666, 0.37645)
    std: tuple[float, float, float] = (0.22803, 0.22145, 0.216989)

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if not self.size <= self.short_side[0] <= self.short_side[1]:
            raise ValueError(f"short_side {self.short_side} must be a range from size {self.size} upwards")
        return self

    @property
    def seconds(self) -> float:
        """Length of a clip, seconds."""
        return self.frames / self.rate


class AudioInput(Config):
    """The log-mel window that an audio encoder declares (VMZ's constants, 2 s over 100 frames)."""

    rate: int = Field(16_000, gt=0, description="samples per second, mono")
    seconds: float = Field(2.0, gt=0)
    window: int = Field(256, description="Hann window and FFT length, samples")
    hop: int = Field(320, description="step between frames, samples")
    mels: int = 40
    fmin: float = 0.0
    fmax: float = 8000.0
    gain: float = Field(1080674186.35, description="power is multiplied by this before the logarithm")
    mean: float = 0.0
    std: float = 1.0

    @property
    def frames(self) -> int:
        """Spectrogram frames per window."""
        return round(self.seconds * self.rate / self.hop)


class VideoModel(Config):
    """R(2+1)D: width, depth and the stem's stride are parameters of the one class."""

    width: int = Field(64, ge=4, description="channels of the first stage; doubles at each later one")
    blocks: tuple[int, int, int, int] = Field((2, 2, 2, 2), description="basic blocks per stage")
    stem_stride: int = Field(2, ge=1, le=2, description="spatial stride of the stem")
    bn_momentum: float = Field(0.1, description="weight of the new batch; 0.9 reproduces the released code")
    input: VideoInput = VideoInput()


class AudioModel(Config):
    """VMZ's audio ResNet-18 on log-mel spectrograms."""

    width: int = Field(64, ge=4, description="channels of the first of the four stages")
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    bn_momentum: float = 0.1
    input: AudioInput = AudioInput()


class Models(Config):
    """The pair of encoders that a suite trains."""

    video: VideoModel = VideoModel()
    audio: AudioModel = AudioModel()


# ------------------------------------------------------------------------------------------- data


class Subset(Config):
    """A deterministic, stratified part of a data set; part of the key and of the table's footnote."""

    per_class: int | None = Field(None, ge=1, description="items per class, in each part of each split")
    items: int | None = Field(None, ge=1, description="items in each part of each split, evenly over classes")
    seed: int = 0

    @property
    def words(self) -> str:
        """The subset as a footnote says it; empty for the whole data set."""
        limits = {"items per class": self.per_class, "items": self.items}
        said = " and ".join(f"{limit} {what}" for what, limit in limits.items() if limit)
        return f"{said} in each part of a split, drawn by seed {self.seed}" if said else ""


class Dataset(Config):
    """One data set: where it lies, what it holds, how it is split."""

    title: str
    adapter: str = Field(description="module of xdcbench.data.datasets, or module:function")
    folder: Below = Field(description="folder below the data root")
    media: Literal["video", "audio", "image"]
    splits: tuple[Name, ...] = Field(description="names of the splits, in the data set's own terms")
    official: tuple[Name, ...] = Field(
        (), description="all official splits, where `splits` has only some of them"
    )
    options: dict[str, Any] = Field({}, description="what the adapter takes beyond the folder")
    counts: dict[Name, dict[Literal["train", "test"], int]] = Field(
        {}, description="items that the official lists name, by split and part; what `data verify` expects"
    )
    root: str | None = Field(None, description="folder of this data set; instead of the data root")
    subset: Subset = Subset()
    max_failed: float = Field(0.1, ge=0, le=1, description="share of unreadable items that fails a stage")
    licence: str = ""
    source: str = ""


class Factors(Config):
    """Strengths of the synthetic world's factors; 1 is the trial world, 0 takes a factor away."""

    motion: float = Field(1.0, ge=0, description="class: path of the disc")
    rhythm: float = Field(1.0, ge=0, description="class: events and vibrato of the tone")
    hue: float = Field(1.0, ge=0, description="class: shared colour; 0 draws the hue from the whole circle")
    pitch: float = Field(1.0, ge=0, description="class: shared pitch; 0 draws the pitch from the whole range")
    background: float = Field(
        1.0, ge=0, description="nuisance of the picture: colour and texture behind the disc"
    )
    camera: float = Field(
        1.0, ge=0, description="nuisance of the picture: drift of the whole scene, size, position"
    )
    hum: float = Field(1.0, ge=0, description="nuisance of the sound: a low hum")
    gain: float = Field(1.0, ge=0, description="nuisance of the sound: level and spectral tilt")
    noise: float = Field(1.0, ge=0, description="nuisance of both streams: white noise")


class World(Config):
    """A synthetic world: class-tied motion and sound, written as files in the layouts of real data sets.

    Counts are items per class. A data set with a count of 0 is not written.
    """

    seed: int = 0
    classes: int = Field(10, ge=2, le=13)
    size: int = Field(40, ge=16, multiple_of=2, description="side of the square picture, pixels")
    rate: int = Field(8, description="frames per second")
    seconds: float = Field(2.5, gt=0, description="length of a video")
    sample_rate: int = 16_000
    kinetics_train: int = 0
    kinetics_val: int = 0
    ucf101_groups: int = Field(
        0, description="groups per class, 2 videos each; a third of them test per split"
    )
    hmdb51_videos: int = Field(
        0, description="videos per class; 70/30 of them in each split, as in the original"
    )
    imagenet_train: int = 0
    imagenet_val: int = 0
    esc50_per_fold: int = Field(0, description="recordings of 5 s per class and fold, 5 folds")
    dcase_train: int = Field(0, description="recordings per class")
    dcase_test: int = 0
    dcase_seconds: float = Field(30.0, description="length of a DCASE recording")
    audioset_unbalanced: int = Field(0, description="segments per class of AudioSet's unbalanced list")
    audioset_balanced: int = 0
    audioset_eval: int = 0
    ig_random: int = Field(
        0, description="videos in all: classes as unequal as 1 / rank, every third video without a class"
    )
    ig_kinetics: int = 0
    factors: Factors = Factors()


# ------------------------------------------------------------------------------------ pretraining


class Clustering(Config):
    """One k-means per round, on the features of one encoder or of both, concatenated."""

    features: tuple[Modality, ...] = Field(min_length=1, max_length=2)
    k: int = Field(ge=2)


class Method(Config):
    """A method is data: where the labels of each encoder come from.

    ``heads`` lists, for each encoder, its label sources: names of ``clusterings``, or ``labels`` for
    the ground truth. An encoder without a list is not trained; a method without heads is an
    initialisation only.
    """

    title: str
    family: str = Field("", description="short note for tables")
    encoders: tuple[Modality, ...] = Field(("video", "audio"), description="encoders that the method yields")
    clusterings: dict[Name, Clustering] = {}
    heads: dict[Modality, tuple[Name, ...]] = {}

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        taken = {name for name in self.clusterings if name in ("labels", "id") or name.endswith(DISTANCE)}
        if taken:
            raise ValueError(
                f"a clustering may not be called {taken.pop()!r}, which stands for something else"
            )
        return self


class Schedule(Config):
    """SGD with Nesterov momentum, linear warm-up and steps or a cosine; restarted each round."""

    epochs: int = Field(45, ge=1)
    lr: float = Field(0.01, gt=0, description="per `batch` clips, after warm-up")
    warmup: float = Field(10, ge=0, description="epochs")
    decay: Literal["step", "cosine", "constant"] = "step"
    steps: tuple[float, ...] = Field((20, 30, 40), description="epochs at which the rate falls")
    gamma: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4


class Augment(Config):
    """Training-time augmentation; test time takes the centre crop, unflipped."""

    flip: bool = True
    crop: Literal["random", "centre"] = "random"
    time: Literal["random", "centre"] = "random"


class Saturation(Config):
    """When the validation loss of a round saturates: after ``patience`` epochs in a row without a gain.

    An epoch gains if its loss on held-out training items, summed over encoders and label sources, is below
    ``1 - min_gain`` times the lowest before; the round then ends, at the latest with ``schedule.epochs``.
    """

    patience: int = Field(3, ge=1, description="epochs in a row without a gain that end the round")
    min_gain: float = Field(0.01, ge=0, lt=1, description="least drop of the loss, as a share of the lowest")


class Pretrain(Config):
    """The loop of deep clustering: rounds of extract, cluster, train."""

    rounds: int = Field(10, ge=1)
    k: int | None = Field(None, ge=2, description="overrides the k of every clustering")
    batch: int = Field(32, ge=2, description="global batch, clips")
    schedule: Schedule = Schedule()
    augment: Augment = Augment()
    epoch_clips: int | None = Field(None, ge=1, description="clips per epoch; none: one per item")
    val_share: float = Field(0.05, ge=0, lt=1, description="share of items held out for the validation loss")
    preprocess: Literal["none", "l2", "pca_whiten_l2"] = "none"
    pca_dim: int = 256
    concat_l2: bool = Field(True, description="L2-normalise each modality before concatenating (CDC)")
    kmeans_iterations: int = Field(20, ge=1)
    kmeans_restarts: int = Field(1, ge=1)
    kmeans_tolerance: float = Field(
        0.0, ge=0, lt=1, description="share of items that may still change their cluster when k-means stops"
    )
    spherical: bool = Field(False, description="k-means of rows and centroids of unit length, by cosine")
    uniform: bool = Field(False, description="sample clips uniformly over pseudo-labels")
    fresh_heads: bool = Field(True, description="new heads each round")
    cluster_clip: Literal["centre", "random"] = Field(
        "centre", description="the clip of an item that is clustered"
    )
    max_failed: float = Field(0.1, ge=0, le=1)
    precision: Precision = "auto"
    saturation: Saturation | None = Field(
        None, description="ends a round before `schedule.epochs`; none: all epochs are trained"
    )

    @model_validator(mode="after")
    def _saturation_has_items(self) -> Self:
        if self.saturation and not self.val_share:
            raise ValueError("saturation needs held-out items: raise val_share above 0")
        return self


# ------------------------------------------------------------------------------------ evaluations


LAST_START = "start of the last clip, seconds, clamped to the item; none: the last that fits"
FRAMES = "frames per clip, in place of the encoder's own; video alone"
LAYER = "submodule whose mean output is the feature; empty: the encoder's own feature"


class Finetune(Config):
    """Full finetuning of one encoder and a new head; the last epoch counts, or the best on held-out items."""

    kind: Literal["finetune"] = "finetune"
    modality: Modality = "video"
    batch: int = Field(32, ge=2)
    schedule: Schedule = Schedule(
        epochs=12, lr=2.5e-4, warmup=2, steps=(6, 10), gamma=0.05, weight_decay=5e-3
    )
    head_lr: float = Field(2.5e-3, gt=0, description="rate of the head after warm-up")
    augment: Augment = Augment()
    clips: int = Field(10, ge=1, description="test clips or windows per item, evenly spaced")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    selection: Literal["last", "val-best"] = Field(
        "last", description="epoch that counts; val-best holds out part of the training items to choose it"
    )
    val_share: float = Field(0.1, gt=0, lt=1, description="share of training groups held out for val-best")
    precision: Precision = "auto"


class LinearProbe(Config):
    """Logistic regression on frozen features, standardised."""

    kind: Literal["linear_probe"] = "linear_probe"
    modality: Modality = "video"
    clips: int = Field(10, ge=1, description="clips or windows per item, evenly spaced")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    augmented: int = Field(0, ge=0, description="augmented clips that are learned from beside those")
    augment: Augment = Augment()
    layer: str = Field("", description=LAYER)
    solver: Literal["lbfgs", "sgd"] = "lbfgs"
    c: float = Field(1.0, gt=0, description="inverse L2 penalty (lbfgs)")
    max_iter: int = Field(1000, ge=1, description="iterations (lbfgs)")
    schedule: Schedule = Field(
        Schedule(epochs=30, lr=0.1, warmup=0, decay="cosine"), description="of the layer (sgd)"
    )
    batch: int = Field(256, ge=1, description="clips per step (sgd)")
    precision: Precision = "auto"


class LinearSVM(Config):
    """One-vs-all linear SVM on frozen audio features, C chosen inside the training part."""

    kind: Literal["linear_svm"] = "linear_svm"
    modality: Literal["audio"] = "audio"
    clips: int = Field(10, ge=1, description="windows per recording, evenly spaced")
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    cs: tuple[PositiveFloat, ...] = Field((1e-4, 1e-3, 1e-2, 1e-1, 1.0), min_length=1)
    inner_folds: int = Field(4, ge=2)
    max_iter: int = Field(5000, ge=1, description="Newton steps for each C")
    precision: Precision = "auto"


class Retrieval(Config):
    """Nearest training items of each test item by cosine of mean features; recall is of the class."""

    kind: Literal["retrieval"] = "retrieval"
    modality: Modality = "video"
    clips: int = Field(10, ge=1, description="clips or windows per item, evenly spaced, averaged")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    ks: tuple[int, ...] = Field((1, 5, 10, 20), min_length=1, description="depths of recall")
    precision: Precision = "auto"


class CrossRetrieval(Config):
    """Training items of the other modality by the cluster that an encoder's head takes a test item for."""

    kind: Literal["cross_retrieval"] = "cross_retrieval"
    modality: Modality = Field("video", description="of the queries; the gallery is of the other one")
    clips: int = Field(10, ge=1, description="clips or windows per query, evenly spaced, mean softmax")
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    clustering: str = Field("", description="clustering of the other modality; empty: the only one")
    ks: tuple[int, ...] = Field((1, 5, 10, 20), min_length=1, description="depths of recall")
    precision: Precision = "auto"


class LowShot(Config):
    """Linear probes that learn from few training items, several draws of them."""

    kind: Literal["low_shot"] = "low_shot"
    modality: Modality = "video"
    clips: int = Field(10, ge=1, description="clips or windows per item, evenly spaced")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    per_class: tuple[int, ...] = Field((1, 5, 20), description="training items of each class")
    shares: tuple[float, ...] = Field((0.01, 0.1), description="shares of the training items, by class")
    draws: int = Field(5, ge=1)
    c: float = Field(1.0, gt=0, description="inverse L2 penalty")
    max_iter: int = Field(1000, ge=1)
    precision: Precision = "auto"


class Clusters(Config):
    """k-means on the mean features of test items, compared with their classes."""

    kind: Literal["clusters"] = "clusters"
    modality: Modality = "video"
    clips: int = Field(1, ge=1, description="clips or windows per item, evenly spaced, averaged")
    frames: int | None = Field(None, ge=1, description=FRAMES)
    last_start: float | None = Field(None, ge=0, description=LAST_START)
    layer: str = Field("", description=LAYER)
    k: int | None = Field(None, ge=2, description="clusters; none: as many as classes")
    preprocess: Literal["none", "l2", "pca_whiten_l2"] = "l2"
    pca_dim: int = 256
    iterations: int = Field(50, ge=1)
    restarts: int = Field(5, ge=1)
    precision: Precision = "auto"


OnFeatures = LinearProbe | LinearSVM | Retrieval | LowShot | Clusters
"""Evaluations of a frozen encoder; those with equal clips and layer share its features."""

Evaluation = Annotated[Finetune | CrossRetrieval | OnFeatures, Field(discriminator="kind")]


# ---------------------------------------------------------------------------- encoders from elsewhere


class GivenVideo(Config):
    """A video encoder that is not trained by the suite."""

    source: str = Field(
        "r2plus1d", description="r2plus1d: this project's, by `model`; torchvision:NAME; or module:object"
    )
    weights: str | None = Field(
        None,
        description="safetensors or torch file, or a name of `list weights`; with torchvision:NAME also a name of "
        "its weights",
    )
    model: VideoModel = Field(
        VideoModel(), description="its `input` also declares what a model of torchvision takes"
    )


class GivenAudio(Config):
    """An audio encoder that is not trained by the suite."""

    source: str = Field("resnet", description="resnet: this project's, by `model`; or module:object")
    weights: str | None = Field(None, description="safetensors or torch file")
    model: AudioModel = AudioModel()


class Given(Config):
    """Encoders that are measured as they are: of an earlier run, of files, of torchvision, of the user."""

    title: str = ""
    pretrain_data: str = Field(
        "none", description="what they have learned from, for the tables; of released weights it is known"
    )
    run: str | None = Field(
        None, description="run directory of this suite's encoders, or exported folder; instead of the others"
    )
    video: GivenVideo | None = None
    audio: GivenAudio | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        parts = self.video or self.audio
        if bool(self.run) == bool(parts):
            raise ValueError("give either `run`, or `video` and `audio` or one of them")
        return self


# ------------------------------------------------------------------------------------------ suite


class Pretraining(Config):
    """A group of methods on one pretraining set."""

    methods: tuple[Name, ...]
    data: Name | None = Field(None, description="name of a data set; none for methods without training")
    split: Literal["train", "test"] = Field("train", description="part of the data set that is learned from")
    settings: dict[str, Any] = Field({}, description="changes of the suite's `pretrain` for this group")
    evaluations: tuple[Name, ...] = Field(
        (), description="evaluations of `measure` that this group is measured by; none: all"
    )


class Measurement(Config):
    """One evaluation on some splits of one data set, for every encoder that fits."""

    evaluation: Name
    dataset: Name
    splits: tuple[Name, ...]
    settings: dict[str, Any] = Field({}, description="changes of the evaluation's settings on this data set")


class Suite(Config):
    """Methods x pretraining data x evaluations x splits x seeds."""

    name: Name
    description: str = ""
    seeds: tuple[NonNegativeInt, ...] = Field((0,), min_length=1)
    world: World | None = Field(None, description="the synthetic world to write; none: the user's data root")
    models: Models = Models()
    pretrain: Pretrain = Pretrain()
    methods: dict[Name, Method]
    encoders: dict[Name, Given] = Field({}, description="measured beside the methods, by name")
    datasets: dict[Name, Dataset]
    evaluations: dict[Name, Evaluation]
    pretraining: tuple[Pretraining, ...]
    measure: tuple[Measurement, ...]
    tables: tuple[str, ...]
    parts: tuple["Suite", ...] = Field(
        (), description="suites that are run as one; what they name is gathered above, and they run it"
    )

    @property
    def leaves(self) -> tuple["Suite", ...]:
        """The suites that say what to run: the parts, or the suite itself."""
        return self.parts or (self,)


# ----------------------------------------------------------------------------------------- tables


class Column(Config):
    """A column of a table: which records it holds and which published rows may stand under it.

    Measured and published numbers stand under one column only where protocol, data set, split and
    frames agree; the published rows are matched on exactly these fields.
    """

    title: str
    evaluation: str = Field(description="name of the evaluation, as in a record")
    protocol: str = Field("", description="finetune, linear_probe, linear_svm: as in published.csv")
    dataset: str = ""
    split: str = Field("", description="a split, or mean for the mean over all of a data set's splits")
    frames: int | None = Field(None, description="frames per clip; none: any, published: none stated")
    metric: str = "top1"
    factors: dict[str, Any] = {}


class Chart(Config):
    """A table drawn: one panel per column, a line for rows that agree in all labels but one, a number."""

    x: str = Field(description="field among the table's `rows` that holds numbers")
    title: str = Field(description="of that axis")
    log: bool = False


class Table(Config):
    """A table of the paper or of this project, as data."""

    title: str
    rows: tuple[str, ...] = Field(("method", "pretrain_data"), description="record fields that name a row")
    methods: tuple[str, ...] = Field((), description="order of methods; others follow by name")
    data: tuple[str, ...] = Field((), description="order of pretraining data, below that of methods")
    where: dict[str, tuple[Any, ...]] = Field({}, description="values that a record's fields may take")
    columns: tuple[Column, ...] = Field(min_length=1)
    published: tuple[str, ...] = Field(
        (), description="ids of published rows, or table:N for all of one table"
    )
    footnotes: tuple[str, ...] = ()
    figure: Chart | None = Field(None, description="how the table is also drawn")

    @model_validator(mode="after")
    def _chart_has_its_field(self) -> Self:
        if self.figure and self.figure.x not in self.rows:
            raise ValueError(f"figure: x is {self.figure.x!r}; name one of `rows`: {', '.join(self.rows)}")
        return self
