"""The outbox: what is accepted is in Postgres, and stays due until it is delivered or dead."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Select, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database
from services.common.errors import NotFound, Unprocessable
from services.notification.backoff import pause
from services.notification.page import Listed, Page, bundle_message
from services.notification.receivers import not_set_up
from services.notification.schemas import (
    Channel,
    NewNotification,
    NotificationDetail,
    NotificationPage,
    Status,
)
from services.notification.settings import NotificationSettings
from services.notification.tables import attempts, deliveries

BUNDLE_SIZE = 200
"""A bundle lists at most so many; then the next one opens."""
LEASE_MARGIN_S = 5.0
_RECIPIENT_LOCKS = 7_210_070
"""Seed of the advisory locks that keep two messages to one recipient apart."""


@dataclass(frozen=True)
class Accepted:
    """A notification on record; ``is_new`` is false when its idempotency key had brought it before.

    ``note`` says why ``channel`` is not the one that was asked for.
    """

    delivery_id: UUID
    channel: Channel
    note: str | None
    is_new: bool
    is_bundled: bool


@dataclass(frozen=True)
class Backlog:
    """How many notifications are neither delivered nor dead, and which channels have something due."""

    pending: int
    due: list[Channel]


@dataclass(frozen=True)
class Ended:
    """A notification that was just delivered or given up, ``waited_s`` seconds after its acceptance."""

    delivery_id: UUID
    waited_s: float


class Outbox:
    """Notifications in Postgres; several processes may work on it at once."""

    def __init__(self, database: Database, settings: NotificationSettings) -> None:
        self._database = database
        self._settings = settings
        self._lease = timedelta(seconds=settings.delivery_timeout_s + LEASE_MARGIN_S)
        self._window = timedelta(seconds=settings.bundle_window_s)
        self._collect = timedelta(seconds=settings.bundle_collect_s)
        self._keep = timedelta(days=settings.keep_days)
        self._not_set_up = not_set_up(settings)

    def accept(self, new: NewNotification, *, key: str | None) -> Accepted:
        """Put a notification on record, alone or into its recipient's bundle.

        One for a channel that is not set up goes to the console, with a note: a
        page must not be lost over a setting. Raises ``Unprocessable`` when the
        key came with another request before.
        """
        request_hash = hashlib.sha256(new.model_dump_json().encode()).hexdigest()
        new, note = self._routed(new)
        d = deliveries.c
        with self._database.transaction() as db:
            lock = func.hashtextextended(f"{new.channel} {new.recipient}", _RECIPIENT_LOCKS)
            db.execute(select(func.pg_advisory_xact_lock(lock)))
            before = self._accepted_before(db, key, request_hash) if key is not None else None
            if before is not None:
                return before
            bundle_id = self._bundle(db, new) if self._is_storm(db, new) else None
            delivery_id = db.scalar(
                insert(deliveries)
                .values(
                    **new.model_dump(),
                    note=note,
                    bundle_id=bundle_id,
                    idempotency_key=key,
                    request_hash=request_hash,
                )
                .on_conflict_do_nothing()
                .returning(d.id)
            )
            if delivery_id is None:
                # Taken this moment, under another recipient's lock: so for another request.
                raise _used_before()
        return Accepted(delivery_id, new.channel, note, is_new=True, is_bundled=bundle_id is not None)

    def _routed(self, new: NewNotification) -> tuple[NewNotification, str | None]:
        """The notification as it goes, and a note if that is another channel than was asked for."""
        lack = self._not_set_up.get(new.channel)
        if lack is None:
            return new, None
        note = f"asked for {new.channel}, which is not set up: {lack}"
        return new.model_copy(update={"channel": "console"}), note

    def prune(self) -> int:
        """Delete what ended longer ago than is kept, with its attempts; how many notifications that were."""
        is_old = deliveries.c.ended_at < func.now() - self._keep
        with self._database.transaction() as db:
            ids = select(deliveries.c.id).where(is_old)
            db.execute(delete(attempts).where(attempts.c.delivery_id.in_(ids)))
            return db.execute(delete(deliveries).where(is_old)).rowcount

    def backlog(self) -> Backlog:
        """What there is to do, by Postgres' clock."""
        d = deliveries.c
        is_due = (d.due_at <= func.now()) & d.bundle_id.is_(None)
        query = (
            select(
                d.channel,
                func.count().filter(~d.is_bundle).label("pending"),
                func.bool_or(is_due).label("is_due"),
            )
            .where(d.status == "queued")
            .group_by(d.channel)
        )
        with self._database.transaction() as db:
            rows = db.execute(query).all()
        return Backlog(sum(row.pending for row in rows), [row.channel for row in rows if row.is_due])

    def claim(self, channel: Channel, limit: int) -> list[Page]:
        """Take due messages of one channel, oldest first, for as long as the lease lasts.

        Each claim begins an attempt. A message whose attempts are used up, its
        process having died in the last one, comes with the number after that
        and without an attempt: it is only to be given up.
        """
        d = deliveries.c
        with self._database.transaction() as db:
            ids = db.scalars(
                select(d.id)
                .where(
                    d.channel == channel,
                    d.status == "queued",
                    d.bundle_id.is_(None),
                    d.due_at <= func.now(),
                )
                .order_by(d.due_at)
                .limit(limit)
                .with_for_update(skip_locked=True)
            ).all()
            if not ids:
                return []
            rows = db.execute(
                update(deliveries)
                .where(d.id.in_(ids))
                .values(attempt_count=d.attempt_count + 1, due_at=func.now() + self._lease)
                .returning(*deliveries.c)
            ).all()
            self._begin_attempts(db, rows)
            listed = self._listed(db, [row.id for row in rows if row.is_bundle])
            return [_page(row, tuple(listed[row.id])) for row in sorted(rows, key=lambda row: row.seq)]

    def delivered(self, page: Page) -> list[Ended]:
        """End a message, and all that it lists, as delivered; empty when another process had done so."""
        with self._database.transaction() as db:
            self._end_attempt(db, page, outcome="delivered", error=None)
            return self._end(db, page, status="delivered", error=None)

    def dead(self, page: Page, *, error: str) -> list[Ended]:
        """Give a message up, and all that it lists; empty when another process has it by now."""
        with self._database.transaction() as db:
            self._end_attempt(db, page, outcome="failed", error=error)
            return self._end(db, page, status="dead", error=error)

    def postpone(self, page: Page, *, reached: frozenset[str], error: str) -> None:
        """Note down a failed attempt, and when the next one is due."""
        wait = pause(
            page.delivery_id,
            after_attempt=page.number,
            base_s=self._settings.retry_base_s,
            cap_s=self._settings.retry_cap_s,
        )
        d = deliveries.c
        with self._database.transaction() as db:
            self._end_attempt(db, page, outcome="failed", error=error)
            db.execute(
                update(deliveries)
                # Where the lease has passed on, the other attempt says when the next one is due.
                .where(d.id == page.delivery_id, d.status == "queued", d.attempt_count == page.number)
                .values(due_at=func.now() + wait, reached=sorted(reached), last_error=error)
            )

    def notification(self, delivery_id: UUID) -> NotificationDetail:
        """One notification with its attempts, which are its bundle's if it has one; raises ``NotFound``."""
        d, a = deliveries.c, attempts.c
        with self._database.transaction() as db:
            found = db.execute(select(deliveries).where(d.id == delivery_id)).one_or_none()
            if found is None:
                raise NotFound(f"no notification {delivery_id}")
            carrier = found.bundle_id or found.id
            made = db.execute(select(attempts).where(a.delivery_id == carrier).order_by(a.number)).all()
        return NotificationDetail.model_validate({**found._mapping, "attempts": made})

    def notifications(
        self,
        *,
        incident_id: str | None,
        channel: Channel | None,
        recipient: str | None,
        status: Status | None,
        limit: int,
        offset: int,
    ) -> NotificationPage:
        """A page of notifications, newest first; ``None`` does not filter."""
        d = deliveries.c
        query: Select[tuple[object, ...]] = select(deliveries).order_by(d.seq.desc())
        for column, wanted in (
            (d.incident_id, incident_id),
            (d.channel, channel),
            (d.recipient, recipient),
            (d.status, status),
        ):
            if wanted is not None:
                query = query.where(column == wanted)
        with self._database.transaction() as db:
            found = db.execute(query.limit(limit + 1).offset(offset)).all()
        return NotificationPage.of(found, limit=limit, offset=offset)

    def _accepted_before(self, db: Connection, key: str, request_hash: str) -> Accepted | None:
        d = deliveries.c
        before = db.execute(
            select(d.id, d.channel, d.note, d.request_hash, d.bundle_id).where(d.idempotency_key == key)
        ).one_or_none()
        if before is None:
            return None
        if before.request_hash != request_hash:
            raise _used_before()
        return Accepted(
            before.id,
            before.channel,
            before.note,
            is_new=False,
            is_bundled=before.bundle_id is not None,
        )

    def _is_storm(self, db: Connection, new: NewNotification) -> bool:
        d = deliveries.c
        recent = (
            select(d.id)
            .where(
                d.channel == new.channel,
                d.recipient == new.recipient,
                d.created_at > func.now() - self._window,
                ~d.is_bundle,
            )
            .limit(self._settings.bundle_after)
        )
        return db.scalar(select(func.count()).select_from(recent.subquery())) == self._settings.bundle_after

    def _bundle(self, db: Connection, new: NewNotification) -> UUID:
        """The recipient's bundle that nobody has begun to deliver, or a new one."""
        d = deliveries.c
        is_open = [
            d.channel == new.channel,
            d.recipient == new.recipient,
            d.is_bundle,
            d.status == "queued",
            d.attempt_count == 0,
        ]
        # Locked, so that it is not claimed while this one joins it.
        found: UUID | None = db.scalar(
            select(d.id).where(*is_open).order_by(d.seq.desc()).limit(1).with_for_update()
        )
        members = select(func.count()).where(d.bundle_id == found)
        if found is not None and (db.scalar(members) or 0) < BUNDLE_SIZE:
            return found
        opened: UUID = db.execute(
            insert(deliveries)
            .values(
                channel=new.channel,
                recipient=new.recipient,
                message=f"Notifications for {new.recipient}, still collected",
                is_bundle=True,
                due_at=func.now() + self._collect,
            )
            .returning(d.id)
        ).scalar_one()
        return opened

    def _begin_attempts(self, db: Connection, rows: Sequence[Any]) -> None:
        a = attempts.c
        again = [row.id for row in rows if row.attempt_count > 1]
        if again:
            db.execute(
                update(attempts)
                .where(a.delivery_id.in_(again), a.outcome.is_(None))
                .values(outcome="interrupted", ended_at=func.clock_timestamp())
            )
        begun = [
            {"delivery_id": row.id, "number": row.attempt_count}
            for row in rows
            if row.attempt_count <= self._settings.max_attempts
        ]
        if begun:
            db.execute(insert(attempts), begun)

    def _listed(self, db: Connection, bundles: Sequence[UUID]) -> dict[UUID, list[Listed]]:
        listed: dict[UUID, list[Listed]] = defaultdict(list)
        if not bundles:
            return listed
        d = deliveries.c
        members = select(d.id, d.bundle_id, d.incident_id, d.recipient, d.message)
        for row in db.execute(members.where(d.bundle_id.in_(bundles)).order_by(d.seq)):
            listed[row.bundle_id].append(Listed(row.id, row.incident_id, row.message))
        return listed

    def _end_attempt(
        self, db: Connection, page: Page, *, outcome: Literal["delivered", "failed"], error: str | None
    ) -> None:
        a = attempts.c
        db.execute(
            update(attempts)
            .where(a.delivery_id == page.delivery_id, a.number == page.number)
            .values(outcome=outcome, error=error, ended_at=func.clock_timestamp())
        )

    def _end(self, db: Connection, page: Page, *, status: Status, error: str | None) -> list[Ended]:
        d = deliveries.c
        is_mine = d.id == page.delivery_id
        if status == "dead":
            is_mine &= d.attempt_count == page.number
        carrier = db.execute(
            update(deliveries)
            .where(is_mine, d.status == "queued")
            .values(status=status, last_error=error, ended_at=func.now(), message=page.message)
            .returning(d.id)
        ).one_or_none()
        if carrier is None:
            return []
        if page.listed:
            db.execute(
                update(deliveries)
                .where(d.bundle_id == page.delivery_id)
                .values(status=status, last_error=error, ended_at=func.now())
            )
        waited_s = func.extract("epoch", func.clock_timestamp() - d.created_at).label("waited_s")
        ended = db.execute(
            select(d.id, waited_s).where(
                or_(d.id == page.delivery_id, d.bundle_id == page.delivery_id), ~d.is_bundle
            )
        )
        return [Ended(row.id, float(row.waited_s)) for row in ended]


def _page(row: Any, listed: tuple[Listed, ...]) -> Page:
    return Page(
        delivery_id=row.id,
        number=row.attempt_count,
        channel=row.channel,
        recipient=row.recipient,
        message=bundle_message(row.recipient, listed) if listed else row.message,
        incident_id=row.incident_id,
        created_at=row.created_at,
        reached=frozenset(row.reached),
        listed=listed,
    )


def _used_before() -> Unprocessable:
    return Unprocessable("this Idempotency-Key was used for a different request")
