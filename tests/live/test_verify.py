"""``lab scenario verify`` on a whole lab: what it proves of a scenario with a fault, and of one without."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab import PROJECT, Lab, playing

VERIFIED_WITHIN_S = 240


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, dict[str, str]]]:
    """A lab in which nothing breaks by itself, and the environment of a shell beside it."""
    folder = tmp_path_factory.mktemp("verify")
    with playing("none", folder, soak_s=0, hold_s=0) as lab:
        ports = {name: str(port) for name, port in lab.ports.items()}
        passwords = {"CANDIDATE_DB_PASSWORD": "candidate"}
        yield lab, {**os.environ, **ports, **passwords, "LAB_DIR": str(folder / "lab")}


def lab_command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROJECT / ".venv/bin/lab", "scenario", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=VERIFIED_WITHIN_S,
    )


def test_a_scenario_with_a_fault_is_proved(lab: tuple[Lab, dict[str, str]]) -> None:
    found = lab_command(lab[1], "verify", "card-decline")

    assert found.returncode == 0, found.stdout + found.stderr
    for proof in (
        "healthy passes the oracle",
        "injected fails the oracle",
        "alert PaymentHighErrorRatio fires",
        "doing nothing fails the oracle",
        "cheat stop-traffic fails the oracle",
        "mitigation route-range passes the oracle",
        "the baseline is the one from before",
    ):
        assert f"ok    {proof}" in found.stdout


def test_a_quiet_night_is_proved(lab: tuple[Lab, dict[str, str]]) -> None:
    found = lab_command(lab[1], "verify", "quiet-night")

    assert found.returncode == 0, found.stdout + found.stderr
    assert "ok    red herrings alone pass the oracle" in found.stdout


def test_a_lab_that_was_broken_by_hand_is_not_broken_twice_and_is_put_back(
    lab: tuple[Lab, dict[str, str]],
) -> None:
    started = lab_command(lab[1], "start", "stale-record")
    again = lab_command(lab[1], "start", "card-decline")
    stopped = lab_command(lab[1], "stop")

    assert started.returncode == 0, started.stderr
    assert again.returncode == 1
    assert "the lab is not free" in again.stderr
    assert stopped.returncode == 0, stopped.stderr
    assert "the lab is as before" in stopped.stdout


def test_what_is_shown_of_a_scenario_does_not_tell_its_truth(lab: tuple[Lab, dict[str, str]]) -> None:
    hidden = lab_command(lab[1], "show", "payment-dns")
    told = lab_command(lab[1], "show", "payment-dns", "--truth")

    for secret in ("record-missing", "record_missing", "zone-change", "degraded", "NXDOMAIN"):
        assert secret not in hidden.stdout
        assert secret in told.stdout
