"""The reference that ESC-50's author published: statistics of MFCCs and of zero crossings, nothing learned."""

import torch
from torch import Tensor, nn

from xdcbench.config.models import AudioInput

COEFFICIENTS = 12
"""Without the 0th, which is the loudness (Piczak 2015, section 4)."""


class MFCCStatistics(nn.Module):
    """Means and deviations over a window of 12 MFCCs and of the rate of zero crossings (Piczak 2015).

    MFCCs are those of torchaudio on librosa's filters: Slaney's mel scale, power in dB down to 80 below the loudest.
    ``declared.n_fft``, ``hop_length`` and ``n_mels`` say how; a frame of zero crossings is one hop.
    """

    features = 2 * (COEFFICIENTS + 1)

    def __init__(self, declared: AudioInput) -> None:
        super().__init__()
        from torchaudio.transforms import MFCC  # not needed to plan

        self.hop_length = declared.hop_length
        self.mfcc = MFCC(
            sample_rate=declared.sample_rate,
            n_mfcc=COEFFICIENTS + 1,
            melkwargs={
                "n_fft": declared.n_fft,
                "hop_length": declared.hop_length,
                "n_mels": declared.n_mels,
                "f_min": declared.f_min,
                "f_max": declared.f_max,
                "mel_scale": "slaney",
                "norm": "slaney",
            },
        )

    def forward(self, wave: Tensor) -> Tensor:
        """Float32 (B, samples) to float32 (B, 26): 12 means and the mean rate, then as many deviations."""
        with torch.autocast(wave.device.type, enabled=False):
            # One by one: the 80 dB count from the loudest of a batch.
            coefficients = torch.stack([self.mfcc(one)[1:] for one in wave.float()])
            frames = torch.cat([coefficients, self.zero_crossings(wave.float())[:, None]], dim=1)
            return torch.cat([frames.mean(dim=2), frames.std(dim=2, correction=0)], dim=1)

    def zero_crossings(self, wave: Tensor) -> Tensor:
        """Share of neighboring samples that differ in sign, a touch of 0 counts half: (B, samples) to (B, frames).

        There are as many frames as of the MFCCs; the last of them is silent beyond the window.
        """
        frames = 1 + wave.shape[1] // self.hop_length
        padded = nn.functional.pad(wave, (0, frames * self.hop_length - wave.shape[1]))
        signs = padded.unflatten(1, (frames, self.hop_length)).sign()
        rates: Tensor = (signs.diff(dim=2).abs() / 2).mean(dim=2)
        return rates
