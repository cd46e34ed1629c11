"""The escalator: takes the steps that are due, has them told, and gives the incident to who was told.

What it has done is in Postgres. A step's id is its idempotency key at the
notification service, so neither a restart nor a second process tells anybody
twice.
"""

from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import httpx
import structlog
from anyio import to_thread
from pydantic import BaseModel, ValidationError

from services.common.client import Dependency
from services.common.errors import ServiceError, UpstreamFailed
from services.common.poller import Poller
from services.oncall.escalations import Escalations
from services.oncall.metrics import escalations as escalations_total
from services.oncall.metrics import escalations_pending
from services.oncall.rota import Clock, utc_now
from services.oncall.schemas import Escalation, IncidentPage, IncidentState, NotifyReceipt, OpenIncident

log = structlog.get_logger()

NAME = "oncall-service"
CALL_TIMEOUT_S = 3.0
PAGE_SIZE = 200

M = TypeVar("M", bound=BaseModel)


class Escalator:
    """Escalates while it runs; looks every ``poll_s`` seconds, and when woken."""

    def __init__(
        self,
        escalations: Escalations,
        *,
        incidents: Dependency,
        notifications: Dependency,
        poll_s: float,
        clock: Clock = utc_now,
    ) -> None:
        self._escalations = escalations
        self._incidents = incidents
        self._notifications = notifications
        for dependency in (incidents, notifications):
            # Many steps may wait: they shall not each wait for one that hangs.
            dependency.breaker.enabled = True
        self._clock = clock
        self._seen: dict[UUID, datetime] = {}
        self._looking = Poller("escalation", self._look, every_s=poll_s)

    def wake(self) -> None:
        """Look at once; may be called from any thread."""
        self._looking.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Escalate while the block lasts."""
        try:
            async with self._looking.running():
                yield
        finally:
            await self._incidents.aclose()
            await self._notifications.aclose()

    async def _look(self) -> None:
        unacknowledged = await self._take_due()
        await self._tell_pending(unacknowledged)
        await self._hand_over_pending()
        escalations_pending.set(await to_thread.run_sync(self._escalations.pending_count))

    async def _take_due(self) -> Set[str]:
        """Take what is due; the ids of the incidents that wait for somebody, none when they cannot be had."""
        try:
            incidents = await self._unacknowledged()
        except ServiceError as error:
            log.warning("escalation.incidents_unknown", error=error.detail)
            return frozenset()
        now = self._clock()
        self._seen = seen = {one.id: self._seen.get(one.id, now) for one in incidents}
        for step in await to_thread.run_sync(
            lambda: self._escalations.take_due(incidents, seen=seen, now=now)
        ):
            escalations_total.labels(step.origin).inc()
            log.warning("incident.escalated", **_named(step))
        return {str(incident.id) for incident in incidents}

    async def _unacknowledged(self) -> list[OpenIncident]:
        found: list[OpenIncident] = []
        offset: int | None = 0
        while offset is not None:
            params = {"status": "open", "severity": "critical", "limit": PAGE_SIZE, "offset": offset}
            answer = await self._incidents.call(
                "GET", "/api/v1/incidents", at_most_s=CALL_TIMEOUT_S, params=params
            )
            page = _read(answer, IncidentPage, status=200)
            found += page.items
            offset = page.next_offset
        return found

    async def _tell_pending(self, unacknowledged: Set[str]) -> None:
        for step in await to_thread.run_sync(self._escalations.pending):
            try:
                if await self._is_wanted(step, unacknowledged):
                    await self._tell(step)
                else:
                    await self._cancel(step)
            except ServiceError as error:
                # One that is refused must not keep the others back.
                log.warning("escalation.untold", **_named(step), error=error.detail)

    async def _is_wanted(self, step: Escalation, unacknowledged: Set[str]) -> bool:
        if step.origin == "manual" or step.incident_id in unacknowledged:
            return True
        return await self._is_unacknowledged(step.incident_id)

    async def _cancel(self, step: Escalation) -> None:
        if await to_thread.run_sync(lambda: self._escalations.settle(step.id, status="cancelled")):
            log.info("escalation.cancelled", **_named(step))

    async def _is_unacknowledged(self, incident_id: str) -> bool:
        """Whether an incident is still critical and unacknowledged; one that is not known needs nobody."""
        answer = await self._incidents.call(
            "GET", f"/api/v1/incidents/{incident_id}", at_most_s=CALL_TIMEOUT_S
        )
        if answer.status_code == 404:
            return False
        state = _read(answer, IncidentState, status=200)
        return (state.status, state.severity) == ("open", "critical")

    async def _tell(self, step: Escalation) -> None:
        answer = await self._notifications.call(
            "POST",
            "/api/v1/notify",
            at_most_s=CALL_TIMEOUT_S,
            json={
                "incident_id": step.incident_id,
                "channel": step.channel,
                "recipient": step.engineer,
                "message": step.message,
            },
            headers={"Idempotency-Key": str(step.id)},
        )
        delivery_id = _read(answer, NotifyReceipt, status=202).delivery_id
        if await to_thread.run_sync(
            lambda: self._escalations.settle(step.id, status="notified", delivery_id=delivery_id)
        ):
            log.info("escalation.notified", **_named(step), delivery_id=str(delivery_id))

    async def _hand_over_pending(self) -> None:
        """Give each incident to whom its latest step told of it."""
        for step in await to_thread.run_sync(self._escalations.not_handed_over):
            try:
                await self._hand_over(step)
            except ServiceError as error:
                log.warning("escalation.not_handed_over", **_named(step), error=error.detail)
                continue
            await to_thread.run_sync(self._escalations.settle_handover, step)

    async def _hand_over(self, step: Escalation) -> None:
        if not _is_ours(step.incident_id):
            log.info("escalation.not_assigned", **_named(step))
            return
        answer = await self._incidents.call(
            "PATCH",
            f"/api/v1/incidents/{step.incident_id}",
            at_most_s=CALL_TIMEOUT_S,
            # They have been told by the step itself. Who has acknowledged meanwhile keeps the incident.
            params={"page": "false", "while_open": str(step.origin != "manual").lower()},
            json={"assigned_to": step.engineer},
            headers={"X-Actor": NAME},
        )
        if answer.status_code in (404, 409, 422):
            log.info("escalation.not_assigned", **_named(step), status=answer.status_code)
            return
        _read(answer, IncidentState, status=200)
        log.info("escalation.assigned", **_named(step))


def _read(answer: httpx.Response, model: type[M], *, status: int) -> M:
    """The body as a model; raises ``UpstreamFailed`` for another status, or a body that is not as agreed."""
    if answer.status_code != status:
        raise UpstreamFailed(f"{answer.url.path}: status {answer.status_code}")
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        raise UpstreamFailed(f"{answer.url.path}: {error.error_count()} fields are not as agreed") from error


def _is_ours(incident_id: str) -> bool:
    """Whether it may be incident-management's: a person may escalate what is kept elsewhere, by any name."""
    try:
        UUID(incident_id)
    except ValueError:
        return False
    return True


def _named(step: Escalation) -> dict[str, object]:
    return {
        "incident_id": step.incident_id,
        "level": step.level,
        "engineer": step.engineer,
        "team": step.team,
    }
