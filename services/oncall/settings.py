"""What the on-call service reads from its environment."""

from pydantic import Field

from services.common.catalog import service
from services.common.settings import ServiceSettings, mode_alias


class OncallSettings(ServiceSettings):
    """Where incidents are read and notifications sent, and how soon an incident escalates."""

    database_url: str = service("oncall-service").local_database_url
    failure_mode: str = Field(default="none", validation_alias=mode_alias("ONCALL_SERVICE"))
    incident_management_url: str = service("incident-management").local_url
    notification_service_url: str = service("notification-service").local_url
    escalation_delay: float = Field(default=300.0, ge=0)
    """Seconds that each level of a policy waits, unless it says otherwise."""
    escalation_poll: float = Field(default=5.0, gt=0)
    """Seconds between two looks at the open critical incidents."""
