"""Item -> audio: a tone with events in time, over a hum and noise."""

import numpy as np
from numpy.typing import NDArray

from xdcbench.data.synthetic.classes import Floats
from xdcbench.data.synthetic.factors import Item, hertz

_TONE = 0.2
_DEPTH = 0.95
_NOISE = 0.013


def render_mono(item: Item, *, sample_rate: int, seconds: float) -> NDArray[np.float32]:
    """Synthesize a recording.

    Returns:
        float32 (round(seconds * sample_rate),), within -1 to 1.
    """
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    look, strength = item.look, item.strengths
    voice = item.kind.voice((item.clock(times) * item.kind.events).astype(np.float32))
    bend = np.broadcast_to(np.float32(strength.rhythm) * voice.bend, times.shape)
    cycles = np.cumsum(hertz(look.pitch + bend), dtype=np.float64) / sample_rate
    level = 1 - np.float32(min(strength.rhythm * _DEPTH, 1)) * voice.hush
    tone = _TONE * level * _sine(cycles)
    rng = np.random.default_rng([item.seed, 1])
    noise = _NOISE * strength.noise * rng.standard_normal(len(times), dtype=np.float32)
    wave = _tilt(tone + noise, look.tilt) + _hum(times, *look.hum)
    return np.clip(10 ** (look.gain / 20) * wave, -1, 1).astype(np.float32)


def render_stereo(item: Item, *, sample_rate: int, seconds: float) -> NDArray[np.float32]:
    """Synthesize a recording as two ears hear it: a source off the middle, with noise of its own in each.

    Returns:
        float32 (round(seconds * sample_rate), 2), within -1 to 1.
    """
    wave = render_mono(item, sample_rate=sample_rate, seconds=seconds)
    rng = np.random.default_rng([item.seed, 2])
    pan = rng.uniform(-0.3, 0.3)
    noise = _NOISE * item.strengths.noise * rng.standard_normal((len(wave), 2), dtype=np.float32)
    return np.clip(wave[:, None] * np.array([1 - pan, 1 + pan], np.float32) + noise, -1, 1)


def _tilt(wave: Floats, coefficient: float) -> Floats:
    """Two-tap filter: positive coefficients favor low frequencies."""
    tilted = wave.copy()
    tilted[1:] += coefficient * wave[:-1]
    return tilted


def _hum(times: Floats, pitch: float, amplitude: float) -> Floats:
    return np.float32(amplitude) * (_sine(pitch * times) + _sine(2 * pitch * times) / 2)


def _sine(cycles: Floats) -> Floats:
    """Sine of whole turns; single precision, four times as fast, once the whole turns are taken off."""
    wave: Floats = np.sin(np.float32(2 * np.pi) * (cycles - np.floor(cycles)).astype(np.float32))
    return wave
