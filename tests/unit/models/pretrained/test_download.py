"""Files by address come whole or not at all, once, and are what their hash says."""

import hashlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPMessage
from pathlib import Path
from urllib.request import Request

import pytest

from tests.unit.models.pretrained.serving import Server, serving
from xdcbench.errors import UserError
from xdcbench.models.pretrained.download import CHUNK, _Redirects, download

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
def test_a_broken_connection_is_told_and_resumed_from(ranges: bool, server: Server, target: Path) -> None:
    server.cut, server.ranges = CHUNK, ranges
    with pytest.raises(
        UserError, match=rf"ended after {CHUNK} of {len(CONTENT)} bytes\); run again to resume"
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
    monkeypatch.setattr("xdcbench.utils.progress.LINE_EVERY", 0.0)
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
        f"cannot fetch {url} (HTTP Error 404: Not Found); run again to resume from there, or fetch it elsewhere "
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
    monkeypatch.setattr("xdcbench.models.pretrained.download.SILENCE", 0.1)
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
        "import sys; from pathlib import Path; from xdcbench.models.pretrained.download import download; "
        "download(sys.argv[1], Path(sys.argv[2]), digits=sys.argv[3])"
    )
    words = [sys.executable, "-c", code, server.url, str(target), DIGITS]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert [process.returncode for process in both] == [0, 0]
    assert target.read_bytes() == CONTENT
    assert server.asked == [""]


@pytest.mark.parametrize("length", ["abc", "-1", "1e9", "9" * 30, str(10**13), "0x10", "1, 2", ""])
def test_an_odd_length_is_refused(length: str, server: Server, target: Path) -> None:
    server.length = length
    with pytest.raises(UserError, match=r"cannot fetch .* \(the server states .*\); run again"):
        download(server.url, target, digits=DIGITS)
    assert left(target) == [], "nothing was written"
    assert server.asked == [""]


@pytest.mark.parametrize("off", [-1000, 1000])
def test_a_length_that_is_not_so_is_refused(off: int, server: Server, target: Path) -> None:
    server.length = str(len(CONTENT) + off)
    with pytest.raises(UserError, match=r"which was removed|ended after \d+ of \d+ bytes"):
        download(server.url, target, digits=DIGITS)
    assert not target.exists()


def test_more_than_a_file_may_hold_is_refused(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdcbench.models.pretrained.download.LARGEST", CHUNK)
    for server.promised, said in ((True, "the server states"), (False, "more than .* bytes came")):
        with pytest.raises(UserError, match=said):
            download(server.url, target, digits=DIGITS)
        part = target.with_name(f"{target.name}.part")
        assert not part.exists() or part.stat().st_size <= 2 * CHUNK


@pytest.mark.parametrize("head", [True, False])
def test_a_server_that_drips_is_given_up(
    head: bool, server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes within the time-out of a silent server; a mebibyte would take days."""
    monkeypatch.setattr("xdcbench.models.pretrained.download.PATIENCE", 0.3)
    server.drip, server.head = 0.05, head
    begun = time.monotonic()
    with pytest.raises(UserError, match="cannot fetch"):
        download(server.url, target, digits=DIGITS)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("status", [401, 403, 404, 410, 500])
def test_what_is_refused_is_asked_for_once(status: int, server: Server, target: Path) -> None:
    server.status = status
    with pytest.raises(UserError, match=f"{status}"):
        download(server.url, target, digits=DIGITS)
    assert server.asked == [""]
    assert left(target) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "/etc/passwd"])
def test_only_http_is_fetched_and_led_to(url: str, server: Server, target: Path) -> None:
    with pytest.raises(UserError, match="is no address of http or https"):
        download(url, target, digits=DIGITS)
    server.location = url if ":" in url else "gopher://x/y"
    with pytest.raises(UserError, match=r"which is not followed|is not allowed"):
        download(server.url, target, digits=DIGITS)
    assert left(target) == []


@pytest.mark.parametrize("url", ["http://[broken/x", "http://127.0.0.1:port/x", "http://[::1]]/x"])
def test_where_no_address_leads_to_is_told(url: str, server: Server, target: Path) -> None:
    server.location = url
    with pytest.raises(UserError, match="cannot fetch"):
        download(server.url, target, digits=DIGITS)
    assert left(target) == []


def test_https_is_not_left_for_http() -> None:
    asked = Request("https://host/w.pth")
    with pytest.raises(
        OSError, match=r"https://host/w\.pth leads to http://host/w\.pth, which is not followed"
    ):
        _Redirects().redirect_request(asked, io.BytesIO(), 302, "", HTTPMessage(), "http://host/w.pth")
    assert _Redirects().redirect_request(asked, io.BytesIO(), 302, "", HTTPMessage(), "https://other/w.pth")


@pytest.mark.parametrize("kind", ["link", "dangling", "second name", "pipe", "folder"])
def test_a_part_file_that_is_no_plain_file_is_left_alone(
    kind: str, server: Server, target: Path, tmp_path: Path
) -> None:
    """A link at its name had the downloaded bytes written to whatever file it led to."""
    target.parent.mkdir(parents=True)
    part, victim = target.with_name(f"{target.name}.part"), tmp_path / "victim"
    if kind != "dangling":
        victim.write_bytes(b"precious")
    {
        "link": lambda: part.symlink_to(victim),
        "dangling": lambda: part.symlink_to(victim),
        "second name": lambda: part.hardlink_to(victim),
        "pipe": lambda: os.mkfifo(part),
        "folder": lambda: part.mkdir(),
    }[kind]()
    with pytest.raises(UserError, match=r"\.part .*Try: remove it"):
        download(server.url, target, digits=DIGITS)
    assert not victim.exists() if kind == "dangling" else victim.read_bytes() == b"precious"
    assert not target.exists()


def test_a_secret_of_the_address_is_not_told(server: Server, target: Path) -> None:
    server.status = 403
    with pytest.raises(UserError) as error:
        download(server.url + "?sig=s3cr3t", target, digits=DIGITS)
    assert "s3cr3t" not in str(error.value)
