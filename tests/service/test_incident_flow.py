"""The whole loop with every service of the platform: alert → incident → on call → page → a person."""

from collections.abc import Callable

from tests.conftest import Shop

INCIDENTS = "/api/v1/incidents"
FIRING = {
    "status": "firing",
    "fingerprint": "8f3c",
    "startsAt": "2026-02-09T15:30:00Z",
    "labels": {"alertname": "HighErrorRatio", "service": "payment", "severity": "critical"},
    "annotations": {"summary": "payment fails"},
}


def test_an_alert_becomes_an_incident_whose_engineer_is_paged_and_who_resolves_it(
    shop: Shop, eventually: Callable[..., None]
) -> None:
    shop.start("oncall-service", "notification-service", "incident-management", "alert-ingestion")
    incidents, notification = shop["incident-management"], shop["notification-service"]

    webhook = {"version": "4", "status": "firing", "alerts": [FIRING]}
    taken = shop["alert-ingestion"].client.post("/api/v1/webhooks/alertmanager", json=webhook).json()
    path = f"{INCIDENTS}/{taken['alerts'][0]['incident_id']}"
    eventually(lambda: incidents.client.get(path).json()["assigned_to"])
    engineer = incidents.client.get(path).json()["assigned_to"]
    eventually(lambda: notification.client.get("/api/v1/notifications").json()["items"])
    [page] = notification.client.get("/api/v1/notifications").json()["items"]
    for change in ({"status": "acknowledged"}, {"notes": "the acquirer declines"}, {"status": "resolved"}):
        changed = incidents.client.patch(path, json=change, headers={"x-actor": engineer})
        assert changed.status_code == 200

    incident = incidents.client.get(path).json()
    on_call = shop["oncall-service"].client.get("/api/v1/oncall/current", params={"team": "payment"}).json()
    assert engineer == on_call["engineer"]
    assert (page["incident_id"], page["recipient"]) == (incident["id"], engineer)
    assert "payment fails" in page["message"]
    assert incident["mtta_seconds"] < incident["mttr_seconds"]
    told = [(entry["what"], entry["actor"]) for entry in incident["timeline"]]
    assert told == [
        ("created", "alert-ingestion"),
        ("assigned_to", "oncall-service"),
        ("paged", "notification-service"),
        ("status", engineer),
        ("note", engineer),
        ("status", engineer),
    ]
