"""Where labels come from: what is clustered, who is labeled, what is kept for a restart."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import normalized_mutual_info_score
from sklearn.preprocessing import normalize

from tests.unit.tiny import CPU, MODELS, linked, round_config, small_index, spoil
from xdcbench.clustering.assigner import load_assigners
from xdcbench.clustering.kmeans import KMeans, KMeansResult
from xdcbench.config.pretraining import Method
from xdcbench.config.stages import RoundStage
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import ClipSpec
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.models.encoders import load_encoders
from xdcbench.pretraining import clustering as clusters
from xdcbench.pretraining import pseudo_labels as module
from xdcbench.pretraining.clustering import facts
from xdcbench.pretraining.pseudo_labels import PseudoLabels, cluster_all, make_pseudo_labels, read_clusters
from xdcbench.pretraining.round_context import RoundContext

N = 40
ROWS = np.arange(0, N, 2)  # half of the index
FEATURES = {
    "video": np.random.default_rng(0).normal(size=(len(ROWS), 6)).astype(np.float32),
    "audio": (10 * np.random.default_rng(1).normal(size=(len(ROWS), 4))).astype(np.float32),
}
INDEX = small_index([i % 4 for i in range(N)], ["train"] * N)


class Spy:
    """Keeps what k-means was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[np.ndarray, int, int]] = []
        true = KMeans.fit

        def fit(settings: KMeans, x: torch.Tensor, **options: Any) -> KMeansResult:
            self.calls.append((x.numpy().copy(), settings.k, settings.seed))
            return true(settings, x, **options)

        monkeypatch.setattr(KMeans, "fit", fit)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)


def cluster(
    config: RoundStage, work: Path, *, failed: dict[int, str] | None = None, previous: Path | None = None
) -> PseudoLabels:
    (work / "features").mkdir(exist_ok=True)
    features = {m: f.copy() for m, f in FEATURES.items()}
    for row in failed or {}:
        for f in features.values():
            f[row == ROWS] = np.nan
    return cluster_all(round_context(config, work, previous or work / "none"), features, failed or {})


def round_context(config: RoundStage, work: Path, previous: Path) -> RoundContext:
    return RoundContext(config, INDEX, ROWS, {}, cast(ClipDataset, None), previous, work, CPU)


@pytest.mark.parametrize("method", ["sdc", "mdc", "xdc"])
def test_one_clustering_per_modality(spy: Spy, tmp_path: Path, method: str) -> None:
    labels = cluster(round_config(method), tmp_path)
    assert labels.sizes == {"v": 3, "a": 4}
    for (x, k, _), modality, size in zip(spy.calls, ("audio", "video"), (4, 3), strict=True):
        assert np.array_equal(x, FEATURES[modality])
        assert k == size


def test_cdc_clusters_both_side_by_side_normalized(spy: Spy, tmp_path: Path) -> None:
    cluster(round_config("cdc"), tmp_path)
    ((x, k, _),) = spy.calls
    expected = np.hstack([normalize(FEATURES["video"]), normalize(FEATURES["audio"])])
    np.testing.assert_allclose(x, expected, rtol=1e-6)
    assert k == 3
    cluster(round_config("cdc", concat_l2=False), tmp_path)
    assert np.array_equal(spy.calls[1][0], np.hstack([FEATURES["video"], FEATURES["audio"]]))


def test_preprocessing_is_that_of_the_settings(spy: Spy, tmp_path: Path) -> None:
    cluster(round_config("sdc", preprocess="l2"), tmp_path)
    np.testing.assert_allclose(spy.calls[1][0], normalize(FEATURES["video"]), rtol=1e-6)
    cluster(round_config("sdc", preprocess="pca_whiten_l2", pca_dim=3), tmp_path)
    assert spy.calls[2][0].shape == (len(ROWS), 3)


def test_seeds_differ_between_clusterings_rounds_and_seeds(spy: Spy, tmp_path: Path) -> None:
    for number, seed in ((1, 0), (2, 0), (1, 1)):
        cluster(round_config("sdc", number=number, seed=seed), tmp_path)
    assert len({seed for _, _, seed in spy.calls}) == 6


def test_every_readable_item_has_one_label_and_no_other_has(tmp_path: Path) -> None:
    failed = {4: "torn", 10: "torn"}
    labels = cluster(round_config("xdc"), tmp_path, failed=failed)
    labeled = sorted(set(ROWS.tolist()) - set(failed))
    for name, size in (("v", 3), ("a", 4)):
        of = labels.of[name]
        assert of.shape == (N,) and of.dtype == np.int32
        assert np.flatnonzero(of >= 0).tolist() == labeled
        assert (np.delete(of, labeled) == -1).all()
        assert set(of[labeled]) == set(range(size))
    assert labels.failed == failed


def test_labels_are_the_nearest_centroids(tmp_path: Path) -> None:
    labels = cluster(round_config("xdc"), tmp_path)
    centroids = load_file(tmp_path / "centroids.safetensors")
    for name, modality in (("v", "video"), ("a", "audio")):
        far = ((FEATURES[modality][:, None] - centroids[name].numpy()) ** 2).sum(axis=2)
        assert np.array_equal(labels.of[name][ROWS], far.argmin(axis=1))
        x = FEATURES[modality]
        left = far.min(axis=1).sum() / ((x - x.mean(axis=0)) ** 2).sum()
        assert labels.facts[name]["within_cluster_variance"] == pytest.approx(left, rel=1e-4)


@pytest.mark.parametrize("preprocess", ["none", "l2", "pca_whiten_l2"])
def test_distances_are_those_to_the_own_centroid(tmp_path: Path, preprocess: str) -> None:
    failed = {4: "torn"}
    cluster(round_config("mdc", preprocess=preprocess, pca_dim=3), tmp_path, failed=failed)
    table = pd.read_parquet(tmp_path / "assignments.parquet")
    read = np.array([row for row in ROWS if row not in failed])
    for name, modality in (("v", "video"), ("a", "audio")):
        column = table[f"{name}_distance"]
        assert column.dtype == np.float32
        assert np.array_equal(np.flatnonzero(column.notna()), read)
        features = torch.from_numpy(FEATURES[modality][np.isin(ROWS, read)])
        nearest, distance = load_assigners(tmp_path / "centroids.safetensors")[name](features)
        assert np.array_equal(table[name][read], nearest)
        np.testing.assert_allclose(column[read], distance, rtol=1e-3, atol=1e-4)
    again = read_clusters(tmp_path, INDEX)
    assert again is not None and set(again.of) == {"v", "a"}, "a distance is no clustering"


def test_a_clustering_may_not_be_called_like_a_column_of_distances() -> None:
    with pytest.raises(ValueError, match="a clustering may not be called 'v_distance'"):
        Method(title="x", clusterings={"v_distance": {"features": ["video"], "k": 2}})


def test_tolerance_reaches_k_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def spying(*, tol: float, **rest: Any) -> KMeans:
        given.append(tol)
        return KMeans(tol=tol, **rest)

    monkeypatch.setattr(clusters, "KMeans", spying)
    cluster(round_config("cdc", kmeans_tol=0.25), tmp_path)
    assert given == [0.25]


def test_spherical_clusters_are_of_directions(tmp_path: Path) -> None:
    """Labels are by the largest cosine, and so are those of items that come later."""
    labels = cluster(round_config("xdc", spherical=True), tmp_path)
    centroids = load_file(tmp_path / "centroids.safetensors")["v"]
    np.testing.assert_allclose(centroids.norm(dim=1), 1, rtol=1e-5)
    cosine = normalize(FEATURES["video"]) @ centroids.numpy().T
    assert np.array_equal(labels.of["v"][ROWS], cosine.argmax(axis=1))
    nearest, _ = load_assigners(tmp_path / "centroids.safetensors")["v"](torch.from_numpy(FEATURES["video"]))
    assert np.array_equal(nearest, cosine.argmax(axis=1))


def test_what_is_written_is_read_in_the_order_of_any_index(tmp_path: Path) -> None:
    labels = cluster(round_config("mdc"), tmp_path, failed={4: "torn"})
    again = read_clusters(tmp_path, INDEX)
    assert again is not None
    assert again.sizes == labels.sizes and again.facts == labels.facts and again.failed == {4: "torn"}
    order = np.random.default_rng(0).permutation(N)
    more = pd.concat([INDEX.items.iloc[order], INDEX.items.iloc[:1].assign(id="new")])
    shuffled = read_clusters(tmp_path, Index(**{**vars(INDEX), "items": more.reset_index(drop=True)}))
    assert shuffled is not None
    for name, of in labels.of.items():
        assert np.array_equal(again.of[name], of)
        assert np.array_equal(shuffled.of[name], [*of[order], -1])


def test_agreement_with_the_round_before(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = cluster(round_config("sdc"), tmp_path / "one", failed={4: "torn"})
    assert all("nmi_previous" not in of for of in one.facts.values())
    two = cluster(
        round_config("sdc", number=2, k=4), tmp_path / "two", failed={6: "torn"}, previous=tmp_path / "one"
    )
    both = [row for row in ROWS if row not in (4, 6)]
    for name in ("v", "a"):
        expected = normalized_mutual_info_score(one.of[name][both], two.of[name][both])
        assert two.facts[name]["nmi_previous"] == pytest.approx(expected)


def test_facts_by_hand() -> None:
    found = facts(np.array([0, 0, 0, 2, 2]), np.array([1, 1, 0, 3, 3]), 3)
    assert found["clusters_size_max"] == 3
    assert found["clusters_empty"] == 1
    assert found["purity"] == pytest.approx(4 / 5)
    assert found["purity_plain"] == pytest.approx((2 / 3 + 1) / 2)
    unknown = facts(np.array([0, 1]), np.array([-1, -1]), 2)
    assert not {"purity", "nmi_class"} & set(unknown)


def test_more_clusters_than_items_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="k"):
        cluster(round_config("sdc", k=len(ROWS) + 1), tmp_path)
    assert not (tmp_path / "clusters.json").exists()


def labeled(
    config: RoundStage, runs: Path, root: Path, work: Path, *, previous: Path | None = None
) -> PseudoLabels:
    index = Index.load(runs / "kinetics400")
    encoders = load_encoders(runs / "init", config.encoders, device=CPU)
    clips = ClipDataset(index, root, video=MODELS.video.input, audio=MODELS.audio.input)
    rows, before = index.rows("official", "train"), previous or runs / "init"
    return make_pseudo_labels(RoundContext(config, index, rows, encoders, clips, before, work, CPU))


def test_what_is_labeled_once_is_not_clustered_again(
    spy: Spy, tiny_runs: Path, world: Path, tmp_path: Path
) -> None:
    config, root = round_config("xdc"), world / "kinetics400"
    first = labeled(config, tiny_runs, root, tmp_path)
    assert len(spy.calls) == 2
    assert not (tmp_path / "features").exists(), "what was clustered is not kept"
    again = labeled(config, tiny_runs, root, tmp_path)
    assert len(spy.calls) == 2
    assert again.facts == first.facts and again.sizes == first.sizes
    assert all(np.array_equal(again.of[name], of) for name, of in first.of.items())
    (tmp_path / "clusters.json").unlink()  # killed before the mark was set
    labeled(config, tiny_runs, root, tmp_path)
    assert len(spy.calls) == 4


def test_the_ground_truth_needs_no_clustering(spy: Spy, tiny_runs: Path, world: Path, tmp_path: Path) -> None:
    labels = labeled(round_config("supervised"), tiny_runs, world / "kinetics400", tmp_path)
    assert not spy.calls
    assert set(labels.of) == {"labels"} and labels.sizes == {"labels": 3}
    assert np.array_equal(labels.of["labels"], Index.load(tiny_runs / "kinetics400").labels)


def test_items_that_cannot_be_decoded_get_no_label(tiny_runs: Path, world: Path, tmp_path: Path) -> None:
    root = linked(world / "kinetics400", tmp_path / "kinetics400")
    index = Index.load(tiny_runs / "kinetics400")
    row = int(index.rows("official", "train")[2])
    spoil(root / index.items["path"].iloc[row])
    labels = labeled(round_config("cdc"), tiny_runs, root, tmp_path)
    assert list(labels.failed) == [row]
    unlabeled = np.flatnonzero(labels.of["joint"] == -1)
    assert sorted(unlabeled) == sorted([row, *index.rows("official", "test")])


def test_the_clip_that_is_clustered(
    tiny_runs: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[ClipSpec]] = []
    true = module.extract

    def spying(encoders: Any, clips: Any, specs: list[ClipSpec], *args: Any, **rest: Any) -> Any:
        seen.append(specs)
        return true(encoders, clips, specs, *args, **rest)

    monkeypatch.setattr(module, "extract", spying)
    for place, (how, number) in enumerate([("center", 1), ("random", 1), ("random", 1), ("random", 2)]):
        (tmp_path / str(place)).mkdir()
        config = round_config("xdc", number=number, cluster_clip=how)
        labeled(config, tiny_runs, world / "kinetics400", tmp_path / str(place))
    center, one, same, next_round = map(list, seen)
    assert {d.place for d in center} == {0.5}
    assert one == same and one != next_round
    assert len({d.place for d in one}) == len(one)
    assert all(d.crop == (0.5, 0.5) and d.scale is None and not d.flip for specs in seen for d in specs)


def test_items_of_a_multi_label_set_have_all_their_classes() -> None:
    each = [(0, 2), (), (1,), (3,)] * 10
    index = Index(**{**vars(INDEX), "items": INDEX.items.assign(label=-1, labels=each)})
    config, none = round_config("supervised"), Path("none")
    labels = make_pseudo_labels(replace(round_context(config, none, none), index=index))
    assert labels.of["labels"].tolist() == [0, -1, 1, 3] * 10
    assert labels.sizes == {"labels": 4}
    expected = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]] * 10)
    assert np.array_equal(labels.several["labels"].toarray(), expected)


def test_a_set_of_one_label_each_has_no_several(tiny_runs: Path, world: Path, tmp_path: Path) -> None:
    assert not labeled(round_config("supervised"), tiny_runs, world / "kinetics400", tmp_path).several


def test_every_seed_and_round_has_clusterings_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A hundred specs of 2^31 seeds meet twice with a chance of 2 in a million; of a few, surely."""
    seeds = []

    class EnoughError(Exception):
        pass

    def seen(*args: Any, seed: int, **settings: Any) -> None:
        seeds.append(seed)
        raise EnoughError

    monkeypatch.setattr(module, "cluster", seen)
    for seed in range(10):
        for number in range(1, 11):
            config = round_config("xdc", number=number, seed=seed)
            with pytest.raises(EnoughError):
                cluster_all(round_context(config, tmp_path, tmp_path), {}, {})
    assert len(set(seeds)) == 100 and all(0 <= seed < 2**31 for seed in seeds)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path) -> None:
    """Change one byte; of ``clusters.json``, one that leaves it JSON."""
    content = path.read_bytes()
    at = content.index(b"sizes") if path.suffix == ".json" else len(content) // 2
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


@pytest.mark.parametrize(
    "damage", [zero, flip, Path.unlink, lambda path: os.truncate(path, path.stat().st_size // 2)]
)
@pytest.mark.parametrize("name", ["clusters.json", "assignments.parquet", "centroids.safetensors"])
def test_damaged_clusterings_of_an_interrupted_round_are_made_again(
    spy: Spy,
    tiny_runs: Path,
    world: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    """With them go the checkpoints, which were trained on labels that are lost."""
    config, root = round_config("xdc"), world / "kinetics400"
    first = labeled(config, tiny_runs, root, tmp_path)
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "checkpoint-000000003-0a1b2c3d.pt").write_bytes(b"trained on it")
    damage(tmp_path / name)
    again = labeled(config, tiny_runs, root, tmp_path)
    assert len(spy.calls) == 4
    assert (
        f"{tmp_path}: its clusterings are damaged; they are made again, and training begins anew"
        in caplog.text
    )
    assert all(np.array_equal(again.of[source], of) for source, of in first.of.items())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole


def test_checkpoints_of_a_method_without_clusterings_stay(
    tiny_runs: Path, world: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint-000000003-0a1b2c3d.pt"
    checkpoint.write_bytes(b"trained")
    labeled(round_config("supervised"), tiny_runs, world / "kinetics400", tmp_path)
    assert checkpoint.exists()
