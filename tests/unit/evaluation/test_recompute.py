"""Recomputed metrics against scikit-learn, from what the evaluations' own writers store."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    accuracy_score,
    adjusted_mutual_info_score,
    average_precision_score,
    balanced_accuracy_score,
    normalized_mutual_info_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from tests.unit.export.made_submission import CLASSES, write
from xdcbench.errors import UserError
from xdcbench.evaluation.multilabel_metrics import d_prime
from xdcbench.evaluation.recompute import Stored, contradictions, derived, fits, recomputed
from xdcbench.results.records import Record, read_file


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made") / "results")


Found = tuple[dict[str, float | None], pd.DataFrame, np.ndarray | None]


@pytest.fixture
def of(results: Path) -> Callable[[str], Found]:
    """Recomputed values by metric (and what tells them apart), the predictions, the scores of a kind of run."""

    def read(kind: str) -> Found:
        (run,) = (results / "runs").glob(f"{kind}-*")
        records, stored = read_file(run / "records.json"), Stored.read(run)
        values = {name(record, stored): recomputed(record, stored) for record in records}
        assert all(
            value is not None and fits(record, value)
            for record, value in zip(records, values.values(), strict=True)
        )
        assert not list(contradictions(stored))
        return values, stored.table, stored.scores

    return read


def name(record: Record, stored: Stored) -> str:
    told = [str(record.hyperparameters[at]) for at in (*stored.table, "over") if at in record.hyperparameters]
    return " ".join([record.metric, *told])


def test_top1_top5_and_mean_per_class(of: Callable[[str], Found], results: Path) -> None:
    values, table, scores = of("linear_probe")
    assert values == {"top1": pytest.approx(100 * accuracy_score(table["label"], table["prediction"]))}
    (run,) = (results / "runs").glob("linear_probe-*")
    assert scores is not None
    assert derived(Stored.read(run)) == {
        "top-5": pytest.approx(
            100 * top_k_accuracy_score(table["label"], scores, k=5, labels=range(CLASSES))
        ),
        "mean per class": pytest.approx(100 * balanced_accuracy_score(table["label"], table["prediction"])),
    }


def test_votes_of_each_k(of: Callable[[str], Found]) -> None:
    values, table, _ = of("knn")
    for k, part in table.groupby("neighbors"):
        assert values[f"top1 {k}"] == pytest.approx(100 * accuracy_score(part["label"], part["prediction"]))


def test_recall(of: Callable[[str], Found]) -> None:
    values, table, _ = of("retrieval")
    expected = {f"recall_at_{k}": pytest.approx(100 * np.mean(table["rank"] <= k)) for k in (1, 5)}
    assert values == expected


def test_clusters(of: Callable[[str], Found]) -> None:
    values, table, _ = of("clusters")
    labels, found = table["label"], table["cluster"]
    assert values["cluster_accuracy"] == pytest.approx(100 * accuracy_score(labels, table["prediction"]))
    assert values["nmi"] == pytest.approx(normalized_mutual_info_score(labels, found))
    assert values["ami"] == pytest.approx(adjusted_mutual_info_score(labels, found))
    assert values["size_max"] == found.value_counts().max()


def test_gain(of: Callable[[str], Found]) -> None:
    values, table, _ = of("fusion")
    right = (table["prediction"] == table["label"]).groupby(table["modalities"]).mean() * 100
    assert values["top1_gain fused video"] == pytest.approx(right["fused"] - right["video"])


def test_several_classes(of: Callable[[str], Found]) -> None:
    values, table, scores = of("multilabel_probe")
    truth = np.array([np.isin(np.arange(CLASSES), classes) for classes in table["labels"]])
    assert scores is not None
    auc = roc_auc_score(truth, scores, average="macro")
    assert values == {
        "mAP": pytest.approx(100 * average_precision_score(truth, scores, average="macro"), abs=1e-4),
        "mAUC": pytest.approx(100 * auc, abs=1e-4),
        "d_prime": pytest.approx(d_prime(auc), abs=1e-5),
    }


def test_what_cannot_be_recomputed_is_none(results: Path) -> None:
    (run,) = (results / "runs").glob("linear_probe-*")
    (record,), stored = read_file(run / "records.json"), Stored.read(run)
    for metric in ("mAP", "nmi", "something_new"):
        assert recomputed(record.model_copy(update={"metric": metric}), stored) is None


def test_scores_of_other_items_are_refused(results: Path, tmp_path: Path) -> None:
    (run,) = (results / "runs").glob("linear_probe-*")
    table = pd.read_parquet(run / "predictions.parquet")
    table.to_parquet(tmp_path / "predictions.parquet")
    for scores in (np.zeros((len(table) - 1, 3)), np.zeros(len(table)), np.full((len(table), 3), np.nan)):
        np.save(tmp_path / "scores.npy", scores)
        with pytest.raises(UserError, match="holds no finite scores"):
            Stored.read(tmp_path)
