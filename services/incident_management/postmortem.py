"""A postmortem as Markdown, its timeline filled in from what was recorded."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from services.incident_management.schemas import IncidentDetail, TimelineEntry

_OPEN = "_Not written yet._"


def markdown(incident: IncidentDetail, written: Row[Any]) -> str:
    """The whole document. Sections that nobody has written say so."""
    sections = [
        f"# Postmortem: {_line(incident.title)}",
        "\n".join(f"- **{name}:** {value}" for name, value in _facts(incident, written)),
        _section("Summary", written.summary),
        _section("Impact", written.impact),
        _section("Root cause", written.root_cause),
        _section("Timeline", "\n".join(_timeline(incident.timeline))),
        _section("Alerts", "\n".join(_alerts(incident)) or "None."),
        _section("Lessons", written.lessons),
        _section("Action items", "\n".join(f"- [ ] {_line(item)}" for item in written.action_items)),
    ]
    return "\n\n".join(sections) + "\n"


def _facts(incident: IncidentDetail, written: Row[Any]) -> list[tuple[str, str]]:
    return [
        ("Incident", str(incident.id)),
        ("Service", incident.service),
        ("Severity", incident.severity),
        ("Opened", f"{incident.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Resolved", f"{incident.resolved_at:%Y-%m-%d %H:%M:%S} UTC" if incident.resolved_at else "no"),
        ("Time to acknowledge", _duration(incident.mtta_seconds)),
        ("Time to resolve", _duration(incident.mttr_seconds)),
        ("Assigned to", _line(incident.assigned_to or "nobody")),
        ("Author", _line(written.author)),
    ]


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text.strip() or _OPEN}"


def _timeline(entries: Sequence[TimelineEntry]) -> list[str]:
    return [f"- {entry.at:%Y-%m-%d %H:%M:%S} **{_line(entry.actor)}** {_change(entry)}" for entry in entries]


def _change(entry: TimelineEntry) -> str:
    what = entry.what.replace("_", " ")
    if entry.from_value is not None:
        return f"{what}: {_line(entry.from_value)} → {_line(entry.to_value or 'nobody')}"
    return f"{what}: {_line(entry.to_value)}" if entry.to_value is not None else what


def _alerts(incident: IncidentDetail) -> list[str]:
    shown = [
        f"- {alert.received_at:%Y-%m-%d %H:%M:%S} {alert.source}: {_line(alert.message)}"
        for alert in reversed(incident.alerts)
    ]
    left_out = incident.alert_count - len(shown)
    return ([f"- {left_out} earlier ones are left out"] if left_out else []) + shown


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"


def _line(text: str) -> str:
    """Text on one line that is no markup: what somebody typed must not restructure the document."""
    flat = " ".join(text.split())
    for sign in "\\`*_[]<>#|":
        flat = flat.replace(sign, "\\" + sign)
    return flat
