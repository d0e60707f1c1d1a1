import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from xdcbench.config.data import World
from xdcbench.config.load import load_dataset, load_suite, load_table, merge, override, read, validate
from xdcbench.config.pretraining import Pretrain, Schedule
from xdcbench.errors import UserError
from xdcbench.utils.code import Consent

SUITE = """
description: a suite of a test
world: {classes: 3, kinetics_train: 6, kinetics_val: 2}
models: {base: reduced}
pretrain: {base: reduced, rounds: 2}
evaluations: {linear_probe: {num_clips: 2}}
pretraining:
  - {methods: [scratch]}
  - {methods: [sdc, xdc], data: kinetics400}
evaluate:
  - {evaluation: linear_probe, dataset: kinetics400, splits: [official]}
tables: [probes]
"""

Writer = Callable[[str], str]


def message(call: Callable[[], Any]) -> str:
    """The one line that a user is told."""
    with pytest.raises(UserError) as error:
        call()
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


# ------------------------------------------------------------------------------------ composition


def test_suite_lies_over_library_and_library_over_schema(write_suite: Writer) -> None:
    suite = load_suite(write_suite(SUITE))
    assert suite.pretrain.rounds == 2  # the suite's own; the library says 6
    assert suite.pretrain.k == 20  # the library's; the schema says none
    assert suite.pretrain.schedule.lr == 0.05  # nested, the library's
    assert suite.pretrain.schedule.momentum == Schedule().momentum  # nested, the schema's
    assert suite.pretrain.kmeans_max_iter == Pretrain().kmeans_max_iter
    assert suite.evaluations["linear_probe"].num_clips == 2
    assert suite.evaluations["linear_probe"].kind == "linear_probe"
    assert suite.world == World(classes=3, kinetics_train=6, kinetics_val=2)


def test_name_of_a_suite_is_that_of_its_file_unless_it_says_another(write_suite: Writer) -> None:
    assert load_suite(write_suite(SUITE)).name == "mine"
    assert load_suite(write_suite(SUITE + "name: other\n")).name == "other"


def test_only_the_parts_in_use_are_composed(write_suite: Writer) -> None:
    suite = load_suite(write_suite(SUITE))
    assert set(suite.methods) == {"scratch", "sdc", "xdc"}
    assert set(suite.datasets) == {"kinetics400"}
    assert set(suite.evaluations) == {"linear_probe"}


def test_a_suite_defines_parts_of_its_own(write_suite: Writer) -> None:
    own = """
methods:
  mine: {title: Mine, clusterings: {j: {features: [video], k: 3}}, heads: {video: [j]}}
  xdc: {title: XDC of mine}
datasets:
  hearing: {base: kinetics400, subset: {per_class: 2}}
evaluations:
  quick: {base: linear_probe, max_iter: 7}
"""
    text = SUITE.replace("evaluations: {linear_probe: {num_clips: 2}}", "").replace(
        "[sdc, xdc]", "[xdc, mine]"
    )
    text = text.replace(
        "evaluate:", "evaluate:\n  - {evaluation: quick, dataset: hearing, splits: [official]}"
    )
    suite = load_suite(write_suite(text + own))
    assert suite.methods["mine"].clusterings["j"].k == 3
    assert suite.methods["xdc"].title == "XDC of mine"
    assert suite.methods["xdc"].heads == load_suite("mini").methods["xdc"].heads
    assert suite.datasets["hearing"].adapter == "kinetics"
    assert suite.datasets["hearing"].subset.per_class == 2
    assert suite.evaluations["quick"].max_iter == 7


def test_interpolations_stay_text(write_suite: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "told")
    text = SUITE.replace("a suite of a test", "see ${oc.env:SECRET}")
    assert load_suite(write_suite(text)).description == "see ${oc.env:SECRET}"
    over = load_suite(write_suite(SUITE), overrides=["description=${oc.env:SECRET}"])
    assert over.description == "${oc.env:SECRET}"


# -------------------------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("text", "where", "value"),
    [
        ("pretrain.rounds=3", ("pretrain", "rounds"), 3),
        ("pretrain.schedule.lr=1e-3", ("pretrain", "schedule", "lr"), 1e-3),
        ("pretrain.schedule.milestones=[1, 2]", ("pretrain", "schedule", "milestones"), (1.0, 2.0)),
        ("pretrain.k=null", ("pretrain", "k"), None),
        ("pretrain.balanced_sampling=true", ("pretrain", "balanced_sampling"), True),
        ("world.factors.hue=0", ("world", "factors", "hue"), 0.0),
        ("description=a=b", ("description",), "a=b"),
        ("seeds=[4, 5]", ("seeds",), (4, 5)),
    ],
)
def test_override_sets_exactly_the_field_that_it_names(
    write_suite: Writer, text: str, where: tuple[str, ...], value: object
) -> None:
    path = write_suite(SUITE)
    expected = load_suite(path).model_dump()
    inner = expected
    for part in where[:-1]:
        inner = inner[part]
    inner[where[-1]] = value
    assert load_suite(path, overrides=[text]).model_dump() == expected


def test_overrides_reach_into_unions_and_mappings(write_suite: Writer) -> None:
    overrides = [
        "evaluations.linear_probe.C=0.5",
        "methods.xdc.clusterings.a.k=7",
        "datasets.kinetics400.subset.per_class=2",
    ]
    suite = load_suite(write_suite(SUITE), overrides=overrides)
    assert suite.evaluations["linear_probe"].model_dump()["C"] == 0.5
    assert suite.methods["xdc"].clusterings["a"].k == 7
    assert suite.methods["xdc"].clusterings["a"].features == ("audio",)
    assert suite.datasets["kinetics400"].subset.per_class == 2


def test_the_last_override_wins(write_suite: Writer) -> None:
    suite = load_suite(write_suite(SUITE), overrides=["pretrain.rounds=3", "pretrain.rounds=4"])
    assert suite.pretrain.rounds == 4


def test_override_leaves_its_argument_as_it_was() -> None:
    tree = {"pretrain": {"rounds": 1}}
    assert override(tree, ["pretrain.rounds=2"]) == {"pretrain": {"rounds": 2}}
    assert tree == {"pretrain": {"rounds": 1}}


def test_methods_keep_a_part_of_the_suite(write_suite: Writer) -> None:
    suite = load_suite(write_suite(SUITE), methods=["xdc"])
    assert [group.methods for group in suite.pretraining] == [("xdc",)]


def test_seeds_replace_the_suites_own(write_suite: Writer) -> None:
    assert load_suite(write_suite(SUITE), seeds=[3, 1]).seeds == (3, 1)
    assert load_suite(write_suite(SUITE)).seeds == (0,)


# --------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["pretrain.rounds"], ["pretrain.rounds", "key=value"]),
        (["=3"], ["'=3'", "key=value"]),
        (["pretrain.rounds=[1"], ["pretrain.rounds=[1", "no readable value"]),
        (["rounds=3"], ["--set rounds=3: unknown key", "did you mean 'pretrain.rounds'"]),
        (["k=3"], ["did you mean 'pretrain.k'"]),
        (["seeds=[1]", "schedule.lr=3"], ["--set schedule.lr=3: ", "did you mean 'pretrain.schedule.lr'"]),
        (["pretrain.ruonds=3"], ["--set pretrain.ruonds=3: ", "'pretrain.ruonds'", "did you mean 'rounds'"]),
        (["pretrain.schedule.epohs=3"], ["'pretrain.schedule.epohs'", "did you mean 'epochs'"]),
        (["pretrain.schedule.epochs=many"], ["'pretrain.schedule.epochs'", "'many'", "integer"]),
        (["pretrain.rounds=0"], ["'pretrain.rounds'", "0", "greater than or equal to 1"]),
        (["pretrain.rounds="], ["'pretrain.rounds'", "None"]),
        (["pretrain.rounds=${oc.env:HOME}"], ["'pretrain.rounds'", "${oc.env:HOME}"]),
        (["pretrain.preprocess=pca"], ["'pretrain.preprocess'", "'pca'", "pca_whiten_l2"]),
        (["pretrain=3"], ["'pretrain'", "3"]),
        (
            ["evaluations.linear_probe.clipz=3"],
            ["'evaluations.linear_probe.clipz'", "did you mean 'num_clips'"],
        ),
        (["evaluations.linear_probe.num_clips=0"], ["'evaluations.linear_probe.num_clips'", "0"]),
        (["evaluations.linear_probe.kind=mlp"], ["'evaluations.linear_probe'", "'mlp'", "linear_svm"]),
        (["methods.xdc.clusterings.a.kk=3"], ["'methods.xdc.clusterings.a.kk'", "did you mean 'k'"]),
        (["methods.xdc.heads.vidoe=[a]"], ["methods.xdc.heads", "'vidoe'"]),
        (["datasets.kinetics400.subset.per_clas=3"], ["subset.per_clas'", "did you mean 'per_class'"]),
        (["models.video.input.sizes=8"], ["'models.video.input.sizes'", "did you mean 'size'"]),
        (["world.facters.hue=1"], ["'world.facters'", "did you mean 'factors'"]),
        (["methods.xcd.title=3"], ["--set methods.xcd.title=3", "did you mean 'xdc'"]),
        (["datasets.kinetics.root=x"], ["--set datasets.kinetics.root=x", "did you mean 'kinetics400'"]),
        (["evaluations.linear_prob.num_clips=2"], ["did you mean 'linear_probe'"]),
        (["seeds=first"], ["'seeds'", "'first'"]),
        (["tables=[prob]"], ["table 'prob'", "did you mean 'probes'"]),
    ],
)
def test_wrong_override_is_told_with_place_value_and_mend(
    write_suite: Writer, overrides: list[str], said: list[str]
) -> None:
    path = write_suite(SUITE)
    text = message(lambda: load_suite(path, overrides=overrides))
    for words in said:
        assert words in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[sdc, xdc]", "[sdc, xcd]", ["method 'xcd'", "did you mean 'xdc'"]),
        ("[sdc, xdc]", "[[sdc]]", ["method"]),
        ("[sdc, xdc]", "sdc", ["mine.yaml", "'methods' must be a list", "'sdc'"]),
        ("data: kinetics400", "data: kinetic400", ["dataset 'kinetic400'", "did you mean 'kinetics400'"]),
        ("data: kinetics400", "data: [kinetics400]", ["dataset"]),
        ("dataset: kinetics400", "dataset: ufc101", ["dataset 'ufc101'", "did you mean 'ucf101'"]),
        (
            "evaluation: linear_probe",
            "evaluation: probe",
            ["evaluation 'probe'", "did you mean 'audio_probe'"],
        ),
        ("evaluation: linear_probe, ", "", ["'evaluate.0.evaluation' is missing"]),
        ("[scratch]}", "[scratch], date: 3}", ["'pretraining.0.date'", "did you mean 'data'"]),
        ("base: reduced, rounds", "base: reducd, rounds", ["pretrain base 'reducd'", "'reduced'"]),
        ("base: reduced, rounds", "base: 3, rounds", ["pretrain base '3'"]),
        ("base: reduced, rounds", "base: no.yaml, rounds", ["'no.yaml'", "paper, reduced"]),
        (
            "pretrain: {base: reduced, rounds: 2}",
            "pretrain: reduced",
            ["mine.yaml", "'pretrain'", "'reduced'"],
        ),
        ("{linear_probe: {num_clips: 2}}", "{linear_probe: 2}", ["mine.yaml", "'linear_probe'", "2"]),
        (
            "{linear_probe: {num_clips: 2}}",
            "[linear_probe]",
            ["mine.yaml", "'evaluations'", "['linear_probe']"],
        ),
        ("tables: [probes]", "tables: [prob]", ["table 'prob'", "did you mean 'probes'"]),
        ("evaluate:", "mesure:", ["mine.yaml", "'evaluate' must be a list"]),
        ("classes: 3", "classes: 99", ["'world.classes'", "99", "13"]),
        ("description", "descripton", ["'descripton'", "did you mean 'description'"]),
    ],
)
def test_wrong_suite_is_told_with_place_value_and_mend(
    write_suite: Writer, old: str, new: str, said: list[str]
) -> None:
    assert old in SUITE
    path = write_suite(SUITE.replace(old, new, 1))
    text = message(lambda: load_suite(path))
    for words in said:
        assert words in text


ENCODERS_ALONE = """
encoders: {mfcc: {audio: {source: mfcc}}}
evaluate: [{evaluation: audio_svm, dataset: esc50, splits: ["1"]}]
tables: [table7]
"""


def test_a_suite_may_have_encoders_alone(write_suite: Writer) -> None:
    suite = load_suite(write_suite(ENCODERS_ALONE))
    assert (suite.methods, suite.pretraining, list(suite.encoders)) == ({}, (), ["mfcc"])
    assert load_suite(write_suite(ENCODERS_ALONE + "pretraining: []\n")) == suite


def test_a_suite_without_any_encoder_is_refused(write_suite: Writer) -> None:
    without = ENCODERS_ALONE.replace("encoders: {mfcc: {audio: {source: mfcc}}}", "")
    said = message(lambda: load_suite(write_suite(without)))
    assert said.endswith("no encoder to measure. Try: pretraining: [{methods: [scratch]}]")
    assert load_suite(write_suite(without), overrides=["encoders.mfcc.audio.source=mfcc"]).encoders


def test_several_mistakes_are_told_in_one_line(write_suite: Writer) -> None:
    path = write_suite(SUITE)
    text = message(lambda: load_suite(path, overrides=["pretrain.ruonds=1", "world.clases=2"]))
    assert "'rounds'" in text
    assert "'classes'" in text


@pytest.mark.parametrize(
    ("load", "name", "near"),
    [(load_suite, "smok", "smoke"), (load_table, "tabel1", "table1"), (load_dataset, "hmdb", "hmdb51")],
)
def test_unknown_name_is_told_with_the_nearest(load: Callable[[str], object], name: str, near: str) -> None:
    text = message(lambda: load(name))
    assert repr(name) in text
    assert f"did you mean {near!r}" in text


def test_a_name_like_none_is_told_with_all_that_are_known() -> None:
    assert (
        "known: audioset_eval, esc10, full, instrument, kinetics_sounds, mini, mini-scale, mini-search, peers, "
        "real-small, released, severe, smoke, strengths, table1" in message(lambda: load_suite("zzzzzz"))
    )


def test_unknown_method_of_the_command_line(write_suite: Writer) -> None:
    path = write_suite(SUITE)
    text = message(lambda: load_suite(path, methods=["cdc"]))
    assert "suite 'mine': unknown method 'cdc'" in text


def test_file_that_is_not_there() -> None:
    assert "no file 'nowhere.yaml' for a suite" in message(lambda: load_suite("nowhere.yaml"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1", "not readable YAML"),
        (b"a: 1\na: 2", "duplicate key a"),
        (b"a: &a [*a]", "recursive"),
        (b"\xff\xfe\xfa", "not readable YAML"),
        (b"42", "not readable YAML"),
        (b"- a\n- b", "must hold a mapping"),
        (b"description: '${'", "not readable YAML"),
        (b"", "'evaluate' must be a list"),
    ],
)
def test_file_that_is_no_suite_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    text = message(lambda: load_suite(str(path)))
    assert text.startswith(str(path))
    assert said in text


@pytest.mark.parametrize("tag", ["!!python/object/apply:pathlib.Path.touch", "!!python/object/new:os.system"])
def test_tags_of_python_are_refused_and_not_executed(tmp_path: Path, tag: str) -> None:
    trap = tmp_path / "trap"
    path = tmp_path / "evil.yaml"
    path.write_text(f"description: {tag} ['{trap}']\n" + SUITE)
    text = message(lambda: load_suite(str(path)))
    assert "evil.yaml is not readable YAML" in text
    assert "no readable value" in message(lambda: override({}, [f"description={tag} ['{trap}']"]))
    assert not trap.exists()


def test_read_gives_names_as_text(tmp_path: Path) -> None:
    path = tmp_path / "numbers.yaml"
    path.write_text("1: a\nb: {c: [1, null]}\n")
    assert read(path) == {"1": "a", "b": {"c": [1, None]}}


def test_validate_names_the_place_given() -> None:
    text = message(lambda: validate(Schedule, {"lr": -1}, where="here.yaml"))
    assert text == "here.yaml: 'lr' = -1: input should be greater than 0"


# ------------------------------------------------------------------------------------------ merge

KEYS = st.sampled_from(["a", "b", "c"])
LEAVES = st.one_of(st.integers(), st.booleans(), st.text("xyz", max_size=3))
TREES = st.recursive(
    st.dictionaries(KEYS, LEAVES, max_size=3),
    lambda inner: st.dictionaries(KEYS, LEAVES | inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(base=TREES, over=TREES)
def test_merge_agrees_with_omegaconf_and_spares_its_arguments(base: dict, over: dict) -> None:
    before = copy.deepcopy((base, over))
    merged = merge(base, over)
    assert merged == OmegaConf.to_container(OmegaConf.merge(OmegaConf.create(base), OmegaConf.create(over)))
    assert (base, over) == before


def test_merge_replaces_lists_whole() -> None:
    assert merge({"a": [1, 2], "b": {"c": 1}}, {"a": [3], "b": [4]}) == {"a": [3], "b": [4]}
    assert merge({"a": [1, 2]}, {"a": {"0": 3}}) == {"a": {"0": 3}}


@settings(max_examples=100, deadline=None)
@given(base=TREES, over=TREES)
def test_merge_keeps_all_of_what_is_laid_over(base: dict, over: dict) -> None:
    merged = merge(base, over)
    assert merge(merged, over) == merged
    assert merge(base, {}) == base
    assert merge({}, over) == over
    assert merged.keys() == base.keys() | over.keys()


def test_code_named_by_a_suite_file_needs_trust(tmp_path: Path) -> None:
    suite = tmp_path / "downloaded.yaml"
    entry = "datasets: {mine: {title: M, adapter: 'os:getcwd', folder: m, media: video, splits: [a]}}\n"
    suite.write_text(
        entry + "pretraining: [{methods: [scratch]}]\nevaluate: []\ntables: []\n", encoding="utf-8"
    )
    with pytest.raises(UserError, match=r"mine.* runs code, 'os:getcwd'.*--trust-code"):
        load_suite(str(suite))
    assert load_suite(str(suite), consent=Consent(everything=True)).datasets["mine"].adapter == "os:getcwd"


@pytest.mark.parametrize("name", ["labels", "id"])
def test_reserved_names_of_clusterings_are_refused(name: str) -> None:
    clustering = f"methods.xdc.clusterings.{name}={{features: [video], k: 4}}"
    with pytest.raises(UserError, match=f"may not be called '{name}'"):
        load_suite("mini", overrides=[clustering])


@pytest.mark.parametrize("override", ["seeds=[]", "seeds=[-1]", "world.factors.hue=.inf"])
def test_numbers_that_cannot_be_are_refused(override: str) -> None:
    with pytest.raises(UserError):
        load_suite("mini", overrides=[override])
