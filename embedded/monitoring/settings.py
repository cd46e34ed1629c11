"""What the monitoring reads from its environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from embedded import ROOT
from services.common.catalog import PROMETHEUS, service

RULES = ROOT / "monitoring" / "prometheus" / "rules"


class MonitoringSettings(BaseSettings):
    """Environment variables by the field's name in upper case; a ``.env`` file is read too."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore")

    alert_ingestion_url: str = service("alert-ingestion").local_url
    """Where alerts are posted, under ``/api/v1/webhooks/alertmanager``."""
    prometheus_url: str = PROMETHEUS.local_url
    """Where this monitoring is found itself: the base of the links in its alerts."""
    prometheus_rules: Path = RULES
    lab_dir: Path | None = None
    """Where what was told to alert-ingestion is kept; nowhere if it is not set."""
    lab_resumes: bool = False
    """Set by the supervisor for a monitoring that comes back within the same lab."""
    scrape_interval_s: float = Field(default=5.0, gt=0)
    scrape_timeout_s: float = Field(default=4.0, gt=0)
    evaluation_interval_s: float = Field(default=5.0, gt=0)
