from pathlib import Path

import pytest
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from tests.unit.reports.results.made_results import write
from xdcbench.reports.gather import gather
from xdcbench.reports.results.changes import Comparison, result_changes
from xdcbench.utils.manifest import write_manifest


def compared(here: Path, there: Path) -> Comparison:
    return result_changes(gather([here]), gather([there]))


def test_a_folder_beside_itself_has_not_moved(tmp_path: Path) -> None:
    folder = write(tmp_path / "one")
    found = compared(folder, folder)
    assert not (found.moved or found.unlike or found.only_here or found.only_there)
    names = {
        (r.method, r.evaluation, r.metric, str(sorted(r.hyperparameters.items())))
        for r in gather([folder]).records
    }
    assert found.same == len(names)


def test_p_is_that_of_the_exact_test_after_holm(tmp_path: Path) -> None:
    here = write(tmp_path / "here", right={"xdc": (150,), "sdc": (92,)})
    there = write(tmp_path / "there", right={"xdc": (130,), "sdc": (100,)})
    large, small = compared(here, there).moved
    assert (large.name[0], small.name[0]) == ("xdc", "sdc")
    assert large.difference == pytest.approx(10.0) and small.difference == pytest.approx(-4.0)
    raw = [binomtest(0, n, 0.5).pvalue for n in (20, 8)]
    _, corrected, *_ = multipletests(raw, method="holm")
    assert [large.p, small.p] == pytest.approx(list(corrected), rel=1e-6)
    assert large.significant and small.significant == (corrected[1] < 0.05)
    assert large.interval is not None and large.interval.low < 10.0 < large.interval.high
    assert large.items == (200, 200)


def test_a_small_change_is_not_significant(tmp_path: Path) -> None:
    (move,) = compared(
        write(tmp_path / "here", right={"xdc": (150,)}), write(tmp_path / "there", right={"xdc": (148,)})
    ).moved
    assert move.significant is False and move.difference == pytest.approx(1.0)


def test_a_mean_over_seeds_is_compared_seed_by_seed(tmp_path: Path) -> None:
    here = write(tmp_path / "here", right={"xdc": (150, 156, 160)})
    there = write(tmp_path / "there", right={"xdc": (150, 150)})
    (move,) = compared(here, there).moved
    assert move.units == 2, "the third seed has no counterpart"
    assert move.difference == pytest.approx((0.0 + 3.0) / 2)
    assert len(move.runs[0]) == len(move.runs[1]) == 2
    assert move.p is None, "of two seeds, sign flips give no p below 0.5"
    assert move.interval is not None and move.significant is False


def test_few_seeds_that_agree_are_judged_by_their_interval(tmp_path: Path) -> None:
    here = write(tmp_path / "here", right={"xdc": (150, 156)})
    (move,) = compared(here, write(tmp_path / "there", right={"xdc": (100, 110)})).moved
    assert move.p is None and move.interval is not None and move.interval.low > 0
    assert move.significant


def test_other_test_items_are_not_subtracted(tmp_path: Path) -> None:
    here, there = write(tmp_path / "here"), write(tmp_path / "there", fingerprint="beef")
    found = compared(here, there)
    assert not found.moved
    assert {name[0] for name, _ in found.unlike} >= {"xdc", "sdc"}
    assert all("fingerprint f00df00df00d and beef" in why for _, why in found.unlike)


def test_other_settings_are_named(tmp_path: Path) -> None:
    here = write(tmp_path / "here", right={"xdc": (150,)}, config_hash="s", commit="fed")
    (move,) = compared(here, write(tmp_path / "there", right={"xdc": (100,)})).moved
    assert move.settings == ("config_hash", "commit")


def test_without_predictions_a_plain_difference_says_why(tmp_path: Path) -> None:
    here, there = (
        write(tmp_path / "here", right={"xdc": (150,)}),
        write(tmp_path / "there", right={"xdc": (100,)}),
    )
    predictions = next(there.glob("runs/linear_probe-*/predictions.parquet"))
    predictions.unlink()
    write_manifest(predictions.parent)
    (move,) = compared(here, there).moved
    assert move.difference == pytest.approx(25.0) and move.significant is None
    assert "predictions.parquet is missing" in move.why


def test_what_one_folder_lacks_is_named(tmp_path: Path) -> None:
    here = write(tmp_path / "here", right={"xdc": (150,)})
    there = write(tmp_path / "there", right={"xdc": (150,), "sdc": (90,)})
    found = compared(here, there)
    assert [name[0] for name in found.only_there] == ["sdc"] and not found.only_here
    assert compared(there, here).only_here == found.only_there
