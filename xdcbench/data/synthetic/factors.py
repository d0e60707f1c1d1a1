"""Draws what an item looks and sounds like.

Every draw takes the same number of random values whatever the strengths are, so that worlds that differ
in a strength alone hold the same items seen through a stronger or weaker factor.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from xdcbench.config.data import Factors, World
from xdcbench.data.synthetic.classes import CLASSES, ClassSpec, Floats

FAINT = 1e-3
"""Strength below which a shared factor's spread covers its range many times over and grows no more."""
HUE_SPREAD = 0.05
PITCH_SPREAD = 2.0
PITCH_STEP = 2.6
PITCH_RANGE = (1.0, 38.0)
_FIRST_PITCH = 4.0
_BAND = 1127 * np.log(1 + 8000 / 700) / 41


@dataclass(frozen=True, slots=True)
class Look:
    """What the videos of one group, or the takes of one recording, have in common.

    Attributes:
        hue: of the disc, part of the circle.
        radius: of the disc at rest, sides of the frame.
        ground: RGB of the background, 0 to 1.
        waves: (3, 3) whole wave numbers along x and y and phase (cycles) of the texture.
        grain: amplitude of the texture, 0 to 1.
        pitch: of the tone at rest, mel bands (40 from 0 to 8 kHz).
        hum: pitch (Hz) and amplitude of the hum.
        gain: level of the audio, dB.
        tilt: coefficient of the two-tap filter that tilts the spectrum.
    """

    hue: float
    radius: float
    ground: Floats
    waves: Floats
    grain: float
    pitch: float
    hum: tuple[float, float]
    gain: float
    tilt: float


@dataclass(frozen=True, slots=True)
class Item:
    """One video, image or recording before it is drawn.

    Attributes:
        look: what it shares with its group.
        strengths: of the world's factors.
        phase: of the clock that video and audio share, cycles.
        start: x and y of the disc at rest, sides of the frame.
        drift: velocity of the camera along x and y, sides of the frame per second.
        seed: of the white noise.
    """

    kind: ClassSpec
    label: int
    look: Look
    strengths: Factors
    phase: float
    start: Floats
    drift: Floats
    seed: int

    def clock(self, seconds: Floats) -> Floats:
        """Cycles of the class at these times."""
        return seconds / self.kind.period + self.phase


def sample_item(world: World, label: int, *group: str | int, take: int = 0) -> Item:
    """Draw an item; it depends on nothing but the arguments, the seed, the classes and the strengths.

    Args:
        world: gives seed, number of classes and strengths; counts do not matter.
        label: index of the class.
        group: dataset, split part, class and number: names the Look.
        take: number within the group.
    """
    world = _as_told(world, label)
    look = _look(world, label, _generator(world.seed, *group))
    rng = _generator(world.seed, *group, "take", take)
    start, drift = rng.uniform(-0.5, 0.5, 2), rng.uniform(-0.06, 0.06, 2)
    camera = world.factors.camera
    return Item(
        kind=CLASSES[label],
        label=label,
        look=look,
        strengths=world.factors,
        phase=rng.uniform(),
        start=0.5 + camera * start,
        drift=camera * drift,
        seed=int(rng.integers(2**63)),
    )


def sample_unlabeled_item(world: World, number: int) -> Item:
    """Draw an item of an uncurated collection: classes are as unequal as 1 / rank, every third item shows none."""
    group = ("ig_random", number)
    share = _generator(world.seed, *group, "class").uniform()
    if number % 3 == 2:
        nothing = {"motion": 0.0, "rhythm": 0.0, "hue": 0.0, "pitch": 0.0}
        world = world.model_copy(update={"factors": world.factors.model_copy(update=nothing)})
    return sample_item(world, int((world.classes + 1) ** share) - 1, *group)


def _as_told(world: World, label: int) -> World:
    """The world with the strengths that a class has, which are lower where a track does not tell it."""
    off = {name: 0.0 for name in ("motion", "hue") if label in world.unseen}
    off |= {name: 0.0 for name in ("rhythm", "pitch") if label in world.unheard}
    return world.model_copy(update={"factors": world.factors.model_copy(update=off)})


def hertz(band: Floats) -> Floats:
    """Center of a mel band, Hz: 40 triangles from 0 to 8 kHz, mel = 1127 ln(1 + f/700) (VMZ)."""
    pitch: Floats = 700 * (np.exp((band + 1) * _BAND / 1127) - 1)
    return pitch


def class_hue(world: World, label: int) -> float:
    """Hue around which a class draws: the circle is shared out evenly."""
    return label / world.classes


def class_pitch(label: int) -> float:
    """Pitch around which a class draws, mel bands."""
    return _FIRST_PITCH + PITCH_STEP * label


def _look(world: World, label: int, rng: np.random.Generator) -> Look:
    s = world.factors
    hue, pitch = _hue(world, label, rng), _pitch(s.pitch, label, rng)
    return Look(
        hue=hue,
        pitch=pitch,
        radius=0.14 * 2 ** (s.camera * rng.uniform(-0.4, 0.4)),
        ground=np.clip(0.45 + s.background * rng.uniform(-0.25, 0.25, 3), 0, 1),
        waves=np.column_stack([rng.integers(-4, 5, (3, 2)), rng.uniform(size=3)]),
        grain=s.background * rng.uniform(0.02, 0.1),
        hum=(rng.uniform(50, 250), s.hum * rng.uniform(0, 0.15)),
        gain=s.gain * rng.uniform(-6, 6),
        tilt=s.gain * rng.uniform(-0.4, 0.4),
    )


def _hue(world: World, label: int, rng: np.random.Generator) -> float:
    normal, uniform = rng.normal(), rng.uniform()
    if world.factors.hue == 0:
        return uniform
    return (class_hue(world, label) + HUE_SPREAD / max(world.factors.hue, FAINT) * normal) % 1


def _pitch(strength: float, label: int, rng: np.random.Generator) -> float:
    low, high = PITCH_RANGE
    normal, uniform = rng.normal(), rng.uniform()
    if strength == 0:
        return low + (high - low) * uniform
    # Reflected at both ends, a broad normal tends to the uniform draw of strength 0.
    offset = (class_pitch(label) + PITCH_SPREAD / max(strength, FAINT) * normal - low) % (2 * (high - low))
    return low + min(offset, 2 * (high - low) - offset)


def _generator(*key: str | int) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
