import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xdcbench.data.spectrogram import LogMel, mel_filters
from xdcbench.schema import AudioInput


def reference(wave: NDArray[np.float64], spec: AudioInput) -> NDArray[np.float64]:
    """The definition, frame by frame and filter by filter."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spec.window) / spec.window)
    edges = np.linspace(1127 * np.log(1 + spec.fmin / 700), 1127 * np.log(1 + spec.fmax / 700), spec.mels + 2)
    mels = 1127 * np.log(1 + np.fft.rfftfreq(spec.window, 1 / spec.rate) / 700)
    out = np.zeros((spec.mels, spec.frames))
    padded = np.concatenate([np.zeros(spec.window), wave, np.zeros(2 * spec.window)])
    for t in range(spec.frames):
        begin = t * spec.hop + spec.hop // 2 - spec.window // 2 + spec.window
        power = np.abs(np.fft.rfft(padded[begin : begin + spec.window] * hann)) ** 2
        for m in range(spec.mels):
            weights = np.interp(mels, edges[m : m + 3], [0, 1, 0])
            if weights.sum() == 0:
                weights[np.abs(mels - edges[m + 1]).argmin()] = 1
            x = (weights * power).sum() / weights.sum() * spec.gain
            out[m, t] = math.log(x) if x > math.e else x / math.e
    return (out - spec.mean) / spec.std


SPECS = [
    AudioInput(),
    AudioInput(hop=160),
    AudioInput(rate=8000, fmax=4000, seconds=1.0, window=200, hop=80, mels=20, mean=9.0, std=3.0),
]


@pytest.mark.parametrize("spec", SPECS)
def test_logmel_equals_the_definition(spec: AudioInput) -> None:
    generator = np.random.default_rng(0)
    size = round(spec.seconds * spec.rate)
    waves = generator.normal(size=(2, size)) * np.array([[0.1], [1e-5]])
    waves[1, : size // 2] = 0
    out = LogMel(spec)(torch.from_numpy(waves).float())
    assert out.shape == (2, 1, spec.mels, spec.frames)
    assert out.dtype == torch.float32
    for got, wave in zip(out, waves, strict=True):
        np.testing.assert_allclose(got[0].numpy(), reference(wave, spec), rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 100, 4000, 31_999, 32_001, 40_000])
def test_missing_sound_is_silence_and_spare_sound_unheard(samples: int) -> None:
    spec = AudioInput()
    wave = np.random.default_rng(1).normal(size=samples) * 0.1
    whole = np.concatenate([wave, np.zeros(32_000)])[:32_000]
    found = LogMel(spec)(torch.from_numpy(wave)[None].float())[0, 0]
    np.testing.assert_allclose(found.numpy(), reference(whole, spec), rtol=0, atol=1e-4)


def test_silence_is_the_least_value() -> None:
    spec = AudioInput(mean=2.0, std=4.0)
    out = LogMel(spec)(torch.zeros(1, 32_000))
    assert torch.equal(out, torch.full((1, 1, 40, 100), -0.5))


def test_tone_is_loudest_in_its_band_and_time() -> None:
    spec = AudioInput()
    wave = torch.zeros(1, 32_000)
    wave[0, 16_000:16_320] = torch.sin(2 * math.pi * 1000 * torch.arange(320) / 16_000)
    out = LogMel(spec)(wave)[0, 0]
    band, frame = divmod(int(out.argmax()), 100)
    step = 1127 * math.log1p(8000 / 700) / 41
    centre = 700 * (math.exp((band + 1) * step / 1127) - 1)
    assert frame == 50
    assert abs(centre - 1000) < 80


def test_autocast_changes_nothing() -> None:
    model, wave = LogMel(AudioInput()), torch.randn(2, 32_000) * 0.1
    with torch.autocast("cpu", torch.bfloat16):
        inside = model(wave)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, model(wave))


def test_buffers_are_not_saved() -> None:
    assert LogMel(AudioInput()).state_dict() == {}


@given(
    window=st.sampled_from([64, 128, 200, 256, 512]),
    mels=st.integers(1, 80),
    rate=st.sampled_from([8000, 16_000]),
)
@settings(max_examples=30, deadline=None)
def test_filters_sum_to_one(window: int, mels: int, rate: int) -> None:
    filters = mel_filters(AudioInput(window=window, mels=mels, rate=rate, fmax=rate / 2))
    assert filters.shape == (window // 2 + 1, mels)
    assert (filters >= 0).all()
    torch.testing.assert_close(filters.sum(0), torch.ones(mels))


@given(samples=st.integers(1, 40_000))
@settings(max_examples=20, deadline=None)
def test_frame_count_is_the_declared_one(samples: int) -> None:
    assert LogMel(AudioInput())(torch.zeros(1, samples)).shape == (1, 1, 40, 100)
