"""Object storage on this machine: a file system of fsspec that fails at will, and an S3 server that does."""

import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fsspec.asyn import AsyncFileSystem

STALL = 30.0
"""Seconds of a stalled answer, longer than any test waits for one."""

TROUBLE: deque[str] = deque()
"""What goes wrong with the next answers of `Shaky`, one each: fail, stall, cut; empty: nothing."""

ASKED: list[tuple[str, int, int]] = []
"""Ranges that `Shaky` was asked for in this process: path, first byte, end."""


class Shaky(AsyncFileSystem):
    """Local files as an asynchronous system of fsspec, in whose thread it answers."""

    protocol = "shaky"
    cachable = False

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"size": Path(path).stat().st_size}

    async def _cat_file(self, path: str, start: int, end: int, **_: Any) -> bytes:
        import asyncio

        ASKED.append((path, start, end))
        trouble = TROUBLE.popleft() if TROUBLE else ""
        if trouble == "fail":
            raise OSError("503 slow down")
        if trouble == "stall":
            await asyncio.sleep(STALL)
        with Path(path).open("rb") as file:
            file.seek(start)
            data = file.read(end - start)
        return data[:-1] if trouble == "cut" else data


@contextmanager
def s3(folder: Path) -> Iterator["S3"]:
    """A server of the files below ``folder`` as the bucket ``store``, path style, as S3 answers."""
    server = S3(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class S3(ThreadingHTTPServer):
    """GET with Range and HEAD; whatever else is asked for is refused and counted.

    Attributes:
        trouble: what goes wrong with the next answers of GET: fail, stall, cut.
        asked: method, path and range of every request.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder = folder
        self.trouble: deque[str] = deque()
        self.asked: list[tuple[str, str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are no news."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def _answer(self, *, body: bool) -> None:
        path, _, query = self.path.partition("?")
        span = self.headers.get("Range", "")
        self.server.asked.append((self.command, path + query, span))
        file = self.server.folder / path.removeprefix("/store").strip("/")
        trouble = self.server.trouble.popleft() if body and self.server.trouble else ""
        if trouble == "fail":
            return self._error(503, "SlowDown", body)
        if not path.startswith("/store/") or not file.is_file():
            return self._error(404, "NoSuchKey", body)
        if trouble == "stall":
            time.sleep(STALL)
        data = file.read_bytes()
        self.send_response(206 if span else 200)
        if found := re.fullmatch(r"bytes=(\d+)-(\d+)", span):
            first, last = int(found[1]), min(int(found[2]), len(data) - 1)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            data = data[first : last + 1]
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) // 2] if trouble == "cut" else data)
        if trouble == "cut":
            self.close_connection = True

    def _error(self, code: int, name: str, body: bool) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{name}</Code><Message>{name}</Message></Error>".encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text) if body else 0))
        self.end_headers()
        if body:
            self.wfile.write(text)
