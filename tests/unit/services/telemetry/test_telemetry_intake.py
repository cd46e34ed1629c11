"""Requests that are stored together do not share each other's fate."""

import asyncio
import gzip
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi import Request
from sqlalchemy.exc import DataError, OperationalError

from services.common import body_limit
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


def request(body: bytes | None = b"", **headers: str) -> Request:
    """One with this body; ``None`` is one that never comes."""

    async def receive() -> dict[str, Any]:
        if body is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body, "more_body": False}

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


MAX_BODY_BYTES = 10_000


def take_big_ones(*asked: Request) -> list[object]:
    """What becomes of requests that come at once; and of one that comes when they are done."""

    async def run() -> list[object]:
        intake = Intake(FakeStore(), max_in_flight=100, max_body_bytes=MAX_BODY_BYTES)

        async def take(one: Request) -> object:
            return await intake.take(one, door="test", parse=lambda _: (None, good()))

        async with intake.running():
            together = await asyncio.gather(*[take(one) for one in asked], return_exceptions=True)
            return [*together, await take(request(content_length=str(MAX_BODY_BYTES)))]

    return asyncio.run(run())


@pytest.mark.parametrize("headers", [{"content_length": "10000"}, {"transfer_encoding": "chunked"}])
def test_of_the_biggest_bodies_only_some_are_read_at_the_same_time(headers: dict[str, str]) -> None:
    *together, later = take_big_ones(*[request(**headers) for _ in range(6)])

    assert [type(one) for one in together] == [tuple] * 2 + [TooManyRequests] * 4
    assert later == (None, 1)


def test_of_bodies_that_decompress_to_big_ones_only_some_are_parsed_at_the_same_time() -> None:
    body = gzip.compress(bytes(MAX_BODY_BYTES))
    headers = {"content_length": str(len(body)), "content_encoding": "gzip"}

    *together, later = take_big_ones(*[request(body, **headers) for _ in range(6)])

    assert sorted(type(one).__name__ for one in together) == ["TooManyRequests"] * 4 + ["tuple"] * 2
    assert later == (None, 1)


def test_a_body_that_does_not_come_gives_its_room_up_and_small_ones_need_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body_limit, "BODY_WAIT_S", 0.05)
    silent = [request(None, content_length=str(MAX_BODY_BYTES)) for _ in range(2)]

    *slow, small, later = take_big_ones(*silent, request(content_length="100"))

    assert [type(one) for one in slow] == [body_limit.TooSlow] * 2
    assert small == later == (None, 1)


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_to_store_asks_no_database(count: int) -> None:
    store = FakeStore()

    assert take_at_once(store, *[Arrivals() for _ in range(count)]) == [(None, 0)] * count
    assert store.batches == []
