"""What telemetry takes in on one core, and what a receiver that is stopped costs those who ship to it."""

import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx
import psutil
from sqlalchemy.engine import make_url

import database
from bench.figure import Figure
from bench.service_process import serving
from embedded.free_ports import free_port
from embedded.postgres import running
from services.common.catalog import service

CORE = 0
CLIENTS = 8
INGEST_S = 8.0
ROUNDS = 4
ROUND_S = 12.0
SETTLE_S = 4.0
READS_A_SECOND = 60
NEEDED_RATE = 500


@dataclass(frozen=True)
class Running:
    """One service as a process."""

    process: BaseProcess
    url: str

    @property
    def handle(self) -> psutil.Process:
        return psutil.Process(self.process.pid)


def measure() -> list[Figure]:
    """Ingestion first, then rounds with the receiver running and stopped in turns."""
    with tempfile.TemporaryDirectory(prefix="firedrill-telemetry-") as folder:
        os.chmod(folder, 0o755)
        with running(Path(folder, "postgres"), durable=True) as server:
            admin_url = server.create_database("bench")
            database.apply(admin_url, passwords={role: role for role in database.ROLES})
            port = free_port()
            ship_to = f"http://127.0.0.1:{port}"
            shipping = {
                "SENTRY_DSN": f"http://lab@127.0.0.1:{port}/1",
                "OTEL_EXPORTER_OTLP_ENDPOINT": ship_to,
                "PRODSENTINEL_URL": ship_to,
                "TELEMETRY_URL": ship_to,
            }
            with (
                _service("telemetry", admin_url, shipping, port=port) as telemetry,
                _service("profile", admin_url, shipping) as profile,
            ):
                return [*_ingestion(telemetry), *_stopped_receiver(telemetry, profile)]


def _ingestion(telemetry: Running) -> list[Figure]:
    """Signals a second, the receiver on one core of its own, Postgres on whichever."""
    telemetry.handle.cpu_affinity([CORE])
    figures = []
    for size in (1, 50):
        before_s = _cpu_s(telemetry)
        sent, took_s = asyncio.run(_send_signals(telemetry.url, size=size))
        used_us = (_cpu_s(telemetry) - before_s) / sent * 1e6
        print(f"  signals, {size} a request: {sent / took_s:.0f}/s, {used_us:.0f} µs of CPU each")
        name = f"time for {NEEDED_RATE} signals on one core, {size} a request"
        figures.append(Figure(name, took_s / sent * NEEDED_RATE, 1, "s"))
    telemetry.handle.cpu_affinity([])
    return figures


def _cpu_s(one: Running) -> float:
    used = one.handle.cpu_times()
    return used.user + used.system


async def _send_signals(url: str, *, size: int) -> tuple[int, float]:
    """Clients that wait for each answer; how many signals were stored, in how many seconds."""
    sent = 0
    started = time.perf_counter()

    async def send(client: httpx.AsyncClient) -> None:
        nonlocal sent
        while time.perf_counter() - started < INGEST_S:
            batch = [_signal() for _ in range(size)]
            answer = await client.post("/ingest/logs", content=json.dumps(batch))
            sent += answer.raise_for_status().json()["stored"]

    async with _client(url) as client, asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(send(client))
    return sent, time.perf_counter() - started


def _client(url: str) -> httpx.AsyncClient:
    # A connection that was idle for as long as the server keeps one, may be gone when it is used.
    limits = httpx.Limits(keepalive_expiry=2)
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=10, limits=limits)


def _signal() -> dict[str, object]:
    return {
        "signal_id": str(uuid.uuid4()),
        "trace_id": uuid.uuid4().hex,
        "service_name": "bench",
        "timestamp": datetime.now(UTC).isoformat(),
        "level": "INFO",
        "message": "request.finished",
        "attributes": {
            "method": "GET",
            "route": "/api/users/profile/{user_id}",
            "status": 200,
            "latency_ms": 3.1,
        },
    }


def _stopped_receiver(telemetry: Running, profile: Running) -> list[Figure]:
    """p99 of a cached read of the profile service, which ships everything, as a ratio."""

    def stop(is_stopped: bool) -> None:
        telemetry.handle.send_signal(signal.SIGSTOP if is_stopped else signal.SIGCONT)

    well, away = reads_without_receiver(stop, profile.url, rounds=ROUNDS, round_s=ROUND_S, settle_s=SETTLE_S)
    print(
        f"  p99 of a read: receiver well {p99(well):.2f} ms, stopped {p99(away):.2f} ms;"
        f" p50 {statistics.median(well):.2f} and {statistics.median(away):.2f} ms"
    )
    return [Figure("p99 of a read, receiver stopped to running", p99(away) / p99(well), 1.2, "times")]


def reads_without_receiver(
    take_away: Callable[[bool], None], url: str, *, rounds: int, round_s: float, settle_s: float
) -> tuple[list[float], list[float]]:
    """Cached reads of the profile service at ``url``, in ms: with its receiver of telemetry, and without.

    ``take_away(True)`` takes the receiver away, ``take_away(False)`` brings it back. Rounds of both take
    turns, so that what else the machine does falls on both.
    """
    latencies_ms: dict[bool, list[float]] = {False: [], True: []}
    asyncio.run(_read(url, for_s=settle_s))
    for _ in range(rounds):
        for is_away in (False, True):
            try:
                if is_away:
                    take_away(True)
                # Until what the round before has left behind is shipped, or the queues begin to fill.
                asyncio.run(_read(url, for_s=settle_s))
                latencies_ms[is_away] += asyncio.run(_read(url, for_s=round_s))
            finally:
                if is_away:
                    take_away(False)
    return latencies_ms[False], latencies_ms[True]


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[98]


async def _read(url: str, *, for_s: float) -> list[float]:
    """Reads that do not wait for each other's answers; how long each took, in ms."""
    latencies_ms: list[float] = []

    async def read(client: httpx.AsyncClient, number: int) -> None:
        began = time.perf_counter()
        (await client.get(f"/api/users/profile/{number % 10 + 1}")).raise_for_status()
        latencies_ms.append((time.perf_counter() - began) * 1000)

    async with _client(url) as client:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(for_s * READS_A_SECOND)):
                due_s = started + number / READS_A_SECOND
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                group.create_task(read(client, number))
    return latencies_ms


@contextmanager
def _service(
    name: str, admin_url: str, environment: dict[str, str], *, port: int | None = None
) -> Iterator[Running]:
    port = port or free_port()
    role = service(name).role
    url = make_url(admin_url).set(username=role, password=role).render_as_string(hide_password=False)
    with serving(name, port=port, environment={**environment, "DATABASE_URL": url}) as process:
        yield Running(process, f"http://127.0.0.1:{port}")
