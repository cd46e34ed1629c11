"""What alert-ingestion reads from its environment."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from services.common.catalog import service
from services.common.settings import ServiceSettings, mode_alias

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def seconds(text: object) -> object:
    """A duration as Prometheus writes them (``500ms``, ``30s``, ``5m``, ``1h``) in seconds; numbers stay."""
    if not isinstance(text, str):
        return text
    number = text.rstrip("hms")
    unit = text[len(number) :]
    return float(number) * _UNITS_S[unit] if unit in _UNITS_S else text


class AlertSettings(ServiceSettings):
    """What is correlated, and how much is taken at once."""

    database_url: str = service("alert-ingestion").local_database_url
    failure_mode: str = Field(default="none", validation_alias=mode_alias("ALERT_INGESTION"))
    max_body_bytes: int = Field(default=1024 * 1024, gt=0)
    """A webhook carries a whole group of alerts."""
    incident_management_url: str = service("incident-management").local_url
    correlation_window: Annotated[float, BeforeValidator(seconds), Field(gt=0)] = 300.0
    """Seconds for which an incident takes in alerts of its service and severity: ``300``, ``5m``."""
    max_in_flight: int = Field(default=1000, ge=1)
    """Alerts under way at once, over all requests; more are refused with 429."""
    incident_wait_s: float = Field(default=2.0, ge=0)
    """An alert whose incident takes longer than this to be opened is answered as pending."""
