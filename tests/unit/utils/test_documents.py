"""JSON and YAML from anywhere: plain finite values, or one line with the path, at once and in little memory."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

from xdcbench.errors import UserError
from xdcbench.utils.documents import (
    DEPTH,
    SMALL,
    check,
    json_lines,
    parse_json,
    read_as,
    read_json,
    read_setting,
    read_yaml,
    write_json,
    write_mapping,
)

BAD_JSON: dict[str, bytes] = {
    "nested lists": b"[" * 100_000 + b"]" * 100_000,
    "nested mappings": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "just too deep": b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1),
    "5,000 digits": b'{"a": ' + b"7" * 5000 + b"}",
    "400 digits": b'{"a": 1' + b"0" * 400 + b"}",
    "negative 400 digits": b'{"a": -1' + b"0" * 400 + b"}",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b'{"a": [-Infinity]}',
    "1e400": b'{"a": 1e400}',
    "no UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "cut": b'{"a": 1, "b"',
    "empty": b"",
    "zeroed": bytes(64),
    "too large": b" " * SMALL + b"{}",
}

LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{chr(97 + i)}: &{chr(97 + i)} [{', '.join([f'*{chr(96 + i)}'] * 9)}]\n" for i in range(1, 12)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{chr(97 + i)}: &{chr(97 + i)} {{<<: [{', '.join([f'*{chr(96 + i)}'] * 9)}]}}\n" for i in range(1, 12)
)
BAD_YAML: dict[str, bytes] = {
    "nested lists": b"[" * 100_000,
    "nested mappings": b"{a: " * 100_000,
    "nested blocks": b"- " * 10_000 + b"a",
    "laughs": LAUGHS.encode(),
    "merged laughs": MERGED.encode(),
    "recursive": b"a: &a [*a]",
    "5,000 digits": b"a: " + b"7" * 5000,
    "400 digits": b"a: " + b"7" * 400,
    "hexadecimal digits": b"a: 0x" + b"f" * 5000,
    ".nan": b"a: .nan",
    ".inf": b"a: [-.inf]",
    "1e400": b"a: 1e400",
    "no UTF-8": b"a: \xff",
    "bytes": b"a: !!binary aGk=",
    "code": b"a: !!python/object/apply:os.getcwd []",
    "too large": b"# " + b"x" * (1 << 20),
}


def refused(call: Any) -> str:
    """Message of the one line that a call is refused by, within a second."""
    begun = time.perf_counter()
    with pytest.raises(UserError) as error:
        call()
    assert time.perf_counter() - begun < 1
    text = str(error.value)
    assert "\n" not in text
    assert "set_int_max_str_digits" not in text, "no advice to take the limit away"
    return text


@pytest.mark.parametrize("content", BAD_JSON.values(), ids=BAD_JSON)
def test_bad_json_is_one_line_with_the_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    text = refused(lambda: read_json(path, fix="make it again"))
    assert text.startswith(f"{path} is not readable JSON (")
    assert text.endswith(". Try: make it again")
    if len(content) <= SMALL:
        assert refused(lambda: parse_json(content, "http://h/x.json")).startswith("http://h/x.json is not")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "gone.json", "No such file"), (tmp_path, "Is a directory")):
        assert why in refused(lambda path=path: read_json(path))
        assert why in refused(lambda path=path: read_yaml(path))


@pytest.mark.parametrize("content", BAD_YAML.values(), ids=BAD_YAML)
def test_bad_yaml_is_one_line_with_the_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    assert refused(lambda: read_yaml(path)).startswith(f"{path} is not readable YAML: ")


def test_bombs_take_little_memory_and_do_not_end_the_process(tmp_path: Path) -> None:
    """libyaml's binding recurses in C, which no exception stops: at 10,000 levels the process died of SIGSEGV."""
    for name, content in {"deep": b"[" * 100_000, "laughs": LAUGHS.encode()}.items():
        (tmp_path / f"{name}.yaml").write_bytes(content)
    (tmp_path / "many.json").write_bytes(b"[" + b"{}," * ((SMALL - 8) // 3) + b"0]")
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom xdcbench.errors import UserError\n"
        "from xdcbench.utils.documents import read_json, read_yaml\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    try:\n        (read_json if path.suffix == '.json' else read_yaml)(path)\n"
        "    except UserError as error:\n        print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    files = [str(tmp_path / name) for name in ("deep.yaml", "laughs.yaml", "many.json")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *said, grown = done.stdout.splitlines()
    assert len(said) == 2
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(grown) * unit < 1000 << 20, "16 MiB of JSON are at most a GiB of objects"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_good_json_is_what_the_standard_library_reads(value: object) -> None:
    content = json.dumps(value)
    assert parse_json(content.encode(), "x") == json.loads(content)


def test_good_yaml_is_what_pyyaml_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    text = "a: &x {b: [1, 2.5, null, true, text]}\nc: *x\nd: {<<: *x, e: '${oc.env:SECRET}'}\n"
    for mark in ("", "\ufeff"):
        path.write_text(mark + text, encoding="utf-8")
        assert read_yaml(path) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text",
    ["a=" + "[" * 100_000, "a=" + "7" * 5000, "a=.nan", "a=!!binary aGk=", ".".join("a" * 10_000) + "=1"],
)
def test_settings_have_the_same_limits(text: str) -> None:
    assert refused(lambda: read_setting(text)).startswith("--set 'a")


def test_lines_name_the_one_that_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"loss": NaN}\n\n' + "[" * 100_000 + "\n")
    lines = json_lines(path)
    assert str(next(lines)) == "{'loss': nan}", "a loss that is no number is a fact"
    assert refused(lambda: list(lines)).startswith(f"{path}, line 3 is not readable JSON (nested too deep)")


class Facts(TypedDict):
    """Some facts."""

    name: str
    sizes: dict[str, int]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "its content: Input should be a valid dictionary"),
        ("null", "its content: Input should be a valid dictionary"),
        ('{"name": "a"}', "sizes: Field required"),
        ('{"name": 3, "sizes": {}}', "name: Input should be a valid string"),
        ('{"name": "a", "sizes": {"k": "many"}}', "sizes.k: Input should be a valid integer"),
    ],
)
def test_values_of_other_types_are_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    text = refused(lambda: read_as(Facts, path, fix="mend it"))
    assert text.startswith(f"{path}: {said}")
    assert text.endswith("Try: mend it")
    assert check(Facts, {"name": "a", "sizes": {"k": 1}}, "x")["sizes"] == {"k": 1}


@pytest.mark.parametrize("content", [{}, {"a": "b"}, {'"\n': "ä", "c": "\\"}])
def test_a_mapping_is_written_pair_by_pair_as_at_once(tmp_path: Path, content: dict[str, str]) -> None:
    write_mapping(tmp_path / "pairs.json", iter(content.items()))
    write_json(tmp_path / "whole.json", content)
    assert (tmp_path / "pairs.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
