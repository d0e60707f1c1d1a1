"""``compare`` on results folders written by hand: who is paired with whom, the numbers, the words, refusals."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests

from tests.unit.reports.results.made_results import FACTS
from xdcbench.cli import main
from xdcbench.errors import UserError
from xdcbench.results.records import Record, write_records
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.compare import Block, compare
from xdcbench.results.statistics.intervals import wilson
from xdcbench.results.statistics.predictions import cell_interval, load_predictions
from xdcbench.results.statistics.verdict import verdict_lines
from xdcbench.results.tables.cells import measured_cell
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest

Maker = Callable[..., Record]
Measure = Callable[..., Record]

ITEMS = 40


def table(right: Sequence[bool], *, size: int = 1, first: int = 0) -> pd.DataFrame:
    """Predictions of items ``i<first>``, ...: groups of ``size`` in a row, label 1, prediction 1 where right."""
    numbers = range(first, first + len(right))
    return pd.DataFrame(
        {
            "id": [f"i{n:03d}" for n in numbers],
            "group": [f"g{n // size:03d}" for n in numbers],
            "label": 1,
            "prediction": np.where(right, 1, 0),
        }
    )


def rights(share: float, seed: int, n: int = ITEMS) -> list[bool]:
    return (np.random.default_rng(seed).random(n) < share).tolist()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return RunStore(tmp_path / "results").root


@pytest.fixture
def measure(out: Path, record: Maker) -> Measure:
    """Writes the run of a method: its record (fields as keywords), predictions and settings."""

    def write(
        method: str,
        right: Sequence[bool] | pd.DataFrame,
        *,
        size: int = 1,
        config: dict[str, Any] | None = None,
        root: Path = out,
        **fields: Any,
    ) -> Record:
        predictions = right if isinstance(right, pd.DataFrame) else table(right, size=size)
        made = record(method=method, **fields)
        said = {"method": method, **fields}
        key = f"finetune-{method}-" + "-".join(
            str(said.get(n, 0)) for n in ("split", "pretrain_seed", "dataset")
        )
        own = predictions
        value = 100 * float((own["prediction"] == own["label"]).mean())
        update = {"run": fields.get("run", key), "items_used": len(own), "value": fields.get("value", value)}
        made = made.model_copy(update=update)
        run = RunStore(root).path(made.run)
        run.mkdir(parents=True)
        predictions.to_parquet(run / "predictions.parquet", index=False)
        write_records(run, [made])
        settings = config or {"schedule": {"lr": 0.1}, "clips": 2}
        about = {"key": made.run, "kind": "linear_probe", "name": "probe", "config": {"settings": settings}}
        write_json(run / "run.json", FACTS | about)
        write_manifest(run)
        return made

    return write


def only(blocks: Sequence[Block]) -> Block:
    (block,) = blocks
    return block


def text(blocks: Sequence[Block]) -> str:
    return "\n".join(verdict_lines(blocks))


# ------------------------------------------------------------------------------------------- one pair


def test_one_split_in_numbers_and_words(out: Path, measure: Measure) -> None:
    a, b = [True] * 30 + [False] * 10, [True] * 18 + [False] * 20 + [True] * 2
    measure("xdc", a)
    measure("sdc", b)
    block = only(compare(["xdc", "sdc"], [out]))
    (one,) = block.comparisons[0].duels
    expected = their_mcnemar([[18, 12], [2, 8]], exact=True).pvalue
    assert (one.a, one.b, one.difference) == (75.0, 50.0, 25.0)
    assert (one.a_alone, one.b_alone, one.items, one.groups) == (12, 2, 40, 40)
    assert one.p == one.p_items == one.p_holm == pytest.approx(expected)
    assert one.interval is not None
    assert 0 < one.interval.low < 25 < one.interval.high < 50
    assert block.comparisons[0].overall is None
    said = text([block])
    low, high = one.interval.low, one.interval.high
    assert (
        f"xdc is 25.0 points above sdc on ucf101 split 1 (75.0 and 50.0 %; 95 % {low:.1f} to {high:.1f}; "
        f"McNemar p = {expected:.2g}, Holm {expected:.2g})" in said
    )
    assert "40 items: 12 right for xdc alone, 2 for sdc alone" in said
    assert "1 pretraining seed: says nothing about other seeds" in said


def test_the_other_way_round_is_below(out: Path, measure: Measure) -> None:
    measure("xdc", [True] * 30 + [False] * 10)
    measure("sdc", [True] * 18 + [False] * 22)
    there, back = (
        only(compare(names, [out])).comparisons[0].duels[0] for names in (["xdc", "sdc"], ["sdc", "xdc"])
    )
    assert back.difference == -there.difference
    assert back.p == there.p
    assert there.interval is not None and back.interval is not None
    assert (back.interval.low, back.interval.high) == pytest.approx(
        (-there.interval.high, -there.interval.low)
    )
    assert "sdc is 30.0 points below xdc on" in text(compare(["sdc", "xdc"], [out]))


def test_groups_stay_together(out: Path, measure: Measure) -> None:
    a, b = rights(0.9, 1), rights(0.5, 2)
    measure("xdc", a, size=4)
    measure("sdc", b, size=4)
    block = only(compare(["xdc", "sdc"], [out]))
    (one,) = block.comparisons[0].duels
    assert (one.items, one.groups) == (40, 10)
    assert one.p != one.p_items
    said = text([block])
    assert "McNemar by group p" in said
    assert "40 items in 10 groups" in said
    assert "10 groups of test items in a split: with fewer than 20 an interval is too narrow" in said


def test_no_difference(out: Path, measure: Measure) -> None:
    measure("xdc", rights(0.8, 1))
    measure("sdc", rights(0.8, 1))
    said = text(compare(["xdc", "sdc"], [out]))
    assert "xdc is level with sdc on ucf101 split 1" in said
    assert "McNemar p = 1, Holm 1" in said


def test_items_unreadable_in_one_run_are_left_out_and_counted(out: Path, measure: Measure) -> None:
    measure("xdc", table([True] * 30, first=0))
    measure("sdc", table([False] * 29, first=3))
    block = only(compare(["xdc", "sdc"], [out]))
    (one,) = block.comparisons[0].duels
    assert (one.items, one.unread_a, one.unread_b) == (27, 2, 3)
    assert "left out: 2 unreadable for xdc alone; left out: 3 unreadable for sdc alone" in text([block])


# --------------------------------------------------------------------------------- several of them


def test_holm_over_all_pairs_against_the_first(out: Path, measure: Measure) -> None:
    for name, share, seed in (("xdc", 0.9, 1), ("sdc", 0.5, 2), ("cdc", 0.8, 3), ("mdc", 0.65, 4)):
        for split in ("1", "2"):
            measure(name, rights(share, seed + 10 * int(split)), split=split)
    block = only(compare(["xdc", "sdc", "cdc", "mdc"], [out]))
    assert [(c.a, c.b) for c in block.comparisons] == [("xdc", "sdc"), ("xdc", "cdc"), ("xdc", "mdc")]
    duels = [one for comparison in block.comparisons for one in comparison.duels]
    assert len(duels) == 6
    assert [one.p_holm for one in duels] == pytest.approx(
        multipletests([d.p for d in duels], method="holm")[1]
    )


def test_over_splits_of_one_seed(out: Path, measure: Measure) -> None:
    for name, share in (("xdc", 0.9), ("sdc", 0.4)):
        for split in ("1", "2", "3"):
            measure(name, rights(share, int(split), n=20 * int(split)), split=split)
    block = only(compare(["xdc", "sdc"], [out]))
    mean = block.comparisons[0].overall
    assert mean is not None
    assert mean.difference == pytest.approx(np.mean([one.difference for one in block.comparisons[0].duels]))
    assert (mean.splits, mean.deviation, mean.p, mean.bootstrap) == (("1", "2", "3"), None, None, None)
    assert mean.interval is not None and mean.interval.method == "bootstrap"
    assert f"xdc is {mean.difference:.1f} points above sdc over splits 1, 2, 3 of ucf101" in text([block])


def test_over_seeds(out: Path, measure: Measure) -> None:
    for name, share in (("xdc", 0.9), ("sdc", 0.4)):
        for seed in range(3):
            measure(name, rights(share, seed + (10 if name == "xdc" else 20)), pretrain_seed=seed, seed=seed)
    block = only(compare(["xdc", "sdc"], [out]))
    (comparison,) = block.comparisons
    mean, differences = comparison.overall, [one.difference for one in comparison.duels]
    assert mean is not None and mean.interval is not None and mean.bootstrap is not None
    assert (mean.seeds, mean.p) == (("0", "1", "2"), 0.25)
    assert mean.deviation == pytest.approx(np.std(differences, ddof=1))
    assert mean.interval.method == "t"
    assert all(found.low < mean.difference < found.high for found in (mean.interval, mean.bootstrap))
    said = text([block])
    assert (
        "too few seeds: sign flips of 3 cannot give a p below 0.25, after Holm 0.25; 0.05 takes 6 seeds"
        in said
    )
    assert "points above sdc, not significantly, over 3 seeds and split 1 of ucf101" in said
    assert "over seeds; 95 % by t " in said
    assert "seed 2 (" in said
    assert "says nothing about other seeds" not in said


def test_six_seeds_reach_the_level(out: Path, measure: Measure) -> None:
    for seed in range(6):
        measure("xdc", rights(0.9, seed), pretrain_seed=seed, seed=seed)
        measure("sdc", rights(0.4, 10 + seed), pretrain_seed=seed, seed=seed)
    block = only(compare(["xdc", "sdc"], [out]))
    mean = block.comparisons[0].overall
    assert mean is not None and mean.p_holm == 2**-5
    assert "too few seeds" not in text([block])


def test_only_common_splits_and_seeds_are_paired(out: Path, measure: Measure) -> None:
    for split in ("1", "2"):
        measure("xdc", rights(0.9, 1), split=split)
    measure("sdc", rights(0.4, 2), split="2")
    measure("sdc", rights(0.4, 3), split="2", pretrain_seed=4, seed=4)
    block = only(compare(["xdc", "sdc"], [out]))
    assert [(one.split, one.seed) for one in block.comparisons[0].duels] == [("2", "0")]
    said = text([block])
    assert "left out, without a counterpart: split 1, seed 0 of xdc, split 2, seed 4 of sdc" in said


def test_without_a_common_seed_nothing_is_said(out: Path, measure: Measure) -> None:
    measure("xdc", rights(0.9, 1), pretrain_seed=1, seed=1)
    measure("sdc", rights(0.4, 1))
    said = text(compare(["xdc", "sdc"], [out]))
    assert "no split and seed in common" in said
    assert "points" not in said


def test_draws_of_training_items_are_repetitions(out: Path, measure: Measure, record: Maker) -> None:
    for name, share in (("xdc", 0.9), ("sdc", 0.4)):
        parts = {(s, d): table(rights(share, d + 7 * len(s))) for s in ("1%", "5") for d in range(3)}
        frames = [part.assign(shots=s, draw=d) for (s, d), part in parts.items()]
        made = measure(name, pd.concat(frames), evaluation="low_shot")
        records = []
        for (shots, draw), part in parts.items():
            value = 100 * float((part["prediction"] == part["label"]).mean())
            hyperparameters = {"frames": 8, "shots": shots, "draw": draw}
            records.append(
                made.model_copy(
                    update={"value": value, "items_used": ITEMS, "hyperparameters": hyperparameters}
                )
            )
        write_records(RunStore(out).path(made.run), records)
        write_manifest(RunStore(out).path(made.run))
    blocks = compare(["xdc", "sdc"], [out])
    assert [block.hyperparameters for block in blocks] == [{"shots": "1%"}, {"shots": "5"}]
    mean = blocks[0].comparisons[0].overall
    assert mean is not None
    assert mean.seeds == ("0 draw 0", "0 draw 1", "0 draw 2")
    assert "low_shot (shots 5) on ucf101" in text(blocks)
    assert "1 pretraining seed: says nothing about other seeds" in text(blocks)


def test_recall_counts_ranks(out: Path, measure: Measure) -> None:
    for name, ranks in (("xdc", [1, 2, 6, 3]), ("sdc", [9, 5, 1, 7])):
        frame = table([True] * 4).assign(rank=ranks)
        value = 100 * float(np.mean(np.array(ranks) <= 5))
        measure(name, frame, metric="recall_at_5", value=value, evaluation="retrieval")
    (one,) = only(compare(["xdc", "sdc"], [out], metric="recall_at_5")).comparisons[0].duels
    assert (one.a, one.b) == (75.0, 50.0)


# ------------------------------------------------------------------------------------------ who is who


def test_pretraining_data_and_runs_name_a_side(out: Path, measure: Measure) -> None:
    measure("xdc", rights(0.9, 1), run="finetune-aaa111")
    measure("xdc", rights(0.8, 2), run="finetune-bbb222", pretrain_data="audioset", config_hash="other")
    by_data = compare(["xdc@kinetics400", "xdc@audioset"], [out])
    by_run = compare(["finetune-a", "bbb"], [out])
    assert by_data[0].comparisons[0].duels == by_run[0].comparisons[0].duels
    assert "xdc@kinetics400 is" in text(by_data)
    with pytest.raises(UserError, match=r"xdc has 2 settings of finetune on ucf101 .*config_hash"):
        compare(["xdc", "bbb"], [out])
    with pytest.raises(UserError, match="both name the run finetune-aaa111"):
        compare(["finetune-aaa111", "xdc@kinetics400"], [out])
    with pytest.raises(UserError, match="'finetune-' matches 2 runs"):
        compare(["finetune-", "xdc@audioset"], [out])


def test_blocks_are_chosen_and_what_is_absent_is_named(out: Path, measure: Measure) -> None:
    for name in ("xdc", "sdc"):
        measure(name, rights(0.7, len(name)), run=f"u-{name}")
        measure(name, rights(0.7, len(name)), run=f"p-{name}", evaluation="probe", dataset="hmdb51")
    measure("cdc", rights(0.7, 1))
    assert [(b.evaluation, b.dataset, b.absent) for b in compare(["xdc", "sdc", "cdc"], [out])] == [
        ("finetune", "ucf101", ()),
        ("probe", "hmdb51", ("cdc",)),
    ]
    assert "not measured for cdc" in text(compare(["xdc", "sdc", "cdc"], [out]))
    assert "probe on hmdb51: not measured for cdc" in text(compare(["xdc", "cdc"], [out]))
    assert only(compare(["xdc", "sdc"], [out], dataset="hmdb51")).evaluation == "probe"
    assert only(compare(["xdc", "sdc"], [out], evaluation="finetune")).dataset == "ucf101"


def test_folders_are_read_as_one(out: Path, measure: Measure, tmp_path: Path) -> None:
    measure("xdc", rights(0.9, 1))
    measure("sdc", rights(0.5, 2), root=tmp_path / "other")
    assert len(compare(["xdc", "sdc"], [out, tmp_path / "other"])) == 1
    with pytest.raises(UserError, match="'sdc' names no method and no run"):
        compare(["xdc", "sdc"], [out])


# -------------------------------------------------------------------------------------------- refusals


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
    assert "note: they differ in frames 8 and 32; schedule.lr 0.1 and 0.2" in text(
        compare(["xdc", "sdc"], [out])
    )


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
        (["xdc", "scd"], {}, "'scd' names no method .* give one of sdc@kinetics400, xdc@kinetics400"),
        (["xdc", ""], {}, "'' names no method"),
        (["xdc", "sdc"], {"dataset": "ucf"}, "no number has dataset 'ucf'; there is ucf101"),
        (["xdc", "sdc"], {"evaluation": "probe"}, "no number has evaluation 'probe'; there is finetune"),
        (["xdc", "sdc"], {"metric": "top5"}, "no number has metric 'top5'; there is nmi, top1"),
        (["xdc", "sdc"], {"metric": "nmi"}, "nmi is no share of test items"),
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


# ------------------------------------------------------------------------------ cells, command, file


def test_a_cell_has_the_interval_of_its_runs(out: Path, measure: Measure) -> None:
    one = measure("xdc", rights(0.7, 1))
    store = RunStore(out)
    found, by_hand = cell_interval([one], [store]), wilson(one.value / 100, ITEMS).percent
    assert found == by_hand
    more = [one, *(measure("xdc", rights(0.7, s), split="2", pretrain_seed=s, seed=s) for s in range(2))]
    wide = cell_interval(more, [store])
    assert wide is not None and wide.method == "bootstrap"
    value = measured_cell(more).value
    assert value is not None and wide.low < value < wide.high
    assert cell_interval([one.model_copy(update={"metric": "nmi"})], [store]) is None


def test_seeds_of_the_evaluation_count_alike_whatever_their_splits(out: Path, measure: Measure) -> None:
    """Of one pretraining seed, its evaluation's seeds are what the mean is over: two splits of one weigh as one."""
    scores = {("0", "1"): rights(0.9, 1), ("0", "2"): rights(0.8, 2), ("1", "1"): rights(0.3, 3)}
    cell = [
        measure("xdc", right, split=split, seed=int(seed), run=f"finetune-{seed}-{split}")
        for (seed, split), right in scores.items()
    ]
    shares = {place: float(np.mean(right)) for place, right in scores.items()}
    mean = 100 * ((shares["0", "1"] + shares["0", "2"]) / 2 + shares["1", "1"]) / 2
    assert abs(mean - 100 * np.mean(list(shares.values()))) > 5, "all three alike would be another mean"
    found = cell_interval(cell, [RunStore(out)])
    assert found is not None and (found.low + found.high) / 2 == pytest.approx(mean, abs=1)


def test_predictions_are_sorted_by_id(out: Path, measure: Measure) -> None:
    made = measure("xdc", table(rights(0.5, 1)).sample(frac=1, random_state=0))
    found = load_predictions(made, [RunStore(out)])
    assert found.ids.tolist() == sorted(found.ids)
    assert found.scores.tolist() == [float(right) for right in rights(0.5, 1)]


def test_command_prints_and_writes(
    out: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure("xdc", rights(0.9, 1))
    measure("sdc", rights(0.5, 2))
    file = out / "verdict.json"
    words = ["xdcbench", "compare", "xdc", "sdc", "--results", str(out), "--output", str(file)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code in (0, None)
    assert "above sdc on ucf101 split 1" in capsys.readouterr().out
    content = json.loads(file.read_text())
    (duel,) = content["blocks"][0]["comparisons"][0]["duels"]
    assert content["schema_version"] == 2
    assert duel["interval"]["low"] < duel["difference"] < duel["interval"]["high"]
    monkeypatch.setattr(sys, "argv", [*words[:-1], str(out / "nowhere" / "verdict.json")])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 2
    assert "give another file with --output" in capsys.readouterr().err
