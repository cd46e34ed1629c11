"""Playing scenarios on the compose lab, and what comes of it."""

import os
import subprocess
import sys
from pathlib import Path

from scenarios.model import Scenario
from tests.compose.engine import PROJECT, ComposeLab, wait_for

PAGED_WITHIN_S = 60
SOAK_S, HOLD_S = 8, PAGED_WITHIN_S + 5
PLAYED_BY_THE_EXAM = "payment-dns"
"""On the blind lab."""
PHASE = "SELECT phase FROM exam.phases ORDER BY started_at DESC LIMIT 1"
SINCE_THE_FAULT_S = """\
SELECT extract(epoch FROM clock_timestamp() - started_at) FROM exam.phases
WHERE phase = 'hold' ORDER BY started_at DESC LIMIT 1"""


def is_paged(lab: ComposeLab, *, service: str, severity: str = "critical") -> bool:
    """Whether an incident of a service is open, assigned, and its page accepted for delivery."""
    found = [
        incident
        for incident in lab.incidents()
        if (incident["service"], incident["severity"]) == (service, severity)
        and incident["status"] == "open"
        and incident["assigned_to"]
    ]
    if not found:
        return False
    sent = lab.get("notification-service", "/api/v1/notifications")["items"]
    return any(page["incident_id"] == found[0]["id"] for page in sent)


def is_somebody_paged(lab: ComposeLab, scenario: Scenario) -> bool:
    """Whether one of a scenario's symptoms, which are all critical or high, has called somebody."""
    return any(
        is_paged(lab, service=one.service, severity=one.severity)
        for one in scenario.expected_alerts
        if one.severity in ("critical", "high")
    )


def play(lab: ComposeLab, scenario: str, *, hold_s: int = HOLD_S) -> None:
    """Begin a scenario, and return when its fault is there."""
    lab.resolve_all()
    lab.up(
        "schedule",
        SCENARIO=scenario,
        SCENARIO_SOAK_S=str(SOAK_S),
        SCENARIO_HOLD_S=str(hold_s),
        SCENARIO_REST_S="600",
    )
    wait_for(lambda: lab.psql(PHASE) == "hold", within_s=SOAK_S + 20, what="the fault is there")


def firing(lab: ComposeLab) -> set[tuple[str, str]]:
    """The alerts that fire in Prometheus: name and service."""
    alerts = lab.get("prometheus", "/api/v1/alerts")["data"]["alerts"]
    return {
        (alert["labels"]["alertname"], alert["labels"]["service"])
        for alert in alerts
        if alert["state"] == "firing"
    }


def is_quiet(lab: ComposeLab) -> bool:
    return not firing(lab)


def told(lab: ComposeLab, *words: str, folder: Path) -> str:
    """What the command ``lab`` prints on this machine, as an examiner with the lab's ``.env`` runs it."""
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "lab", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=PROJECT,
        env={**os.environ, **lab.environment, "LAB_DIR": str(folder)},
    )
    assert ran.returncode == 0, f"lab {' '.join(words)}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout
