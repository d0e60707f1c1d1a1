"""What ``compare`` refuses, and what it says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.results.statistics.made_runs import Measure, rights, text
from xdcbench.errors import UserError
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.compare import compare
from xdcbench.utils.manifest import write_manifest


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("fingerprint", "0badf00d", "fingerprint of finetune on ucf101: feedbeef and 0badf00d"),
        ("subset", "5 items", "subset of finetune on ucf101: none and 5 items"),
        ("evaluation_version", 2, "evaluation version of finetune on ucf101: 1 and 2"),
        ("protocol", "linear_probe", "protocol of finetune on ucf101: finetune and linear_probe"),
    ],
)
def test_other_items_or_code_are_refused(
    out: Path, measure: Measure, field: str, value: Any, said: str
) -> None:
    measure("xdc", rights(0.9, 1))
    measure("sdc", rights(0.5, 2), **{field: value})
    with pytest.raises(UserError, match=said):
        compare(["xdc", "sdc"], [out])


def test_other_settings_are_marked(out: Path, measure: Measure) -> None:
    measure("xdc", rights(0.9, 1), hyperparameters={"frames": 8, "k_a": 4})
    measure(
        "sdc", rights(0.5, 2), hyperparameters={"frames": 32}, config={"schedule": {"lr": 0.2}, "clips": 2}
    )
    assert "they differ in frames 8 and 32; schedule.lr 0.1 and 0.2" in text(compare(["xdc", "sdc"], [out]))


def test_duplicates_are_refused(out: Path, measure: Measure) -> None:
    measure("xdc", rights(0.9, 1))
    measure("xdc", rights(0.8, 2), run="again")
    measure("sdc", rights(0.5, 2))
    with pytest.raises(UserError, match=r"xdc has 2 settings of finetune on ucf101 .*run again"):
        compare(["xdc", "sdc"], [out])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.assign(id=p["id"].replace("i001", "i000")), "names item 'i000' twice"),
        (lambda p: p.drop(columns="group"), "has no column group"),
        (lambda p: p.assign(prediction=1), "gives top1 100.0000 over 40 items, its record says"),
        (lambda p: p.iloc[:-1], "over 39 items, its record says .* over 40"),
        (lambda p: p.assign(label=0, prediction=1 - p["prediction"]), "item 'i000' has label"),
        (lambda p: p.assign(group="g"), "item 'i000' has group"),
        (lambda p: p.assign(id="x" + p["id"]), "have no test item in common"),
        (lambda p: p.iloc[:0], "over 0 items"),
    ],
)
def test_predictions_that_do_not_match_are_refused(
    out: Path, measure: Measure, change: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    measure("xdc", rights(0.9, 1))
    spoilt = measure("sdc", rights(0.5, 2))
    path = RunStore(out).path(spoilt.run) / "predictions.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    write_manifest(path.parent)
    with pytest.raises(UserError, match=said):
        compare(["xdc", "sdc"], [out])


@pytest.mark.parametrize(("content", "said"), [(None, "is missing"), (b"PAR", "is not readable")])
def test_a_file_that_cannot_be_read_is_named(
    out: Path, measure: Measure, content: bytes | None, said: str
) -> None:
    measure("xdc", rights(0.9, 1))
    path = RunStore(out).path(measure("sdc", rights(0.5, 2)).run) / "predictions.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    write_manifest(path.parent)
    with pytest.raises(UserError, match=f"predictions.parquet {said}"):
        compare(["xdc", "sdc"], [out])


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["xdc"], {}, "compare needs two or more different methods or runs, not xdc"),
        (["xdc", "xdc"], {}, "compare needs two or more different"),
        (["xdc", "scd"], {}, "'scd' is not a method .* Try: one of sdc@kinetics400, xdc@kinetics400"),
        (["xdc", ""], {}, "'' is not a method"),
        (["xdc", "sdc"], {"dataset": "ucf"}, r"no number to compare has dataset 'ucf'\. Try: ucf101$"),
        (
            ["xdc", "sdc"],
            {"evaluation": "probe"},
            r"no number to compare has evaluation 'probe'\. Try: finetune$",
        ),
        (["xdc", "sdc"], {"metric": "top5"}, r"no number to compare has metric 'top5'\. Try: top1$"),
        (["xdc", "sdc"], {"metric": "nmi"}, r"no number to compare has metric 'nmi'\. Try: top1$"),
    ],
)
def test_mistakes_are_told(
    out: Path, measure: Measure, names: list[str], options: dict[str, str], said: str
) -> None:
    for name in ("xdc", "sdc"):
        measure(name, rights(0.9, 1))
        measure(name, rights(0.9, 1), metric="nmi", unit="", run=f"clusters-{name}")
    with pytest.raises(UserError, match=said):
        compare(names, [out], **options)


def test_methods_without_a_common_evaluation(out: Path, measure: Measure) -> None:
    measure("xdc", rights(0.9, 1))
    measure("sdc", rights(0.9, 1), dataset="hmdb51")
    with pytest.raises(UserError, match="xdc shares no evaluation on one dataset with sdc"):
        compare(["xdc", "sdc"], [out])


def test_a_folder_without_numbers(out: Path) -> None:
    RunStore(out)
    with pytest.raises(UserError, match=r"metric 'top1'\. Try: run a suite first"):
        compare(["xdc", "sdc"], [out])
