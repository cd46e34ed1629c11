"""How times and durations read."""

from datetime import UTC, datetime


def duration(seconds: float) -> str:
    """Two units at most: ``48 s``, ``3 m 05 s``, ``2 h 04 m``, ``3 d 04 h``. ``static/console.js`` agrees."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} m"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"


def clock(at: datetime) -> str:
    """The time of day: ``04:12:33 UTC``."""
    return at.astimezone(UTC).strftime("%H:%M:%S UTC")


def moment(at: datetime) -> str:
    """Date and time: ``21 Nov 04:12 UTC``."""
    return at.astimezone(UTC).strftime("%-d %b %H:%M UTC")


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, for ``<time datetime>``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(milliseconds: float) -> str:
    """A short time: ``0.4 ms``, ``48 ms``, ``2.03 s``, from a minute on like ``duration``."""
    if milliseconds < 9.95:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.2f} s" if milliseconds < 60_000 else duration(milliseconds / 1000)
