"""What the schedule reads from its environment."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from scenarios.model import MODES, Seconds
from services.common import catalog

CYCLE = "cycle"
SECRETS = frozenset({"lab_admin_token", "exam_database_url"})
"""Fields whose values no error may show."""
NONE = "none"
GATEWAY = "gateway"
BaseUrl = Annotated[str, Field(pattern=r"^https?://\S+$")]


def _local_url(name: str) -> str:
    return catalog.service(name).local_url


class ScheduleSettings(BaseSettings):
    """Environment variables by the field's name in upper case; a ``.env`` file is read too."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore")

    scenario: str = CYCLE
    """``cycle``, ``none``, or the name of the scenario to repeat."""
    scenario_soak_s: Seconds | None = None
    scenario_hold_s: Seconds | None = None
    scenario_rest_s: Seconds | None = None
    """How long each phase lasts instead of what the scenario says."""
    traffic_seed: int = 1
    """Recorded with each phase: the same seed deals the same requests."""
    lab_blind: bool = False
    """Log lines name no scenario, service or mode."""
    lab_bind: str = "127.0.0.1"
    schedule_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Where ``/metrics`` shows the phase that is on (nothing when blind); nowhere unless set."""
    lab_admin_token: SecretStr | None = None
    exam_database_url: SecretStr | None = None
    """Postgres URL of the role ``examiner``; without it no phase is recorded."""
    gateway_url: BaseUrl = _local_url(GATEWAY)
    profile_url: BaseUrl = _local_url("profile")
    dns_url: BaseUrl = _local_url("dns")
    inventory_url: BaseUrl = _local_url("inventory")
    payment_url: BaseUrl = _local_url("payment")

    @field_validator("exam_database_url")
    @classmethod
    def _is_database_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        try:
            make_url(url.get_secret_value())
        except ArgumentError:
            raise ValueError("is not a database URL such as postgresql://examiner:…@host/name") from None
        return url

    @field_validator("scenario")
    @classmethod
    def _lower(cls, name: str) -> str:
        return name.strip().lower()

    @property
    def urls(self) -> dict[str, str]:
        """Base URL by service: the gateway, and every service that can be made to break."""
        return {name: getattr(self, f"{name}_url") for name in (GATEWAY, *MODES)}
