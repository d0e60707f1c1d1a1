"""``compare``: who is paired with whom, the numbers and the words."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests

from tests.unit.results.made_index import write_index
from tests.unit.results.statistics.made_runs import ITEMS, Maker, Measure, only, rights, table, text
from xdcbench.cli import main
from xdcbench.errors import UserError
from xdcbench.results.records import write_records
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.compare import compare
from xdcbench.utils.manifest import write_manifest


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
        f"xdc is 25.0 points above sdc on UCF101 split 1 (75.0 and 50.0 %; 95 % {low:.1f} to {high:.1f}; "
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
    assert "fewer than 20 groups of test items in a split, so an interval is too narrow" in said


def test_no_difference(out: Path, measure: Measure) -> None:
    measure("xdc", rights(0.8, 1))
    measure("sdc", rights(0.8, 1))
    said = text(compare(["xdc", "sdc"], [out]))
    assert "xdc is level with sdc on UCF101 split 1" in said
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


def test_all_pairs_are_one_family_of_holm(out: Path, measure: Measure) -> None:
    for name, share in (("xdc", 0.95), ("cdc", 0.6), ("sdc", 0.4)):
        measure(name, rights(share, len(name)))
    block = only(compare(["xdc", "cdc", "sdc"], [out], all_pairs=True))
    assert [(c.a, c.b) for c in block.comparisons] == [("xdc", "cdc"), ("xdc", "sdc"), ("cdc", "sdc")]
    duels = [c.duels[0] for c in block.comparisons]
    expected = multipletests([one.p for one in duels], method="holm")[1]
    assert [one.p_holm for one in duels] == pytest.approx(expected)
    first = only(compare(["xdc", "cdc", "sdc"], [out]))
    assert [c.duels[0].p for c in first.comparisons] == [one.p for one in duels[:2]]
    assert "cdc is" in text([block]) and "sdc" in text([block])


def flips(differences: np.ndarray) -> float:
    """Two-sided p of the sum where each group's difference may have either sign, by the binomials of ones."""
    rng = np.random.default_rng(0)
    sums = rng.choice([-1, 1], (50_000, len(differences))) @ differences
    return pytest.approx(float((abs(sums) >= abs(differences.sum())).mean()), abs=0.005)  # type: ignore[return-value]


def test_over_splits_of_one_seed(out: Path, measure: Measure) -> None:
    for name, share in (("xdc", 0.9), ("sdc", 0.4)):
        for split in ("1", "2", "3"):
            measure(name, rights(share, int(split), n=20 * int(split)), split=split)
    block = only(compare(["xdc", "sdc"], [out]))
    mean = block.comparisons[0].overall
    assert mean is not None
    assert mean.difference == pytest.approx(np.mean([one.difference for one in block.comparisons[0].duels]))
    assert (mean.splits, mean.deviation, mean.bootstrap) == (("1", "2", "3"), None, None)
    counts = pd.concat(
        [table(rights(0.9, s, n=20 * s)).assign(b=rights(0.4, s, n=20 * s)) for s in (1, 2, 3)]
    )
    gains = counts["prediction"] - counts["b"]
    assert mean.p == mean.p_holm == flips(gains.groupby(counts["group"]).sum().to_numpy())
    assert mean.interval is not None and mean.interval.method == "bootstrap"
    assert f"xdc is {mean.difference:.1f} points above sdc over splits 1, 2, 3 of UCF101" in text([block])


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
    assert "points above sdc, not significantly, over 3 seeds and split 1 of UCF101" in said
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
    assert "low_shot (shots 5) on UCF101" in text(blocks)
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
    assert "not measured for cdc: probe on HMDB51." in text(compare(["xdc", "cdc"], [out]))
    assert only(compare(["xdc", "sdc"], [out], dataset="hmdb51")).evaluation == "probe"
    assert only(compare(["xdc", "sdc"], [out], evaluation="finetune")).dataset == "ucf101"


def test_folders_are_read_as_one(out: Path, measure: Measure, tmp_path: Path) -> None:
    measure("xdc", rights(0.9, 1))
    measure("sdc", rights(0.5, 2), root=tmp_path / "other")
    assert len(compare(["xdc", "sdc"], [out, tmp_path / "other"])) == 1
    with pytest.raises(
        UserError, match=r"'sdc' is not a method or run that can be compared here\. Try: one of xdc@"
    ):
        compare(["xdc", "sdc"], [out])


def test_command_prints_and_writes(
    out: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure("xdc", rights(0.9, 1))
    measure("sdc", rights(0.5, 2))
    file = out / "verdict.json"
    words = ["xdcbench", "compare", "xdc", "sdc", "--details", "--results", str(out), "--output", str(file)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code in (0, None)
    assert "above sdc on UCF101 split 1" in capsys.readouterr().out
    content = json.loads(file.read_text())
    (duel,) = content["blocks"][0]["comparisons"][0]["duels"]
    assert content["schema_version"] == 3
    assert duel["interval"]["low"] < duel["difference"] < duel["interval"]["high"]
    monkeypatch.setattr(sys, "argv", [*words[:-1], str(out / "nowhere" / "verdict.json")])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 2
    assert "give another file with --output" in capsys.readouterr().err


def test_titles_of_datasets_are_those_of_their_indices(out: Path, measure: Measure) -> None:
    for method in ("xdc", "sdc"):
        for name in ("mine", "yours"):
            measure(method, rights(0.8, len(name)), run=f"{name}-{method}", dataset=name)
    for name in ("mine", "yours"):
        write_index(RunStore(out), f"index-{name}", name, "My <clips>")
    blocks = compare(["xdc", "sdc"], [out])
    assert [block.name for block in blocks] == [f"finetune on My <clips> ({n})" for n in ("mine", "yours")]
    assert "on My <clips> (mine) split 1 (" in text(blocks)
    assert [block.dataset for block in blocks] == ["mine", "yours"], "options take names, not titles"
