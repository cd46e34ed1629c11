"""The rules and their unit tests, as Prometheus' own tool sees them."""

import shutil
import subprocess

import pytest

from embedded import ROOT
from embedded.monitoring.settings import RULES

PROMTOOL = shutil.which("promtool")
RULE_TESTS = ROOT / "monitoring" / "prometheus" / "tests"

pytestmark = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not on this machine: install the package prometheus"
)


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_prometheus_accepts_the_rules() -> None:
    done = promtool("check", "rules", *map(str, sorted(RULES.glob("*.yml"))))

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_does_in_prometheus_what_its_unit_tests_say() -> None:
    done = promtool("test", "rules", *map(str, sorted(RULE_TESTS.glob("*.yml"))))

    assert done.returncode == 0, done.stdout + done.stderr
