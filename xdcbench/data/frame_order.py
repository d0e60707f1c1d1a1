"""Clips whose frames are shown in another order."""

import numpy as np

from xdcbench.config.evaluation import FrameOrder


def frame_order(order: FrameOrder, frames: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Which of a clip's ``frames`` is shown at each place.

    ``frozen`` shows the frame at the clip's middle in time. ``shuffled`` draws one of all orders, be it the old one.
    """
    match order:
        case "reversed":
            return tuple(reversed(range(frames)))
        case "frozen":
            return (frames // 2,) * frames
        case "shuffled":
            return tuple(rng.permutation(frames).tolist())
