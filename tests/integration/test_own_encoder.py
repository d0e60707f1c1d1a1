"""Encoders of the documents, measured by every evaluation of a suite that takes them."""

import json
import os
import re
from pathlib import Path

import pytest

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
    (code,) = re.findall(
        r"```python\n(.*?class Tiny.*?)```", (ROOT / "docs/how-to/evaluate-encoder.md").read_text(), re.S
    )
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


HEARING = """
world: {classes: 2, kinetics_train: 0, esc50_per_fold: 2}
prepare: [esc50]
evaluations:
  audio_finetune: {batch_size: 4, num_clips: 1, precision: fp32, schedule: {epochs: 1, warmup_epochs: 0}}
  audio_probe: {num_clips: 2, solver: sgd, schedule: {epochs: 2}, precision: fp32}
  audio_svm: {num_clips: 2, inner_folds: 2, precision: fp32}
pretraining: []
evaluate:
  - {evaluation: audio_finetune, dataset: esc50, splits: ["1"]}
  - {evaluation: audio_probe, dataset: esc50, splits: ["1"]}
  - {evaluation: audio_svm, dataset: esc50, splits: ["1"]}
tables: [frozen_audio]
"""


@pytest.mark.slow
def test_an_encoder_of_waveforms_is_measured_from_shards_of_its_rate_and_exported(tmp_path: Path) -> None:
    document = (ROOT / "docs/how-to/encoders.md").read_text()
    (code,) = re.findall(r"`waveform_encoder\.py`:\n\n```python\n(.*?)```", document, re.S)
    (tmp_path / "waveform_encoder.py").write_text(code)
    suite, out = tmp_path / "hearing.yaml", tmp_path / "out"
    suite.write_text(HEARING)
    env = one_thread() | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    source = "encoders.mine.audio.source=waveform_encoder:Samples"
    done = xdcbench("run", "--suite", suite, "--results", out, "--set", source, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for of in records(out).values() for row in of]
    assert {row["protocol"] for row in rows} == {"finetune", "linear_probe", "linear_svm"}
    assert all(0 <= row["value"] <= 100 for row in rows if row["metric"] == "top1")
    (shards,) = (out / "runs").glob("shards-*")
    (run,) = (out / "runs").glob("pretrained-*")
    assert json.loads((shards / "run.json").read_text())["config"]["settings"]["sample_rate"] == 24_000
    stated = json.loads((run / "encoders.json").read_text())["models"]["audio"]["input"]
    assert stated == {"kind": "waveform", "sample_rate": 24_000, "seconds": 2.0}

    target = tmp_path / "exported"
    done = xdcbench("export", run.name, "--results", out, "--output", target, "--trust-code", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "float32 (B, 48000): mono audio at 24000 samples per second" in (target / "README.md").read_text()
    spec = ["validate-encoder", target, "--device", "cpu"]
    refused, checked = xdcbench(*spec, env=env), xdcbench(*spec, "--trust-code", env=env)
    assert (refused.returncode, checked.returncode) == (2, 0), checked.stdout + checked.stderr
    assert "runs code, 'waveform_encoder:Samples'; read it, then give --trust-code" in refused.stderr
