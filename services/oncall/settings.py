"""What the on-call service reads from its environment."""

from pydantic import Field

from services.common.catalog import service
from services.common.settings import ServiceSettings, mode_alias


class OncallSettings(ServiceSettings):
    """Where incidents are read and notifications sent, and how soon an incident escalates."""

    database_url: str = "postgresql://platform@127.0.0.1:5432/firedrill"
    failure_mode: str = Field(default="none", validation_alias=mode_alias("ONCALL_SERVICE"))
    incident_management_url: str = f"http://127.0.0.1:{service('incident-management').port}"
    notification_service_url: str = f"http://127.0.0.1:{service('notification-service').port}"
    escalation_delay: float = Field(default=300.0, ge=0)
    """Seconds that each level of a policy waits, unless it says otherwise."""
    escalation_poll: float = Field(default=5.0, gt=0)
    """Seconds between two looks at the open critical incidents."""
