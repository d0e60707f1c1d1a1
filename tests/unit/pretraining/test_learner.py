"""The loss of each method by hand; heads; sampling; validation."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.unit.tiny import CPU, METHODS, MODELS, PRETRAIN, round_config
from xdcbench.config.base import Modality
from xdcbench.data.clip_dataset import Batch, ClipDataset
from xdcbench.data.clips import even_clips
from xdcbench.data.context import Context
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.models.encoders import Encoder, load_encoders
from xdcbench.models.weights import save_weights
from xdcbench.pretraining.learner import Learner, balanced_weights
from xdcbench.pretraining.pseudo_labels import PseudoLabels

SIZES = {"v": 3, "a": 4, "joint": 3, "labels": 3}


def labels_for(index: Index, seed: int = 0) -> PseudoLabels:
    rng = np.random.default_rng(seed)
    of = {name: rng.integers(size, size=len(index.items)) for name, size in SIZES.items()}
    return PseudoLabels(of, SIZES, {}, {})


@pytest.fixture(scope="module")
def index(tiny_runs: Path) -> Index:
    return Index.load(tiny_runs / "kinetics400")


@pytest.fixture
def learner_of(tiny_runs: Path, index: Index, world: Path) -> Any:
    def make(method: str, **options: Any) -> Learner:
        encoders = load_encoders(tiny_runs / "init", ("video", "audio"), device=CPU)
        clips = ClipDataset(index, world / "kinetics400", video=MODELS.video.input, audio=MODELS.audio.input)
        return Learner(round_config(method, **options), labels_for(index), encoders, clips, CPU, 0)

    return make


def a_batch(learner: Learner, rows: list[int]) -> Batch:
    return next(batches(learner.clips, even_clips(rows, 1), size=len(rows), workers=0))


def by_hand(encoder: Encoder, weight: torch.Tensor, raw: torch.Tensor, targets: np.ndarray) -> float:
    """Mean of -log softmax at the target, in float64, of one linear classifier without bias."""
    with torch.no_grad():
        features = encoder(encoder.prepare(raw)).double().numpy()
    logits = features @ weight.detach().double().numpy().T
    norm = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)) + logits.max(axis=1)
    return float((norm - logits[np.arange(len(targets)), targets]).mean())


@pytest.mark.parametrize("method", list(METHODS))
def test_the_loss_is_the_sum_over_encoders_and_their_label_sources(learner_of: Any, method: str) -> None:
    learner = learner_of(method)
    for encoder in learner.encoders.values():
        encoder.eval()
    rows = [0, 3, 8, 11, 12]
    batch = a_batch(learner, rows)
    expected: dict[str, float] = {}
    modality: Modality
    for modality in ("video", "audio"):
        begin = 0
        raw = torch.stack(batch.video.split()) if modality == "video" else batch.audio
        for source in METHODS[method]["heads"][modality]:
            weight = learner.heads[modality].linear.weight[begin : begin + SIZES[source]]
            begin += SIZES[source]
            targets = learner.labels.of[source][rows]
            expected[f"{modality}_{source}_loss"] = by_hand(learner.encoders[modality], weight, raw, targets)
    total, values = learner.loss(batch)
    assert {name for name in values if name.endswith("loss")} == set(expected)
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert total.item() == pytest.approx(sum(expected.values()), rel=1e-4)
    assert {n.removesuffix("_accuracy") for n in values} >= {n.removesuffix("_loss") for n in expected}


def test_each_encoder_learns_from_its_own_loss_alone(learner_of: Any) -> None:
    learner = learner_of("xdc")
    total, _ = learner.loss(a_batch(learner, [0, 3, 8, 11]))
    total.backward()
    joint = {
        m: e.stem[0].weight.grad if m == "video" else e.conv1.weight.grad for m, e in learner.encoders.items()
    }
    assert all(grad is not None and grad.abs().sum() > 0 for grad in joint.values())
    for encoder in learner.encoders.values():
        encoder.zero_grad()
    again = learner_of("xdc")
    del again.heads["audio"]
    alone, _ = again.loss(a_batch(again, [0, 3, 8, 11]))
    alone.backward()
    torch.testing.assert_close(again.encoders["video"].stem[0].weight.grad, joint["video"])
    assert again.encoders["audio"].conv1.weight.grad is None


@pytest.mark.parametrize("method", list(METHODS))
def test_fresh_heads_know_nothing(learner_of: Any, method: str) -> None:
    learner = learner_of(method)
    _, values = learner.loss(a_batch(learner, list(range(18))))
    for name, value in values.items():
        if name.endswith("_loss"):
            _, source, _ = name.split("_")
            assert value.item() == pytest.approx(math.log(SIZES[source]), rel=0.05)


def heads(learner: Learner) -> list[torch.Tensor]:
    return [p for modality in ("video", "audio") for p in learner.heads[modality].parameters()]


def test_heads_depend_on_seed_and_round_alone(learner_of: Any) -> None:
    made = {
        (number, seed): heads(learner_of("xdc", number=number, seed=seed))
        for number in (1, 2)
        for seed in (0, 1)
    }
    torch.rand(5)
    state = torch.get_rng_state()
    again = heads(learner_of("xdc", number=2, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(made[2, 1], again, strict=True))
    weights = [tensors[0] for tensors in made.values()]
    assert not any(torch.equal(a, b) for i, a in enumerate(weights) for b in weights[:i])


def test_heads_of_the_round_before_are_taken_where_there_are_some(learner_of: Any, tmp_path: Path) -> None:
    before, learner = learner_of("xdc"), learner_of("xdc", number=2)
    own = [p.clone() for p in heads(learner)]
    learner.take_heads(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(heads(learner), own, strict=True))
    save_weights(before.heads["video"], tmp_path / "video_heads.safetensors", metadata={})
    learner.take_heads(tmp_path)
    assert torch.equal(learner.heads["video"].linear.weight, before.heads["video"].linear.weight)
    assert torch.equal(learner.heads["audio"].linear.weight, own[2])


def test_only_encoders_with_heads_are_trained(learner_of: Any, tmp_path: Path) -> None:
    learner = learner_of("xdc")
    trained = learner.trainer(tmp_path, Context("tests"))
    assert set(trained.modules) == {"video", "audio", "video_heads", "audio_heads"}
    count = sum(len(list(m.parameters())) for m in trained.modules.values())
    assert sum(len(g["params"]) for g in trained.optimizer.param_groups) == count
    assert {g["peak"] for g in trained.optimizer.param_groups} == {PRETRAIN.schedule.lr}


def test_epochs_and_rounds_have_orders_of_their_own(learner_of: Any) -> None:
    rows = np.arange(10)

    def order(number: int, epoch: int) -> list[int]:
        return [spec.row for spec in learner_of("xdc", number=number).specs(rows, epoch)]

    first = order(1, 0)
    assert sorted(first) == list(range(10))
    assert first == order(1, 0)
    assert len({tuple(first), tuple(order(1, 1)), tuple(order(2, 0))}) == 3
    assert len(learner_of("xdc", clips_per_epoch=4).specs(rows, 0)) == 4


def test_validation_is_the_mean_over_center_clips_in_eval_mode(learner_of: Any) -> None:
    learner = learner_of("mdc")
    rows = np.arange(9)  # two batches, of 6 and 3
    before = {k: v.clone() for k, v in learner.encoders["audio"].state_dict().items()}
    for encoder in learner.encoders.values():
        encoder.train()
    found = learner.validate(learner.reader(rows[:4], rows).section(1)[1])
    _, whole = learner.loss(a_batch(learner, rows.tolist()))
    assert found == pytest.approx({f"val_{name}": value.item() for name, value in whole.items()}, rel=1e-4)
    assert all(torch.equal(before[k], v) for k, v in learner.encoders["audio"].state_dict().items())


@given(data=st.data(), method=st.sampled_from(["sdc", "xdc", "cdc"]))
@settings(max_examples=60, deadline=None)
def test_uniform_weights_make_clusters_equally_likely(data: st.DataObject, method: str) -> None:
    n = data.draw(st.integers(3, 30))
    of = {name: np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))) for name in SIZES}
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=2))))
    labels = PseudoLabels(of, dict.fromkeys(SIZES, 4), {}, {})
    config = round_config(method)
    weights = balanced_weights(rows, labels, config)
    assert weights.shape == rows.shape and weights.sum() == pytest.approx(1) and (weights > 0).all()
    sources = {source for heads in config.heads.values() for source in heads}
    if len(sources) == 1:
        (source,) = sources
        own = of[source][rows]
        shares = [weights[own == cluster].sum() for cluster in np.unique(own)]
        assert shares == pytest.approx([1 / len(shares)] * len(shares))
    else:
        single = [
            balanced_weights(rows, labels, config.model_copy(update={"heads": {"video": (s,)}}))
            for s in sources
        ]
        assert weights == pytest.approx(np.mean(single, axis=0))


def test_uniform_sampling_is_used_where_it_is_asked_for(learner_of: Any) -> None:
    learner = learner_of("cdc", balanced_sampling=True, clips_per_epoch=600)
    rows = np.arange(18)
    learner.labels.of["joint"][rows] = [0] * 16 + [1, 2]
    drawn = [learner.labels.of["joint"][spec.row] for spec in learner.specs(rows, 0)]
    assert np.bincount(drawn) / 600 == pytest.approx([1 / 3] * 3, abs=0.07)


# ------------------------------------------------------------------------------ several labels each


def of_several(learner: Learner) -> np.ndarray:
    """Gives items 0, 1, 2 the classes (0, 2), (1,) and (0, 1, 2); returns them as 0 and 1."""
    sets = np.zeros((len(learner.labels.of["labels"]), SIZES["labels"]), dtype=np.float32)
    sets[0, [0, 2]] = sets[1, 1] = sets[2] = 1
    learner.labels.several["labels"] = csr_array(sets)
    return sets[:3]


def test_several_labels_are_learned_by_a_sigmoid_each_summed_over_classes(learner_of: Any) -> None:
    learner = learner_of("supervised")
    sets = of_several(learner)
    scores = torch.tensor([[2.0, -1.0, 0.5], [0.0, -3.0, 1.0], [-1.0, -2.0, -4.0]])
    loss, right = learner.judge(scores, "labels", torch.tensor([0, 1, 2]))
    p = 1 / (1 + np.exp(-scores.double().numpy()))
    by_class = -(sets * np.log(p) + (1 - sets) * np.log(1 - p))
    assert loss.item() == pytest.approx(by_class.sum(axis=1).mean(), rel=1e-6)
    assert right.tolist() == [True, False, True]


def test_several_labels_start_at_ln_2_a_class_and_are_learned(learner_of: Any, tmp_path: Path) -> None:
    learner = learner_of("supervised")
    of_several(learner)
    batch = a_batch(learner, [0, 1, 2])
    loss, values = learner.loss(batch)
    assert values["video_labels_loss"] == pytest.approx(SIZES["labels"] * math.log(2), rel=0.05)
    assert loss.item() == pytest.approx(values["video_labels_loss"] + values["audio_labels_loss"])
    optimizer = learner.trainer(tmp_path, Context("tests")).optimizer
    for _ in range(20):
        optimizer.zero_grad()
        learner.loss(batch)[0].backward()
        optimizer.step()
    _, after = learner.loss(batch)
    assert after["video_labels_loss"] < 0.5 * values["video_labels_loss"]
    assert after["video_labels_accuracy"] == after["audio_labels_accuracy"] == 1


def test_one_label_of_several_classes_agrees_with_the_other_loss_in_accuracy(learner_of: Any) -> None:
    learner = learner_of("supervised")
    scores, rows = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9)
    _, single = learner.judge(scores, "labels", rows)
    learner.labels.several["labels"] = csr_array(np.eye(3, dtype=np.float32)[learner.labels.of["labels"]])
    _, several = learner.judge(scores, "labels", rows)
    assert torch.equal(single, several)


def test_uniform_sampling_over_several_labels_is_refused(learner_of: Any) -> None:
    learner = learner_of("supervised", balanced_sampling=True)
    of_several(learner)
    with pytest.raises(
        UserError, match=r"pretrain\.balanced_sampling: items with several labels each.*false"
    ):
        learner.specs(np.arange(3), 0)
