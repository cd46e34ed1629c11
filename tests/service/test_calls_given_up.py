"""Calls that are given up in crowds must leave nothing behind that keeps later ones from getting through."""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from services.common import deadline
from services.common.client import Dependency
from services.common.errors import DeadlineExceeded


class _Late(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(random.uniform(0.02, 0.3))
        with suppress(ConnectionError):
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def late() -> Iterator[str]:
    """The URL of a server that takes its time."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Late)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


async def _played(url: str) -> tuple[int, int]:
    """How many calls were given up, and what the last one was answered."""
    called = Dependency("late", url, service="test")
    given_up = 0

    async def call(within_s: float) -> int:
        nonlocal given_up
        called.breaker.succeeded()
        deadline.start(None, default_s=10.0)
        try:
            return (await called.call("GET", "/", at_most_s=within_s)).status_code
        except DeadlineExceeded:
            given_up += 1
            return 0

    for number in range(12):
        async with asyncio.TaskGroup() as group:
            for _ in range(150):
                group.create_task(call(random.uniform(0.06, 0.25)))
            if number % 3 == 0:
                # A loop that is held up is what makes calls end in the middle of connecting.
                await asyncio.sleep(0.001)
                time.sleep(0.1)  # noqa: ASYNC251
    await asyncio.sleep(0.5)
    last = await call(2.0)
    await called.aclose()
    return given_up, last


def test_after_hundreds_of_calls_that_were_given_up_the_next_one_gets_through(late: str) -> None:
    given_up, last = asyncio.run(_played(late))

    assert given_up > 100
    assert last == 200
