"""What is scraped: every service of the catalog and the load, where the environment says that they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.common.addresses import own_url
from services.common.catalog import SERVICES, TRAFFIC_GENERATOR


@dataclass(frozen=True)
class Target:
    """One service to scrape. ``instance`` is its host and port."""

    job: str
    url: str

    @property
    def instance(self) -> str:
        """The label by which replicas of a service differ."""
        return urlsplit(self.url).netloc

    @property
    def labels(self) -> dict[str, str]:
        """What every series from this target carries."""
        return {"job": self.job, "instance": self.instance}


def targets(environment: Mapping[str, str]) -> tuple[Target, ...]:
    """A target for each service, from ``<PREFIX>_URL`` or else the catalog's port on this machine.

    And the load, where ``TRAFFIC_GENERATOR_URL`` says that there is one.
    """
    services = [Target(service.name, f"{own_url(service, environment)}/metrics") for service in SERVICES]
    load = environment.get("TRAFFIC_GENERATOR_URL")
    return (*services, *([Target(TRAFFIC_GENERATOR, f"{load.rstrip('/')}/metrics")] if load else []))
