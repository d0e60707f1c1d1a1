"""Names that become files: one pattern, held wherever a suite, a dataset, an export or a shards folder gives one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xdcbench.config.data import Dataset
from xdcbench.config.load import load_dataset, load_suite, load_table, validate
from xdcbench.config.suite import Suite
from xdcbench.errors import UserError
from xdcbench.models.pretrained.exported import Program
from xdcbench.utils.names import LONGEST, name_error

BAD = {
    "parent": "../../x",
    "absolute": "/etc/x",
    "folder": "a/b",
    "backslash": "a\\b",
    "hidden": ".hidden",
    "parents alone": "..",
    "empty": "",
    "device": "NUL",
    "device with a suffix": "com1.txt",
    "colon": "c:x",
    "escape": "a\x1b[31m",
    "bell": "a\a",
    "newline": "a\nb",
    "null": "a\0b",
    "right to left": "a\u202eb",
    "surrogate": "a\udcffb",
    "quote": 'a"b',
    "glob": "a*",
    "option": "-rf",
    "space at the end": "a ",
    "dot at the end": "a.",
    "long": "a" * (LONGEST + 1),
}
GOOD = [
    "xdc",
    "esc10-svm",
    "1",
    "k=64",
    "v1.5",
    "été",
    "हिन्दी",
    "动作",
    "my suite",
    "_own",
    "con_x",
    "r2plus1d",
]
BASE: dict[str, Any] = {
    **{name: {} for name in ("methods", "datasets", "evaluations")},
    **{name: [] for name in ("pretraining", "evaluate", "tables")},
    "name": "s",
}
METHOD: dict[str, Any] = {"title": "M"}
DATASET: dict[str, Any] = {"title": "D", "adapter": "esc50", "folder": "d", "media": "audio", "splits": ["1"]}
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "name": lambda name: {"name": name},
    "methods": lambda name: {"methods": {name: METHOD}},
    "encoders": lambda name: {"encoders": {name: {"run": "x"}}},
    "datasets": lambda name: {"datasets": {name: DATASET}},
    "evaluations": lambda name: {"evaluations": {name: {"kind": "finetune"}}},
    "clusterings": lambda name: {
        "methods": {"m": METHOD | {"clusterings": {name: {"features": ["video"], "k": 2}}}}
    },
    "heads": lambda name: {"methods": {"m": METHOD | {"heads": {"video": [name]}}}},
    "splits": lambda name: {"datasets": {"d": DATASET | {"splits": [name]}}},
    "official_splits": lambda name: {"datasets": {"d": DATASET | {"official_splits": [name]}}},
    "counts": lambda name: {"datasets": {"d": DATASET | {"counts": {name: {"train": 1}}}}},
    "pretraining": lambda name: {"pretraining": [{"methods": [name]}]},
    "data": lambda name: {"pretraining": [{"methods": [], "data": name}]},
    "evaluate": lambda name: {"evaluate": [{"evaluation": "e", "dataset": name, "splits": []}]},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_is_no_file_is_refused_with_value_place_and_fix(place: str) -> None:
    for name in BAD.values():
        with pytest.raises(UserError) as error:
            validate(Suite, BASE | PLACES[place](name), where="s.yaml")
        text = str(error.value)
        assert text.startswith("s.yaml: ")
        assert place in text
        assert repr(name) in text
        assert "cannot name files" in text
        assert "Try: letters, digits and _" in text
    for name in GOOD:
        validate(Suite, BASE | PLACES[place](name), where="s.yaml")


@pytest.mark.parametrize("folder", ["../x", "/etc", "a/../../b", "", "."])
def test_a_folder_stays_below_the_data_root(folder: str) -> None:
    with pytest.raises(UserError, match="must be a folder below the data root"):
        validate(Dataset, DATASET | {"folder": folder}, where="d.yaml")
    validate(Dataset, DATASET | {"folder": "audioset/unbalanced"}, where="d.yaml")


@given(st.text(max_size=120))
@example("COM¹")
def test_what_is_let_through_is_one_file(name: str) -> None:
    if not name_error(name):
        path = Path("/results/tables") / name
        assert path.parent == Path("/results/tables")
        assert path.name == name
        assert name.isprintable()
        assert not set(name) & set('<>:"/\\|?*')


def test_tables_stay_in_the_results_folder(tmp_path: Path) -> None:
    """``name: ../../x`` wrote the tables of the suite outside the results folder."""
    suite = tmp_path / "s.yaml"
    text = "name: {name}\npretraining: [{{methods: [scratch]}}]\nevaluate: []\ntables: [table1]\n"
    for name in ("../../x", "/tmp/x", "a/b"):
        suite.write_text(text.format(name=name))
        with pytest.raises(UserError, match=r"'name' = .*cannot name files"):
            load_suite(str(suite))
    parts = tmp_path / "p.yaml"
    suite.write_text(text.format(name="good"))
    parts.write_text(f"name: ../../x\nparts: ['{suite}']\n")
    with pytest.raises(UserError, match=r"p\.yaml: 'name' = '\.\./\.\./x'"):
        load_suite(str(parts))


def test_a_table_s_file_has_such_a_name(tmp_path: Path) -> None:
    path = tmp_path / ".hidden.yaml"
    path.write_text("title: T\ncolumns: []\n")
    with pytest.raises(UserError, match=r"\.hidden\.yaml: its name becomes that of files"):
        load_table(str(path))
    with pytest.raises(UserError, match=r"\.hidden\.yaml: its name becomes that of files"):
        load_dataset(str(path))


def test_files_of_an_export_lie_in_it() -> None:
    for name in ("../../x", "/etc/passwd"):
        with pytest.raises(UserError, match="cannot name files"):
            validate(Program, {"file": name, "takes": "x", "difference": 0}, where="export.json")
