"""alert-ingestion with incident-management behind it: what is taken, correlated, and found again."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from tests.conftest import LabDatabase, RunningService, Shop

ALERTS = "/api/v1/alerts"
INCIDENTS = "/api/v1/incidents"

Post = Callable[..., httpx.Response]


@pytest.fixture
def service() -> str:
    """A service that no other test has alerts of."""
    return f"s-{uuid4()}"


@pytest.fixture
def post(ingestion: RunningService, service: str) -> Post:
    """Post an alert of the test's service."""

    def send(*, key: str | None = None, **body: Any) -> httpx.Response:
        alert = {"service": service, "severity": "high", "message": "error ratio above 5 %", **body}
        return ingestion.client.post(ALERTS, json=alert, headers={"idempotency-key": key} if key else None)

    return send


def resolve(incidents: RunningService, incident_id: str) -> None:
    answer = incidents.client.patch(f"{INCIDENTS}/{incident_id}", json={"status": "resolved"})
    assert answer.status_code == 200


def backdate(database: LabDatabase, service: str, age: str) -> None:
    """Make a service's incidents older."""
    with database.engine("platform").begin() as db:
        older = "UPDATE incident.incidents SET created_at = created_at - CAST(:age AS interval)"
        db.execute(text(older + " WHERE service = :service"), {"age": age, "service": service})


def incidents_of(incidents: RunningService, service: str) -> list[dict[str, Any]]:
    return incidents.client.get(INCIDENTS, params={"service": service}).json()["items"]


# --- correlation


def test_the_first_alert_opens_an_incident_and_the_next_joins_it(
    incidents: RunningService, post: Post, service: str
) -> None:
    first, second = post(message="checkout fails\nsince noon"), post()

    assert (first.status_code, second.status_code) == (201, 201)
    assert set(first.json()) == {"alert_id", "incident_id", "status", "action"}
    assert (first.json()["status"], first.json()["action"]) == ("correlated", "new_incident")
    assert second.json()["action"] == "attached_to_existing_incident"
    [incident] = incidents_of(incidents, service)
    assert incident["id"] == first.json()["incident_id"] == second.json()["incident_id"]
    assert (incident["title"], incident["severity"], incident["status"]) == ("checkout fails", "high", "open")
    detail = incidents.client.get(f"{INCIDENTS}/{incident['id']}").json()
    assert detail["alert_count"] == 2
    assert {alert["id"] for alert in detail["alerts"]} == {
        first.json()["alert_id"],
        second.json()["alert_id"],
    }
    assert [(e["actor"], e["what"]) for e in detail["timeline"]] == [("alert-ingestion", "created")]


@pytest.mark.parametrize("other", [{"severity": "critical"}, {"service": "another-one"}])
def test_another_severity_or_service_is_another_incident(post: Post, other: dict[str, str]) -> None:
    assert post().json()["incident_id"] != post(**other).json()["incident_id"]


def test_an_alert_after_the_window_opens_a_new_incident_while_the_old_one_is_still_open(
    standing_database: LabDatabase, incidents: RunningService, post: Post, service: str
) -> None:
    old = post().json()
    backdate(standing_database, service, "4 minutes 50 seconds")
    within = post().json()
    backdate(standing_database, service, "11 seconds")
    after = post().json()

    assert within["incident_id"] == old["incident_id"]
    assert after["incident_id"] != old["incident_id"]
    assert after["action"] == "new_incident"
    assert {incident["status"] for incident in incidents_of(incidents, service)} == {"open"}


def test_an_alert_for_a_resolved_incident_opens_a_new_one(incidents: RunningService, post: Post) -> None:
    old = post().json()
    resolve(incidents, old["incident_id"])

    new = post().json()

    assert (new["action"], new["incident_id"] != old["incident_id"]) == ("new_incident", True)


def test_an_acknowledged_incident_still_takes_alerts_in(incidents: RunningService, post: Post) -> None:
    incident_id = post().json()["incident_id"]
    incidents.client.patch(f"{INCIDENTS}/{incident_id}", json={"status": "acknowledged"})

    assert post().json()["incident_id"] == incident_id


def test_an_incident_that_a_person_opened_takes_alerts_in(
    incidents: RunningService, post: Post, service: str
) -> None:
    new = {"title": "customers call", "service": service, "severity": "high"}
    by_hand = incidents.client.post(INCIDENTS, json=new).json()

    alert = post().json()

    assert (alert["incident_id"], alert["action"]) == (by_hand["id"], "attached_to_existing_incident")


def test_of_two_incidents_that_people_opened_the_newer_one_takes_alerts_in(
    incidents: RunningService, post: Post, service: str
) -> None:
    new = {"title": "customers call", "service": service, "severity": "high"}
    _, newer = (incidents.client.post(INCIDENTS, json=new).json() for _ in range(2))

    assert post().json()["incident_id"] == newer["id"]


def test_alerts_follow_an_incident_whose_severity_was_changed(incidents: RunningService, post: Post) -> None:
    incident_id = post().json()["incident_id"]
    incidents.client.patch(f"{INCIDENTS}/{incident_id}", json={"severity": "critical"})

    assert post(severity="critical").json()["incident_id"] == incident_id
    assert post().json()["incident_id"] != incident_id


def test_the_window_is_a_setting(shop: Shop) -> None:
    assert shop.database is not None
    shop.start("incident-management")
    ingestion = shop.start("alert-ingestion", CORRELATION_WINDOW="1m")
    alert = {"service": "payment", "severity": "high", "message": "m"}
    first = ingestion.client.post(ALERTS, json=alert).json()
    backdate(shop.database, "payment", "61 seconds")

    second = ingestion.client.post(ALERTS, json=alert).json()

    assert second["incident_id"] != first["incident_id"]


# --- what is taken, and found again


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"severity": "urgent"}, "severity"),
        ({"severity": None}, "severity"),
        ({"message": ""}, "message"),
        ({"message": "nul \x00"}, "message"),
        ({"message": "x" * 2001}, "message"),
        ({"service": ""}, "service"),
        ({"service": "two words"}, "service"),
        ({"labels": {"a": 1}}, "labels"),
        ({"labels": {"not a name": "x"}}, "labels"),
        ({"labels": []}, "labels"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-01-01T00:00:00"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_alert_that_makes_no_sense_is_a_422_that_says_where(
    post: Post, wrong: dict[str, Any], where: str
) -> None:
    answer = post(**wrong)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["body", where]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"service": "\xff"}', b'{"message": "\\ud800"}'])
def test_a_body_that_is_no_alert_is_a_422(ingestion: RunningService, body: bytes) -> None:
    answer = ingestion.client.post(ALERTS, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 422


def test_an_alert_is_found_as_it_came(ingestion: RunningService, post: Post, service: str) -> None:
    labels = {"region": "eu-1", "team": "käse 🧀"}
    receipt = post(labels=labels, timestamp="2026-02-09T16:30:00+01:00", message="line one\nline two").json()

    alert = ingestion.client.get(f"{ALERTS}/{receipt['alert_id']}").json()

    assert alert["labels"] == labels
    assert (alert["service"], alert["severity"], alert["source"]) == (service, "high", "api")
    assert alert["message"] == "line one\nline two"
    assert datetime.fromisoformat(alert["occurred_at"]) == datetime(2026, 2, 9, 15, 30, tzinfo=UTC)
    assert alert["incident_id"] == receipt["incident_id"]
    assert ingestion.client.get(f"{ALERTS}/{uuid4()}").status_code == 404


def test_alerts_are_listed_newest_first_filtered_and_paged(
    ingestion: RunningService, post: Post, service: str
) -> None:
    posted = [post(severity=severity).json() for severity in ("high", "low", "high")]
    ids = [receipt["alert_id"] for receipt in posted]

    def found(**query: Any) -> list[str]:
        page = ingestion.client.get(ALERTS, params={"service": service, **query}).json()
        return [alert["id"] for alert in page["items"]]

    assert found() == ids[::-1]
    assert found(severity="low") == [ids[1]]
    assert found(incident_id=posted[0]["incident_id"]) == [ids[2], ids[0]]
    assert found(status="pending") == []
    assert found(source="grafana") == []
    assert found(limit=2) + found(limit=2, offset=2) == ids[::-1]


# --- the same alert twice


def test_the_same_key_twice_is_one_alert_and_the_same_answer(
    ingestion: RunningService, post: Post, service: str
) -> None:
    key = str(uuid4())

    first, second = post(key=key), post(key=key)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert len(ingestion.client.get(ALERTS, params={"service": service}).json()["items"]) == 1


def test_the_same_key_at_once_and_from_two_replicas_is_one_alert(
    standing_shop: Shop, ingestion: RunningService, service: str, at_once: Any
) -> None:
    replica = standing_shop.start_replica("alert-ingestion")
    alert = {"service": service, "severity": "low", "message": "m"}
    headers = {"idempotency-key": str(uuid4())}

    def send(one: RunningService) -> httpx.Response:
        return httpx.post(one.url + ALERTS, json=alert, headers=headers, trust_env=False, timeout=30)

    answers = at_once([lambda: send(ingestion), lambda: send(replica)] * 8)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(ingestion.client.get(ALERTS, params={"service": service}).json()["items"]) == 1


def test_the_order_of_its_labels_makes_no_other_alert(post: Post) -> None:
    key = str(uuid4())

    first = post(key=key, labels={"region": "eu-1", "zone": "b"})
    again = post(key=key, labels={"zone": "b", "region": "eu-1"})

    assert (again.status_code, again.json()) == (201, first.json())


@pytest.mark.parametrize("other", [{"message": "another"}, {"severity": "low"}, {"labels": {"a": "b"}}])
def test_a_key_used_for_another_alert_is_a_422_and_opens_nothing(
    incidents: RunningService, post: Post, service: str, other: dict[str, Any]
) -> None:
    key = str(uuid4())
    post(key=key)

    answer = post(key=key, **other)

    assert answer.status_code == 422
    assert answer.json() == {"detail": "this Idempotency-Key was used for a different request"}
    assert len(incidents_of(incidents, service)) == 1


def test_a_key_sent_again_after_the_window_opens_no_incident(
    standing_database: LabDatabase, incidents: RunningService, post: Post, service: str
) -> None:
    key = str(uuid4())
    first = post(key=key)
    backdate(standing_database, service, "1 day")

    assert post(key=key).json() == first.json()
    assert len(incidents_of(incidents, service)) == 1


@pytest.mark.parametrize("bad", ["", "with space", "x" * 129])
def test_a_key_that_is_none_is_a_422(post: Post, ingestion: RunningService, service: str, bad: str) -> None:
    alert = {"service": service, "severity": "high", "message": "m"}

    answer = ingestion.client.post(ALERTS, json=alert, headers={"idempotency-key": bad})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["header", "idempotency-key"]


# --- when the database is in the way


def test_a_row_that_somebody_keeps_locked_is_a_503_and_holds_nothing_up_for_long(
    standing_database: LabDatabase, post: Post, service: str
) -> None:
    post()
    lock = "SELECT 1 FROM incident.incidents WHERE service = :service FOR UPDATE"
    with standing_database.engine("platform").connect() as db:
        db.execute(text(lock), {"service": service})
        refused = post()
    after = post()

    assert refused.status_code == 503
    assert refused.elapsed.total_seconds() < 8
    assert after.status_code == 201


# --- metrics


def test_alerts_are_counted_by_severity_and_by_what_became_of_them(shop: Shop) -> None:
    shop.start("incident-management")
    ingestion = shop.start("alert-ingestion")
    for severity in ("critical", "critical", "low"):
        alert = {"service": "payment", "severity": severity, "message": "m"}
        ingestion.client.post(ALERTS, json=alert, headers={"idempotency-key": severity})
        ingestion.client.post(ALERTS, json=alert, headers={"idempotency-key": severity})
    ingestion.client.post(ALERTS, json={"service": "payment", "severity": "low", "message": "m"})

    received = {s: ingestion.metric("alerts_received_total", severity=s) for s in ("critical", "high", "low")}
    assert received == {"critical": 1, "high": 0, "low": 2}
    assert ingestion.metric("alerts_correlated_total", result="new_incident") == 2
    assert ingestion.metric("alerts_correlated_total", result="existing_incident") == 1
    assert ingestion.metric("alerts_pending") == 0
    assert ingestion.metric("alert_ingestion_seconds_count") == 7
