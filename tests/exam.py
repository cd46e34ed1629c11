"""The exam's two sides, as the tests use its API."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

EXAMINER = {"Authorization": "Bearer examiner-token-of-tests"}
TOKEN = {"EXAMINER_TOKEN": "examiner-token-of-tests"}


@dataclass(frozen=True)
class Exam:
    """The exam at ``url``, and the run that a test goes through."""

    url: str

    def ask(self, method: str, path: str, *, token: str | None = None, **request: Any) -> httpx.Response:
        """Any request, by default as the examiner."""
        headers = EXAMINER if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.request(
            method, f"{self.url}/api/v1{path}", headers=headers, timeout=30, trust_env=False, **request
        )

    def create(self, scenario: str, **more: Any) -> "Sitting":
        """A new run that is not started."""
        wanted = {"scenario": scenario, "candidate": "ana", "open": True, "soak_s": 1, "minutes": 5, **more}
        run = self.ask("POST", "/runs", json=wanted).raise_for_status().json()
        return Sitting(self, run["id"], run["token"])

    def begin(self, scenario: str, **more: Any) -> "Sitting":
        """A new run whose clock goes."""
        sitting = self.create(scenario, **more)
        assert sitting.steer("start").status_code == 200
        sitting.wait_until(lambda run: run["state"] != "waiting")
        return sitting


@dataclass(frozen=True)
class Sitting:
    """One run, from both sides."""

    exam: Exam
    id: str
    token: str

    def run(self) -> dict[str, Any]:
        return dict(self.exam.ask("GET", f"/runs/{self.id}").raise_for_status().json())

    def read(self, what: str) -> Any:
        return self.exam.ask("GET", f"/runs/{self.id}/{what}").raise_for_status().json()

    def steer(self, verb: str, **body: Any) -> httpx.Response:
        return self.exam.ask("POST", f"/runs/{self.id}/{verb}", json=body or None)

    def my(self, method: str, path: str, **body: Any) -> httpx.Response:
        """A request of the candidate."""
        return self.exam.ask(method, f"/my/{path}", token=self.token, json=body or None)

    def kinds(self) -> list[str]:
        """What has happened so far."""
        return [event["kind"] for event in self.read("timeline")["events"]]

    def wait_until(
        self, holds: Callable[[dict[str, Any]], object], *, within_s: float = 60.0
    ) -> dict[str, Any]:
        """The run as soon as this holds of it."""
        ends_at = time.monotonic() + within_s
        while not holds(run := self.run()):
            assert time.monotonic() < ends_at, run
            time.sleep(0.1)
        return run


@contextmanager
def quiet_surroundings() -> Iterator[str]:
    """The base URL of what stands in for Prometheus and the load: nothing fires, no series, the load runs."""
    said = {
        "/api/v1/alerts": json.dumps({"data": {"alerts": []}}),
        "/api/v1/rules": json.dumps({"data": {"groups": []}}),
        "/api/v1/query": json.dumps({"data": {"result": []}}),
        "/api/v1/query_range": json.dumps({"data": {"result": []}}),
        "/metrics": "traffic_planned_requests_per_second 8\n",
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = said[self.path.partition("?")[0]].encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
