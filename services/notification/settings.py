"""What the notification service reads from its environment."""

import httpx
from pydantic import Field, SecretStr, field_validator

from services.common.catalog import service
from services.common.settings import ServiceSettings, mode_alias


class NotificationSettings(ServiceSettings):
    """Where pages go, and how patiently."""

    database_url: str = service("notification-service").local_database_url
    failure_mode: str = Field(default="none", validation_alias=mode_alias("NOTIFICATION_SERVICE"))
    notify_urls: SecretStr = SecretStr("")
    """Apprise URLs, apart by white space: ``mailto(s)://`` serves the channel email, all others chat."""
    webhook_url: str = ""
    """An address with a scheme and a host; empty sets up no webhook."""
    webhook_secret: SecretStr = SecretStr("")
    """Key of the webhook's signature; without one the webhook is not set up."""
    delivery_timeout_s: float = Field(default=10.0, gt=0, le=300)
    """A receiver that has not taken a message after this long has failed the attempt."""
    max_attempts: int = Field(default=10, ge=1, le=100)
    """After so many attempts a notification is dead: with the defaults, after 4 to 10 minutes."""
    retry_base_s: float = Field(default=1.0, gt=0)
    """Pause after the first failed attempt; each further one is twice as long."""
    retry_cap_s: float = Field(default=300.0, gt=0)
    bundle_after: int = Field(default=5, ge=1)
    """So many messages to one recipient within the window go alone; what follows is bundled."""
    bundle_window_s: float = Field(default=30.0, gt=0)
    """The window in which they are counted."""
    bundle_collect_s: float = Field(default=5.0, gt=0)
    """How long a bundle collects before it goes: so long does a page of a storm wait at the most."""
    keep_days: float = Field(default=14.0, gt=0, le=3650)
    """Notifications that were delivered or given up are deleted after so many days."""
    prune_every_s: float = Field(default=3600.0, gt=0)
    """Seconds between two deletions."""

    @field_validator("webhook_url")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL as error:
            raise ValueError(f"{error}") from error
        if text and not (url.scheme in ("http", "https") and url.host):
            raise ValueError("http:// or https:// and a host are needed")
        return text
