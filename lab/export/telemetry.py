"""Log lines and spans of a run, read from the telemetry service's tables a minute at a time."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from psycopg2 import extensions, extras

from lab.export.recording import LogLine, Span

SLICE = timedelta(minutes=1)
LATEST = timedelta(minutes=2)
"""By so much later than it happened something may have been received: queues, retries, a restart."""

_LOGS = """
SELECT signal_id::text, timestamp AS at, service, level, message, trace_id, attributes
FROM telemetry.signals
WHERE received_at >= %(from)s AND received_at < %(to)s AND timestamp >= %(since)s AND timestamp <= %(until)s
ORDER BY timestamp, signal_id
"""
_SPANS = """
SELECT trace_id, span_id, parent_span_id, service, name, kind, status, status_message, started_at,
       duration_ms, attributes
FROM telemetry.spans
WHERE received_at >= %(from)s AND received_at < %(to)s AND started_at >= %(since)s AND started_at <= %(until)s
ORDER BY started_at, span_id
"""
_OLDEST = """
SELECT 'spans' AS what, min(received_at) AS at FROM telemetry.spans
UNION ALL SELECT 'log lines', min(received_at) FROM telemetry.signals
"""


class StoredTelemetry:
    """What telemetry has of the time between, through a session that may read its tables.

    Ordered by time within each minute of arrival: what came late stands late.
    """

    def __init__(self, session: extensions.connection, *, since: datetime, until: datetime) -> None:
        self._session = session
        self._since = since
        self._until = until

    def logs(self) -> Iterator[LogLine]:
        """The log lines."""
        return (LogLine(**row) for row in self._sliced(_LOGS))

    def spans(self) -> Iterator[Span]:
        """The spans."""
        return (Span(**row) for row in self._sliced(_SPANS))

    def gaps(self) -> list[str]:
        """A line for what retention has removed already."""
        return [
            f"there are no {row['what']} before {row['at']:%H:%M:%S} UTC: telemetry has removed them"
            if row["at"]
            else f"there are no {row['what']} at all"
            for row in self._rows(_OLDEST, {})
            if row["at"] is None or row["at"] > self._since + SLICE
        ]

    def _sliced(self, query: str) -> Iterator[dict[str, Any]]:
        start = self._since
        while start <= self._until + LATEST:
            window = {"from": start, "to": start + SLICE, "since": self._since, "until": self._until}
            yield from self._rows(query, window)
            start += SLICE

    def _rows(self, query: str, parameters: dict[str, datetime]) -> Sequence[dict[str, Any]]:
        with closing(self._session.cursor(cursor_factory=extras.RealDictCursor)) as cursor:
            cursor.execute(query, parameters)
            rows: Sequence[dict[str, Any]] = cursor.fetchall()
            return rows
