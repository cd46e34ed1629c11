"""What the console reads from its environment: where everything is that it shows."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import Field

from services.common.catalog import PROMETHEUS_PORT, SERVICES, Service
from services.common.client import INTERNAL_DOMAIN
from services.common.settings import ServiceSettings


class WebUiSettings(ServiceSettings):
    """The backends' base URLs. The services that the Lab page lists are read by ``addresses``."""

    incident_management_url: str = "http://127.0.0.1:8002"
    oncall_service_url: str = "http://127.0.0.1:8003"
    telemetry_url: str = "http://127.0.0.1:8006"
    prometheus_url: str = f"http://127.0.0.1:{PROMETHEUS_PORT}"
    prometheus_public_url: str = ""
    """Where the reader's browser finds Prometheus, if not at ``prometheus_url``."""
    failure_mode: str = Field(default="none", validation_alias="WEB_UI_FAILURE_MODE")

    @property
    def prometheus_link(self) -> str:
        """The base of links to Prometheus, without a slash at its end."""
        return (self.prometheus_public_url or self.prometheus_url).rstrip("/")


def addresses(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The base URL of every service of the lab by name: ``<PREFIX>_URL``, or its port on this machine."""
    return {service.name: _address(service, environ) for service in SERVICES}


def _address(service: Service, environ: Mapping[str, str]) -> str:
    """Where a service is reached itself.

    A name in the lab's own DNS breaks on purpose; whether the service behind
    it is up is another question, so it is asked at its port, or at
    ``<PREFIX>_DIRECT_URL``.
    """
    prefix = service.variable_prefix
    own_port = f"http://127.0.0.1:{environ.get(service.port_variable) or service.port}"
    url = environ.get(f"{prefix}_DIRECT_URL") or environ.get(f"{prefix}_URL") or own_port
    parts = urlsplit(url)
    if (parts.hostname or "").endswith(f".{INTERNAL_DOMAIN}"):
        return f"http://127.0.0.1:{parts.port or service.port}"
    return url.rstrip("/")
