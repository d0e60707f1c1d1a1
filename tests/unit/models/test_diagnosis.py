"""Who is at fault where features are of no use, in a round and in a features stage."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.unit.tiny import CPU, MODELS, make_index, round_config
from xdcbench.clustering.preprocess import fit
from xdcbench.config.base import Modality
from xdcbench.config.stages import FeaturesStage
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import even_clips
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import EqualFeaturesError, UserError
from xdcbench.evaluation import features as features_stage
from xdcbench.models.diagnosis import untrained, why_equal
from xdcbench.models.encoders import Encoder, EncoderMetadata, load_encoders, save_encoders
from xdcbench.models.inference import Inference
from xdcbench.models.weights import build_encoder
from xdcbench.pretraining import rounds

COLORS: dict[str, Callable[[int, int], np.ndarray]] = {
    "black": lambda item, frame: np.zeros((24, 24, 3), np.uint8),
    "gray": lambda item, frame: np.full((24, 24, 3), 128, np.uint8),
    "same": lambda item, frame: np.indices((24, 24)).sum(0).astype(np.uint8)[..., None].repeat(3, 2) * 4,
    "varied": lambda item, frame: np.random.default_rng([item, frame]).integers(
        0, 256, (24, 24, 3), np.uint8
    ),
}
TONES: dict[str, Callable[[int], np.ndarray]] = {
    "silent": lambda item: np.zeros(24_000),
    "same": lambda item: np.sin(np.arange(24_000) / 8),
    "varied": lambda item: np.random.default_rng(item).uniform(-1, 1, 24_000),
}


def videos(root: Path, color: str, tone: str, *, items: int = 6) -> Path:
    """Kinetics' layout, two classes of a half each."""
    for item in range(items):
        part, youtube = "val" if item < 2 else "train", "abcdefghij"[item] * 11
        path = root / "kinetics400" / part / f"class{item % 2}" / f"{youtube}_000000_000010.mkv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as out:
            video, audio = out.add_stream("ffv1", rate=8), out.add_stream("pcm_s16le", rate=16_000)
            video.width, video.height, video.pix_fmt = 24, 24, "bgr0"
            audio.layout = "mono"
            for number in range(12):
                frame = av.VideoFrame.from_ndarray(COLORS[color](item, number), format="rgb24")
                frame.pts = number
                out.mux(video.encode(frame))
            samples = (TONES[tone](item) * 30_000).astype(np.int16)[None]
            heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            heard.sample_rate, heard.pts = 16_000, 0
            out.mux(audio.encode(heard))
            for stream in (video, audio):
                out.mux(stream.encode(None))
    return root


def start(folder: Path, encoders: dict[Modality, Encoder]) -> Path:
    folder.mkdir()
    save_encoders(folder, encoders, EncoderMetadata(config_hash="r", method="xdc", seed=0, models=MODELS))
    return folder


def fresh() -> dict[Modality, Encoder]:
    return {"video": build_encoder(MODELS.video, seed=0), "audio": build_encoder(MODELS.audio, seed=0)}


def collapsed() -> dict[Modality, Encoder]:
    """Encoders that give the same for everything."""
    encoders = fresh()
    with torch.no_grad():
        for encoder in encoders.values():
            for parameter in encoder.parameters():
                parameter.zero_()
    return encoders


@pytest.mark.parametrize("preprocess", ["pca_whiten_l2", "none", "l2"])
@pytest.mark.parametrize(
    ("color", "tone", "says", "never"),
    [
        (
            "varied",
            "silent",
            r"untrained audio encoder are equal, too: the audio of all 4 items looked at, such as "
            r"train/class0/c+_000000_000010\.mkv, \S+\.mkv, \S+\.mkv, is silent",
            "video encoder",
        ),
        ("varied", "same", "the audio of all 4 items .* is the same or hardly differs", "video encoder"),
        ("black", "varied", "the video of all 4 items .* is black", "audio encoder"),
        ("gray", "varied", "the video of all 4 items .* is of one color", "audio encoder"),
        ("same", "varied", "the video of all 4 items .* is the same or hardly differs", "audio encoder"),
        ("black", "silent", "the audio of .* is silent.*; .*the video of .* is black", "collapsed"),
    ],
)
def test_data_that_hold_nothing_are_named_and_no_encoder_is_blamed(
    color: str, tone: str, says: str, never: str, preprocess: str, tmp_path: Path
) -> None:
    root = videos(tmp_path / "data", color, tone)
    make_index(tmp_path / "kinetics400", root, "kinetics400")
    inputs = {"data": tmp_path / "kinetics400", "encoders": start(tmp_path / "init", fresh())}
    config = round_config("xdc", k=2, preprocess=preprocess, batch_size=2)
    (tmp_path / "run").mkdir()
    context = Context("tests", roots={"kinetics400": root / "kinetics400"})
    with pytest.raises(UserError, match=says) as error:
        rounds.run(config, inputs, tmp_path / "run", context)
    assert "collapsed" not in str(error.value) and "learning rate" not in str(error.value)
    assert never not in str(error.value)


def test_an_encoder_that_has_collapsed_is_blamed(tmp_path: Path) -> None:
    root = videos(tmp_path / "data", "varied", "varied")
    make_index(tmp_path / "kinetics400", root, "kinetics400")
    inputs = {"data": tmp_path / "kinetics400", "encoders": start(tmp_path / "init", collapsed())}
    (tmp_path / "run").mkdir()
    context = Context("tests", roots={"kinetics400": root / "kinetics400"})
    with pytest.raises(
        UserError, match=r"xdc round 1: .*the audio encoder has collapsed: .* at a lower learning rate"
    ):
        rounds.run(round_config("xdc", k=2, batch_size=2), inputs, tmp_path / "run", context)


def test_a_part_that_differs_is_seen_through_other_items(tmp_path: Path) -> None:
    """The encoder is asked again; where its features differ, nobody is blamed."""
    root = videos(tmp_path / "data", "varied", "varied")
    index = Index.load(make_index(tmp_path / "kinetics400", root, "kinetics400"))
    clips = ClipDataset(index, root / "kinetics400", video=MODELS.video.input, audio=MODELS.audio.input)
    encoders = {m: e.eval() for m, e in fresh().items()}
    said = why_equal(encoders, clips, even_clips(range(6), 1), Inference("fp32", CPU, 0, "x"))
    assert said == "those of the 6 items looked at differ when they are read again"


@pytest.mark.parametrize(
    ("fault", "says"), [("item", "untrained encoder are not finite either"), ("encoder", "at a lower")]
)
def test_who_makes_features_that_are_not_finite(
    fault: str, says: str, tiny_runs: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = fresh()["audio"]
    true = ClipDataset.__getitem__
    if fault == "encoder":
        with torch.no_grad():
            next(encoder.parameters()).fill_(float("nan"))
    else:

        def bad(self: ClipDataset, spec: object) -> dict[Modality, torch.Tensor]:
            sample = true(self, spec)  # type: ignore[arg-type]
            if spec.row == 3:  # type: ignore[attr-defined]
                sample["audio"][2000:4000] = float("nan")
            return sample

        monkeypatch.setattr(ClipDataset, "__getitem__", bad)
    inputs = {"data": tiny_runs / "esc50", "encoders": start(tmp_path / "init", {"audio": encoder})}
    config = FeaturesStage(modality="audio", num_clips=1, precision="fp32")
    (tmp_path / "run").mkdir()
    name = Index.load(tiny_runs / "esc50").items["path"].iloc[3 if fault == "item" else 0]
    with pytest.raises(UserError, match=f"the audio features of {name} are not finite; .*{says}"):
        features_stage.run(
            config, inputs, tmp_path / "run", Context("tests", roots={"esc50": world / "esc50"})
        )


def test_an_untrained_encoder_has_other_weights_and_the_same_architecture(tiny_runs: Path) -> None:
    for modality, encoder in load_encoders(tiny_runs / "init", ("video", "audio"), device=CPU).items():
        other = untrained(encoder)
        mine, new = encoder.state_dict(), other.state_dict()
        assert mine.keys() == new.keys(), modality
        assert any(not torch.equal(mine[name], new[name]) for name in mine)
        assert not other.training


def test_pca_blames_nobody() -> None:
    with pytest.raises(EqualFeaturesError, match=r"^PCA: the features of all 5 items are equal$"):
        fit(torch.ones(5, 3), mode="pca_whiten_l2", dim=2)
