"""What incident-management reads from its environment."""

from typing import Literal

from pydantic import Field

from services.common.catalog import service
from services.common.settings import ServiceSettings, mode_alias


class IncidentSettings(ServiceSettings):
    """Where on-call and notification are, and how a page is sent."""

    database_url: str = service("incident-management").local_database_url
    failure_mode: str = Field(default="none", validation_alias=mode_alias("INCIDENT_MANAGEMENT"))
    max_body_bytes: int = Field(default=1024 * 1024, gt=0)
    """A batch of incidents is bigger than other requests."""
    oncall_service_url: str = service("oncall-service").local_url
    notification_service_url: str = service("notification-service").local_url
    page_channel: Literal["console", "email", "webhook", "chat"] = "console"
    """The channel that pages go to: one of notification's, which would refuse every page for another."""
    page_anyway_after_s: float = Field(default=10.0, ge=0)
    """An incident that on-call could not be asked about for this long pages its team by name."""
