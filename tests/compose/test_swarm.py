"""The same images as a Docker Swarm stack: replicas that Prometheus finds, and one incident of a race."""

import os
import subprocess
from collections.abc import Iterator

import httpx
import pytest
from dotenv import dotenv_values

from embedded.postgres import free_port
from tests.compose.engine import EXAMPLE, PROJECT, docker, port_variables, wait_for, why_no_engine
from tests.storm import post_all

STACK = "firedrill-swarm"
WANTED = ("postgres", "database", "profile", "alert-ingestion", "incident-management", "oncall-service")
ALERT = {"service": "payment", "severity": "critical", "message": "error ratio above 5 %"}
ALERTS = 200


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, str]]:
    """The stack with the services that the race needs, three replicas of ingestion; its published ports."""
    missing = why_no_engine()
    if missing:
        pytest.skip(f"needs a Docker engine with compose: {missing}")
    was_in_swarm = docker("info", "-f", "{{.Swarm.LocalNodeState}}").strip() == "active"
    if not was_in_swarm:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    ports = {variable: str(free_port()) for variable in port_variables()}
    written = {name: value or "" for name, value in dotenv_values(EXAMPLE).items()}
    environment = {**os.environ, **written, **ports, "SCENARIO": "none"}
    try:
        subprocess.run(
            ["docker", "stack", "deploy", "--resolve-image", "never", "-c", "deploy/swarm.yml", STACK],
            check=True,
            cwd=PROJECT,
            env=environment,
            timeout=120,
        )
        unneeded = ("grafana", "traffic-generator", "schedule", "web-ui", "telemetry", "exam")
        docker("service", "rm", *(f"{STACK}_{name}" for name in unneeded), check=False)
        yield ports
    finally:
        docker("stack", "rm", STACK, within_s=120, check=False)
        if not was_in_swarm:
            docker("swarm", "leave", "--force", check=False)


def replicas() -> dict[str, str]:
    """How many replicas run of how many, by service: ``3/3``."""
    lines = docker("stack", "services", "--format", "{{.Name}} {{.Replicas}}", STACK).splitlines()
    return dict(line.removeprefix(f"{STACK}_").split()[:2] for line in lines)


def test_alerts_at_once_open_one_incident_over_three_replicas_that_prometheus_finds(
    ports: dict[str, str],
) -> None:
    wait_for(lambda: replicas()["alert-ingestion"] == "3/3", within_s=240, what="three replicas run")
    ingestion = f"http://127.0.0.1:{ports['ALERT_INGESTION_PORT']}"
    incidents = f"http://127.0.0.1:{ports['INCIDENT_MANAGEMENT_PORT']}/api/v1/incidents"
    prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}/api/v1/query"

    def found() -> int:
        query = {"query": 'count(up{job="alert-ingestion"} == 1)'}
        result = httpx.get(prometheus, params=query, timeout=5, trust_env=False).json()["data"]["result"]
        return int(result[0]["value"][1]) if result else 0

    wait_for(lambda: found() == 3, within_s=120, what="Prometheus scrapes three replicas")
    wait_for(
        lambda: httpx.get(incidents, timeout=5, trust_env=False).is_success, within_s=60, what="incidents"
    )

    storm = post_all([ingestion], [ALERT] * ALERTS, clients=32)

    assert len(storm.accepted) == ALERTS
    wait_for(
        lambda: (
            [one["alert_count"] for one in httpx.get(incidents, timeout=5, trust_env=False).json()["items"]]
            == [ALERTS]
        ),
        within_s=30,
        what="one incident has them all",
    )
