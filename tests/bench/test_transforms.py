"""Augmentation and log-mel of batches beside torchvision and torchaudio item by item, in the same run.

Both sides start from the same decoded frames, uint8 8 x 160 x 213, and windows of 2 s at 16 kHz, one worker
process and one thread each, take the same random values, and end with the same float batches of 32 in the
training process:

- own: the worker cuts boxes; the training process resizes and mirrors them, normalizes the batch, makes its
  spectrograms.
- peer: torch's DataLoader, whose worker resizes the whole frame to the short side drawn, crops, mirrors, scales
  to [0, 1], normalizes, makes the spectrogram with torchaudio, and stacks: all with torchvision's and torchaudio's
  own functions, one item after another.

What counts is processor time of all processes, from the first batch to the last, which a busy machine hardly
moves; the start of the workers is in it.
"""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchaudio.transforms import MelScale, Spectrogram
from torchvision.transforms.v2 import functional

from tests.unit.tiny import small_index
from xdcbench.config.models import AudioInput, VideoInput
from xdcbench.config.pretraining import Augment
from xdcbench.data import clip_dataset as module
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import ClipSpec, training_clips
from xdcbench.data.dataloader import batches
from xdcbench.data.spectrogram import LogMel, mel_filters
from xdcbench.data.transforms import normalize, square_crops

pytestmark = pytest.mark.bench
BATCH, BATCHES = 32, 64
VIDEO, AUDIO = VideoInput(), AudioInput()
Made = Iterator[tuple[Tensor | None, Tensor | None]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """Frames, uint8 (B, 8, 160, 213, 3), smooth, and audio, float32 (B, 32000), in place of the decoder's."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randint(256, (BATCH * 8, 3, 10, 14), dtype=torch.uint8, generator=rng)
    smooth = functional.resize(coarse, [160, 213], antialias=True)
    frames = smooth.permute(0, 2, 3, 1).contiguous().view(BATCH, 8, 160, 213, 3)
    waves = torch.randn(BATCH, 32_000, generator=rng) * 0.1
    monkeypatch.setattr(module, "read_clip", lambda media, **_: frames[int(media.path.name[4:])])
    monkeypatch.setattr(module, "read_audio", lambda path, **_: waves[int(path.name[4:])])
    return frames, waves


@pytest.fixture
def specs() -> list[ClipSpec]:
    return training_clips(np.arange(BATCH), augment=Augment(), seed=0, epoch=0, clips=BATCHES * BATCH)


def own(specs: list[ClipSpec], *, video: bool, audio: bool) -> Made:
    index = small_index([0] * BATCH, ["train"] * BATCH)
    clips = ClipDataset(index, Path(), video=VIDEO if video else None, audio=AUDIO if audio else None)
    logmel, mean, std = LogMel(AUDIO), torch.tensor(VIDEO.mean), torch.tensor(VIDEO.std)
    for batch in batches(clips, specs, size=BATCH, workers=1):
        frames = (
            normalize(square_crops(batch.video, VIDEO.size), 1 / (255 * std), -mean / std)
            if batch.video
            else None
        )
        yield frames, logmel(batch.audio) if batch.audio is not None else None


class Items(Dataset[dict[str, Tensor]]):
    """The peer's items, ready to be stacked."""

    def __init__(self, decoded: tuple[Tensor, Tensor], *, video: bool, audio: bool) -> None:
        (self.frames, self.waves), self.video, self.audio = decoded, video, audio
        self.spectrogram = Spectrogram(AUDIO.n_fft, hop_length=AUDIO.hop_length, power=2.0, center=False)
        self.mel = MelScale(AUDIO.n_mels, AUDIO.sample_rate, AUDIO.f_min, AUDIO.f_max, AUDIO.n_fft // 2 + 1)
        self.mel.fb.copy_(mel_filters(AUDIO))  # its own are not of sum 1; its speed does not depend on them

    def __getitem__(self, spec: ClipSpec) -> dict[str, Tensor]:
        sample = {"video": self.clip(self.frames[spec.row], spec)} if self.video else {}
        return sample | ({"audio": self.window(self.waves[spec.row])} if self.audio else {})

    def clip(self, frames: Tensor, spec: ClipSpec) -> Tensor:
        low, high = VIDEO.short_side
        short_side = low + int((spec.scale or 0.0) * (high - low + 1))
        clip = functional.resize(frames.permute(0, 3, 1, 2), [short_side], antialias=True)
        extents = zip(spec.crop, clip.shape[-2:], strict=True)
        top, left = (round(place * (extent - VIDEO.size)) for place, extent in extents)
        clip = functional.crop(clip, top, left, VIDEO.size, VIDEO.size)
        clip = functional.horizontal_flip(clip) if spec.flip else clip
        clip = functional.to_dtype(clip, torch.float32, scale=True)
        return functional.normalize(clip, list(VIDEO.mean), list(VIDEO.std), inplace=True).transpose(0, 1)

    def window(self, wave: Tensor) -> Tensor:
        centered = torch.nn.functional.pad(wave, ((AUDIO.n_fft - AUDIO.hop_length) // 2, 0))
        energy = self.mel(self.spectrogram(centered)) * AUDIO.gain
        return torch.where(energy > torch.e, energy.clamp_min(torch.e).log(), energy / torch.e)[None]


def peer(decoded: tuple[Tensor, Tensor], specs: list[ClipSpec], *, video: bool, audio: bool) -> Made:
    groups = [specs[begin : begin + BATCH] for begin in range(0, len(specs), BATCH)]
    for batch in DataLoader(Items(decoded, video=video, audio=audio), batch_sampler=groups, num_workers=1):
        yield batch.get("video"), batch.get("audio")


def cpu_seconds(work: Callable[[], Made]) -> float:
    """Processor time of this process and of all that it starts."""

    def spent() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in used)

    before = spent()
    for _ in work():
        pass
    return spent() - before


def test_both_sides_make_the_same_batches(decoded: tuple[Tensor, Tensor], specs: list[ClipSpec]) -> None:
    made = zip(own(specs, video=True, audio=True), peer(decoded, specs, video=True, audio=True), strict=True)
    for (video, audio), (expected, heard) in made:
        torch.testing.assert_close(audio, heard, rtol=1e-4, atol=1e-3)
        assert video is not None and expected is not None
        assert video.shape == expected.shape == (BATCH, 3, 8, 112, 112)
        # Boxes are cut at whole pixels and then shrunk, the peer's frames the other way round.
        assert (video - expected).abs().mean() < 0.1 * expected.std()


@pytest.mark.parametrize(
    ("video", "audio", "least"),
    [(True, True, 3.0), (True, False, 1.0), (False, True, 1.0)],
    ids=["both", "video alone", "audio alone"],
)
def test_augmentation_and_logmel(
    benchmark: BenchmarkFixture,
    decoded: tuple[Tensor, Tensor],
    specs: list[ClipSpec],
    video: bool,
    audio: bool,
    least: float,
) -> None:
    """Bound: at least 3 times as fast as the peer, video and audio together."""
    times: dict[str, list[float]] = {"own": [], "peer": []}

    def take_turns() -> None:
        times["own"].append(cpu_seconds(lambda: own(specs, video=video, audio=audio)))
        times["peer"].append(cpu_seconds(lambda: peer(decoded, specs, video=video, audio=audio)))

    benchmark.pedantic(take_turns, rounds=3)
    ratio = min(times["peer"]) / min(times["own"])
    benchmark.extra_info |= {f"{k} ms a batch": round(min(v) / BATCHES * 1e3, 1) for k, v in times.items()}
    benchmark.extra_info["peer / own"] = round(ratio, 2)
    assert ratio >= least
