"""``python -m scan``: audit the dependencies and the Dockerfile; a check that cannot be done is named.

Ends with status 1 when a check found something, and with 0 otherwise, also when
one was left out: an audit needs a source of advisories, which is online.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[1]
AUDIT_TIMEOUT_S = 600
IMAGE_TIMEOUT_S = 120


@dataclass(frozen=True)
class Finding:
    """What became of one check."""

    outcome: Literal["clean", "found", "left out"]
    lines: Sequence[str] = ()


def audit(lock: Path) -> Finding:
    """Known vulnerabilities of what ``lock`` pins, from the advisories of the Python Packaging Authority."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", str(lock)),
        *("--no-deps", "--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"),
    ]
    done = _run(command, timeout_s=AUDIT_TIMEOUT_S)
    if not done.stdout.startswith("{"):
        return Finding("left out", [_last_line(done.stderr) or "pip-audit gave no answer"])
    return read_audit(done.stdout)


def read_audit(report: str) -> Finding:
    """What pip-audit's JSON says. It takes a package that its source does not know for no trouble."""
    dependencies = json.loads(report)["dependencies"]
    unknown = [one["name"] for one in dependencies if "skip_reason" in one]
    flaws = [
        f"{one['name']} {one['version']}: {flaw['id']}, mended in {_versions(flaw['fix_versions'])}"
        for one in dependencies
        for flaw in one.get("vulns", [])
    ]
    if len(unknown) == len(dependencies):
        return Finding("left out", [f"the source of advisories knows none of the {len(unknown)} packages"])
    not_asked = [f"not known there: {', '.join(unknown)}"] if unknown else []
    return Finding("found" if flaws else "clean", [*flaws, *not_asked])


def lint_image(dockerfile: Path) -> Finding:
    """What hadolint says of the Dockerfile; without hadolint, what Docker itself says."""
    if not dockerfile.exists():
        return Finding("left out", [f"there is no {dockerfile.name}"])
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    docker = shutil.which("docker")
    if hadolint:
        command = [hadolint, "--no-color", str(dockerfile)]
    elif docker:
        command = [docker, "build", "--check", "--file", str(dockerfile), str(dockerfile.parent)]
    else:
        return Finding("left out", ["neither hadolint nor docker is installed"])
    return read_lint(_run(command, timeout_s=IMAGE_TIMEOUT_S))


def read_lint(done: "subprocess.CompletedProcess[str]") -> Finding:
    """What a linter says, on standard output; if it fails and says nothing there, it has not looked."""
    if done.returncode == 0:
        return Finding("clean")
    said = _lines(done.stdout)
    if not said:
        return Finding("left out", _lines(done.stderr)[-3:] or [f"{done.args[0]} gave no answer"])
    return Finding("found", said)


def main() -> int:
    checks: dict[str, Callable[[], Finding]] = {
        "dependencies": lambda: audit(ROOT / "requirements.lock"),
        "image": lambda: lint_image(ROOT / "Dockerfile"),
    }
    findings = {name: check() for name, check in checks.items()}
    for name, finding in findings.items():
        print(f"{name:14}{finding.outcome}")
        for line in finding.lines:
            print(f"    {line}")
    return int(any(finding.outcome == "found" for finding in findings.values()))


def _run(command: Sequence[str], *, timeout_s: float) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {timeout_s:.0f} s")


def _versions(versions: Sequence[str]) -> str:
    return ", ".join(versions) or "no version"


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


if __name__ == "__main__":
    sys.exit(main())
