"""Features of frozen encoders: against one clip at a time, with unreadable items, without side effects."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.tiny import CPU, MODELS, linked, spoil
from xdcbench.config.base import Modality
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import ClipSpec, even_clips
from xdcbench.data.index import Index
from xdcbench.models import inference as module
from xdcbench.models.encoders import Encoder, load_encoders
from xdcbench.models.inference import Inference, extract

BOTH: tuple[Modality, ...] = ("video", "audio")


def features(
    encoders: Mapping[Modality, Encoder], index: Index, root: Path, rows: list[int], count: int
) -> tuple[dict[Modality, np.ndarray], dict[int, str]]:
    clips = ClipDataset(index, root, video=MODELS.video.input, audio=MODELS.audio.input)
    specs = even_clips(rows, count)
    return extract(encoders, clips, specs, Inference("fp32", CPU, 0, "x"))


@pytest.fixture(scope="module")
def index(tiny_runs: Path) -> Index:
    return Index.load(tiny_runs / "kinetics400")


@pytest.fixture
def encoders(tiny_runs: Path) -> dict[Modality, Encoder]:
    return load_encoders(tiny_runs / "init", BOTH, device=CPU)


def test_features_are_those_of_each_clip_alone(
    index: Index, encoders: dict[Modality, Encoder], world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    rows = [3, 0, 7]
    found, failed = features(encoders, index, world / "kinetics400", rows, 2)
    assert failed == {}
    assert {m: f.shape for m, f in found.items()} == {"video": (6, 32), "audio": (6, 64)}
    clips = ClipDataset(index, world / "kinetics400", video=MODELS.video.input, audio=MODELS.audio.input)
    for place, spec in enumerate(even_clips(rows, 2)):
        sample = clips[spec]
        for modality, encoder in encoders.items():
            with torch.no_grad():
                alone = encoder.eval()(encoder.prepare(sample[modality][None]))[0]
            np.testing.assert_allclose(found[modality][place], alone.numpy(), rtol=1e-3, atol=1e-4)
            assert found[modality].dtype == np.float32


def test_an_unreadable_item_is_nan_and_named_and_moves_no_other(
    index: Index,
    encoders: dict[Modality, Encoder],
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    root = linked(world / "kinetics400", tmp_path / "kinetics400")
    for row in (1, 4, 5):
        spoil(root / index.items["path"].iloc[row])
    rows = list(range(7))
    whole, _ = features(encoders, index, world / "kinetics400", rows, 1)
    found, failed = features(encoders, index, root, rows, 1)
    assert sorted(failed) == [1, 4, 5]
    for modality in BOTH:
        assert np.isnan(found[modality][[1, 4, 5]]).all()
        np.testing.assert_allclose(
            found[modality][[0, 2, 3, 6]], whole[modality][[0, 2, 3, 6]], rtol=1e-3, atol=1e-4
        )


def test_the_encoders_learn_nothing(index: Index, encoders: dict[Modality, Encoder], world: Path) -> None:
    before = {m: {k: v.clone() for k, v in e.state_dict().items()} for m, e in encoders.items()}
    for encoder in encoders.values():
        encoder.train()
    features(encoders, index, world / "kinetics400", [0, 1], 1)
    for modality, encoder in encoders.items():
        assert not encoder.training
        assert all(torch.equal(before[modality][k], v) for k, v in encoder.state_dict().items())


def test_only_what_is_asked_for_is_encoded(
    index: Index, encoders: dict[Modality, Encoder], world: Path
) -> None:
    found, _ = features({"audio": encoders["audio"]}, index, world / "kinetics400", [0], 1)
    assert set(found) == {"audio"}


def into(
    folder: Path,
    encoders: Mapping[Modality, Encoder],
    index: Index,
    root: Path,
    specs: Sequence[ClipSpec],
    there: np.ndarray | None = None,
) -> tuple[dict[Modality, np.ndarray], dict[int, str]]:
    clips = ClipDataset(index, root, video=MODELS.video.input, audio=MODELS.audio.input)
    return extract(encoders, clips, specs, Inference("fp32", CPU, 0, "x"), into=folder, there=there)


def test_a_killed_extraction_goes_on_without_reading_again(
    index: Index,
    encoders: dict[Modality, Encoder],
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed in the third of four blocks; the torn item of the first stays what it was found to be."""
    monkeypatch.setattr(module, "BATCH", 3)
    root, specs = linked(world / "kinetics400", tmp_path / "kinetics400"), even_clips(range(10), 1)
    torn = root / index.items["path"].iloc[1]
    whole = torn.read_bytes()
    spoil(torn)
    expected, reasons = into(tmp_path / "at once", encoders, index, root, specs)
    assert list(reasons) == [1]
    read: list[int] = []
    true = ClipDataset.__getitem__

    def dying(self: ClipDataset, spec: ClipSpec) -> dict[str, torch.Tensor]:
        read.append(spec.row)
        if spec.row == 7 and read.count(7) == 1:
            raise KeyboardInterrupt
        return true(self, spec)

    monkeypatch.setattr(ClipDataset, "__getitem__", dying)
    with pytest.raises(KeyboardInterrupt):
        into(tmp_path / "killed", encoders, index, root, specs)
    torn.write_bytes(whole)
    found, failed = into(tmp_path / "killed", encoders, index, root, specs)
    assert read == [*range(8), *range(6, 10)], "the block in work is read again, and no other"
    assert failed == reasons
    for modality in BOTH:
        assert np.array_equal(found[modality], expected[modality], equal_nan=True), "to the bit"


def test_files_hold_what_memory_would_and_nothing_is_nan(
    index: Index, encoders: dict[Modality, Encoder], world: Path, tmp_path: Path
) -> None:
    rows = [0, 2, 3]
    held, _ = features(encoders, index, world / "kinetics400", rows, 2)
    there = np.array([True, False, True, True])
    found, failed = into(tmp_path, encoders, index, world / "kinetics400", even_clips(range(4), 2), there)
    assert failed == {}
    for modality in BOTH:
        assert np.isnan(found[modality][1]).all()
        assert np.array_equal(found[modality][there].reshape(6, -1), held[modality])
        assert np.array_equal(np.load(tmp_path / f"{modality}.npy"), found[modality], equal_nan=True)
