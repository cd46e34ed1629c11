"""The compose lab on a real Docker engine: a project of its own, on free ports."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from dotenv import dotenv_values

from embedded.free_ports import free_port
from services.common.catalog import SERVICES

PROJECT = Path(__file__).parents[2]
COMPOSE_FILE = PROJECT / "docker-compose.yml"
EXAMPLE = PROJECT / ".env.example"
EXAMINER_TOKEN = "examiner-token-of-tests"
PULL_WITHIN_S = 300
UP_WITHIN_S = 280
MIB = 1024 * 1024
_UNITS = {"B": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB, "kB": 1000, "MB": 1000**2, "GB": 1000**3}


def docker(*arguments: str, within_s: float = 60, check: bool = True) -> str:
    """Run ``docker`` and return what it printed; ``AssertionError`` with its complaint when it fails."""
    ran = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=within_s, cwd=PROJECT
    )
    assert not check or ran.returncode == 0, f"docker {' '.join(arguments)}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def why_no_engine() -> str:
    """Why no Docker engine with compose can be used here; empty if one can."""
    try:
        docker("compose", "version")
        docker("info")
    except FileNotFoundError:
        return "there is no docker on this machine"
    except AssertionError as error:
        return str(error).strip().splitlines()[-1]
    return ""


@dataclass
class ComposeLab:
    """One compose project. ``left_out`` are the services whose image cannot be had."""

    name: str
    subnet: str
    environment: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        written = {key: value or "" for key, value in dotenv_values(EXAMPLE).items()}
        ports = {variable: str(free_port()) for variable in port_variables()}
        self.environment = {
            **written,
            **ports,
            "LAB_SUBNET": self.subnet,
            "SCENARIO": "none",
            "EXAMINER_TOKEN": EXAMINER_TOKEN,
            **self.environment,
        }
        self.left_out = tuple(without_image(self.services()))

    def services(self) -> dict[str, Any]:
        """Each service of the file by name, as compose understands it."""
        return dict(json.loads(self.compose("config", "--format", "json"))["services"])

    def compose(
        self, *arguments: str, files: Iterable[str] = (), within_s: float = 60, **environment: str
    ) -> str:
        """Run ``docker compose`` on this project, with these variables on top."""
        named = [part for file in ("docker-compose.yml", *files) for part in ("-f", file)]
        command = ["docker", "compose", "-p", self.name, "--env-file", os.devnull, *named, *arguments]
        ran = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=within_s,
            cwd=PROJECT,
            env={**os.environ, **self.environment, **environment},
        )
        assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def up(self, *services: str, files: Iterable[str] = (), **environment: str) -> float:
        """``docker compose up -d --wait`` of what can be had; how many seconds it took."""
        wanted = services or tuple(name for name in self.services() if name not in self.left_out)
        began_s = time.monotonic()
        self.compose(
            *("up", "-d", "--wait", "--no-build", *wanted),
            files=files,
            within_s=UP_WITHIN_S,
            **environment,
        )
        return time.monotonic() - began_s

    def down(self) -> None:
        """``docker compose down -v``."""
        self.compose("down", "-v", "--remove-orphans", "-t", "5", within_s=120)

    def left_behind(self) -> list[str]:
        """Every container, volume and network of the project that there still is."""
        label = f"label=com.docker.compose.project={self.name}"
        kinds = (("container", "ls", "-aq"), ("volume", "ls", "-q"), ("network", "ls", "-q"))
        return [f"{kind[0]} {one}" for kind in kinds for one in docker(*kind, "--filter", label).splitlines()]

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self.compose("ps", "-aq", service).strip()

    def kill(self, service: str) -> None:
        """``kill -9`` a service's container, and let it be dead."""
        self.compose("kill", "-s", "KILL", service)

    def start(self, service: str) -> None:
        """Start a container that is down."""
        self.compose("start", service)

    def shown_by_dozzle(self) -> list[str]:
        """The services whose logs are everybody's to read, as the file labels them."""
        return [
            name
            for name, service in self.services().items()
            if service["labels"]["firedrill.logs"] == "shown" and name not in self.left_out
        ]

    def log(self, service: str) -> str:
        """What a service's container has printed."""
        return self.compose("logs", "--no-log-prefix", "--no-color", service)

    def port(self, variable: str) -> int:
        return int(self.environment[variable])

    def url(self, service: str) -> str:
        """Where a service is found from this machine."""
        return f"http://127.0.0.1:{self.port(service.upper().replace('-', '_') + '_PORT')}"

    def get(self, service: str, path: str, **params: str) -> Any:
        """The JSON that a service answers."""
        answer = httpx.get(self.url(service) + path, params=params, timeout=10, trust_env=False)
        return answer.raise_for_status().json()

    def incidents(self) -> list[dict[str, Any]]:
        """Every incident, newest first."""
        return list(self.get("incident-management", "/api/v1/incidents")["items"])

    def resolve_all(self) -> None:
        """Acknowledge and resolve every incident, as a person would."""
        for incident in self.incidents():
            for status in ("acknowledged", "resolved"):
                httpx.patch(
                    f"{self.url('incident-management')}/api/v1/incidents/{incident['id']}",
                    json={"status": status},
                    headers={"x-actor": "test"},
                    timeout=10,
                    trust_env=False,
                )

    def psql(self, statement: str) -> str:
        """What Postgres answers to the superuser."""
        return self.compose(
            *("exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "firedrill", "-tAc", statement)
        ).strip()

    def memory_mib(self) -> dict[str, float]:
        """What each container uses, by service."""
        ids = self.compose("ps", "-q").split()
        names = {
            one: docker("inspect", "-f", '{{index .Config.Labels "com.docker.compose.service"}}', one).strip()
            for one in ids
        }
        lines = docker("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.MemUsage}}", *ids)
        used = (line.split()[:2] for line in lines.splitlines())
        return {names[one]: _bytes(text) / MIB for one, text in used}


@contextmanager
def standing(name: str, *, subnet: str, **environment: str) -> Iterator[ComposeLab]:
    """The whole lab as a project of this name, without what an earlier one has left, and taken down again.

    Skips the test where there is no engine, or no image.
    """
    missing = why_no_engine()
    if missing:
        pytest.skip(f"needs a Docker engine with compose: {missing}")
    if not docker("image", "ls", "-q", "firedrill").strip():
        pytest.skip("needs the image: docker compose build")
    lab = ComposeLab(name, subnet=subnet, environment=environment)
    lab.down()
    try:
        took_s = lab.up()
        print(f"\nup --wait: {took_s:.1f} s; no image, left out: {', '.join(lab.left_out) or 'nothing'}")
        yield lab
    finally:
        lab.down()
    assert not lab.left_behind()


def port_variables() -> list[str]:
    """Every variable by which the compose file publishes a port."""
    published = str([service.get("ports") for service in _raw()["services"].values()])
    return sorted({part.split(":-")[0] for part in published.split("${") if "_PORT:-" in part})


def without_image(services: Mapping[str, Any]) -> list[str]:
    """Those whose image is not here and cannot be pulled either."""
    return [
        name for name, service in services.items() if "build" not in service and not _has(service["image"])
    ]


def wait_for(holds: Callable[[], object], *, within_s: float, what: str) -> float:
    """Wait until something holds; the seconds that it took. What cannot be reached does not hold yet."""
    began_s = time.monotonic()
    while True:
        try:
            if holds():
                return time.monotonic() - began_s
        except httpx.HTTPError as error:
            trouble = repr(error)
        else:
            trouble = "it does not hold"
        assert time.monotonic() - began_s < within_s, f"{what}: not within {within_s} s ({trouble})"
        time.sleep(0.25)


def catalog_services() -> list[str]:
    """The services of the catalog that this tree has."""
    return [service.name for service in SERVICES]


def _raw() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE_FILE.read_text()))


def _has(image: str) -> bool:
    if docker("image", "ls", "-q", image).strip():
        return True
    return os.environ.get("COMPOSE_PULL", "always") != "never" and _pull(image)


def _pull(image: str) -> bool:
    pulled = subprocess.run(["docker", "pull", "-q", image], capture_output=True, timeout=PULL_WITHIN_S)
    return pulled.returncode == 0


def _bytes(text: str) -> float:
    number = text.rstrip("KMGiBk")
    return float(number) * _UNITS[text[len(number) :]]
