"""The classes: how the disc moves and how the tone sounds, tied to one clock.

A path takes the clock of the class in cycles; a voice takes the same clock counted in events, of which
a whole number falls in a cycle. So events in the audio coincide with events in the video.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Pose:
    """The disc relative to rest; each field an array of shape (T,), or 0.

    Attributes:
        x: displacement to the right, sides of the frame.
        y: displacement downwards, sides of the frame.
        size: octaves of the radius.
        dark: share of the disc's opacity that is lost, 0 to 1.
    """

    x: Floats | float = 0.0
    y: Floats | float = 0.0
    size: Floats | float = 0.0
    dark: Floats | float = 0.0


@dataclass(frozen=True, slots=True)
class Voice:
    """The tone relative to a steady one; each field an array of shape (samples,), or 0.

    Attributes:
        hush: share of the amplitude that is lost, 0 to 1.
        bend: shift of the pitch, mel bands.
    """

    hush: Floats | float = 0.0
    bend: Floats | float = 0.0


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """A class of the world.

    Attributes:
        name: legal in file names.
        period: seconds per cycle of the video.
        path: clock in cycles -> Pose.
        events: events of the audio per cycle.
        voice: clock in events -> Voice.
    """

    name: str
    period: float
    path: Callable[[Floats], Pose]
    events: int
    voice: Callable[[Floats], Voice]


def _saw(v: Floats) -> Floats:
    return 2 * (v % 1) - 1


def _sine(v: Floats) -> Floats:
    sine: Floats = np.sin(2 * np.pi * v)
    return sine


def _cosine(v: Floats) -> Floats:
    return _sine(v + 0.25)


def _off(v: Floats) -> Floats:
    return (v % 1 >= 0.5).astype(v.dtype)


def _knocks(*times: float) -> Callable[[Floats], Voice]:
    """Strokes at these parts of an event, each dying away before the next."""
    gap = (1 - times[-1]) if len(times) == 1 else times[1] - times[0]

    def voice(v: Floats) -> Voice:
        strokes = np.max([np.exp(-((v - time) % 1) * 4 / gap) for time in times], axis=0)
        return Voice(hush=1 - strokes)

    return voice


# The paths keep a cycle above eight samples at 8 Hz and four at 4 Hz, and drifts cross the frame once
# in 2 s, so that eight frames at 4 Hz show every class without aliasing.
CLASSES: tuple[ClassSpec, ...] = (
    ClassSpec("drift_right", 2.0, lambda u: Pose(x=u), 4, _knocks(0.0)),
    ClassSpec("drift_left", 2.0, lambda u: Pose(x=-u), 10, _knocks(0.0)),
    ClassSpec("drift_up", 2.0, lambda u: Pose(y=-u), 3, lambda v: Voice(bend=1.5 * _saw(v))),
    ClassSpec("drift_down", 2.0, lambda u: Pose(y=u), 3, lambda v: Voice(bend=-1.5 * _saw(v))),
    ClassSpec("grow", 1.25, lambda u: Pose(size=0.8 * _saw(u)), 1, lambda v: Voice(hush=1 - v % 1)),
    ClassSpec("shrink", 1.25, lambda u: Pose(size=-0.8 * _saw(u)), 1, lambda v: Voice(hush=v % 1)),
    ClassSpec(
        "orbit_clockwise",
        2.0,
        lambda u: Pose(x=0.22 * _cosine(u), y=0.22 * _sine(u)),
        4,
        lambda v: Voice(bend=1.5 * _sine(v)),
    ),
    ClassSpec(
        "orbit_counter",
        2.0,
        lambda u: Pose(x=0.22 * _cosine(u), y=-0.22 * _sine(u)),
        12,
        lambda v: Voice(bend=1.5 * _sine(v)),
    ),
    ClassSpec("flicker", 1.0, lambda u: Pose(dark=_off(u)), 1, lambda v: Voice(hush=_off(v))),
    ClassSpec("swing", 1.25, lambda u: Pose(x=0.22 * _cosine(u)), 2, _knocks(0.0, 0.3)),
    ClassSpec("bounce", 1.25, lambda u: Pose(y=-0.3 * abs(_sine(u / 2))), 1, _knocks(0.0, 0.15, 0.3)),
    ClassSpec(
        "pulse", 1.0, lambda u: Pose(size=0.8 * _cosine(u)), 8, lambda v: Voice(hush=(1 - _cosine(v)) / 2)
    ),
    ClassSpec("drift_diagonal", 2.0, lambda u: Pose(x=u, y=-u), 6, lambda v: Voice(bend=3 * _off(v) - 1.5)),
)
