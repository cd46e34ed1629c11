"""What alert-ingestion takes and answers. Times are UTC."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from services.common.fields import ServiceName, Severity
from services.common.pages import Page

MAX_LABELS = 64
MAX_MESSAGE = 2000
MAX_LABEL_VALUE = 1000

Source = Literal["api", "alertmanager", "grafana", "sentry"]
Action = Literal["new_incident", "attached_to_existing_incident"]
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_./:-]{0,99}$")]
LabelValue = Annotated[str, Field(max_length=MAX_LABEL_VALUE, pattern=r"^[^\x00]*$")]
Message = Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE, pattern=r"^[^\x00]+$")]


FIRST_TIME = datetime(1970, 1, 1, tzinfo=UTC)
LAST_TIME = datetime(9000, 1, 1, tzinfo=UTC)
"""Times between these can be kept and read again, whatever their zone."""
Timestamp = Annotated[
    AwareDatetime,
    Field(ge=FIRST_TIME, le=LAST_TIME),
    AfterValidator(lambda time: time.astimezone(UTC)),
]
"""Kept in UTC: Postgres takes no zone that is 16 hours or more away from it."""


class AlertIn(BaseModel):
    """One alert. ``timestamp`` says when it happened, with its zone; without it, now."""

    model_config = ConfigDict(extra="forbid")

    service: ServiceName
    severity: Severity
    message: Message
    labels: Annotated[dict[LabelName, LabelValue], Field(max_length=MAX_LABELS)] = {}
    timestamp: Timestamp | None = None


class AlertReceipt(BaseModel):
    """What became of an alert: in an incident (201), or stored until its incident can be opened (202)."""

    alert_id: UUID
    incident_id: UUID | None
    status: Literal["correlated", "pending"]
    action: Action | None


class Alert(BaseModel):
    """A stored alert. ``fingerprint`` is its source's own; ``repeats`` counts how often it came again."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    source: Source
    fingerprint: str | None
    service: str
    severity: Severity
    message: str
    labels: dict[str, str]
    occurred_at: datetime
    received_at: datetime
    last_seen_at: datetime
    repeats: int
    status: Literal["correlated", "pending"]
    action: Action
    incident_id: UUID | None
    resolved_at: datetime | None


class AlertPage(Page[Alert]):
    """Alerts, newest first; ``next_offset`` is null on the last page."""


class WebhookResult(BaseModel):
    """What became of one alert of a webhook.

    ``repeated`` came before and goes on, ``stale`` was resolved before it
    came, ``unknown`` was resolved without having come.
    """

    fingerprint: str
    status: Literal["correlated", "pending", "repeated", "resolved", "stale", "unknown"]
    alert_id: UUID | None
    incident_id: UUID | None


class WebhookReceipt(BaseModel):
    """What became of a webhook's alerts, in their order."""

    source: Source
    received: int
    alerts: list[WebhookResult]
