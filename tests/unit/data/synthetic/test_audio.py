"""What the synthesized audio holds, measured on its envelope and its instantaneous pitch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import hilbert

from xdcbench.config.data import Factors, World
from xdcbench.data.synthetic.audio import render_mono, render_stereo
from xdcbench.data.synthetic.classes import CLASSES
from xdcbench.data.synthetic.factors import hertz, sample_item
from xdcbench.data.synthetic.frames import render_video

LABELS = {kind.name: label for label, kind in enumerate(CLASSES)}
BARE = {"hum": 0.0, "gain": 0.0, "noise": 0.0}
RATE = 16_000


def recording(name: str, *, seconds: float = 10.0, **strengths: float) -> NDArray[np.float32]:
    world = World(classes=13, factors=Factors(**{**BARE, **strengths}))
    return render_mono(sample_item(world, LABELS[name], "a", 1), sample_rate=RATE, seconds=seconds)


def envelope(wave: NDArray[np.float32]) -> NDArray[np.float64]:
    """Root mean square of 10-ms blocks."""
    return np.sqrt((wave.astype(float).reshape(-1, RATE // 100) ** 2).mean(1))


def pitch(wave: NDArray[np.float32]) -> NDArray[np.float64]:
    """Median instantaneous frequency of 10-ms blocks, Hz."""
    steps = np.diff(np.unwrap(np.angle(hilbert(wave))), append=0.0) * RATE / (2 * np.pi)
    return np.median(steps.reshape(-1, RATE // 100), axis=1)


def share_at_multiples(series: NDArray[np.float64], rate: float) -> float:
    """Share of a 10-s series' power that lies at multiples of a rate, Hz."""
    power = np.abs(np.fft.rfft(series - series.mean())) ** 2
    step = round(rate * 10)
    return float(power[step::step].sum() / power.sum())


@pytest.mark.parametrize("name", LABELS)
def test_events_come_at_the_rate_of_the_class(name: str) -> None:
    kind, wave = CLASSES[LABELS[name]], recording(name)
    rate = kind.events / kind.period
    bends = np.ptp(envelope(wave)) < 0.5 * envelope(wave).max()
    series = pitch(wave)[5:-5] if bends else envelope(wave)
    series = np.resize(series, 1000) if not bends else np.pad(series, 5, mode="edge")
    assert share_at_multiples(series, rate) > 0.9
    assert share_at_multiples(series, 2 * rate) < 0.8


def test_no_two_classes_sound_alike() -> None:
    def signature(name: str) -> tuple[float, ...]:
        kind = CLASSES[LABELS[name]]
        voice = kind.voice(np.linspace(0, 1, 50, endpoint=False))
        series = [np.broadcast_to(part, 50).round(3) for part in (voice.hush, voice.bend)]
        return (kind.events / kind.period, *np.concatenate(series))

    assert len({signature(name) for name in LABELS}) == 13


@pytest.mark.parametrize("name", LABELS)
def test_the_tone_is_steady_without_rhythm(name: str) -> None:
    wave = recording(name, rhythm=0.0)
    item = sample_item(World(classes=13, factors=Factors(**BARE, rhythm=0.0)), LABELS[name], "a", 1)
    peak = np.argmax(np.abs(np.fft.rfft(wave))) / 10
    assert peak == pytest.approx(float(hertz(np.array(item.look.pitch))), abs=0.2)
    assert np.ptp(envelope(wave)) < 0.2 * envelope(wave).mean()


def test_depth_of_modulation_grows_with_strength() -> None:
    def depth(strength: float) -> float:
        level = envelope(recording("flicker", rhythm=strength))
        return float(1 - np.quantile(level, 0.1) / np.quantile(level, 0.9))

    assert depth(0.0) < 0.1
    assert depth(0.5) == pytest.approx(0.475, abs=0.05)
    assert depth(1.0) == pytest.approx(0.95, abs=0.02)
    assert depth(2.0) > 0.99


def test_audio_and_video_share_a_clock() -> None:
    world = World(factors=Factors(**BARE, background=0.0, camera=0.0))
    for number in range(5):
        item = sample_item(world, LABELS["flicker"], "a", number)
        frames = render_video(item, size=32, fps=100, seconds=2.5)
        seen = np.ptp(frames.astype(int), axis=(1, 2)).max(1) > 60
        heard = envelope(render_mono(item, sample_rate=RATE, seconds=2.5)) > 0.07
        assert (seen == heard).mean() > 0.96


@pytest.mark.parametrize("factor", ["hum", "gain", "noise"])
def test_each_nuisance_changes_the_audio(factor: str) -> None:
    bare = recording("drift_up", seconds=1.0)
    changed = recording("drift_up", seconds=1.0, **{factor: 1.0})
    assert np.abs(changed - bare).max() > 0.01


def test_two_channels_hold_the_same_scene_and_differ() -> None:
    item = sample_item(World(), 3, "dcase", 0)
    both = render_stereo(item, sample_rate=44_100, seconds=1.0)
    assert both.shape == (44_100, 2)
    assert both.dtype == np.float32
    assert 0.9 < np.corrcoef(both.T)[0, 1] < 0.99999


@settings(max_examples=30, deadline=None)
@given(
    label=st.integers(0, 12),
    strengths=st.fixed_dictionaries({name: st.floats(0, 10) for name in Factors.model_fields}),
)
def test_any_strengths_give_samples_within_range(label: int, strengths: dict[str, float]) -> None:
    world = World(classes=13, factors=Factors(**strengths))
    wave = render_mono(sample_item(world, label, "a"), sample_rate=RATE, seconds=0.5)
    assert wave.shape == (8000,)
    assert wave.dtype == np.float32
    assert np.abs(wave).max() <= 1
