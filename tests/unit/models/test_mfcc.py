"""Statistics of MFCCs, beside NumPy and SciPy, and zero crossings by hand."""

import numpy as np
import pytest
import torch
from scipy.fft import dct
from torchaudio.functional import melscale_fbanks

from xdcbench.config.models import AudioInput, AudioModel, VideoModel
from xdcbench.errors import UserError
from xdcbench.models.mfcc import MFCCStatistics
from xdcbench.models.pretrained.external import build_external
from xdcbench.utils.code import NO_CODE

DECLARED = AudioInput(sample_rate=8000, seconds=1.0, n_fft=256, hop_length=64, n_mels=40, f_max=4000)


def coefficients(wave: np.ndarray) -> np.ndarray:
    """The first thirteen, (13, frames): cosine transform of the mel spectrogram in dB."""
    padded = np.pad(wave.astype(np.float64), 128, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 256)[::64]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    filters = melscale_fbanks(129, 0.0, 4000.0, 40, 8000, norm="slaney", mel_scale="slaney").double().numpy()
    decibel = 10 * np.log10(np.maximum(power @ filters, 1e-10))
    decibel = np.maximum(decibel, decibel.max() - 80)
    found: np.ndarray = dct(decibel, type=2, norm="ortho", axis=1)[:, :13].T
    return found


def test_statistics_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    waves = (rng.standard_normal((3, 8000)) * np.array([[0.5], [1e-4], [0.1]])).astype(np.float32)
    waves[2, 4000:] = 0  # silence counts from the loudest of this window alone
    found = MFCCStatistics(DECLARED)(torch.from_numpy(waves)).numpy()
    assert found.shape == (3, 26)
    for one, wave in zip(found, waves, strict=True):
        expected = coefficients(wave)[1:]
        np.testing.assert_allclose(one[:12], expected.mean(1), rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(one[13:25], expected.std(1), rtol=1e-3, atol=1e-2)


def test_zero_crossings_by_hand() -> None:
    wave = torch.zeros(1, 128)
    wave[0, :64] = torch.tensor([1.0, -1.0]).repeat(32)  # 63 neighbors, all of other signs
    wave[0, 64:] = 1.0
    assert MFCCStatistics(DECLARED).zero_crossings(wave).tolist() == [[1.0, 0.0, 0.0]]
    wave[0, 0] = 0.0  # to zero counts half
    assert MFCCStatistics(DECLARED).zero_crossings(wave)[0, 0] == pytest.approx(62.5 / 63)


def test_it_is_an_encoder_of_waveforms() -> None:
    encoder = build_external("mfcc", AudioModel(input=DECLARED), NO_CODE, "encoders.mfcc.audio")
    wave = torch.rand(2, 8000)
    assert encoder.features == 26
    torch.testing.assert_close(encoder(encoder.prepare(wave)), MFCCStatistics(DECLARED)(wave))
    with pytest.raises(UserError, match="mfcc is no video encoder"):
        build_external("mfcc", VideoModel(), NO_CODE, "encoders.mfcc.video")
