"""The example of docs/extending.md, measured by every evaluation of a suite that takes a video encoder."""

import os
import re
from pathlib import Path

from tests.conftest import ROOT
from tests.integration.helpers import one_thread, records, xdcbench

SUITE = """
world: {classes: 2, size: 32, kinetics_train: 0, ucf101_groups: 3}
models: {base: reduced, video: {width: 4, input: {frames: 4, size: 16, short_side: [16, 16]}}}
evaluations:
  finetune: {batch_size: 4, num_clips: 1, precision: fp32, schedule: {epochs: 1, warmup_epochs: 0}}
  linear_probe: {num_clips: 2, num_augmented_clips: 1, solver: sgd, schedule: {epochs: 2}, precision: fp32}
  retrieval: {num_clips: 2, ks: [1], precision: fp32}
  clusters: {num_clips: 2, precision: fp32}
  audio_probe: {num_clips: 1, precision: fp32}
pretraining: [{methods: [scratch]}]
evaluate:
  - {evaluation: finetune, dataset: ucf101, splits: ["1"]}
  - {evaluation: linear_probe, dataset: ucf101, splits: ["1"]}
  - {evaluation: retrieval, dataset: ucf101, splits: ["1"]}
  - {evaluation: clusters, dataset: ucf101, splits: ["1"]}
  - {evaluation: audio_probe, dataset: ucf101, splits: ["1"]}
tables: [table5]
"""


def test_the_documented_encoder_is_measured_like_any_other(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?class Tiny.*?)```", (ROOT / "docs/extending.md").read_text(), re.S)
    (tmp_path / "my_encoder.py").write_text(code)
    suite, out = tmp_path / "own.yaml", tmp_path / "out"
    suite.write_text(SUITE)
    env = one_thread() | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    source = "encoders.mine.video.source=my_encoder:Tiny"
    done = xdcbench("run", "--suite", suite, "--results", out, "--set", source, "--filter", "mine/*", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for of in records(out).values() for row in of]
    kinds = {row["protocol"] for row in rows}
    assert kinds == {"finetune", "linear_probe", "retrieval", "clusters"}, "and nothing that hears"
    assert {row["method"] for row in rows} == {"mine"}
    assert {row["architecture"] for row in rows} == {"my_encoder:Tiny"}
    assert {row["hyperparameters"]["frames"] for row in rows} == {4}

    suite.write_text(SUITE + "encoders: {mine: {video: {source: 'my_encoder:Tiny'}}}\n")
    refused = xdcbench("run", "--suite", suite, "--results", out, env=env)
    assert refused.returncode == 2
    assert (
        "encoders.mine.video.source runs code, 'my_encoder:Tiny'; read it, then give --trust-code"
        in refused.stderr
    )
