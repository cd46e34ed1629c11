"""The run's clock: minutes since the injection, without the pauses."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from services.exam.journal import Event, Journal


class RunClock:
    """Tells how much time had passed for the candidate at a moment."""

    def __init__(self, journal: Journal) -> None:
        self.began_at = journal.run.injected_at or journal.run.started_at
        self.ended_at = journal.run.ended_at
        self._pauses = tuple(_pauses(journal.events, ended_at=self.ended_at))

    def elapsed_s(self, at: datetime) -> float:
        """Seconds from the injection to ``at``, negative before it; while paused it stands still."""
        paused_s = sum(self._overlap_s(since, until, at=at) for since, until in self._pauses)
        return (at - self.began_at).total_seconds() - paused_s

    def is_running(self, at: datetime) -> bool:
        """Whether ``at`` lies between injection and end, outside the pauses."""
        is_paused = any(since <= at < until for since, until in self._pauses)
        return self.began_at <= at <= self.ended_at and not is_paused

    def _overlap_s(self, since: datetime, until: datetime, *, at: datetime) -> float:
        """How much of a pause lies between the injection and ``at``."""
        return max(0.0, (min(until, at) - max(since, self.began_at)).total_seconds())


def _pauses(events: Sequence[Event], *, ended_at: datetime) -> Iterator[tuple[datetime, datetime]]:
    since: datetime | None = None
    for event in events:
        if event.kind == "run.paused" and since is None:
            since = event.at
        elif event.kind == "run.resumed" and since is not None:
            yield since, event.at
            since = None
    if since is not None:
        yield since, ended_at
