"""Files by address come whole or not at all, once, and are what their hash says."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.models.serving import Server, serving
from xdcbench.errors import UserError
from xdcbench.models.download import CHUNK, download

CONTENT = bytes(range(256)) * (5 * CHUNK // 512) + b"the end"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DIGITS = SHA256[:8]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(CONTENT, f"w-{DIGITS}.pth") as state:
        yield state


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "weights" / f"w-{DIGITS}.pth"


def left(target: Path) -> list[str]:
    """Visible files beside the target."""
    return sorted(p.name for p in target.parent.glob("[!.]*"))


@pytest.mark.parametrize("promised", [True, False])
def test_a_file_comes_whole_and_only_once(promised: bool, server: Server, target: Path) -> None:
    server.promised = promised
    download(server.url, target, digits=DIGITS)
    assert target.read_bytes() == CONTENT
    assert left(target) == [target.name]
    download(server.url, target, digits=SHA256)
    assert server.asked == [""]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_told_and_gone_on_from(ranges: bool, server: Server, target: Path) -> None:
    server.cut, server.ranges = CHUNK, ranges
    with pytest.raises(
        UserError, match=rf"ended after {CHUNK} of {len(CONTENT)} bytes\); run again to go on"
    ):
        download(server.url, target, digits=DIGITS)
    assert not target.exists()
    server.cut = None
    download(server.url, target, digits=DIGITS)
    assert target.read_bytes() == CONTENT
    assert left(target) == [target.name]
    assert server.asked == ["", f"bytes={CHUNK}-"]


def test_progress_is_shown_and_the_whole_hash_is_logged(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("xdcbench.progress.LINE_EVERY", 0.0)
    with caplog.at_level("INFO", logger="xdcbench"):
        download(server.url, target, digits=DIGITS)
    *steps, last = caplog.messages
    assert [step.split(" MiB: ")[1].split(",")[0] for step in steps] == ["0/3", "1/3", "2/3", "3/3"]
    assert last == f"{target}: fetched, SHA-256 {SHA256}"


def test_a_part_that_is_whole_already_is_taken(server: Server, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.with_name(f"{target.name}.part").write_bytes(CONTENT)
    download(server.url, target, digits=DIGITS)
    assert target.read_bytes() == CONTENT


def test_another_file_is_refused_and_removed(server: Server, target: Path) -> None:
    server.content = b"<html>please log in</html>"
    found = hashlib.sha256(server.content).hexdigest()[:8]
    with pytest.raises(UserError) as told:
        download(server.url, target, digits=DIGITS)
    assert str(told.value) == (
        f"{server.url} gave a file with the SHA-256 {found}..., not {DIGITS}..., which was removed; fetch the right "
        f"one elsewhere and put it at {target}"
    )
    assert left(target) == []


def test_a_part_of_another_file_does_not_stay(server: Server, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.with_name(f"{target.name}.part").write_bytes(b"not its beginning")
    with pytest.raises(UserError, match="which was removed"):
        download(server.url, target, digits=DIGITS)
    download(server.url, target, digits=DIGITS)
    assert target.read_bytes() == CONTENT


def test_a_file_put_there_by_hand_is_checked_and_never_removed(server: Server, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT[:-1])
    with pytest.raises(
        UserError, match=rf"^{target} has the SHA-256 \w{{8}}\.\.\., not {DIGITS}\.\.\.: it is cut short"
    ):
        download(server.url, target, digits=DIGITS)
    assert target.read_bytes() == CONTENT[:-1]
    assert server.asked == []
    target.write_bytes(CONTENT)
    download(server.url, target, digits=DIGITS)
    assert server.asked == []


def test_a_file_that_is_not_served_is_told(server: Server, target: Path) -> None:
    url = server.url.replace("/w-", "/v-")
    with pytest.raises(UserError) as told:
        download(url, target, digits=DIGITS)
    assert str(told.value) == (
        f"cannot fetch {url} (HTTP Error 404: Not Found); run again to go on from there, or fetch it elsewhere "
        f"and put it at {target}"
    )
    assert left(target) == []


def test_a_server_that_is_gone_is_told(target: Path) -> None:
    with serving(CONTENT, "w.pth") as state:
        pass
    with pytest.raises(
        UserError, match=rf"^cannot fetch {state.url} \(.*refused.*\); .* put it at {target}$"
    ):
        download(state.url, target, digits=DIGITS)


def test_a_server_that_falls_silent_is_told(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdcbench.models.download.SILENCE", 0.1)
    server.delay = 0.5
    with pytest.raises(UserError, match=r"^cannot fetch .* \(.*timed out"):
        download(server.url, target, digits=DIGITS)


def test_a_cache_that_cannot_be_written_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, no folder")
    with pytest.raises(UserError, match=r"^cannot fetch .*cache"):
        download(server.url, tmp_path / "cache" / "w.pth", digits=DIGITS)


def test_two_processes_fetch_once(server: Server, target: Path) -> None:
    server.delay = 1.0
    code = (
        "import sys; from pathlib import Path; from xdcbench.models.download import download; "
        "download(sys.argv[1], Path(sys.argv[2]), digits=sys.argv[3])"
    )
    words = [sys.executable, "-c", code, server.url, str(target), DIGITS]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert [process.returncode for process in both] == [0, 0]
    assert target.read_bytes() == CONTENT
    assert server.asked == [""]
