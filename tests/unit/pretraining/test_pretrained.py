"""Encoders from elsewhere take part as any other: of a run, a file, torchvision, the user's code."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model

from xdcbench.config.models import AudioModel, Models, PretrainedEncoders, VideoInput, VideoModel
from xdcbench.config.stages import InitStage, PretrainedStage
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.models.encoders import load_encoder_metadata, load_encoders
from xdcbench.models.pretrained.origins import find_origin
from xdcbench.models.weights import build_encoder
from xdcbench.pipeline.graph import Stage
from xdcbench.pretraining.init import run as init
from xdcbench.pretraining.pretrained import run
from xdcbench.utils.code import Consent

CPU = torch.device("cpu")
SMALL = VideoModel(
    width=4, blocks=(1, 1, 1, 1), input=VideoInput(frames=4, size=16, fps=4, short_side=(16, 16))
)
OWN = "tests.unit.models.own_encoder"
TRUSTED = Consent(everything=True)


def kept(pretrained: PretrainedEncoders, work: Path) -> Path:
    """Run directory of ``pretrained``."""
    work.mkdir()
    origin = find_origin("mine", pretrained, consent=TRUSTED)
    assert not origin.unavailable
    run(
        PretrainedStage(name="mine", encoders=pretrained, fingerprint=origin.fingerprint),
        {},
        work,
        Context(suite="s", consent=TRUSTED),
    )
    return work


def video(**settings: object) -> PretrainedEncoders:
    return PretrainedEncoders.model_validate({"pretrain_data": "elsewhere", "video": settings})


def test_a_weights_file_is_taken_but_for_its_classifier(tmp_path: Path) -> None:
    encoder = build_encoder(SMALL, seed=3)
    state = encoder.state_dict() | {"fc.weight": torch.zeros(5, 32), "fc.bias": torch.zeros(5)}
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "w.pth")
    folder = kept(video(model=SMALL, weights=str(tmp_path / "w.pth")), tmp_path / "run")
    found = load_encoders(folder, ("video",), device=CPU)["video"].state_dict()
    assert found.keys() == encoder.state_dict().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in encoder.state_dict().items())
    metadata = load_encoder_metadata(folder)
    assert (metadata.method, metadata.pretrain_data, metadata.encoders) == ("mine", "elsewhere", ("video",))


def test_both_encoders_may_come_from_safetensors(tmp_path: Path) -> None:
    audio = AudioModel(width=8)
    for name, model in (("video", SMALL), ("audio", audio)):
        state = {k: v.contiguous() for k, v in build_encoder(model, seed=1).state_dict().items()}
        save_file(state, tmp_path / f"{name}.safetensors")
    pretrained = PretrainedEncoders.model_validate(
        {
            "video": {"model": SMALL, "weights": str(tmp_path / "video.safetensors")},
            "audio": {"model": audio, "weights": str(tmp_path / "audio.safetensors")},
        }
    )
    folder = kept(pretrained, tmp_path / "run")
    encoders = load_encoders(folder, ("video", "audio"), device=CPU)
    expected = build_encoder(audio, seed=1).state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in encoders["audio"].state_dict().items())


def test_an_earlier_run_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    config = InitStage(models=Models(video=SMALL, audio=AudioModel(width=8)), seed=5)
    init(config, {}, tmp_path / "init", Context(suite="s"))
    folder = kept(PretrainedEncoders(run=str(tmp_path / "init")), tmp_path / "run")
    metadata, before = load_encoder_metadata(folder), load_encoder_metadata(tmp_path / "init")
    assert metadata == before.model_copy(update={"method": "mine", "config_hash": metadata.config_hash})
    for modality in ("video", "audio"):
        name = f"{modality}.safetensors"
        assert (folder / name).read_bytes() == (tmp_path / "init" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "frames", "size", "features"), [("r3d_18", 4, 32, 512), ("resnet18", 2, 64, 512)]
)
def test_torchvision_encodes_as_its_own_model_without_classifier(
    name: str, frames: int, size: int, features: int, tmp_path: Path
) -> None:
    net = get_model(name, weights=None)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    declared = VideoModel(input=VideoInput(frames=frames, size=size, short_side=(size, size)))
    pretrained = video(source=f"torchvision:{name}", weights=str(tmp_path / "w.pth"), model=declared)
    encoder = load_encoders(kept(pretrained, tmp_path / "run"), ("video",), device=CPU)["video"].eval()
    assert encoder.features == features
    net.fc = nn.Identity()
    clips = torch.randn(2, 3, frames, size, size)
    with torch.inference_mode():
        if name == "resnet18":
            expected = torch.stack([net.eval()(clips[:, :, t]) for t in range(frames)]).mean(dim=0)
        else:
            expected = net.eval()(clips)
        torch.testing.assert_close(encoder(clips), expected, rtol=1e-4, atol=1e-5)


def test_clips_are_normalised_as_declared() -> None:
    from xdcbench.models.encoders import build

    declared = VideoInput(frames=1, size=32, short_side=(32, 32), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    encoder = build("torchvision:r3d_18", VideoModel(input=declared))
    clips = torch.randint(0, 256, (1, 1, 32, 32, 3), dtype=torch.uint8)
    expected = (clips / 255 - torch.tensor(declared.mean)) / torch.tensor(declared.std)
    torch.testing.assert_close(encoder.prepare(clips), expected.permute(0, 4, 1, 2, 3), rtol=1e-5, atol=1e-5)


def test_the_users_own_encoder_takes_part(tmp_path: Path) -> None:
    folder = kept(video(source=f"{OWN}:Tiny"), tmp_path / "run")
    encoder = load_encoders(folder, ("video",), device=CPU, consent=TRUSTED)["video"]
    assert (encoder.features, encoder.input.frames) == (8, 4)
    assert load_encoder_metadata(folder).models.video.input.frames == 4
    again = load_encoders(folder, ("video",), device=CPU, consent=TRUSTED)["video"]
    clips = torch.randn(2, 3, 4, 16, 16)
    assert torch.equal(encoder(clips), again(clips))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": f"{OWN}:Undeclared"}, r"must be a torch module with `input`"),
        ({"source": f"{OWN}:Lying"}, r"declares 9 features, but gives \(2, 8\)"),
        ({"source": f"{OWN}:Absent"}, r"could not be built \(AttributeError"),
        (
            {"source": "no_such_module:Net"},
            r"none of r2plus1d, resnet, mfcc, torchvision:NAME or an importable",
        ),
        ({"source": "r2plus2d"}, r"none of r2plus1d, resnet"),
        ({"source": "torchvision:r3d_81"}, r"did you mean 'r3d_18'"),
        ({"source": "torchvision:r3d_18", "weights": "KINETICS401_V1"}, r"did you mean 'KINETICS400_V1'"),
    ],
)
def test_a_source_that_does_not_fit_is_told(
    settings: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        kept(video(**settings), tmp_path / "run")


def test_weights_that_do_not_fit_are_all_named(tmp_path: Path) -> None:
    state = build_encoder(SMALL, seed=0).state_dict()
    state.pop("stem.0.weight")
    state["stem.9.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"missing: stem\.0\.weight; unexpected: stem\.9\.weight"):
        kept(video(model=SMALL, weights=str(tmp_path / "w.pth")), tmp_path / "run")


class Payload:
    """An object whose unpickling would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickled_objects_and_cut_files_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Payload(tmp_path / "owned")}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth: no readable weights"):
        kept(video(model=SMALL, weights=str(tmp_path / "evil.pth")), tmp_path / "one")
    assert not (tmp_path / "owned").exists()
    torch.save(build_encoder(SMALL, seed=0).state_dict(), tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"cut\.pth: no readable weights"):
        kept(video(model=SMALL, weights=str(tmp_path / "cut.pth")), tmp_path / "two")


def test_a_missing_file_is_unavailable_and_weights_are_in_the_key(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    pretrained = video(model=SMALL, weights=str(path))
    assert find_origin("mine", pretrained).unavailable == f"no weights file {path} for mine"

    def key() -> str:
        mark = find_origin("mine", pretrained).fingerprint
        return Stage(
            "pretrained", "mine", PretrainedStage(name="mine", encoders=pretrained, fingerprint=mark)
        ).key

    path.write_bytes(b"one")
    first = key()
    path.write_bytes(b"two")
    assert key() != first
    elsewhere = tmp_path / "moved.pth"
    path.rename(elsewhere)
    pretrained, second = (
        video(model=SMALL, weights=str(elsewhere)),
        find_origin("mine", pretrained).unavailable,
    )
    assert second
    elsewhere.write_bytes(b"one")
    assert key() == first
