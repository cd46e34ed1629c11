"""Where the services of the lab are, for whoever asks them how they are."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from services.common.catalog import Service
from services.common.client import INTERNAL_DOMAIN


def own_url(service: Service, environ: Mapping[str, str]) -> str:
    """The base URL at which a service is itself: ``<PREFIX>_URL``, or its port on this machine.

    A name in the lab's own DNS breaks on purpose; whether the service behind
    it is up is another question, so it is asked at its port, or at
    ``<PREFIX>_DIRECT_URL``.
    """
    prefix = service.variable_prefix
    own_port = f"http://127.0.0.1:{environ.get(service.port_variable) or service.port}"
    url = environ.get(f"{prefix}_DIRECT_URL") or environ.get(f"{prefix}_URL") or own_port
    parts = urlsplit(url)
    if (parts.hostname or "").endswith(f".{INTERNAL_DOMAIN}"):
        return f"http://127.0.0.1:{parts.port}" if parts.port else service.local_url
    return url.rstrip("/")
