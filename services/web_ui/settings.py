"""What the console reads from its environment: where everything is that it shows."""

import os
from collections.abc import Mapping

from pydantic import Field

from services.common.addresses import own_url
from services.common.catalog import PROMETHEUS, SERVICES
from services.common.settings import ServiceSettings


class WebUiSettings(ServiceSettings):
    """The console's own. Where the services are is read by ``addresses``."""

    prometheus_url: str = PROMETHEUS.local_url
    prometheus_public_url: str = ""
    """Where the reader's browser finds Prometheus, if not at ``prometheus_url``."""
    failure_mode: str = Field(default="none", validation_alias="WEB_UI_FAILURE_MODE")

    @property
    def prometheus_link(self) -> str:
        """The base of links to Prometheus, without a slash at its end."""
        return (self.prometheus_public_url or self.prometheus_url).rstrip("/")


def addresses(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The base URL of every service of the lab by name: ``<PREFIX>_URL``, or its port on this machine."""
    return {service.name: own_url(service, environ) for service in SERVICES}
