"""Where a live lab's parts are, and with what right they are asked, for whoever judges or examines."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg2
from psycopg2 import extensions

from scenarios.admin import Client, ServiceAdmin
from services.common.addresses import own_url
from services.common.catalog import (
    DATABASE_NAME,
    POSTGRES_PORT,
    PROMETHEUS,
    SERVICES,
    TRAFFIC_GENERATOR,
    TRAFFIC_GENERATOR_PORT,
)

ADMINISTERED = ("dns", "fraud", "inventory", "profile", "payment", "gateway")
"""The shop, in the order in which it is put back: those that others call come first."""
TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_MS = 10_000


class AccessError(Exception):
    """A part of the lab cannot be reached, or refuses. The message names it."""


class Away(AccessError):
    """A part does not answer at all."""


class Refused(AccessError):
    """A part answered with an error status."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class LabAccess:
    """One live lab. Tokens and URLs with passwords never appear in what this raises."""

    urls: Mapping[str, str]
    """Base URL by name: every service, ``prometheus`` and ``traffic-generator``."""
    admin_token: str | None = field(default=None, repr=False)
    reader_url: str | None = field(default=None, repr=False)
    """Postgres URL of a role that reads every table: ``examiner`` or the superuser."""
    candidate_url: str | None = field(default=None, repr=False)
    """Postgres URL of the role ``candidate``."""
    superuser_url: str | None = field(default=None, repr=False)
    fraud_address: str = "127.0.0.1"
    """Where the fraud service really is."""
    pids: Mapping[str, int] = field(default_factory=dict)
    """The process of each service, where the services are this machine's."""

    def admins(self, client: Client) -> dict[str, ServiceAdmin]:
        """The admin routes of the shop's services by name."""
        return {name: ServiceAdmin(self.urls[name], client=client) for name in ADMINISTERED}

    def client(self) -> Client:
        """A client of admin routes, with the token; to be closed."""
        return Client(token=self.admin_token)

    def get(self, name: str, path: str) -> httpx.Response:
        """What a part answers to a GET. Raises ``AccessError`` for an error status, too."""
        return self.send("GET", name, path)

    def send(self, method: str, name: str, path: str, *, admin: bool = False, **sent: Any) -> httpx.Response:
        """What a part answers. ``admin`` sends the admin token. Raises ``AccessError``."""
        headers = {"x-actor": "lab", **sent.pop("headers", {})}
        if admin and self.admin_token:
            headers["authorization"] = f"Bearer {self.admin_token}"
        try:
            with httpx.Client(trust_env=False, timeout=TIMEOUT_S) as client:
                answer = client.request(method, self.urls[name] + path, headers=headers, **sent)
        except httpx.HTTPError as error:
            raise Away(f"{name}: no answer to {method} {path}: {error or type(error).__name__}") from error
        if answer.is_error:
            said = f"{name}: {method} {path}: {answer.status_code} {answer.text[:200]}"
            raise Refused(said, status=answer.status_code)
        return answer

    @contextmanager
    def reading(self) -> Iterator[extensions.connection]:
        """A session that reads every table. Raises ``AccessError``."""
        with self._session(self.reader_url, "EXAM_DATABASE_URL") as session:
            yield session

    @contextmanager
    def as_candidate(self) -> Iterator[extensions.connection]:
        """A session of the role ``candidate``, each statement on its own. Raises ``AccessError``."""
        with self._session(self.candidate_url, "CANDIDATE_DB_PASSWORD") as session:
            yield session

    @contextmanager
    def as_superuser(self) -> Iterator[extensions.connection]:
        """A session that may do anything. Raises ``AccessError``."""
        with self._session(self.superuser_url, "the superuser's URL") as session:
            yield session

    @contextmanager
    def _session(self, url: str | None, named: str) -> Iterator[extensions.connection]:
        if url is None:
            raise AccessError(f"the database cannot be asked: {named} is not known here")
        try:
            session = psycopg2.connect(
                url.replace("postgresql+psycopg2://", "postgresql://", 1),
                application_name="lab",
                connect_timeout=CONNECT_TIMEOUT_S,
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            )
        except psycopg2.OperationalError as error:
            raise Away(f"the database does not answer: {str(error).partition(chr(10))[0]}") from error
        session.autocommit = True
        try:
            yield session
        except psycopg2.Error as error:
            raise AccessError(f"the database refuses: {str(error).strip()}") from error
        finally:
            session.close()


def from_environment(environ: Mapping[str, str] = os.environ) -> LabAccess:
    """The lab as a service of it sees it: ``<PREFIX>_URL``, or its port on this machine.

    ``EXAM_DATABASE_URL``, or else ``DATABASE_URL``, is the URL of the role ``examiner``.
    """
    database_url = environ.get("EXAM_DATABASE_URL") or environ.get("DATABASE_URL")
    urls = {service.name: own_url(service, environ) for service in (*SERVICES, PROMETHEUS)}
    traffic_port = environ.get("TRAFFIC_GENERATOR_PORT") or TRAFFIC_GENERATOR_PORT
    urls[TRAFFIC_GENERATOR] = environ.get("TRAFFIC_GENERATOR_URL") or f"http://127.0.0.1:{traffic_port}"
    password = environ.get("CANDIDATE_DB_PASSWORD") or "candidate"
    place = (
        _place(database_url) if database_url else f"127.0.0.1:{environ.get('POSTGRES_PORT') or POSTGRES_PORT}"
    )
    name = urlsplit(database_url).path.lstrip("/") if database_url else DATABASE_NAME
    return LabAccess(
        urls=urls,
        admin_token=environ.get("LAB_ADMIN_TOKEN") or None,
        reader_url=database_url,
        candidate_url=f"postgresql://candidate:{password}@{place}/{name}",
        fraud_address=_numeric(environ.get("FRAUD_ADDRESS") or "127.0.0.1"),
    )


def _place(database_url: str) -> str:
    return urlsplit(database_url).netloc.rpartition("@")[2]


def _numeric(address: str) -> str:
    """An IPv4 address; a name that cannot be looked up here stays as it is."""
    try:
        return socket.gethostbyname(address)
    except OSError:
        return address
