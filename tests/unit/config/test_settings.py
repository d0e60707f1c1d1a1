"""Keys of settings: of every configuration that a suite holds, what it states first."""

from xdcbench.config.load import load_suite
from xdcbench.config.settings import same_setting, setting_keys
from xdcbench.config.suite import Suite

TREE = load_suite("smoke").model_dump(exclude_unset=True)
KEYS = setting_keys(Suite, TREE)


def test_keys_of_all_parts_are_known() -> None:
    for key in (
        "seeds",
        "pretrain.rounds",
        "pretrain.schedule.lr",
        "world.factors.hue",
        "models.audio.bn_momentum",
        "datasets.esc50.max_failed",
        "datasets.esc50.subset.per_class",
        "evaluations.finetune.schedule.epochs",
        "methods.xdc.clusterings.a.k",
    ):
        assert key in KEYS, key
    assert len(KEYS) == len(set(KEYS))


def test_what_no_evaluation_of_the_kind_has_is_no_setting() -> None:
    probe = next(name for name, of in TREE["evaluations"].items() if of["kind"] == "linear_svm")
    assert f"evaluations.{probe}.Cs" in KEYS
    assert f"evaluations.{probe}.head_lr" not in KEYS


def test_a_key_in_short_is_the_first_stated_one_that_ends_so() -> None:
    assert same_setting("rounds", KEYS) == "pretrain.rounds"
    assert same_setting("b", ["z.b", "a.b"]) == "z.b"
    assert same_setting("pretrain.rounds", KEYS) is None
    assert same_setting("nosuch", KEYS) is None


def test_stated_settings_come_first() -> None:
    keys = setting_keys(Suite, {"pretrain": {"k": 3, "schedule": {"lr": 1}}})
    assert keys[:3] == ["pretrain.k", "pretrain.schedule", "pretrain.schedule.lr"]
