"""A whole lab that plays one scenario, as the end-to-end tests start it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

import database
from embedded.environment import PORT_VARIABLES
from embedded.free_ports import free_port
from embedded.postgres import Server
from services.common.catalog import PROMETHEUS, service

PROJECT = Path(__file__).parents[1]
PHASE = text("SELECT phase FROM exam.phases ORDER BY started_at DESC LIMIT 1")


PASSWORDS = {role: role for role in database.ROLES} | {
    role: f"{role}-of-tests" for role in ("examiner", "shop", "platform")
}
"""A role's password is its name, but for those that a blind run must not find so."""


@dataclass(frozen=True)
class Lab:
    """A whole lab that plays one scenario."""

    ports: dict[str, int]
    output: Path

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[service(name).port_variable]}"

    @property
    def url_of_prometheus(self) -> str:
        return f"http://127.0.0.1:{self.ports[PROMETHEUS.port_variable]}"

    def engine(self, role: str) -> Engine:
        port = self.ports["POSTGRES_PORT"]
        return create_engine(
            f"postgresql+psycopg2://{role}:{PASSWORDS[role]}@127.0.0.1:{port}/firedrill", poolclass=NullPool
        )

    def ask(self, query: object, *, role: str = "shop") -> object:
        with self.engine(role).connect() as db:
            return db.scalar(query)  # type: ignore[call-overload]

    def server_errors(self) -> Counter[tuple[str, str]]:
        """How often the gateway answered 5xx, by route and status."""
        found: Counter[tuple[str, str]] = Counter()
        for line in httpx.get(f"{self.url('gateway')}/metrics", trust_env=False).text.splitlines():
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if line.startswith("http_requests_total") and labels["status"].startswith("5"):
                found[labels["route"], labels["status"]] += int(float(line.rpartition(" ")[2]))
        return found

    def incidents(self) -> list[dict[str, object]]:
        """Every incident, newest first."""
        answer = httpx.get(f"{self.url('incident-management')}/api/v1/incidents", trust_env=False)
        return list(answer.raise_for_status().json()["items"])

    def is_paged(self, *, service: str, severity: str = "critical") -> bool:
        """Whether an incident of a service is assigned, and its page was accepted for delivery."""
        found = [i for i in self.incidents() if (i["service"], i["severity"]) == (service, severity)]
        if not found or not found[0]["assigned_to"]:
            return False
        pages = httpx.get(f"{self.url('notification-service')}/api/v1/notifications", trust_env=False)
        return any(page["incident_id"] == found[0]["id"] for page in pages.json()["items"])

    def phase(self) -> object:
        return self.ask(PHASE, role="examiner")


@contextmanager
def playing(
    scenario: str, folder: Path, *, soak_s: float, hold_s: float, **environment: str
) -> Iterator[Lab]:
    """The lab on free ports, with these variables on top; ends it as Ctrl-C does.

    The passwords of its roles are ``PASSWORDS``.
    """
    lab = Lab({name: free_port() for name in PORT_VARIABLES}, folder / "output")
    variables = {
        **os.environ,
        **{name: str(port) for name, port in lab.ports.items()},
        **{f"{role.upper()}_DB_PASSWORD": password for role, password in PASSWORDS.items()},
        "LAB_DIR": str(folder / "lab"),
        "SCENARIO": scenario,
        "SCENARIO_SOAK_S": str(soak_s),
        "SCENARIO_HOLD_S": str(hold_s),
        "SCENARIO_REST_S": "600",
        **environment,
    }
    with lab.output.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", "up"], cwd=PROJECT, env=variables, stdout=output, stderr=output
        )
    try:
        wait_for(lambda: "all healthy" in lab.output.read_text(), within_s=60, show=lab.output)
        yield lab
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        # Root's lab keeps its data elsewhere, where nobody else would tidy up.
        Server(folder / "lab" / "postgres", port=0).erase()


def wait_for(holds: Callable[[], object], *, within_s: float, show: Path) -> None:
    ends_at = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_at, show.read_text()[-3000:]
        time.sleep(0.2)
