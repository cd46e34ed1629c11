"""What Prometheus says of a run, and what became of its evidence, kept while the run goes on.

At the end of a long run Prometheus may have forgotten its beginning, or have
been restarted without a memory, and telemetry may have removed a trace that a
candidate gave as evidence when it was there.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database
from services.exam.journal import EvidenceFinding, Series
from services.exam.prometheus import Prometheus
from services.exam.store import RunRow
from services.exam.tables import recordings, submissions

MOST_POINTS = 5_000
"""Of one series in a journal."""


@dataclass(frozen=True)
class Recorded:
    """Golden signals, and services with when a process of theirs began."""

    signals: tuple[Series, ...]
    restarts: tuple[tuple[str, datetime], ...]


class Recordings:
    """What was kept of each run. Recording raises ``Unavailable`` while Prometheus is away."""

    def __init__(self, database: Database, prometheus: Prometheus) -> None:
        self._database = database
        self._prometheus = prometheus

    def record(self, row: RunRow) -> None:
        """Keep what there is since the last time; nothing before the start, nor after the end."""
        until = row.ended_at or row.now
        if row.started_at is None:
            return
        since = self._recorded_until(row.id) or row.started_at
        if since >= until:
            return
        signals = self._prometheus.golden_signals(since=since, until=until)
        restarts = self._prometheus.restarts(since=row.started_at, until=until, looked_since=since)
        values = {
            "run_id": row.id,
            "since": since,
            "until": until,
            "signals": [one.model_dump(mode="json") for one in signals],
            "restarts": [[service, at.timestamp()] for service, at in restarts],
        }
        with self._database.transaction() as db:
            db.execute(insert(recordings).values(values).on_conflict_do_nothing())

    def of(self, run_id: UUID) -> Recorded:
        """Everything that was kept of a run, put together."""
        r = recordings.c
        query = select(r.signals, r.restarts).where(r.run_id == run_id).order_by(r.since)
        with self._database.transaction() as db:
            rows = db.execute(query).all()
        restarts = {(service, at) for row in rows for service, at in row.restarts}
        return Recorded(
            signals=joined([Series.model_validate(one) for one in row.signals] for row in rows),
            restarts=tuple((service, datetime.fromtimestamp(at, UTC)) for service, at in sorted(restarts)),
        )

    def unchecked(self, run_id: UUID) -> list[int]:
        """The numbers of the submissions whose evidence nobody has looked at yet."""
        s = submissions.c
        query = select(s.number).where(s.run_id == run_id, s.findings.is_(None)).order_by(s.number)
        with self._database.transaction() as db:
            return list(db.scalars(query))

    def keep_findings(self, run_id: UUID, number: int, found: Sequence[EvidenceFinding]) -> None:
        """Keep what became of a submission's evidence, in its order."""
        s = submissions.c
        kept = [one.model_dump(mode="json") for one in found]
        with self._database.transaction() as db:
            db.execute(
                update(submissions).where(s.run_id == run_id, s.number == number).values(findings=kept)
            )

    def findings(self, run_id: UUID, number: int) -> list[EvidenceFinding]:
        """What was kept of a submission's evidence; empty if it was never looked at."""
        s = submissions.c
        query = select(s.findings).where(s.run_id == run_id, s.number == number)
        with self._database.transaction() as db:
            return [EvidenceFinding.model_validate(one) for one in db.scalar(query) or ()]

    def _recorded_until(self, run_id: UUID) -> datetime | None:
        query = select(func.max(recordings.c.until)).where(recordings.c.run_id == run_id)
        with self._database.transaction() as db:
            found: datetime | None = db.scalar(query)
        return found


def joined(windows: Iterable[Iterable[Series]]) -> tuple[Series, ...]:
    """The windows of each series one after the other, in the order of name and service; thinned if many."""
    points: dict[tuple[str, str, str], dict[float, float]] = {}
    for one in (series for window in windows for series in window):
        points.setdefault((one.name, one.service, one.unit), {}).update(one.points)
    return tuple(
        Series(name=name, service=service, unit=unit, points=_thinned(sorted(found.items())))
        for (name, service, unit), found in sorted(points.items())
    )


def _thinned(points: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    return tuple(points[:: max(1, math.ceil(len(points) / MOST_POINTS))])
