import json
import subprocess

import pytest

from scan.__main__ import read_audit, read_lint

CLEAN = {"name": "httpx", "version": "1.0", "vulns": []}
FLAWED = {"name": "pyyaml", "version": "5.3", "vulns": [{"id": "PYSEC-2021-142", "fix_versions": ["5.4"]}]}
UNKNOWN = {"name": "mine", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def report(*dependencies: object) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_a_flaw_is_found_and_says_what_mends_it() -> None:
    finding = read_audit(report(CLEAN, FLAWED))

    assert finding.outcome == "found"
    assert finding.lines == ["pyyaml 5.3: PYSEC-2021-142, mended in 5.4"]


def test_packages_that_the_source_does_not_know_are_named() -> None:
    finding = read_audit(report(CLEAN, UNKNOWN))

    assert (finding.outcome, finding.lines) == ("clean", ["not known there: mine"])


def test_an_audit_that_could_look_nothing_up_is_not_called_clean() -> None:
    assert read_audit(report(UNKNOWN, UNKNOWN)).outcome == "left out"


def linted(returncode: int, *, stdout: str = "", stderr: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.CompletedProcess(["linter"], returncode, stdout, stderr)


def test_what_a_linter_says_of_the_image_is_found() -> None:
    finding = read_lint(linted(1, stdout="Dockerfile:9 DL3020 error: Use COPY\n"))

    assert (finding.outcome, finding.lines) == ("found", ["Dockerfile:9 DL3020 error: Use COPY"])


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("ERROR: Cannot connect to the Docker daemon\n", ["ERROR: Cannot connect to the Docker daemon"]),
        ("unknown flag: --check\nSee help.\n", ["unknown flag: --check", "See help."]),
        ("", ["linter gave no answer"]),
    ],
)
def test_a_linter_that_could_not_look_has_found_nothing_and_is_not_called_clean(
    stderr: str, reason: list[str]
) -> None:
    finding = read_lint(linted(1, stderr=stderr))

    assert (finding.outcome, finding.lines) == ("left out", reason)


def test_an_image_that_a_linter_has_nothing_to_say_of_is_clean() -> None:
    assert read_lint(linted(0, stderr="Check complete")).outcome == "clean"
