"""What the factors of the synthetic world are drawn from."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import kstest

from xdcbench.config.data import Factors, World
from xdcbench.config.keys import science
from xdcbench.config.stages import WorldStage
from xdcbench.data.synthetic.audio import render_mono
from xdcbench.data.synthetic.factors import (
    HUE_SPREAD,
    PITCH_RANGE,
    PITCH_SPREAD,
    PITCH_STEP,
    Item,
    class_hue,
    class_pitch,
    hertz,
    sample_item,
    sample_unlabeled_item,
)
from xdcbench.data.synthetic.frames import render_video

DRAWS = 400


def items(label: int, **strengths: float) -> list[Item]:
    world = World(factors=Factors(**strengths))
    return [sample_item(world, label, "kinetics400", "train", label, number) for number in range(DRAWS)]


@pytest.mark.parametrize("label", [0, 4, 9])
@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_hue_is_normal_around_the_class(label: int, strength: float) -> None:
    hues = np.array([item.look.hue for item in items(label, hue=strength)])
    offsets = (hues - class_hue(World(), label) + 0.5) % 1 - 0.5
    assert kstest(offsets, "norm", args=(0, HUE_SPREAD / strength)).pvalue > 0.01


@pytest.mark.parametrize("label", [4, 9])
@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_pitch_is_normal_around_the_class(label: int, strength: float) -> None:
    pitches = [item.look.pitch for item in items(label, pitch=strength)]
    assert kstest(pitches, "norm", args=(class_pitch(label), PITCH_SPREAD / strength)).pvalue > 0.01


@pytest.mark.parametrize("label", [0, 9])
@pytest.mark.parametrize("strength", [0.0, 0.01])
def test_hue_and_pitch_know_no_class_at_strength_zero_and_in_its_limit(label: int, strength: float) -> None:
    looks = [item.look for item in items(label, hue=strength, pitch=strength)]
    low, high = PITCH_RANGE
    assert kstest([look.hue for look in looks], "uniform").pvalue > 0.01
    assert kstest([look.pitch for look in looks], "uniform", args=(low, high - low)).pvalue > 0.01


def test_classes_share_out_the_circle_and_lie_a_step_apart() -> None:
    world = World(classes=13)
    assert np.allclose(np.diff([class_hue(world, label) for label in range(13)]), 1 / 13)
    assert np.allclose(np.diff([class_pitch(label) for label in range(13)]), PITCH_STEP)
    assert PITCH_RANGE[0] < class_pitch(0) < class_pitch(12) < PITCH_RANGE[1]


def test_bands_are_the_centers_of_forty_triangles_up_to_8_khz() -> None:
    mels = 1127 * np.log(1 + hertz(np.arange(-1.0, 41.0)) / 700)
    assert np.allclose(mels, np.linspace(0, 1127 * np.log(1 + 8000 / 700), 42))


def test_an_item_depends_on_its_name_alone() -> None:
    small, large = World(kinetics_train=1), World(kinetics_train=9, ucf101_groups=3)
    assert sample_item(small, 2, "a", 5).seed == sample_item(large, 2, "a", 5).seed
    others = [
        sample_item(small, 2, "a", 6),
        sample_item(small, 2, "b", 5),
        sample_item(World(seed=1), 2, "a", 5),
    ]
    assert len({sample_item(small, 2, "a", 5).seed, *(item.seed for item in others)}) == 4


def test_strengths_change_no_other_draw() -> None:
    weak, strong = World(factors=Factors(hue=0, pitch=0, background=0)), World(factors=Factors(hue=2))
    one, other = sample_item(weak, 3, "a", 0), sample_item(strong, 3, "a", 0)
    assert (one.phase, one.seed, one.look.hum) == (other.phase, other.seed, other.look.hum)
    assert one.look.hue != other.look.hue


def test_takes_share_the_look_and_nothing_else() -> None:
    one, other = (sample_item(World(), 3, "ucf101", "shrink", 1, take=take) for take in range(2))
    assert one.look.hue == other.look.hue
    assert np.array_equal(one.look.ground, other.look.ground)
    assert np.array_equal(one.look.waves, other.look.waves)
    assert one.phase != other.phase
    assert not np.array_equal(one.start, other.start)
    assert one.seed != other.seed


def test_nuisances_vanish_at_strength_zero() -> None:
    world = World(factors=Factors(background=0, camera=0, hum=0, gain=0))
    for number in range(20):
        item = sample_item(world, 1, "a", number)
        assert np.allclose(item.look.ground, 0.45)
        assert np.allclose(item.start, 0.5)
        assert np.allclose(item.drift, 0)
        assert (item.look.grain, item.look.hum[1], item.look.gain, item.look.tilt) == (0, 0, 0, 0)
        assert item.look.radius == 0.14


def test_strays_are_of_unequal_classes_and_every_third_shows_none() -> None:
    world = World(classes=6)
    drawn = [sample_unlabeled_item(world, number) for number in range(3 * DRAWS)]
    labels = np.array([item.label for item in drawn])
    ranks = np.arange(1, 7)
    expected = np.log((ranks + 1) / ranks) / np.log(7)  # about 1 / rank
    np.testing.assert_allclose(np.bincount(labels, minlength=6) / len(labels), expected, atol=0.03)
    for number, item in enumerate(drawn):
        strengths = item.strengths
        shown = (strengths.motion, strengths.rhythm, strengths.hue, strengths.pitch)
        assert shown == ((0, 0, 0, 0) if number % 3 == 2 else (1, 1, 1, 1))
        assert strengths.camera == strengths.noise == 1
    hues = [item.look.hue for item in drawn[2::3]]
    assert kstest(hues, "uniform").pvalue > 0.01


def same(one: Item, other: Item) -> bool:
    """Whether two items look and sound alike."""
    videos = [render_video(item, size=16, fps=8, seconds=1.0) for item in (one, other)]
    sounds = [render_mono(item, sample_rate=8000, seconds=1.0) for item in (one, other)]
    return np.array_equal(*videos) and np.array_equal(*sounds)


@pytest.mark.parametrize(
    ("field", "off", "on"),
    [("unseen", ("motion", "hue"), ("rhythm", "pitch")), ("unheard", ("rhythm", "pitch"), ("motion", "hue"))],
)
def test_a_class_that_a_track_does_not_tell_is_as_at_strength_zero(
    field: str, off: tuple[str, str], on: tuple[str, str]
) -> None:
    plain, muted = World(), World.model_validate({field: [2, 5]})
    weak = World(factors=Factors.model_validate(dict.fromkeys(off, 0.0)))
    for label in (2, 5):
        item = sample_item(muted, label, "a", 0)
        assert same(item, sample_item(weak, label, "a", 0))
        assert {getattr(item.strengths, name) for name in off} == {0.0}
        assert {getattr(item.strengths, name) for name in on} == {1.0}
    assert same(sample_item(muted, 3, "a", 0), sample_item(plain, 3, "a", 0))
    assert not same(sample_item(muted, 2, "a", 0), sample_item(plain, 2, "a", 0))


def test_the_key_of_a_world_knows_of_muted_classes_only_where_there_are_some() -> None:
    assert not {"unseen", "unheard"} & science(WorldStage(world=World(classes=4)))["world"].keys()
    assert science(WorldStage(world=World(unseen=(1,))))["world"] == {"unseen": [1]}


@pytest.mark.parametrize("field", ["unseen", "unheard"])
def test_muted_classes_are_classes(field: str) -> None:
    with pytest.raises(ValidationError, match=f"{field} names label 4; labels are 0 to 3"):
        World.model_validate({"classes": 4, field: [0, 4]})
