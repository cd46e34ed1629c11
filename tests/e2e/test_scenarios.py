"""The whole lab plays each scenario: its symptom and no other, recovery, money and stock as before."""

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
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from embedded.environment import PORT_VARIABLES
from embedded.postgres import free_port
from scenarios.model import load_all
from services.common.catalog import service

PROJECT = Path(__file__).parents[2]
SOAK_S, HOLD_S = 6, 50
PAGED_WITHIN_S = 45
REQUESTS = 8 * HOLD_S
"""About what the load sends while the fault holds."""
MONEY = text(
    "SELECT (SELECT sum(balance) FROM payment.account_balances)"
    " + sum(CASE kind WHEN 'payment' THEN amount ELSE -amount END)"
    " FROM payment.transactions WHERE status = 'captured'"
)
STOCK = text(
    "SELECT (SELECT sum(available) FROM inventory.stock) + coalesce((SELECT sum((item ->> 'quantity')::int)"
    " FROM inventory.reservations, jsonb_array_elements(items) AS item WHERE status = 'reserved'), 0)"
)
UNFINISHED = text(
    "SELECT (SELECT count(*) FROM payment.transactions WHERE status = 'pending')"
    " + (SELECT count(*) FROM payment.releases WHERE released_at IS NULL)"
)
PHASE = text("SELECT phase FROM exam.phases ORDER BY started_at DESC LIMIT 1")


@dataclass(frozen=True)
class Lab:
    """A whole lab that plays one scenario."""

    ports: dict[str, int]
    output: Path

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[service(name).port_variable]}"

    def engine(self, role: str) -> Engine:
        port = self.ports["POSTGRES_PORT"]
        return create_engine(
            f"postgresql+psycopg2://{role}:{role}@127.0.0.1:{port}/firedrill", poolclass=NullPool
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

    def is_paged(self, *, service: str) -> bool:
        """Whether a critical incident of a service is assigned, and its page was accepted for delivery."""
        found = [i for i in self.incidents() if (i["service"], i["severity"]) == (service, "critical")]
        if not found or not found[0]["assigned_to"]:
            return False
        pages = httpx.get(f"{self.url('notification-service')}/api/v1/notifications", trust_env=False)
        return any(page["incident_id"] == found[0]["id"] for page in pages.json()["items"])

    def phase(self) -> object:
        return self.ask(PHASE, role="examiner")


@contextmanager
def playing(scenario: str, folder: Path) -> Iterator[Lab]:
    """The lab on free ports; ends it as Ctrl-C does."""
    lab = Lab({name: free_port() for name in PORT_VARIABLES}, folder / "output")
    environment = {
        **os.environ,
        **{name: str(port) for name, port in lab.ports.items()},
        **{f"{role.upper()}_DB_PASSWORD": role for role in ("shop", "examiner")},
        "LAB_DIR": str(folder / "lab"),
        "SCENARIO": scenario,
        "SCENARIO_SOAK_S": str(SOAK_S),
        "SCENARIO_HOLD_S": str(HOLD_S),
        "SCENARIO_REST_S": "600",
    }
    with lab.output.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", "up"], cwd=PROJECT, env=environment, stdout=output, stderr=output
        )
    try:
        wait_for(lambda: "all healthy" in lab.output.read_text(), within_s=60, show=lab.output)
        yield lab
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def wait_for(holds: Callable[[], object], *, within_s: float, show: Path) -> None:
    ends_at = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_at, show.read_text()[-3000:]
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("scenario", "symptoms"),
    [
        ("incident-b", {("/api/users/profile/{user_id}", "500")}),
        ("payment-dns", {("/api/payment", "503"), ("/api/refund", "503")}),
        ("inventory-timeout", {("/api/payment", "504")}),
        ("quiet-night", set()),
    ],
)
def test_a_scenario_shows_its_symptom_pages_recovers_and_conserves_money_and_stock(
    tmp_path: Path, scenario: str, symptoms: set[tuple[str, str]]
) -> None:
    with playing(scenario, tmp_path) as lab:
        money, stock = lab.ask(MONEY), lab.ask(STOCK)
        wait_for(lambda: lab.phase() == "soak", within_s=30, show=lab.output)
        healthy = lab.server_errors()

        wait_for(lambda: lab.phase() == "hold", within_s=SOAK_S + 20, show=lab.output)
        expected = {(alert.service, alert.severity) for alert in load_all()[scenario].expected_alerts}
        for paged in (name for name, severity in expected if severity == "critical"):
            wait_for(partial(lab.is_paged, service=paged), within_s=PAGED_WITHIN_S, show=lab.output)
        wait_for(lambda: lab.phase() == "rest", within_s=HOLD_S + 20, show=lab.output)
        broken = lab.server_errors() - healthy

        # What was under way when the fault was taken back may still end badly.
        time.sleep(6)
        before = lab.server_errors()
        time.sleep(5)
        after = lab.server_errors() - before
        wait_for(lambda: lab.ask(UNFINISHED) == 0, within_s=20, show=lab.output)

        assert all(broken[symptom] >= 2 for symptom in symptoms)
        elsewhere = sum(count for where, count in broken.items() if where not in symptoms)
        # One in a hundred, as a busy machine has it; the symptom itself is far above that.
        assert elsewhere <= 0.01 * REQUESTS, broken
        assert not after
        assert {(i["service"], i["severity"]) for i in lab.incidents()} <= expected
        assert lab.ask(MONEY) == money
        assert lab.ask(STOCK) == stock
