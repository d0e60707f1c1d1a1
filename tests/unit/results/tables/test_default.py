from collections.abc import Callable

from xdcbench.results.records import Record
from xdcbench.results.tables.cells import CellStatistics
from xdcbench.results.tables.default import default_tables, measurements_of_records
from xdcbench.results.tables.present import all_grids
from xdcbench.results.tables.render import render

Maker = Callable[..., Record]


def titles(*records: Record) -> dict[str, list[str]]:
    tables = default_tables(measurements_of_records(records))
    return {name: [column.title for column in table.columns] for name, table in tables.items()}


def test_each_evaluation_of_a_dataset_has_a_column(make_record: Maker) -> None:
    low_shot = {"evaluation": "low_shot", "protocol": "low_shot"}
    retrieval = {"evaluation": "near", "protocol": "retrieval"}
    assert titles(
        *(make_record(**retrieval, metric=f"recall_at_{k}") for k in (20, 5, 10)),
        *(make_record(**low_shot, hyperparameters={"shots": n}) for n in ("10%", "20", "1%", "5")),
        make_record(evaluation="groups", protocol="clusters", metric="nmi"),
        make_record(evaluation="groups", protocol="clusters", metric="cluster_accuracy"),
        make_record(evaluation="audio_svm", protocol="linear_svm", dataset="mine", hyperparameters={}),
        *(
            make_record(evaluation="near_k", protocol="knn", hyperparameters={"neighbors": k})
            for k in (20, 1)
        ),
        *(
            make_record(
                evaluation="both", protocol="fusion", metric=metric, hyperparameters={"modalities": name}
            )
            for name in ("fused", "audio")
            for metric in ("top1", "top1_gain")
        ),
        *(
            make_record(
                evaluation="motion", protocol="temporal", metric=metric, hyperparameters={"variant": name}
            )
            for name in ("rate-2", "plain")
            for metric in ("top1", "top1_drop")
        ),
        *(
            make_record(evaluation="sets", protocol="multilabel_probe", dataset="several", metric=metric)
            for metric in ("mAP", "mAUC", "d_prime")
        ),
        make_record(evaluation="round", protocol="round", metric="nmi_class", dataset="learned"),
    ) == {
        "dataset-kinetics400": [
            "both, audio, top-1",
            "both, fused, top-1",
            "groups (video), cluster accuracy",
            "low_shot (audio), 5 per class, top-1",
            "low_shot (audio), 20 per class, top-1",
            "low_shot (audio), 1% of the items, top-1",
            "low_shot (audio), 10% of the items, top-1",
            "motion (audio), plain, top-1",
            "motion (audio), rate-2, top-1",
            "near (video), R@5",
            "near_k (audio), k = 1, top-1",
            "near_k (audio), k = 20, top-1",
        ],
        "dataset-mine": ["audio_svm, top-1"],
        "dataset-several": ["sets (video), mAP"],
    }


def test_one_split_stands_for_itself_and_several_for_their_mean(make_record: Maker) -> None:
    records = [
        make_record(run=f"{method}{split}", method=method, split=split, dataset=dataset)
        for dataset, splits in {"one": "2", "two": "12"}.items()
        for method in ("xdc", "sdc")
        for split in splits
    ]
    tables = default_tables(measurements_of_records(records))
    assert [table.columns[0].split for table in tables.values()] == ["2", "mean"]


def test_only_numbers_that_no_table_of_the_library_shows_have_a_default_one(make_record: Maker) -> None:
    known = make_record(run="known")
    own = make_record(run="own", dataset="mine", value=33.25)
    assert "dataset-kinetics400" not in all_grids([known])
    made = all_grids([known, own], CellStatistics(lambda _: (30.0, 40.0), every=True))
    assert made["probes"].runs == {"known"} and made["dataset-mine"].runs == {"own"}
    text = render(made["dataset-mine"], "txt")
    assert "Results on mine (%)" in text and "linear_probe (video), top-1" in text
    assert "[30.0, 40.0]" in text and "mine, split official: 498 of 500" in text


def test_an_empty_folder_has_no_default_table() -> None:
    assert not any(name.startswith("dataset-") for name in all_grids([]))
