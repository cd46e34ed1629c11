"""One transaction that stores a batch of alerts, and decides which incident each belongs to."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import (
    Connection,
    DateTime,
    Integer,
    Interval,
    Row,
    Select,
    String,
    Text,
    and_,
    bindparam,
    cast,
    column,
    func,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from services.alert_ingestion.arrival import Arrival, KeyMisused, Opening, Slot, Stored
from services.alert_ingestion.schemas import Action, Source
from services.alert_ingestion.tables import alerts, correlation_slots, incident_exists, incidents
from services.common.fields import Severity

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The worst first."""
LEASE = timedelta(seconds=3)
"""How long whoever asks for an incident is left alone with it."""
TITLE_LENGTH = 200
NEW: Action = "new_incident"
ATTACHED: Action = "attached_to_existing_incident"

Outcome = Stored | KeyMisused


class Raced(Exception):
    """Another process stored the same alert between our look and our insert: to be tried again."""


class Batch:
    """One transaction that stores a batch."""

    def __init__(self, db: Connection, arrivals: Sequence[Arrival], *, window: timedelta) -> None:
        self._db = db
        self._arrivals = arrivals
        self._window = window
        self._outcomes: dict[int, Outcome] = {}

    def record(self) -> list[Outcome]:
        """What became of each alert, in their order."""
        slots = sorted({arrival.slot for arrival in self._arrivals})
        waiting = self._lock(slots)
        self._recognise()
        firsts = self._firsts()
        fresh = [n for n, first in enumerate(firsts) if n == first and n not in self._outcomes]
        if fresh:
            self._insert(fresh, waiting)
        return [self._outcome(n, first) for n, first in enumerate(firsts)]

    def _lock(self, slots: Sequence[Slot]) -> dict[Slot, Opening]:
        """Lock the slots; what each waits for, or has waited for."""
        rows = self._db.execute(_LOCK_SLOTS, _columns(slots)).all()
        return {
            (row.service, row.severity): Opening(row.opening, row.service, row.severity, row.title)
            for row in rows
            if row.opening is not None
        }

    # Alerts that came before

    def _recognise(self) -> None:
        """Find the outcomes of alerts that are stored already, by their source's fingerprint or their key."""
        by_fingerprint = {
            (arrival.source, arrival.fingerprint): n
            for n, arrival in reversed(list(enumerate(self._arrivals)))
            if arrival.fingerprint is not None
        }
        if by_fingerprint:
            self._recognise_fingerprints(by_fingerprint)
        by_key = {
            arrival.idempotency_key: n
            for n, arrival in reversed(list(enumerate(self._arrivals)))
            if arrival.idempotency_key is not None
        }
        if by_key:
            for row in self._db.execute(_STORED.where(alerts.c.idempotency_key.in_(by_key))):
                n = by_key[row.idempotency_key]
                self._outcomes[n] = _compared(row, self._arrivals[n])

    def _recognise_fingerprints(self, positions: dict[tuple[Source, str], int]) -> None:
        a = alerts.c
        is_one = tuple_(a.source, a.fingerprint).in_(positions)
        self._supersede(positions)
        began = [(*one, self._arrivals[n].occurred_at) for one, n in positions.items()]
        is_late = and_(a.resolved_at.is_not(None), tuple_(a.source, a.fingerprint, a.occurred_at).in_(began))
        is_under_way = and_(is_one, a.resolved_at.is_(None), a.superseded_at.is_(None))
        repeated = []
        known = _STORED.where(or_(is_late, is_under_way)).order_by(a.resolved_at.is_not(None).desc())
        for row in self._db.execute(known):
            was: Literal["repeated", "stale"] = "repeated" if row.resolved_at is None else "stale"
            self._outcomes[positions[row.source, row.fingerprint]] = _stored(row, was=was)
            if was == "repeated":
                repeated.append(row.id)
        if repeated:
            again = {"repeats": a.repeats + 1, "last_seen_at": func.now()}
            self._db.execute(update(alerts).where(a.id.in_(repeated)).values(again))

    def _supersede(self, positions: dict[tuple[Source, str], int]) -> None:
        """End what is under way of these, as far as what comes now is a new alert and no repeat."""
        a = alerts.c
        is_under_way = and_(a.resolved_at.is_(None), a.superseded_at.is_(None))
        over = update(alerts).where(is_under_way).values(superseded_at=func.now())
        # One that fires on after a person resolved its incident opens a new incident.
        is_one = tuple_(a.source, a.fingerprint).in_(positions)
        was_resolved = and_(incidents.c.id == a.incident_id, incidents.c.status == "resolved")
        self._db.execute(over.where(is_one, was_resolved))
        # One that has become worse has to page whom the milder one did not.
        milder = [
            (*one, severity)
            for one, n in positions.items()
            for severity in SEVERITIES[SEVERITIES.index(self._arrivals[n].severity) + 1 :]
        ]
        if milder:
            self._db.execute(over.where(tuple_(a.source, a.fingerprint, a.severity).in_(milder)))

    def _firsts(self) -> list[int]:
        """For each alert the position of the first one in the batch that is the same."""
        seen: dict[object, int] = {}
        return [seen.setdefault(arrival.identity or n, n) for n, arrival in enumerate(self._arrivals)]

    def _outcome(self, n: int, first: int) -> Outcome:
        outcome = self._outcomes[first]
        if n == first or isinstance(outcome, KeyMisused):
            return outcome
        if self._arrivals[n].request_hash != self._arrivals[first].request_hash:
            return KeyMisused()
        return replace(outcome, was="repeated")

    # New alerts

    def _insert(self, fresh: Sequence[int], waiting: dict[Slot, Opening]) -> None:
        openers = {self._arrivals[n].slot: n for n in reversed(fresh)}
        joined, free = self._look(openers)
        begun = self._begin([self._arrivals[openers[slot]] for slot in free])
        openings = waiting | begun
        rows, new = [], {}
        for n in fresh:
            slot = self._arrivals[n].slot
            incident_id = joined.get(slot)
            opening = None if incident_id else openings[slot]
            action = NEW if slot in begun and openers[slot] == n else ATTACHED
            rows.append(_row(n, self._arrivals[n], incident_id=incident_id, opening=opening, action=action))
            new[n] = (incident_id, action, opening)
        for position, alert_id, is_stored in self._db.execute(_INSERT, {"batch": json.dumps(rows)}).all():
            if not is_stored:
                raise Raced
            self._outcomes[position] = Stored(alert_id, *new[position])

    def _look(self, slots: Iterable[Slot]) -> tuple[dict[Slot, UUID], list[Slot]]:
        """The incidents that take alerts of these slots in, and the slots without one to come."""
        joined, free = {}, []
        for row in self._db.execute(_LOOK, {**_columns(slots), "window": self._window}).all():
            if row.id is not None:
                joined[row.service, row.severity] = row.id
            elif row.is_free:
                free.append((row.service, row.severity))
        return joined, free

    def _begin(self, openers: Sequence[Arrival]) -> dict[Slot, Opening]:
        """Begin an opening for each slot, named after the alert that it is begun for."""
        if not openers:
            return {}
        titles = [title(opener.message) for opener in openers]
        wanted = {**_columns(opener.slot for opener in openers), "titles": titles}
        begun = self._db.execute(_BEGIN, wanted).all()
        return {(row.service, row.severity): Opening(*row) for row in begun}


def title(message: str) -> str:
    """An incident's title out of the message of the alert that opens it: its first line, at most 200 long."""
    line = message.strip().partition("\n")[0]
    printable = "".join(" " if ord(sign) < 32 or ord(sign) == 127 else sign for sign in line)
    return printable[:TITLE_LENGTH] or "alert"


def _row(
    position: int, arrival: Arrival, *, incident_id: UUID | None, opening: Opening | None, action: Action
) -> dict[str, object]:
    return {
        "position": position,
        "source": arrival.source,
        "fingerprint": arrival.fingerprint,
        "service": arrival.service,
        "severity": arrival.severity,
        "message": arrival.message,
        "labels": arrival.labels,
        "occurred_at": arrival.occurred_at.isoformat() if arrival.occurred_at else None,
        "action": action,
        "opening": str(opening.key) if opening else None,
        "incident_id": str(incident_id) if incident_id else None,
        "idempotency_key": arrival.idempotency_key,
        "request_hash": arrival.request_hash,
    }


def _compared(row: Row[*tuple[Any, ...]], arrival: Arrival) -> Outcome:
    if row.request_hash != arrival.request_hash:
        return KeyMisused()
    return _stored(row, was="repeated")


def _stored(row: Row[*tuple[Any, ...]], *, was: Literal["repeated", "stale"]) -> Stored:
    waits = row.incident_id is None and row.title is not None
    opening = Opening(row.opening, row.service, row.severity, row.title) if waits else None
    return Stored(row.id, row.incident_id, row.action, opening, was)


def _columns(slots: Iterable[Slot]) -> dict[str, list[str]]:
    """Slots as the arrays that ``_slots`` reads."""
    pairs = list(slots)
    return {"services": [service for service, _ in pairs], "severities": [severity for _, severity in pairs]}


def _slots(**more: str) -> Any:
    """Arrays as a table. Of these the planner knows the length, and looks so few slots up by their index;
    of a set out of JSON it takes a hundred rows for granted, and reads every slot there is.
    """
    arrays_of = {"service": "services", "severity": "severities", **more}
    arrays = [bindparam(name, type_=ARRAY(String)) for name in arrays_of.values()]
    columns = [column(name, String) for name in arrays_of]
    return func.unnest(*arrays).table_valued(*columns, name="wanted").render_derived()


_s = correlation_slots.c

_plain = _slots()
_LOCK_SLOTS = (
    upsert(correlation_slots)
    .from_select(
        ["service", "severity"],
        select(_plain.c.service, _plain.c.severity).order_by(_plain.c.service, _plain.c.severity),
    )
    .on_conflict_do_update(index_elements=["service", "severity"], set_={"touched_at": func.now()})
    .returning(_s.service, _s.severity, _s.opening, _s.title)
)
_i = incidents.c
_newest = (
    select(_i.id)
    .where(
        _i.service == _plain.c.service,
        _i.severity == _plain.c.severity,
        _i.status != "resolved",
        _i.created_at > func.clock_timestamp() - bindparam("window", type_=Interval),
    )
    .order_by(_i.created_at.desc())
    .limit(1)
    # Whoever resolves the incident waits until the alerts are in it, or we see that it is resolved.
    .with_for_update(read=True)
    .lateral("newest")
)
# One statement, for one snapshot: incident-management commits without asking for our locks, and an incident
# that is not seen here must not be seen there.
_LOOK = (
    select(
        *(_plain.c.service, _plain.c.severity, _newest.c.id),
        or_(_s.opening.is_(None), incident_exists).label("is_free"),
    )
    .select_from(_plain)
    .join(correlation_slots, and_(_s.service == _plain.c.service, _s.severity == _plain.c.severity))
    .join(_newest, true(), isouter=True)
)

_titled = _slots(title="titles")
_BEGIN = (
    update(correlation_slots)
    .where(_s.service == _titled.c.service, _s.severity == _titled.c.severity)
    .values(
        opening=func.gen_random_uuid(),
        title=_titled.c.title,
        is_waiting=True,
        claimed_until=func.clock_timestamp() + LEASE,
    )
    .returning(_s.opening, _s.service, _s.severity, _s.title)
)

_a = alerts.c
_COPIED = (
    *("source", "fingerprint", "service", "severity", "message", "labels", "action", "opening"),
    *("incident_id", "idempotency_key", "request_hash"),
)
_given = (
    func.jsonb_to_recordset(cast(bindparam("batch", type_=Text), JSONB))
    .table_valued(
        column("position", Integer),
        column("occurred_at", DateTime(timezone=True)),
        *(column(name, alerts.c[name].type) for name in _COPIED),
        name="given",
    )
    .render_derived(with_types=True)
)
_batch = select(func.gen_random_uuid().label("id"), _given).cte("batch")
_inserted = (
    upsert(alerts)
    .from_select(
        ["id", "occurred_at", *_COPIED],
        select(
            _batch.c.id,
            func.coalesce(_batch.c.occurred_at, func.now()),
            *(_batch.c[name] for name in _COPIED),
        ).order_by(_batch.c.idempotency_key, _batch.c.fingerprint),
    )
    .on_conflict_do_nothing()
    .returning(_a.id)
    .cte("inserted")
)
_INSERT = select(_batch.c.position, _batch.c.id, _inserted.c.id.is_not(None)).join_from(
    _batch, _inserted, _inserted.c.id == _batch.c.id, isouter=True
)
_STORED: Select[*tuple[Any, ...]] = select(
    *(_a.id, _a.source, _a.fingerprint, _a.service, _a.severity, _a.action, _a.opening, _a.incident_id),
    *(_a.occurred_at, _a.resolved_at, _a.idempotency_key, _a.request_hash, _s.title),
).join_from(alerts, correlation_slots, _s.opening == _a.opening, isouter=True)
