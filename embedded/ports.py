"""Are the lab's ports free? Asked before anything is started, so that nothing is started in vain."""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import psutil

from embedded.environment import Settings
from embedded.errors import LabError


@dataclass(frozen=True)
class Port:
    """A port that the lab is about to bind, and the variable that moves it."""

    number: int
    owner: str
    variable: str
    protocol: Literal["tcp", "udp"] = "tcp"


def wanted(lab: Settings, *, traffic: bool = True) -> list[Port]:
    """Every port that a start with these settings binds."""
    ports = [Port(lab.ports[s.name], s.name, s.port_variable) for s in lab.services]
    if "dns" in lab.ports:
        ports.append(Port(lab.dns_query_port, "dns (queries)", "DNS_QUERY_PORT"))
        ports.append(Port(lab.dns_query_port, "dns (queries)", "DNS_QUERY_PORT", "udp"))
    if traffic:
        ports.append(Port(lab.traffic_port, "traffic-generator", "TRAFFIC_GENERATOR_PORT"))
    if lab.external_database is None:
        ports.append(Port(lab.postgres_port, "postgres", "POSTGRES_PORT"))
    return ports


def require_free(ports: Iterable[Port], *, address: str) -> None:
    """Raise ``LabError`` that names every busy port, the variable that changes it and who holds it."""
    checked = list(ports)
    complaints = _twice_wanted(checked)
    complaints += [_complaint(port, reason) for port in checked if (reason := _obstacle(port, address))]
    if complaints:
        raise LabError("\n".join([*complaints, "Nothing was started."]))


def _twice_wanted(ports: list[Port]) -> list[str]:
    first: dict[tuple[int, str], Port] = {}
    complaints = []
    for port in ports:
        other = first.setdefault((port.number, port.protocol), port)
        if other is not port:
            complaints.append(
                f"port {port.number} is wanted by {other.owner} ({other.variable}) and by {port.owner}"
                f" ({port.variable}): change one of the two"
            )
    return complaints


def _obstacle(port: Port, address: str) -> OSError | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as probe:
        if port.protocol == "tcp":
            # As the services do: connections of an earlier run in TIME_WAIT are no obstacle, a listener is.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port.number))
        except OSError as error:
            return error
    return None


def _complaint(port: Port, reason: OSError) -> str:
    other = f"set {port.variable} to another port"
    if reason.errno == errno.EADDRINUSE:
        holder = _holder(port)
        return (
            f"port {port.number} ({port.protocol}) of {port.owner} is in use"
            f"{f' by {holder}' if holder else ''}: stop that program, or {other}"
        )
    if reason.errno == errno.EADDRNOTAVAIL:
        return f"port {port.number} of {port.owner}: LAB_BIND is not an address of this machine"
    return (
        f"port {port.number} ({port.protocol}) of {port.owner} cannot be bound ({reason.strerror}): {other}"
    )


def _holder(port: Port) -> str | None:
    """The program that holds the port, as far as the system lets us see."""
    kind = psutil.CONN_LISTEN if port.protocol == "tcp" else psutil.CONN_NONE
    try:
        for connection in psutil.net_connections(kind=port.protocol):
            at = connection.laddr
            if at and at.port == port.number and connection.status == kind and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return None
    return None
