"""What the tests share: a real Postgres, and services as the lab runs them, each a process of its own."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx
import psycopg2
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

import database
from embedded.free_ports import free_port
from embedded.postgres import Server, running
from embedded.processes import child_main
from services.common.catalog import SERVICES, service

SHOP = ("dns", "fraud", "inventory", "profile", "payment", "gateway")
START_DEADLINE_S = 30.0

_fork_server = multiprocessing.get_context("forkserver")
_fork_server.set_forkserver_preload(["embedded.preload"])


@dataclass(frozen=True)
class LabDatabase:
    """One fresh database with the lab's schema and seed, and how each role reaches it."""

    admin_url: str

    def url(self, role: str) -> str:
        """The URL under which ``role`` connects; its password is its name."""
        url = make_url(self.admin_url).set(username=role, password=role)
        return url.render_as_string(hide_password=False)

    def engine(self, role: str = "shop") -> Engine:
        """An engine that keeps no connection open."""
        return create_engine(self.url(role), poolclass=NullPool)

    def connect(self, role: str = "candidate") -> "psycopg2.extensions.connection":
        """A driver connection that commits each statement; ``postgres`` is the superuser."""
        role_url = self.admin_url if role == "postgres" else self.url(role)
        url = make_url(role_url).set(drivername="postgresql")
        connection = psycopg2.connect(url.render_as_string(hide_password=False))
        connection.autocommit = True
        return connection


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Postgres for this test worker, with the lab's schema in the database ``template``."""
    with running(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        template = server.create_database("template")
        database.apply(template, passwords={role: role for role in database.ROLES})
        yield server


@pytest.fixture(scope="session")
def _database_numbers() -> Iterator[int]:
    return iter(range(1_000_000))


@pytest.fixture
def lab_database(postgres: Server, _database_numbers: Iterator[int]) -> LabDatabase:
    """A fresh copy of the schema and the seed."""
    return LabDatabase(postgres.create_database(f"test_{next(_database_numbers)}", template="template"))


@dataclass
class RunningService:
    """One service as a process, and a client for it."""

    name: str
    port: int
    log: Path
    environment: Mapping[str, str]
    process: BaseProcess
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        # Kept for less than the service keeps it: one that it is just closing answers nothing.
        limits = httpx.Limits(keepalive_expiry=2.0)
        self.client = httpx.Client(base_url=self.url, timeout=20.0, trust_env=False, limits=limits)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until_healthy(self) -> None:
        """Return when ``/health`` says ok; raises ``AssertionError`` with the log's end."""
        ends_at = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < ends_at and self.process.is_alive():
            try:
                if self.client.get("/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.03)
        raise AssertionError(f"{self.name} did not become healthy:\n{self.log.read_text()[-3000:]}")

    def mode(self, name: str, *, resume: bool = False) -> httpx.Response:
        """Switch the failure mode."""
        return self.client.post(f"/admin/failure-mode/{name}", params={"resume": resume})

    def set(self, **settings: object) -> httpx.Response:
        """Change operator settings."""
        return self.client.patch("/ops/settings", json=settings)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in self.client.get("/metrics").text.splitlines()
            if line.split("{")[0].split(" ")[0] == name and all(label in line for label in wanted)
        )

    def stop(self) -> None:
        """End it as the lab does, or with force when it does not."""
        self.client.close()
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Shop:
    """Some of the shop's services, wired to each other on free ports."""

    def __init__(self, folder: Path, stack: ExitStack, *, lab_database: LabDatabase | None) -> None:
        self._folder = folder
        self._stack = stack
        self._ports = {spec.name: free_port() for spec in SERVICES}
        self._dns_port = free_port()
        self._services: dict[str, RunningService] = {}
        self.database = lab_database
        url = {name: f"http://127.0.0.1:{port}" for name, port in self._ports.items()}
        self.environment = {
            "ENV": "demo",
            "LAB_DIR": str(folder),
            "PATH": "/usr/bin:/bin",
            "TZ": "UTC",
            **{f"{spec.variable_prefix}_URL": url[spec.name] for spec in SERVICES},
            "FRAUD_URL": f"http://fraud-api.internal.corp:{self._ports['fraud']}",
            "DNS_SERVER": f"127.0.0.1:{self._dns_port}",
            "DNS_QUERY_PORT": str(self._dns_port),
            "ZONE_FILE": str(folder / "internal.corp.zone"),
        }

    @property
    def dns_port(self) -> int:
        return self._dns_port

    def port(self, name: str) -> int:
        """The port that a service has or would have; a test may put something else there."""
        return self._ports[name]

    def __getitem__(self, name: str) -> RunningService:
        return self._services[name]

    def start(self, *names: str, **environment: str) -> RunningService:
        """Start services with these variables on top; returns the last one, healthy like all."""
        started = [self.launch(name, environment) for name in names]
        for one in started:
            one.wait_until_healthy()
        return started[-1]

    def start_all(self, **environment: str) -> None:
        """Start the whole shop, and nothing of the platform around it."""
        self.start(*SHOP, **environment)

    def restart(self, name: str, **environment: str) -> RunningService:
        """``kill -9`` a service and start it again on its port."""
        old = self._services[name]
        old.process.kill()
        old.process.join()
        old.client.close()
        return self.start(name, **{**old.environment, **environment})

    def start_replica(self, name: str, **environment: str) -> RunningService:
        """Another process of a service, on a port of its own; the shop goes on with the first one."""
        first = self._services[name]
        self.launch(name, environment, port=free_port())
        replica, self._services[name] = self._services[name], first
        replica.wait_until_healthy()
        return replica

    def launch(self, name: str, environment: Mapping[str, str], *, port: int | None = None) -> RunningService:
        """Start a service without waiting for it."""
        port = port or self._ports[name]
        spec = service(name)
        url = {"DATABASE_URL": self.database.url(spec.role)} if self.database else {}
        log = self._folder / f"{name}-{port}.log"
        process = _fork_server.Process(
            target=child_main,
            args=(
                name,
                "services.common.serving:serve",
                (spec.app, "127.0.0.1", port, spec.websockets),
                {**url, **self.environment, **environment},
                log,
            ),
        )
        process.start()
        started = RunningService(name, port, log, environment, process)
        self._services[name] = started
        self._stack.callback(started.stop)
        return started


@contextmanager
def _shop(folder: Path, lab_database: LabDatabase | None) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield Shop(folder, stack, lab_database=lab_database)


@pytest.fixture
def shop(tmp_path: Path, lab_database: LabDatabase) -> Iterator[Shop]:
    """The shop on a fresh database; a test starts the services that it needs."""
    with _shop(tmp_path, lab_database) as shop:
        yield shop


@pytest.fixture
def lone_shop(tmp_path: Path) -> Iterator[Shop]:
    """The shop without Postgres: for the profile service on its own SQLite file."""
    with _shop(tmp_path, None) as shop:
        shop.environment["DATABASE_URL"] = f"sqlite:///{tmp_path}/profile.db"
        yield shop


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait until something holds: polled for as long as 15 s, then the last assertion fails the test."""

    def wait(holds: Callable[[], object], *, within_s: float = 15.0) -> None:
        ends_at = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < ends_at, "it did not come to hold in time"
            time.sleep(0.1)

    return wait
