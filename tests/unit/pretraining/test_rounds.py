"""A whole round on the tiny world: what it writes, interruptions, controls, too many failures."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.modules.batchnorm import _BatchNorm

from tests.unit.tiny import METHODS, linked, make_index, round_config, spoil, weights_of
from xdcbench.clustering.assigner import load_assigners
from xdcbench.config.data import Factors, World
from xdcbench.config.pretraining import EarlyStopping, Schedule
from xdcbench.config.stages import RoundStage
from xdcbench.data.clips import ClipSpec, training_clips
from xdcbench.data.context import Context
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.data.synthetic import write_world
from xdcbench.errors import MediaUnreachableError, UserError
from xdcbench.models.encoders import clips_for, encode, load_encoder_metadata, load_encoders
from xdcbench.pretraining import rounds
from xdcbench.pretraining.learner import Learner
from xdcbench.pretraining.pseudo_labels import PseudoLabels
from xdcbench.pretraining.rounds import check_failed, split_rows

TIMES = ("seconds", "run")


def do(config: RoundStage, runs: Path, work: Path, context: Context, *, data: str = "kinetics400") -> Path:
    work.mkdir(exist_ok=True)
    rounds.run(config, {"data": runs / data, "encoders": runs / "init"}, work, context)
    return work


def records(run: Path) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in row.items() if k not in TIMES}
        for row in json.loads((run / "records.json").read_text())
    ]


def value(run: Path, metric: str) -> float:
    (found,) = (row["value"] for row in records(run) if row["metric"] == metric)
    return float(found)


@pytest.fixture(scope="module")
def xdc(tiny_runs: Path, tiny_context: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return do(round_config("xdc"), tiny_runs, tmp_path_factory.mktemp("xdc"), tiny_context)


def test_a_round_leaves_all_that_belongs_to_it(xdc: Path) -> None:
    assert {path.name for path in xdc.iterdir() if not path.name.startswith("events.out")} == {
        *("video.safetensors", "audio.safetensors", "video_heads.safetensors", "audio_heads.safetensors"),
        *("centroids.safetensors", "assignments.parquet", "clusters.json", "encoders.json"),
        *("records.json", "metrics.jsonl", "failed.json"),
    }


def test_the_metadata_says_what_the_encoders_are(xdc: Path) -> None:
    metadata = load_encoder_metadata(xdc)
    assert (metadata.method, metadata.pretrain_data, metadata.round, metadata.epochs) == (
        "xdc",
        "kinetics400",
        1,
        3,
    )
    assert metadata.pretrain_items == 18
    assert metadata.hyperparameters == {"round": 1, "pretrain_lr": 0.02, "k_v": 3, "k_a": 4}


def test_heads_and_centroids_have_the_sizes_of_the_clusterings(xdc: Path) -> None:
    assert load_file(xdc / "video_heads.safetensors")["linear.weight"].shape == (4, 32)
    assert load_file(xdc / "audio_heads.safetensors")["linear.weight"].shape == (3, 64)
    assigners = load_assigners(xdc / "centroids.safetensors")
    shapes = {name: tuple(a.centroids.shape) for name, a in assigners.items()}
    assert shapes == {"v": (3, 32), "a": (4, 64)}


def test_assignments_name_every_item(xdc: Path, tiny_runs: Path) -> None:
    index = Index.load(tiny_runs / "kinetics400")
    table = pd.read_parquet(xdc / "assignments.parquet")
    assert table["id"].tolist() == index.items["id"].tolist()
    train = index.items["split:official"] == "train"
    for name, size in (("v", 3), ("a", 4)):
        assert table.loc[train, name].between(0, size - 1).all()
        assert (table.loc[~train, name] == -1).all()


def test_records_say_what_was_measured(xdc: Path) -> None:
    rows = records(xdc)
    per_clustering = [row for row in rows if "clustering" in row["hyperparameters"]]
    assert {row["hyperparameters"]["clustering"] for row in per_clustering} == {"v", "a"}
    assert {"nmi_class", "purity", "clusters_empty"} <= {row["metric"] for row in per_clustering}
    trained = {row["metric"]: row for row in rows if "clustering" not in row["hyperparameters"]}
    assert {"video_a_loss", "audio_v_loss", "initial_video_a_loss", "val_video_a_loss"} <= set(trained)
    assert not trained["video_a_loss"]["higher_is_better"] and trained["video_a_accuracy"]["higher_is_better"]
    assert all(
        (row["items_expected"], row["items_used"], row["items_failed"], row["split"])
        == (18, 18, 0, "official")
        for row in rows
    )
    lines = [json.loads(line) for line in (xdc / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert sum(lines[0]["v_cluster_sizes"]) == 18 and len(lines[0]["a_cluster_sizes"]) == 4
    assert trained["video_a_loss"]["value"] == lines[-1]["video_a_loss"]
    assert trained["initial_video_a_loss"]["value"] == lines[1]["initial_video_a_loss"]


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_moves_both_encoders(
    tiny_runs: Path, tiny_context: Context, tmp_path: Path, method: str
) -> None:
    config = round_config(method, schedule=Schedule(epochs=1, lr=0.01, warmup_epochs=0, milestones=()))
    run = do(config, tiny_runs, tmp_path, tiny_context)
    for modality in ("video", "audio"):
        assert weights_of(run, modality) != weights_of(tiny_runs / "init", modality)
        name = next(n for n in load_file(run / f"{modality}.safetensors") if n.endswith("weight"))
        one, other = (load_file(r / f"{modality}.safetensors")[name] for r in (run, tiny_runs / "init"))
        assert not torch.equal(one, other)
    losses = {row["metric"] for row in records(run) if row["metric"].endswith("loss")}
    expected = {
        f"{p}{m}_{s}_loss"
        for m, ss in METHODS[method]["heads"].items()
        for s in ss
        for p in ("", "val_", "initial_")
    }
    assert expected <= losses


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_a_round_that_was_killed_goes_on(
    xdc: Path,
    tiny_runs: Path,
    tiny_context: Context,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: int,
) -> None:
    context = replace(tiny_context, checkpoint_seconds=0.0)
    true = Learner.specs
    with monkeypatch.context() as patch:

        def dying(self: Learner, rows: np.ndarray, number: int) -> Sequence[ClipSpec]:
            if number == stop:
                raise Killed
            return true(self, rows, number)

        patch.setattr(Learner, "specs", dying)
        with pytest.raises(Killed):
            do(round_config("xdc"), tiny_runs, tmp_path, context)
    assert not (tmp_path / "records.json").exists()
    epochs: list[int] = []

    def spying(self: Learner, rows: np.ndarray, number: int) -> Sequence[ClipSpec]:
        epochs.append(number)
        return true(self, rows, number)

    monkeypatch.setattr(Learner, "specs", spying)
    run = do(round_config("xdc"), tiny_runs, tmp_path, context)
    assert epochs == list(range(stop, 3))
    for name in ("video", "audio", "video_heads", "audio_heads", "centroids"):
        one, other = (load_file(r / f"{name}.safetensors") for r in (run, xdc))
        assert all(torch.equal(one[key], other[key]) for key in other)
    assert records(run) == records(xdc)


@pytest.mark.parametrize("stop", [0, 1])
def test_a_round_whose_media_went_away_resumes_as_if_they_had_not(
    xdc: Path,
    tiny_runs: Path,
    tiny_context: Context,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: int,
) -> None:
    monkeypatch.setattr("xdcbench.data.media.local_file.PAUSES", ())
    root = linked(world / "kinetics400", tmp_path / "kinetics400")
    context = replace(tiny_context, checkpoint_seconds=0.0, roots={"kinetics400": root})
    true = Learner.specs
    with monkeypatch.context() as patch:

        def going(self: Learner, rows: np.ndarray, number: int) -> Sequence[ClipSpec]:
            if number == stop and root.exists():
                root.rename(tmp_path / "away")
            return true(self, rows, number)

        patch.setattr(Learner, "specs", going)
        with pytest.raises(MediaUnreachableError, match="media not reachable"):
            do(round_config("xdc"), tiny_runs, tmp_path / "run", context)
    (tmp_path / "away").rename(root)
    run = do(round_config("xdc"), tiny_runs, tmp_path / "run", context)
    for name in ("video", "audio", "video_heads", "audio_heads", "centroids"):
        one, other = (load_file(r / f"{name}.safetensors") for r in (run, xdc))
        assert all(torch.equal(one[key], other[key]) for key in other)
    assert records(run) == records(xdc)
    assert json.loads((run / "failed.json").read_text()) == {}


def test_two_rounds_of_one_configuration_are_equal(
    xdc: Path, tiny_runs: Path, tiny_context: Context, tmp_path: Path
) -> None:
    with_workers = replace(tiny_context, num_workers=2)
    run = do(round_config("xdc"), tiny_runs, tmp_path, with_workers)
    assert all(weights_of(run, m) == weights_of(xdc, m) for m in ("video", "audio"))
    assert records(run) == records(xdc)


def test_the_next_round_takes_up_encoders_and_names_agreement(
    xdc: Path, tiny_runs: Path, tiny_context: Context, tmp_path: Path
) -> None:
    inputs = {"data": tiny_runs / "kinetics400", "encoders": xdc}
    for fresh in (True, False):
        work = tmp_path / str(fresh)
        work.mkdir()
        rounds.run(round_config("xdc", number=2, reset_heads=fresh), inputs, work, tiny_context)
        assert load_encoder_metadata(work).epochs == 6 and load_encoder_metadata(work).round == 2
        assert "nmi_previous" in {row["metric"] for row in records(work)}
    start = {fresh: value(tmp_path / fresh, "initial_video_a_loss") for fresh in ("True", "False")}
    assert start["True"] == pytest.approx(np.log(4), rel=0.05)
    assert start["False"] != pytest.approx(start["True"], rel=1e-6)


def test_true_labels_are_learned_better_than_permuted_ones(tiny_runs: Path, tmp_path: Path) -> None:
    plain = Factors(background=0, camera=0, hum=0, gain=0, noise=0)
    root = tmp_path / "world"
    write_world(World(classes=3, size=24, seconds=1.5, kinetics_train=12, factors=plain), root)
    index = Index.load(make_index(tmp_path / "true", root, "kinetics400"))
    mixed = index.items.assign(label=np.random.default_rng(1).permutation(index.labels))
    (tmp_path / "permuted").mkdir()
    Index(**{**vars(index), "items": mixed}).save(tmp_path / "permuted")
    (tmp_path / "init").symlink_to(tiny_runs / "init")
    schedule = Schedule(epochs=6, lr=0.05, warmup_epochs=0, lr_scheduler="cosine")
    config = round_config("supervised", val_fraction=0.0, schedule=schedule)
    context = Context("tests", roots={"kinetics400": root / "kinetics400"})
    accuracy = {}
    for name in ("true", "permuted"):
        run = do(config, tmp_path, tmp_path / f"round-{name}", context, data=name)
        accuracy[name] = [value(run, f"{m}_labels_accuracy") for m in ("video", "audio")]
    assert np.mean(accuracy["true"]) > np.mean(accuracy["permuted"]) + 0.2


def test_images_train_the_video_encoder_alone(tiny_runs: Path, tiny_context: Context, tmp_path: Path) -> None:
    config = round_config("supervised").model_copy(
        update={"heads": {"video": ("labels",)}, "encoders": ("video",)}
    )
    run = do(config, tiny_runs, tmp_path, tiny_context, data="imagenet")
    assert weights_of(run, "video") != weights_of(tiny_runs / "init", "video")
    assert not (run / "audio.safetensors").exists()
    assert not (run / "assignments.parquet").exists()
    metadata = load_encoder_metadata(run)
    assert (metadata.encoders, metadata.pretrain_items, metadata.pretrain_data) == (
        ("video",),
        12,
        "imagenet",
    )


def labels(items: int, unlabeled: tuple[int, ...] = ()) -> PseudoLabels:
    of = np.zeros(items, dtype=np.int64)
    of[list(unlabeled)] = -1
    return PseudoLabels({"v": of, "a": of}, {"v": 1, "a": 1}, {}, {})


def test_the_same_items_are_held_out_in_every_round() -> None:
    rows = np.arange(100, 140)
    parts = [split_rows(rows, labels(140), round_config("xdc", number=n)) for n in (1, 2, 3)]
    for learned, held in parts:
        assert (len(learned), len(held)) == (32, 8)
        assert sorted([*learned, *held]) == rows.tolist()
        assert np.array_equal(held, parts[0][1])
    other = split_rows(rows, labels(140), round_config("xdc", seed=1))[1]
    assert not np.array_equal(other, parts[0][1])
    held = parts[0][1]
    lost = (int(held[0]), int(parts[0][0][0]))
    learned, fewer = split_rows(rows, labels(140, lost), round_config("xdc"))
    assert set(fewer) == set(held) - {lost[0]}
    assert set(learned) == set(parts[0][0]) - {lost[1]}


def test_nothing_is_held_out_where_that_is_asked_for(
    tiny_runs: Path, tiny_context: Context, tmp_path: Path
) -> None:
    run = do(round_config("sdc", val_fraction=0.0), tiny_runs, tmp_path, tiny_context)
    assert not any(row["metric"].startswith("val_") for row in records(run))


def test_nothing_to_learn_from_is_an_error() -> None:
    rows = np.arange(4)
    with pytest.raises(UserError, match="xdc: only 1 labeled items to learn from"):
        split_rows(rows, labels(4, (0, 1, 2)), round_config("xdc", val_fraction=0.0))


def test_unreadable_items_are_counted_up_to_the_limit(
    tiny_runs: Path, tiny_context: Context, world: Path, tmp_path: Path
) -> None:
    index = Index.load(tiny_runs / "kinetics400")
    root = linked(world / "kinetics400", tmp_path / "kinetics400")
    rows = index.rows("official", "train")
    spoil(root / index.items["path"].iloc[rows[3]])
    context = replace(tiny_context, roots={"kinetics400": root})
    run = do(round_config("xdc"), tiny_runs, tmp_path / "one", context)
    assert {(r["items_expected"], r["items_used"], r["items_failed"]) for r in records(run)} == {(18, 17, 1)}
    assert load_encoder_metadata(run).pretrain_items == 17
    spoil(root / index.items["path"].iloc[rows[4]])
    with pytest.raises(
        UserError, match=r"kinetics400: 2 of 18 items could not be decoded, first \S+\.mp4 \("
    ):
        do(round_config("xdc", max_failed=0.1), tiny_runs, tmp_path / "two", context)
    assert not (tmp_path / "two" / "records.json").exists()


def test_failures_at_the_limit_pass(tiny_runs: Path) -> None:
    index, rows = Index.load(tiny_runs / "kinetics400"), np.arange(10)
    check_failed(index, rows, {3: "torn"}, limit=0.1)
    with pytest.raises(UserError, match=r"raise max_failed above 0\.1"):
        check_failed(index, rows, {3: "torn", 4: "torn"}, limit=0.1)


@pytest.mark.parametrize(
    ("rule", "epochs"),
    [
        # No loss falls below a hundredth of the first: the first epoch gains, and no other does.
        (EarlyStopping(patience=1, min_delta=0.99), 2),
        (EarlyStopping(patience=2, min_delta=0.99), 3),
        (EarlyStopping(patience=4, min_delta=0.99), 4),
        (None, 4),
    ],
)
def test_a_round_ends_when_its_loss_saturates_or_its_schedule_does(
    tiny_runs: Path, tiny_context: Context, tmp_path: Path, rule: EarlyStopping | None, epochs: int
) -> None:
    schedule = Schedule(epochs=4, lr=0.001, warmup_epochs=0, milestones=())
    run = do(round_config("xdc", early_stopping=rule, schedule=schedule), tiny_runs, tmp_path, tiny_context)
    assert {row["epochs"] for row in records(run)} == {epochs}
    assert load_encoder_metadata(run).epochs == epochs
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    whole = [
        row["epoch"] for row in rows if row["epoch"] == int(row["epoch"])
    ]  # a slow machine writes more rows
    assert whole == list(range(epochs + 1))
    assert value(run, "val_video_a_loss") == rows[-1]["val_video_a_loss"]


def test_a_saturated_round_that_was_killed_ends_where_it_would_have(
    tiny_runs: Path, tiny_context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, schedule = (
        EarlyStopping(patience=2, min_delta=0.99),
        Schedule(epochs=6, lr=0.001, warmup_epochs=0, milestones=()),
    )
    config, context = (
        round_config("xdc", early_stopping=rule, schedule=schedule),
        replace(tiny_context, checkpoint_seconds=0.0),
    )
    whole = do(config, tiny_runs, tmp_path / "whole", context)
    validate, calls = Learner.validate, iter(range(2))

    def dying(self: Learner, rows: np.ndarray) -> dict[str, float]:
        if next(calls, None) is None:
            raise Killed
        return validate(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "validate", dying)
        with pytest.raises(Killed):
            do(config, tiny_runs, tmp_path / "killed", context)
    again = do(config, tiny_runs, tmp_path / "killed", context)
    assert load_encoder_metadata(again).epochs == load_encoder_metadata(whole).epochs == 3
    assert weights_of(again, "video") == weights_of(whole, "video")


def test_statistics_of_batchnorm_are_those_of_one_more_epoch(
    xdc: Path, tiny_runs: Path, tiny_context: Context, tmp_path: Path
) -> None:
    """Weights are as without it; the first layer's mean is that of its inputs over the batches, by hand."""
    config = round_config("xdc", update_bn=True)
    run = do(config, tiny_runs, tmp_path, tiny_context)
    index = Index.load(tiny_runs / "kinetics400")
    for modality in ("video", "audio"):
        before, after = (load_file(of / f"{modality}.safetensors") for of in (xdc, run))
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        counted = {name for name in before if name.rpartition(".")[2].startswith("running_")}
        assert counted, "BatchNorm keeps statistics"
        assert {name for name in moved if not name.endswith("num_batches_tracked")} == counted
    encoders = load_encoders(run, config.encoders, device=torch.device("cpu"))
    clips = clips_for(index, tiny_context.roots["kinetics400"], encoders)
    rows = index.rows("official", "train", tracks=("video", "audio"))
    learned, _ = split_rows(rows, labels(len(index.items)), config)
    specs = training_clips(learned, augment=config.pretrain.augment, seed=0, epoch=1000 + 3)
    for encoder in encoders.values():
        norm = next(module for module in encoder.eval().modules() if isinstance(module, _BatchNorm))
        seen: list[torch.Tensor] = []
        norm.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0].detach()))
        for batch in batches(clips, specs, size=6, workers=0):
            encode(encoder, batch, device=torch.device("cpu"))
        means = torch.stack([each.transpose(0, 1).flatten(1).mean(1) for each in seen])
        assert len(means) == 3
        torch.testing.assert_close(norm.running_mean, means.mean(0), rtol=1e-4, atol=1e-6)
