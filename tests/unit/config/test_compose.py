"""Suites of parts, and suites in a synthetic world."""

from collections.abc import Callable
from pathlib import Path

import pytest

from xdcbench.config.data import World
from xdcbench.config.load import load_suite
from xdcbench.config.suite import Suite
from xdcbench.data.context import Source
from xdcbench.errors import UserError
from xdcbench.pipeline.plan import make_plan

PART = """
models: {base: reduced}
pretrain: {base: reduced, rounds: 2}
pretraining:
  - {methods: [METHODS], data: kinetics400}
evaluate:
  - {evaluation: EVALUATION, dataset: DATASET, splits: ["1"]}
tables: [TABLE]
worlds: {tiny: {pretrain: {k: 4}}}
"""
TINY = """
world: {classes: 3, kinetics_train: 6, kinetics_val: 2, ucf101_groups: 3, esc50_per_fold: 1}
pretrain: {rounds: 1}
datasets: {ucf101: {subset: {items: 5}}}
evaluations: {finetune: {num_clips: 2}, audio_probe: {num_clips: 3}}
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes ``<name>.yaml`` into the folder that the test runs in: a part, or what is given."""
    monkeypatch.chdir(tmp_path)

    def file(name: str, text: str = "", **words: str) -> Path:
        said = {"METHODS": "xdc", "EVALUATION": "finetune", "DATASET": "ucf101", "TABLE": "table1"} | words
        text = text or PART
        for word, instead in said.items():
            text = text.replace(word, instead)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return path

    return file


@pytest.fixture
def both(write: Write) -> str:
    """A suite of two parts: XDC finetuned on UCF101, SDC and XDC probed on ESC-50."""
    write("one")
    write("two", METHODS="sdc, xdc", EVALUATION="audio_probe", DATASET="esc50", TABLE="table5")
    return str(write("both", "description: two at once\nparts: [one.yaml, two.yaml]\n"))


def message(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def keys(suite: Suite) -> set[str]:
    return {stage.key for stage in make_plan(suite, {n: Source(n) for n in suite.datasets}).stages}


# ------------------------------------------------------------------------------------------- parts


def test_a_suite_of_parts_is_their_union(both: str) -> None:
    suite, one, two = load_suite(both), load_suite("one.yaml"), load_suite("two.yaml")
    assert (suite.name, suite.description) == ("both", "two at once")
    assert suite.parts == (one, two) == suite.leaves
    assert one.leaves == (one,)
    assert suite.methods == one.methods | two.methods
    assert suite.datasets == one.datasets | two.datasets
    assert suite.tables == ("table1", "table5")
    assert keys(suite) == keys(one) | keys(two)
    assert keys(one) & keys(two), "the pretraining of XDC serves both"


def test_parts_of_parts_count_once(both: str, write: Write) -> None:
    nested = load_suite(str(write("nested", "parts: [both.yaml, one.yaml]\n")))
    assert [part.name for part in nested.parts] == ["one", "two"]


def test_parts_of_the_library_go_by_name(write: Write) -> None:
    suite = load_suite(str(write("mine", "parts: [table1, table4]\n")))
    assert [part.name for part in suite.parts] == ["table1", "table4"]


def test_overrides_reach_every_part(both: str) -> None:
    suite = load_suite(both, overrides=["pretrain.rounds=1", "pretrain.k=7"], seeds=[3, 4])
    assert {part.pretrain.rounds for part in suite.parts} == {1}
    assert {part.pretrain.k for part in suite.parts} == {7}
    assert {part.seeds for part in suite.parts} == {(3, 4)} == {suite.seeds}


def test_an_override_of_a_name_reaches_the_parts_that_have_it(both: str) -> None:
    one, two = load_suite(both, overrides=["datasets.ucf101.subset.items=5", "methods.sdc.title=S"]).parts
    assert one.datasets["ucf101"].subset.items == 5
    assert "ucf101" not in two.datasets
    assert two.methods["sdc"].title == "S"
    assert "sdc" not in one.methods


def test_methods_keep_a_part_of_each_part(both: str) -> None:
    one, two = load_suite(both, methods=["sdc"]).parts
    assert not one.pretraining
    assert [group.methods for group in two.pretraining] == [("sdc",)]


def test_code_in_a_part_needs_trust(both: str, write: Write) -> None:
    write("two", PART + "datasets: {ucf101: {adapter: 'os:getcwd'}}\n")
    assert "two.yaml: datasets.ucf101.adapter runs code" in message(lambda: load_suite(both))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["datasets.ufc101.root=x"], "unknown name in 'datasets' 'ufc101'; did you mean 'ucf101'"),
        (["datasets.esc5.root=x"], "unknown name in 'datasets' 'esc5'; did you mean 'esc50'"),
        (["pretrain.ruonds=x"], "--set pretrain.ruonds=x: unknown key 'pretrain.ruonds'"),
        (["rounds"], "did you mean 'pretrain.rounds'"),
        (["pretrain.rounds"], "key=value"),
    ],
)
def test_an_override_that_fits_no_part_is_told(both: str, overrides: list[str], said: str) -> None:
    assert said in message(lambda: load_suite(both, overrides=overrides))


def test_a_method_of_no_part_is_told(both: str) -> None:
    assert "suite 'both': unknown method 'cdc'" in message(lambda: load_suite(both, methods=["cdc"]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parts: [tabel1]", "mine.yaml: unknown suite 'tabel1'; did you mean 'table1'?"),
        ("parts: [nowhere.yaml]", "mine.yaml: no file 'nowhere.yaml' for a suite"),
        ("parts: table1", "mine.yaml: 'parts' must be a list of names; found 'table1'"),
        ("parts: []", "mine.yaml: 'parts' names no suite"),
        ("parts: [table1]\nseeds: [1]", "mine.yaml: 'seeds' stands beside `parts`"),
        ("parts: [mine.yaml]", "its parts form a circle, mine > mine"),
        ("parts: [table1, round.yaml]", "its parts form a circle, mine > round > mine"),
        ("parts: [table1, gone.yaml]", "gone.yaml: unknown method 'xcd'; did you mean 'xdc'?"),
        ("parts: [table1, probes.yaml]", "probes.yaml: 'evaluate' must be a list of mappings"),
    ],
)
def test_wrong_parts_are_told(write: Write, text: str, said: str) -> None:
    write("round", "parts: [mine.yaml]")
    write("probes", "title: a table\n")
    write("gone", METHODS="xcd")
    path = write("mine", text)
    assert said in message(lambda: load_suite(str(path)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("datasets: {ucf101: {subset: {items: 3}}}", "differ in `datasets.ucf101`"),
        ("methods: {xdc: {title: Mine}}", "differ in `methods.xdc`"),
        ("evaluations: {finetune: {num_clips: 3}}", "differ in `evaluations.finetune`"),
        ("world: {classes: 3}", "its parts one and two differ in `world`"),
    ],
)
def test_parts_that_disagree_are_told(write: Write, change: str, said: str) -> None:
    write("one")
    write("two", f"{PART}{change}\n")
    path = write("both", "parts: [one.yaml, two.yaml]")
    text = message(lambda: load_suite(str(path)))
    assert said in text
    assert "one and two" in text


# ------------------------------------------------------------------------------------------ worlds


def test_a_world_lies_over_the_suite_and_under_what_the_suite_says_of_it(write: Write) -> None:
    write("one")
    suite = load_suite("one.yaml", world=str(write("tiny", TINY)))
    assert suite.name == "one-tiny"
    assert suite.world == World(
        classes=3, kinetics_train=6, kinetics_val=2, ucf101_groups=3, esc50_per_fold=1
    )
    assert suite.pretrain.rounds == 1  # the world's; the suite says 2
    assert suite.pretrain.k == 4  # the suite's own for this world; the library says 20
    assert suite.datasets["ucf101"].subset.items == 5
    assert set(suite.evaluations) == {"finetune"}, "what the world says of others is not for this suite"
    assert suite.evaluations["finetune"].num_clips == 2  # type: ignore[union-attr]


def test_a_world_is_that_of_every_part(both: str, write: Write) -> None:
    suite = load_suite(both, world=str(write("tiny", TINY)))
    assert suite.name == "both-tiny"
    assert {part.world for part in suite.parts} == {suite.world}
    stages = make_plan(suite, {}).stages
    assert [stage.kind for stage in stages].count("world") == 1
    assert not any(stage.reason for stage in stages)


def test_overrides_lie_over_the_world(both: str, write: Write) -> None:
    suite = load_suite(both, world=str(write("tiny", TINY)), overrides=["world.seed=5", "pretrain.k=9"])
    assert suite.world is not None
    assert suite.world.seed == 5
    assert {part.pretrain.k for part in suite.parts} == {9}


@pytest.mark.parametrize(
    ("suite", "world", "said"),
    [
        ("table1", "smal", "unknown world 'smal'; did you mean 'small'?"),
        ("mini", "small", "mini.yaml has a world of its own; leave out --synthetic"),
        ("released", "small", "released.yaml: unknown world in its `worlds` 'small'; known: none"),
        ("one.yaml", "small", "unknown world in its `worlds` 'small'; known: tiny"),
        ("one.yaml", "huge/tiny.yaml", "'world.classes' = 99"),
    ],
)
def test_a_world_that_does_not_fit_is_told(
    write: Write, tmp_path: Path, suite: str, world: str, said: str
) -> None:
    write("one")
    (tmp_path / "huge").mkdir()
    write("huge/tiny", "world: {classes: 99}\n")
    assert said in message(lambda: load_suite(suite, world=world))
