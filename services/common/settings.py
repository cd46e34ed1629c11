"""What every service reads from its environment.

Names are upper case in the environment (``DATABASE_URL``); a ``.env`` file in
the working directory is read too, and the real environment wins over it.
"""

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def mode_alias(prefix: str, *more: str) -> AliasChoices:
    """The environment names of a service's failure mode: ``<PREFIX>_FAILURE_MODE`` and ``more``."""
    return AliasChoices(f"{prefix}_FAILURE_MODE", *more)


class ServiceSettings(BaseSettings):
    """Settings that all services share; a service adds its own in its ``settings.py``."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", populate_by_name=True)

    env: str = "local"
    """``demo`` lets failure modes be switched live and honours per-request triggers."""
    lab_blind: bool = False
    """Leave out everything that names the fault: headers and tags."""
    lab_admin_token: SecretStr | None = None
    """When set, ``/admin`` routes ask for it as a bearer token; a blind lab's are closed without one."""
    database_url: str | None = None
    failure_mode: str = "none"
    lab_resumes: bool = False
    """Set by the supervisor for a service that comes back: its failure mode is resumed, not entered anew."""
    sentry_dsn: str = ""
    traces_sample_rate: float = Field(default=0.0, ge=0, le=1)
    """Share of requests that also become Sentry transactions."""
    demo_scenario: str = ""
    """Value of the Sentry tag ``demo_scenario``; empty leaves it out."""
    otel_exporter_otlp_endpoint: str = ""
    otel_bsp_schedule_delay: int = Field(default=2000, gt=0)
    """Milliseconds for which spans gather before they are exported."""
    otel_traces_exporter: str = ""
    """``console`` prints spans on standard output."""
    prodsentinel_url: str = ""
    """Base URL that signals are posted to (``/ingest/logs``); empty ships none."""
    default_deadline_s: float = Field(default=10.0, gt=0)
    """Time for a request whose caller gave no deadline."""
    max_body_bytes: int = Field(default=64 * 1024, gt=0)

    @field_validator("lab_admin_token")
    @classmethod
    def _empty_is_none(cls, token: SecretStr | None) -> SecretStr | None:
        """``LAB_ADMIN_TOKEN=`` sets none: an empty token would let everybody in."""
        return token if token and token.get_secret_value() else None
