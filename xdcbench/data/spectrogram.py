"""Log-mel spectrograms as VMZ computes them (protocol.md, "Inputs"; constants in ``AudioInput``)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from xdcbench.schema import AudioInput


def mel_filters(spec: AudioInput) -> Tensor:
    """Triangular filters, evenly spaced on mel = 1127 ln(1 + f / 700), each of sum 1.

    A filter too narrow to hold a bin of the spectrum takes the bin nearest to its centre.

    Returns:
        float32 (window // 2 + 1, mels).
    """
    bins = torch.arange(spec.window // 2 + 1, dtype=torch.float64) * spec.rate / spec.window
    low, high = (1127 * math.log1p(f / 700) for f in (spec.fmin, spec.fmax))
    edges = torch.linspace(low, high, spec.mels + 2, dtype=torch.float64)
    mel = 1127 * torch.log1p(bins / 700)
    rising = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rising, falling).clamp_min(0)
    nearest = functional.one_hot((mel[:, None] - edges[1:-1]).abs().argmin(0), len(bins)).T
    filters = torch.where(filters.sum(0) > 0, filters, nearest.to(filters))
    return (filters / filters.sum(0)).float()


class LogMel(nn.Module):
    """Waveform to normalised log-mel spectrogram.

    Frame t is centred on sample t * hop + hop / 2: each frame stands for one hop of sound, and the frames
    tile the window. Sound that a frame needs beyond the window is silence.

    Args:
        spec: what the audio encoder declares.
    """

    def __init__(self, spec: AudioInput) -> None:
        super().__init__()
        self.spec = spec
        self.window: Tensor
        self.filters: Tensor
        self.register_buffer("window", torch.hann_window(spec.window), persistent=False)
        self.register_buffer("filters", mel_filters(spec), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Float32 (B, samples) to float32 (B, 1, mels, frames), in fp32 under autocast, too.

        Samples beyond ``spec.frames`` hops are not looked at; missing ones are silence.
        """
        spec = self.spec
        before = (spec.window - spec.hop) // 2
        length = (spec.frames - 1) * spec.hop + spec.window
        with torch.autocast(wave.device.type, enabled=False):
            right = max(0, length - before - wave.shape[-1])
            framed = functional.pad(wave.float(), (max(before, 0), right))[:, max(-before, 0) :][:, :length]
            spectrum = torch.stft(
                framed,
                n_fft=spec.window,
                hop_length=spec.hop,
                window=self.window,
                center=False,
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            energy = torch.matmul(power.transpose(1, 2), self.filters).transpose(1, 2) * spec.gain
            level = torch.where(energy > math.e, energy.clamp_min(math.e).log(), energy / math.e)
            return ((level - spec.mean) / spec.std)[:, None]
