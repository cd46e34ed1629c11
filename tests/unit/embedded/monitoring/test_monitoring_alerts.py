"""An alert's life, and what it says of itself."""

import pytest

from embedded.monitoring.alerts import ActiveAlerts, AlertTexts, fingerprint
from embedded.monitoring.promql import ExecutionError
from embedded.monitoring.store import labels_of
from embedded.monitoring.templates import Alerted, Template, TemplateError

ONE = labels_of({"__name__": "m", "service": "payment"})
TWO = labels_of({"__name__": "m", "service": "profile"})


def alerts(*, hold_ms: int = 10_000, keep_firing_ms: int = 0) -> ActiveAlerts:
    texts = AlertTexts(
        "Bad",
        labels={"severity": Template("high"), "seen": Template("{{ $labels.service }}")},
        annotations={"summary": Template("{{ $value | humanizePercentage }} of {{ $labels.service }}")},
    )
    return ActiveAlerts(texts, hold_ms=hold_ms, keep_firing_ms=keep_firing_ms)


def test_an_alert_fires_when_its_condition_has_held_long_enough() -> None:
    active = alerts()

    assert active.update({ONE: 0.5}, 0) == []
    assert [alert.state for alert in active] == ["pending"]
    assert active.update({ONE: 0.5}, 9_999) == []
    (fired,) = active.update({ONE: 0.25}, 10_000)
    assert (fired.state, fired.active_at_ms, fired.fired_at_ms) == ("firing", 0, 10_000)
    assert fired.annotations == {"summary": "25% of payment"}


def test_an_alert_without_a_hold_fires_at_once() -> None:
    assert [alert.state for alert in alerts(hold_ms=0).update({ONE: 1.0}, 0)] == ["firing"]


def test_a_condition_that_lapses_begins_anew() -> None:
    active = alerts()
    active.update({ONE: 1.0}, 0)
    active.update({}, 5_000)
    active.update({ONE: 1.0}, 10_000)

    assert active.update({ONE: 1.0}, 15_000) == []
    assert len(active.update({ONE: 1.0}, 20_000)) == 1


def test_an_alert_is_resolved_once_and_one_that_was_pending_never() -> None:
    active = alerts()
    active.update({ONE: 1.0}, 0)
    active.update({ONE: 1.0, TWO: 1.0}, 10_000)

    (resolved,) = active.update({}, 15_000)

    assert (resolved.state, resolved.resolved_at_ms) == ("resolved", 15_000)
    assert dict(resolved.labels)["service"] == "payment"
    assert active.update({}, 20_000) == []


def test_an_alert_may_go_on_for_a_while_after_its_condition() -> None:
    active = alerts(hold_ms=0, keep_firing_ms=10_000)
    active.update({ONE: 1.0}, 0)

    assert [alert.state for alert in active.update({}, 9_999)] == ["firing"]
    assert [alert.state for alert in active.update({}, 10_000)] == ["resolved"]


def test_an_alert_has_the_elements_labels_and_the_rules_own() -> None:
    (fired,) = alerts(hold_ms=0).update({ONE: 1.0}, 0)

    assert dict(fired.labels) == {
        "alertname": "Bad",
        "service": "payment",
        "severity": "high",
        "seen": "payment",
    }


def test_two_elements_that_become_one_alert_are_an_error() -> None:
    texts = AlertTexts("Bad", labels={"service": Template("all")}, annotations={})

    with pytest.raises(ExecutionError, match="same labelset"):
        ActiveAlerts(texts, hold_ms=0, keep_firing_ms=0).update({ONE: 1.0, TWO: 1.0}, 0)


@pytest.mark.parametrize(
    ("labels", "known"),
    [
        ({"alertname": "Bad", "service": "payment", "severity": "high"}, "b6d2a8d318a2dc3d"),
        (
            {"alertname": "Bad", "service": "payment", "severity": "high", "instance": "a:1", "x": 'é"'},
            "f96f993e01a5b4da",
        ),
        ({"alertname": "Solo"}, "678b588f14f8ffed"),
    ],
)
def test_a_fingerprint_is_the_one_that_alertmanager_gives(labels: dict[str, str], known: str) -> None:
    # What Alertmanager 0.25.0 posted for these labels.
    assert fingerprint(labels) == known


@pytest.mark.parametrize(
    ("text", "value", "rendered"),
    [
        ("{{ $value }}", 0.05, "0.05"),
        ("{{ $value }}", 1e21, "1e+21"),
        ("{{ $value }}", 3.0, "3"),
        ("{{ .Value | humanize }}", 1234.5, "1.234k"),
        ("{{ humanize $value }}", 0.02, "20m"),
        ("{{ $value | humanizePercentage }}", 0.12345, "12.35%"),
        ("{{ $value | humanizePercentage }}", float("nan"), "NaN%"),
        ("{{ $value | humanizeDuration }}", 3723.5, "1h 2m 3s"),
        ("{{ $value | humanizeDuration }}", 1.9512, "1.951s"),
        ("{{ $value | humanizeDuration }}", 0.25, "250ms"),
        ("{{ $value | humanizeDuration }}", 0.0, "0s"),
        ("{{ $value | humanizeDuration }}", -90.0, "-1m 30s"),
        ('{{ printf "%.2f of %s" $value $labels.service }}', 2.0, "2.00 of payment"),
        ('{{ $value | printf "%.1f%%" }}', 12.34, "12.3%"),
        ("{{ .Labels.service | toUpper }}:{{ $labels.nothing }}", 1.0, "PAYMENT:"),
        ("no action", 1.0, "no action"),
    ],
)
def test_templates_are_rendered_as_prometheus_does(text: str, value: float, rendered: str) -> None:
    assert Template(text).render(Alerted({"service": "payment"}, value)) == rendered


@pytest.mark.parametrize(
    "text",
    [
        "{{ if $value }}x{{ end }}",
        "{{ query `up` }}",
        "{{ $externalURL }}",
        "{{ $value | unheard_of }}",
        '{{ printf "%d" $value }}',
        '{{ printf "%s %s" $value }}',
        "{{ humanize }}",
        "{{ }}",
        "{{ $value",
        "{{- $value -}}",
    ],
)
def test_a_template_that_is_not_supported_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        Template(text)
