import json

from scan.__main__ import read_audit

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
