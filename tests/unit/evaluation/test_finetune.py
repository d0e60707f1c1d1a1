"""Finetuning on the tiny world: against a plain loop, resumed, with unreadable and diverged scores."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from tests.unit.tiny import CPU, MODELS, linked, make_index, spoil
from xdcbench.config.evaluation import Finetune
from xdcbench.config.pretraining import Schedule
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import ClipSpec, training_clips
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation import finetune
from xdcbench.evaluation.finetune import head_for
from xdcbench.models import inference
from xdcbench.models.encoders import load_encoders

SETTINGS = Finetune(
    modality="audio",
    batch_size=5,
    schedule=Schedule(epochs=3, lr=0.01, warmup_epochs=0, milestones=(2,), gamma=0.1, weight_decay=5e-3),
    head_lr=0.1,
    num_clips=2,
    precision="fp32",
)
CONFIG = EvaluationStage(name="finetune", split="1", seed=4, settings=SETTINGS)


def do(data: Path, encoders: Path, work: Path, context: Context) -> dict[str, Any]:
    work.mkdir(exist_ok=True)
    finetune.run(CONFIG, {"data": data, "encoders": encoders}, work, context)
    (record,) = json.loads((work / "records.json").read_text())
    return dict(record)


def plain(
    runs: Path, root: Path, *, sets: Tensor | None = None, slower: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Test scores and labels by a loop that shares none of the loop under test.

    ``sets``: float32 (items, classes) of 0 and 1, where items have several classes; ``slower`` divides the rates.
    """
    index = Index.load(runs / "esc50")
    folds = index.items["id"].str[0].to_numpy()  # of the file's name
    train, test = np.flatnonzero(folds != "1"), np.flatnonzero(folds == "1")
    encoder = load_encoders(runs / "init", ("audio",), device=CPU)["audio"].train()
    head = head_for(encoder, 3, 4).linear
    clips = ClipDataset(index, root, audio=MODELS.audio.input)
    groups = [{"params": encoder.parameters()}, {"params": head.parameters()}]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True, weight_decay=5e-3)
    for epoch in range(3):
        optimizer.param_groups[0]["lr"] = 0.01 / slower * (0.1 if epoch == 2 else 1.0)
        optimizer.param_groups[1]["lr"] = 0.1 / slower * (0.1 if epoch == 2 else 1.0)
        specs = training_clips(train, augment=SETTINGS.augment, seed=4, epoch=epoch)
        for begin in range(0, len(specs), 5):
            part = specs[begin : begin + 5]
            raw = torch.stack([clips[spec]["audio"] for spec in part])
            rows = [spec.row for spec in part]
            logits = head(encoder(encoder.prepare(raw)))
            if sets is None:
                loss = cross_entropy(logits, torch.tensor(index.labels[rows]))
            else:
                loss = softplus((1 - 2 * sets[rows]) * logits).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    encoder.eval()
    scores = []
    with torch.no_grad():
        for row in test:
            raw = torch.stack([clips[ClipSpec(int(row), place)]["audio"] for place in (0.0, 1.0)])
            logits = head(encoder(encoder.prepare(raw)))
            of = logits.softmax(1) if sets is None else logits.sigmoid()
            scores.append(of.mean(0).numpy())
    return np.array(scores), index.labels[test] if sets is None else sets[test].numpy()


@pytest.fixture(scope="module")
def done(tiny_runs: Path, tiny_context: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("finetune")
    do(tiny_runs / "esc50", tiny_runs / "init", work, tiny_context)
    return work


def test_scores_are_those_of_a_plain_loop(done: Path, tiny_runs: Path, world: Path) -> None:
    scores, labels = plain(tiny_runs, world / "esc50")
    found = np.load(done / "scores.npy", allow_pickle=False)
    np.testing.assert_allclose(found, scores, rtol=1e-3, atol=1e-5)
    (record,) = json.loads((done / "records.json").read_text())
    assert record["value"] == pytest.approx(100 * (scores.argmax(axis=1) == labels).mean())
    assert (record["epochs"], record["selection"], record["split"]) == (3, "last", "1")
    assert record["hyperparameters"]["num_clips"] == 2


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_killed_run_goes_on_to_the_same_scores(
    done: Path, tiny_runs: Path, tiny_context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = finetune.training_clips

    def dying(rows: np.ndarray, *, epoch: int, **rest: Any) -> Sequence[ClipSpec]:
        if epoch == 2:
            raise Killed
        return true(rows, epoch=epoch, **rest)

    context = replace(tiny_context, checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(finetune, "training_clips", dying)
        with pytest.raises(Killed):
            do(tiny_runs / "esc50", tiny_runs / "init", tmp_path, context)
    epochs: list[int] = []

    def spying(rows: np.ndarray, *, epoch: int, **rest: Any) -> Sequence[ClipSpec]:
        epochs.append(epoch)
        return true(rows, epoch=epoch, **rest)

    monkeypatch.setattr(finetune, "training_clips", spying)
    do(tiny_runs / "esc50", tiny_runs / "init", tmp_path, context)
    assert epochs == [2]
    for name in ("scores.npy", "predictions.parquet"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes()


def test_heads_depend_on_the_seed_alone(tiny_runs: Path) -> None:
    encoder = load_encoders(tiny_runs / "init", ("audio",), device=CPU)["audio"]
    one, same, other = (head_for(encoder, 3, seed).linear.weight for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_an_unreadable_test_item_is_left_out_and_counted(
    tiny_runs: Path, tiny_context: Context, world: Path, tmp_path: Path
) -> None:
    root = linked(world / "esc50", tmp_path / "data" / "esc50")
    data = make_index(tmp_path / "index", tmp_path / "data", "esc50", max_failed=0.4)
    victims = [sorted(root.glob(f"audio/{fold}-*.wav"))[0] for fold in (1, 2)]
    for victim in victims:
        spoil(victim)
    context = replace(tiny_context, roots={"esc50": root})
    record = do(data, tiny_runs / "init", tmp_path / "run", context)
    assert [record[f"items_{name}"] for name in ("expected", "used", "failed")] == [3, 2, 1]
    ids = pd.read_parquet(tmp_path / "run" / "predictions.parquet")["id"].tolist()
    assert len(ids) == 2 and victims[0].stem not in ids


def test_scores_of_a_diverged_model_are_an_error_not_a_missing_item(
    tiny_runs: Path, tiny_context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = finetune.predict

    def diverged(classifier: Any, *args: Any, **rest: Any) -> Any:
        with torch.no_grad():
            classifier.net.head.linear.weight[0, 0] = float("nan")
        return true(classifier, *args, **rest)

    monkeypatch.setattr(finetune, "predict", diverged)
    with pytest.raises(UserError, match=r"esc50: the scores of item '1-\S+' are not finite"):
        do(tiny_runs / "esc50", tiny_runs / "init", tmp_path, tiny_context)


def test_the_video_encoder_is_finetuned_too(
    tiny_runs: Path, tiny_context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.model_copy(update={"modality": "video"})
    config = CONFIG.model_copy(update={"settings": settings, "split": "official"})
    inputs = {"data": tiny_runs / "kinetics400", "encoders": tiny_runs / "init"}
    read: list[bool] = []
    reader, true = finetune.Reader, inference.batches

    def spying(of: Any) -> Any:
        return lambda clips, *args, **rest: (read.append(clips.audio is None), of(clips, *args, **rest))[1]

    monkeypatch.setattr(finetune, "Reader", spying(reader))  # training clips
    monkeypatch.setattr(inference, "batches", spying(true))  # test clips
    finetune.run(config, inputs, tmp_path, tiny_context)
    (record,) = json.loads((tmp_path / "records.json").read_text())
    assert (record["items_used"], record["hyperparameters"]["frames"]) == (6, 4)
    assert read == [True] * 2


def test_several_classes_are_learned_by_a_sigmoid_each(
    tiny_runs: Path, tiny_context: Context, world: Path, tmp_path: Path
) -> None:
    index = Index.load(tiny_runs / "esc50")
    each = [(0,) if label == 0 else (label - 1, 2) for label in index.labels]
    sets = np.array([[k in labels for k in range(3)] for labels in each])
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    work.mkdir()
    replace(index, items=index.items.assign(label=-1, labels=each)).save(data)
    schedule = SETTINGS.schedule.model_copy(update={"lr": 0.001})
    settings = SETTINGS.model_copy(update={"schedule": schedule, "head_lr": 0.01})
    config = CONFIG.model_copy(update={"settings": settings})
    finetune.run(config, {"data": data, "encoders": tiny_runs / "init"}, work, tiny_context)

    expected, truth = plain(tiny_runs, world / "esc50", sets=torch.from_numpy(sets).float(), slower=10)
    scores = np.load(work / "scores.npy", allow_pickle=False)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-5)
    records = {r["metric"]: r for r in json.loads((work / "records.json").read_text())}
    assert records["mAP"]["value"] == pytest.approx(100 * average_precision_score(truth, scores))
    assert records["mAUC"]["value"] == pytest.approx(100 * roc_auc_score(truth, scores))
    assert (records["mAP"]["epochs"], records["mAP"]["outcomes"]["classes_scored"]) == (3, 3)
    assert "top1" not in records and (work / "classes.parquet").exists()


# ------------------------------------------------------------- an epoch chosen on held-out training items


def test_the_best_epoch_is_chosen_on_held_out_training_items_alone(
    tiny_runs: Path, tiny_context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index.load(tiny_runs / "esc50")
    settings = SETTINGS.model_copy(update={"selection": "val-best", "val_fraction": 0.25})
    learned: set[int] = set()
    judged: list[set[int]] = []
    specs, predict = finetune.training_clips, finetune.predict

    def spy_on_draws(rows: np.ndarray, **rest: Any) -> Sequence[ClipSpec]:
        learned.update(rows.tolist())
        return specs(rows, **rest)

    def best_after_two(classifier: Any, clips: ClipDataset, rows: np.ndarray, *args: Any, **rest: Any) -> Any:
        judged.append(set(rows.tolist()))
        scores, failed = predict(classifier, clips, rows, *args, **rest)
        if len(judged) <= 3:  # right in the second epoch, wrong in the others
            shift = 0 if len(judged) == 2 else 1
            scores = np.eye(3, dtype=np.float32)[(index.labels[rows] + shift) % 3]
        return scores, failed

    monkeypatch.setattr(finetune, "training_clips", spy_on_draws)
    monkeypatch.setattr(finetune, "predict", best_after_two)
    inputs = {"data": tiny_runs / "esc50", "encoders": tiny_runs / "init"}
    finetune.run(CONFIG.model_copy(update={"settings": settings}), inputs, tmp_path, tiny_context)
    (record,) = json.loads((tmp_path / "records.json").read_text())
    assert (record["selection"], record["epochs"]) == ("val-best", 3)
    assert record["outcomes"]["epoch"] == 2 and record["outcomes"]["val_top1"] == 100.0
    train, test = (set(index.listed("1", part).tolist()) for part in ("train", "test"))
    held = judged[0]
    assert judged == [held] * 3 + [test]
    assert learned | held == train and not learned & held and record["outcomes"]["held_out"] == len(held)
    groups = index.items["group"]
    assert not set(groups.iloc[sorted(learned)]) & set(groups.iloc[sorted(held)])


def test_more_frames_than_the_encoder_has_learned_from(
    tiny_runs: Path, tiny_context: Context, tmp_path: Path
) -> None:
    """Tables 6 and 7: pretrained on short clips, finetuned on long ones; the record says the long ones."""
    settings = SETTINGS.model_copy(update={"modality": "video", "frames": 6})
    config = CONFIG.model_copy(update={"settings": settings, "split": "official"})
    inputs = {"data": tiny_runs / "kinetics400", "encoders": tiny_runs / "init"}
    assert MODELS.video.input.frames == 4
    encoder = load_encoders(tiny_runs / "init", ("video",), device=CPU, frames=6)["video"]
    kept = load_encoders(tiny_runs / "init", ("video",), device=CPU)["video"].state_dict()
    assert encoder.input.frames == 6
    assert all(torch.equal(tensor, kept[name]) for name, tensor in encoder.state_dict().items())
    finetune.run(config, inputs, tmp_path, tiny_context)
    (record,) = json.loads((tmp_path / "records.json").read_text())
    assert record["hyperparameters"]["frames"] == 6
