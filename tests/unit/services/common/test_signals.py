"""Signals wait in a bounded queue, whoever is to take them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import httpx
import pytest
from prometheus_client import REGISTRY

from services.common import signals
from services.common.signals import SignalShipper

LINE = {"timestamp": "2026-11-21T10:00:00Z", "level": "info", "event": "till.opened"}


def dropped(service: str) -> float | None:
    return REGISTRY.get_sample_value("signals_dropped_total", {"service": service})


def ship(shipper: SignalShipper, answers: Callable[[httpx.Request], httpx.Response]) -> None:
    """Let it ship for as long as it has anything to do."""

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answers)) as client:
            await shipper.ship_all(client)

    asyncio.run(run())


def test_a_queue_that_is_full_takes_no_more_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "QUEUE_LIMIT", 10)
    shipper = SignalShipper("full", "http://receiver.test")

    for _ in range(13):
        shipper.observe(dict(LINE))

    assert dropped("full") == 3


@pytest.mark.parametrize(("status", "is_lost"), [(503, False), (429, False), (422, True), (200, False)])
def test_what_was_not_taken_is_sent_again_under_its_ids_unless_it_was_refused(
    status: int, is_lost: bool
) -> None:
    service = f"status-{status}"
    shipper = SignalShipper(service, "http://receiver.test")
    shipper.observe(dict(LINE))
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(status if len(bodies) == 1 else 200)

    ship(shipper, answer)
    ship(shipper, answer)

    assert dropped(service) == (1 if is_lost else 0)
    assert len(bodies) == (2 if status in (429, 503) else 1)
    assert len(set(bodies)) == 1


def test_a_receiver_that_is_away_keeps_the_signals_waiting_in_their_order() -> None:
    shipper = SignalShipper("away", "http://receiver.test")
    for number in range(signals.BATCH_SIZE + 1):
        shipper.observe({**LINE, "event": str(number)})
    taken: list[str] = []
    tried: list[int] = []

    def gone(request: httpx.Request) -> httpx.Response:
        tried.append(len(httpx.Response(200, content=request.content).json()))
        raise httpx.ConnectError("gone")

    def answer(request: httpx.Request) -> httpx.Response:
        taken.extend(one["message"] for one in httpx.Response(200, content=request.content).json())
        return httpx.Response(200)

    ship(shipper, gone)
    ship(shipper, gone)
    ship(shipper, answer)

    assert tried == [signals.BATCH_SIZE, signals.PROBE_SIZE]
    assert taken == [str(number) for number in range(signals.BATCH_SIZE + 1)]
    assert dropped("away") == 0


def live_and_end(
    shipper: SignalShipper,
    answers: Callable[[httpx.Request], Awaitable[httpx.Response]],
    *,
    monkeypatch: pytest.MonkeyPatch,
    until: asyncio.Event | None = None,
) -> float:
    """Let a service live until something has happened; how many seconds its end took."""
    client = partial(httpx.AsyncClient, transport=httpx.MockTransport(answers))  # type: ignore[arg-type]
    monkeypatch.setattr(signals.httpx, "AsyncClient", client)

    async def run() -> float:
        async with asyncio.timeout(10), shipper.running():
            if until:
                await until.wait()
            ended_at = time.monotonic()
        return time.monotonic() - ended_at

    return asyncio.run(run())


def test_what_waits_when_the_service_ends_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    shipper = SignalShipper("leaving", "http://receiver.test")
    shipper.observe({**LINE, "event": "service.restarting"})
    taken: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        taken.extend(one["message"] for one in httpx.Response(200, content=request.content).json())
        return httpx.Response(200)

    live_and_end(shipper, answer, monkeypatch=monkeypatch)

    assert taken == ["service.restarting"]


def test_a_batch_under_way_when_the_service_ends_is_sent_again_under_its_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signals, "SHIP_EVERY_S", 0.01)
    shipper = SignalShipper("cut-off", "http://receiver.test")
    shipper.observe(dict(LINE))
    bodies: list[bytes] = []
    under_way = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        under_way.set()
        if len(bodies) == 1:
            await asyncio.Event().wait()
        return httpx.Response(200)

    live_and_end(shipper, answer, monkeypatch=monkeypatch, until=under_way)

    assert len(bodies) == 2
    assert len(set(bodies)) == 1
    assert dropped("cut-off") == 0


def test_the_end_of_a_service_waits_for_no_receiver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    shipper = SignalShipper("hung-up", "http://receiver.test")
    shipper.observe(dict(LINE))

    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("it goes on")

    took_s = live_and_end(shipper, hang, monkeypatch=monkeypatch)

    assert took_s < 2
    assert dropped("hung-up") == 1
