"""The rules' unit tests, which are promtool's, hold in this engine as they do in Prometheus.

Their format: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/.
"""

import re
from typing import Any

import pytest
import yaml

from embedded import ROOT
from embedded.monitoring.exposition import series_labels
from embedded.monitoring.rules import AlertingRule, RuleSet, load
from embedded.monitoring.settings import RULES
from embedded.monitoring.store import NAME, Store, labels_of

STEP_MS = 5_000
RULE_TESTS = sorted((ROOT / "monitoring" / "prometheus" / "tests").glob("*.yml"))
_VALUES = re.compile(r"(?P<start>[\d.]+)(?:(?P<step>[+-][\d.]+))?(?:x(?P<times>\d+))?")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")

CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in RULE_TESTS
    for case in yaml.safe_load(path.read_text())["tests"]
]


def expanded(notation: str) -> list[float]:
    """``1+2x3`` is 1 3 5 7, ``1x3`` is 1 1 1 1, ``1`` is 1."""
    values = []
    for word in notation.split():
        found = _VALUES.fullmatch(word)
        assert found is not None, word
        start, step = float(found["start"]), float(found["step"] or 0)
        values += [start + step * place for place in range(int(found["times"] or 0) + 1)]
    return values


def milliseconds(duration: str) -> int:
    found = _DURATION.fullmatch(duration)
    assert found is not None, duration
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000


def alerts_firing(rules: RuleSet, name: str) -> list[dict[str, Any]]:
    """What fires under that name, as a rule test writes it."""
    return [
        {
            "exp_labels": {label: v for label, v in alert.labels if label != "alertname"},
            "exp_annotations": alert.annotations,
        }
        for group in rules.groups
        for rule in group.rules
        if isinstance(rule, AlertingRule) and rule.name == name
        for alert in rule.firing
    ]


@pytest.mark.parametrize("case", CASES)
def test_what_a_rule_test_expects_of_prometheus_this_engine_does(case: dict[str, Any]) -> None:
    store = Store()
    rules = RuleSet(load(RULES), store=store)
    inputs = [(*series_labels(one["series"]), expanded(str(one["values"]))) for one in case["input_series"]]
    expected = case["alert_rule_test"]
    ends_ms = max(milliseconds(one["eval_time"]) for one in expected)
    seen = 0

    for at_ms in range(0, ends_ms + 1, STEP_MS):
        for name, labels, values in inputs:
            if at_ms // STEP_MS < len(values):
                series = store.series(labels_of({**labels, NAME: name}))
                series.append(at_ms, values[at_ms // STEP_MS])
        rules.evaluate(at_ms)
        for one in expected:
            if milliseconds(one["eval_time"]) == at_ms:
                seen += 1
                assert alerts_firing(rules, one["alertname"]) == one["exp_alerts"], one

    assert seen == len(expected)


def test_there_are_rule_tests_for_every_alert() -> None:
    firing = {
        one["alertname"]
        for case in (case.values[0] for case in CASES)
        if isinstance(case, dict)
        for one in case["alert_rule_test"]
        if one["exp_alerts"]
    }
    names = {rule.name for group in load(RULES) for rule in group.rules if isinstance(rule, AlertingRule)}

    assert firing == names
