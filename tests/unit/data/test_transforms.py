"""Boxes to clips: against Pillow's resize, item by item, and against the definition of each step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xdcbench.config.models import VideoInput, VideoModel
from xdcbench.data.clip_dataset import CropBoxes
from xdcbench.data.transforms import _square_crops_on_gpu, normalize, square_crops
from xdcbench.models.r2plus1d import R2Plus1D


def boxes(sides: list[int], flips: list[bool], frames: int = 3, seed: int = 0) -> CropBoxes:
    rng = np.random.default_rng(seed)
    # Smooth frames: on noise, two right ways to round differ by more than a resize does.
    parts = [
        np.kron(rng.integers(0, 256, (frames, 4, 4, 3)), np.ones((1, -(-side // 4), -(-side // 4), 1)))
        for side in sides
    ]
    flat = [part[:, :side, :side].astype(np.uint8).ravel() for part, side in zip(parts, sides, strict=True)]
    return CropBoxes(torch.from_numpy(np.concatenate(flat)), tuple(sides), frames, tuple(flips))


def pillow(frame: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR))


def test_boxes_are_resized_and_mirrored_one_by_one() -> None:
    given = boxes([16, 20, 19, 20, 16], [False, True, False, False, True])
    found = square_crops(given, 16)
    assert found.shape == (5, 3, 16, 16, 3) and found.dtype == torch.uint8
    for clip, box, flip in zip(found.numpy(), given.split(), given.flips, strict=True):
        for image, frame in zip(clip, box.numpy(), strict=True):
            expected = pillow(frame, 16).astype(int)
            expected = expected[:, ::-1] if flip else expected
            assert np.abs(image - expected).max() <= 1


def test_test_clips_pass_unchanged_and_uncopied() -> None:
    given = boxes([16, 16], [False, False])
    found = square_crops(given, 16)
    assert found.data_ptr() == given.pixels.data_ptr()
    assert torch.equal(found, torch.stack(given.split()))


def test_a_mirrored_clip_of_the_right_size_is_mirrored_exactly() -> None:
    given = boxes([16, 16], [True, False])
    first, second = given.split()
    found = square_crops(given, 16)
    assert torch.equal(found[0], first.flip(2)) and torch.equal(found[1], second)
    assert not torch.equal(first, first.flip(2))


@given(
    sides=st.lists(st.integers(8, 24), min_size=1, max_size=5),
    seed=st.integers(0, 99),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_a_clip_does_not_depend_on_its_batch(sides: list[int], seed: int, data: st.DataObject) -> None:
    flips = data.draw(st.lists(st.booleans(), min_size=len(sides), max_size=len(sides)))
    given = boxes(sides, flips, seed=seed)
    whole = square_crops(given, 8)
    for clip, box, side, flip in zip(whole, given.split(), sides, flips, strict=True):
        assert torch.equal(clip, square_crops(CropBoxes(box.flatten(), (side,), 3, (flip,)), 8)[0])


def test_normalised_clips_are_those_that_the_encoder_prepares() -> None:
    encoder = R2Plus1D(VideoModel(width=4, input=VideoInput(frames=2, size=8, short_side=(8, 8))))
    clips = torch.randint(256, (2, 2, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = clips.clone()
    found = normalize(clips, encoder.normalize.scale, encoder.normalize.shift)
    assert found.shape == (2, 3, 2, 8, 8) and found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    for color in range(3):
        mean, std = encoder.input.mean[color], encoder.input.std[color]
        expected = (clips[..., color].double() / 255 - mean) / std
        torch.testing.assert_close(found[:, color].double(), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(clips, before)


def test_the_way_of_a_gpu_makes_the_same_clips() -> None:
    given = boxes([16, 20, 19, 16], [False, True, False, True])
    found, expected = _square_crops_on_gpu(given, 16), square_crops(given, 16)
    assert found.shape == expected.shape and found.dtype == torch.uint8
    assert (found.int() - expected.int()).abs().max() <= 1
    assert torch.equal(found[[0, 3]], expected[[0, 3]]), "no clip of the right size is changed"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_device_changes_no_frame() -> None:
    given = boxes([16, 20, 19], [False, True, False])
    here, there = square_crops(given, 16), square_crops(given.to(torch.device("cuda")), 16)
    assert there.is_cuda
    assert (here.int() - there.cpu().int()).abs().max() <= 1
