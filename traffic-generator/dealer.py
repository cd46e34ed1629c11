"""The dealer: walks the deck by the clock and hands each request to a process that has lanes."""

# gevent has no type information, and Locust's hooks are partly untyped.
# mypy: disable-error-code="import-untyped"

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import gevent
from arrivals import send_on_time
from deck import Deal, deal
from journal import Journal
from locust.runners import LocalRunner, MasterRunner
from traffic_settings import TrafficSettings

log = logging.getLogger("traffic.dealer")

SHOP_AWAITED_S = 10.0
"""How long the first deal waits for a shop that is not up yet."""
_AWAIT_POLL_S = 0.2

DEAL = "deal"
"""The type of Locust's message that carries a dealt request."""


@dataclass
class Tally:
    """What Locust's own statistics do not say, counted since the start of the test."""

    dealt: int = 0
    late: int = 0
    """Started more than ``LATE_AFTER_S`` after its instant."""
    dropped: int = 0
    """Never sent: no lane was free and too many waited already."""
    undelivered: int = 0
    """Never sent: no worker was there to take it."""

    def take_from(self, other: "Tally") -> None:
        """Become a copy of ``other``."""
        vars(self).update(vars(replace(other)))


@dataclass(frozen=True)
class Counts:
    """How much was planned and done since the start of the test. Requests, except for ``planned_per_s``."""

    planned_per_s: float
    dealt: int
    late: int
    unsent: int
    answered: int
    failed: int


class Dealer:
    """Deals while a test runs. Lives in the process where the test is started."""

    def __init__(self, runner: LocalRunner | MasterRunner, settings: TrafficSettings, tally: Tally) -> None:
        self._runner = runner
        self._settings = settings
        self._tally = tally
        self._greenlet: gevent.Greenlet | None = None
        self._started: float | None = None
        self._nonce = ""

    @property
    def dealing(self) -> bool:
        return self._greenlet is not None and not self._greenlet.dead

    def start(self) -> None:
        """Deal from the first card, with idempotency keys of this run, once the shop is up."""
        self._nonce = uuid.uuid4().hex
        self._started = None
        self._greenlet = gevent.spawn(self._deal)

    def stop(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill()

    def counts(self) -> Counts:
        """What the metrics show."""
        total, tally = self._runner.stats.total, self._tally
        return Counts(
            planned_per_s=self._settings.rate_per_s if self.dealing else 0.0,
            dealt=tally.dealt,
            late=tally.late,
            unsent=tally.dropped + tally.undelivered,
            answered=total.num_requests,
            failed=total.num_failures,
        )

    def summary(self) -> dict[str, object]:
        """The tally, and the requests, failures and latencies of each route, since the start."""
        total = self._runner.stats.total
        return {
            "seed": self._settings.seed,
            "rate_per_s": self._settings.rate_per_s,
            "running_s": round(time.monotonic() - self._started, 1) if self._started else 0.0,
            **asdict(self._tally),
            "answered": total.num_requests,
            "failed": total.num_failures,
            "routes": {
                f"{entry.method} {entry.name}": {
                    "requests": entry.num_requests,
                    "failures": entry.num_failures,
                    "p50_ms": entry.get_response_time_percentile(0.5),
                    "p95_ms": entry.get_response_time_percentile(0.95),
                }
                for entry in self._runner.stats.entries.values()
            },
        }

    def _deal(self) -> None:
        # Else the first requests of a lab that is starting fail, and its first minute looks like an incident.
        gateway = self._runner.environment.host
        _await([gateway.rstrip("/"), *self._settings.shop] if gateway else self._settings.shop)
        self._started = time.monotonic()
        settings = self._settings
        log.info("traffic.started", extra={"seed": settings.seed, "rate_per_s": settings.rate_per_s})
        with _journal(self._settings.journal) as record:

            def send(dealt: Deal) -> None:
                record(dealt)
                self._tally.dealt += 1
                self._send(dealt)

            send_on_time(
                deal(self._settings.seed, rate_per_s=self._settings.rate_per_s),
                send=send,
                late=self._count_late,
                clock=time.monotonic,
                sleep=gevent.sleep,
            )

    def _count_late(self) -> None:
        self._tally.late += 1

    def _send(self, dealt: Deal) -> None:
        process = self._next_process(dealt.n)
        if process is None:
            if self._tally.undelivered == 0:
                log.warning("traffic.no_worker")
            self._tally.undelivered += 1
            return
        self._runner.send_message(DEAL, self._message(dealt), process)

    def _next_process(self, n: int) -> str | None:
        """Which process takes request ``n``: the live ones in turn; ``None`` if none is live."""
        if isinstance(self._runner, LocalRunner):
            return "local"
        workers = self._runner.clients
        # Just after the start a worker with lanes may not have said yet that it has spawned them all.
        live = sorted(worker.id for worker in workers.running + workers.spawning)
        return live[n % len(live)] if live else None

    def _message(self, dealt: Deal) -> dict[str, Any]:
        request = dealt.request
        return {
            "method": request.method,
            "path": request.path,
            "route": request.route,
            "body": request.body,
            "expects": list(request.expects),
            "idempotency_key": f"{self._nonce}-{dealt.n}" if request.once else None,
        }


def _await(urls: Sequence[str]) -> None:
    """Return when all are healthy, or after ``SHOP_AWAITED_S``: then their absence is a fact."""
    deadline = time.monotonic() + SHOP_AWAITED_S
    missing = list(urls)
    while missing := [url for url in missing if not _is_healthy(url)]:
        if time.monotonic() > deadline:
            log.warning("traffic.shop_absent", extra={"missing": missing, "waited_s": SHOP_AWAITED_S})
            return
        gevent.sleep(_AWAIT_POLL_S)


def _is_healthy(url: str) -> bool:
    # Without a proxy, like the lanes: the environment's is not for this machine.
    opener = build_opener(ProxyHandler({}))
    try:
        opener.open(f"{url}/health", timeout=1.0).close()
    except (OSError, HTTPException):
        return False
    return True


@contextmanager
def _journal(path: Path | None) -> Iterator[Callable[[Deal], None]]:
    """Where dealt requests are recorded: the journal at ``path``, or nowhere."""
    if path is None:
        yield lambda _deal: None
        return
    with Journal(path) as journal:
        yield journal.record
