"""What the drawn frames show, measured on the pixels of scenes without nuisances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xdcbench.config.data import Factors, World
from xdcbench.data.synthetic.classes import CLASSES
from xdcbench.data.synthetic.factors import sample_item
from xdcbench.data.synthetic.frames import render_image, render_video

LABELS = {kind.name: label for label, kind in enumerate(CLASSES)}
BARE = {"background": 0.0, "camera": 0.0, "noise": 0.0}
SIZE, RATE, SECONDS = 40, 8, 2.5


def weights(name: str, number: int = 0, **strengths: float) -> NDArray[np.float64]:
    """Distance of each pixel from the ground, (T, H, W)."""
    world = World(classes=13, factors=Factors(**BARE, **strengths))
    frames = render_video(sample_item(world, LABELS[name], "a", number), size=SIZE, fps=RATE, seconds=SECONDS)
    return np.abs(frames.astype(float) - round(0.45 * 255)).sum(-1)


def centroid(shown: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Circular mean along x (axis 2) or y (axis 1), unwrapped over time, sides of the frame."""
    turns = np.exp(2j * np.pi * (np.arange(SIZE) + 0.5) / SIZE)
    return np.unwrap(np.angle((shown.sum(3 - axis) * turns).sum(1))) / (2 * np.pi)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("drift_right", 1, 0),
        ("drift_left", -1, 0),
        ("drift_up", 0, -1),
        ("drift_down", 0, 1),
        ("drift_diagonal", 1, -1),
    ],
)
def test_drifts_cross_the_frame_in_two_seconds(
    name: str, x: int, y: int, strength: float, number: int
) -> None:
    # Every second frame, as an encoder at 4 frames per second sees it.
    shown = weights(name, number, motion=strength)[::2]
    across, down = centroid(shown, 2), centroid(shown, 1)
    assert np.allclose(np.diff(across), strength * x / 8, atol=0.02)
    assert np.allclose(np.diff(down), strength * y / 8, atol=0.02)


@pytest.mark.parametrize(("name", "sense"), [("orbit_clockwise", 1), ("orbit_counter", -1)])
def test_orbits_turn_once_in_two_seconds(name: str, sense: int) -> None:
    shown = weights(name)
    across, down = centroid(shown, 2) % 1 - 0.5, centroid(shown, 1) % 1 - 0.5
    angle = np.unwrap(np.arctan2(down, across))
    assert np.allclose(np.hypot(across, down), 0.22, atol=0.03)
    assert np.allclose(np.diff(angle) / (2 * np.pi), sense / 16, atol=0.02)


@pytest.mark.parametrize(("name", "sense"), [("grow", 1), ("shrink", -1)])
def test_grow_and_shrink_change_size_one_way_and_snap_back(name: str, sense: int) -> None:
    area = weights(name).sum((1, 2))
    steps = sense * np.diff(area)
    assert (steps > 0).sum() >= 16
    assert (steps < 0).sum() == 2
    assert area.max() > 5 * area.min()


def test_pulse_swells_and_falls_alike() -> None:
    steps = np.diff(weights("pulse").sum((1, 2)))
    assert abs((steps > 0).sum() - (steps < 0).sum()) <= 3
    assert (steps > 0).sum() >= 7


def test_flicker_is_off_for_half_of_each_second() -> None:
    visible = weights("flicker")[:16].sum((1, 2)) > 0
    assert visible.sum() == 8
    assert np.array_equal(visible[:8], visible[8:])


def test_swing_moves_along_x_and_bounce_above_its_rest() -> None:
    swing, bounce = weights("swing"), weights("bounce")
    assert np.ptp(centroid(swing, 2)) == pytest.approx(0.44, abs=0.05)
    assert np.ptp(centroid(swing, 1)) < 0.01
    assert np.ptp(centroid(bounce, 1)) == pytest.approx(0.3, abs=0.05)
    assert np.ptp(centroid(bounce, 2)) < 0.01


@pytest.mark.parametrize("name", LABELS)
def test_nothing_moves_without_motion(name: str) -> None:
    shown = weights(name, motion=0.0)
    assert np.array_equal(shown, np.broadcast_to(shown[0], shown.shape))
    assert shown.max() > 0


def test_images_turn_with_the_class_and_are_discs_without_motion() -> None:
    def axis(label: int, motion: float) -> complex:
        world = World(classes=13, factors=Factors(**BARE, motion=motion))
        shown = np.abs(render_image(sample_item(world, label, "a"), size=SIZE).astype(float) - 115).sum(-1)
        offsets = np.arange(SIZE) - (SIZE - 1) / 2
        return complex((shown * (offsets + 1j * offsets[:, None]) ** 2).sum() / shown.sum())

    for label in range(13):
        double = np.angle(axis(label, 1.0)) - 2 * np.pi * label / 13
        assert abs(np.angle(np.exp(1j * double))) < 0.1
        assert abs(axis(label, 0.0)) < 0.1 * abs(axis(label, 1.0))


def test_each_nuisance_shows_and_vanishes() -> None:
    def ground(**strengths: float) -> NDArray[np.float64]:
        world = World(factors=Factors(**{**BARE, **strengths}, motion=0.0))
        return render_video(sample_item(world, 0, "a"), size=SIZE, fps=RATE, seconds=SECONDS).astype(float)

    bare = ground()
    assert np.ptp(bare, axis=0).max() == 0
    assert np.ptp(ground(noise=1.0), axis=0).mean() > 10
    assert np.ptp(ground(camera=1.0), axis=0).max() > 50
    assert len(np.unique(ground(background=1.0)[0].reshape(-1, 3), axis=0)) > 100


@settings(max_examples=40, deadline=None)
@given(
    label=st.integers(0, 12),
    strengths=st.fixed_dictionaries({name: st.floats(0, 10) for name in Factors.model_fields}),
    size=st.sampled_from([16, 32, 40]),
)
def test_any_strengths_draw_a_video_with_the_disc_in_view(
    label: int, strengths: dict[str, float], size: int
) -> None:
    world = World(classes=13, factors=Factors(**strengths))
    frames = render_video(sample_item(world, label, "a"), size=size, fps=8, seconds=1.0)
    assert frames.shape == (8, size, size, 3)
    assert frames.dtype == np.uint8
    assert len(np.unique(frames)) > 1
