"""Requests that are stored together do not share each other's fate."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi import Request
from sqlalchemy.exc import DataError, OperationalError

from services.common.errors import TooManyRequests, Unavailable
from services.telemetry.intake import Intake
from services.telemetry.records import Arrivals, Signal
from services.telemetry.schemas import SignalIn
from services.telemetry.store import Store

SIGNAL = SignalIn.model_validate(
    {
        "signal_id": "9ec79c33-ec99-42ab-8353-589fcb2e04dc",
        "timestamp": "2026-11-21T10:00:00Z",
        "service_name": "till",
        "level": "INFO",
        "message": "till.opened",
    }
).signal()


class FakeStore(Store):
    """Stores what is not poison, in batches that it remembers."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.batches: list[int] = []
        self.is_away = is_away

    def add(self, batch: Sequence[Arrivals]) -> list[int]:
        self.batches.append(len(batch))
        if self.is_away:
            raise OperationalError("INSERT", {}, Exception("connection refused"))
        if any(one.seen for one in batch):
            raise DataError("INSERT", {}, Exception("unsupported Unicode escape sequence"))
        return [1] * len(batch)


def request(**headers: str) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def take_at_once(store: Store, *arrivals: Arrivals) -> list[object]:
    async def run() -> list[object]:
        intake = Intake(store, max_in_flight=100, max_body_bytes=100)
        async with intake.running():
            asked = [request(content_length="0") for _ in arrivals]
            taking = [
                intake.take(one, door="test", parse=lambda _, a=a: (None, a))
                for one, a in zip(asked, arrivals, strict=True)
            ]
            return await asyncio.gather(*taking, return_exceptions=True)

    return asyncio.run(run())


def good(signal: Signal = SIGNAL) -> Arrivals:
    return Arrivals(signals=[signal])


def test_requests_that_come_together_share_a_commit() -> None:
    store = FakeStore()

    results = take_at_once(store, *[good() for _ in range(20)])

    assert results == [(None, 1)] * 20
    assert sum(store.batches) == 20
    assert len(store.batches) <= 3


def test_what_the_database_does_not_take_fails_its_own_request_only() -> None:
    poison = Arrivals(signals=[SIGNAL], seen={"signal": 1})

    results = take_at_once(FakeStore(), good(), poison, good())

    assert (results[0], results[2]) == ((None, 1), (None, 1))
    assert isinstance(results[1], DataError)


def test_a_database_that_is_away_is_asked_once_for_all_of_them() -> None:
    store = FakeStore(is_away=True)

    results = take_at_once(store, *[good() for _ in range(20)])

    assert all(isinstance(one, Unavailable) for one in results)
    assert len(store.batches) <= 3


@pytest.mark.parametrize("headers", [{"content_length": "100"}, {"transfer_encoding": "chunked"}])
def test_of_the_biggest_bodies_only_some_are_read_at_the_same_time(headers: dict[str, str]) -> None:
    async def run() -> tuple[list[object], object]:
        intake = Intake(FakeStore(), max_in_flight=100, max_body_bytes=100)

        async def take() -> object:
            return await intake.take(request(**headers), door="test", parse=lambda _: (None, good()))

        async with intake.running():
            together = await asyncio.gather(*[take() for _ in range(6)], return_exceptions=True)
            return together, await take()

    together, later = asyncio.run(run())

    assert [type(one) for one in together] == [tuple] * 4 + [TooManyRequests] * 2
    assert later == (None, 1)


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_to_store_asks_no_database(count: int) -> None:
    store = FakeStore()

    assert take_at_once(store, *[Arrivals() for _ in range(count)]) == [(None, 0)] * count
    assert store.batches == []
