"""Writing: what a request brings is in Postgres, each thing once, before the request is answered."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Table, case, func
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database
from services.telemetry import metrics
from services.telemetry.records import Arrivals, ErrorEvent, Signal, Span
from services.telemetry.tables import events, signals, spans, traces

Row = dict[str, Any]


class Store:
    """Signals, spans and error events in Postgres; several processes may write at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, arrivals: Arrivals) -> int:
        """Store all of it, or nothing; how many rows are new. Raises SQLAlchemy's errors."""
        for kind, count in arrivals.seen.items():
            metrics.received.labels(kind).inc(count)
        if not (arrivals.signals or arrivals.spans or arrivals.events):
            return 0
        with self._database.transaction() as db:
            new = {
                "signals": _add_signals(db, arrivals.signals),
                "spans": _add_spans(db, arrivals.spans),
                "events": _add_events(db, arrivals.events),
            }
        for kind, count in new.items():
            metrics.stored.labels(kind).inc(count)
        return sum(new.values())


def _add_signals(db: Connection, found: Sequence[Signal]) -> int:
    return len(_insert_new(db, signals, found, key=("signal_id",)))


def _add_events(db: Connection, found: Sequence[ErrorEvent]) -> int:
    return len(_insert_new(db, events, found, key=("event_id",)))


def _add_spans(db: Connection, found: Sequence[Span]) -> int:
    new = _insert_new(db, spans, found, key=("trace_id", "span_id"))
    if new:
        of_trace: dict[str, list[Span]] = defaultdict(list)
        for span in {(span.trace_id, span.span_id): span for span in reversed(found)}.values():
            if (span.trace_id, span.span_id) in new:
                of_trace[span.trace_id].append(span)
        _merge_traces(db, [_trace_row(of_trace[trace_id]) for trace_id in sorted(of_trace)])
    return len(new)


def _insert_new(
    db: Connection, table: Table, found: Iterable[Signal | Span | ErrorEvent], *, key: tuple[str, ...]
) -> set[tuple[Any, ...]]:
    """Insert what is not there yet; the keys of that.

    In the order of the keys: two requests that bring the same rows wait for
    each other, and never both at once.
    """
    ordered = sorted(found, key=attrgetter(*key))
    if not ordered:
        return set()
    names = [one.name for one in fields(ordered[0])]
    rows = [{name: getattr(row, name) for name in names} for row in ordered]
    statement = insert(table).on_conflict_do_nothing().returning(*(table.c[name] for name in key))
    return {tuple(row) for row in db.execute(statement, rows)}


def _trace_row(found: Sequence[Span]) -> Row:
    """What these spans of one trace say about it."""
    root = min(found, key=lambda span: (span.parent_span_id is not None, span.started_at))
    return {
        "trace_id": root.trace_id,
        "started_at": min(span.started_at for span in found),
        "ended_at": max(span.started_at + timedelta(milliseconds=span.duration_ms) for span in found),
        "spans": len(found),
        "errors": sum(span.status == "error" for span in found),
        "services": sorted({span.service for span in found}),
        "routes": sorted({str(route) for span in found if (route := span.attributes.get("http.route"))}),
        "root_service": root.service,
        "root_name": root.name,
        "root_started_at": root.started_at,
        "has_root": root.parent_span_id is None,
    }


def _merge_traces(db: Connection, rows: list[Row]) -> None:
    statement = insert(traces)
    ours, theirs = traces.c, statement.excluded
    is_better_root = (theirs.has_root & ~ours.has_root) | (
        (theirs.has_root == ours.has_root) & (theirs.root_started_at < ours.root_started_at)
    )
    root = ("root_service", "root_name", "root_started_at")
    db.execute(
        statement.on_conflict_do_update(
            index_elements=[ours.trace_id],
            set_={
                "received_at": func.now(),
                "started_at": func.least(ours.started_at, theirs.started_at),
                "ended_at": func.greatest(ours.ended_at, theirs.ended_at),
                "spans": ours.spans + theirs.spans,
                "errors": ours.errors + theirs.errors,
                "services": func.telemetry.merged(ours.services, theirs.services),
                "routes": func.telemetry.merged(ours.routes, theirs.routes),
                "has_root": ours.has_root | theirs.has_root,
                **{name: case((is_better_root, theirs[name]), else_=ours[name]) for name in root},
            },
        ),
        rows,
    )
