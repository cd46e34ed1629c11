"""What the containers of the compose lab may use at most."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import yaml

COMPOSE_FILE = Path(__file__).parents[1] / "docker-compose.yml"
_MIB = 1024**2
_UNITS = {"K": 1024, "M": _MIB, "G": 1024**3}


@dataclass(frozen=True)
class Budget:
    """The limits of each container by service (bytes and cores), and what they come to."""

    containers: Mapping[str, tuple[int, float]]

    @property
    def memory_bytes(self) -> int:
        """The sum of the memory limits."""
        return sum(memory for memory, _ in self.containers.values())


def budget(compose: Mapping[str, Any]) -> Budget:
    """The limits in a compose file of what runs all the time: no job that ends, no optional profile."""
    return Budget(
        {
            name: (limit_bytes(service), float(service["deploy"]["resources"]["limits"]["cpus"]))
            for name, service in compose["services"].items()
            if service["restart"] != "no" and not service.get("profiles")
        }
    )


def limit_bytes(service: Mapping[str, Any]) -> int:
    """The memory limit of a service of a compose file, which is written like ``112M``."""
    text = str(service["deploy"]["resources"]["limits"]["memory"])
    return int(text[:-1]) * _UNITS[text[-1].upper()]


def show_budget(file: Path = COMPOSE_FILE) -> None:
    """Print the limits of every container and their sum."""
    found = budget(yaml.safe_load(file.read_text()))
    for name, (memory, cpus) in sorted(found.containers.items(), key=lambda one: -one[1][0]):
        typer.echo(f"{name:24} {memory // _MIB:6d} MiB  {cpus:5.2f} cores at most")
    typer.echo(f"{'in all':24} {found.memory_bytes // _MIB:6d} MiB")
