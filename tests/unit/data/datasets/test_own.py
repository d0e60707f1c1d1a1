"""A user's own dataset: a YAML and at most one function, as a suite takes it and as the documents show it."""

import re
from pathlib import Path

import pytest

from tests.unit.data.trees import counts, text, touch
from xdcbench.config.load import load_suite
from xdcbench.config.paths import folder
from xdcbench.data.scan import scan
from xdcbench.errors import UserError
from xdcbench.pipeline.launch import Launch, Request, plan_launch
from xdcbench.utils.code import Consent

BLOCK = re.compile(r"\n([^\n]+)\n\n```(?:yaml|python)\n(.*?)```", re.DOTALL)
NAME = re.compile(r"`(\w+\.(?:yaml|py))`")
SUITE = """
models: {base: reduced}
datasets:
  mine:
    title: Mine
    adapter: %s
    folder: mine
    media: audio
    splits: [only]
    options: %s
evaluations:
  audio_svm: {num_clips: 3, inner_folds: 2, precision: fp32}
pretraining:
  - {methods: [scratch]}
evaluate:
  - {evaluation: audio_svm, dataset: mine, splits: [only]}
tables: []
"""
ADAPTER = """
from xdcbench.data.scanning.items import Scan, media_files, table

def scan(root, dataset):
    files, others = media_files(root, dataset)
    rows = files.assign(id=files["path"], group=files["path"], label=0)
    rows["split:only"] = ["test", *["train"] * (len(rows) - 1)]
    return Scan(table(rows, dataset.splits), ("any",), extra=others)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, from which modules are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def planned(suite: str, root: Path, *, trust: bool) -> Launch:
    return plan_launch(
        Request(suite=suite, data_root=root, results=root / "out", device="cpu", trust_code=trust),
        write=False,
    )


def test_a_list_needs_a_yaml_alone(here: Path) -> None:
    touch(here, *(f"mine/{i}.wav" for i in range(8)))
    text(
        here,
        "mine/list.csv",
        "path,kind,part",
        *(f"{i}.wav,k{i % 2},{'test' if i > 5 else 'train'}" for i in range(9)),
    )
    (here / "own_list.yaml").write_text(SUITE % ("filelist", "{list: list.csv, label: kind, split: part}"))
    launch = planned("own_list.yaml", here, trust=False)
    assert {stage.name for stage in launch.plan.stages if stage.kind == "index"} == {"index/mine"}
    assert not any(stage.reason for stage in launch.plan.stages)
    found = scan(launch.context.roots["mine"], launch.plan.suite.datasets["mine"])
    assert (found.classes, found.missing, counts(found, "only")) == (("k0", "k1"), ("8.wav",), (6, 3))


def test_a_function_needs_trust(here: Path) -> None:
    touch(here, *(f"mine/{i}.wav" for i in range(4)))
    (here / "own_adapter.py").write_text(ADAPTER)
    (here / "own_function.yaml").write_text(SUITE % ("own_adapter:scan", "{}"))
    with pytest.raises(UserError, match="runs code, 'own_adapter:scan'; read it, then give --trust-code"):
        planned("own_function.yaml", here, trust=False)
    launch = planned("own_function.yaml", here, trust=True)
    assert launch.context.consent == Consent(everything=True)
    assert not any(stage.reason for stage in launch.plan.stages)
    found = scan(launch.context.roots["mine"], launch.plan.suite.datasets["mine"], Consent(everything=True))
    assert (found.classes, counts(found, "only")) == (("any",), (3, 1))


def test_files_of_the_documents(here: Path) -> None:
    """The datasets, the suite and the table of docs/how-to, over files that fit their words."""
    pages = folder("configs").parent / "docs" / "how-to"
    blocks = [
        block
        for page in ("own-data", "own-method", "own-suite", "paper-table")
        for block in BLOCK.findall((pages / f"{page}.md").read_text())
    ]
    named = {NAME.findall(words)[-1]: content for words, content in blocks if NAME.search(words)}
    assert {
        "calls.yaml",
        "calls_adapter.py",
        "sessions.yaml",
        "calls_suite.yaml",
        "calls_table.yaml",
    } <= named.keys()
    for name, content in named.items():
        (here / name).write_text(content)
    files = [f"session{s}/{c}/{s}{c}{i}.wav" for s in (1, 2, 3) for c in ("alarm", "song") for i in range(3)]
    touch(here / "DIR" / "calls", *files)
    text(here, "DIR/calls/labels.csv", "file,label", *(f"{path},{path.split('/')[1]}" for path in files))
    launch = planned("calls_suite.yaml", here / "DIR", trust=True)
    assert {s.name for s in launch.plan.stages if s.kind == "index"} == {
        "index/calls",
        "index/calls_by_session",
    }
    assert not any(stage.reason for stage in launch.plan.stages)
    trusted = Consent(everything=True)
    suite = load_suite("calls_suite.yaml", consent=trusted)
    by_list, by_session = (scan(here / "DIR/calls", d, trusted) for d in suite.datasets.values())
    assert by_list.classes == by_session.classes == ("alarm", "song")
    assert counts(by_session, "session2") == counts(by_session, "session3") == (12, 6)
    assert sum(counts(by_list, "hashed")) == 18
