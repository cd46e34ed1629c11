"""What the console reads of its backends' answers; fields that it does not show are left out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

Status = Literal["open", "acknowledged", "in_progress", "resolved"]
Severity = Literal["critical", "high", "medium", "low"]

STATUSES: dict[Status, str] = {
    "open": "Open",
    "acknowledged": "Acknowledged",
    "in_progress": "In progress",
    "resolved": "Resolved",
}
"""Every status in the order in which an incident goes through them, and how a person reads it."""
SEVERITIES: dict[Severity, str] = {"critical": "Critical", "high": "High", "medium": "Medium", "low": "Low"}
"""Every severity, the worst first."""


_WORDS: Mapping[str, str] = {
    str(name): text for names in (STATUSES, SEVERITIES) for name, text in names.items()
}


_SENTENCES: Mapping[str, str] = {
    "created": "opened the incident",
    "status": "→ {after}",
    "assigned_to": "assigned it to {after}",
    "note": "wrote a note",
    "paged": "paged {after}",
    "page_dropped": "did not page {after} any more: it was resolved",
    "page_refused": "could not page {after}",
    "postmortem": "wrote the postmortem",
    "reopened_from": "reopened it from an earlier incident",
    "reopened_as": "reopened it as a new incident",
    "alert_resolved": "says that this is over: {after}",
}
"""How each kind of entry of incident-management's timeline reads."""


class Incident(BaseModel):
    """An incident as the list shows it."""

    id: UUID
    title: str
    service: str
    severity: Severity
    status: Status
    assigned_to: str | None
    created_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    reopened_from: UUID | None
    mtta_seconds: float | None
    mttr_seconds: float | None

    def may_become(self, status: Status) -> bool:
        """Whether the way from here to ``status`` goes forward."""
        order = list(STATUSES)
        return order.index(status) > order.index(self.status)


_SHOWN_LABELS = ("alertname", "description", "runbook_url", "trace_id")


class Alert(BaseModel):
    """An alert of an incident. ``resolved_at`` is when its source said that it is over."""

    id: UUID
    source: str
    message: str
    labels: dict[str, str]
    repeats: int
    received_at: datetime
    resolved_at: datetime | None

    @property
    def name(self) -> str:
        """The rule's name, where it came from a rule."""
        return self.labels.get("alertname", "")

    @property
    def description(self) -> str:
        """What its rule says about it at length."""
        return self.labels.get("description", "")

    @property
    def runbook(self) -> str:
        """Where it is written what to do: an address, or a path in the project."""
        return self.labels.get("runbook_url", "")

    @property
    def own_labels(self) -> dict[str, str]:
        """The labels that say something which is not shown in another place."""
        return {name: value for name, value in sorted(self.labels.items()) if name not in _SHOWN_LABELS}

    @property
    def trace_id(self) -> str:
        """The trace that shows it, where its source named one."""
        return self.labels.get("trace_id", "")


class Note(BaseModel):
    """What a person wrote about an incident."""

    at: datetime
    author: str
    text: str


class TimelineEntry(BaseModel):
    """A change of an incident: who did what, when, from what to what."""

    at: datetime
    actor: str
    what: str
    before: Annotated[str | None, Field(alias="from")]
    after: Annotated[str | None, Field(alias="to")]

    @property
    def sentence(self) -> str:
        """What happened, to follow the actor's name."""
        after = _WORDS.get(self.after or "", self.after or "nobody")
        if self.what == "severity" and self.before:
            return f"changed the severity from {_WORDS.get(self.before, self.before)} to {after}"
        return _SENTENCES.get(self.what, self.what.replace("_", " ") + ": {after}").format(after=after)


class IncidentDetail(Incident):
    """An incident with all that belongs to it; of many alerts only the newest are listed."""

    alert_count: int
    alerts: list[Alert]
    notes: list[Note]
    timeline: list[TimelineEntry]
    reopened_as: UUID | None
    has_postmortem: bool


class IncidentPage(BaseModel):
    """Incidents, newest first; ``next_offset`` is null on the last page."""

    items: list[Incident]
    next_offset: int | None


class Postmortem(BaseModel):
    """What was learned from an incident, as Markdown with its timeline filled in."""

    author: str
    written_at: datetime
    markdown: str


class Turn(BaseModel):
    """Somebody's stretch of time on call."""

    engineer: str
    since: datetime
    until: datetime
    source: Literal["rotation", "override", "default"]


class DutyTimeline(BaseModel):
    """Who is on call for a team, turn after turn, without gaps."""

    team: str
    items: list[Turn]


class Override(BaseModel):
    """Somebody stands in for a team for a while."""

    id: UUID
    team: str
    engineer: str
    starts_at: datetime
    ends_at: datetime
    reason: str


class OverridePage(BaseModel):
    """Overrides, the one made last first."""

    items: list[Override]


class ServiceMode(BaseModel):
    """The failure mode that a service is in."""

    failure_mode: str
