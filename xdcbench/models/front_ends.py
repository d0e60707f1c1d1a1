"""From samples to what peers' audio encoders take. Each front end gives what its authors' code gives."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from xdcbench.config.front_ends import DecibelSpectrogram, FrontEnd, LogFilterbank, SlaneyLogMel
from xdcbench.config.models import Waveform

FLOOR = 1e-10
"""Power below which librosa counts no decibels."""

STD_FLOOR = 1e-5
"""Added to AVID's deviations."""

EPS64, EPS32 = torch.finfo(torch.float64).eps, torch.finfo(torch.float32).eps


def front_end(spec: FrontEnd, declared: Waveform) -> nn.Module:
    """The front end of these constants, on windows as declared."""
    if isinstance(spec, LogFilterbank):
        return LogFilterbankFrames(spec, declared)
    if isinstance(spec, SlaneyLogMel):
        return SlaneyLogMelFrames(spec, declared)
    return DecibelFrames(spec, declared)


def triangles(n_mels: int, n_fft: int, sample_rate: int) -> Tensor:
    """Triangular filters whose corners are whole bins, as python_speech_features has them.

    A filter whose corners fall on one bin is empty.

    Returns:
        float32 (n_fft // 2 + 1, n_mels).
    """
    highest = 2595 * torch.tensor(1 + sample_rate / 2 / 700, dtype=torch.float64).log10()
    corners = 700 * (10 ** (torch.linspace(0, 1, n_mels + 2, dtype=torch.float64) * highest / 2595) - 1)
    left, center, right = ((n_fft + 1) * corners / sample_rate).floor().unfold(0, 3, 1).T
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - left) / (center - left)
    falling = (right - bins) / (right - center)
    found = torch.where((left <= bins) & (bins < center), rising, 0.0)
    return torch.where((center <= bins) & (bins < right), falling, found).float()


class LogFilterbankFrames(nn.Module):
    """Log filterbank of frames without a window function, as GDT and SeLaVi take it.

    Source: GDT ``datasets/audio_utils.py``, ``logfbank`` of python_speech_features.
    """

    filters: Tensor

    def __init__(self, spec: LogFilterbank, declared: Waveform) -> None:
        super().__init__()
        self.spec = spec
        filters = triangles(spec.n_mels, spec.n_fft, declared.sample_rate)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Float32 (B, samples) to float32 (B, 1, n_mels, frames)."""
        spec = self.spec
        with torch.autocast(wave.device.type, enabled=False):
            samples = wave.float() * spec.scale
            raised = torch.cat([samples[:, :1], samples[:, 1:] - spec.preemphasis * samples[:, :-1]], dim=1)
            beyond = (spec.win_length - raised.shape[1]) % spec.hop_length
            frames = functional.pad(raised, (0, beyond)).unfold(1, spec.win_length, spec.hop_length)
            spectrum = torch.fft.rfft(frames, spec.n_fft)
            power = (spectrum.real.square() + spectrum.imag.square()) / spec.n_fft
            energy = power @ self.filters
            level = torch.where(energy == 0, EPS64, energy).log()
            return ((level - spec.mean) / spec.std).transpose(1, 2)[:, None]


class DecibelFrames(nn.Module):
    """Power spectrogram in dB, time x frequency, as AVID takes it; its statistics are loaded with the weights.

    Source: AVID-CMA ``datasets/preprocessing.py``, ``LogSpectrogram``.
    """

    window: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, spec: DecibelSpectrogram, declared: Waveform) -> None:
        super().__init__()
        self.spec = spec
        self.frames = declared.samples // spec.hop_length
        self.register_buffer("window", torch.hann_window(spec.n_fft), persistent=False)
        self.register_buffer("mean", torch.zeros(spec.bins))
        self.register_buffer("std", torch.ones(spec.bins))

    def forward(self, wave: Tensor) -> Tensor:
        """Float32 (B, samples) to float32 (B, 1, frames, bins)."""
        with torch.autocast(wave.device.type, enabled=False):
            power = _power(wave, self.spec.n_fft, self.spec.hop_length, self.window)
            pairs = power[:, 1:].unflatten(1, (-1, 2)).mean(dim=2)
            power = torch.cat([power[:, :1], pairs], dim=1)[..., : self.frames]
            level = 10 * power.clamp_min(FLOOR).log10()
            level = level.maximum(level.amax(dim=(1, 2), keepdim=True) - self.spec.top_db)
            return ((level.transpose(1, 2) - self.mean) / (self.std + STD_FLOOR))[:, None]


class SlaneyLogMelFrames(nn.Module):
    """Log-mel spectrogram on Slaney's filters, as CrissCross takes it.

    Source: CrissCross ``audiotransforms/to_spec.py`` and ``augmentations/audio_augmentations.py``.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, spec: SlaneyLogMel, declared: Waveform) -> None:
        super().__init__()
        from torchaudio.functional import melscale_fbanks  # not needed to plan

        self.spec = spec
        filters = melscale_fbanks(
            spec.n_fft // 2 + 1,
            0.0,
            declared.sample_rate / 2,
            spec.n_mels,
            declared.sample_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(spec.n_fft), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Float32 (B, samples) to float32 (B, 1, n_mels, frames)."""
        spec = self.spec
        with torch.autocast(wave.device.type, enabled=False):
            power = _power(wave, spec.n_fft, spec.hop_length, self.window) + EPS64
            energy = (power.transpose(1, 2) @ self.filters).transpose(1, 2)
            return (((energy + EPS32).log() - spec.mean) / spec.std)[:, None]


def _power(wave: Tensor, n_fft: int, hop_length: int, window: Tensor) -> Tensor:
    """Power spectrum of centered frames, the window mirrored at its ends: (B, samples) to (B, bins, frames)."""
    spectrum = torch.stft(
        wave.float(), n_fft, hop_length, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    return spectrum.real.square() + spectrum.imag.square()
