"""Incidents in Postgres. Every change is one transaction together with its row of the timeline."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Row,
    String,
    Text,
    bindparam,
    case,
    cast,
    column,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from services.common.database import Database
from services.common.errors import Conflict, NotFound, Unprocessable
from services.common.fields import Severity
from services.incident_management import metrics
from services.incident_management.lifecycle import check_step, sets_acknowledged
from services.incident_management.schemas import (
    Alert,
    Incident,
    IncidentChange,
    IncidentDetail,
    IncidentPage,
    NewIncident,
    Note,
    PostmortemIn,
    Status,
    Summary,
    TimelineEntry,
)
from services.incident_management.tables import alerts, incidents, notes, outbox, postmortems, timeline

ALERTS_SHOWN = 200
PAGING: tuple[Severity, ...] = ("critical", "high")
"""Incidents of these severities page whoever is on call; others are assigned and to be seen."""
_SHOWN = [incidents.c[name] for name in Incident.model_fields]
_LINE = func.concat_ws(
    " ",
    *(incidents.c[name] for name in ("title", "service", "severity")),
    func.replace(incidents.c.status, "_", " "),
    *(incidents.c.assigned_to, cast(incidents.c.id, String)),
    type_=String,
)


class Incidents:
    """The store of incidents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, new: NewIncident, *, actor: str, key: str | None) -> Incident:
        """Open an incident; with a key that was used before, the incident of that time.

        Raises ``Unprocessable`` when the key came with another incident.
        """
        with self._database.transaction() as db:
            [(_, incident)] = _open(db, [(new, key)], actor=actor)
        return incident

    def open_batch(self, batch: Sequence[tuple[NewIncident, str]], *, actor: str) -> dict[str, UUID]:
        """Open one incident for each different key; the incident's id by key.

        Raises ``Unprocessable`` when a key came with another incident before: then none is opened.
        """
        with self._database.transaction() as db:
            opened = _open(db, list({key: (new, key) for new, key in batch}.values()), actor=actor)
        return {str(key): incident.id for key, incident in opened}

    def page(
        self,
        *,
        statuses: Sequence[Status],
        severity: str | None,
        service: str | None,
        words: Sequence[str],
        limit: int,
        offset: int,
    ) -> IncidentPage:
        """Incidents that fit, newest first. All words are somewhere in what a list shows of each."""
        i = incidents.c
        query = select(*_SHOWN).order_by(i.created_at.desc(), i.id).limit(limit + 1).offset(offset)
        if statuses:
            query = query.where(i.status.in_(statuses))
        if severity is not None:
            query = query.where(i.severity == severity)
        if service is not None:
            query = query.where(i.service == service)
        query = query.where(*(func.strpos(_lower(_LINE), _lower(literal(word))) > 0 for word in words))
        with self._database.transaction() as db:
            rows = db.execute(query).all()
        return IncidentPage.of(rows, limit=limit, offset=offset)

    def incident(self, incident_id: UUID) -> Incident:
        """One incident; ``NotFound`` if there is none."""
        with self._database.transaction() as db:
            return _incident(db, incident_id)

    def detail(self, incident_id: UUID) -> IncidentDetail:
        """One incident with alerts (the newest), notes, and timeline; ``NotFound`` if there is none."""
        with self._database.transaction() as db:
            incident = _incident(db, incident_id)
            of_it = alerts.c.incident_id == incident_id
            newest = select(alerts).where(of_it).order_by(alerts.c.received_at.desc(), alerts.c.id)
            written = select(notes).where(notes.c.incident_id == incident_id).order_by(notes.c.id)
            return IncidentDetail(
                **_stored(incident),
                alert_count=db.execute(select(func.count()).select_from(alerts).where(of_it)).scalar_one(),
                alerts=[Alert.model_validate(row) for row in db.execute(newest.limit(ALERTS_SHOWN))],
                notes=[Note.model_validate(row) for row in db.execute(written)],
                timeline=_timeline(db, incident_id),
                reopened_as=_reopened_as(db, incident_id),
                has_postmortem=db.execute(
                    select(exists().where(postmortems.c.incident_id == incident_id))
                ).scalar_one(),
            )

    def change(
        self,
        incident_id: UUID,
        change: IncidentChange,
        *,
        actor: str,
        pages: bool = True,
        while_open: bool = False,
    ) -> Incident:
        """Make all of a change or none of it; ``pages`` has whom it is given to paged.

        Raises ``NotFound``, and ``Conflict`` when the status does not lie ahead
        (then with who brought it to where it is), or with ``while_open`` when
        somebody has acknowledged the incident.
        """
        with self._database.transaction() as db:
            before = _incident(db, incident_id, lock=True)
            if while_open and before.status != "open":
                raise Conflict(f"it is {before.status}, and was to change only while it is open")
            values: dict[str, Any] = {}
            if change.status is not None:
                values |= _step(db, before, change.status, actor=actor)
            if change.severity is not None and change.severity != before.severity:
                values["severity"] = change.severity
                _note_down(db, incident_id, actor, "severity", before.severity, change.severity)
                kept_by = None if "assigned_to" in change.model_fields_set else before.assigned_to
                # Nobody was told while it only informed; who has what paged before knows of it.
                becomes_grave = change.severity in PAGING and before.severity not in PAGING
                if pages and becomes_grave and kept_by is not None and kept_by != actor:
                    queue_page(db, incident_id, recipient=kept_by)
            if "assigned_to" in change.model_fields_set and change.assigned_to != before.assigned_to:
                values["assigned_to"] = change.assigned_to
                _note_down(db, incident_id, actor, "assigned_to", before.assigned_to, change.assigned_to)
                if pages and change.assigned_to is not None and change.assigned_to != actor:
                    queue_page(db, incident_id, recipient=change.assigned_to, again=True)
            if change.notes is not None:
                db.execute(insert(notes).values(incident_id=incident_id, author=actor, text=change.notes))
                _note_down(db, incident_id, actor, "note", None, change.notes)
            after = _write(db, incident_id, values) if values else before
        metrics.observe_change(before, after)
        return after

    def reopen(self, incident_id: UUID, *, actor: str) -> Incident:
        """A new incident that goes on where a resolved one ended, linked to it.

        Raises ``NotFound``, and ``Conflict`` when it is not resolved or has been reopened before.
        """
        with self._database.transaction() as db:
            old = _incident(db, incident_id, lock=True)
            if old.status != "resolved":
                raise Conflict(f"only a resolved incident can be reopened: this one is {old.status}")
            before = _reopened_as(db, incident_id)
            if before is not None:
                raise Conflict(f"already reopened as {before}")
            new = NewIncident(
                title=old.title, service=old.service, severity=old.severity, assigned_to=old.assigned_to
            )
            [(_, reopened)] = _open(db, [(new, None)], actor=actor, pages=old.severity in PAGING)
            linked = _write(db, reopened.id, {"reopened_from": old.id})
            _note_down(db, reopened.id, actor, "reopened_from", None, str(old.id))
            _note_down(db, old.id, actor, "reopened_as", None, str(reopened.id))
        return linked

    def write_postmortem(self, incident_id: UUID, written: PostmortemIn, *, actor: str) -> None:
        """Keep a postmortem, in place of the one before.

        Raises ``NotFound``, and ``Conflict`` while the incident is not resolved.
        """
        with self._database.transaction() as db:
            incident = _incident(db, incident_id, lock=True)
            if incident.status != "resolved":
                raise Conflict(f"only a resolved incident gets a postmortem: this one is {incident.status}")
            values = {
                "author": actor,
                "written_at": func.now(),
                "summary": written.summary,
                "impact": written.impact or "",
                "root_cause": written.root_cause or "",
                "lessons": written.lessons or "",
                "action_items": written.action_items,
            }
            db.execute(
                upsert(postmortems)
                .values(incident_id=incident_id, **values)
                .on_conflict_do_update(index_elements=["incident_id"], set_=values)
            )
            _note_down(db, incident_id, actor, "postmortem", None, written.summary)

    def postmortem(self, incident_id: UUID) -> Row[Any]:
        """The postmortem as it was written; ``NotFound`` if there is none."""
        with self._database.transaction() as db:
            _incident(db, incident_id)
            row = db.execute(
                select(postmortems).where(postmortems.c.incident_id == incident_id)
            ).one_or_none()
        if row is None:
            raise NotFound(f"incident {incident_id} has no postmortem yet")
        return row

    def summary(self) -> Summary:
        """How many incidents there are, by status and severity."""
        i = incidents.c
        query = select(i.status, i.severity, func.count()).group_by(i.status, i.severity)
        summary = Summary(
            by_status={"open": 0, "acknowledged": 0, "in_progress": 0, "resolved": 0},
            unresolved_by_severity={"critical": 0, "high": 0, "medium": 0, "low": 0},
        )
        with self._database.transaction() as db:
            for status, severity, count in db.execute(query).tuples():
                summary.by_status[status] += count
                if status != "resolved":
                    summary.unresolved_by_severity[severity] += count
        return summary

    def counts(self) -> metrics.Counts:
        """How many incidents there are, and outbox rows that are not done."""
        by_status = select(incidents.c.status, func.count()).group_by(incidents.c.status)
        unresolved = (
            select(incidents.c.severity, func.count())
            .where(incidents.c.status != "resolved")
            .group_by(incidents.c.severity)
        )
        pending = (
            select(outbox.c.kind, func.count()).where(outbox.c.done_at.is_(None)).group_by(outbox.c.kind)
        )
        with self._database.control_transaction() as db:
            return metrics.Counts(
                by_status=dict(db.execute(by_status).tuples().all()),
                unresolved=dict(db.execute(unresolved).tuples().all()),
                waiting=dict(db.execute(pending).tuples().all()),
            )


def queue_page(db: Connection, incident_id: UUID, *, recipient: str, again: bool = False) -> None:
    """Have somebody told of an incident; who was told of it before is told once more only ``again``."""
    page = upsert(outbox).values(incident_id=incident_id, kind="page", recipient=recipient)
    if not again:
        db.execute(page.on_conflict_do_nothing())
        return
    # Under another id, from which the key of the page is made: the same key would be the page of before.
    anew = {"id": func.gen_random_uuid(), "created_at": func.now(), "due_at": func.now(), "attempts": 0}
    db.execute(
        page.on_conflict_do_update(
            index_elements=["incident_id", "kind", "recipient"],
            set_={**anew, "done_at": None},
            where=outbox.c.done_at.is_not(None),
        )
    )


def assign(db: Connection, incident_id: UUID, *, engineer: str, actor: str) -> None:
    """Give an incident to whoever is on call, unless somebody has it or it is resolved.

    They are paged for what customers feel; a cause informs.
    """
    i = incidents.c
    assigned = db.execute(
        update(incidents)
        .where(i.id == incident_id, i.assigned_to.is_(None), i.status != "resolved")
        .values(assigned_to=engineer, updated_at=func.now())
        .returning(i.severity)
    ).one_or_none()
    if assigned is not None:
        _note_down(db, incident_id, actor, "assigned_to", None, engineer)
        if assigned.severity in PAGING:
            queue_page(db, incident_id, recipient=engineer)


def _lower(text: ColumnElement[str]) -> ColumnElement[str]:
    # The lab's own cluster has the locale C, which knows no capital letter beyond ASCII.
    return func.lower(text.collate("pg_c_utf8"))


def _incident(db: Connection, incident_id: UUID, *, lock: bool = False) -> Incident:
    query = select(*_SHOWN).where(incidents.c.id == incident_id)
    # Not the full lock: it would wait for every alert that is being attached.
    row = db.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"no incident {incident_id}")
    return Incident.model_validate(row)


def _write(db: Connection, incident_id: UUID, values: dict[str, Any]) -> Incident:
    row = db.execute(
        update(incidents)
        .where(incidents.c.id == incident_id)
        .values(updated_at=func.now(), **values)
        .returning(*_SHOWN)
    ).one()
    return Incident.model_validate(row)


def _step(db: Connection, before: Incident, wanted: Status, *, actor: str) -> dict[str, Any]:
    by, at = _who_set(db, before)
    check_step(before.status, wanted, actor=by, at=at)
    _note_down(db, before.id, actor, "status", before.status, wanted)
    # The lock may have been waited for: the time of the change is now, not when the transaction began.
    now = func.clock_timestamp()
    values: dict[str, Any] = {"status": wanted}
    if sets_acknowledged(wanted) and before.acknowledged_at is None:
        values |= {"acknowledged_at": now, "acknowledged_by": actor}
    if wanted == "resolved":
        values |= {"resolved_at": now, "resolved_by": actor}
    return values


def _who_set(db: Connection, incident: Incident) -> tuple[str | None, datetime | None]:
    t = timeline.c
    query = select(t.actor, t.at).where(
        t.incident_id == incident.id, t.what == "status", t.to_value == incident.status
    )
    row = db.execute(query.order_by(t.id.desc()).limit(1)).one_or_none()
    return (row.actor, row.at) if row else (None, None)


def _note_down(
    db: Connection, incident_id: UUID, actor: str, what: str, before: str | None, after: str | None
) -> None:
    db.execute(
        insert(timeline).values(
            incident_id=incident_id,
            at=func.clock_timestamp(),
            actor=actor,
            what=what,
            from_value=before,
            to_value=after,
        )
    )


def _timeline(db: Connection, incident_id: UUID) -> list[TimelineEntry]:
    query = select(timeline).where(timeline.c.incident_id == incident_id).order_by(timeline.c.id)
    return [TimelineEntry.model_validate(row) for row in db.execute(query)]


def _reopened_as(db: Connection, incident_id: UUID) -> UUID | None:
    return db.scalar(select(incidents.c.id).where(incidents.c.reopened_from == incident_id))


def _stored(incident: Incident) -> dict[str, Any]:
    return {name: getattr(incident, name) for name in Incident.model_fields}


def _hash(new: NewIncident) -> str:
    asked = new.model_dump_json(include=set(NewIncident.model_fields))
    return hashlib.sha256(asked.encode()).hexdigest()


_wanted = (
    func.jsonb_to_recordset(cast(bindparam("wanted", type_=Text), JSONB))
    .table_valued(
        column("position", Integer),
        column("title", String),
        column("service", String),
        column("severity", String),
        column("assigned_to", String),
        column("idempotency_key", String),
        column("request_hash", String),
        name="wanted",
    )
    .render_derived(with_types=True)
)
_actor = bindparam("actor", type_=String)
_COPIED = ("title", "service", "severity", "assigned_to", "idempotency_key", "request_hash")
_new = select(func.gen_random_uuid().label("id"), _wanted).cte("new")
# In the order of the keys, so that two batches which share some do not wait for each other in a circle.
_opened = (
    upsert(incidents)
    .from_select(
        ["id", *_COPIED],
        select(_new.c.id, *(_new.c[name] for name in _COPIED)).order_by(_new.c.idempotency_key),
    )
    .on_conflict_do_nothing()
    .returning(*_SHOWN)
    .cte("opened")
)
_created = (
    insert(timeline)
    .from_select(
        ["incident_id", "actor", "what", "to_value"],
        select(_opened.c.id, _actor, literal("created"), literal("open")),
    )
    .cte("created")
)
_asked = (
    insert(outbox)
    .from_select(
        ["incident_id", "kind", "recipient"],
        select(
            _opened.c.id,
            case((_opened.c.assigned_to.is_(None), "assignment"), else_="page"),
            func.coalesce(_opened.c.assigned_to, ""),
        ).where(
            # Who takes an incident knows of it.
            _opened.c.assigned_to.is_(None)
            | (bindparam("pages", type_=Boolean) & (_opened.c.assigned_to != _actor))
        ),
    )
    .cte("asked")
)
_OPEN = (
    select(_new.c.position, *_opened.c)
    .join_from(_new, _opened, _opened.c.id == _new.c.id)
    .add_cte(_created, _asked)
)


def _open(
    db: Connection, batch: Sequence[tuple[NewIncident, str | None]], *, actor: str, pages: bool = True
) -> list[tuple[str | None, Incident]]:
    """Insert incidents with their first timeline row and their outbox row, in one statement for all.

    ``pages`` has whom one is given to paged. A key that is there already gives
    the incident that it stands for.
    """
    wanted = [
        {
            "position": position,
            **new.model_dump(include=set(NewIncident.model_fields)),
            "idempotency_key": key,
            "request_hash": _hash(new) if key else None,
        }
        for position, (new, key) in enumerate(batch)
    ]
    rows = db.execute(_OPEN, {"wanted": json.dumps(wanted), "actor": actor, "pages": pages}).all()
    found = {row.position: Incident.model_validate(row) for row in rows}
    missing = {key: position for position, (_, key) in enumerate(batch) if position not in found}
    if missing:
        before = select(*_SHOWN, incidents.c.idempotency_key, incidents.c.request_hash)
        for row in db.execute(before.where(incidents.c.idempotency_key.in_(missing))):
            position = missing[row.idempotency_key]
            if row.request_hash != _hash(batch[position][0]):
                raise Unprocessable("this Idempotency-Key was used for a different incident")
            found[position] = Incident.model_validate(row)
    return [(key, found[position]) for position, (_, key) in enumerate(batch)]
