"""What is made of the webhooks of Alertmanager, Grafana and Sentry."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.alert_ingestion.adapters import alertmanager, reading, sentry
from services.alert_ingestion.arrival import Arrival, Resolution

NOON = datetime(2026, 2, 9, 12, tzinfo=UTC)


def group(*alerts: dict[str, Any]) -> list[reading.Event]:
    return alertmanager.read(alertmanager.AlertGroup(alerts=alerts), source="alertmanager")


def fired(**more: Any) -> Arrival:
    [event] = group({"status": "firing", "fingerprint": "f", **more})
    assert isinstance(event, Arrival)
    return event


def hook(action: str, **data: Any) -> list[reading.Event]:
    return sentry.read(sentry.SentryHook(action=action, data=data))


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", "critical"),
        ("CRITICAL ", "critical"),
        ("page", "critical"),
        ("fatal", "critical"),
        ("error", "high"),
        ("high", "high"),
        ("warning", "medium"),
        ("info", "low"),
        ("none", "low"),
        ("", "medium"),
        ("spicy", "medium"),
    ],
)
def test_every_word_for_a_severity_becomes_one_of_ours(word: str, severity: str) -> None:
    assert fired(labels={"severity": word}).severity == severity


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"service": "payment", "job": "j", "alertname": "A"}, "payment"),
        ({"job": "node/exporter", "alertname": "A"}, "node-exporter"),
        ({"service": " ", "alertname": "A"}, "A"),
        ({"service": "käse & co"}, "k-se-co"),
        ({"service": "x" * 300}, "x" * 100),
        ({}, "unknown"),
    ],
)
def test_a_service_is_named_by_the_first_label_that_names_one(labels: dict[str, str], service: str) -> None:
    assert fired(labels=labels).service == service


def test_the_message_is_the_first_that_says_something() -> None:
    labels = {"alertname": "HighErrorRatio"}

    assert fired(labels=labels, annotations={"summary": "s", "description": "d"}).message == "s"
    assert fired(labels=labels, annotations={"summary": " ", "description": "d"}).message == "d"
    assert fired(labels=labels).message == "HighErrorRatio"
    assert fired().message == "alert without a message"


def test_what_postgres_cannot_keep_is_left_out() -> None:
    event = fired(labels={"a": "x\x00y\ud800z", **{f"l{n}": "v" * 5000 for n in range(100)}})

    assert event.labels["a"] == "xy?z"
    assert len(event.labels) == 64
    assert max(len(value) for value in event.labels.values()) == 1000


def test_each_alert_of_a_group_counts_for_itself() -> None:
    first, second = group(
        {"status": "firing", "fingerprint": "1", "startsAt": "2026-02-09T13:00:00+01:00"},
        {"status": "resolved", "fingerprint": "2", "endsAt": "2026-02-09T12:00:00"},
    )

    assert isinstance(first, Arrival)
    assert (first.fingerprint, first.occurred_at) == ("1", NOON)
    assert second == Resolution("alertmanager", "2", NOON)


def test_times_that_cannot_be_kept_are_as_good_as_none() -> None:
    assert fired(startsAt="0001-01-01T00:00:00Z").occurred_at is None
    assert fired(startsAt=None).occurred_at is None


def test_without_a_fingerprint_the_labels_are_one() -> None:
    def fingerprint(**labels: str) -> str | None:
        return fired(fingerprint="", labels=labels).fingerprint

    assert fingerprint(a="1", b="2") == fingerprint(b="2", a="1")
    assert fingerprint(a="1") != fingerprint(a="2")


# --- Sentry


def test_an_issue_and_its_alert_have_the_issues_fingerprint() -> None:
    issue = {"id": "42", "title": "ValueError", "level": "error", "project": {"slug": "payment"}}
    event = {"issue_id": "42", "title": "ValueError", "level": "error", "project": 7}

    [created], [triggered], [error] = (
        hook("created", issue=issue),
        hook("triggered", event=event),
        hook("created", error=event),
    )

    for arrival in (created, triggered, error):
        assert isinstance(arrival, Arrival)
        assert (arrival.fingerprint, arrival.severity) == ("issue:42", "high")
    assert isinstance(created, Arrival)
    assert created.service == "payment"
    assert hook("resolved", issue=issue) == [Resolution("sentry", "issue:42", None)]
    assert hook("archived", issue=issue) == [Resolution("sentry", "issue:42", None)]


def test_an_issue_that_comes_back_has_not_the_beginning_that_is_over() -> None:
    issue = {"id": "42", "firstSeen": "2026-02-09T12:00:00Z"}

    [created], [regressed] = hook("created", issue=issue), hook("unresolved", issue=issue)

    assert isinstance(created, Arrival)
    assert isinstance(regressed, Arrival)
    assert (created.occurred_at, regressed.occurred_at) == (NOON, None)
    assert regressed.fingerprint == created.fingerprint


@pytest.mark.parametrize(
    "tags", [[["service", "payment"], ["level", "error"]], [{"key": "service", "value": "payment"}]]
)
def test_an_event_belongs_to_the_service_of_its_tag(tags: list[Any]) -> None:
    [arrival] = hook("triggered", event={"issue_id": 1, "project": 7, "tags": tags})

    assert isinstance(arrival, Arrival)
    assert arrival.service == "payment"
    assert arrival.labels["service"] == "payment"


def test_a_metric_alert_has_its_own_fingerprint_and_the_severity_of_its_action() -> None:
    alert = {
        "identifier": "6",
        "projects": ["payment"],
        "date_started": "2026-02-09T12:00:00Z",
        "date_closed": "2026-02-09T12:00:00.000000Z",
        "alert_rule": {"name": "Too many errors", "query": "level:error"},
    }

    [critical] = hook("critical", metric_alert=alert, description_title="Critical: Too many errors")
    [warning] = hook("warning", metric_alert=alert)

    assert isinstance(critical, Arrival)
    assert isinstance(warning, Arrival)
    assert (critical.severity, warning.severity) == ("critical", "medium")
    assert (critical.service, critical.occurred_at) == ("payment", NOON)
    assert critical.message == "Critical: Too many errors"
    assert warning.message == "Too many errors"
    over = hook("resolved", metric_alert=alert)
    assert over == [Resolution("sentry", "metric-alert:6", NOON)]


@pytest.mark.parametrize(
    ("action", "data"),
    [
        ("assigned", {"issue": {"id": "1"}}),
        ("created", {"installation": {}}),
        ("created", {"issue": {}}),
        ("created", {"issue": "1"}),
        ("triggered", {"event": {"title": "t"}}),
        ("critical", {"metric_alert": {"alert_rule": 1}}),
        ("created", {}),
    ],
)
def test_what_is_no_alert_makes_none(action: str, data: dict[str, Any]) -> None:
    assert hook(action, **data) == []


@pytest.mark.parametrize("time", ["yesterday", 7, None, "0001-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_read_is_as_good_as_none(time: Any) -> None:
    [arrival] = hook("created", issue={"id": "1", "firstSeen": time})

    assert isinstance(arrival, Arrival)
    assert arrival.occurred_at is None
