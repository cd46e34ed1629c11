"""The same images as a Docker Swarm stack: replicas that Prometheus finds, and one incident of a race."""

import inspect
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from embedded.free_ports import free_port
from tests import storm
from tests.compose.engine import EXAMPLE, PROJECT, docker, port_variables, wait_for, why_no_engine

STACK = "firedrill-swarm"
WANTED = (
    *("postgres", "database", "prometheus", "oncall-service", "notification-service"),
    *("incident-management", "alert-ingestion"),
)
ALERTS = 200

# Runs in a container on the stack's network, after the text of tests/storm.py.
CLIENT = """
import json, socket, time

def every(name, port):
    found = socket.getaddrinfo("tasks." + name, port, type=socket.SOCK_STREAM)
    return sorted({one[4][0] for one in found})

def read(url, **params):
    return httpx.get(url, params=params, timeout=5, trust_env=False).json()

def scraped():
    found = read("http://prometheus:9090/api/v1/query", query='count(up{job="alert-ingestion"} == 1)')
    return [int(one["value"][1]) for one in found["data"]["result"]]

def until(is_so, within_s):
    ends_at = time.monotonic() + within_s
    while not is_so() and time.monotonic() < ends_at:
        time.sleep(0.5)

until(lambda: scraped() == [3], 90)
replicas = every("alert-ingestion", 8001)
alert = {"service": "payment", "severity": "critical", "message": "error ratio above 5 %"}
answered = post_all(["http://%s:8001" % one for one in replicas], [alert] * COUNT, clients=32)
incidents = "http://incident-management:8002/api/v1/incidents"

def counts():
    ids = [one["id"] for one in read(incidents)["items"]]
    return [read(incidents + "/" + one)["alert_count"] for one in ids]

until(lambda: sum(counts()) == COUNT, 30)
statuses = dict(answered.statuses)
print(json.dumps({"replicas": len(replicas), "scraped": scraped(), "statuses": statuses, "alerts": counts()}))
"""


def stack() -> str:
    """The stack file with what the race needs; without virtual addresses where the kernel has none.

    Swarm's virtual addresses and published ports are IPVS. A kernel without it still has overlay networks, on
    which a name stands for the addresses of all tasks.
    """
    file: dict[str, Any] = yaml.safe_load((PROJECT / "deploy/swarm.yml").read_text())
    file["services"] = {name: file["services"][name] for name in WANTED}
    if not Path("/proc/net/ip_vs").exists():
        for service in file["services"].values():
            service["ports"] = []
            service["deploy"]["endpoint_mode"] = "dnsrr"
    return yaml.safe_dump(file)


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[None]:
    """The stack, with three replicas of alert-ingestion."""
    missing = why_no_engine()
    if missing:
        pytest.skip(f"needs a Docker engine with compose: {missing}")
    was_in_swarm = docker("info", "-f", "{{.Swarm.LocalNodeState}}").strip() == "active"
    if not was_in_swarm:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    written = {name: value or "" for name, value in dotenv_values(EXAMPLE).items()}
    ports = {variable: str(free_port()) for variable in port_variables()}
    # Beside the real one: the paths in it are meant from there.
    path = PROJECT / "deploy" / f".{tmp_path.name}.yml"
    path.write_text(stack())
    try:
        subprocess.run(
            [
                *("docker", "stack", "deploy", "--detach=true", "--resolve-image", "never"),
                *("-c", str(path), STACK),
            ],
            check=True,
            cwd=PROJECT,
            env={**os.environ, **written, **ports},
            timeout=120,
        )
        yield
    finally:
        path.unlink()
        _take_down(leave=not was_in_swarm)


def _take_down(*, leave: bool) -> None:
    docker("stack", "rm", STACK, within_s=120, check=False)
    ends_at = time.monotonic() + 60
    label = f"label=com.docker.stack.namespace={STACK}"
    while docker("ps", "-aq", "--filter", label) and time.monotonic() < ends_at:
        time.sleep(0.5)
    for volume in docker("volume", "ls", "-q", "--filter", label).split():
        docker("volume", "rm", volume)
    if leave:
        docker("swarm", "leave", "--force")


def replicas() -> dict[str, str]:
    """How many replicas run of how many, by service: ``3/3``."""
    lines = docker("stack", "services", "--format", "{{.Name}} {{.Replicas}}", STACK).splitlines()
    return dict(line.removeprefix(f"{STACK}_").split()[:2] for line in lines)


@pytest.mark.usefixtures("deployed")
def test_alerts_at_once_over_three_replicas_that_prometheus_finds_open_one_incident() -> None:
    wait_for(lambda: replicas()["alert-ingestion"] == "3/3", within_s=240, what="three replicas run")
    wait_for(
        lambda: replicas()["incident-management"] == "1/1", within_s=120, what="incident-management runs"
    )

    seen = json.loads(_in_the_network(f"{inspect.getsource(storm)}\nCOUNT = {ALERTS}\n{CLIENT}"))

    statuses = seen.pop("statuses")
    assert seen == {"replicas": 3, "scraped": [3], "alerts": [ALERTS]}
    # One that had to wait long for its incident is answered 202, and is in it all the same.
    assert sum(statuses.values()) == ALERTS
    assert statuses.keys() <= {"201", "202"}


def _in_the_network(script: str) -> str:
    """What a Python script prints that runs in a container on the stack's network."""
    command = ["docker", "run", "--rm", "-i", "--network", f"{STACK}_lab", "firedrill", "python3", "-"]
    ran = subprocess.run(command, input=script, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
