"""What incident-management takes and answers. Times are UTC, durations are seconds."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from services.common.fields import IDEMPOTENCY_KEY, Line, Prose, ServiceName, Severity
from services.common.pages import Page

Status = Literal["open", "acknowledged", "in_progress", "resolved"]
STATUSES: tuple[Status, ...] = ("open", "acknowledged", "in_progress", "resolved")
"""In the order that an incident goes through them: forward only, skipping allowed."""

BATCH_LIMIT = 200


class NewIncident(BaseModel):
    """An incident to be. Without ``assigned_to`` whoever is on call for the service gets it."""

    model_config = ConfigDict(extra="forbid")

    title: Line
    service: ServiceName
    severity: Severity
    assigned_to: Line | None = None


class KeyedIncident(NewIncident):
    """An incident to be, of a batch: the same key again is the same incident."""

    idempotency_key: Annotated[str, Field(pattern=f"^{IDEMPOTENCY_KEY.pattern}$")]


class IncidentBatch(BaseModel):
    """Several incidents at once, as a storm of alerts opens them."""

    model_config = ConfigDict(extra="forbid")

    incidents: Annotated[list[KeyedIncident], Field(min_length=1, max_length=BATCH_LIMIT)]


class OpenedIncident(BaseModel):
    """Which incident a key stands for."""

    idempotency_key: str
    incident_id: UUID


class OpenedBatch(BaseModel):
    """One answer for each different key of the batch."""

    items: list[OpenedIncident]


class IncidentChange(BaseModel):
    """What to change; what is left out stays. ``assigned_to: null`` takes the assignee away."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = None
    notes: Prose | None = None
    assigned_to: Line | None = None
    severity: Severity | None = None

    @model_validator(mode="after")
    def _something(self) -> "IncidentChange":
        if not self.model_fields_set:
            raise ValueError("nothing to change")
        return self


class Incident(BaseModel):
    """One incident. The times to acknowledge and to resolve are null until they are known."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    service: str
    severity: Severity
    status: Status
    assigned_to: str | None
    created_at: datetime
    updated_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    reopened_from: UUID | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mtta_seconds(self) -> float | None:
        """From creation to acknowledgement."""
        return _seconds(self.created_at, self.acknowledged_at)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mttr_seconds(self) -> float | None:
        """From creation to resolution."""
        return _seconds(self.created_at, self.resolved_at)


class Alert(BaseModel):
    """An alert of an incident."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    source: str
    message: str
    labels: dict[str, str]
    action: Literal["new_incident", "attached_to_existing_incident"]
    repeats: int
    occurred_at: datetime
    received_at: datetime
    resolved_at: datetime | None


class Note(BaseModel):
    """A note that somebody left."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    author: str
    text: str


class TimelineEntry(BaseModel):
    """One change: who did what, when, from what to what."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    actor: str
    what: str
    from_value: str | None = Field(serialization_alias="from")
    to_value: str | None = Field(serialization_alias="to")


class IncidentDetail(Incident):
    """An incident with all that belongs to it; of many alerts only the newest are listed."""

    alert_count: int
    alerts: list[Alert]
    notes: list[Note]
    timeline: list[TimelineEntry]
    reopened_as: UUID | None
    has_postmortem: bool


class IncidentPage(Page[Incident]):
    """Incidents, newest first; ``next_offset`` is null on the last page."""


class IncidentMetrics(BaseModel):
    """How long an incident took; null until it is known."""

    incident_id: UUID
    status: Status
    mtta_seconds: float | None
    mttr_seconds: float | None


class Summary(BaseModel):
    """How many incidents there are by status, and how many are not resolved by severity."""

    by_status: dict[Status, int]
    unresolved_by_severity: dict[Severity, int]


class PostmortemIn(BaseModel):
    """What people write; the timeline is filled in."""

    model_config = ConfigDict(extra="forbid")

    summary: Prose
    impact: Prose | None = None
    root_cause: Prose | None = None
    lessons: Prose | None = None
    action_items: Annotated[list[Line], Field(max_length=50)] = []


class Postmortem(BaseModel):
    """A postmortem, also as the Markdown that ``GET`` answers."""

    incident_id: UUID
    author: str
    written_at: datetime
    markdown: str


def _seconds(since: datetime, until: datetime | None) -> float | None:
    return None if until is None else (until - since).total_seconds()
