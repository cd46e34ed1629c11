"""Making something storable of what a source sends: no alert is refused for a word that we do not know."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from services.alert_ingestion.arrival import Arrival, Resolution
from services.alert_ingestion.schemas import FIRST_TIME, LAST_TIME, MAX_LABEL_VALUE, MAX_LABELS, MAX_MESSAGE
from services.common.fields import Severity

Event = Arrival | Resolution

_SEVERITIES: dict[str, Severity] = {
    **dict.fromkeys(("critical", "fatal", "page", "emergency", "disaster", "p1", "sev1"), "critical"),
    **dict.fromkeys(("high", "error", "major", "p2", "sev2"), "high"),
    **dict.fromkeys(("medium", "warning", "warn", "average", "minor", "p3", "sev3"), "medium"),
    **dict.fromkeys(("low", "info", "information", "notice", "debug", "none", "p4", "sev4"), "low"),
}
UNKNOWN_SEVERITY: Severity = "medium"
UNKNOWN_SERVICE = "unknown"
MAX_NAME = 100
MAX_FINGERPRINT = 200


def severity(word: str) -> Severity:
    """Our severity for a source's word; ``medium`` for a word that nobody knows."""
    return _SEVERITIES.get(word.strip().lower(), UNKNOWN_SEVERITY)


def text(value: object, *, limit: int = MAX_LABEL_VALUE) -> str:
    """A value as text that Postgres keeps: no NUL, no lone surrogates, at most ``limit`` long."""
    return str(value).replace("\x00", "").encode("utf-8", "replace").decode()[:limit]


def message(*candidates: object) -> str:
    """The first candidate that says something."""
    said = (text(candidate, limit=MAX_MESSAGE).strip() for candidate in candidates if candidate)
    return next((one for one in said if one), "alert without a message")


def service_name(*candidates: object) -> str:
    """The first candidate with a service's name in it: letters, digits and ``._-``."""
    names = (re.sub(r"[^A-Za-z0-9._-]+", "-", str(one)).strip("-._") for one in candidates if one)
    return next((name[:MAX_NAME] for name in names if name), UNKNOWN_SERVICE)


def labels(given: Mapping[str, object]) -> dict[str, str]:
    """Labels that can be kept: text for text, and not more of them than anybody reads."""
    kept = sorted(given.items())[:MAX_LABELS]
    return {text(name, limit=MAX_NAME): text(value) for name, value in kept}


def in_utc(time: datetime | None) -> datetime | None:
    """A time in UTC, also if it says no zone; ``None`` for one that cannot be kept, such as year 1."""
    if time is None:
        return None
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    # Postgres takes no zone that is 16 hours or more from UTC; some senders have such a one.
    return aware.astimezone(UTC) if FIRST_TIME <= aware <= LAST_TIME else None
