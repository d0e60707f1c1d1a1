"""Item -> frames: a disc on a textured ground, on a torus, so that it never leaves the view."""

import colorsys

import numpy as np
from numpy.typing import NDArray

from xdcbench.data.synthetic.classes import CLASSES, Floats
from xdcbench.data.synthetic.factors import Item

_NOISE = 0.04


def render_video(item: Item, *, size: int, fps: float, seconds: float) -> NDArray[np.uint8]:
    """Draw a video.

    Returns:
        uint8 RGB (round(seconds * fps), size, size, 3).
    """
    times = np.arange(round(seconds * fps), dtype=np.float32) / fps
    pose, strength = item.kind.path(item.clock(times)), item.strengths.motion
    camera = times[:, None] * item.drift
    x = item.start[0] + camera[:, 0] + strength * pose.x
    y = item.start[1] + camera[:, 1] + strength * pose.y
    radius = np.clip(item.look.radius * 2 ** (strength * pose.size * np.ones_like(times)), 0.04, 0.45)
    across, down = _offsets(x, size)[:, None, :], _offsets(y, size)[:, :, None]
    inside = radius[:, None, None] - np.hypot(across, down)
    opacity = np.clip(inside * size + 0.5, 0, 1)
    opacity *= 1 - np.clip(strength * pose.dark * np.ones_like(times), 0, 1)[:, None, None]
    return _compose(item, opacity, camera)


def render_image(item: Item, *, size: int) -> NDArray[np.uint8]:
    """Draw an image, which shows its class as an ellipse's direction instead of a motion.

    At strength 1 the ellipse is twice as long as wide; at strength 0 of ``motion`` it is a disc.

    Returns:
        uint8 RGB (size, size, 3).
    """
    angle = np.pi * item.label / len(CLASSES)
    across, down = _offsets(item.start[:1], size), _offsets(item.start[1:], size).T
    along = across * np.cos(angle) + down * np.sin(angle)
    aside = down * np.cos(angle) - across * np.sin(angle)
    stretch = 2 ** (min(item.strengths.motion, 2.0) / 2)
    inside = 1.4 * item.look.radius - np.hypot(along / stretch, aside * stretch)
    frame: NDArray[np.uint8] = _compose(item, np.clip(inside * size + 0.5, 0, 1)[None], np.zeros((1, 2)))[0]
    return frame


def _offsets(center: Floats, size: int) -> Floats:
    """Signed distances (T, size) of the pixels from each center, the shorter way round."""
    pixels = (np.arange(size, dtype=np.float32) + 0.5) / size
    return (pixels - center[:, None].astype(np.float32) + 0.5) % 1 - 0.5


def _compose(item: Item, opacity: Floats, camera: Floats) -> NDArray[np.uint8]:
    """Lay the disc over the ground and add noise; opacity (T, H, W), camera (T, 2)."""
    size, look = opacity.shape[-1], item.look
    shade = _texture(look.waves, camera, size) * np.float32(look.grain)
    rng = np.random.default_rng([item.seed, 0])
    noise = rng.standard_normal(opacity.shape, dtype=np.float32) * np.float32(_NOISE * item.strengths.noise)
    color = np.array(colorsys.hsv_to_rgb(look.hue, 0.9, 0.9), np.float32)
    ground = look.ground.astype(np.float32)
    shade = shade * (1 - opacity) + noise
    frames = ground + opacity[..., None] * (color - ground) + shade[..., None]
    drawn: NDArray[np.uint8] = np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)
    return drawn


def _texture(waves: Floats, camera: Floats, size: int) -> Floats:
    """Sum of plane waves (T, size, size), moved along with the camera."""
    pixels = (np.arange(size) + 0.5) / size
    plane = np.zeros((len(camera), size, size), np.complex64)
    for x, y, phase in waves:
        # A plane wave is a product of one along each axis, which spares a sine per pixel.
        across = np.exp(2j * np.pi * (x * (pixels - camera[:, :1]) + phase)).astype(np.complex64)
        down = np.exp(2j * np.pi * y * (pixels - camera[:, 1:])).astype(np.complex64)
        plane += down[:, :, None] * across[:, None, :]
    return plane.real
