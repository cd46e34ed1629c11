"""Makes ``deploy/swarm.yml`` and ``deploy/prometheus.yml`` of the compose lab's files.

``python deploy/swarm.py`` writes both; a test fails when they are not up to
date. What Swarm has no word for (build, depends_on, fixed addresses, the
address that a port is published on) is left out or said in its own way.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[1]
REPLICAS = {"gateway": 3, "profile": 3, "payment": 3, "alert-ingestion": 3}
NOT_IN_SWARM = frozenset({"dozzle", "socket-proxy"})
"""They show one machine's containers; ``docker service logs`` shows the stack's."""
_OWN_TO_A_TASK = frozenset({"state"})
"""Volumes that a task may find empty on another machine: nothing in them outlives a container."""
_UNKNOWN = ("build", "pull_policy", "restart", "depends_on", "security_opt", "profiles", "networks")
_HEADER = "# Made of {source} by deploy/swarm.py: change that, then run it.\n"


def stack() -> str:
    """The stack file, for ``docker stack deploy -c deploy/swarm.yml firedrill``."""
    compose = _read("docker-compose.yml")
    services = {
        name: _service(name, service)
        for name, service in compose["services"].items()
        if name not in NOT_IN_SWARM and not service.get("profiles")
    }
    text = _dump(
        {
            "version": "3.8",
            "services": services,
            "networks": {"lab": {"driver": "overlay", "attachable": True}},
            "volumes": compose["volumes"],
        }
    )
    return _HEADER.format(source="docker-compose.yml") + text


def prometheus() -> str:
    """Prometheus' configuration, in which every replica of a service is a target of its own."""
    config = _read("monitoring/prometheus/prometheus.yml")
    config["scrape_configs"] = [_discovered(job) for job in config["scrape_configs"]]
    return _HEADER.format(source="monitoring/prometheus/prometheus.yml") + _dump(config)


def _service(name: str, compose: dict[str, Any]) -> dict[str, Any]:
    service = {key: deepcopy(value) for key, value in compose.items() if key not in _UNKNOWN}
    service["networks"] = ["lab"]
    service["ports"] = [_published(port) for port in compose.get("ports", [])]
    service["volumes"] = [_from_here(volume) for volume in compose.get("volumes", [])]
    condition = "on-failure" if compose["restart"] == "no" else "any"
    service["deploy"] |= {
        "replicas": REPLICAS.get(name, 1),
        "restart_policy": {"condition": condition, "delay": "2s"},
    }
    if set(_named_volumes(service)) - _OWN_TO_A_TASK:
        # A volume is on one machine: started on another, Postgres would find an empty one.
        service["deploy"]["placement"] = {"constraints": ["node.role == manager"]}
    if name == "dns":
        # The address that Swarm gives the service as a whole, which stays while its tasks come and go.
        service["environment"]["FRAUD_ADDRESS"] = "fraud"
    if name == "schedule":
        # A failure mode lives in a process. What is asked of a service reaches one of its replicas, so a
        # scenario would break some of them and put back others.
        service["environment"]["SCENARIO"] = "none"
    if name == "prometheus":
        service["volumes"][0] = "./prometheus.yml:/etc/prometheus/prometheus.yml:ro"
    return service


def _published(port: str) -> str:
    return port.removeprefix("${LAB_BIND:-127.0.0.1}:")


def _named_volumes(service: dict[str, Any]) -> list[str]:
    return [volume.partition(":")[0] for volume in service["volumes"] if volume[0] not in "./"]


def _from_here(volume: str) -> str:
    return f".{volume}" if volume.startswith("./") else volume


def _discovered(job: dict[str, Any]) -> dict[str, Any]:
    [target] = job["static_configs"][0]["targets"]
    host, _, port = target.rpartition(":")
    if host == "localhost":
        return job
    found = {"names": [f"tasks.{host}"], "type": "A", "port": int(port), "refresh_interval": "5s"}
    return {"job_name": job["job_name"], "dns_sd_configs": [found]}


def _read(file: str) -> dict[str, Any]:
    return dict(yaml.safe_load((PROJECT / file).read_text()))


class _Plain(yaml.SafeDumper):
    """Writes out what the compose file says once with an anchor."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _dump(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, width=110)


if __name__ == "__main__":
    (PROJECT / "deploy/swarm.yml").write_text(stack())
    (PROJECT / "deploy/prometheus.yml").write_text(prometheus())
