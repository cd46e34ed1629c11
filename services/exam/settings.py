"""What the exam reads from its environment."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from services.common.catalog import PROMETHEUS, service
from services.common.settings import ServiceSettings, mode_alias


class ExamSettings(ServiceSettings):
    """Who may examine, where the lab's parts are that a journal is made of, and how closely it looks."""

    database_url: str = service("exam").local_database_url
    failure_mode: str = Field(default="none", validation_alias=mode_alias("EXAM"))
    max_body_bytes: int = Field(default=256 * 1024, gt=0)
    """A diagnosis with its queries is bigger than other requests."""
    examiner_token: SecretStr | None = None
    """Bearer token of the examiner's routes, which are closed without one."""
    incident_management_url: str = service("incident-management").local_url
    telemetry_url: str = service("telemetry").local_url
    prometheus_url: str = PROMETHEUS.local_url
    lab_dir: Path = Path(".lab")
    """Reports go into its folder ``reports``."""
    exam_tick_s: float = Field(default=0.5, gt=0, le=10)
    """Seconds between two looks at what the run needs next."""
    exam_probe_every_s: float = Field(default=3.0, gt=0, le=60)
    """Seconds from one round of the prober to the next."""
    exam_rounds: int = Field(default=5, ge=1, le=100)
    """Rounds of fresh requests in the verdict at the end, a second and a half apart."""

    @field_validator("examiner_token")
    @classmethod
    def _no_empty_token(cls, token: SecretStr | None) -> SecretStr | None:
        return token if token and token.get_secret_value() else None
