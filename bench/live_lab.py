"""What the whole lab costs: seconds to healthy, memory, and the latency of a cached read."""

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bench.figure import Figure
from embedded.environment import PORT_VARIABLES
from embedded.free_ports import free_port

PROJECT = Path(__file__).parents[1]
START_DEADLINE_S = 60
SETTLE_S = 20.0
READS = 600
READS_A_SECOND = 20
ALL_HEALTHY = re.compile(r"all healthy in ([0-9.]+) s")


@dataclass(frozen=True)
class RunningLab:
    """A lab of its own, beside any other on this machine."""

    process: "subprocess.Popen[str]"
    gateway_url: str
    healthy_after_s: float
    """From the command to the line that says so, as its user waits for it."""


@contextmanager
def lab(directory: Path) -> Iterator[RunningLab]:
    """The lab on free ports in ``directory``, under load and without faults."""
    environment = free_ports()
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "lab", "up"],
        cwd=PROJECT,
        env={**os.environ, **environment, "LAB_DIR": str(directory), "SCENARIO": "none"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_until_healthy(process)
        took = time.monotonic() - started
        yield RunningLab(process, f"http://127.0.0.1:{environment['GATEWAY_PORT']}", took)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def free_ports() -> dict[str, str]:
    """Every variable that moves a port of the lab, with a port that is free now."""
    return {name: str(free_port()) for name in PORT_VARIABLES}


def measure() -> list[Figure]:
    """Start a new lab and one that has its database already; measure the second one at work."""
    with tempfile.TemporaryDirectory(prefix="firedrill-bench-") as folder:
        with lab(Path(folder)) as first:
            new_s = first.healthy_after_s
        with lab(Path(folder)) as second:
            again_s = second.healthy_after_s
            time.sleep(SETTLE_S)
            p50_ms, p99_ms = _cached_reads(second.gateway_url)
            memory_mib = _proportional_memory_mib(second.process.pid)
    print(f"  a cached read through the gateway: p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms")
    return [
        Figure("lab up to all healthy, new database", new_s, 7, "s"),
        Figure("lab up to all healthy, again", again_s, 7, "s"),
        Figure("proportional memory of the whole lab", memory_mib, 1.1 * 1024, "MiB"),
        Figure("p99 of a cached profile read through the gateway", p99_ms, 25, "ms"),
    ]


def _wait_until_healthy(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    shown = []
    for line in process.stdout:
        shown.append(line)
        if ALL_HEALTHY.search(line):
            return
    raise RuntimeError("the lab did not become healthy:\n" + "".join(shown))


def _cached_reads(gateway_url: str) -> tuple[float, float]:
    latencies_ms = []
    with httpx.Client(base_url=gateway_url, trust_env=False) as client:
        for n in range(READS):
            next_at = time.monotonic() + 1 / READS_A_SECOND
            started = time.perf_counter()
            client.get(f"/api/users/profile/{n % 10 + 1}").raise_for_status()
            latencies_ms.append((time.perf_counter() - started) * 1000)
            time.sleep(max(0.0, next_at - time.monotonic()))
    cuts = statistics.quantiles(latencies_ms[10:], n=100, method="inclusive")
    return cuts[49], cuts[98]


def _proportional_memory_mib(pid: int) -> float:
    root = psutil.Process(pid)
    return sum(p.memory_full_info().pss for p in (root, *root.children(recursive=True))) / 2**20
