"""The suites that take minutes."""

from pathlib import Path

import pandas as pd
import pytest

from tests.integration.helpers import xdcbench
from xdcbench.results.records import Record, read_records
from xdcbench.results.run_store import RunStore

pytestmark = pytest.mark.nightly


def run(out: Path, suite: str, *words: object) -> list[Record]:
    done = xdcbench("run", "--suite", suite, "--results", out, "--device", "cpu", *words)
    assert done.returncode == 0, done.stderr
    print(done.stdout)  # noqa: T201 - the tables are what this run is for
    return read_records([RunStore(out, write=False)])


def nmi(records: list[Record], method: str, clustering: str) -> list[float]:
    """NMI of a clustering with the class, round by round."""
    kept = [
        record
        for record in records
        if (record.method, record.metric, record.hyperparameters.get("clustering"))
        == (method, "nmi_class", clustering)
    ]
    return [record.value for record in sorted(kept, key=lambda record: record.hyperparameters["round"])]


def test_clusters_of_xdc_climb_and_those_of_sdc_do_not(tmp_path: Path) -> None:
    """The trial world: XDC's agreement with the hidden classes grows in both modalities."""
    records = run(tmp_path, "mini", "--seeds", "0", "--methods", "sdc,xdc")
    for clustering in ("v", "a"):
        xdc, sdc = nmi(records, "xdc", clustering), nmi(records, "sdc", clustering)
        assert len(xdc) == len(sdc) == 6
        assert xdc[0] == sdc[0], "one initialization, one first clustering"
        assert xdc[-1] > xdc[0] + 0.25
        assert xdc[-1] > sdc[-1] + 0.1


def test_real_small(tmp_path: Path, shared_data: Path) -> None:
    """Labels that an encoder has learned are found in clips that it has not seen, far above chance."""
    records = run(tmp_path, "real-small", "--data-root", shared_data)
    probes = [r for r in records if r.dataset.startswith("grid") and r.protocol == "linear_probe"]
    folds = [record for record in records if record.dataset == "esc10"]
    assert {record.method for record in probes} == {"scratch", "supervised", "sdc", "xdc"}
    assert {record.dataset for record in probes} == {"grid", "grid_color", "grid_digit", "grid_letter"}
    assert {record.split for record in folds} == {"1", "2", "3", "5"}
    assert all(record.items_used == record.items_expected for record in [*probes, *folds])
    assert {record.items_used for record in probes} == {44}, "one split, whatever the label"
    of_command = [r for r in probes if (r.dataset, r.evaluation) == ("grid", "audio_probe")]
    command = pd.DataFrame([(r.method, r.value) for r in of_command]).groupby(0)[1].mean()
    assert len(of_command) == 12, "four methods, three seeds"
    assert command["supervised"] > command["scratch"] + 10
    assert command["supervised"] > 40, "chance is 25"
    for name in ("grid_video", "grid_audio"):
        cells = pd.read_csv(tmp_path / "tables" / "real-small" / f"{name}.csv")
        assert set(cells["group"]) == {"measured"}
        assert "chance 25.0 %" in (tmp_path / "tables" / "real-small" / f"{name}.txt").read_text()
    said = (tmp_path / "tables" / "real-small" / "esc10_svm.txt").read_text()
    assert "mean over 4 of 5 splits (missing: 4)" in said


def test_esc10_beside_its_author(tmp_path: Path, shared_data: Path) -> None:
    """Each published fold lies in the interval of the measured one, which learns from four folds less one."""
    run(tmp_path, "esc10", "--data-root", shared_data)
    cells = pd.read_csv(tmp_path / "tables" / "esc10" / "esc10.csv")
    svm = cells[cells["method"] == "MFCC statistics"].set_index("column")
    measured, published = (svm[svm["group"] == group] for group in ("measured", "published"))
    for fold in ("fold 1", "fold 2", "fold 3", "fold 5"):
        low, high = measured.loc[fold, ["low", "high"]]
        assert low < published.loc[fold, "value"] < high
        assert abs(measured.loc[fold, "value"] - published.loc[fold, "value"]) < 10
