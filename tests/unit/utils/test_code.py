"""Code of others runs only where the user said so: one gate, and no way around it."""

import ast
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from tests.unit.tiny import MODELS
from xdcbench.config.data import Dataset
from xdcbench.config.load import load_dataset, load_suite
from xdcbench.config.models import PretrainedEncoders
from xdcbench.config.stages import IndexStage, InitStage, PretrainedStage
from xdcbench.data.context import Context
from xdcbench.data.index_stage import run as index_run
from xdcbench.data.scan import scan
from xdcbench.data.sources import Lookup, find_source
from xdcbench.errors import UserError
from xdcbench.evaluation.features import run as features_run
from xdcbench.export.export import export_lines
from xdcbench.export.hub import encoder as hub_encoder
from xdcbench.models.encoders import EncoderMetadata, load_encoders, save_encoders
from xdcbench.models.pretrained.exported import MANIFEST, is_export
from xdcbench.models.pretrained.origins import find_origin
from xdcbench.models.weights import build_encoder, read_tensors
from xdcbench.pipeline.building import run_stage
from xdcbench.pipeline.graph import Stage
from xdcbench.pretraining.pretrained import run as given_run
from xdcbench.pretraining.rounds import run as round_run
from xdcbench.results.run_store import RunStore
from xdcbench.utils.code import Consent, find_code, load_code, load_own
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest

CPU = torch.device("cpu")
NAME = "evil_module:Thing"
DATASET = f"{{title: D, adapter: '{NAME}', folder: d, media: video, splits: ['1']}}"


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that is there once the module of ``NAME`` was imported, which lies where Python looks for modules."""
    mark = tmp_path / "ran"
    (tmp_path / "evil_module.py").write_text(
        f"open({str(mark)!r}, 'w').close()\ndef Thing(*_): raise SystemError\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield mark
    sys.modules.pop("evil_module", None)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder from elsewhere, whose metadata names code."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    encoder = build_encoder(MODELS.video, seed=0)
    metadata = EncoderMetadata(
        config_hash="r", seed=0, encoders=("video",), models=MODELS, sources={"video": NAME}
    )
    save_encoders(folder, {"video": encoder}, metadata)
    return folder


def dataset(**changes: Any) -> Dataset:
    stated = {"title": "D", "adapter": NAME, "folder": "d", "media": "video", "splits": ("1",)}
    return Dataset(**{**stated, **changes})


def exported(run: Path) -> Path:
    """The run as an exported folder, with hashes that are right."""
    import hashlib

    from xdcbench.utils.provenance import versions

    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in run.iterdir()}
    words = ("run", "name", "suite", "method", "pretrain_data", "pretrain_subset", "config_hash", "commit")
    numbers = ("pretrain_items", "seed", "round", "epochs")
    about: dict[str, Any] = dict.fromkeys(words, "x") | dict.fromkeys(numbers, 0)
    video = {
        "architecture": "x",
        "source": "r2plus1d",
        "features": 8,
        "parameters": 1,
        "weights": "video.safetensors",
    }
    video["input"] = MODELS.video.input.model_dump()
    encoders = {"video": video}
    more = {"versions": versions(), "exported_with": versions(), "encoders": encoders, "sha256": files}
    write_json(run / MANIFEST, about | more)
    assert is_export(run)
    return run


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def suite(folder: Path, text: str) -> str:
    rest = "pretraining: [{methods: [scratch]}]\nevaluate: []\ntables: []\n"
    return written(folder / "suite.yaml", f"{text}\n{rest}")


def given_stage() -> PretrainedStage:
    return PretrainedStage(
        name="e", encoders=PretrainedEncoders.model_validate({"video": {"source": NAME}}), fingerprint=""
    )


def results(tmp_path: Path) -> tuple[Path, str]:
    """A results folder with a run whose metadata was tampered with, and the run's key."""
    out = tmp_path / "out"
    stage = Stage("init", "init/seed0", InitStage(models=MODELS, seed=0))
    assert run_stage(stage, RunStore(out), Context(suite="s")).status == "done"
    path = out / "runs" / stage.key / "encoders.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sources": {"video": NAME}}))
    write_manifest(path.parent)  # as whoever means harm would
    return out, stage.key


PLACES: dict[str, Callable[[Path, Path], Any]] = {
    "suite, encoder": lambda tmp, run: load_suite(
        suite(tmp, f"encoders: {{e: {{video: {{source: '{NAME}'}}}}}}")
    ),
    "suite, adapter": lambda tmp, run: load_suite(suite(tmp, f"datasets: {{d: {DATASET}}}")),
    "dataset file": lambda tmp, run: load_dataset(written(tmp / "d.yaml", DATASET)),
    "scan": lambda tmp, run: scan(tmp, dataset()),
    "planning": lambda tmp, run: find_source("d", dataset(root=str(tmp)), Lookup(None, cache=tmp / "cache")),
    "index stage": lambda tmp, run: index_run(
        IndexStage(name="d", dataset=dataset()), {}, tmp, Context(suite="s", roots={"d": tmp})
    ),
    "encoder source": lambda tmp, run: find_origin(
        "e", PretrainedEncoders.model_validate({"video": {"source": NAME}})
    ),
    "run folder": lambda tmp, run: find_origin("e", PretrainedEncoders(run=str(run))),
    "export": lambda tmp, run: find_origin("e", PretrainedEncoders(run=str(exported(run)))),
    "given stage": lambda tmp, run: given_run(given_stage(), {}, tmp, Context("s")),
    "encoders of a run": lambda tmp, run: load_encoders(run, ("video",), device=CPU),
    "module without object": lambda tmp, run: load_encoders(
        renamed(run, "evil_module"), ("video",), device=CPU
    ),
    "export of a results folder": lambda tmp, run: list(export_lines(*reversed(results(tmp)), None)),
    "torch.hub": lambda tmp, run: hub_encoder("video", run),
    "gate": lambda tmp, run: load_code(NAME, Consent(typed=frozenset({"evil_module:Other"})), "x"),
    "gate, file": lambda tmp, run: find_code(NAME, Consent(), "x"),
    "pickled weights": lambda tmp, run: read_tensors(pickled(tmp)),
}


def renamed(run: Path, source: str) -> Path:
    metadata = json.loads((run / "encoders.json").read_text())
    (run / "encoders.json").write_text(json.dumps(metadata | {"sources": {"video": source}}))
    return run


class Evil:
    """What imports the module when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return __import__, ("evil_module",)


def pickled(tmp: Path) -> Path:
    path = tmp / "w.pth"
    torch.save({"weight": torch.zeros(1), "evil": Evil()}, path)
    assert pickle.dumps(Evil())
    return path


@pytest.mark.parametrize("place", PLACES)
def test_a_name_in_a_file_runs_nothing(place: str, tmp_path: Path, ran: Path, run: Path) -> None:
    with pytest.raises(UserError) as error:
        PLACES[place](tmp_path, run)
    assert not ran.exists()
    assert "evil_module" not in sys.modules
    assert "\n" not in str(error.value)
    if place not in ("torch.hub", "pickled weights"):
        assert "--trust-code" in str(error.value)


def test_stages_that_read_encoders_refuse_those_of_a_tampered_run(
    ran: Path, run: Path, tmp_path: Path
) -> None:
    from tests.unit.tiny import small_index
    from xdcbench.evaluation.finetune import run as finetune_run

    small_index([0, 1], ["train", "test"]).save(run)
    inputs = {"data": run, "encoders": run}
    context = Context(suite="s", roots={"tiny": run})
    stages = {"features": features_run, "finetune": finetune_run, "round": round_run}
    for kind, code in stages.items():
        with pytest.raises(UserError, match=rf"encoders\.json runs code, '{NAME}'"):
            code(configs()[kind], inputs, tmp_path, context)
        assert not ran.exists()


def configs() -> dict[str, Any]:
    from xdcbench.config.evaluation import Finetune
    from xdcbench.config.pretraining import Pretrain
    from xdcbench.config.stages import EvaluationStage, FeaturesStage, RoundStage

    round_ = RoundStage(
        method="x", clusterings={}, heads={}, encoders=("video",), round=1, seed=0, pretrain=Pretrain()
    )
    return {
        "features": FeaturesStage(modality="video", num_clips=1, precision="fp32"),
        "finetune": EvaluationStage(name="f", split="1", seed=0, settings=Finetune()),
        "round": round_,
    }


@pytest.mark.parametrize(
    "consent",
    [
        Consent.given(trust=True, settings=()),
        Consent.given(trust=False, settings=[f"encoders.e.video.source={NAME}"]),
        Consent.given(
            trust=False, settings=["seeds=[1]", f'encoders={{e: {{video: {{source: "{NAME}"}}}}}}']
        ),
    ],
)
def test_what_was_typed_or_trusted_runs(consent: Consent, ran: Path) -> None:
    assert find_code(NAME, consent, "x") == ran.parent / "evil_module.py"
    assert not ran.exists()
    assert load_code(NAME, consent, "x").__name__ == "Thing"
    assert ran.exists()


def test_what_is_imported_without_consent_stands_in_tables_of_the_code() -> None:
    assert load_own("xdcbench.data.datasets.esc50:scan").__module__ == "xdcbench.data.datasets.esc50"
    trees = (ast.parse(path.read_text()) for path in sorted((ROOT / "xdcbench").rglob("*.py")))
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    asked = {ast.unparse(node.args[0]) for node in calls if ast.unparse(node.func) == "load_own"}
    assert asked == {"f'{datasets.__name__}.{name}:scan'", "f'{module}:run'"}


@pytest.mark.parametrize("name", ["json", "xdcbench_own"])
def test_modules_next_to_the_suite_are_not_found_unasked(tmp_path: Path, name: str) -> None:
    """``python -m`` puts the current folder first; what lies there would be imported for any missing module."""
    (tmp_path / "tabulate.py").write_text("open('ran', 'w').close()\nraise ImportError\n")
    (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()\n")
    command = [sys.executable, "-m", "xdcbench", "data", "list"]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert not (tmp_path / "ran").exists(), done.stderr
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------------- no other way

GATE = "xdcbench/utils/code.py"
FORBIDDEN_MODULES = {"importlib", "runpy", "zipimport", "pickle", "marshal", "shelve", "dill", "joblib"}
ALLOWED_IMPORTS = {"importlib.metadata"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def found(path: Path) -> Iterator[str]:
    """What of a file could run code by a name or a content, or loads what torch and NumPy would unpickle."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name not in ALLOWED_IMPORTS and name.split(".")[0] in FORBIDDEN_MODULES:
                yield f"imports {name}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in FORBIDDEN_CALLS or called.endswith((".entry_points", ".read_pickle", "hub.load")):
                yield f"calls {called}"
            if called == "torch.load" and given.get("weights_only") != "True":
                yield "torch.load without weights_only=True"
            if called in ("np.load", "np.save") and given.get("allow_pickle") != "False":
                yield f"{called} without allow_pickle=False"
            if called.startswith("yaml.") and called.split(".")[1] in (
                "load",
                "load_all",
                "unsafe_load",
                "full_load",
            ):
                yield f"calls {called}"
            if given.get("shell", "False") != "False" or called in ("os.system", "os.popen"):
                yield f"calls a shell by {called}"


def test_nothing_but_the_gate_imports_by_name() -> None:
    files = [*sorted((ROOT / "xdcbench").rglob("*.py")), ROOT / "hubconf.py"]
    assert len(files) > 150
    hits = {str(path.relative_to(ROOT)): sorted(set(found(path))) for path in files}
    hits = {name: of for name, of in hits.items() if of}
    assert hits.pop(GATE) == ["imports importlib"]
    assert hits == {}


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "import importlib.util\nfrom pickle import loads\n__import__('x')\ntorch.load('x')\nnp.load('x')\n"
        "yaml.load('x')\nsubprocess.run('x', shell=True)\nmetadata.entry_points()\n"
    )
    assert len(list(found(path))) == 8


@pytest.mark.parametrize("name", ["pathlib", "omegaconf", "torch", "argparse"])
def test_a_file_where_the_command_is_started_is_no_module(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()")
    command = [sys.executable, "-m", "xdcbench", "--help"]
    subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True
    )
    assert not mark.exists()
