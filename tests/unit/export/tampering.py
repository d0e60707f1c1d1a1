"""Ways to tamper with a published submission; each takes its folder, and says what must be refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xdcbench.results.submission import MANIFEST, read_submission, write_submission


def remade(folder: Path) -> None:
    """Write the manifest again over what was tampered with, as one who means it would."""
    runs = read_submission(folder).runs
    (folder / MANIFEST).unlink()
    write_submission(folder, runs)


def predictions(folder: Path, kind: str, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
    """Rewrite the predictions of the run of a kind."""
    (path,) = folder.glob(f"{kind}-*/predictions.parquet")
    table = pd.read_parquet(path)
    changed = change(table)
    (table if changed is None else changed).to_parquet(path, index=False)


def document(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    """Rewrite a JSON file; ``name`` is a pattern."""
    path = next(iter(sorted(folder.glob(name))))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def flip_right(table: pd.DataFrame) -> None:
    """Make the first item wrong if it is right, and right if it is wrong."""
    right = table.loc[0, "prediction"] == table.loc[0, "label"]
    table.loc[0, "prediction"] = table.loc[0, "label"] + 1 if right else table.loc[0, "label"]


def a_changed_prediction(folder: Path) -> str:
    predictions(folder, "knn", flip_right)
    return r"knn-\w+/records.json: top1 \(neighbors 1\) is stated as [\d.]+, recomputed [\d.]+"


def a_changed_prediction_that_scores_contradict(folder: Path) -> str:
    def change(table: pd.DataFrame) -> None:
        wrong = table.index[table["prediction"] != table["label"]][0]
        taken = {table.loc[wrong, "prediction"], table.loc[wrong, "label"]}
        table.loc[wrong, "prediction"] = next(i for i in range(8) if i not in taken)

    predictions(folder, "linear_probe", change)
    return r"predictions.parquet: prediction of 'item\d\d' is stated as \d, recomputed \d by scores.npy"


def a_changed_label(folder: Path) -> str:
    predictions(folder, "fusion", lambda table: table.assign(label=(table["label"] + 1) % 8))
    return r"fusion-\w+/records.json: top1_gain \(modalities fused\) is stated as"


def a_label_of_one_row(folder: Path) -> str:
    def change(table: pd.DataFrame) -> None:
        table.loc[0, "label"] += 1

    predictions(folder, "knn", change)
    return r"knn-\w+/predictions.parquet: label is stated as one of 'item\d\d', recomputed 2"


def a_changed_rank(folder: Path) -> str:
    def change(table: pd.DataFrame) -> None:
        table.loc[table.index[table["rank"] > 1][0], "rank"] = 1

    predictions(folder, "retrieval", change)
    return r"retrieval-\w+/predictions.parquet: rank of 'item\d\d' is stated as 1, recomputed prediction \d"


def a_changed_cluster(folder: Path) -> str:
    def change(table: pd.DataFrame) -> None:
        table.loc[0, "cluster"] = (table.loc[0, "cluster"] + 1) % 8

    predictions(folder, "clusters", change)
    return r"clusters-\w+/records.json: nmi is stated as"


def changed_scores(folder: Path) -> str:
    (path,) = folder.glob("multilabel_probe-*/scores.npy")
    scores = np.load(path)
    np.save(path, scores[::-1])
    return r"multilabel_probe-\w+/records.json: mAP is stated as"


def a_changed_class(folder: Path) -> str:
    (path,) = folder.glob("multilabel_probe-*/classes.parquet")
    table = pd.read_parquet(path)
    table.loc[3, "average_precision"] += 0.01
    table.to_parquet(path, index=False)
    return r"multilabel_probe-\w+/classes.parquet: average_precision of class 3 is stated as"


def a_changed_metric(folder: Path) -> str:
    document(folder, "linear_probe-*/records.json", lambda records: records[0].update(value=99.0))
    return r"linear_probe-\w+/records.json: top1 is stated as 99.000000, recomputed 80.000000"


def a_missing_item(folder: Path) -> str:
    predictions(folder, "clusters", lambda table: table.iloc[1:])
    return r"clusters-\w+/predictions.parquet: number of items is stated as items of .* records say 40, recomputed 39"


def a_duplicate(folder: Path) -> str:
    predictions(folder, "knn", lambda table: pd.concat([table, table.iloc[:1]]))
    return r"knn-\w+/predictions.parquet: item is stated as 'item\d\d' once, recomputed 2 rows"


def rows_of_no_record(folder: Path) -> str:
    predictions(
        folder, "knn", lambda table: pd.concat([table, table[table["neighbors"] == 1].assign(neighbors=9)])
    )
    return r"knn-\w+/predictions.parquet: rows is stated as each behind a record, recomputed 40 behind none"


def other_item_counts(folder: Path) -> str:
    document(
        folder,
        "linear_probe-*/records.json",
        lambda records: records[0].update(items_used=41, items_expected=41),
    )
    return r"number of items is stated as items of top1, records say 41, recomputed 40"


def more_items_than_expected(folder: Path) -> str:
    document(folder, "linear_probe-*/records.json", lambda records: records[0].update(items_expected=39))
    return r"linear_probe-\w+/records.json: items is stated as 39 expected, recomputed 40 used and 0 failed"


def another_config(folder: Path) -> str:
    document(folder, "linear_probe-*/config.json", lambda content: content["config"].update(name="other"))
    return (
        r"linear_probe-\w+/records.json: config_hash of top1 is stated as config-\w+, recomputed config-\w+"
    )


def another_config_hash(folder: Path) -> str:
    document(
        folder,
        "linear_probe-*/records.json",
        lambda records: records[0].update(config_hash="config-0123456789ab"),
    )
    return r"config_hash of top1 is stated as config-0123456789ab, recomputed config-\w+"


def another_setting_of_the_run(folder: Path) -> str:
    document(folder, "linear_probe-*/run.json", lambda facts: facts["science"]["settings"].update(C=7.0))
    return r"linear_probe-\w+/run.json: key of its settings is stated as linear_probe-\w+, recomputed linear_probe-\w+"


def another_seed(folder: Path) -> str:
    document(folder, "linear_probe-*/records.json", lambda records: records[0].update(seed=5))
    return r"linear_probe-\w+/records.json: seed of top1 is stated as 5, recomputed 2"


def another_environment(folder: Path) -> str:
    document(folder, "linear_probe-*/records.json", lambda records: records[0].update(commit="0123abc"))
    return r"linear_probe-\w+/records.json: commit of top1 is stated as 0123abc, recomputed"


def another_method(folder: Path) -> str:
    document(folder, "linear_probe-*/encoders.json", lambda metadata: metadata.update(method="mine"))
    return r"linear_probe-\w+/records.json: method of top1 is stated as xdc, recomputed mine"


WAYS: dict[str, tuple[Callable[[Path], str], ...]] = {
    "knn": (a_changed_prediction, a_label_of_one_row, a_duplicate, rows_of_no_record),
    "fusion": (a_changed_label,),
    "retrieval": (a_changed_rank,),
    "clusters": (a_changed_cluster, a_missing_item),
    "multilabel_probe": (changed_scores, a_changed_class),
    "linear_probe": (
        *(a_changed_prediction_that_scores_contradict, a_changed_metric, other_item_counts),
        *(more_items_than_expected, another_config, another_config_hash, another_setting_of_the_run),
        *(another_seed, another_environment, another_method),
    ),
}
"""By the kind of the run that is tampered with; each is refused though the manifest was made again."""
