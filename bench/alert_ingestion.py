"""How fast alerts are taken in, side by side with pgbench doing the same transaction in the same database.

One worker of alert-ingestion and one of incident-management, a Postgres that
syncs every commit, and clients that wait for each answer. *Repeated* alerts
have one key (service and severity) and go into one incident; of *unique* ones
each has its own key, and opens an incident through incident-management.
"""

import asyncio
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

import database
from bench.figure import Figure
from bench.service_process import serving
from embedded.free_ports import free_port
from embedded.postgres import Server, running, wheel_binaries
from services.common.catalog import service

CLIENTS = (1, 8, 32)
ROUND_S = 4.0
ROUNDS = 3
SETTLE_S = 0.5
RATE = re.compile(r"tps = ([0-9.]+)")

_TRANSACTION = """\
\\set n random(1, 9000000000000000)
BEGIN;
INSERT INTO incident.correlation_slots (service, severity) VALUES ({key}, 'high')
ON CONFLICT (service, severity) DO UPDATE SET touched_at = now() RETURNING opening;
INSERT INTO incident.alerts (source, service, severity, message, labels, action, opening)
VALUES ('api', {key}, 'high', 'error ratio above 5 %', '{{"region": "eu-1"}}', 'new_incident',
'00000000-0000-0000-0000-000000000000');
COMMIT;
"""
_KEYS = {"repeated": "'bench'", "unique": "'bench-' || :n"}


@dataclass
class Round:
    """What clients saw in one round."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    incidents: dict[str, set[str]] = field(default_factory=dict)
    """The incidents that alerts of a key went into."""

    @property
    def rate(self) -> float:
        """Alerts stored and in their incident, a second."""
        return self.statuses[201] / self.seconds


def measure() -> list[Figure]:
    """Rounds of pgbench and of the service in turns, for each kind of key and number of clients."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="firedrill-alerts-") as folder:
        os.chmod(folder, 0o755)
        with running(Path(folder, "postgres"), durable=True) as server, _services(server) as (url, admin_url):
            for kind in _KEYS:
                for clients in CLIENTS:
                    figures += _compare(kind, clients, url=url, admin_url=admin_url)
    return figures


def _compare(kind: str, clients: int, *, url: str, admin_url: str) -> list[Figure]:
    theirs, ours = [], []
    for number in range(ROUNDS):
        theirs.append(_pgbench(kind, clients, admin_url=admin_url))
        _clear(admin_url)
        time.sleep(SETTLE_S)
        ours.append(asyncio.run(_send(kind, clients, url=url, number=number)))
        time.sleep(SETTLE_S)
    latencies = [one for round_ in ours for one in round_.latencies_ms]
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    rate, reference = statistics.median(r.rate for r in ours), statistics.median(theirs)
    failed = sum(count for r in ours for status, count in r.statuses.items() if status >= 500)
    other = sum(count for r in ours for status, count in r.statuses.items() if status not in (201,)) - failed
    most = max(len(found) for r in ours for found in r.incidents.values())
    print(
        f"  {kind} keys, {clients} clients: {rate:.0f}/s, pgbench {reference:.0f}/s,"
        f" ratio {rate / reference:.2f}; p50 {cuts[49]:.1f} p95 {cuts[94]:.1f} p99 {cuts[98]:.1f} ms;"
        f" {failed} 5xx, {other} other than 201;"
        f" at most {most} incident(s) a key"
    )
    if clients != max(CLIENTS):
        return []
    return [
        Figure(f"pgbench's rate to ours, {kind} keys, {clients} clients", reference / rate, 4, "times"),
        Figure(f"p99 of an alert, {kind} keys, {clients} clients", cuts[98], 60, "ms"),
        Figure(f"5xx, {kind} keys, {clients} clients", failed, 1, "answers"),
        Figure(f"incidents a key, {kind} keys, {clients} clients", most, 2, "incidents"),
    ]


def _pgbench(kind: str, clients: int, *, admin_url: str) -> float:
    """Transactions a second of pgbench, prepared statements, in the same tables."""
    url = make_url(admin_url)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_TRANSACTION.format(key=_KEYS[kind]))
        script.flush()
        ended = subprocess.run(
            [
                *(str(wheel_binaries() / "pgbench"), "--no-vacuum", "--protocol=prepared"),
                *(f"--client={clients}", "--jobs=1", f"--time={ROUND_S:.0f}", f"--file={script.name}"),
                *("-h", str(url.host), "-p", str(url.port), "-U", str(url.username), str(url.database)),
            ],
            env={**os.environ, "PGPASSWORD": str(url.password)},
            capture_output=True,
            text=True,
            check=True,
        )
    found = RATE.search(ended.stdout)
    assert found, ended.stdout
    return float(found[1])


def _clear(admin_url: str) -> None:
    """Take pgbench's alerts away: to the service they would be alerts that wait for an incident."""
    engine = create_engine(admin_url, poolclass=NullPool)
    with engine.begin() as db:
        db.execute(text("DELETE FROM incident.alerts WHERE opening = '00000000-0000-0000-0000-000000000000'"))


async def _send(kind: str, clients: int, *, url: str, number: int) -> Round:
    """One round of clients, each with a connection of its own."""
    target = make_url(url)
    result = Round()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for client in range(clients):
            prefix = "bench-ours" if kind == "repeated" else f"bench-{clients}-{number}-{client}"
            group.create_task(
                _client(
                    str(target.host), target.port or 0, prefix, started + ROUND_S, result, kind == "unique"
                )
            )
    result.seconds = time.perf_counter() - started
    return result


async def _client(host: str, port: int, key: str, ends_at: float, result: Round, is_unique: bool) -> None:
    """Send alerts until the round ends, as bytes: a client library must not be what is measured."""
    reader, writer = await asyncio.open_connection(host, port)
    sent = 0
    while (began := time.perf_counter()) < ends_at:
        name = f"{key}-{sent}" if is_unique else key
        writer.write(_request(name))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        result.latencies_ms.append((time.perf_counter() - began) * 1000)
        status = int(head[9:12])
        result.statuses[status] += 1
        if status == 201:
            result.incidents.setdefault(name, set()).add(json.loads(body)["incident_id"])
        sent += 1
    writer.close()
    await writer.wait_closed()


def _request(key: str) -> bytes:
    alert = {
        "service": key,
        "severity": "high",
        "message": "error ratio above 5 %",
        "labels": {"region": "eu-1"},
    }
    body = json.dumps(alert).encode()
    return (
        b"POST /api/v1/alerts HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body)
    )


@contextmanager
def _services(server: Server) -> Iterator[tuple[str, str]]:
    """alert-ingestion and incident-management, one worker each; the former's URL and the superuser's."""
    admin_url = server.create_database("bench")
    database.apply(admin_url, passwords={role: role for role in database.ROLES})
    platform = make_url(admin_url).set(username="platform", password="platform")
    ports = {name: free_port() for name in ("alert-ingestion", "incident-management")}
    environment = {
        "DATABASE_URL": platform.render_as_string(hide_password=False),
        # No limit to how long one incident takes alerts in: the rounds are long.
        "CORRELATION_WINDOW": "1h",
        **{
            f"{service(name).variable_prefix}_URL": f"http://127.0.0.1:{port}" for name, port in ports.items()
        },
    }
    with ExitStack() as stack:
        for name, port in ports.items():
            stack.enter_context(serving(name, port=port, environment=environment))
        yield f"http://127.0.0.1:{ports['alert-ingestion']}", admin_url
