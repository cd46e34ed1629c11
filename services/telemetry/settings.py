"""What the telemetry service reads from its environment."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from services.common.catalog import service
from services.common.settings import ServiceSettings, mode_alias


class TelemetrySettings(ServiceSettings):
    """How much is kept, and how much is taken at once."""

    database_url: str = service("telemetry").local_database_url
    failure_mode: str = Field(default="none", validation_alias=mode_alias("TELEMETRY"))
    telemetry_url: str = service("telemetry").local_url
    """Where services find this one; what they would ship to it, it does not ship itself."""
    telemetry_max_age: float = Field(default=6 * 3600, gt=0)
    """Seconds after which what was received is removed."""
    telemetry_max_rows: int = Field(default=300_000, ge=100)
    """So many signals, spans, traces and error events each are kept; then the oldest go."""
    telemetry_retention_interval: float = Field(default=15.0, gt=0)
    """Seconds from one removal to the next: by so much the bounds may be overstepped."""
    telemetry_max_in_flight: int = Field(default=32, ge=1)
    """Requests with telemetry that are taken in at once, of big ones fewer; more are answered 429."""
    max_body_bytes: int = Field(default=2 * 1024 * 1024, gt=0)
    """Of a request as it comes, and of what is in it when it is decompressed."""

    @model_validator(mode="after")
    def ship_nothing_to_oneself(self) -> Self:
        """A signal about each batch of signals would never end."""
        own = _place(self.telemetry_url)
        for name in ("sentry_dsn", "otel_exporter_otlp_endpoint", "prodsentinel_url"):
            if _place(getattr(self, name)) == own:
                setattr(self, name, "")
        return self


def _place(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port
