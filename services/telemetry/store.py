"""Writing: what a request brings is in Postgres, each thing once, before the request is answered."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Table, case, func
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database
from services.telemetry import metrics
from services.telemetry.records import Arrivals, ErrorEvent, Key, Signal, Span
from services.telemetry.tables import events, signals, spans, traces

Row = dict[str, Any]


class Store:
    """Signals, spans and error events in Postgres; several processes may write at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, batch: Sequence[Arrivals]) -> list[int]:
        """Store all that these requests bring, or nothing; how many rows of each are new.

        What two of them bring is new in the first one. Raises SQLAlchemy's errors.
        """
        with self._database.transaction() as db:
            new = {
                "signals": _insert_new(db, signals, [one for a in batch for one in a.signals]),
                "spans": _add_spans(db, [one for a in batch for one in a.spans]),
                "events": _insert_new(db, events, [one for a in batch for one in a.events]),
            }
        for kind, keys in new.items():
            metrics.stored.labels(kind).inc(len(keys))
        unclaimed = set().union(*new.values())
        return [_claim(unclaimed, arrivals) for arrivals in batch]


def _claim(unclaimed: set[Key], arrivals: Arrivals) -> int:
    rows: tuple[Signal | Span | ErrorEvent, ...] = (*arrivals.signals, *arrivals.spans, *arrivals.events)
    own = {row.key for row in rows} & unclaimed
    unclaimed -= own
    return len(own)


def _add_spans(db: Connection, found: Sequence[Span]) -> set[Key]:
    new = _insert_new(db, spans, found)
    of_trace: dict[str, list[Span]] = defaultdict(list)
    for span in {span.key: span for span in reversed(found)}.values():
        if span.key in new:
            of_trace[span.trace_id].append(span)
    if of_trace:
        _merge_traces(db, [_trace_row(of_trace[trace_id]) for trace_id in sorted(of_trace)])
    return new


def _insert_new(db: Connection, table: Table, found: Sequence[Signal | Span | ErrorEvent]) -> set[Key]:
    """Insert what is not there yet; the keys of that.

    In the order of the keys: two processes that are brought the same rows wait
    for each other, and never both at once.
    """
    if not found:
        return set()
    names = [one.name for one in fields(found[0])]
    ordered = sorted(found, key=attrgetter("key"))
    rows = [{name: getattr(row, name) for name in names} for row in ordered]
    statement = insert(table).on_conflict_do_nothing().returning(*table.primary_key.columns)
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
