"""How long a newcomer waits: ``make lab`` on a fresh clone, installs included."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from bench.figure import Figure
from bench.live_lab import ALL_HEALTHY, PROJECT, free_ports


def measure() -> list[Figure]:
    """Clone what is committed, type ``make lab``, wait for "all healthy"."""
    with tempfile.TemporaryDirectory(prefix="firedrill-clone-") as folder:
        clone = Path(folder, "firedrill")
        subprocess.run(["git", "clone", "--quiet", PROJECT, clone], check=True)
        kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
        started = time.monotonic()
        process = subprocess.Popen(
            ["make", "lab"],
            cwd=clone,
            env={**kept, **free_ports(), "SCENARIO": "none"},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            healthy = any(ALL_HEALTHY.search(line) for line in process.stdout)
            took_s = time.monotonic() - started
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(20)
        if not healthy:
            raise RuntimeError("the lab of the fresh clone did not become healthy")
    return [Figure("first make lab on a fresh clone", took_s, 120, "s")]
