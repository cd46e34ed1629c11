"""Events in words."""

from services.exam.journal import Event

KINDS: dict[str, str] = {
    "run.created": "run created",
    "run.started": "run started",
    "run.paused": "run paused",
    "run.resumed": "run resumed",
    "run.extended": "run extended",
    "run.ended": "run ended",
    "baseline.checked": "baseline checked",
    "fault.injected": "fault injected",
    "fault.reverted": "fault reverted",
    "herring.shown": "red herring shown",
    "alert.fired": "alert fired",
    "alert.resolved": "alert resolved",
    "incident.opened": "incident opened",
    "incident.acknowledged": "incident acknowledged",
    "incident.changed": "incident changed",
    "page.sent": "page sent",
    "page.acknowledged": "page acknowledged",
    "setting.changed": "setting changed",
    "record.changed": "DNS record changed",
    "sql.run": "SQL run",
    "service.restarted": "service restarted",
    "hint.taken": "hint taken",
    "update.posted": "status update",
    "note.added": "note",
    "submission.made": "submission",
    "symptom.recovered": "symptom gone",
    "symptom.back": "symptom back",
}
MOST_CHARACTERS = 600


def said(event: Event) -> str:
    """What an event's detail says, in one line; long texts are cut, the JSON file has them whole."""
    words = ", ".join(f"{name}: {_value(value)}" for name, value in event.detail.items() if value is not None)
    return words if len(words) <= MOST_CHARACTERS else words[:MOST_CHARACTERS] + " …"


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, dict):
        return "; ".join(f"{name} {_value(one)}" for name, one in value.items())
    return str(value)


def duration(seconds: float | None) -> str:
    """``95`` → ``1:35``; a dash for what did not happen."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(abs(seconds)), 60)
    return f"{'−' if seconds < 0 else ''}{minutes}:{rest:02d}"


def points(value: float) -> str:
    """``7.50`` → ``7.5``, ``-2`` → ``−2``."""
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-", "−")
