"""What the lab is told: the user's environment and ``.env``, and from it the environment of every process."""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from dotenv import dotenv_values

import database
from embedded import ROOT
from embedded.errors import LabError
from services.common.catalog import (
    DATABASE_NAME,
    DNS_QUERY_PORT,
    POSTGRES_PORT,
    PROMETHEUS,
    SERVICES,
    TRAFFIC_GENERATOR_PORT,
    Service,
)

EXAMINER_TOKEN_FILE = "examiner.token"  # noqa: S105 (the name of a file)
"""Where in ``LAB_DIR`` the examiner's token is; only the lab's own account may read it."""
TELEMETRY = "telemetry"
PORT_VARIABLES = (
    *(service.port_variable for service in (*SERVICES, PROMETHEUS)),
    "POSTGRES_PORT",
    "DNS_QUERY_PORT",
    "TRAFFIC_GENERATOR_PORT",
)
"""Every variable that moves a port of the lab."""
_YES = frozenset({"1", "on", "t", "true", "y", "yes"})
"""What the services' settings read as true."""
_WILDCARDS = ("0.0.0.0", "::")
_NOT_FOR_TRAFFIC = frozenset({"DATABASE_URL", "LAB_ADMIN_TOKEN"})
_SECRET_VARIABLES = (
    "DATABASE_URL",
    "EXAM_DATABASE_URL",
    "EXAMINER_TOKEN",
    *(f"{role.upper()}_DB_PASSWORD" for role in database.ROLES),
)


def user_environment(environ: Mapping[str, str] = os.environ, *, root: Path = ROOT) -> dict[str, str]:
    """The user's settings: ``.env`` in ``root``, overridden by the real environment."""
    written = {name: value for name, value in dotenv_values(root / ".env").items() if value is not None}
    return {**written, **environ}


@dataclass(frozen=True)
class Settings:
    """Where this lab lives and what it listens on."""

    user: Mapping[str, str]
    directory: Path
    """``LAB_DIR``: data, logs and the pid file. Absolute; what the user gives is relative to the project."""
    bind: str
    services: tuple[Service, ...]
    ports: Mapping[str, int]
    """Port by service name."""
    postgres_port: int
    dns_query_port: int
    traffic_port: int
    external_database: str | None
    """Superuser URL of a Postgres that is not ours, from ``DATABASE_URL``."""

    @property
    def logs(self) -> Path:
        """One file for each process: ``<name>.log``."""
        return self.directory / "logs"

    @property
    def host(self) -> str:
        """The address under which this machine reaches what is bound to ``bind``."""
        return "127.0.0.1" if self.bind in _WILDCARDS else self.bind

    def url(self, service: str) -> str:
        """The base URL of a service by name."""
        return f"http://{self.host}:{self.ports[service]}"

    def log(self, name: str) -> Path:
        """The log file of a process by name."""
        return self.logs / f"{name}.log"


def settings(user: Mapping[str, str], *, services: Sequence[Service] = (*SERVICES, PROMETHEUS)) -> Settings:
    """Read the lab's settings.

    Raises ``LabError`` naming the variable that holds an impossible value.
    """
    return Settings(
        user=user,
        directory=ROOT / Path(user.get("LAB_DIR") or ".lab").expanduser(),
        bind=user.get("LAB_BIND") or "127.0.0.1",
        services=tuple(services),
        ports={s.name: _port(user, s.port_variable, s.port) for s in services},
        postgres_port=_port(user, "POSTGRES_PORT", POSTGRES_PORT),
        dns_query_port=_port(user, "DNS_QUERY_PORT", DNS_QUERY_PORT),
        traffic_port=_port(user, "TRAFFIC_GENERATOR_PORT", TRAFFIC_GENERATOR_PORT),
        external_database=_external_database(user),
    )


def role_passwords(user: Mapping[str, str]) -> dict[str, str]:
    """A password for each database role: the user's, or ``candidate`` (documented) and random ones."""
    given = {role: user.get(f"{role.upper()}_DB_PASSWORD") for role in database.ROLES}
    made = {role: secrets.token_urlsafe(24) for role in database.ROLES} | {"candidate": "candidate"}
    return {role: given[role] or made[role] for role in database.ROLES}


def role_url(admin_url: str, *, role: str, password: str) -> str:
    """``admin_url`` for another role and the lab's own database; host, port and options stay."""
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]
    netloc = f"{quote(role, safe='')}:{quote(password, safe='')}@{place}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{DATABASE_NAME}"))


def lab_database_url(admin_url: str) -> str:
    """The superuser's URL of the lab's own database on the server of ``admin_url``; options stay."""
    return urlunsplit(urlsplit(admin_url)._replace(path=f"/{DATABASE_NAME}"))


def shop_environment(lab: Settings, *, database_url: str) -> dict[str, str]:
    """The environment of the shop's services: the user's, where lab and peers are, and the shop's role.

    Nothing in it opens the examiner's or the superuser's door.
    """
    given = {name: value for name, value in lab.user.items() if name not in _SECRET_VARIABLES}
    addresses = {f"{s.variable_prefix}_URL": lab.url(s.name) for s in lab.services}
    if TELEMETRY in lab.ports:
        addresses |= _telemetry(lab.url(TELEMETRY))
    if "fraud" in lab.ports:
        addresses["FRAUD_URL"] = f"http://fraud-api.internal.corp:{lab.ports['fraud']}"
    defaults = {
        "ENV": "demo",
        "DNS_SERVER": f"{lab.host}:{lab.dns_query_port}",
        "ZONE_FILE": str(lab.directory / "dns" / "internal.corp.zone"),
        **addresses,
    }
    places = {
        "LAB_DIR": str(lab.directory),
        "LAB_BIND": lab.bind,
        "POSTGRES_PORT": str(lab.postgres_port),
        "DNS_QUERY_PORT": str(lab.dns_query_port),
        "TRAFFIC_GENERATOR_PORT": str(lab.traffic_port),
        **{s.port_variable: str(lab.ports[s.name]) for s in lab.services},
    }
    return {**defaults, **given, **places, **_admin_token(lab.user), "DATABASE_URL": database_url}


def _telemetry(url: str) -> dict[str, str]:
    """Where errors, spans and signals go unless the user says otherwise, which may be nowhere."""
    return {
        "SENTRY_DSN": f"{url.replace('://', '://lab@', 1)}/1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "PRODSENTINEL_URL": url,
    }


def _admin_token(user: Mapping[str, str]) -> dict[str, str]:
    """A blind lab's admin routes are closed without a token: one for this run, if the user gives none."""
    is_blind = user.get("LAB_BLIND", "").lower() in _YES
    if not is_blind or user.get("LAB_ADMIN_TOKEN"):
        return {}
    return {"LAB_ADMIN_TOKEN": secrets.token_urlsafe(24)}


def traffic_environment(lab: Settings, *, shop: Mapping[str, str]) -> dict[str, str]:
    """The environment of the load: the shop's without its database, and where the journal goes."""
    journal = {"TRAFFIC_JOURNAL": str(lab.directory / "traffic" / "journal.jsonl")}
    return {**journal, **{name: value for name, value in shop.items() if name not in _NOT_FOR_TRAFFIC}}


def schedule_environment(*, shop: Mapping[str, str], exam_database_url: str) -> dict[str, str]:
    """The environment of the schedule: the only process that may write down the truth."""
    return {**shop, "EXAM_DATABASE_URL": exam_database_url}


def exam_environment(lab: Settings) -> dict[str, str]:
    """What the exam alone is told: the examiner's token, one for this lab if the user gives none."""
    return {"EXAMINER_TOKEN": lab.user.get("EXAMINER_TOKEN") or secrets.token_urlsafe(24)}


def preparation_environment(
    lab: Settings, *, admin_url: str, lab_url: str, passwords: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the program that prepares the database: superuser's URLs, the roles' passwords."""
    return {
        **lab.user,
        "ADMIN_DATABASE_URL": admin_url,
        "LAB_DATABASE_URL": lab_url,
        **{f"{role.upper()}_DB_PASSWORD": password for role, password in passwords.items()},
    }


def _port(user: Mapping[str, str], variable: str, default: int) -> int:
    text = user.get(variable) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise LabError(f"{variable}={text!r} is not a port: a whole number from 1 to 65535 is needed")
    return int(text)


def _external_database(user: Mapping[str, str]) -> str | None:
    url = user.get("DATABASE_URL")
    if not url:
        return None
    parts = urlsplit(url)
    if not parts.scheme.startswith("postgres") or not parts.hostname:
        raise LabError(
            "DATABASE_URL is not the URL of a PostgreSQL server. The lab needs a superuser's URL such as"
            " postgresql://postgres:secret@db.example:5432/postgres; unset it to use the lab's own server."
        )
    return urlunsplit(parts._replace(scheme="postgresql+psycopg2"))
