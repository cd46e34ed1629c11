"""Alerts of Alertmanager, Grafana and Sentry: each its own, once, and over when its source says so."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import RunningService, Shop

ALERTS = "/api/v1/alerts"
INCIDENTS = "/api/v1/incidents"
GROUPED = ["alertmanager", "grafana"]

Send = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def service() -> str:
    """A service that no other test has alerts of."""
    return f"s-{uuid4()}"


@pytest.fixture
def send(ingestion: RunningService) -> Send:
    """Post a webhook of a source; what became of its alerts."""

    def post(source: str, *alerts: dict[str, Any]) -> list[dict[str, Any]]:
        body = {"version": "4", "status": "firing", "groupKey": "{}:{}", "alerts": list(alerts)}
        answer = ingestion.client.post(f"/api/v1/webhooks/{source}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["alerts"]

    return post


def alert(service: str, **more: Any) -> dict[str, Any]:
    """One alert of a group, with a fingerprint of its own."""
    return {
        "status": "firing",
        "fingerprint": uuid4().hex[:16],
        "startsAt": "2026-02-09T15:30:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "labels": {"alertname": "HighErrorRatio", "service": service, "severity": "critical"},
        "annotations": {"summary": "5 % of requests fail", "runbook_url": "https://runbooks.test/1"},
        "generatorURL": "http://127.0.0.1:9090/graph",
        **more,
    }


def resolved(fired: dict[str, Any]) -> dict[str, Any]:
    return {**fired, "status": "resolved", "endsAt": "2026-02-09T15:40:00Z"}


def detail(incidents: RunningService, incident_id: str) -> dict[str, Any]:
    return incidents.client.get(f"{INCIDENTS}/{incident_id}").json()


@pytest.mark.parametrize("source", GROUPED)
def test_a_firing_alert_is_stored_with_its_labels_and_has_its_incident(
    ingestion: RunningService, incidents: RunningService, send: Send, service: str, source: str
) -> None:
    fired = alert(service)

    [result] = send(source, fired)

    stored = ingestion.client.get(f"{ALERTS}/{result['alert_id']}").json()
    assert (result["status"], result["fingerprint"]) == ("correlated", fired["fingerprint"])
    assert (stored["source"], stored["fingerprint"]) == (source, fired["fingerprint"])
    assert (stored["service"], stored["severity"]) == (service, "critical")
    assert stored["message"] == "5 % of requests fail"
    assert stored["labels"] == {**fired["labels"], "runbook_url": "https://runbooks.test/1"}
    assert stored["occurred_at"] == "2026-02-09T15:30:00.123456Z"
    assert detail(incidents, result["incident_id"])["title"] == "5 % of requests fail"


@pytest.mark.parametrize("source", GROUPED)
def test_a_group_that_comes_again_is_no_new_alert(
    ingestion: RunningService, send: Send, service: str, source: str
) -> None:
    group = [alert(service), alert(service)]
    first = send(source, *group)

    again = send(source, *group)

    assert [result["status"] for result in first] == ["correlated"] * 2
    assert [result["status"] for result in again] == ["repeated"] * 2
    assert [result["alert_id"] for result in again] == [result["alert_id"] for result in first]
    assert len({result["incident_id"] for result in first + again}) == 1
    listed = ingestion.client.get(ALERTS, params={"service": service}).json()["items"]
    assert [one["repeats"] for one in listed] == [1, 1]


@pytest.mark.parametrize("source", GROUPED)
def test_a_resolved_alert_is_marked_and_is_in_the_timeline_while_the_incident_stays_open(
    ingestion: RunningService, incidents: RunningService, send: Send, service: str, source: str
) -> None:
    fired, other = alert(service), alert(service)
    [first, _] = send(source, fired, other)

    [over, goes_on] = send(source, resolved(fired), other)
    twice = send(source, resolved(fired))

    assert (over["status"], over["alert_id"]) == ("resolved", first["alert_id"])
    assert goes_on["status"] == "repeated"
    assert twice[0]["status"] == "unknown"
    stored = ingestion.client.get(f"{ALERTS}/{first['alert_id']}").json()
    assert stored["resolved_at"] == "2026-02-09T15:40:00Z"
    incident = detail(incidents, first["incident_id"])
    assert incident["status"] == "open"
    assert [(e["actor"], e["what"], e["to"]) for e in incident["timeline"][1:]] == [
        (source, "alert_resolved", "5 % of requests fail")
    ]


def test_one_fingerprint_from_two_sources_is_two_alerts(send: Send, service: str) -> None:
    fired = alert(service)

    results = send("alertmanager", fired) + send("grafana", fired)

    assert [result["status"] for result in results] == ["correlated"] * 2
    assert len({result["alert_id"] for result in results}) == 2


def test_strangers_in_one_group_go_into_incidents_of_their_own(send: Send, service: str) -> None:
    results = send("alertmanager", alert(service), alert(f"{service}-2"))

    assert len({result["incident_id"] for result in results}) == 2


def test_an_alert_that_fires_anew_after_its_end_is_a_new_alert(send: Send, service: str) -> None:
    fired = alert(service)
    [first] = send("alertmanager", fired)
    send("alertmanager", resolved(fired))

    [late] = send("alertmanager", fired)
    [anew] = send("alertmanager", {**fired, "startsAt": "2026-02-09T15:50:00Z"})

    # The same beginning is the delayed message of what is over, another one is another time.
    assert (late["status"], late["alert_id"]) == ("stale", first["alert_id"])
    assert anew["status"] == "correlated"
    assert anew["alert_id"] != first["alert_id"]
    assert anew["incident_id"] == first["incident_id"]


def test_an_alert_that_fires_on_after_a_person_resolved_its_incident_opens_a_new_one(
    incidents: RunningService, send: Send, service: str
) -> None:
    fired = alert(service)
    [first] = send("alertmanager", fired)
    incidents.client.patch(f"{INCIDENTS}/{first['incident_id']}", json={"status": "resolved"})

    [again] = send("alertmanager", fired)
    [repeated] = send("alertmanager", fired)
    [over] = send("alertmanager", resolved(fired))

    assert again["status"] == "correlated"
    assert again["incident_id"] != first["incident_id"]
    assert repeated["status"] == "repeated"
    assert over["alert_id"] == again["alert_id"]


def test_an_end_that_comes_while_the_alert_is_pending_reaches_the_timeline(
    shop: Shop, eventually: Callable[..., None]
) -> None:
    ingestion = shop.start("alert-ingestion")
    fired = alert("payment")
    webhook = "/api/v1/webhooks/alertmanager"
    pending = ingestion.client.post(webhook, json={"alerts": [fired]}).json()["alerts"][0]
    over = ingestion.client.post(webhook, json={"alerts": [resolved(fired)]}).json()["alerts"][0]
    incidents = shop.start("incident-management")
    eventually(lambda: ingestion.metric("alerts_pending") == 0)

    assert (pending["status"], over["status"]) == ("pending", "resolved")
    [incident] = incidents.client.get(INCIDENTS).json()["items"]
    assert [e["what"] for e in detail(incidents, incident["id"])["timeline"]] == ["created", "alert_resolved"]


def test_sentry_tells_of_an_issue_once_and_of_its_end(
    ingestion: RunningService, incidents: RunningService, service: str
) -> None:
    issue = {
        "id": uuid4().hex,
        "title": "ValueError: acquirer declined",
        "level": "fatal",
        "project": {"id": "1", "slug": service},
        "firstSeen": "2026-02-09T15:30:00.000000Z",
    }
    event = {
        "issue_id": issue["id"],
        "title": issue["title"],
        "level": "fatal",
        "tags": [["service", service]],
    }

    def hook(action: str, **data: Any) -> list[dict[str, Any]]:
        answer = ingestion.client.post("/api/v1/webhooks/sentry", json={"action": action, "data": data})
        assert answer.status_code == 200, answer.text
        return answer.json()["alerts"]

    [created] = hook("created", issue=issue)
    [triggered] = hook("triggered", event=event, triggered_rule="all of them")
    assigned = hook("assigned", issue=issue)
    [over] = hook("resolved", issue=issue)

    assert (created["status"], triggered["status"], over["status"]) == ("correlated", "repeated", "resolved")
    assert created["alert_id"] == triggered["alert_id"] == over["alert_id"]
    assert assigned == []
    incident = detail(incidents, created["incident_id"])
    assert (incident["service"], incident["severity"]) == (service, "critical")
    assert incident["timeline"][-1]["what"] == "alert_resolved"


def test_a_sentry_issue_that_comes_back_is_a_new_alert(ingestion: RunningService, service: str) -> None:
    issue = {"id": uuid4().hex, "project": service, "firstSeen": "2026-02-09T15:30:00.000000Z"}

    created, over, back, late = (
        ingestion.client.post(
            "/api/v1/webhooks/sentry", json={"action": action, "data": {"issue": issue}}
        ).json()["alerts"][0]
        for action in ("created", "resolved", "unresolved", "created")
    )

    assert (created["alert_id"], back["status"]) == (over["alert_id"], "correlated")
    assert back["alert_id"] != created["alert_id"]
    assert (late["status"], late["alert_id"]) == ("repeated", back["alert_id"])


def test_a_metric_alert_that_gets_worse_is_a_new_alert_and_a_milder_one_is_not(
    ingestion: RunningService, service: str
) -> None:
    alert = {"identifier": uuid4().hex, "projects": [service], "date_started": "2026-02-09T15:30:00Z"}

    warning, critical, milder, over = (
        ingestion.client.post(
            "/api/v1/webhooks/sentry", json={"action": action, "data": {"metric_alert": alert}}
        ).json()["alerts"][0]
        for action in ("warning", "critical", "warning", "resolved")
    )

    assert critical["status"] == "correlated"
    assert critical["incident_id"] != warning["incident_id"]
    assert (milder["status"], milder["alert_id"]) == ("repeated", critical["alert_id"])
    assert over["status"] == "resolved"
    listed = ingestion.client.get(ALERTS, params={"service": service}).json()["items"]
    assert [one["severity"] for one in listed] == ["critical", "medium"]
    assert None not in [one["resolved_at"] for one in listed]


@pytest.mark.parametrize("source", [*GROUPED, "sentry"])
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"alerts": [{"status": "odd"}]}', b'{"alerts": 1}'])
def test_what_is_no_webhook_is_a_422_since_it_would_be_none_the_next_time(
    ingestion: RunningService, source: str, body: bytes
) -> None:
    headers = {"content-type": "application/json"}

    answer = ingestion.client.post(f"/api/v1/webhooks/{source}", content=body, headers=headers)

    assert answer.status_code == 422


@pytest.mark.parametrize("source", [*GROUPED, "sentry"])
def test_a_webhook_on_a_database_fault_is_a_503_so_that_it_comes_again(shop: Shop, source: str) -> None:
    ingestion = shop.start("alert-ingestion")
    body = {
        "alerts": [alert("payment"), resolved(alert("payment"))],
        "action": "resolved",
        "data": {"issue": {"id": "1"}},
    }
    assert shop.database is not None
    with shop.database.connect("postgres").cursor() as cursor:
        cursor.execute("ALTER TABLE incident.alerts RENAME TO alerts_away")

    answer = ingestion.client.post(f"/api/v1/webhooks/{source}", json=body)

    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("database: ")
