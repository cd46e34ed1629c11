"""Alerts in Postgres, and which incident each belongs to.

Both services work in the schema ``incident``, and yet incidents are opened by
incident-management alone. So an alert is taken in three steps:

1. One transaction stores a batch of alerts. It first locks the rows of
   ``correlation_slots`` for every (service, severity) in it, always in the
   same order. Whoever holds a slot decides: an alert joins the newest
   unresolved incident of its slot that is younger than the correlation window;
   else the opening that the slot waits for already; else it begins a new
   opening, which is a random key.
2. incident-management is asked for the incident under that key. The key makes
   the question safe to repeat: any number of replicas and retries get the same
   incident.
3. One transaction gives the incident to all alerts that wait for the key.

An alert is durable after the first step. If a process dies after it, or
incident-management is away, the slot still says that it waits, and whoever
claims it (``FOR UPDATE SKIP LOCKED``, with a lease) goes on with the second.
A slot gets a new opening only when the incident of the one before exists, so
at most one incident is being opened for a slot at any time.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg2.errors import DeadlockDetected
from sqlalchemy import (
    Connection,
    String,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from services.alert_ingestion import metrics
from services.alert_ingestion.arrival import Arrival, Opening, Resolution, Resolved, Stored
from services.alert_ingestion.correlation import LEASE, Batch, Outcome, Raced
from services.alert_ingestion.schemas import Alert, AlertPage
from services.alert_ingestion.tables import alerts, correlation_slots, incident_exists, incidents, timeline
from services.common.database import Database
from services.common.errors import NotFound

UNSETTLED_AFTER = timedelta(seconds=1)
ATTEMPTS = 3
LOCK_TIMEOUT = "2s"
STATEMENT_TIMEOUT = "5s"


def bound_waiting(connection: Any, _record: ConnectionPoolEntry) -> None:
    """Let no statement of a new connection wait for long: behind it stands every alert that comes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [STATEMENT_TIMEOUT])
    connection.commit()


class Alerts:
    """The store of alerts. ``window`` is for how long an incident takes alerts in."""

    def __init__(self, database: Database, *, window: timedelta) -> None:
        self._database = database
        self._window = window

    def record(self, batch: Sequence[Arrival]) -> list[Outcome]:
        """Store alerts in one transaction, and say where each belongs. Durable when this returns.

        Raises what the database raises; then nothing is stored.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._database.transaction() as db:
                    outcomes = Batch(db, batch, window=self._window).record()
                break
            except Raced:
                if attempt == ATTEMPTS:
                    raise
            except OperationalError as error:
                if attempt == ATTEMPTS or not isinstance(error.orig, DeadlockDetected):
                    raise
        _count_received(batch, outcomes)
        return outcomes

    def settle(self, keys: Sequence[UUID]) -> None:
        """Give the incidents of these openings to the alerts that wait for them."""
        with self._database.transaction() as db:
            db.execute(_ANSWERED, {"keys": keys})
            # A statement of its own: only what is looked for after the lock is seen whole.
            attached = db.execute(_ATTACH, {"keys": keys}).all()
            for row in attached:
                if row.resolved_at is not None:
                    _note_down_end(db, row.incident_id, source=row.source, message=row.message)
        metrics.count_correlated(Counter(row.action for row in attached))

    def resolve(self, resolution: Resolution) -> Resolved | None:
        """Mark a source's alert as over and add it to its incident's timeline.

        ``None`` if the source has none under way.
        """
        a = alerts.c
        over = (
            update(alerts)
            .where(
                a.source == resolution.source,
                a.fingerprint == resolution.fingerprint,
                a.resolved_at.is_(None),
            )
            .values(resolved_at=func.coalesce(resolution.at, func.now()), last_seen_at=func.now())
            .returning(a.id, a.incident_id, a.message, a.received_at)
        )
        with self._database.transaction() as db:
            rows = sorted(db.execute(over).all(), key=lambda row: row.received_at)
            for row in rows:
                if row.incident_id is not None:
                    _note_down_end(db, row.incident_id, source=resolution.source, message=row.message)
        return Resolved(rows[-1].id, rows[-1].incident_id) if rows else None

    def claim_waiting(self, *, limit: int) -> list[Opening]:
        """Openings that wait for their incident and that nobody asks for; ours for the lease."""
        s = correlation_slots.c
        free = (
            select(s.opening)
            .where(s.is_waiting, s.claimed_until <= func.now())
            .order_by(s.claimed_until)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claim = (
            update(correlation_slots)
            .where(s.opening.in_(free))
            .values(claimed_until=func.now() + LEASE)
            .returning(s.opening, s.service, s.severity, s.title)
        )
        with self._database.transaction() as db:
            return [Opening(*row) for row in db.execute(claim)]

    def unsettled(self, *, limit: int) -> list[UUID]:
        """Openings whose incident exists, and which a process that died has left without it."""
        a = alerts.c
        query = (
            select(a.opening)
            .join(incidents, incidents.c.idempotency_key == cast(a.opening, String))
            .where(a.incident_id.is_(None), a.received_at < func.now() - UNSETTLED_AFTER)
            .distinct()
            .limit(limit)
        )
        with self._database.transaction() as db:
            return [key for key in db.scalars(query) if key is not None]

    def pending(self) -> int:
        """How many alerts wait for their incident."""
        with self._database.control_transaction() as db:
            return db.execute(
                select(func.count()).select_from(alerts).where(alerts.c.incident_id.is_(None))
            ).scalar_one()

    def alert(self, alert_id: UUID) -> Alert:
        """One alert; ``NotFound`` if there is none."""
        with self._database.transaction() as db:
            row = db.execute(_SHOWN.where(alerts.c.id == alert_id)).one_or_none()
        if row is None:
            raise NotFound(f"no alert {alert_id}")
        return Alert.model_validate(row)

    def page(self, *, limit: int, offset: int, status: str | None, **equal: object) -> AlertPage:
        """Alerts whose columns equal what is given (``None``: anything), newest first."""
        a = alerts.c
        query = _SHOWN.order_by(a.received_at.desc(), a.id).limit(limit + 1).offset(offset)
        query = query.where(*(a[name] == value for name, value in equal.items() if value is not None))
        if status is not None:
            query = query.where(
                a.incident_id.is_(None) if status == "pending" else a.incident_id.is_not(None)
            )
        with self._database.transaction() as db:
            rows = db.execute(query).all()
        return AlertPage.of(rows, limit=limit, offset=offset)


def _note_down_end(db: Connection, incident_id: UUID, *, source: str, message: str) -> None:
    entry = {"actor": source, "what": "alert_resolved", "to_value": message}
    db.execute(insert(timeline).values(incident_id=incident_id, **entry))


def _count_received(batch: Sequence[Arrival], outcomes: Sequence[Outcome]) -> None:
    new = [
        (arrival, outcome)
        for arrival, outcome in zip(batch, outcomes, strict=True)
        if isinstance(outcome, Stored) and outcome.was == "new"
    ]
    metrics.count_received(Counter(arrival.severity for arrival, _ in new))
    metrics.count_correlated(Counter(outcome.action for _, outcome in new if outcome.incident_id is not None))


_a, _s = alerts.c, correlation_slots.c
_keys = any_(bindparam("keys", type_=ARRAY(Uuid)))
_answered = (
    select(_s.service, _s.severity)
    .where(_s.opening == _keys, incident_exists)
    .order_by(_s.service, _s.severity)
    .with_for_update()
    .cte("answered")
)
_ANSWERED = (
    update(correlation_slots)
    .where(_s.service == _answered.c.service, _s.severity == _answered.c.severity)
    .values(is_waiting=False)
)
_ATTACH = (
    update(alerts)
    .where(
        _a.opening == _keys,
        _a.incident_id.is_(None),
        incidents.c.idempotency_key == cast(_a.opening, String),
    )
    .values(incident_id=incidents.c.id)
    .returning(_a.action, _a.incident_id, _a.resolved_at, _a.source, _a.message)
)

_SHOWN = select(
    *(_a[name] for name in Alert.model_fields if name != "status"),
    case((_a.incident_id.is_(None), "pending"), else_="correlated").label("status"),
)
