"""Front ends of peers' audio encoders against torchaudio's own functions and a filterbank written in loops."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchaudio.transforms import AmplitudeToDB, MelSpectrogram, Spectrogram

from xdcbench.config.front_ends import DecibelSpectrogram, LogFilterbank, SlaneyLogMel
from xdcbench.config.models import Waveform
from xdcbench.models.front_ends import DecibelFrames, LogFilterbankFrames, front_end


def waves(samples: int) -> Tensor:
    """A tone with noise, and a quieter noise: float32 (2, samples)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, samples, generator=generator)
    tone = torch.sin(torch.arange(samples) * 0.3)
    return torch.stack([0.4 * tone + 0.01 * noise[0], 1e-3 * noise[1]])


def logfbank(samples: Tensor, rate: int, n_mels: int) -> np.ndarray:
    """The published recipe in loops, in double precision: 20 ms frames every 10 ms, FFT of 1024."""
    signal = samples.double().numpy() * 32768
    raised = np.append(signal[0], signal[1:] - 0.97 * signal[:-1])
    length, step = round(0.02 * rate), round(0.01 * rate)
    count = 1 + math.ceil((len(raised) - length) / step)
    raised = np.append(raised, np.zeros((count - 1) * step + length - len(raised)))
    power = np.stack(
        [np.abs(np.fft.rfft(raised[i * step : i * step + length], 1024)) ** 2 / 1024 for i in range(count)]
    )
    corners = np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), n_mels + 2)
    bins = np.floor(1025 * 700 * (10 ** (corners / 2595) - 1) / rate).astype(int)
    bank = np.zeros((n_mels, 513))
    for m in range(n_mels):
        for i in range(bins[m], bins[m + 1]):
            bank[m, i] = (i - bins[m]) / (bins[m + 1] - bins[m])
        for i in range(bins[m + 1], bins[m + 2]):
            bank[m, i] = (bins[m + 2] - i) / (bins[m + 2] - bins[m + 1])
    energy = power @ bank.T
    return np.log(np.where(energy == 0, np.finfo(float).eps, energy)).T


@pytest.mark.parametrize("n_mels", [40, 257])
def test_log_filterbank_is_the_published_recipe(n_mels: int) -> None:
    given = waves(24_000)
    spec = LogFilterbank(n_mels=n_mels, mean=1.93, std=17.89)
    found = front_end(spec, Waveform(sample_rate=24_000, seconds=1.0))(given)
    assert found.shape == (2, 1, n_mels, 99)
    expected = np.stack([(logfbank(wave, 24_000, n_mels) - 1.93) / 17.89 for wave in given])
    np.testing.assert_allclose(found[:, 0].numpy(), expected, atol=2e-3)


def test_a_last_frame_is_completed_with_silence() -> None:
    given = waves(24_100)
    declared = Waveform(sample_rate=24_000, seconds=24_100 / 24_000)
    found = LogFilterbankFrames(LogFilterbank(), declared)(given)
    assert found.shape == (2, 1, 40, 100)
    np.testing.assert_allclose(found[0, 0].numpy(), logfbank(given[0], 24_000, 40), atol=2e-3)


def test_silence_has_finite_levels() -> None:
    found = LogFilterbankFrames(LogFilterbank(), Waveform(sample_rate=24_000, seconds=1.0))(
        torch.zeros(1, 24_000)
    )
    torch.testing.assert_close(found, torch.full_like(found, math.log(2**-52)))


def test_decibels_are_torchaudios_of_bins_averaged_in_pairs() -> None:
    given = waves(48_000)
    net = DecibelFrames(DecibelSpectrogram(), Waveform(sample_rate=24_000, seconds=2.0))
    net.mean.copy_(torch.linspace(-40, 0, 257))
    net.std.copy_(torch.linspace(5, 20, 257))
    power = Spectrogram(n_fft=1024, hop_length=240, power=2.0)(given)[:, :, :200]
    pairs = torch.cat([power[:, :1], (power[:, 1::2] + power[:, 2::2]) / 2], dim=1)
    level = torch.stack([AmplitudeToDB("power", top_db=100)(one[None])[0] for one in pairs])
    expected = (level.transpose(1, 2) - net.mean) / (net.std + 1e-5)
    found = net(given)
    assert found.shape == (2, 1, 200, 257)
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_decibels_of_a_window_do_not_depend_on_its_batch() -> None:
    given = waves(48_000)
    net = DecibelFrames(DecibelSpectrogram(), Waveform(sample_rate=24_000, seconds=2.0))
    torch.testing.assert_close(net(given)[1:], net(given[1:]))


def test_slaney_log_mel_is_torchaudios() -> None:
    given = waves(32_000)
    spec = SlaneyLogMel(mean=-5.3688107, std=4.410007)
    found = front_end(spec, Waveform(sample_rate=16_000, seconds=2.0))(given)
    mel = MelSpectrogram(16_000, n_fft=1024, hop_length=160, n_mels=80, norm="slaney", mel_scale="slaney")
    expected = ((mel(given) + torch.finfo().eps).log() + 5.3688107) / 4.410007
    assert found.shape == (2, 1, 80, 201)
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-4, atol=1e-3)
