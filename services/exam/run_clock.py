"""A run's clock: it begins when the run starts, and stands still while it is paused. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class RunClock:
    """``paused_s`` is how long the clock stood before; ``paused_at`` since when it stands now."""

    started_at: datetime | None
    paused_at: datetime | None
    paused_s: float
    ended_at: datetime | None
    minutes: float

    def elapsed_s(self, now: datetime) -> float:
        """Seconds of the run's own time; 0 before it starts, still once it ended."""
        if self.started_at is None:
            return 0.0
        until = min(moment for moment in (now, self.paused_at, self.ended_at) if moment is not None)
        return max(0.0, (until - self.started_at).total_seconds() - self.paused_s)

    def left_s(self, now: datetime) -> float:
        """Seconds until time is up, never below zero."""
        return max(0.0, self.minutes * 60 - self.elapsed_s(now))

    def ends_at(self, now: datetime) -> datetime | None:
        """When time will be up if nobody pauses; ``None`` before the start and while it stands."""
        if self.started_at is None or self.paused_at is not None:
            return None
        return now + timedelta(seconds=self.left_s(now))
