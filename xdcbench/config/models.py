"""Encoders: the ones that a suite trains, and pretrained ones."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from xdcbench.config.base import Config, Modality
from xdcbench.config.front_ends import FrontEnd
from xdcbench.errors import UserError


class VideoInput(Config):
    """The clip that a video encoder declares; whoever feeds the encoder obeys it."""

    frames: int = Field(8, ge=1, description="frames per clip")
    size: int = Field(112, ge=8, description="side of the square crop, pixels")
    fps: float = Field(30.0, gt=0, description="frames per second")
    short_side: tuple[int, int] = Field((128, 160), description="range of the short side in training, pixels")
    mean: tuple[float, float, float] = Field(
        (0.43216, 0.394666, 0.37645),
        description="of red, green and blue, which is subtracted; full scale is 1",
    )
    std: tuple[float, float, float] = Field(
        (0.22803, 0.22145, 0.216989), description="of red, green and blue, by which is divided"
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if not self.size <= self.short_side[0] <= self.short_side[1]:
            raise ValueError(f"short_side {self.short_side} must be a range from size {self.size} upwards")
        return self

    @property
    def seconds(self) -> float:
        """Length of a clip, seconds."""
        return self.frames / self.fps

    def at_rate(self, rate: float) -> Self:
        """The clip with its frames per second multiplied by ``rate``; the number of frames stays."""
        return self.model_copy(update={"fps": self.fps * rate})

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a prepared clip."""
        return 3, self.frames, self.size, self.size


class AudioInput(Config):
    """The log-mel window that an audio encoder declares (VMZ's constants, 2 s over 100 frames)."""

    sample_rate: int = Field(16_000, gt=0, description="samples per second, mono")
    seconds: float = Field(2.0, gt=0, description="length of a window")
    n_fft: int = Field(256, gt=0, multiple_of=2, description="Hann window and FFT length, samples")
    hop_length: int = Field(320, description="step between frames, samples")
    n_mels: int = Field(40, ge=4, description="triangular filters")
    f_min: float = Field(0.0, ge=0, description="lowest frequency of the filters, Hz")
    f_max: float = Field(8000.0, description="highest frequency of the filters, Hz")
    gain: float = Field(1080674186.35, description="power is multiplied by this before the logarithm")
    mean: float = Field(0.0, description="which is subtracted from log-mel values")
    std: float = Field(1.0, description="by which log-mel values are divided")

    @model_validator(mode="after")
    def _band(self) -> Self:
        if not self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(
                f"f_max {self.f_max:g} must be above f_min {self.f_min:g} and at most half of sample_rate"
            )
        return self

    @property
    def frames(self) -> int:
        """Spectrogram frames per window."""
        return round(self.seconds * self.sample_rate / self.hop_length)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a prepared window."""
        return 1, self.n_mels, self.frames

    @property
    def samples(self) -> int:
        """Of a window as it is read."""
        return round(self.seconds * self.sample_rate)


class Waveform(Config):
    """The window that an audio encoder of raw samples declares: float32 (samples,), mono, full scale 1.

    The reader averages the channels and resamples to ``sample_rate``; outside the track there is silence.
    """

    kind: Literal["waveform"] = Field("waveform", description="tells it from log-mel in files")
    sample_rate: int = Field(gt=0, description="samples per second")
    seconds: float = Field(gt=0, description="length of a window")

    @model_validator(mode="after")
    def _holds_samples(self) -> Self:
        if not self.samples:
            raise ValueError(f"{self.seconds:g} s at {self.sample_rate} Hz hold no sample")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a prepared window."""
        return (self.samples,)

    @property
    def samples(self) -> int:
        """Of a window as it is read."""
        return round(self.seconds * self.sample_rate)


Window = AudioInput | Waveform
"""What an audio encoder may declare; both say at which rate and for how long the reader cuts."""

Input = VideoInput | AudioInput | Waveform
"""What an encoder may declare."""

LOG_MEL, WAVEFORM = WINDOW_KINDS = ("log-mel", "waveform")
"""Tags of the two kinds of window in files; a file without `kind` means log-mel."""


def _window_kind(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", "")
    return WAVEFORM if kind == WAVEFORM else LOG_MEL


class VideoModel(Config):
    """R(2+1)D: width, depth and the stem's stride are parameters of the one class."""

    width: int = Field(64, ge=4, description="channels of the first stage; doubles at each later one")
    blocks: tuple[int, int, int, int] = Field((2, 2, 2, 2), description="basic blocks per stage")
    stem_stride: int = Field(2, ge=1, le=2, description="spatial stride of the stem")
    bn_momentum: float = Field(0.1, description="weight of the new batch; 0.9 reproduces the released code")
    input: VideoInput = Field(VideoInput(), description="the clip that it takes")

    def with_frames(self, frames: int | None) -> Self:
        """The encoder when it is fed ``frames`` per clip; None leaves it what it declares.

        R(2+1)D averages over time, so it takes clips of any length (tables 6 and 7: pretrained on 8 frames,
        finetuned on 32).
        """
        if frames is None:
            return self
        return self.model_copy(update={"input": self.input.model_copy(update={"frames": frames})})


class AudioModel(Config):
    """VMZ's audio ResNet-18 on log-mel spectrograms, or a peer's encoder on what its front end gives."""

    width: int = Field(64, ge=4, description="channels of the first of the four stages")
    blocks: tuple[int, int, int, int] = Field((2, 2, 2, 2), description="basic blocks per stage")
    bn_momentum: float = Field(0.1, description="weight of the new batch")
    input: Annotated[
        Annotated[AudioInput, Tag(LOG_MEL)] | Annotated[Waveform, Tag(WAVEFORM)], Discriminator(_window_kind)
    ] = Field(AudioInput(), description="the window that it takes")
    front_end: FrontEnd | None = Field(None, description="of a peer's encoder, which declares a waveform")

    @property
    def log_mel(self) -> AudioInput:
        """The input of an encoder that takes log-mel spectrograms, as this project's own does.

        Raises:
            UserError: it is a waveform, which only the code of an encoder of others declares.
        """
        if isinstance(self.input, Waveform):
            raise UserError(
                "this project's audio encoders take log-mel spectrograms, and an input of kind 'waveform' was given. "
                "Try: leave out `kind`; an encoder of module:object declares a Waveform in its own code"
            )
        return self.input


class Models(Config):
    """The pair of encoders that a suite trains."""

    video: VideoModel = Field(VideoModel(), description="R(2+1)D")
    audio: AudioModel = Field(AudioModel(), description="ResNet on log-mel spectrograms")

    @property
    def by_modality(self) -> dict[Modality, VideoModel | AudioModel]:
        """Both of them."""
        return {"video": self.video, "audio": self.audio}


class PretrainedVideo(Config):
    """A video encoder that is not trained by the suite."""

    source: str = Field(
        "r2plus1d", description="r2plus1d: this project's, by `model`; torchvision:NAME; or module:object"
    )
    weights: str | None = Field(
        None,
        description="safetensors or torch file, or a name of `list weights`; with torchvision:NAME also a name of "
        "its weights",
    )
    file: str | None = Field(
        None, description="path of the file of the released weights that `weights` names; default: downloaded"
    )
    model: VideoModel = Field(
        VideoModel(), description="its `input` also declares what a model of torchvision takes"
    )


class PretrainedAudio(Config):
    """An audio encoder that is not trained by the suite."""

    source: str = Field(
        "resnet",
        description="resnet: this project's, by `model`; mfcc: statistics of MFCCs, by its `input`; or module:object",
    )
    weights: str | None = Field(None, description="safetensors or torch file, or a name of `list weights`")
    file: str | None = Field(
        None, description="path of the file of the released weights that `weights` names; default: downloaded"
    )
    model: AudioModel = Field(AudioModel(), description="its width, depth and `input`")


class PretrainedEncoders(Config):
    """Encoders that are measured as they are: of an earlier run, of files, of torchvision, of the user."""

    title: str = Field("", description="in tables; empty: its name")
    pretrain_data: str = Field(
        "none", description="what they have learned from, for the tables; of released weights it is known"
    )
    run: str | None = Field(
        None, description="run directory of this suite's encoders, or exported folder; instead of the others"
    )
    video: PretrainedVideo | None = Field(None, description="the video encoder; none: it has none")
    audio: PretrainedAudio | None = Field(None, description="the audio encoder; none: it has none")

    @property
    def by_modality(self) -> dict[Modality, PretrainedVideo | PretrainedAudio]:
        """Those of ``video`` and ``audio`` that are given."""
        parts: dict[Modality, PretrainedVideo | PretrainedAudio | None]
        parts = {"video": self.video, "audio": self.audio}
        return {modality: part for modality, part in parts.items() if part}

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        parts = self.video or self.audio
        if bool(self.run) == bool(parts):
            raise ValueError("give either `run`, or `video` and `audio` or one of them")
        return self
