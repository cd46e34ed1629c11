"""Reading: log lines, traces and groups of errors, newest first, a page at a time."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    cast,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import OperationalError

from services.common.database import Database
from services.common.errors import DeadlineExceeded, NotFound
from services.telemetry.records import LEVELS, Level
from services.telemetry.schemas import (
    ErrorGroup,
    ErrorGroupDetail,
    ErrorOccurrence,
    ErrorPage,
    LogLine,
    LogPage,
    Trace,
    TracePage,
    TraceSummary,
)
from services.telemetry.tables import events, signals, spans, traces
from services.telemetry.tree import tree

MAX_SPANS = 2000
"""So many spans of a trace are shown."""
TAG_VALUES = 10
"""So many values of a tag are counted for a group, the most frequent ones."""
STATEMENT_TIMEOUT_MS = 5000
_QUERY_CANCELED = "57014"

Condition = ColumnElement[bool]


@dataclass(frozen=True)
class Window:
    """Which page, of what happened when."""

    since: datetime | None
    until: datetime | None
    limit: int
    offset: int

    def over(self, column: ColumnElement[datetime]) -> list[Condition]:
        """Only what happened in it."""
        found = []
        if self.since is not None:
            found.append(column >= self.since)
        if self.until is not None:
            found.append(column < self.until)
        return found

    def place(self, rows: Sequence[object]) -> dict[str, Any]:
        """The fields of a page, when one row more than the page has was asked for."""
        more = len(rows) > self.limit
        return {
            "limit": self.limit,
            "offset": self.offset,
            "next_offset": self.offset + self.limit if more else None,
        }


class Queries:
    """What readers ask for. Every answer is one that Postgres gives within ``STATEMENT_TIMEOUT_MS``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def logs(
        self,
        window: Window,
        *,
        service: str | None,
        level: Level | None,
        trace_id: str | None,
        q: str | None,
    ) -> LogPage:
        """Log lines; ``level`` means that level or above, ``q`` is found in the message or the attributes."""
        s = signals.c
        conditions = window.over(s.timestamp)
        if service is not None:
            conditions.append(s.service == service)
        if level is not None and level != LEVELS[0]:
            conditions.append(s.level.in_(LEVELS[LEVELS.index(level) :]))
        if trace_id is not None:
            conditions.append(s.trace_id == trace_id.lower())
        if q is not None:
            in_attributes = cast(s.attributes, Text).icontains(q, autoescape=True)
            conditions.append(or_(s.message.icontains(q, autoescape=True), in_attributes))
        query = select(signals).where(*conditions).order_by(s.timestamp.desc(), s.signal_id)
        rows = self._page(query, window)
        items = [LogLine.model_validate(row) for row in rows[: window.limit]]
        return LogPage(items=items, **window.place(rows))

    def traces(
        self,
        window: Window,
        *,
        service: str | None,
        min_duration_ms: float | None,
        error: bool | None,
        route: str | None,
    ) -> TracePage:
        """Traces; ``service`` and ``route`` are those of any span, ``error`` whether any span failed."""
        t = traces.c
        conditions = window.over(t.started_at)
        if service is not None:
            conditions.append(t.services.contains([service]))
        if route is not None:
            conditions.append(or_(t.routes.contains([route]), t.root_name == route))
        if min_duration_ms is not None:
            conditions.append(t.duration_ms >= min_duration_ms)
        if error is not None:
            conditions.append(t.errors > 0 if error else t.errors == 0)
        query = select(traces).where(*conditions).order_by(t.started_at.desc(), t.trace_id)
        rows = self._page(query, window)
        items = [TraceSummary.model_validate(row) for row in rows[: window.limit]]
        return TracePage(items=items, **window.place(rows))

    def trace(self, trace_id: str) -> Trace:
        """One trace as a tree; raises ``NotFound``."""
        c = spans.c
        query = select(spans).where(c.trace_id == trace_id.lower()).order_by(c.started_at, c.span_id)
        with self._reading() as db:
            rows = db.execute(query.limit(MAX_SPANS + 1)).all()
        if not rows:
            raise NotFound(f"no trace {trace_id}")
        shown: Sequence[Any] = rows[:MAX_SPANS]
        started_at = min(row.started_at for row in shown)
        ended_at = max(row.started_at + timedelta(milliseconds=row.duration_ms) for row in shown)
        return Trace(
            trace_id=shown[0].trace_id,
            started_at=started_at,
            duration_ms=(ended_at - started_at).total_seconds() * 1000,
            services=sorted({row.service for row in shown}),
            spans=tree(shown, started_at=started_at),
            truncated=len(rows) > MAX_SPANS,
        )

    def errors(
        self, window: Window, *, tags: Mapping[str, str], service: str | None, trace_id: str | None
    ) -> ErrorPage:
        """Groups of errors; they count and show only what the conditions let through."""
        e = events.c
        conditions = window.over(e.timestamp)
        if tags:
            conditions.append(e.tags.contains(dict(tags)))
        if service is not None:
            conditions.append(e.service == service)
        if trace_id is not None:
            conditions.append(e.trace_id == trace_id.lower())
        with self._reading() as db:
            rows = db.execute(
                _groups(conditions)
                .order_by(func.max(e.timestamp).desc(), e.group_id)
                .limit(window.limit + 1)
                .offset(window.offset)
            ).all()
            items = _described(db, rows[: window.limit], conditions)
        return ErrorPage(items=items, **window.place(rows))

    def error_group(self, group_id: str, *, limit: int) -> ErrorGroupDetail:
        """One group with its latest errors; raises ``NotFound``."""
        e = events.c
        conditions = [e.group_id == group_id]
        latest = select(events).where(*conditions).order_by(e.timestamp.desc(), e.event_id).limit(limit)
        with self._reading() as db:
            described = _described(db, db.execute(_groups(conditions)).all(), conditions)
            rows = db.execute(latest).all()
        if not described:
            raise NotFound(f"no group of errors {group_id}")
        occurrences = [
            ErrorOccurrence.model_validate({**row._mapping, "event_id": row.event_id.hex}) for row in rows
        ]
        return ErrorGroupDetail(**described[0].model_dump(), events=occurrences)

    def _page(self, query: Select[Any], window: Window) -> Sequence[Row[Any]]:
        with self._reading() as db:
            return db.execute(query.limit(window.limit + 1).offset(window.offset)).all()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._database.checkout() as db:
                # All statements of an answer see the same rows, whatever retention removes between them.
                db.execution_options(isolation_level="REPEATABLE READ")
                with db.begin():
                    db.execute(select(func.set_config("statement_timeout", str(STATEMENT_TIMEOUT_MS), True)))
                    yield db
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) != _QUERY_CANCELED:
                raise
            raise DeadlineExceeded(
                "this takes too long to find: narrow it by since, service or trace_id"
            ) from error


def _groups(conditions: Sequence[Condition]) -> Select[Any]:
    e = events.c
    return (
        select(
            e.group_id,
            func.count().label("count"),
            func.min(e.timestamp).label("first_seen"),
            func.max(e.timestamp).label("last_seen"),
            func.array_remove(func.array_agg(e.release.distinct()), None).label("releases"),
        )
        .where(*conditions)
        .group_by(e.group_id)
    )


def _described(db: Connection, rows: Sequence[Row[Any]], conditions: Sequence[Condition]) -> list[ErrorGroup]:
    """The groups with what their last error says, and how often each tag has which value."""
    e = events.c
    ids = [row.group_id for row in rows]
    if not ids:
        return []
    newest = (
        select(e.group_id, e.event_id, e.type, e.value, e.culprit, e.service, e.trace_id)
        .ext(distinct_on(e.group_id))
        .where(*conditions, e.group_id.in_(ids))
        .order_by(e.group_id, e.timestamp.desc(), e.event_id)
    )
    last = {row.group_id: row for row in db.execute(newest)}
    tags = _tag_counts(db, [*conditions, e.group_id.in_(ids)])
    return [
        ErrorGroup(
            **row._mapping,
            type=last[row.group_id].type,
            value=last[row.group_id].value,
            culprit=last[row.group_id].culprit,
            service=last[row.group_id].service,
            last_event_id=last[row.group_id].event_id.hex,
            last_trace_id=last[row.group_id].trace_id,
            tags=tags[row.group_id],
        )
        for row in rows
    ]


def _tag_counts(db: Connection, conditions: Sequence[Condition]) -> dict[str, dict[str, dict[str, int]]]:
    e = events.c
    tag = func.jsonb_each_text(e.tags).table_valued("key", "value").lateral("tag")
    occurs = func.count().label("occurs")
    rank = func.row_number().over(
        partition_by=[e.group_id, tag.c.key], order_by=[func.count().desc(), tag.c.value]
    )
    counted = (
        select(e.group_id, tag.c.key, tag.c.value, occurs, rank.label("rank"))
        .select_from(events.join(tag, true()))
        .where(*conditions)
        .group_by(e.group_id, tag.c.key, tag.c.value)
        .subquery()
    )
    c = counted.c
    query = select(counted).where(c.rank <= TAG_VALUES).order_by(c.group_id, c.key, c.rank)
    found: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in db.execute(query):
        found[row.group_id][row.key][row.value] = row.occurs
    return found
