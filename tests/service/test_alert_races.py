"""Alerts that come at the same time: of one key one incident, however many clients and replicas."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from services.alert_ingestion.app import SCHEMA
from services.alert_ingestion.arrival import Arrival, KeyMisused, Stored
from services.alert_ingestion.openings import NAME
from services.alert_ingestion.store import Alerts
from services.common.database import Database
from tests.conftest import LabDatabase, Shop
from tests.storm import ALERTS, post_all

INCIDENTS = "/api/v1/incidents"
CLIENTS = 32
ALERT = {"service": "payment", "severity": "critical", "message": "error ratio above 5 %"}


def one_incident_has_them_all(shop: Shop, answers: int) -> None:
    """There is one incident, and every alert is in it."""
    [incident] = shop["incident-management"].client.get(INCIDENTS).json()["items"]
    detail = shop["incident-management"].client.get(f"{INCIDENTS}/{incident['id']}").json()
    assert detail["alert_count"] == answers


@pytest.mark.parametrize("replicas", [1, 3])
def test_200_alerts_of_one_key_at_once_open_one_incident_with_all_of_them(shop: Shop, replicas: int) -> None:
    shop.start("incident-management")
    services = [shop.start("alert-ingestion")]
    services += [shop.start_replica("alert-ingestion") for _ in range(replicas - 1)]

    storm = post_all([one.url for one in services], [ALERT] * 200, clients=CLIENTS)

    assert storm.statuses == {201: 200}
    assert len(storm.accepted_ids) == 200
    assert len({receipt["incident_id"] for receipt in storm.accepted}) == 1
    assert Counter(receipt["action"] for receipt in storm.accepted) == {
        "new_incident": 1,
        "attached_to_existing_incident": 199,
    }
    one_incident_has_them_all(shop, 200)
    counted = {
        result: sum(one.metric("alerts_correlated_total", result=result) for one in services)
        for result in ("new_incident", "existing_incident")
    }
    assert counted == {"new_incident": 1, "existing_incident": 199}


def test_twenty_keys_at_once_over_three_replicas_open_twenty_incidents(shop: Shop) -> None:
    shop.start("incident-management")
    services = [shop.start("alert-ingestion")]
    services += [shop.start_replica("alert-ingestion") for _ in range(2)]
    bodies = [{**ALERT, "service": f"service-{n % 20}"} for n in range(200)]

    storm = post_all([one.url for one in services], bodies, clients=CLIENTS)

    assert storm.statuses == {201: 200}
    incidents = shop["incident-management"].client.get(INCIDENTS, params={"limit": 200}).json()["items"]
    assert sorted(incident["service"] for incident in incidents) == sorted({b["service"] for b in bodies})
    assert Counter(r["action"] for r in storm.accepted)["new_incident"] == 20


def test_no_alert_joins_an_incident_that_was_resolved_before_it_came(shop: Shop) -> None:
    incidents = shop.start("incident-management")
    ingestion = shop.start("alert-ingestion")

    def resolve_what_is_open(count: int) -> None:
        if count % 20:
            return
        listed = httpx.get(incidents.url + INCIDENTS, params={"status": "open"}, trust_env=False)
        for incident in listed.json()["items"]:
            change = {"status": "resolved"}
            httpx.patch(f"{incidents.url}{INCIDENTS}/{incident['id']}", json=change, trust_env=False)

    storm = post_all([ingestion.url], [ALERT] * 300, clients=16, after=resolve_what_is_open)

    assert storm.statuses == {201: 300}
    late = """
        SELECT count(*) FROM incident.alerts a JOIN incident.incidents i ON i.id = a.incident_id
        WHERE a.received_at > i.resolved_at
    """
    assert shop.database is not None
    with shop.database.connect("platform").cursor() as cursor:
        cursor.execute(late)
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM incident.incidents WHERE status <> 'resolved'")
        [open_at_the_end] = cursor.fetchone() or (None,)
    assert open_at_the_end in (0, 1)


def test_an_alert_waits_for_whoever_is_resolving_its_incident_and_opens_the_next_one(
    shop: Shop, eventually: Callable[..., None]
) -> None:
    assert shop.database is not None
    shop.start("incident-management")
    ingestion = shop.start("alert-ingestion")
    first = ingestion.client.post(ALERTS, json=ALERT).json()

    with (
        ThreadPoolExecutor(1) as clients,
        closing(shop.database.connect("platform")) as connection,
        connection.cursor() as looking,
    ):

        def is_waiting() -> bool:
            looking.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            return looking.fetchone() == (1,)

        with shop.database.engine("platform").begin() as db:
            db.execute(text("UPDATE incident.incidents SET status = 'resolved', resolved_at = now()"))
            posting = clients.submit(ingestion.client.post, ALERTS, json=ALERT)
            eventually(is_waiting, within_s=5)
        second = posting.result().json()

    assert second["action"] == "new_incident"
    assert second["incident_id"] != first["incident_id"]


def test_of_two_alerts_with_one_key_in_one_batch_the_second_is_a_misuse(lab_database: LabDatabase) -> None:
    database = Database(lab_database.url("platform"), service=NAME, schema=SCHEMA)
    one = Arrival(
        source="api",
        service="payment",
        severity="high",
        message="one",
        labels={},
        occurred_at=None,
        idempotency_key="k",
        request_hash="one",
    )
    other = replace(one, message="other", request_hash="other")

    outcomes = Alerts(database, window=timedelta(minutes=5)).record([one, one, other])
    database.dispose()

    assert [type(outcome) for outcome in outcomes] == [Stored, Stored, KeyMisused]


def test_one_fingerprint_from_two_alertmanagers_at_once_is_one_alert(shop: Shop, at_once: Any) -> None:
    shop.start("incident-management")
    services = [shop.start("alert-ingestion"), shop.start_replica("alert-ingestion")]
    alert = {
        "status": "firing",
        "fingerprint": "8f3c",
        "startsAt": "2026-02-09T15:30:00Z",
        "labels": {"alertname": "HighErrorRatio", "service": "payment", "severity": "critical"},
    }

    def send(url: str) -> httpx.Response:
        path = f"{url}/api/v1/webhooks/alertmanager"
        return httpx.post(path, json={"version": "4", "alerts": [alert]}, trust_env=False, timeout=30)

    answers = at_once([lambda one=one: send(one.url) for one in services * 8])

    assert {answer.status_code for answer in answers} == {200}
    results = [answer.json()["alerts"][0] for answer in answers]
    assert Counter(result["status"] for result in results) == {"correlated": 1, "repeated": 15}
    assert len({result["alert_id"] for result in results}) == 1
    one_incident_has_them_all(shop, 1)
