"""How many alerts are let in at once, and how they share a transaction."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from starlette.types import Message

from services.alert_ingestion import app
from services.alert_ingestion.arrival import Arrival, KeyMisused, Opening, Stored
from services.alert_ingestion.correlation import title
from services.alert_ingestion.intake import BATCH_LIMIT, BODY_ROOM_BYTES, SMALL_BODY_BYTES, Intake
from services.alert_ingestion.settings import AlertSettings
from services.common import body_limit
from services.common.errors import TooManyRequests, Unavailable, Unprocessable

ALERT = Arrival(source="api", service="payment", severity="high", message="m", labels={}, occurred_at=None)
INCIDENT = uuid4()
MAX_BODY_BYTES = 2**20


class Notebook:
    """Stores alerts in a list: each batch as it came."""

    def __init__(self, outcome: Any = None) -> None:
        self.batches: list[int] = []
        self._outcome = outcome or Stored(uuid4(), INCIDENT, "new_incident", None)

    def record(self, batch: Sequence[Arrival]) -> list[Any]:
        self.batches.append(len(batch))
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return [self._outcome] * len(batch)


class Nobody:
    """No incident can be had."""

    async def incident_for(self, _opening: Opening) -> UUID | None:
        return None


def intake(notebook: Notebook, *, room: int = 10_000) -> Intake:
    return Intake(notebook, Nobody(), max_in_flight=room, max_body_bytes=MAX_BODY_BYTES)  # type: ignore[arg-type]


def test_there_is_room_for_so_many_and_again_when_they_are_answered() -> None:
    door = intake(Notebook(), room=2)

    with door.admission(), door.admission(), pytest.raises(TooManyRequests), door.admission():
        pass
    with door.admission(2), pytest.raises(TooManyRequests), door.admission():
        pass
    with door.admission():
        pass


def test_a_group_bigger_than_all_the_room_is_let_in_alone() -> None:
    door = intake(Notebook(), room=2)

    with door.admission(), pytest.raises(TooManyRequests), door.admission(5):
        pass
    with door.admission(5):
        pass


def test_room_is_given_back_when_a_request_fails() -> None:
    door = intake(Notebook(), room=1)

    with pytest.raises(ZeroDivisionError), door.admission():
        raise ZeroDivisionError
    with door.admission():
        pass


@pytest.mark.parametrize("announced", [MAX_BODY_BYTES, None])
def test_bodies_have_so_much_room_in_bytes_which_small_ones_do_not_need(announced: int | None) -> None:
    door = intake(Notebook())

    with ExitStack() as under_way:
        for _ in range(BODY_ROOM_BYTES // MAX_BODY_BYTES):
            under_way.enter_context(door.body(announced))
        with pytest.raises(TooManyRequests), door.body(SMALL_BODY_BYTES + 1):
            pass
        with door.body(SMALL_BODY_BYTES):
            pass
    with door.body(announced):
        pass


def test_a_body_bigger_than_all_the_room_is_let_in_alone() -> None:
    door = intake(Notebook())

    with door.body(10_000), pytest.raises(TooManyRequests), door.body(BODY_ROOM_BYTES + 1):
        pass
    with door.body(BODY_ROOM_BYTES + 1):
        pass


def test_a_body_that_does_not_come_gives_its_room_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "BODY_WAIT_S", 0.01)
    door = intake(Notebook(), room=1)

    async def nothing_comes() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    asked = SimpleNamespace(state=SimpleNamespace(intake=door))
    request = Request({"type": "http", "headers": [], "app": asked}, nothing_comes)

    with pytest.raises(body_limit.TooSlow) as refusal:
        asyncio.run(asyncio.wait_for(app.receive_alert(request), 1))

    assert refusal.value.status == 408
    with door.admission():
        pass


def test_alerts_that_come_together_share_a_transaction_up_to_a_limit() -> None:
    notebook = Notebook()

    async def take_many() -> list[Stored]:
        door = intake(notebook)
        async with door.running():
            return await asyncio.gather(*(door.take(ALERT) for _ in range(2 * BATCH_LIMIT + 1)))

    stored = asyncio.run(take_many())

    assert len(stored) == 2 * BATCH_LIMIT + 1
    assert notebook.batches == [BATCH_LIMIT, BATCH_LIMIT, 1]


def test_what_could_not_be_stored_is_unavailable_for_everybody_in_the_batch() -> None:
    fault = OperationalError("INSERT", {}, Exception("server closed the connection\nunexpectedly"))

    async def take_many() -> list[Any]:
        door = intake(Notebook(fault))
        async with door.running():
            return await asyncio.gather(*(door.take(ALERT) for _ in range(3)), return_exceptions=True)

    outcomes = asyncio.run(take_many())

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert "server closed the connection" in outcomes[0].detail
    assert "\n" not in outcomes[0].detail


def test_an_alert_whose_incident_cannot_be_had_is_stored_without_one() -> None:
    opening = Opening(uuid4(), "payment", "high", "m")
    notebook = Notebook(Stored(uuid4(), None, "new_incident", opening))

    async def take() -> Stored:
        door = intake(notebook)
        async with door.running():
            return await door.take(ALERT)

    assert asyncio.run(take()).incident_id is None


def test_a_misused_key_is_unprocessable() -> None:
    async def take() -> Stored:
        door = intake(Notebook(KeyMisused()))
        async with door.running():
            return await door.take(ALERT)

    with pytest.raises(Unprocessable):
        asyncio.run(take())


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("error ratio\nsince noon", "error ratio"),
        ("  tab\there ", "tab here"),
        ("x" * 300, "x" * 200),
        ("\n \n", "alert"),
        ("\x7f", " "),
    ],
)
def test_a_title_is_one_line_that_can_be_shown(message: str, expected: str) -> None:
    assert title(message) == expected


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", 300), ("5m", 300), ("90s", 90), ("1h", 3600), ("500ms", 0.5), ("0.5", 0.5)]
)
def test_the_window_is_given_in_seconds_or_with_a_unit(text: str, seconds: float) -> None:
    assert AlertSettings(correlation_window=text).correlation_window == seconds  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["0", "-1", "5 minutes", "soon", "m", ""])
def test_a_window_that_is_none_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="correlation_window"):
        AlertSettings(correlation_window=text)  # type: ignore[arg-type]
