"""The one table of services: names, packages, ports. Everything else reads it.

The embedded lab starts what stands here, tests are parametrised over it, and
the scrape configuration and the docs are held to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

DATABASE_NAME = "firedrill"
POSTGRES_PORT = 5432


@dataclass(frozen=True)
class Service:
    """One HTTP service of the lab.

    ``name`` is the hostname and the ``service`` label (hyphens); ``package``
    is the folder under ``services/`` (underscores).
    """

    name: str
    package: str
    port: int
    database: bool = True
    """Whether its readiness depends on Postgres."""
    role: str = "shop"
    """The database role that it connects as."""
    factory: str = ""
    """Where its application factory is, if not where the package says: ``module:function``."""
    websockets: bool = False
    """Whether it keeps connections open to browsers."""

    @property
    def variable_prefix(self) -> str:
        """The prefix of its environment variables: ``alert-ingestion`` → ``ALERT_INGESTION``."""
        return self.name.upper().replace("-", "_")

    @property
    def port_variable(self) -> str:
        """The variable that moves its HTTP port, for instance ``GATEWAY_PORT``."""
        return f"{self.variable_prefix}_PORT"

    @property
    def local_url(self) -> str:
        """Its base URL on this machine, at its usual port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def local_database_url(self) -> str:
        """Postgres on this machine, at its usual port, under the service's role and without a password."""
        return f"postgresql://{self.role}@127.0.0.1:{POSTGRES_PORT}/{DATABASE_NAME}"

    @property
    def app(self) -> str:
        """Where its application factory is: ``module:function``."""
        return self.factory or f"services.{self.package}.app:create_app"


SERVICES = (
    Service("dns", "dns", 8013, database=False),
    Service("fraud", "fraud", 8443, database=False),
    Service("inventory", "inventory", 8012),
    Service("profile", "profile", 8000),
    Service("payment", "payment", 8011),
    Service("gateway", "gateway", 8010, database=False),
    Service("alert-ingestion", "alert_ingestion", 8001, role="platform"),
    Service("incident-management", "incident_management", 8002, role="platform"),
    Service("oncall-service", "oncall", 8003, role="platform"),
    Service("notification-service", "notification", 8004, role="platform"),
    Service("telemetry", "telemetry", 8006, role="platform"),
    Service("exam", "exam", 8005, role="examiner"),
    Service("web-ui", "web_ui", 8080, database=False, websockets=True),
)

PROMETHEUS = Service(
    "prometheus",
    package="",
    port=9090,
    database=False,
    factory="embedded.monitoring.app:create_app",
)
"""Stands in for Prometheus and Alertmanager where there is no Docker: no service of ours elsewhere."""

EXAM = "exam"
"""The examiner's service, which alone knows what is wrong."""

BASELINE_RELEASE = "7d3a9e1"
"""The commit that healthy services are built from; one of ``fixtures/recent_commits.json``."""

DNS_QUERY_PORT = 5300
TRAFFIC_GENERATOR = "traffic-generator"
"""The load: Locust, and no service of ours."""
TRAFFIC_GENERATOR_PORT = 8089


POSTGRES = "postgres"
"""The database: part of the lab, and no service of ours."""

DEPENDS_ON: Mapping[str, tuple[str, ...]] = {
    "gateway": ("profile", "payment"),
    "profile": (POSTGRES,),
    "payment": ("fraud", "inventory", POSTGRES),
    "inventory": (POSTGRES,),
    "fraud": ("dns",),
    "alert-ingestion": ("incident-management",),
    "incident-management": ("oncall-service", "notification-service"),
    "oncall-service": ("notification-service",),
    "web-ui": ("incident-management", "oncall-service", "telemetry"),
}
"""Whom a service needs for its answers. The fraud service is found by its name, so it stands before dns."""


def steps_between(one: str, other: str) -> int | None:
    """How many dependencies lie between two services, whichever calls; ``None`` if nothing connects them."""
    reached, steps = {one}, 0
    while other not in reached:
        wider = reached | {name for edge in _edges() if reached & edge for name in edge}
        if wider == reached:
            return None
        reached, steps = wider, steps + 1
    return steps


def _edges() -> list[set[str]]:
    return [{caller, called} for caller, many in DEPENDS_ON.items() for called in many]


def service(name: str) -> Service:
    """The service of that name; ``KeyError`` if there is none."""
    return {s.name: s for s in SERVICES}[name]
