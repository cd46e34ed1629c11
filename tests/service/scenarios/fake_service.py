"""A service with admin routes over real HTTP, and a clock on which it goes down and comes back."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TextIO

from scenarios.admin import Client, ServiceAdmin
from scenarios.event_log import event_log
from scenarios.records import PhaseRecords
from scenarios.schedule import Schedule

BREAK = "/admin/failure-mode/combined?resume=false"
BREAK_AGAIN = "/admin/failure-mode/combined?resume=true"
RESTORE = "/admin/baseline"
"""What ``incident-b`` asks of its service."""

Call = tuple[float, str]


class Timeline:
    """A clock that moves when somebody sleeps, and what happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def at(self, when_s: float, happens: Callable[[], None]) -> None:
        self._due.append((when_s, happens))
        self._due.sort(key=lambda one: one[0])

    def time(self) -> float:
        return self.now

    def sleep(self, duration_s: float) -> None:
        until = self.now + duration_s
        while self._due and self._due[0][0] <= until:
            self.now, happens = self._due.pop(0)
            happens()
        self.now = until


class FakeService:
    """A service with the admin routes. A restart loses its mode, but not what the mode did to the world."""

    def __init__(self, timeline: Timeline) -> None:
        self.mode = "none"
        self.world_is_broken = False
        self.calls: list[Call] = []
        self.status = 200
        self._timeline = timeline
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer({"service": "fake", "failure_mode": service.mode})

            def do_POST(self) -> None:
                service.calls.append((service._timeline.now, self.path))
                if service.status < 300:
                    service.change(self.path)
                self.answer({"service": "fake", "failure_mode": service.mode, "previous": "none"})

            def answer(self, body: dict[str, str]) -> None:
                content = json.dumps(body).encode()
                self.send_response(service.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Nobody reads a log of a fake."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.mode = "none"

    def restart(self) -> None:
        self.stop()
        self.start()

    def refuse(self) -> None:
        self.status = 503

    def accept(self) -> None:
        self.status = 200

    def change(self, path: str) -> None:
        if path == RESTORE:
            self.mode, self.world_is_broken = "none", False
            return
        mode, _, resume = path.removeprefix("/admin/failure-mode/").partition("?resume=")
        self.mode = mode
        self.world_is_broken = self.world_is_broken or resume == "false"


@contextmanager
def schedule_over(
    service: FakeService,
    timeline: Timeline,
    *,
    log: TextIO,
    examiner_url: str | None = None,
    seed: int = 1,
    blind: bool = False,
) -> Iterator[Schedule]:
    """A schedule on this clock, to which one service is the whole shop; phases go to ``examiner_url``."""
    lines = event_log(blind=blind, stream=log)
    with Client(token=None) as client:
        admin = ServiceAdmin(service.url, client=client)
        yield Schedule(
            admins={"profile": admin, "gateway": admin},
            records=PhaseRecords(examiner_url, seed=seed, log=lines, clock=timeline.time),
            log=lines,
            clock=timeline.time,
            sleep=timeline.sleep,
        )
