import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from xdcbench.config.models import AudioInput
from xdcbench.data.spectrogram import LogMel, mel_filters


def reference(wave: NDArray[np.float64], spec: AudioInput) -> NDArray[np.float64]:
    """The definition, frame by frame and filter by filter."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spec.n_fft) / spec.n_fft)
    edges = np.linspace(
        1127 * np.log(1 + spec.f_min / 700), 1127 * np.log(1 + spec.f_max / 700), spec.n_mels + 2
    )
    mels = 1127 * np.log(1 + np.fft.rfftfreq(spec.n_fft, 1 / spec.sample_rate) / 700)
    out = np.zeros((spec.n_mels, spec.frames))
    padded = np.concatenate([np.zeros(spec.n_fft), wave, np.zeros(2 * spec.n_fft)])
    for t in range(spec.frames):
        begin = t * spec.hop_length + spec.hop_length // 2 - spec.n_fft // 2 + spec.n_fft
        power = np.abs(np.fft.rfft(padded[begin : begin + spec.n_fft] * hann)) ** 2
        for m in range(spec.n_mels):
            weights = np.interp(mels, edges[m : m + 3], [0, 1, 0])
            if weights.sum() == 0:
                weights[np.abs(mels - edges[m + 1]).argmin()] = 1
            x = (weights * power).sum() / weights.sum() * spec.gain
            out[m, t] = math.log(x) if x > math.e else x / math.e
    return (out - spec.mean) / spec.std


SPECS = [
    AudioInput(),
    AudioInput(hop_length=160),
    AudioInput(
        sample_rate=8000, f_max=4000, seconds=1.0, n_fft=200, hop_length=80, n_mels=20, mean=9.0, std=3.0
    ),
]


@pytest.mark.parametrize("spec", SPECS)
def test_logmel_equals_the_definition(spec: AudioInput) -> None:
    generator = np.random.default_rng(0)
    size = round(spec.seconds * spec.sample_rate)
    waves = generator.normal(size=(2, size)) * np.array([[0.1], [1e-5]])
    waves[1, : size // 2] = 0
    out = LogMel(spec)(torch.from_numpy(waves).float())
    assert out.shape == (2, 1, spec.n_mels, spec.frames)
    assert out.dtype == torch.float32
    for got, wave in zip(out, waves, strict=True):
        np.testing.assert_allclose(got[0].numpy(), reference(wave, spec), rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 100, 4000, 31_999, 32_001, 40_000])
def test_missing_audio_is_silence_and_spare_audio_unheard(samples: int) -> None:
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
    center = 700 * (math.exp((band + 1) * step / 1127) - 1)
    assert frame == 50
    assert abs(center - 1000) < 80


def test_autocast_changes_nothing() -> None:
    model, wave = LogMel(AudioInput()), torch.randn(2, 32_000) * 0.1
    with torch.autocast("cpu", torch.bfloat16):
        inside = model(wave)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, model(wave))


def test_buffers_are_not_saved() -> None:
    assert LogMel(AudioInput()).state_dict() == {}


@given(
    n_fft=st.sampled_from([64, 128, 200, 256, 512]),
    n_mels=st.integers(4, 80),
    rate=st.sampled_from([8000, 16_000]),
)
@settings(max_examples=30, deadline=None)
def test_filters_sum_to_one(n_fft: int, n_mels: int, rate: int) -> None:
    filters = mel_filters(AudioInput(n_fft=n_fft, n_mels=n_mels, sample_rate=rate, f_max=rate / 2))
    assert filters.shape == (n_fft // 2 + 1, n_mels)
    assert (filters >= 0).all()
    torch.testing.assert_close(filters.sum(0), torch.ones(n_mels))


@pytest.mark.parametrize(
    "wrong", [{"n_mels": 3}, {"n_fft": 255}, {"f_min": -1}, {"f_min": 8000}, {"sample_rate": 8000}]
)
def test_filters_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AudioInput(**wrong)  # type: ignore[arg-type]


@given(samples=st.integers(1, 40_000))
@settings(max_examples=20, deadline=None)
def test_frame_count_is_the_declared_one(samples: int) -> None:
    assert LogMel(AudioInput())(torch.zeros(1, samples)).shape == (1, 1, 40, 100)
