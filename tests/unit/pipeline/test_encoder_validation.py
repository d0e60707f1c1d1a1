"""`validate-encoder`: what its argument stands for, which files are read, and its exit codes."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.unit.models.own_encoder import Raw, Tiny
from tests.unit.tiny import MODELS
from xdcbench.cli.main import app
from xdcbench.config.models import PretrainedEncoders
from xdcbench.data.media import read_audio
from xdcbench.errors import UserError
from xdcbench.models import validation
from xdcbench.models.weights import build_encoder
from xdcbench.pipeline.encoder_entry import entry_of
from xdcbench.pipeline.encoder_validation import read_files

OWN = "tests.unit.models.own_encoder"


@pytest.fixture(autouse=True)
def _one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "SECONDS", 0.0)


@pytest.mark.parametrize(
    ("spec", "entry"),
    [
        ("torchvision:r3d_18", {"video": {"source": "torchvision:r3d_18"}}),
        ("mfcc", {"audio": {"source": "mfcc"}}),
        ("resnet", {"audio": {"source": "resnet"}}),
        ("my_encoder:Raw", {"audio": {"source": "my_encoder:Raw"}}),
        ("r2plus1d_18_xdc_ig65m_kinetics", {"video": {"weights": "r2plus1d_18_xdc_ig65m_kinetics"}}),
    ],
)
def test_a_spec_is_short_for_an_entry_of_a_suite(spec: str, entry: dict[str, object]) -> None:
    assert entry_of(spec, None) == PretrainedEncoders.model_validate(entry)


def test_settings_are_laid_over_it() -> None:
    entry = entry_of("torchvision:r3d_18", None, ("video.weights=w.pth", "video.model.input.frames=16"))
    assert entry.video is not None
    assert (entry.video.weights, entry.video.model.input.frames) == ("w.pth", 16)


def test_a_folder_of_encoders_is_checked_whole_or_by_one_modality(tiny_runs: Path) -> None:
    said = CliRunner().invoke(app, ["validate-encoder", str(tiny_runs / "init"), "--device", "cpu"])
    assert said.exit_code == 0, said.output
    assert said.output.count("13 checks passed") == 2
    one = ["validate-encoder", str(tiny_runs / "init"), "--device", "cpu", "--modality", "audio"]
    assert CliRunner().invoke(app, one).output.count("13 checks passed") == 1


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        (f"{OWN}:Raw", 0, "audio encoder of tests.unit.models.own_encoder:Raw"),
        (f"{OWN}:Sequence", 1, "Try: return its mean over time"),
        (f"{OWN}:Undefined", 1, "FAILED  finite"),
    ],
)
def test_the_exit_code_says_whether_all_checks_passed(spec: str, code: int, said: str) -> None:
    result = CliRunner().invoke(app, ["validate-encoder", spec, "--device", "cpu"])
    assert result.exit_code == code, result.output
    assert said in result.output


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([f"{OWN}:Absent"], r"could not be built \(AttributeError: .*no attribute 'Absent'\)"),
        ([f"{OWN}:Undeclared"], "must be a torch module with `input`"),
        ([f"{OWN}:Raw", "--modality", "video"], r"with `input` \(a VideoInput\)"),
        (["no_such_module:Net"], "put its folder on PYTHONPATH"),
        (["torchvision:r3d_81"], "did you mean 'r3d_18'"),
        (["nowhere/at/all"], "is no encoder. Try: module:object"),
        (["mfcc", "--set", "audio.weights=none.pth"], "no weights file none.pth"),
        (["torchvision:r3d_18", "--set", "video.weights=KINETICS401_V1"], "did you mean 'KINETICS400_V1'"),
        ([f"{OWN}:Raw", "--data", "nowhere"], "--data nowhere is no folder"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_line(given: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["validate-encoder", *given, "--device", "cpu"])
    assert isinstance(result.exception, UserError), result.output
    with pytest.raises(UserError, match=message):
        raise result.exception


def test_weights_that_do_not_fit_are_told(tmp_path: Path) -> None:
    torch.save(build_encoder(MODELS.audio, seed=0).state_dict(), tmp_path / "w.pth")
    given = ["validate-encoder", "resnet", "--set", f"audio.weights={tmp_path / 'w.pth'}", "--device", "cpu"]
    error = CliRunner().invoke(app, given).exception
    assert isinstance(error, UserError)
    assert "resnet.audio" in str(error) and "weights do not fit this AudioResNet: missing:" in str(error)


def test_an_error_of_the_users_module_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torn_encoder.py").write_text("import math\nimport no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    error = CliRunner().invoke(app, ["validate-encoder", "torn_encoder:Net"]).exception
    assert isinstance(error, UserError)
    assert str(error) == (
        "encoder 'torn_encoder:Net' could not be built (ModuleNotFoundError: No module named 'no_such_library', "
        "torn_encoder.py line 2)"
    )


def test_files_are_read_as_the_encoder_takes_them_and_unreadable_ones_passed_over(
    world: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted((world / "kinetics400").rglob("*.mp4"))[:3]):
        (tmp_path / f"{number}.mp4").hardlink_to(path)
    (tmp_path / "torn.mp4").write_bytes(b"no video")
    (tmp_path / "notes.txt").write_text("no media")
    heard, seen = read_files(tmp_path, Raw.input), read_files(tmp_path, Tiny.input)
    assert heard.shape == (3, 19_200) and seen.shape == (3, 4, 16, 16, 3) and seen.dtype == torch.uint8
    expected = [read_audio(p, start=0.0, seconds=0.8, sample_rate=24_000) for p in tmp_path.glob("[0-9].mp4")]
    assert {tuple(x.tolist()) for x in heard} == {tuple(x.tolist()) for x in expected}
    for path in tmp_path.glob("[12].mp4"):
        path.unlink()
    with pytest.raises(UserError, match="1 files with readable audio, where 2 are needed"):
        read_files(tmp_path, Raw.input)
