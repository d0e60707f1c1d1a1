"""docs/reference/fidelity.md and the configuration say the same; every setting of the protocol is on the page."""

import ast
import importlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import pytest
import torch
from pydantic import BaseModel, TypeAdapter, create_model

from tests.unit.tiny import CPU, MODELS, PRETRAIN, round_config
from xdcbench.config import paths
from xdcbench.config.base import Config, Modality
from xdcbench.config.evaluation import Evaluation
from xdcbench.config.load import load_dataset, load_suite, load_table, read, validate
from xdcbench.config.models import Models
from xdcbench.config.paths import find, folder
from xdcbench.config.pretraining import Method, Pretrain
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.models.encoders import Encoder
from xdcbench.models.weights import build_encoder
from xdcbench.pretraining.learner import Learner
from xdcbench.pretraining.pseudo_labels import PseudoLabels
from xdcbench.results.published import load_published

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "fidelity.md").read_text()
STATUSES = {"verified", "unverified", "not established"}
COVERED = (Models, Pretrain, Method, *get_args(get_args(Evaluation)[0]))
CARRIED = ("fact", "status", "setting", "value", "note")
NOT_CARRIED = ("fact", "status", "instead")
OWN = ("settings", "why")
LEGEND = ("status", "meaning")

Row = dict[str, str]


def rows(text: str, header: Sequence[str]) -> list[Row]:
    """Cells by column of all tables of the page that have this header."""
    found: list[Row] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            inside = False
        elif cells == list(header):
            inside = True
        elif inside and set(line) - set("|-"):
            found.append(dict(zip(header, cells, strict=True)))
    return found


class Configuration:
    """The shipped files, each loaded once, and the fields that the page has asked for."""

    def __init__(self) -> None:
        self.loaded: dict[str, Any] = {}
        self.seen: set[str] = set()

    def at(self, setting: str) -> Any:
        """The value that ``file: dotted.path`` names, as JSON has it."""
        name, path = setting.split(": ")
        if name not in self.loaded:
            self.loaded[name] = load(name)
        value = self.loaded[name]
        place = type(value).__name__
        for part in path.split("."):
            if isinstance(value, BaseModel):
                value, place = getattr(value, part), f"{place}.{part}"
            else:
                value = value[int(part) if isinstance(value, Sequence) else part]
                place += ".*"
        self.seen.add(place)
        return TypeAdapter(Any).dump_python(value, mode="json")

    def states(self, leaf: str) -> bool:
        """Whether the page has asked for this field, for a part that holds it, or for a part of it."""
        return any(f"{leaf}.".startswith(f"{at}.") or f"{at}.".startswith(f"{leaf}.") for at in self.seen)


def load(name: str) -> Any:
    """A file of the library, through the loader of its kind."""
    if name == "published.csv":
        return {row.id: row.value for row in load_published(folder("baselines") / name)}
    kind, stem = name.removesuffix(".yaml").split("/")
    if kind == "datasets":
        return load_dataset(stem)
    if kind == "tables":
        return load_table(stem)
    if kind == "suites":
        return load_suite(stem)
    path = find(folder("baselines" if kind == "methods" else "configs") / kind, stem, what=kind)
    if kind == "evaluations":
        return TypeAdapter[Any](Evaluation).validate_python(read(path))
    kinds: dict[str, type[Config]] = {"methods": Method, "models": Models, "pretrain": Pretrain}
    return validate(kinds[kind], read(path), where=name)


def leaves(model: type[BaseModel], place: str) -> Iterator[str]:
    """Dotted places of all fields below ``model``; ``*`` stands for the key of a mapping."""
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        below = f"{place}.{name}" + (".*" if inner and inner[0] is not field.annotation else "")
        yield from leaves(inner[0], below) if inner else [below]


def code(setting: str, value: str) -> tuple[Any, Any]:
    """What ``module:name`` is and what the page says that it is."""
    module, name = setting.split(":")
    name, _, arguments = name.partition("(")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if arguments:
        return found(*ast.literal_eval(f"[{arguments.removesuffix(')')}]")), json.loads(value)
    if counted := re.fullmatch(r"([\d,]+) (parameters|features)", value):
        return count(found, counted[2]), int(counted[1].replace(",", ""))
    return found, json.loads(value)


def count(kind: Any, what: str) -> int:
    """Parameters or features of an encoder at its default configuration, built without memory."""
    with torch.device("meta"):
        encoder = kind(get_type_hints(kind.__init__)["model"]())
    if what == "features":
        return int(encoder.features)
    return sum(parameter.numel() for parameter in encoder.parameters())


def check_row(row: Row, configuration: Configuration) -> str:
    """What is wrong with a row of a carried fact; empty if nothing is."""
    setting, value = row["setting"].strip("`"), row["value"].strip("`")
    if not (row["fact"] and setting and value):
        return "a cell is empty"
    try:
        if "::" in setting:
            file, test = setting.split("::")
            there = re.search(rf"^def {test}\(", (ROOT / file).read_text(), flags=re.M)
            return "" if there else "no such test"
        if ": " in setting:
            found, said = configuration.at(setting), json.loads(value)
        else:
            found, said = code(setting, value)
    except (AttributeError, ImportError, LookupError, OSError, TypeError, UserError, ValueError) as error:
        return f"cannot be read: {error!r}"
    same = found == said and isinstance(found, bool) == isinstance(said, bool)
    return "" if same else f"is {json.dumps(found)} there and {json.dumps(said)} on the page"


def problems(text: str, *, covered: Sequence[type[BaseModel]] = COVERED) -> list[str]:
    """All in which the page and the configuration part."""
    configuration = Configuration()
    carried, not_carried, own = (rows(text, header) for header in (CARRIED, NOT_CARRIED, OWN))
    found = [f"{row['setting']}: {wrong}" for row in carried if (wrong := check_row(row, configuration))]
    found += [f"{row['fact']}: nothing instead" for row in not_carried if not row["instead"]]
    found += [
        f"{row['fact']}: status {row['status']!r}"
        for row in [*carried, *not_carried]
        if row["status"] not in STATUSES
    ]
    unstated = [
        leaf for model in covered for leaf in leaves(model, model.__name__) if not configuration.states(leaf)
    ]
    patterns = [pattern for row in own if row["why"] for pattern in re.findall(r"`(.+?)`", row["settings"])]
    found += [f"{p}: no setting, or in a row already" for p in patterns if not matching(unstated, [p])]
    return found + [f"{leaf}: not on the page" for leaf in unstated if not matching([leaf], patterns)]


def matching(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether any of the names fits any of the patterns."""
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def test_page_and_configuration_agree() -> None:
    assert problems(PAGE) == []


def test_every_line_of_every_table_is_read() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    tables = sum(line.startswith("|---") for line in lines)
    legend = rows(PAGE, LEGEND)
    assert {row["status"] for row in legend} == STATUSES
    assert sum(len(rows(PAGE, header)) for header in (CARRIED, NOT_CARRIED, OWN)) > 150
    read_lines = sum(len(rows(PAGE, header)) for header in (CARRIED, NOT_CARRIED, OWN, LEGEND))
    assert read_lines == len(lines) - 2 * tables


@pytest.mark.parametrize(
    ("there", "instead", "said"),
    [
        ("schedule.gamma` | `0.1`", "schedule.gamma` | `0.2`", "is 0.1 there and 0.2 on the page"),
        ("reset_heads` | `true`", "reset_heads` | `1`", "is true there and 1 on the page"),
        ('`{"video": ["a"], "audio": ["v"]}`', '`{"video": ["a"]}`', "methods/xdc.yaml: heads"),
        ("midplanes(64, 128)` | `230`", "midplanes(64, 128)` | `288`", "is 230 there"),
        ("33,165,639 parameters", "31,505,325 parameters", "is 33165639 there"),
        ("published.csv: t6-127` | `86.8`", "published.csv: t6-127` | `84.2`", "is 86.8 there"),
        ("datasets/esc50.yaml: splits", "datasets/esc51.yaml: splits", "unknown dataset 'esc51'"),
        (
            "models/paper.yaml: audio.input.hop_length",
            "models/paper.yaml: audio.input.step",
            "no attribute 'step'",
        ),
        ("clusterings.joint.k", "clusterings.both.k", "KeyError('both')"),
        ("columns.0.split", "columns.9.split", "IndexError"),
        ("r2plus1d:EPS", "r2plus1d:EPSILON", "no attribute 'EPSILON'"),
        ("::test_pca_whiten_l2_is_", "::test_pca_whiten_is_", "no such test"),
        ("test_kmeans.py::test_agrees_with_sci", "test_means.py::test_agrees_with_sci", "test_means.py"),
        ("concat_l2` | `true`", "concat_l2` | ", "a cell is empty"),
        ("concat_l2` | `true`", "concat_l2` | true, yes", "cannot be read"),
        ("| Number of rounds | not established |", "| Number of rounds | unknown |", "status 'unknown'"),
        ("| Number of rounds | not established |", "| | not established |", "a cell is empty"),
        ("| verified | SGD alone |", "| verified | |", "nothing instead"),
        ("`Finetune.val_fraction`", "the share", "Finetune.val_fraction: not on the page"),
        (
            "`LinearSVM.max_iter`",
            "`LinearSVM.cs`, `LinearSVM.max_iter`",
            "LinearSVM.cs: no setting, or in a row",
        ),
        ("`*.layer`", "`*.layer`, `*.depth`", "*.depth: no setting"),
        ("pretrain/paper.yaml: rounds", "pretrain/paper.yaml: batch", "Pretrain.rounds: not on the page"),
        ("models/paper.yaml: audio.blocks", "models/paper.yaml: video.blocks", "Models.audio.blocks: not on"),
    ],
)
def test_a_page_that_parts_from_the_configuration_is_told(there: str, instead: str, said: str) -> None:
    changed = PAGE.replace(there, instead, 1)
    assert changed != PAGE
    assert any(said in problem for problem in problems(changed)), problems(changed)


@pytest.mark.parametrize(
    ("file", "there", "instead", "said"),
    [
        ("configs/pretrain/paper.yaml", "lr: 0.01", "lr: 0.02", "schedule.lr`: is 0.02 there and 0.01"),
        ("configs/models/paper.yaml", "video: {}", "video: {width: 32}", "video.width`: is 32 there and 64"),
        ("configs/evaluations/finetune.yaml", "gamma: 0.05", "gamma: 0.1", "schedule.gamma`: is 0.1 there"),
        ("configs/datasets/ucf101.yaml", '"3"]', "]", 'ucf101.yaml: splits`: is ["1", "2"] there'),
        ("baselines/methods/xdc.yaml", "video: [a]", "video: [v]", "methods/xdc.yaml: heads`: is"),
        ("baselines/published.csv", ",86.8,", ",84.2,", "t6-127`: is 84.2 there"),
        ("tables/table1.yaml", 'split: "1", frames: 8', 'split: "1", frames: 32', "frames`: is 32 there"),
    ],
)
def test_a_configuration_that_parts_from_the_page_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, there: str, instead: str, said: str
) -> None:
    for part in ("configs", "baselines", "tables"):
        shutil.copytree(ROOT / part, tmp_path / part)
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "xdcbench")
    text = (tmp_path / file).read_text()
    assert there in text
    (tmp_path / file).write_text(text.replace(there, instead, 1))
    assert any(said in problem for problem in problems(PAGE)), problems(PAGE)


@pytest.mark.parametrize(
    ("video", "audio"), [("finetune", "audio_finetune"), ("linear_probe", "audio_probe")]
)
def test_audio_is_measured_as_video_is(video: str, audio: str) -> None:
    same = load(f"evaluations/{video}.yaml").model_copy(update={"modality": "audio"})
    assert load(f"evaluations/{audio}.yaml") == same


def test_a_new_setting_is_told() -> None:
    grown = create_model("Pretrain", __base__=Pretrain, ema=(float, 0.99))
    assert problems(PAGE, covered=[*COVERED, grown]) == ["Pretrain.ema: not on the page"]


def test_the_schedule_restarts_in_each_round(tmp_path: Path) -> None:
    encoders: dict[Modality, Encoder] = {
        "video": build_encoder(MODELS.video, seed=0),
        "audio": build_encoder(MODELS.audio, seed=0),
    }
    labels, unread = PseudoLabels({}, {"v": 3, "a": 4}, {}, {}), cast(ClipDataset, None)
    for number in (1, 2):
        learner = Learner(round_config("xdc", number=number), labels, encoders, unread, CPU, 0)
        trainer = learner.trainer(tmp_path, Context("tests"))
        assert trainer.schedule == PRETRAIN.schedule
        assert {group["peak"] for group in trainer.optimizer.param_groups} == {PRETRAIN.schedule.lr}
        for parameter in trainer.modules.parameters():
            parameter.grad = torch.ones_like(parameter)
        assert not trainer.optimizer.state, "no momentum is left from the round before"
        trainer.optimizer.step()
