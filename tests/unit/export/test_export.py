"""Exported encoders: what is written, that it holds, and what is refused."""

import json
import logging
import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from tests.unit.models.own_encoder import Tiny
from tests.unit.reports.results.made_results import FACTS
from tests.unit.tiny import MODELS
from xdcbench.config.models import PretrainedEncoders, PretrainedVideo
from xdcbench.config.stages import InitStage, PretrainedStage
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.export import export as module
from xdcbench.export.export import export_lines, find_runs
from xdcbench.models.encoders import load_encoders
from xdcbench.models.pretrained.exported import read_export, verified
from xdcbench.models.pretrained.origins import find_origin
from xdcbench.pipeline.building import run_stage
from xdcbench.pipeline.graph import Stage
from xdcbench.results.run_store import RunStore
from xdcbench.results.tables.render import escape_markdown as plain
from xdcbench.utils.code import Consent
from xdcbench.utils.manifest import write_manifest

CPU = torch.device("cpu")
VIDEO = MODELS.video.input


class Unsteady(Tiny):
    """Decides by the values that it sees, which no trace can keep."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if float(x.mean()) > 0 else -x)


@torch.library.custom_op("xdcbench_tests::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return 2 * x


twice.register_fake(torch.empty_like)


class Brought(Tiny):
    """Uses an operator of its own: its program would run in this process, and in no other."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(twice(x))


def stored(store: RunStore, stage: Stage) -> str:
    outcome = run_stage(stage, store, Context("tests", consent=Consent(everything=True)))
    assert outcome.status == "done", outcome.detail
    return stage.key


def foreign(store: RunStore, name: str) -> str:
    code = PretrainedEncoders(video=PretrainedVideo(source=f"{__name__}:{name}"))
    return stored(
        store, Stage("pretrained", "mine", PretrainedStage(name="mine", encoders=code, fingerprint="f"))
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the encoders of seeds 0 and 1, and the export of seed 0."""
    store = RunStore(tmp_path_factory.mktemp("results"))
    for seed in (0, 1):
        stored(store, Stage("init", f"init/seed{seed}", InitStage(models=MODELS, seed=seed)))
    list(export_lines(key(store.root, 0), store.root, None))
    return store.root


@pytest.fixture
def out(results: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    shutil.copytree(results, tmp_path / "out")
    return tmp_path / "out"


def key(out: Path, seed: int) -> str:
    found = [p.parent.name for p in out.glob("runs/init-*/run.json") if f'"seed": {seed}' in p.read_text()]
    assert len(found) == 1
    return found[0]


def exported(out: Path) -> Path:
    return next((out / "exports").iterdir())


def test_the_folder_holds_the_weights_and_says_what_they_are(results: Path) -> None:
    folder, run = exported(results), results / "runs" / key(results, 0)
    names = {f"{m}.{end}" for m in ("video", "audio") for end in ("safetensors", "pt2")}
    assert {path.name for path in folder.iterdir()} == names | {"encoders.json", "export.json", "README.md"}
    for name in ("video.safetensors", "audio.safetensors", "encoders.json"):
        assert (folder / name).read_bytes() == (run / name).read_bytes()
    export = verified(folder)
    assert (export.run, export.method, export.seed) == (run.name, "scratch", 0)
    assert export.sha256.keys() == names | {"encoders.json"}
    assert export.encoders["video"].input == MODELS.video.input
    assert export.encoders["audio"].input == MODELS.audio.input
    weights = load_file(folder / "video.safetensors")
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    count = sum(t.numel() for name, t in weights.items() if not name.endswith(buffers))
    assert export.encoders["video"].parameters == count


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_programs_take_raw_input_and_give_the_same_features(results: Path, batch: int) -> None:
    folder = exported(results)
    encoders = load_encoders(folder, ("video", "audio"), device=CPU)
    generator = torch.Generator().manual_seed(batch)
    shape = (batch, VIDEO.frames, VIDEO.size, VIDEO.size, 3)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    # The normalization is spelt out here, by the declared numbers.
    clips = ((frames / 255 - torch.tensor(VIDEO.mean)) / torch.tensor(VIDEO.std)).permute(0, 4, 1, 2, 3)
    audio = torch.randn(batch, round(MODELS.audio.input.seconds * 16_000), generator=generator)
    cases = {"video": (frames, clips), "audio": (audio, encoders["audio"].prepare(audio))}
    with torch.inference_mode():
        for modality, (raw, prepared) in cases.items():
            expected = encoders[modality].eval()(prepared)  # type: ignore[index]
            found = torch.export.load(folder / f"{modality}.pt2").module()(raw)
            assert expected.std() > 0
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_program_that_differs_is_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "differences", lambda encoders, folder: {"video": 2e-5, "audio": 0.0})
    with pytest.raises(UserError, match=r"video program differs from its encoder by 2\.0e-05"):
        list(export_lines(key(out, 1), out, None))
    assert [path.name for path in (out / "exports").iterdir()] == [key(out, 0)], "nothing is left of it"


def test_what_a_program_gives_is_compared(results: Path) -> None:
    """Encoders of another seed are not those of the programs."""
    from xdcbench.export.torch_export import TOLERANCE, differences

    def loaded(seed: int) -> dict:
        both = load_encoders(results / "runs" / key(results, seed), ("video", "audio"), device=CPU)
        return {modality: encoder.eval() for modality, encoder in both.items()}

    assert all(d <= TOLERANCE for d in differences(loaded(0), exported(results)).values())
    assert all(d > 0.01 for d in differences(loaded(1), exported(results)).values())


def test_a_suite_takes_the_export_for_the_run(results: Path) -> None:
    origins = [
        find_origin("mine", PretrainedEncoders(run=str(p)))
        for p in (results / "runs" / key(results, 0), exported(results))
    ]
    assert origins[0] == origins[1] and origins[0].fingerprint
    other = find_origin("mine", PretrainedEncoders(run=str(results / "runs" / key(results, 1))))
    assert other.fingerprint != origins[0].fingerprint


@pytest.mark.parametrize("name", ["video.safetensors", "audio.pt2", "encoders.json"])
def test_a_changed_file_is_named(out: Path, name: str) -> None:
    path = exported(out) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{re.escape(str(path))} has the SHA-256"):
        find_origin("mine", PretrainedEncoders(run=str(path.parent)))


def test_a_copy_may_lack_programs_but_no_weights(out: Path) -> None:
    (exported(out) / "video.pt2").unlink()
    assert verified(exported(out)).run == key(out, 0)
    (exported(out) / "audio.safetensors").unlink()
    with pytest.raises(UserError, match=r"audio\.safetensors is missing"):
        verified(exported(out))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 3}, "newer xdcbench"),
        (
            {"schema_version": 1, "surprise": 1},
            r"export\.json is an export of schema 1, of an older xdcbench; this one reads 2\. Try: export the run",
        ),
        ({"encoders": 3}, "encoders:"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_manifest_that_is_not_read(out: Path, change: dict[str, object], said: str) -> None:
    path = exported(out) / "export.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=said):
        read_export(path.parent)


def test_the_same_encoders_may_be_exported_again_and_others_not_over_them(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Programs are compared with their encoders elsewhere; here that would only take time.
    monkeypatch.setattr(module, "differences", lambda encoders, folder: dict.fromkeys(encoders, 0.0))
    (exported(out) / "README.md").write_text("old")
    list(export_lines(key(out, 0), out, None))
    assert "# scratch" in (exported(out) / "README.md").read_text()
    with pytest.raises(UserError, match="holds other encoders"):
        list(export_lines(key(out, 1), out, exported(out)))
    (tmp_path / "mine").mkdir()
    list(export_lines(key(out, 1), out, tmp_path / "mine"))
    assert read_export(tmp_path / "mine").seed == 1
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(UserError, match="there and no export"):
        list(export_lines(key(out, 1), out, tmp_path / "full"))
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_a_name_may_stand_for_several_runs(results: Path, tmp_path: Path) -> None:
    store = RunStore(results, write=False)
    assert {run.name for run in find_runs("scratch", store)} == {key(results, 0), key(results, 1)}
    assert find_runs("scratch@none", store) == find_runs("scratch", store)
    assert [run.name for run in find_runs(key(results, 1).split("-")[1][:8], store)] == [key(results, 1)]
    with pytest.raises(UserError, match="names 2 runs"):
        list(export_lines("scratch", results, tmp_path / "one"))
    with pytest.raises(UserError, match=r"give one of scratch@none"):
        find_runs("xdc@kinetics400", store)
    with pytest.raises(UserError, match="matches no run"):
        find_runs("xdc", store)


def test_runs_that_have_no_encoders(out: Path) -> None:
    store = RunStore(out)
    probe, failed = store.path("linear_probe-aaaaaaaaaaaa"), out / "runs/.failed/round-bbbbbbbbbbbb/001"
    probe.mkdir()
    about = {"key": probe.name, "name": "p", "kind": "linear_probe", "inputs": {"encoders": key(out, 0)}}
    (probe / "run.json").write_text(json.dumps(FACTS | about))
    write_manifest(probe)
    failed.mkdir(parents=True)
    (store.path(key(out, 1)) / "video.safetensors").unlink()
    write_manifest(store.path(key(out, 1)))
    for name, said in {
        "linear_probe-a": f"export {key(out, 0)}, whose encoders",
        "round-b": "failed and left no encoders",
        key(out, 1): "video weights were pruned",
    }.items():
        with pytest.raises(UserError, match=said):
            find_runs(name, store)
    assert "pruned" in find_origin("mine", PretrainedEncoders(run=str(store.path(key(out, 1))))).unavailable


@pytest.mark.parametrize("name", ["encoders.json", "audio.safetensors", "manifest.json"])
def test_a_damaged_run_gives_no_encoders(out: Path, tmp_path: Path, name: str) -> None:
    known = key(out, 1)
    run = out.joinpath("runs", known).rename(tmp_path / "under-another-name")
    assert find_origin("mine", PretrainedEncoders(run=str(run))).encoders == ("video", "audio")
    path = run / name
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(
        UserError,
        match=rf"encoders.mine: {run} is damaged: {name} is not what was written.* --stage {known}`",
    ):
        find_origin("mine", PretrainedEncoders(run=str(run)))


def test_code_that_cannot_be_traced_leaves_weights_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = RunStore(tmp_path)
    for name in ("Tiny", "Unsteady"):
        run = foreign(store, name)
        with caplog.at_level("WARNING", logger="xdcbench"):
            list(export_lines(run, tmp_path, tmp_path / name, Consent(everything=True)))
    assert (tmp_path / "Tiny" / "video.pt2").exists()
    assert not (tmp_path / "Unsteady" / "video.pt2").exists()
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    (warning,) = [record.getMessage() for record in warnings if record.name == "xdcbench"]
    assert warning.startswith("no video.pt2: torch.export cannot trace")
    encoder = verified(tmp_path / "Unsteady").encoders["video"]
    assert encoder.program is None and encoder.untraced
    assert load_file(tmp_path / "Unsteady" / "video.safetensors").keys() == {
        "net.conv.weight",
        "net.conv.bias",
    }
    assert "There is no program of the video encoder" in (tmp_path / "Unsteady" / "README.md").read_text()
    given = PretrainedEncoders(run=str(tmp_path / "Tiny"))
    with pytest.raises(UserError, match=r"runs code, '.*:Tiny'; read it, then give --trust-code"):
        find_origin("mine", given)
    assert find_origin("mine", given, consent=Consent(everything=True)).encoders == ("video",)


def test_a_program_of_operators_that_torch_lacks_is_not_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = foreign(RunStore(tmp_path), "Brought")
    with caplog.at_level("WARNING", logger="xdcbench"):
        list(export_lines(run, tmp_path, tmp_path / "Brought", Consent(everything=True)))
    assert "it uses xdcbench_tests::twice, which a process without its code does not have" in caplog.text
    assert not (tmp_path / "Brought" / "video.pt2").exists()
    assert verified(tmp_path / "Brought").encoders["video"].program is None


def test_features_that_are_not_finite_are_not_exported(out: Path) -> None:
    from safetensors.torch import save_file

    path = out / "runs" / key(out, 1) / "video.safetensors"
    tensors = load_file(path)
    tensors["stem.0.weight"] = torch.full_like(tensors["stem.0.weight"], torch.nan)
    save_file(tensors, path)
    write_manifest(path.parent)
    with pytest.raises(UserError, match="video encoder gives features that are not finite"):
        list(export_lines(key(out, 1), out, None))


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_a_users_string_is_shown_as_it_is_on_one_line(text: str) -> None:
    shown = plain(text)
    assert len(shown.splitlines()) <= 1 or not re.search(r"[\r\n]", shown)
    assert not re.search(r"[\n\r\u202e<>]", shown)
    bare = re.sub(r"\\.", "", shown)
    assert not re.search(r"[`*\[\]|$~#!\\]", bare), "every character that Markdown reads is escaped"


def test_the_card_says_what_it_is_and_how_to_use_it(results: Path) -> None:
    text = (exported(results) / "README.md").read_text()
    head, lead = text.split("\n\n")[:2]
    assert head == "# scratch"
    assert lead.startswith("A video encoder and an audio encoder, not trained.")
    assert 'torch.export.load("video.pt2").module()' in text
    assert "None yet: no evaluation of these encoders" in text


def test_known_strings_in_markdown() -> None:
    assert plain("[x](javascript:y) <b>|\n# no\u202e") == r"\[x\](javascript:y) &lt;b&gt;\| \# no"
    assert plain("audio_svm _a_") == r"audio_svm \_a\_"
    assert plain(3) == "3"
