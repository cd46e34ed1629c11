"""Locust, run as the lab runs it, against a gateway that does what each test needs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedded.free_ports import free_port

ROOT = Path(__file__).resolve().parents[3]
GENERATOR = ROOT / "traffic-generator"
LOCUST = [sys.executable, "-m", "locust", "--config", str(GENERATOR / "locust.conf")]
QUICKLY = ("--users", "100")
"""As many lanes as Locust starts at once; enough for a gateway that answers."""


@dataclass(frozen=True)
class Arrival:
    at_s: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class FakeGateway:
    """Answers as a healthy shop would, unless ``statuses`` says otherwise; notes what arrives and when."""

    port: int
    hang: threading.Event | None = None
    """Answers come only once this is set."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Status by ``METHOD path``."""
    arrivals: list[Arrival] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status(self, arrival: Arrival) -> int:
        if arrival.path.startswith("/api/users/profile/") and int(arrival.path.rpartition("/")[2]) > 1000:
            return 404
        if isinstance(arrival.body, dict) and arrival.body.get("amount") == "900.00":
            return 402
        return self.statuses.get(f"{arrival.method} {arrival.path}", 200)


class PatientServer(ThreadingHTTPServer):
    request_queue_size = 512
    block_on_close = False


@contextmanager
def serving(gateway: FakeGateway) -> Iterator[FakeGateway]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            at_s = time.monotonic()
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if self.path == "/health":
                self.send_status(200)
                return
            arrival = Arrival(at_s, self.command, self.path, dict(self.headers), body)
            gateway.arrivals.append(arrival)
            if gateway.hang:
                gateway.hang.wait()
            self.send_status(gateway.status(arrival))

        def send_status(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Nobody reads a log of a fake."""

    server = PatientServer(("127.0.0.1", gateway.port), Handler)
    gateway.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield gateway
    finally:
        if gateway.hang:
            gateway.hang.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with serving(FakeGateway(port=0)) as fake:
        yield fake


@contextmanager
def locust(*arguments: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Locust process for the length of a block; standard output goes to ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*LOCUST, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **environment},
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            finally:
                process.kill()
                process.wait()


def wait_for(condition: Callable[[], bool], *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def page(port: int) -> tuple[str, ...]:
    return ("--web-host", "127.0.0.1", "--web-port", str(port))


def load(gateway_url: str, port: int) -> tuple[str, ...]:
    return ("-f", str(GENERATOR / "locustfile.py"), "--host", gateway_url, *page(port))


def answers(port: int, path: str) -> Any:
    return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).json()


def journal_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def journal_of_a_run(gateway: FakeGateway, directory: Path, *, name: str, seed: int) -> list[str]:
    gateway.arrivals.clear()
    journal = directory / f"{name}.jsonl"
    with locust(
        *load(gateway.url, free_port()),
        *QUICKLY,
        log=directory / f"{name}.log",
        TRAFFIC_SEED=str(seed),
        TRAFFIC_RATE="60",
        TRAFFIC_JOURNAL=str(journal),
    ):
        wait_for(lambda: len(gateway.arrivals) >= 150, within_s=15)
    return journal_lines(journal)


def keys(arrivals: list[Arrival]) -> set[str]:
    return {value for one in arrivals for name, value in one.headers.items() if name == "Idempotency-Key"}


def test_two_runs_with_one_seed_send_the_same_requests_in_the_same_order(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    first = journal_of_a_run(gateway, tmp_path, name="first", seed=11)
    first_keys = keys(gateway.arrivals)
    second = journal_of_a_run(gateway, tmp_path, name="second", seed=11)
    second_keys = keys(gateway.arrivals)

    common = min(len(first), len(second))
    assert common >= 150
    assert first[:common] == second[:common]
    assert len(first_keys) > 20
    assert first_keys.isdisjoint(second_keys)


def test_what_is_sent_is_what_the_journal_says(gateway: FakeGateway, tmp_path: Path) -> None:
    journal = [json.loads(line) for line in journal_of_a_run(gateway, tmp_path, name="run", seed=12)]

    sent = sorted(f"{one.method} {one.path} {json.dumps(one.body)}" for one in gateway.arrivals)
    written = [f"{one['method']} {one['path']} {json.dumps(one['body'])}" for one in journal]
    assert [one["n"] for one in journal] == list(range(len(journal)))
    assert sent == sorted(written[: len(sent)])
    assert all(one.headers["Connection"] == "close" for one in gateway.arrivals)


def test_arrivals_keep_their_rate_while_no_answer_comes(tmp_path: Path) -> None:
    with (
        serving(FakeGateway(port=0, hang=threading.Event())) as hanging,
        locust(
            *load(hanging.url, free_port()),
            *("--users", "400", "--spawn-rate", "400"),
            log=tmp_path / "log",
            TRAFFIC_RATE="40",
        ),
    ):
        wait_for(lambda: len(hanging.arrivals) > 200, within_s=20)
        taken_s = hanging.arrivals[200].at_s - hanging.arrivals[0].at_s

    assert 200 / taken_s == pytest.approx(40, rel=0.05)


def test_a_lane_that_is_missing_is_counted_and_nothing_stops(tmp_path: Path) -> None:
    port = free_port()
    with (
        serving(FakeGateway(port=0, hang=threading.Event())) as hanging,
        locust(*load(hanging.url, port), "--users", "5", log=tmp_path / "log", TRAFFIC_RATE="200") as process,
    ):
        wait_for(lambda: len(hanging.arrivals) == 5, within_s=10)
        wait_for(lambda: answers(port, "/summary")["dropped"] > 20, within_s=10)

        assert process.poll() is None
    assert "traffic.dropping" in (tmp_path / "log").read_text()


def test_only_what_the_deck_does_not_intend_is_a_failure(gateway: FakeGateway, tmp_path: Path) -> None:
    port = free_port()
    gateway.statuses["POST /api/refund"] = 503
    with locust(*load(gateway.url, port), *QUICKLY, log=tmp_path / "log", TRAFFIC_RATE="60"):
        wait_for(lambda: len(gateway.arrivals) >= 120, within_s=15)
        summary = answers(port, "/summary")
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text

    shown = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("traffic_"))
    assert float(shown["traffic_planned_requests_per_second"]) == 60
    assert float(shown["traffic_dealt_total"]) >= summary["dealt"] >= 120
    assert float(shown['traffic_answered_total{result="failed"}']) >= summary["failed"]
    assert float(shown["traffic_unsent_total"]) == 0

    failing = {name for name, route in summary["routes"].items() if route["failures"]}
    assert failing == {"POST /api/refund"}
    assert summary["routes"]["POST /api/refund"]["failures"] == summary["failed"] > 0
    assert set(summary["routes"]) == {
        "GET /api/users/profile/{id}",
        "GET /api/transactions",
        "GET /api/transactions/{id}",
        "GET /api/customers/{id}",
        "GET /api/accounts/{id}/balance",
        "GET /api/payment-methods/{id}",
        "GET /api/stats",
        "POST /api/payment",
        "POST /api/refund",
        "POST /api/customers",
        "POST /api/webhooks/payment-gateway",
    }


def test_a_generator_that_is_started_before_the_shop_waits_for_it(tmp_path: Path) -> None:
    port, gateway_port, profile_port = free_port(), free_port(), free_port()
    gateway_url, profile_url = f"http://127.0.0.1:{gateway_port}", f"http://127.0.0.1:{profile_port}"
    environment = {"TRAFFIC_RATE": "60", "PROFILE_URL": profile_url}
    with locust(*load(gateway_url, port), *QUICKLY, log=tmp_path / "log", **environment):
        wait_for(lambda: is_up(port), within_s=10)
        with serving(FakeGateway(port=gateway_port)) as gateway:
            time.sleep(0.5)
            dealt_before = answers(port, "/summary")["dealt"]
            with serving(FakeGateway(port=profile_port)):
                wait_for(lambda: len(gateway.arrivals) >= 100, within_s=10)
                summary = answers(port, "/summary")

    assert dealt_before == 0
    assert summary["failed"] == 0


def test_a_gateway_that_goes_down_is_failed_requests_and_no_stop(tmp_path: Path) -> None:
    port, gateway_port = free_port(), free_port()
    gateway_url = f"http://127.0.0.1:{gateway_port}"
    with locust(*load(gateway_url, port), *QUICKLY, log=tmp_path / "log", TRAFFIC_RATE="60") as process:
        with serving(FakeGateway(port=gateway_port)) as before:
            wait_for(lambda: len(before.arrivals) >= 30, within_s=10)
        wait_for(lambda: answers(port, "/summary")["failed"] >= 30, within_s=10)
        with serving(FakeGateway(port=gateway_port)) as after:
            wait_for(lambda: len(after.arrivals) >= 30, within_s=10)

        assert process.poll() is None


def test_a_gateway_that_stays_away_is_failed_requests_after_a_while(tmp_path: Path) -> None:
    port = free_port()
    gateway_url = f"http://127.0.0.1:{free_port()}"
    with locust(*load(gateway_url, port), *QUICKLY, log=tmp_path / "log", TRAFFIC_RATE="60"):
        wait_for(lambda: is_up(port), within_s=10)
        wait_for(lambda: answers(port, "/summary")["failed"] >= 30, within_s=20)

    assert "traffic.shop_absent" in (tmp_path / "log").read_text()


def is_up(port: int) -> bool:
    try:
        return bool(answers(port, "/health")["status"] == "ok")
    except httpx.TransportError:
        return False


def test_the_page_works_and_a_terminated_generator_ends_at_once_with_a_summary(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    port = free_port()
    with locust(*load(gateway.url, port), *QUICKLY, log=tmp_path / "log", TRAFFIC_RATE="60") as process:
        wait_for(lambda: len(gateway.arrivals) >= 30, within_s=10)
        front = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
        statistics = answers(port, "/stats/requests")
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=2)

    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    summary = [line for line in lines if line["event"] == "traffic.summary"]
    assert front.status_code == 200
    assert "Locust" in front.text
    assert statistics["state"] == "running"
    assert status == 0
    assert {line["service"] for line in lines} == {"traffic-generator"}
    assert all({"timestamp", "level", "event"} <= set(line) for line in lines)
    assert len(lines) < 20
    assert summary[-1]["dealt"] >= 30


def test_a_test_stopped_and_started_on_the_page_deals_from_the_first_card_again(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    port, journal = free_port(), tmp_path / "journal"
    environment = {"TRAFFIC_RATE": "60", "TRAFFIC_JOURNAL": str(journal)}
    with locust(*load(gateway.url, port), *QUICKLY, log=tmp_path / "log", **environment):
        wait_for(lambda: len(gateway.arrivals) >= 30, within_s=10)
        httpx.post(f"http://127.0.0.1:{port}/stop", trust_env=False).raise_for_status()
        gateway.arrivals.clear()
        httpx.post(
            f"http://127.0.0.1:{port}/swarm", data={"user_count": "50", "spawn_rate": "50"}, trust_env=False
        )
        wait_for(lambda: len(gateway.arrivals) >= 30, within_s=10)

    first, second = journal_lines(tmp_path / "journal.1"), journal_lines(journal)
    common = min(len(first), len(second))
    assert common >= 30
    assert first[:common] == second[:common]


def test_two_workers_share_the_deck_and_one_takes_all_when_the_other_leaves(tmp_path: Path) -> None:
    port, master_port, journal = free_port(), free_port(), tmp_path / "journal"
    file = tmp_path / "locustfile_with_own_gateway.py"
    file.write_text("import os\nfrom locustfile import *\nLane.host = os.environ['LANE_HOST']\n")
    common = {"TRAFFIC_RATE": "60", "PYTHONPATH": str(GENERATOR), "TRAFFIC_JOURNAL": str(journal)}
    master = (
        "-f",
        str(file),
        "--master",
        "--master-bind-port",
        str(master_port),
        "--expect-workers",
        "2",
        *QUICKLY,
    )
    worker = ("-f", str(file), "--worker", "--master-port", str(master_port))
    with (
        serving(FakeGateway(port=0)) as one,
        serving(FakeGateway(port=0)) as two,
        locust(*master, *page(port), log=tmp_path / "m", LANE_HOST=one.url, **common),
        locust(*worker, log=tmp_path / "w1", LANE_HOST=one.url, **common),
        locust(*worker, log=tmp_path / "w2", LANE_HOST=two.url, **common) as leaving,
    ):
        wait_for(lambda: len(one.arrivals) + len(two.arrivals) >= 150, within_s=30)
        shares = len(one.arrivals), len(two.arrivals)
        sent_by_both = [*one.arrivals, *two.arrivals]
        leaving.send_signal(signal.SIGTERM)
        leaving.wait(timeout=5)
        so_far = len(one.arrivals)
        wait_for(lambda: len(one.arrivals) > so_far + 100, within_s=10)
        taken_s = one.arrivals[-1].at_s - one.arrivals[so_far].at_s
        rate = (len(one.arrivals) - 1 - so_far) / taken_s

    written = [json.loads(line) for line in journal_lines(journal)]
    sent = sorted(f"{one.method} {one.path} {json.dumps(one.body)}" for one in sent_by_both)
    dealt = [f"{one['method']} {one['path']} {json.dumps(one['body'])}" for one in written]
    assert shares[0] == pytest.approx(shares[1], abs=10)
    assert sent == sorted(dealt[: len(sent)])
    assert rate == pytest.approx(60, rel=0.25)


def test_a_setting_that_cannot_be_used_ends_it_with_the_variables_name(tmp_path: Path) -> None:
    with locust(
        *load("http://127.0.0.1:1", free_port()), log=tmp_path / "log", TRAFFIC_RATE="fast"
    ) as process:
        status = process.wait(timeout=10)

    assert status != 0
    assert "TRAFFIC_RATE='fast'" in (tmp_path / "log").read_text()
