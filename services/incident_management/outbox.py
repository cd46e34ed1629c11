"""What is asked of on-call and notification, outside any request's fate.

An incident is opened together with a row of the outbox. A row is taken by
moving ``due_at`` a lease ahead (``FOR UPDATE SKIP LOCKED``, so that replicas
share the work), and is done when its answer is written down. If a service is
away the row is due again later, so a page may go out twice but never not at
all; the row's id is the page's ``Idempotency-Key``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import Literal
from uuid import UUID

import structlog
from anyio import to_thread
from sqlalchemy import Float, cast, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from services.common.client import Dependency
from services.common.database import Database
from services.common.errors import DeadlineExceeded, Unavailable, UpstreamFailed
from services.incident_management.settings import IncidentSettings
from services.incident_management.store import assign, queue_page
from services.incident_management.tables import incidents, outbox, timeline

log = structlog.get_logger()

Kind = Literal["assignment", "page"]

EVERY_S = 0.25
BATCH = 20
CALL_TIMEOUT_S = 2.0
LEASE = timedelta(seconds=15)
FIRST_RETRY_S = 0.5
RETRY_AT_MOST_S = 5.0
ONCALL = "oncall-service"
NOTIFICATION = "notification-service"


class _Refused(Exception):
    """The service has answered, and asking again would not help."""


@dataclass(frozen=True)
class Due:
    """A row of the outbox that is ours for the time of the lease, with what it needs to know."""

    id: UUID
    incident_id: UUID
    recipient: str
    attempts: int
    waited_s: float
    title: str
    service: str
    severity: str
    status: str


class Outbox:
    """Works off the outbox: finds out who is on call, and has them paged."""

    def __init__(
        self,
        database: Database,
        *,
        oncall: Dependency,
        notification: Dependency,
        settings: IncidentSettings,
    ) -> None:
        self._database = database
        self._oncall = oncall
        self._notification = notification
        self._settings = settings

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the block lasts; on-call's absence holds no page up, nor the other way round."""
        tasks = [
            asyncio.create_task(self._keep("assignment", self._assign_all)),
            asyncio.create_task(self._keep("page", self._page_all)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._oncall.aclose()
            await self._notification.aclose()

    async def _keep(self, kind: Kind, work: Callable[[list[Due]], Awaitable[None]]) -> None:
        while True:
            taken = 0
            try:
                due = await to_thread.run_sync(self._take, kind)
                taken = len(due)
                await work(due)
            except SQLAlchemyError as error:
                log.warning("outbox.postponed", kind=kind, error=str(error).partition("\n")[0])
            if taken < BATCH:
                await asyncio.sleep(EVERY_S)

    # Who is on call

    async def _assign_all(self, due: list[Due]) -> None:
        due.sort(key=lambda one: one.service)
        for team, rows in groupby(due, key=lambda one: one.service):
            await self._assign(team, list(rows))

    async def _assign(self, team: str, rows: list[Due]) -> None:
        try:
            engineer = await self._on_call(team)
        except (Unavailable, DeadlineExceeded, UpstreamFailed) as error:
            log.warning("oncall.unreachable", team=team, incidents=len(rows), error=error.detail)
            await to_thread.run_sync(self._postpone_assignments, rows)
            return
        except _Refused as refusal:
            log.warning("oncall.nobody", team=team, answer=str(refusal))
            engineer = None
        await to_thread.run_sync(partial(self._settle_assignments, rows, engineer=engineer))

    async def _on_call(self, team: str) -> str:
        answer = await self._oncall.call(
            "GET", "/api/v1/oncall/current", at_most_s=CALL_TIMEOUT_S, params={"team": team}
        )
        found = _accepted(answer.status_code, answer.text)
        engineer = answer.json().get("engineer") if found else None
        if not isinstance(engineer, str) or not engineer:
            raise _Refused(answer.text[:200])
        return engineer[:200]

    def _settle_assignments(self, rows: Sequence[Due], *, engineer: str | None) -> None:
        with self._database.transaction() as db:
            for row in rows:
                if engineer is not None:
                    assign(db, row.incident_id, engineer=engineer, actor=ONCALL)
                elif row.status != "resolved":
                    queue_page(db, row.incident_id, recipient=row.service)
            db.execute(
                update(outbox).where(outbox.c.id.in_([row.id for row in rows])).values(done_at=func.now())
            )

    def _postpone_assignments(self, rows: Sequence[Due]) -> None:
        with self._database.transaction() as db:
            for row in rows:
                if row.waited_s >= self._settings.page_anyway_after_s and row.status != "resolved":
                    queue_page(db, row.incident_id, recipient=row.service)
        self._postpone(rows)

    # Pages

    async def _page_all(self, due: list[Due]) -> None:
        await asyncio.gather(*(self._page(row) for row in due))

    async def _page(self, row: Due) -> None:
        if row.status == "resolved":
            await to_thread.run_sync(partial(self._settle_page, row, what="page_dropped"))
            return
        try:
            await self._notify(row)
        except (Unavailable, DeadlineExceeded, UpstreamFailed) as error:
            log.warning("notification.unreachable", incident_id=row.incident_id, error=error.detail)
            await to_thread.run_sync(self._postpone, [row])
            return
        except _Refused as refusal:
            log.error("notification.refused", incident_id=row.incident_id, answer=str(refusal))
            await to_thread.run_sync(partial(self._settle_page, row, what="page_refused"))
            return
        await to_thread.run_sync(partial(self._settle_page, row, what="paged"))

    async def _notify(self, row: Due) -> None:
        answer = await self._notification.call(
            "POST",
            "/api/v1/notify",
            at_most_s=CALL_TIMEOUT_S,
            json={
                "incident_id": str(row.incident_id),
                "channel": self._settings.page_channel,
                "recipient": row.recipient,
                "message": f"[{row.severity.upper()}] {row.service}: {row.title}",
            },
            headers={"Idempotency-Key": str(row.id)},
        )
        _accepted(answer.status_code, answer.text)

    def _settle_page(self, row: Due, *, what: str) -> None:
        with self._database.transaction() as db:
            first = db.execute(
                update(outbox)
                .where(outbox.c.id == row.id, outbox.c.done_at.is_(None))
                .values(done_at=func.now())
            )
            if first.rowcount == 1:
                entry = {"actor": NOTIFICATION, "what": what, "to_value": row.recipient}
                db.execute(insert(timeline).values(incident_id=row.incident_id, **entry))

    # Rows

    def _take(self, kind: Kind) -> list[Due]:
        o = outbox.c
        free = (
            select(o.id)
            .where(o.kind == kind, o.done_at.is_(None), o.due_at <= func.now())
            .order_by(o.due_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        take = (
            update(outbox)
            .where(o.id.in_(free), incidents.c.id == o.incident_id)
            .values(due_at=func.now() + LEASE, attempts=o.attempts + 1)
            .returning(
                *(o.id, o.incident_id, o.recipient, o.attempts),
                cast(func.extract("epoch", func.now() - o.created_at), Float).label("waited_s"),
                *(incidents.c.title, incidents.c.service, incidents.c.severity, incidents.c.status),
            )
        )
        with self._database.transaction() as db:
            return [Due(**row) for row in db.execute(take).mappings()]

    def _postpone(self, rows: Sequence[Due]) -> None:
        with self._database.transaction() as db:
            for row in rows:
                wait = timedelta(seconds=retry_after_s(row.attempts))
                db.execute(update(outbox).where(outbox.c.id == row.id).values(due_at=func.now() + wait))


def retry_after_s(attempts: int) -> float:
    """How long to wait after so many attempts: half a second, doubled each time, five at most."""
    return min(FIRST_RETRY_S * 2.0 ** min(attempts - 1, 10), RETRY_AT_MOST_S)


def _accepted(status: int, text: str) -> bool:
    """True for 2xx. Raises ``UpstreamFailed`` for what may go well later, ``_Refused`` for what will not."""
    if status in (408, 425, 429) or status >= 500:
        raise UpstreamFailed(f"status {status}")
    if not 200 <= status < 300:
        raise _Refused(f"status {status}: {text[:200]}")
    return True
