"""``run-pipeline.sh`` with stand-ins for the commands that it calls: what makes it fail."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
# A port is published as one that is 10,000 higher.
DOCKER = """
if [ "$2" = port ]; then echo "127.0.0.1:$(($4 + 10000))"; fi
"""
CURL = """
for word in "$@"; do case "$word" in http://*) url=$word;; esac; done
echo "$url" >>"$CALLS"
case "$url" in
    "http://127.0.0.1:$SILENT"/*) exit 7;;
    */api/v1/query) echo '{"result":[{"metric":{},"value":[1763733600,"'"$LOWEST_UP"'"]}]}';;
esac
"""
COMMANDS = {"docker": DOCKER, "curl": CURL, "make": "", "sleep": ""}


def run(
    folder: Path, *services: str, silent: int = 0, lowest_up: str = "1"
) -> "subprocess.CompletedProcess[str]":
    """The pipeline over a lab in which a port does not answer, and with the lowest ``up`` of all targets."""
    commands = folder / "commands"
    commands.mkdir()
    for name, script in COMMANDS.items():
        (commands / name).write_text(f"#!/bin/bash\n{script}")
        (commands / name).chmod(0o755)
    shutil.copy(PROJECT / "run-pipeline.sh", folder)
    environment = {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "CALLS": str(folder / "calls"),
        "SILENT": str(silent),
        "LOWEST_UP": lowest_up,
    }
    return subprocess.run(
        [str(folder / "run-pipeline.sh"), *services],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_lab_that_is_well_passes_at_the_ports_that_it_is_published_on(tmp_path: Path) -> None:
    ran = run(tmp_path)

    assert ran.returncode == 0, ran.stdout
    calls = (tmp_path / "calls").read_text().splitlines()
    assert "http://127.0.0.1:18005/health" in calls
    assert calls[-1] == "http://127.0.0.1:18010/checkout/success"


@pytest.mark.parametrize(
    ("silent", "lowest_up", "said"),
    [
        (19090, "1", "Prometheus does not answer"),
        (0, "0", "Prometheus has targets that are down"),
        (18005, "1", "exam does not answer"),
    ],
)
def test_a_lab_that_is_not_well_fails_and_says_why(
    tmp_path: Path, silent: int, lowest_up: str, said: str
) -> None:
    ran = run(tmp_path, silent=silent, lowest_up=lowest_up)

    assert ran.returncode == 1
    assert said in ran.stdout


def test_of_a_part_of_the_lab_only_that_part_is_verified(tmp_path: Path) -> None:
    ran = run(tmp_path, "profile", "prometheus", silent=18005)

    assert ran.returncode == 0, ran.stdout
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["http://127.0.0.1:18000/health", "http://127.0.0.1:19090/api/v1/query"]
