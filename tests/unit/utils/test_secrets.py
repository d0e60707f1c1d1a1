"""Passwords, keys, tokens and signatures of addresses are shown and kept nowhere; host and path stay."""

import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.unit.data.shards.prepared import write_dataset
from xdcbench.cli.show import run_lines
from xdcbench.config.data import World
from xdcbench.config.load import load_dataset
from xdcbench.data.shards.remote import RemoteFiles
from xdcbench.data.synthetic.layouts import files
from xdcbench.errors import UserError
from xdcbench.reports.results.page import write_report
from xdcbench.utils.secrets import redact
from xdcbench.utils.shown import SafeFilter

SECRET = "s3cr3t-Pa55w0rd"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"GET https://user:{SECRET}@host:8443/a/b.json failed", "GET https://***@host:8443/a/b.json failed"),
        (f"https://{SECRET}@host/a", "https://***@host/a"),
        (f"s3://AKIAX:{SECRET}/with/slash@bucket/key", "s3://***@bucket/key"),
        (f"http://u:p@{SECRET}@host/a", "http://***@host/a"),
        (f"https://host/a?X-Amz-Signature={SECRET}&X-Amz-Expires=60", "https://host/a?***"),
        (f"https://host/a?unheard-of={SECRET}#x", "https://host/a?***"),
        (f"https://host/a#access_token={SECRET}", "https://host/a#***"),
        (
            f"url: /bucket/shards.json?sv=2020&sig={SECRET} (Caused by",
            "url: /bucket/shards.json?*** (Caused by",
        ),
        (
            f"403, message='Forbidden', url='https://{SECRET}@h/x'",
            "403, message='Forbidden', url='https://***@h/x'",
        ),
        (f"{{'Authorization': 'Basic {SECRET}'}}", "{'Authorization': 'Basic ***'}"),
        (f"Bearer {SECRET}", "Bearer ***"),
        (f'{{"aws_secret_access_key": "{SECRET}"}}', '{"aws_secret_access_key": "***"}'),
        (f"X-Amz-Security-Token={SECRET}&x=1", "X-Amz-Security-Token=***&x=1"),
        (f"sig%3D{SECRET} token={SECRET} password: {SECRET}", "sig%3D*** token=*** password: ***"),
        (f"two http://a:{SECRET}@h/x and\nhttp://b:{SECRET}@i/y", "two http://***@h/x and\nhttp://***@i/y"),
    ],
)
def test_secrets_go_and_places_stay(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(redact(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8080/path@2x/img.png",
        "see https://github.com/a/b, did you mean 'x'?",
        "policy=missing k=64 metric=top1 keyframe=8 --set KEY=VALUE",
        "torchvision:r3d_18 module:object xdc@kinetics400",
        "3 tokens: monkey=1 passed=5",
        "s3://bucket/key and file:///data/x",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@given(
    st.from_regex(r"[A-Za-z][A-Za-z0-9+/=%_.~-]{8,40}", fullmatch=True),
    st.sampled_from(["sig", "X-Amz-Signature", "x"]),
)
def test_no_secret_of_an_address_is_left(secret: str, name: str) -> None:
    for address in (f"https://user:{secret}@host/a", f"https://host/a?v=1&{name}={secret}"):
        for text in (address, f"error at {address}: no", f"plain {secret} alone"):
            assert secret not in redact(text, address).replace("***", "")


def test_values_are_found_outside_addresses() -> None:
    address = "https://AKIA:p%40ss%2Fword@host/a"
    text = "Invalid bucket name 'AKIA:p@ss/word@host', p%40ss%2Fword"
    assert redact(text, address) == "Invalid bucket name '***@host', ***"


def test_logs_and_their_tracebacks_hide_secrets() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(SafeFilter())
    log = logging.getLogger("of.someone.else")
    log.propagate = False
    log.addHandler(handler)
    try:
        try:
            raise OSError(f"http://u:{SECRET}@h/x")
        except OSError as error:
            raise ValueError("outer") from error
    except ValueError:
        log.exception("at %s of %d", f"http://u:{SECRET}@h/y", 3)
    text = stream.getvalue()
    assert SECRET not in text
    assert "at http://***@h/y of 3" in text
    assert "OSError: http://***@h/x" in text


def test_a_traceback_that_ends_the_process_hides_secrets() -> None:
    code = (
        "from xdcbench.cli import main as cli\n"
        f"def fails():\n    raise RuntimeError('http://u:' + '{SECRET}@h/x')\n"
        "cli.app = fails\ncli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RuntimeError: http://***@h/x" in done.stderr
    assert f"{SECRET}@h" not in done.stderr.splitlines()[-1]


# ------------------------------------------------------------------------------------------ a server


class Forbidding(ThreadingHTTPServer):
    """Files below a folder; what lies below ``forbidden`` is answered with ``status``."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder, self.forbidden, self.status = folder, "shards/", 403
        self.asked: list[tuple[str, str]] = []


class _Answer(BaseHTTPRequestHandler):
    server: Forbidding

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path))
        file = self.server.folder / path.lstrip("/")
        if self.server.forbidden in path or not file.is_file():
            self.send_error(self.server.status if self.server.forbidden in path else 404)
            return
        data = file.read_bytes()
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(span[1]), min(int(span[2]), len(data) - 1)) if span else (0, len(data) - 1)
        self.send_response(206 if span else 200)
        if span:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[first : last + 1])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forbidding]:
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Forbidding(tmp_path / "served") as served:
        thread = Thread(target=served.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [401, 403, 410])
def test_what_a_server_forbids_is_asked_for_once(server: Forbidding, status: int) -> None:
    server.status = status
    url = f"http://user:{SECRET}@127.0.0.1:{server.server_port}/store"
    remote = RemoteFiles(url, pause=0.01)
    with pytest.raises(UserError) as error:
        remote.read("shards/000000.tar", 0, 10)
    assert len(server.asked) == 1
    said = "is not there" if status == 410 else f"the server answers {status}"
    assert f"http://***@127.0.0.1:{server.server_port}/store/shards/000000.tar: {said}" in str(error.value)
    assert error.value.__cause__ is None, "nor in the traceback"
    if status == 410:
        assert not remote.has("shards/000000.tar")
    else:
        with pytest.raises(UserError, match=f"answers {status}"):
            remote.has("shards/000000.tar")


def test_what_is_not_there_may_come_back_but_is_looked_for_once(server: Forbidding) -> None:
    server.status = 404
    remote = RemoteFiles(f"http://127.0.0.1:{server.server_port}/store", pause=0.01, attempts=3)
    with pytest.raises(UserError, match="is not there after 3 attempts"):
        remote.read("shards/000000.tar", 0, 10)
    asked = len(server.asked)
    assert not remote.has("shards/000000.tar") and asked == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_a_server_cannot_do_now_is_asked_for_again(server: Forbidding, status: int) -> None:
    server.status = status
    remote = RemoteFiles(f"http://127.0.0.1:{server.server_port}/store", pause=0.01, attempts=3)
    with pytest.raises(UserError, match=rf"answers {status} .* after 3 attempts"):
        remote.read("shards/000000.tar", 0, 10)
    assert len(server.asked) == 3


SUITE = """
models: {base: reduced, audio: {width: 4}, video: {width: 4}}
evaluations: {audio_retrieval: {num_clips: 1, ks: [1], precision: fp32}}
pretraining: [{methods: [scratch]}]
evaluate: [{evaluation: audio_retrieval, dataset: esc50, splits: ["1"]}]
tables: [frozen_audio]
"""


def test_no_file_and_no_output_of_a_run_holds_the_password(server: Forbidding, tmp_path: Path) -> None:
    root, out = tmp_path / "files", tmp_path / "out"
    for file in files(World(classes=2, size=16, esc50_per_fold=1, seconds=0.5)):
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.make())
    write_dataset(server.folder / "esc50", root / "esc50", "esc50", load_dataset("esc50"))
    (tmp_path / "s.yaml").write_text(SUITE)
    url = f"http://user:{SECRET}@127.0.0.1:{server.server_port}/esc50"
    words = (
        "run",
        "--suite",
        "s.yaml",
        "--results",
        "out",
        "--shards",
        url,
        "--device",
        "cpu",
        "--num-workers",
        "1",
    )
    env = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "XDCBENCH_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "xdcbench", *words]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the server answers 403" in done.stdout
    assert f"http://***@127.0.0.1:{server.server_port}/esc50/shards/000000.tar" in done.stdout
    (attempt,) = (out / "runs" / ".failed").iterdir()
    shown = "\n".join([*run_lines(attempt.name, out), *write_report([out], None, out / "report")])
    assert "the server answers 403" in shown
    everything = {
        str(path): path.read_bytes()
        for path in (*out.rglob("*"), *(tmp_path / "cache").rglob("*"))
        if path.is_file()
    }
    assert any("error.txt" in name for name in everything)
    assert any("log.txt" in name for name in everything)
    assert any(
        b"the server answers 403" in content for name, content in everything.items() if "report" in name
    )
    everything |= {"terminal": (done.stdout + done.stderr + shown).encode()}
    assert [name for name, content in everything.items() if SECRET.encode() in content] == []


@pytest.mark.parametrize(
    "text",
    [
        f"AWS_SESSION_TOKEN={SECRET}",
        f"DefaultEndpointsProtocol=https;AccountName=me;AccountKey={SECRET};EndpointSuffix=core.windows.net",
        f"account_key='{SECRET}'",
        f"X-Api-Key: {SECRET}",
        f"my_db_password={SECRET}",
    ],
)
def test_names_of_secrets_are_known_with_what_stands_before_them(text: str) -> None:
    assert SECRET not in redact(text)


@pytest.mark.parametrize("key", ["AKIA" + "IOSFODNN7EXAMPLE", "ghp_" + "a1" * 18, "hf_" + "aB" * 17])
def test_keys_are_known_by_their_form(key: str) -> None:
    assert redact(f"The key {key} does not exist") == "The key *** does not exist"
