"""What the monitoring's tests share: something to scrape, and something to post to."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import pytest

Subject = TypeVar("Subject")


@dataclass
class Exporter:
    """Exposes ``body`` under ``/metrics``, with ``status``; or what ``script`` gives for each scrape."""

    url: str
    body: str = ""
    status: int = 200
    scrapes: int = 0
    script: Callable[[int], tuple[int, str]] | None = None


@dataclass
class Receiver:
    """Takes posts; answers them with ``statuses`` one after the other, then with 200."""

    url: str
    statuses: list[int] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    """Every post, also those that were not accepted."""
    posted_at_s: list[float] = field(default_factory=list)
    """When each of them came, by a monotonic clock."""
    headers: dict[str, str] = field(default_factory=dict)
    accepted: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    """A small exporter on a free port."""
    with exporting() as exporter:
        yield exporter


@contextmanager
def exporting() -> Iterator[Exporter]:
    """A small exporter on a free port, for the length of a block."""
    with _served(_Metrics, Exporter, port=0) as exporter:
        yield exporter


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A small webhook receiver on a free port."""
    with receiving() as receiver:
        yield receiver


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A small webhook receiver on a port, for the length of a block."""
    with _served(_Webhook, Receiver, port=port) as receiver:
        yield receiver


@contextmanager
def _served(
    handler: type[BaseHTTPRequestHandler], subject: Callable[[str], Subject], *, port: int
) -> Iterator[Subject]:
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    served = subject(f"http://127.0.0.1:{server.server_address[1]}")
    server.subject = served  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        exporter: Exporter = self.server.subject  # type: ignore[attr-defined]
        status, body = exporter.status, exporter.body
        if exporter.script is not None:
            status, body = exporter.script(exporter.scrapes)
        exporter.scrapes += 1
        self.send_response(status)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Webhook(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Whoever takes alerts is scraped as well."""
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        receiver: Receiver = self.server.subject  # type: ignore[attr-defined]
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        receiver.posts.append(message)
        receiver.posted_at_s.append(time.monotonic())
        status = receiver.statuses.pop(0) if receiver.statuses else 200
        if status < 300:
            receiver.accepted.append(message)
        self.send_response(status)
        for name, value in receiver.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
