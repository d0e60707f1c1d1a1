"""What a check compares before anything is trained: it is the same again, and shows what is changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.tiny import MODELS
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.pipeline.tiers.algorithms import Stored, algorithm_values, load_stored
from xdcbench.pipeline.tiers.features import feature_values
from xdcbench.pipeline.tiers.inputs import input_values
from xdcbench.pipeline.tiers.values import Values, digest, projected
from xdcbench.results.regression.changes import fixed_changes
from xdcbench.results.regression.reference import empty_reference

ROOT = Path(__file__).parents[4]
NAME = "kinetics400"


def moved(before: Values, after: Values) -> set[str]:
    reference = empty_reference("x").model_copy(update={"fixed": dict(before)})
    tiers = {name.split("/")[0] for name in before}
    return {value.name for value in fixed_changes(after, reference, sorted(tiers)) if value.moved}


@pytest.fixture(scope="module")
def index(tiny_runs: Path) -> Index:
    return Index.load(tiny_runs / NAME)


@pytest.fixture(scope="module")
def stored() -> Stored:
    return load_stored(ROOT / "baselines" / "regression" / "features.npz")


@pytest.mark.parametrize("name", ["kinetics400", "imagenet", "esc50"])
def test_inputs_are_the_same_again(tiny_runs: Path, tiny_context: Context, name: str) -> None:
    of, source = Index.load(tiny_runs / name), tiny_context.roots[name]
    first = input_values(of, source, MODELS)
    assert moved(first, input_values(of, source, MODELS)) == set()
    assert (f"inputs/{name}/frames" in first) == (of.media != "audio")
    assert (f"inputs/{name}/spectrogram 1" in first) == (of.media != "image")


def test_an_item_that_changes_its_class_or_its_part_shows(index: Index, tiny_context: Context) -> None:
    source = tiny_context.roots[NAME]
    first = input_values(index, source, MODELS)
    labels = index.items["label"].to_numpy().copy()
    labels[[0, -1]] = labels[[-1, 0]]
    of_labels = replace(index, items=index.items.assign(label=labels))
    assert moved(first, input_values(of_labels, source, MODELS)) == {f"inputs/{NAME}/items"}
    parts = index.items["split:official"].to_numpy().copy()
    parts[[0, -1]] = parts[[-1, 0]]
    of_parts = replace(index, items=index.items.assign(**{"split:official": parts}))
    assert moved(first, input_values(of_parts, source, MODELS)) == {
        f"inputs/{NAME}/items",
        f"inputs/{NAME}/split official",
    }


def test_features_do_not_depend_on_the_mode_that_encoders_are_in(
    index: Index, tiny_context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_context.roots[NAME]
    first = feature_values(index, source)
    assert len(first) == 12
    monkeypatch.setattr("torch.nn.Module.eval", lambda self: self.train())
    changed = moved(first, feature_values(index, source))
    assert {name.split("/")[1] for name in changed} == {"video", "audio"}


def test_algorithms_are_the_same_again_and_one_value_shows(stored: Stored) -> None:
    first = algorithm_values(stored)
    assert moved(first, algorithm_values(stored)) == set()
    other = stored.x.copy()
    other[stored.test[0]] += 5
    found = moved(first, algorithm_values(stored._replace(x=other)))
    assert "algorithms/linear probe score" in found
    assert "algorithms/Wilson" not in found


def test_digests_are_of_values_and_shape() -> None:
    a = np.arange(6)
    assert digest(a) == digest(a.astype(a.dtype.newbyteorder(">")))
    assert len({digest(a), digest(a.reshape(2, 3)), digest(a.astype(np.int32)), digest(a + 1)}) == 4


def test_a_projection_has_the_length_of_its_part() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 50))
    assert projected(x + y) == pytest.approx(projected(x) + projected(y))
    assert abs(projected(x)) <= np.linalg.norm(x)
