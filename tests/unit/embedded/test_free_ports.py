"""Ports that tests and benchmarks take: none that the kernel may give to a connection, none twice."""

import socket
import subprocess
import sys
from pathlib import Path

from embedded.free_ports import free_port

PROJECT = Path(__file__).parents[3]


def test_ports_lie_below_those_that_the_kernel_gives_to_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        assert free_port() < 32_000 < theirs.getsockname()[1]


def test_a_port_is_not_given_out_again_while_others_are_free() -> None:
    assert len({free_port() for _ in range(400)}) == 400


def test_a_port_in_use_is_not_given_out() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as used:
        assert used.getsockname()[1] not in {free_port() for _ in range(1_000)}


def test_two_processes_share_no_port() -> None:
    ours = {free_port() for _ in range(400)}
    take = "from embedded.free_ports import free_port; print(*(free_port() for _ in range(400)))"

    said = subprocess.run(
        [sys.executable, "-c", take], cwd=PROJECT, capture_output=True, text=True, check=True
    )

    theirs = {int(port) for port in said.stdout.split()}
    assert len(theirs) == 400
    assert not ours & theirs
