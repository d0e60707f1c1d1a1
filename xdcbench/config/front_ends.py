"""What peers' audio encoders make of samples: a front end by its name and constants."""

from typing import Annotated, Literal

from pydantic import Field

from xdcbench.config.base import Config


class LogFilterbank(Config):
    """Log mel filterbank of python_speech_features, as GDT and SeLaVi take it."""

    kind: Literal["log_filterbank"] = "log_filterbank"
    n_fft: int = Field(1024, gt=0, multiple_of=2, description="FFT length, samples")
    win_length: int = Field(480, gt=0, description="samples of a frame, without a window function")
    hop_length: int = Field(240, gt=0, description="step between frames, samples")
    n_mels: int = Field(40, ge=1, description="triangular filters from 0 Hz to half the sample rate")
    preemphasis: float = Field(0.97, description="share of the sample before that is subtracted")
    scale: float = Field(32_768.0, gt=0, description="samples of full scale 1 are multiplied by this")
    mean: float = Field(0.0, description="which is subtracted")
    std: float = Field(1.0, gt=0, description="by which is divided")


class DecibelSpectrogram(Config):
    """Power spectrogram in dB, neighboring bins averaged in pairs, normalized per bin, as AVID takes it."""

    kind: Literal["decibel_spectrogram"] = "decibel_spectrogram"
    n_fft: int = Field(1024, gt=0, multiple_of=4, description="Hann window and FFT length, samples")
    hop_length: int = Field(240, gt=0, description="step between frames, samples")
    top_db: float = Field(100.0, gt=0, description="dB below the loudest value that are kept")

    @property
    def bins(self) -> int:
        """Values per frame: the first bin, and one for each two of the others."""
        return self.n_fft // 4 + 1


class SlaneyLogMel(Config):
    """Log-mel spectrogram on librosa's filters, as CrissCross takes it."""

    kind: Literal["slaney_log_mel"] = "slaney_log_mel"
    n_fft: int = Field(1024, gt=0, multiple_of=2, description="Hann window and FFT length, samples")
    hop_length: int = Field(160, gt=0, description="step between frames, samples")
    n_mels: int = Field(80, ge=1, description="filters from 0 Hz to half the sample rate")
    mean: float = Field(0.0, description="which is subtracted")
    std: float = Field(1.0, gt=0, description="by which is divided")


FrontEnd = Annotated[LogFilterbank | DecibelSpectrogram | SlaneyLogMel, Field(discriminator="kind")]
