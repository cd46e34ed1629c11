"""A run's timeline, collected from where everybody writes down what they do.

Alerts, incidents, pages, operator settings and the statements of the
candidate's role are read from Postgres under the examiner's role; restarts of
services from Prometheus.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import text

from services.common.database import Database
from services.common.fields import OWN_ACTORS
from services.common.ops import RESTART
from services.exam.grading.facts import is_person
from services.exam.journal import Event, EventKind
from services.exam.prometheus import Prometheus

RECORD = "record "
"""Operator changes of DNS records are audited under ``record <name>``."""
MAX_STATEMENT = 100_000
"""What does harm is searched for in what is kept: no padding that anybody would type hides it."""

_ALERTS = text(
    "SELECT a.occurred_at, a.received_at, a.resolved_at, a.labels, a.service, a.severity, a.incident_id::text"
    " FROM incident.alerts AS a WHERE a.received_at BETWEEN :since AND :until ORDER BY a.received_at"
)
_INCIDENTS = text(
    "SELECT i.id::text, i.created_at, i.service, i.severity, i.title, i.acknowledged_at, i.acknowledged_by,"
    " (SELECT t.actor FROM incident.timeline AS t WHERE t.incident_id = i.id"
    " ORDER BY t.id LIMIT 1) AS opened_by"
    " FROM incident.incidents AS i WHERE i.created_at BETWEEN :since AND :until ORDER BY i.created_at"
)
_CHANGES = text(
    "SELECT t.incident_id::text, t.at, t.actor, t.what, t.from_value, t.to_value FROM incident.timeline AS t"
    " WHERE t.at BETWEEN :since AND :until ORDER BY t.at, t.id"
)
_NOTES = text(
    "SELECT n.incident_id::text, n.at, n.author, n.text FROM incident.notes AS n"
    " WHERE n.at BETWEEN :since AND :until ORDER BY n.at, n.id"
)
_PAGES = text(
    "SELECT d.incident_id, coalesce(d.ended_at, d.created_at) AS at, d.recipient, d.channel, d.message"
    " FROM notification.deliveries AS d"
    " WHERE d.status = 'delivered' AND d.created_at BETWEEN :since AND :until ORDER BY d.seq"
)
_SETTINGS = text(
    "SELECT c.at, c.service, c.actor, c.name, c.old_value, c.new_value FROM ops.setting_changes AS c"
    " WHERE c.at BETWEEN :since AND :until ORDER BY c.at, c.id"
)
_STATEMENTS = text("SELECT at, statement, error, code FROM guard.candidate_statements(:since, :until)")


class TimelineReader:
    """Reads what everybody but the exam itself did between two moments."""

    def __init__(self, database: Database, prometheus: Prometheus) -> None:
        self._database = database
        self._prometheus = prometheus

    def events(self, *, since: datetime, until: datetime) -> list[Event]:
        """Everything between the two moments, in the order of time."""
        found = [
            *self._alerts(since, until),
            *self._incidents(since, until),
            *self._changes(since, until),
            *self._notes(since, until),
            *self._pages(since, until),
            *self._settings(since, until),
            *self._statements(since, until),
            *self._restarts(since, until),
        ]
        return sorted((event for event in found if since <= event.at <= until), key=lambda event: event.at)

    def statements(self, *, since: datetime, until: datetime) -> list[Event]:
        """What the candidate's role ran."""
        return list(self._statements(since, until))

    def _rows(self, query: Any, since: datetime, until: datetime) -> list[Any]:
        with self._database.transaction() as db:
            return list(db.execute(query, {"since": since, "until": until}).all())

    def _alerts(self, since: datetime, until: datetime) -> Iterator[Event]:
        for row in self._rows(_ALERTS, since, until):
            labels = {
                "alertname": row.labels.get("alertname", ""),
                "service": row.service,
                "severity": row.severity,
                "incident_id": row.incident_id,
            }
            yield _event(row.received_at, "alert.fired", "monitoring", **labels)
            if row.resolved_at is not None:
                yield _event(row.resolved_at, "alert.resolved", "monitoring", **labels)

    def _incidents(self, since: datetime, until: datetime) -> Iterator[Event]:
        for row in self._rows(_INCIDENTS, since, until):
            shown = {"service": row.service, "severity": row.severity, "title": row.title}
            opened_by = row.opened_by or "incident-management"
            yield _event(row.created_at, "incident.opened", opened_by, incident_id=row.id, **shown)
            if row.acknowledged_at is not None:
                actor = row.acknowledged_by or ""
                yield _event(row.acknowledged_at, "incident.acknowledged", actor, incident_id=row.id)

    def _changes(self, since: datetime, until: datetime) -> Iterator[Event]:
        for row in self._rows(_CHANGES, since, until):
            change = {"what": row.what, "from": row.from_value, "to": row.to_value}
            yield _event(row.at, "incident.changed", row.actor, incident_id=row.incident_id, **change)

    def _notes(self, since: datetime, until: datetime) -> Iterator[Event]:
        for row in self._rows(_NOTES, since, until):
            yield _event(row.at, "note.added", row.author, incident_id=row.incident_id, text=row.text)

    def _pages(self, since: datetime, until: datetime) -> Iterator[Event]:
        for row in self._rows(_PAGES, since, until):
            page = {"recipient": row.recipient, "channel": row.channel, "message": row.message}
            yield _event(row.at, "page.sent", "notification-service", incident_id=row.incident_id, **page)

    def _settings(self, since: datetime, until: datetime) -> Iterator[Event]:
        for row in self._rows(_SETTINGS, since, until):
            change = {"service": row.service, "old": row.old_value, "new": row.new_value}
            actor = named(row.actor)
            if row.name == RESTART:
                yield _event(row.at, "service.restarted", actor, service=row.service)
            elif row.name.startswith(RECORD):
                yield _event(row.at, "record.changed", actor, record=row.name.removeprefix(RECORD), **change)
            else:
                yield _event(row.at, "setting.changed", actor, setting=row.name, **change)

    def _statements(self, since: datetime, until: datetime) -> Iterator[Event]:
        for row in self._rows(_STATEMENTS, since, until):
            statement = row.statement[:MAX_STATEMENT]
            failed = {"error": row.error, "sqlstate": row.code}
            yield _event(row.at, "sql.run", "candidate", statement=statement, **failed)

    def _restarts(self, since: datetime, until: datetime) -> Iterator[Event]:
        """A service that came back has another start time than the one before."""
        for service, at in self._prometheus.restarts(since=since, until=until):
            yield restarted(service, at)


def restarted(service: str, at: datetime) -> Event:
    """A new process of a service, as its own start time shows it."""
    return _event(at, "service.restarted", "lab", service=service)


def named(actor: str) -> str:
    """Who changed something, as the audit table has it; who only claims to be a machine stands in quotes.

    Whoever asks for a change gives a name, which may be any but the services' own.
    """
    return actor if actor in OWN_ACTORS or is_person(actor) else f'"{actor}"'


def _event(at: datetime, kind: EventKind, actor: str, **detail: Any) -> Event:
    return Event(at=at, kind=kind, actor=actor, detail=detail)
