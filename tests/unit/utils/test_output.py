"""Standard output and the locale, as a shell gives them to a command."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
"""What Python makes of a locale that is not UTF-8; those of Latin-1 are not on every machine."""

LATIN = "e\u0301t\xe9 \u4e2d\u6587"


def run(
    *words: object, code: str = "", stdout: int | None = None, **env: str
) -> subprocess.CompletedProcess[bytes]:
    command = ["-c", code] if code else ["-m", "xdcbench"]
    return subprocess.run(
        [sys.executable, *command, *map(str, words)],
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
        check=False,
    )


@pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.slow)])
@pytest.mark.parametrize("words", [["list", "tables"], ["data", "list"], ["--help"]])
def test_a_full_disk_is_one_line(words: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(*words, stdout=full.fileno(), PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == b"xdcbench: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("words", [["list", "tables"], ["data", "list"]])
def test_a_reader_that_leaves_is_no_fault(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = run(*words, stdout=write)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_another_error_keeps_its_trace() -> None:
    code = """
from xdcbench.cli import main as cli
def app():
    raise OSError(28, "of a file")
cli.app = app
cli.main()
"""
    done = run(code=code)
    assert done.returncode == 1
    assert b"Traceback" in done.stderr and b"of a file" in done.stderr


@pytest.mark.parametrize(
    ("env", "printed"),
    [
        (ASCII, b"e\\u0301t\\xe9 \\u4e2d\\u6587"),
        ({"PYTHONIOENCODING": "latin-1"}, b"e\\u0301t\xe9 \\u4e2d\\u6587"),
        ({"PYTHONUTF8": "1"}, LATIN.encode()),
    ],
)
def test_files_are_utf_8_and_the_terminal_is_what_it_is(
    env: dict[str, str], printed: bytes, tmp_path: Path
) -> None:
    (tmp_path / LATIN).touch()
    code = f"""
import sys
from pathlib import Path
from xdcbench.cli import main as cli
def app():
    for path in Path(sys.argv[1]).iterdir():
        print(path.name)
        path.write_text(path.name)
        assert path.name == {LATIN!a}
cli.app = app
cli.main()
"""
    done = run(tmp_path, code=code, **env)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed + b"\n", b"")
    assert (tmp_path / LATIN).read_bytes() == LATIN.encode()


def opens_text_without_encoding(call: ast.Call) -> bool:
    """Whether a call reads or writes text in whatever encoding the locale has."""
    names = [keyword.arg for keyword in call.keywords]
    if not isinstance(call.func, ast.Attribute) or "encoding" in names:
        return False
    owner = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
    match call.func.attr:
        case "read_text":
            return not call.args
        case "write_text":
            return len(call.args) < 2
        case "FileHandler":
            return True
        case "open" if owner not in ("av", "os", "wave", "tarfile", "gzip", "archive", "Image", "opener"):
            return not any("b" in str(ast.unparse(mode)) for mode in call.args[:1])
    return False


def test_text_files_are_utf_8_in_every_locale() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "xdcbench").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_text_without_encoding(node)
    ]
    assert found == []
