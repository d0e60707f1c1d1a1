"""Clips: where they lie in time and frame, and reading them as batches."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tiny import MODELS, small_index
from xdcbench.config.models import AudioInput, VideoInput
from xdcbench.data import clip_dataset as module
from xdcbench.data.clip_dataset import ClipDataset, crop_box
from xdcbench.data.clips import ClipSpec, even_clips
from xdcbench.data.index import Index
from xdcbench.data.media import read_audio, read_clip

VIDEO, AUDIO = MODELS.video.input, MODELS.audio.input


@pytest.fixture(scope="module")
def kinetics(tiny_runs: Path) -> Index:
    return Index.load(tiny_runs / "kinetics400")


@pytest.fixture(scope="module")
def folder(world: Path) -> Path:
    return world / "kinetics400"


def starts(
    clips: ClipDataset, specs: list[ClipSpec], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[float], list[float]]:
    """Starts, in seconds, at which the decoders are asked for video and audio."""
    seen: dict[str, list[float]] = {"video": [], "audio": []}

    def decoded_clip(path: Path, *, start: float, frames: int, fps: float, short_side: int) -> torch.Tensor:
        seen["video"].append(start)
        return torch.zeros(frames, short_side, short_side, 3, dtype=torch.uint8)

    def decoded_audio(path: Path, *, start: float, seconds: float, sample_rate: int) -> torch.Tensor:
        seen["audio"].append(start)
        return torch.zeros(round(seconds * sample_rate))

    monkeypatch.setattr(module, "read_clip", decoded_clip)
    monkeypatch.setattr(module, "read_audio", decoded_audio)
    for spec in specs:
        clips[spec]
    return seen["video"], seen["audio"]


@pytest.mark.parametrize(
    ("duration", "clips", "last", "expected"),
    [
        (5.0, 10, 3.0, np.linspace(0, 3, 10)),  # ESC-50's published windows
        (5.001, 10, 3.0, np.linspace(0, 3, 10)),  # of Ogg files, which decode to a little more
        (5.0, 10, None, np.linspace(0, 3, 10)),
        (30.0, 60, 29.0, np.minimum(np.linspace(0, 29, 60), 28)),  # DCASE's
        (30.0, 60, None, np.linspace(0, 28, 60)),
        (5.0, 1, None, [1.5]),
        (5.0, 1, 2.0, [1.0]),
        (4.0, 3, 3.0, [0.0, 1.5, 2.0]),
        (2.0, 3, 3.0, [0.0, 0.0, 0.0]),
        (1.0, 3, None, [0.0, 0.0, 0.0]),
    ],
)
def test_windows_are_evenly_spaced(
    kinetics: Index,
    monkeypatch: pytest.MonkeyPatch,
    duration: float,
    clips: int,
    last: float | None,
    expected: list[float],
) -> None:
    reader = ClipDataset(kinetics, Path(), audio=AudioInput(seconds=2.0))
    reader.durations = np.full(len(reader), duration)
    _, found = starts(reader, even_clips([3], clips, last_start=last), monkeypatch)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("seen", "late", "heard", "video", "audio"),
    [
        (3.0, 0.0, 10.0, (0.0, 1.0), (0.0, 8.0)),  # the trial file: clips froze on the last frame
        (10.0, 0.0, 3.0, (0.0, 8.0), (0.0, 1.0)),
        (10.0, 2.5, 5.0, (0.0, 8.0), (2.5, 5.5)),
        (10.0, -0.5, 10.5, (0.0, 8.0), (-0.5, 8.0)),
        (10.01, 0.02, 10.031, (0.0, 8.01), (0.0, 8.01)),  # an ordinary video, whose tracks are together
        (0.0, 0.0, 10.0, (0.0, 0.0), (0.0, 8.0)),
        (1.0, 0.0, 1.5, (0.0, 0.0), (0.0, 0.0)),
    ],
)
def test_clips_lie_in_the_track_that_is_read(
    monkeypatch: pytest.MonkeyPatch,
    seen: float,
    late: float,
    heard: float,
    video: tuple[float, float],
    audio: tuple[float, float],
) -> None:
    index = small_index([0], ["train"])
    index.items[["duration", "video_seconds", "audio_start", "audio_seconds"]] = seen, seen, late, heard
    index.items["video"] = seen > 0
    clip, window = VideoInput(frames=10, fps=5), AudioInput(seconds=2.0)
    specs = even_clips([0], 2)
    for read, expected in ((clip, window), video), ((clip, None), video), ((None, window), audio):
        reader = ClipDataset(index, Path(), video=read[0], audio=read[1])
        found = starts(reader, specs, monkeypatch)
        for kind, places in zip(read, found, strict=True):
            if kind is not None:
                np.testing.assert_allclose(places, expected, atol=1e-9)


@given(
    place=st.floats(0, 1),
    duration=st.floats(0.1, 60),
    frames=st.integers(1, 64),
    seconds=st.floats(0.2, 5),
)
@settings(max_examples=150, deadline=None)
def test_video_and_audio_have_one_center_inside_the_file(
    tiny_runs: Path, place: float, duration: float, frames: int, seconds: float
) -> None:
    video, audio = VideoInput(frames=frames), AudioInput(seconds=seconds)
    clips = ClipDataset(Index.load(tiny_runs / "kinetics400"), Path(), video=video, audio=audio)
    clips.durations = np.full(len(clips), duration)
    with pytest.MonkeyPatch.context() as patch:
        (begin,), (hear,) = starts(clips, [ClipSpec(0, place)], patch)
    center, span = begin + video.seconds / 2, max(video.seconds, seconds)
    assert hear + seconds / 2 == pytest.approx(center)
    assert center >= span / 2 - 1e-9
    if duration >= span:
        assert center <= duration - span / 2 + 1e-9
        assert center == pytest.approx(span / 2 + place * (duration - span))


def test_frame_obeys_the_declared_input(kinetics: Index, folder: Path) -> None:
    clips = ClipDataset(kinetics, folder, video=VIDEO, audio=AUDIO)
    sample = clips[ClipSpec(0)]
    assert sample["video"].shape == (4, 16, 16, 3) and sample["video"].dtype == torch.uint8
    assert sample["audio"].shape == (12_800,) and sample["audio"].dtype == torch.float32
    duration = float(kinetics.items["duration"].iloc[0])
    path = folder / kinetics.items["path"].iloc[0]
    whole = read_clip(path, start=(duration - 0.5) / 2, frames=4, fps=8, short_side=16)
    assert torch.equal(sample["video"], whole)
    heard = read_audio(path, start=(duration - 0.8) / 2, seconds=0.8, sample_rate=16_000)
    assert torch.equal(sample["audio"], heard)


@pytest.mark.parametrize(
    ("crop", "rows", "columns"),
    [
        ((0.0, 0.0), slice(0, 16), slice(0, 16)),
        ((1.0, 1.0), slice(4, 20), slice(4, 20)),
        ((0.0, 1.0), slice(0, 16), slice(4, 20)),
        ((0.5, 0.5), slice(2, 18), slice(2, 18)),
    ],
)
def test_crops_reach_the_corners(
    kinetics: Index, folder: Path, crop: tuple[float, float], rows: slice, columns: slice
) -> None:
    clips = ClipDataset(kinetics, folder, video=VIDEO)
    found = clips[ClipSpec(0, 0.0, crop=crop, scale=0.9999)]["video"]
    path = folder / kinetics.items["path"].iloc[0]
    whole = read_clip(path, start=0.0, frames=4, fps=8, short_side=20)
    assert torch.equal(found, whole[:, rows, columns])


def test_scale_picks_every_short_side_alike(kinetics: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def decoded_clip(path: Path, *, short_side: int, **_: object) -> torch.Tensor:
        asked.append(short_side)
        return torch.zeros(4, short_side, short_side, 3, dtype=torch.uint8)

    monkeypatch.setattr(module, "read_clip", decoded_clip)
    clips = ClipDataset(kinetics, Path(), video=VIDEO)
    scales = (np.arange(100) + 0.5) / 100
    sides = [clips[ClipSpec(0, scale=float(scale))]["video"].shape[1] for scale in scales]
    assert set(asked) == {20}
    # 16 of 16, 17, 18, 19 and 20 pixels are 20, 18.8, 17.8, 16.8 and 16 of 20.
    assert [sides.count(side) for side in range(15, 22)] == [0, 20, 20, 20, 20, 20, 0]


@given(
    size=st.integers(8, 256),
    shrink=st.integers(0, 64),
    spread=st.integers(0, 64),
    scale=st.none() | st.floats(0, 1),
)
def test_a_box_shows_what_the_crop_of_a_rescaled_frame_shows(
    size: int, shrink: int, spread: int, scale: float | None
) -> None:
    low, high = size + shrink, size + shrink + spread
    short_side, side = crop_box(VideoInput(size=size, short_side=(low, high)), scale)
    assert size <= side <= short_side <= high
    if scale is None:
        assert (short_side, side) == (low, size)
    else:
        wanted = min(low + int(scale * (spread + 1)), high)
        assert side / short_side == pytest.approx(size / wanted, abs=0.5 / high + 1e-9)
    if spread == 0:
        assert (short_side, side) == (low, size)


def test_no_clip_or_window_is_larger_than_said(kinetics: Index, folder: Path) -> None:
    clips = ClipDataset(kinetics, folder, video=VIDEO, audio=AUDIO)
    sample = clips[ClipSpec(0, scale=0.0)]
    assert sample["video"].numel() == clips.pixels == 4 * 20 * 20 * 3
    assert sample["audio"].numel() == clips.samples == 12_800
    blind, deaf = ClipDataset(kinetics, folder, audio=AUDIO), ClipDataset(kinetics, folder, video=VIDEO)
    assert (blind.pixels, deaf.samples) == (0, 0)


def test_an_image_is_a_clip_that_stands_still(tiny_runs: Path, world: Path) -> None:
    index = Index.load(tiny_runs / "imagenet")
    clip = ClipDataset(index, world / "imagenet", video=VIDEO)[ClipSpec(0)]["video"]
    assert clip.shape == (4, 16, 16, 3)
    assert (clip == clip[:1]).all()
    with av.open(str(world / "imagenet" / index.items["path"].iloc[0])) as file:
        frame = next(file.decode(video=0))
    shrunk = torch.from_numpy(frame.reformat(16, 16, "rgb24").to_ndarray()).float()
    assert (clip[0].float() - shrunk).abs().mean() < 8
