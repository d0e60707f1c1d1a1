"""Log-mel spectrograms as VMZ computes them (protocol.md, "Inputs"; constants in ``AudioInput``)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from xdcbench.config.models import AudioInput


def mel_filters(spec: AudioInput) -> Tensor:
    """Kaldi's triangular filters, evenly spaced on mel = 1127 ln(1 + f / 700), each scaled to sum 1.

    A filter too narrow to hold a bin of the spectrum takes the bin nearest to its center.

    Returns:
        float32 (n_fft // 2 + 1, n_mels).
    """
    from torchaudio.compliance.kaldi import get_mel_banks, mel_scale  # not needed to plan

    no_warp = (100.0, -500.0, 1.0)
    filters, centers = get_mel_banks(
        spec.n_mels, spec.n_fft, spec.sample_rate, spec.f_min, spec.f_max, *no_warp
    )
    filters = functional.pad(filters, (0, 1)).T  # Kaldi leaves out the bin at half the sample rate
    bins = torch.arange(len(filters)) * spec.sample_rate / spec.n_fft
    distance = (mel_scale(bins)[:, None] - mel_scale(centers.flatten())).abs()
    nearest = functional.one_hot(distance.argmin(0), len(filters)).T
    filters = torch.where(filters.sum(0) > 0, filters, nearest.to(filters))
    return filters / filters.sum(0)


class LogMel(nn.Module):
    """Waveform to normalized log-mel spectrogram.

    Frame t is centered on sample t * hop + hop / 2: each frame stands for one hop of audio, and the frames
    tile the window. Audio that a frame needs beyond the window is silence.
    """

    def __init__(self, spec: AudioInput) -> None:
        super().__init__()
        self.spec = spec
        self.window: Tensor
        self.filters: Tensor
        self.register_buffer("window", torch.hann_window(spec.n_fft), persistent=False)
        self.register_buffer("filters", mel_filters(spec), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Float32 (B, samples) to float32 (B, 1, mels, frames), in fp32 under autocast, too.

        Samples beyond ``spec.frames`` hops are not looked at; missing ones are silence.
        """
        spec = self.spec
        before = (spec.n_fft - spec.hop_length) // 2
        length = (spec.frames - 1) * spec.hop_length + spec.n_fft
        with torch.autocast(wave.device.type, enabled=False):
            right = max(0, length - before - wave.shape[-1])
            framed = functional.pad(wave.float(), (max(before, 0), right))[:, max(-before, 0) :][:, :length]
            spectrum = torch.stft(
                framed,
                n_fft=spec.n_fft,
                hop_length=spec.hop_length,
                window=self.window,
                center=False,
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            energy = torch.matmul(power.transpose(1, 2), self.filters).transpose(1, 2) * spec.gain
            level = torch.where(energy > math.e, energy.clamp_min(math.e).log(), energy / math.e)
            return ((level - spec.mean) / spec.std)[:, None]
