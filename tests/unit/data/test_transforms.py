"""Boxes to clips: against Pillow's resize, item by item, and against the definition of each step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xdcbench.data.clips import Boxes
from xdcbench.data.transforms import normalised, squares
from xdcbench.models.video import R2Plus1D
from xdcbench.schema import VideoInput, VideoModel


def boxes(sides: list[int], flips: list[bool], frames: int = 3, seed: int = 0) -> Boxes:
    rng = np.random.default_rng(seed)
    # Smooth pictures: on noise, two right ways to round differ by more than a resize does.
    parts = [
        np.kron(rng.integers(0, 256, (frames, 4, 4, 3)), np.ones((1, -(-side // 4), -(-side // 4), 1)))
        for side in sides
    ]
    flat = [part[:, :side, :side].astype(np.uint8).ravel() for part, side in zip(parts, sides, strict=True)]
    return Boxes(torch.from_numpy(np.concatenate(flat)), tuple(sides), frames, tuple(flips))


def pillow(frame: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR))


def test_boxes_are_resized_and_mirrored_one_by_one() -> None:
    given = boxes([16, 20, 19, 20, 16], [False, True, False, False, True])
    found = squares(given, 16)
    assert found.shape == (5, 3, 16, 16, 3) and found.dtype == torch.uint8
    for clip, box, flip in zip(found.numpy(), given.split(), given.flips, strict=True):
        for picture, frame in zip(clip, box.numpy(), strict=True):
            expected = pillow(frame, 16).astype(int)
            expected = expected[:, ::-1] if flip else expected
            assert np.abs(picture - expected).max() <= 1


def test_test_clips_pass_unchanged_and_uncopied() -> None:
    given = boxes([16, 16], [False, False])
    found = squares(given, 16)
    assert found.data_ptr() == given.pixels.data_ptr()
    assert torch.equal(found, torch.stack(given.split()))


def test_a_mirrored_clip_of_the_right_size_is_mirrored_exactly() -> None:
    given = boxes([16, 16], [True, False])
    first, second = given.split()
    found = squares(given, 16)
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
    whole = squares(given, 8)
    for clip, box, side, flip in zip(whole, given.split(), sides, flips, strict=True):
        assert torch.equal(clip, squares(Boxes(box.flatten(), (side,), 3, (flip,)), 8)[0])


def test_normalised_clips_are_those_that_the_encoder_prepares() -> None:
    encoder = R2Plus1D(VideoModel(width=4, input=VideoInput(frames=2, size=8, short_side=(8, 8))))
    clips = torch.randint(256, (2, 2, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = clips.clone()
    found = normalised(clips, encoder.normalise.scale, encoder.normalise.shift)
    assert found.shape == (2, 3, 2, 8, 8) and found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    for colour in range(3):
        mean, std = encoder.input.mean[colour], encoder.input.std[colour]
        expected = (clips[..., colour].double() / 255 - mean) / std
        torch.testing.assert_close(found[:, colour].double(), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(clips, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_device_changes_no_picture() -> None:
    given = boxes([16, 20, 19], [False, True, False])
    here, there = squares(given, 16), squares(given.to(torch.device("cuda")), 16)
    assert there.is_cuda
    assert (here.int() - there.cpu().int()).abs().max() <= 1
