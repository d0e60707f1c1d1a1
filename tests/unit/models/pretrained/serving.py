"""A server of one file on this machine, honest or not, that notes what it was asked for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Server:
    """What is served, and how.

    Attributes:
        content: the file.
        url: where it is; another name of the same server is not found.
        cut: bytes after which the connection ends, though more were promised; None sends all.
        ranges: whether it resumes from where it is asked to.
        promised: whether the length is sent ahead.
        delay: seconds before an answer.
        length: what is said of the length instead of the truth; None says the truth.
        status: of a refusal; 0 serves.
        location: where it leads to instead of serving.
        drip: seconds between single bytes; 0 sends all at once.
        head: whether the drip begins with the first line of the answer.
        asked: the `Range` of each request, empty without one.
    """

    content: bytes
    url: str = ""
    cut: int | None = None
    ranges: bool = True
    promised: bool = True
    delay: float = 0.0
    length: str | None = None
    status: int = 0
    location: str = ""
    drip: float = 0.0
    head: bool = False
    asked: list[str] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Send what is asked for."""
        asked = request.headers.get("Range", "")
        self.asked.append(asked)
        time.sleep(self.delay)
        if not self.url.endswith(request.path):
            request.send_error(404)
            return
        if self.head:
            self.dripped(request, b"HTTP/1.0 200 OK\r\n\r\n")
            return
        if self.location:
            request.send_response(302)
            request.send_header("Location", self.location)
            request.end_headers()
            return
        if self.status:
            request.send_error(self.status)
            return
        begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        if begin and begin >= len(self.content):
            request.send_error(416)
            return
        rest = self.content[begin:]
        request.send_response(206 if begin else 200)
        if self.promised:
            request.send_header("Content-Length", str(len(rest)) if self.length is None else self.length)
        request.end_headers()
        if self.drip:
            self.dripped(request, rest)
            return
        request.wfile.write(rest[: self.cut])

    def dripped(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        """Send byte by byte, until nobody listens."""
        with suppress(OSError):
            for number in content:
                request.wfile.write(bytes([number]))
                time.sleep(self.drip)


@contextmanager
def serving(content: bytes, name: str) -> Iterator[Server]:
    """Serve ``content`` as ``name`` on a free port of 127.0.0.1."""
    state = Server(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}/{name}"
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join()
