"""Rules files: what is refused and where, and what holds for every rule of the lab."""

import re
from pathlib import Path

import pytest

from embedded import ROOT
from embedded.monitoring.rules import AlertingRule, RuleFileError, RuleSet, load
from embedded.monitoring.settings import RULES
from embedded.monitoring.store import NAME, Selector, Store, labels_of
from scenarios.model import load_all
from services.common.catalog import SERVICES

SHOP = ("dns", "fraud", "inventory", "profile", "payment", "gateway")
ALERTS = [rule for group in load(RULES) for rule in group.rules if isinstance(rule, AlertingRule)]
RECORD = "groups: [{name: g, rules: [{record: %s}]}]"
ALERT = "groups: [{name: g, rules: [{alert: %s}]}]"


def rule_file(folder: Path, text: str) -> Path:
    path = folder / "some.yml"
    path.write_text(text)
    return path


def severity(alert: AlertingRule) -> str:
    return alert.texts.labels["severity"].text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (RECORD % "r, expr: 'deriv(m[5m])'", "group 'g', rule 'r': the function deriv() is not supported"),
        (ALERT % "A, expr: 'm[5m:1m] > 0'", "group 'g', rule 'A': "),
        (ALERT % "A, expr: 'm[5m]'", "group 'g', rule 'A': a rule needs an instant vector"),
        (ALERT % "A, expr: m, annotations: {s: '{{ query 1 }}'}", "rule 'A': the function query is not"),
        (ALERT % "A, expr: m, for: soon", "group 'g', rule 'A': "),
        (ALERT % "A, expr: m, labels: {not-a-name: x}", "rule 'A': not a label name: 'not-a-name'"),
        (RECORD % "r, expr: m, for: 5s", "a recording rule has neither annotations nor for"),
        (RECORD % "not-a-name, expr: m", "not a metric name: 'not-a-name'"),
        ("groups: [{name: g, rules: [{expr: m}]}]", "rule 'number 1': exactly one of alert and record"),
        ("groups: [{name: g, interval: 1m, rules: []}]", "groups.0.interval: Extra inputs are not permitted"),
        ("groups: [{name: g, rules: []}, {name: g, rules: []}]", "group 'g' stands there twice"),
        ("groups: [", "cannot be read"),
    ],
)
def test_a_file_with_an_unsupported_rule_is_refused_with_its_place(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = rule_file(tmp_path, text)

    with pytest.raises(RuleFileError, match=re.escape(reason)) as refused:
        load(tmp_path)
    assert str(path) in str(refused.value)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    rule_file(tmp_path, "groups: [{name: g, rules: [{record: a, expr: 'sum('}, {alert: B, expr: 'm @ 1'}]}]")

    with pytest.raises(RuleFileError) as refused:
        load(tmp_path)
    assert len(str(refused.value).splitlines()) == 2


def test_a_folder_without_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="no rules there"):
        load(tmp_path)


def test_a_recorded_series_ends_when_the_rule_no_longer_yields_it(tmp_path: Path) -> None:
    rule_file(tmp_path, RECORD % "r, expr: m > 0, labels: {by: rule}")
    store = Store()
    source = store.series(labels_of({NAME: "m", "x": "1"}))
    rules = RuleSet(load(tmp_path), store=store)

    source.append(1_000, 5.0)
    rules.evaluate(1_000)
    source.append(2_000, 0.0)
    rules.evaluate(2_000)

    (recorded,) = store.select(Selector("r", ()))
    assert recorded.labels == labels_of({NAME: "r", "x": "1", "by": "rule"})
    assert recorded.latest(1_999, lookback_ms=300_000) == (1_000, 5.0)
    assert recorded.latest(2_000, lookback_ms=300_000) is None


def test_a_rule_that_fails_keeps_its_alerts_and_does_not_keep_others_from_their_turn(tmp_path: Path) -> None:
    rule_file(
        tmp_path,
        "groups: [{name: g, rules: [{alert: A, expr: 'm + on () n'}, {alert: B, expr: n > 0}]}]",
    )
    store = Store()
    rules = RuleSet(load(tmp_path), store=store)
    for name, x in (("m", "1"), ("n", "1")):
        store.series(labels_of({NAME: name, "x": x})).append(1_000, 1.0)
    rules.evaluate(1_000)

    store.series(labels_of({NAME: "n", "x": "2"})).append(2_000, 1.0)
    alerts = rules.evaluate(2_000)

    assert [(dict(alert.labels)["alertname"], alert.state) for alert in alerts] == [
        ("A", "firing"),
        ("B", "firing"),
        ("B", "firing"),
    ]
    assert "many-to-many" in rules.groups[0].rules[0].outcome.error


def test_active_alerts_are_a_series_too(tmp_path: Path) -> None:
    rule_file(tmp_path, ALERT % "A, expr: m, for: 5s")
    store = Store()
    rules = RuleSet(load(tmp_path), store=store)
    for at_ms in (0, 5_000):
        store.series(labels_of({NAME: "m"})).append(at_ms, 1.0)
        rules.evaluate(at_ms)

    states = {
        dict(series.labels)["alertstate"]: series.latest(5_000, lookback_ms=300_000)
        for series in store.select(Selector("ALERTS", ()))
    }
    assert states == {"pending": None, "firing": (5_000, 1.0)}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_says_what_it_is_and_what_to_do(alert: AlertingRule) -> None:
    assert severity(alert) in ("critical", "high", "medium", "low")
    assert set(alert.texts.annotations) == {"summary", "description", "runbook_url"}
    runbook = alert.texts.annotations["runbook_url"].text
    assert runbook == f"docs/runbooks/{alert.name}.md"
    assert (ROOT / runbook).read_text().startswith(f"# {alert.name}\n")
    assert alert.hold_ms >= 10_000


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_what_is_critical_or_high_pages_and_nothing_else_does(alert: AlertingRule) -> None:
    pages = alert.texts.labels.get("page")

    assert (pages.text if pages else "false") == str(severity(alert) in ("critical", "high")).lower()


@pytest.mark.parametrize("service", SHOP)
def test_every_service_of_the_shop_has_its_golden_signals(service: str) -> None:
    name = service.capitalize()
    own = {
        alert.name
        for alert in ALERTS
        if (label := alert.texts.labels.get("service")) and label.text == service
    }

    assert {f"{name}HighErrorRatio", f"{name}HighLatency"} <= own


@pytest.mark.parametrize("name", ["PlatformHighErrorRatio", "PlatformHighLatency"])
def test_the_shop_is_left_out_of_the_platforms_rules(name: str) -> None:
    (platform,) = [alert for alert in ALERTS if alert.name == name]

    assert all(service in platform.expression.text for service in SHOP)
    assert {service.name for service in SERVICES} >= set(SHOP)


def test_every_alert_that_a_scenario_expects_exists_with_that_severity() -> None:
    severities = {alert.name: severity(alert) for alert in ALERTS}
    expected = [one for scenario in load_all().values() for one in scenario.expected_alerts]

    assert expected
    assert {one.alert: one.severity for one in expected} == {
        one.alert: severities.get(one.alert) for one in expected
    }


def test_every_runbook_belongs_to_an_alert() -> None:
    names = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}

    assert names == {alert.name for alert in ALERTS}
