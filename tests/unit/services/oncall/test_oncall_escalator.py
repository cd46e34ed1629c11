"""Whom an incident is given to when it was escalated, and which incidents are ours to give."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
import pytest

from services.oncall.escalator import Escalator
from services.oncall.schemas import Escalation

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


class Steps:
    """One step that was told and whose incident nobody has been given yet."""

    def __init__(self, incident_id: str, *, origin: Literal["automatic", "manual"] = "manual") -> None:
        self.settled: list[UUID] = []
        self.step = Escalation(
            id=uuid4(),
            incident_id=incident_id,
            level=1,
            team="payment",
            engineer="ada",
            channel="console",
            message="m",
            origin=origin,
            status="notified",
            delivery_id=None,
            created_at=NOON,
            settled_at=NOON,
        )

    def take_due(self, *_: object, **__: object) -> list[Escalation]:
        return []

    def pending(self) -> list[Escalation]:
        return []

    def pending_count(self) -> int:
        return 0

    def not_handed_over(self) -> list[Escalation]:
        return [] if self.settled else [self.step]

    def settle_handover(self, step: Escalation) -> None:
        self.settled.append(step.id)


class Incidents:
    """An incident-management without incidents; it answers as its routes do.

    ``acknowledged`` has every incident, and somebody works on each.
    """

    def __init__(self, *, acknowledged: bool = False) -> None:
        self.breaker = SimpleNamespace(enabled=False)
        self.changed: list[str] = []
        self.conditions: list[str] = []
        self._acknowledged = acknowledged

    async def call(self, method: str, path: str, **sent: Any) -> httpx.Response:
        request = httpx.Request(method, f"http://incidents.test{path}")
        if method == "GET":
            return httpx.Response(200, json={"items": []}, request=request)
        self.changed.append(request.url.path)
        self.conditions.append(sent["params"]["while_open"])
        is_incident = request.url.path.count("/") == 4
        missing = 409 if self._acknowledged else 404
        return httpx.Response(missing if is_incident else 405, request=request)

    async def aclose(self) -> None:
        """Nothing is open."""


def settled_within_a_moment(steps: Steps, incidents: Incidents) -> list[UUID]:
    escalator = Escalator(
        steps,  # type: ignore[arg-type]
        incidents=incidents,  # type: ignore[arg-type]
        notifications=Incidents(),  # type: ignore[arg-type]
        poll_s=0.01,
    )

    async def look() -> None:
        async with escalator.running():
            for _ in range(100):
                if steps.settled:
                    return
                await asyncio.sleep(0.01)

    asyncio.run(look())
    return steps.settled


@pytest.mark.parametrize("elsewhere", ["OPS-1", "team/7", "../../ops/settings", "7?page=true"])
def test_an_incident_that_is_kept_elsewhere_is_not_looked_for_under_its_name(elsewhere: str) -> None:
    steps, incidents = Steps(elsewhere), Incidents()

    settled = settled_within_a_moment(steps, incidents)

    assert settled == [steps.step.id]
    assert incidents.changed == []


def test_an_incident_of_ours_that_is_gone_is_asked_for_once() -> None:
    steps, incidents = Steps(str(uuid4())), Incidents()

    settled = settled_within_a_moment(steps, incidents)

    assert settled == [steps.step.id]
    assert incidents.changed == [f"/api/v1/incidents/{steps.step.incident_id}"]


@pytest.mark.parametrize(("origin", "condition"), [("automatic", "true"), ("manual", "false")])
def test_only_what_a_person_asked_for_takes_an_incident_from_whom_has_acknowledged_it(
    origin: Literal["automatic", "manual"], condition: str
) -> None:
    steps, incidents = Steps(str(uuid4()), origin=origin), Incidents(acknowledged=True)

    settled = settled_within_a_moment(steps, incidents)

    assert settled == [steps.step.id]
    assert incidents.conditions == [condition]
