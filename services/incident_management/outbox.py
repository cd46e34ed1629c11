"""What is asked of on-call and notification, outside any request's fate.

An incident is opened together with a row of the outbox. A row is taken by
moving ``due_at`` a lease ahead (``FOR UPDATE SKIP LOCKED``, so that replicas
share the work), and is done when its answer is written down. If a service is
away the row is due again later, so a page may go out twice but never not at
all; the ``Idempotency-Key`` of a page is of its row and of what it says.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Literal
from uuid import UUID, uuid5

import httpx
import structlog
from anyio import to_thread
from sqlalchemy import Connection, Float, cast, func, insert, select, update

from services.common.client import Dependency
from services.common.database import Database
from services.common.errors import DeadlineExceeded, Unavailable, UpstreamFailed
from services.common.poller import Poller
from services.incident_management.settings import IncidentSettings
from services.incident_management.store import PAGING, assign, queue_page
from services.incident_management.tables import incidents, outbox, timeline

log = structlog.get_logger()

Kind = Literal["assignment", "page"]

EVERY_S = 0.25
AWAY_S = 0.5
BATCH = 20
CALL_TIMEOUT_S = 2.0
LEASE = timedelta(seconds=15)
FIRST_RETRY_S = 0.5
RETRY_AT_MOST_S = 5.0
NAME_LENGTH = 200
ONCALL = "oncall-service"
NOTIFICATION = "notification-service"


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
        self._assigning = self._poller("assignment", self._assign_all)
        self._paging = self._poller("page", self._page_all)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the block lasts; on-call's absence holds no page up, nor the other way round."""
        try:
            async with self._assigning.running(), self._paging.running():
                yield
        finally:
            await self._oncall.aclose()
            await self._notification.aclose()

    def _poller(self, kind: Kind, work: Callable[[list[Due]], Awaitable[bool]]) -> Poller:
        async def take_and_work() -> None:
            due = await to_thread.run_sync(self._take, kind)
            if not await work(due):
                await asyncio.sleep(AWAY_S)
            elif len(due) == BATCH:
                poller.wake()

        poller = Poller(f"outbox.{kind}", take_and_work, every_s=EVERY_S)
        return poller

    # Who is on call

    async def _assign_all(self, due: list[Due]) -> bool:
        """Ask once for each team; false when on-call is away, with what is left put off."""
        teams: dict[str, list[Due]] = {}
        for one in due:
            teams.setdefault(one.service, []).append(one)
        for team in list(teams):
            try:
                engineer = await self._on_call(team)
            except (Unavailable, DeadlineExceeded, UpstreamFailed) as error:
                left = [one for rows in teams.values() for one in rows]
                log.warning("oncall.unreachable", team=team, incidents=len(left), error=error.detail)
                await to_thread.run_sync(self._postpone_assignments, left)
                return False
            await to_thread.run_sync(partial(self._settle_assignments, teams.pop(team), engineer=engineer))
        return True

    async def _on_call(self, team: str) -> str | None:
        """Who is on call for a team; ``None`` when on-call knows of nobody."""
        answer = await self._oncall.call(
            "GET", "/api/v1/oncall/current", at_most_s=CALL_TIMEOUT_S, params={"team": team}
        )
        _raise_for_later(answer.status_code)
        engineer = _engineer(answer) if answer.is_success else None
        if engineer:
            return engineer
        log.warning("oncall.nobody", team=team, status=answer.status_code, answer=answer.text[:200])
        return None

    def _settle_assignments(self, rows: Sequence[Due], *, engineer: str | None) -> None:
        for row in rows:
            # Each on its own: a batch of alerts locks incidents too, several at once and in another order.
            with self._database.transaction() as db:
                if engineer is not None:
                    assign(db, row.incident_id, engineer=engineer, actor=ONCALL)
                elif row.status != "resolved" and row.severity in PAGING:
                    queue_page(db, row.incident_id, recipient=row.service)
                db.execute(update(outbox).where(outbox.c.id == row.id).values(done_at=func.now()))

    def _postpone_assignments(self, rows: Sequence[Due]) -> None:
        with self._database.transaction() as db:
            for row in rows:
                is_long = row.waited_s >= self._settings.page_anyway_after_s
                if is_long and row.status != "resolved" and row.severity in PAGING:
                    queue_page(db, row.incident_id, recipient=row.service)
            _postpone(db, rows)

    # Pages

    async def _page_all(self, due: list[Due]) -> bool:
        """Have everybody told; false when notification is away for some."""
        outcomes = await asyncio.gather(*(self._page(row) for row in due))
        late = [row for row, outcome in zip(due, outcomes, strict=True) if outcome is None]
        if late:
            await to_thread.run_sync(self._postpone_pages, late)
        return not late

    async def _page(self, row: Due) -> bool | None:
        """Have one person told, and write down how that went; ``None`` when it has to be tried again."""
        if row.status == "resolved":
            what = "page_dropped"
        else:
            try:
                what = await self._notify(row)
            except (Unavailable, DeadlineExceeded, UpstreamFailed) as error:
                log.warning("notification.unreachable", incident_id=row.incident_id, error=error.detail)
                return None
        await to_thread.run_sync(partial(self._settle_page, row, what=what))
        return True

    async def _notify(self, row: Due) -> str:
        channel = self._settings.page_channel
        message = f"[{row.severity.upper()}] {row.service}: {row.title}"
        answer = await self._notification.call(
            "POST",
            "/api/v1/notify",
            at_most_s=CALL_TIMEOUT_S,
            json={
                "incident_id": str(row.incident_id),
                "channel": channel,
                "recipient": row.recipient,
                "message": message,
            },
            # With another severity by now it is another page: under the same key it would be refused.
            headers={"Idempotency-Key": str(uuid5(row.id, f"{channel} {message}"))},
        )
        _raise_for_later(answer.status_code)
        if answer.is_success:
            return "paged"
        log.error(
            "notification.refused",
            incident_id=row.incident_id,
            status=answer.status_code,
            answer=answer.text[:200],
        )
        return "page_refused"

    def _postpone_pages(self, rows: Sequence[Due]) -> None:
        with self._database.transaction() as db:
            _postpone(db, rows)

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


def _postpone(db: Connection, rows: Sequence[Due]) -> None:
    """Due again after half a second, twice as long after each further attempt, at most five seconds."""
    wait_s = func.least(FIRST_RETRY_S * func.power(2, func.least(outbox.c.attempts - 1, 10)), RETRY_AT_MOST_S)
    db.execute(
        update(outbox)
        .where(outbox.c.id.in_(_ids(rows)))
        .values(due_at=func.now() + wait_s * timedelta(seconds=1))
    )


def _ids(rows: Sequence[Due]) -> list[UUID]:
    return [row.id for row in rows]


def _engineer(answer: httpx.Response) -> str | None:
    try:
        found = answer.json()
    except ValueError as error:
        raise UpstreamFailed(f"not understood: {answer.text[:200]}") from error
    engineer = found.get("engineer") if isinstance(found, dict) else None
    return engineer[:NAME_LENGTH] if isinstance(engineer, str) else None


def _raise_for_later(status: int) -> None:
    """Raise ``UpstreamFailed`` for an answer that may be another one later."""
    if status in (408, 425, 429) or status >= 500:
        raise UpstreamFailed(f"status {status}")
