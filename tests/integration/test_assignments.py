"""A method that learns the clusters of an earlier run: of a method of its suite, and by a key."""

from pathlib import Path

import pytest

from tests.integration.helpers import one_thread, records, xdcbench

SUITE = """
world: {classes: 4, kinetics_train: 8, kinetics_val: 2}
models: {base: reduced}
pretrain: {base: reduced, rounds: 2, k: 4, batch_size: 16, pca_dim: 4, schedule: {epochs: 1}}
methods:
  same:
    title: Same modality
    assignments: {own: {run: sdc, clustering: v}}
    heads: {video: [own]}
evaluations:
  linear_probe: {num_clips: 1, precision: fp32}
pretraining:
  - {methods: [sdc, same], data: kinetics400}
evaluate:
  - {evaluation: linear_probe, dataset: kinetics400, splits: [official]}
tables: [probes]
"""


@pytest.mark.slow
def test_clusters_of_a_method_and_of_a_key_are_learned_alike(tmp_path: Path) -> None:
    suite, out = tmp_path / "own.yaml", tmp_path / "out"
    suite.write_text(SUITE, encoding="utf-8")
    words = ("run", "--suite", suite, "--results", out, "--device", "cpu", "--methods", "same")
    assert xdcbench(*words, env=one_thread()).returncode == 0
    made = {key: rows for key, rows in records(out).items() if key.startswith("round-")}
    (teacher,) = [
        k
        for k, rows in made.items()
        if rows[0]["method"] == "sdc" and rows[0]["hyperparameters"]["round"] == 2
    ]
    (student,) = [k for k, rows in made.items() if rows[0]["method"] == "same"]
    again = (*words, "--set", f"methods.same.assignments.own.run={teacher}")
    done = xdcbench(*again, env=one_thread())
    assert done.returncode == 0, done.stderr
    assert len(list(out.glob("runs/assignments-*/assignments.parquet"))) == 1
    (other,) = [
        key
        for key, rows in records(out).items()
        if key.startswith("round-") and rows[0]["method"] == "same" and key != student
    ]
    mine, its = (
        {(row["metric"], *row["hyperparameters"].items()): row["value"] for row in records(out)[key]}
        for key in (student, other)
    )
    assert mine == its and any("nmi_class" in name for name in mine)
    shown = xdcbench("report", "--results", out)
    assert shown.returncode == 0, shown.stderr
    assert "of an earlier run" in (out / "report" / "index.html").read_text(encoding="utf-8")
