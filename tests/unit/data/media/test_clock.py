"""Times of frames by FFmpeg's rules, worked by hand."""

from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import pytest
from av.video.frame import VideoFrame

from xdcbench.data.media.clock import VideoClock

STREAM: Any = SimpleNamespace(
    guessed_rate=Fraction(25),
    time_base=Fraction(1, 100),
    container=SimpleNamespace(format=SimpleNamespace(flags=0)),
)
NONE: Any = None


def stamped(*frames: tuple[int | None, int | None] | tuple[int | None, int | None, int]) -> list[int | None]:
    """Times given to frames of (pts, dts, duration)."""
    clock, times = VideoClock(STREAM), []
    for pts, dts, *rest in frames:
        frame = SimpleNamespace(pts=pts, dts=dts, duration=rest[0] if rest else 0)
        clock.stamp(cast(VideoFrame, frame))
        times.append(frame.pts)
    return times


def test_presentation_times_are_believed_while_they_ascend() -> None:
    assert stamped((4, 0), (8, 4), (12, 8)) == [4, 8, 12]


def test_decoding_times_where_no_others_are_stated() -> None:
    assert stamped((None, 2), (None, 3), (4, 4), (None, 5)) == [2, 3, 4, 5]


def test_times_that_run_backwards_lose_to_those_that_do_not() -> None:
    """The first fault decides, and the sound times after it are not enough to make up for it."""
    assert stamped((1, 2), (4, 3), (3, 4), (5, 5), (6, 7)) == [1, 4, 4, 5, 7]


def test_presentation_times_are_kept_where_both_are_as_faulty() -> None:
    assert stamped((1, 1), (5, 5), (3, 3), (7, 9)) == [1, 5, 3, 7]


def test_a_faulty_presentation_time_is_taken_where_there_is_no_other() -> None:
    assert stamped((5, None), (4, None), (3, None)) == [5, 4, 3]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (((0, 0, 3), (NONE, NONE, 3), (NONE, NONE, 3)), [0, 3, 6]),  # as long as is stated
        (((0, 0, 1), (9, 9, 1), (NONE, NONE, 1)), [0, 9, 18]),  # a stated length of 1 is a guess
        (((0, 0), (7, 7), (NONE, NONE)), [0, 7, 14]),  # as long as the one before
        (((3, 3), (NONE, NONE), (NONE, NONE)), [3, 7, 11]),  # 25 a second, of 100 units
        (((NONE, NONE), (5, 5)), [None, 5]),  # nothing is known yet
    ],
)
def test_a_frame_without_a_time_follows_the_one_before(frames: Any, expected: list[int | None]) -> None:
    assert stamped(*frames) == expected
