"""On-call, incidents and notifications as they work together, none of them stood in for."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.conftest import LabDatabase, Shop

Eventually = Callable[..., None]
DELAY = timedelta(seconds=2)


@pytest.fixture
def platform(shop: Shop) -> Shop:
    """The three services; an incident escalates after two seconds."""
    shop.start("notification-service", "incident-management")
    shop.start("oncall-service", ESCALATION_DELAY="2", ESCALATION_POLL="0.2")
    return shop


def open_incident(platform: Shop, **fields: str) -> str:
    body = {"title": "Checkout fails", "service": "payment", "severity": "critical", **fields}
    answer = platform["incident-management"].client.post("/api/v1/incidents", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def told(platform: Shop, incident_id: str) -> list[str]:
    """Who was told about an incident, in order."""
    items = platform["notification-service"].client.get(
        "/api/v1/notifications", params={"incident_id": incident_id, "status": "delivered"}
    )
    return [one["recipient"] for one in reversed(items.json()["items"])]


def on_call(platform: Shop) -> dict[str, Any]:
    found: dict[str, Any] = (
        platform["oncall-service"].client.get("/api/v1/oncall/current", params={"team": "payment"}).json()
    )
    return found


def test_whoever_is_on_call_is_told_at_once_and_others_when_nobody_acknowledges(
    platform: Shop, eventually: Eventually
) -> None:
    first = on_call(platform)["engineer"]

    incident_id = open_incident(platform)

    eventually(lambda: told(platform, incident_id) == [first])
    eventually(lambda: len(told(platform, incident_id)) == 3)
    assert told(platform, incident_id)[2] == "incident-commander"
    assert told(platform, incident_id)[1] not in (first, "incident-commander")

    def assignments() -> list[tuple[str, str | None, str]]:
        incident = platform["incident-management"].client.get(f"/api/v1/incidents/{incident_id}").json()
        return [
            (one["actor"], one["from"], one["to"])
            for one in incident["timeline"]
            if one["what"] == "assigned_to"
        ]

    eventually(lambda: len(assignments()) == 3)
    second = told(platform, incident_id)[1]
    assert assignments() == [
        ("oncall-service", None, first),
        ("oncall-service", first, second),
        ("oncall-service", second, "incident-commander"),
    ]
    assert len(told(platform, incident_id)) == 3


def make_old(database: LabDatabase, incident_id: str, **age: float) -> None:
    """Have an incident be so much older than it is."""
    older = text(
        "UPDATE incident.incidents SET created_at = created_at - :age, updated_at = updated_at - :age"
        " WHERE id = :id"
    )
    with database.engine("platform").begin() as db:
        db.execute(older, {"id": incident_id, "age": timedelta(**age)})


def changed_at(platform: Shop, incident_id: str, what: str) -> list[datetime]:
    """When something of an incident was changed, the first time first."""
    incident = platform["incident-management"].client.get(f"/api/v1/incidents/{incident_id}").json()
    return [datetime.fromisoformat(one["at"]) for one in incident["timeline"] if one["what"] == what]


def escalated_at(platform: Shop, incident_id: str) -> list[datetime]:
    """When each step was taken, the first one first."""
    steps = platform["oncall-service"].client.get("/api/v1/escalations", params={"incident_id": incident_id})
    return [datetime.fromisoformat(one["created_at"]) for one in reversed(steps.json()["items"])]


def test_who_is_told_late_because_oncall_was_away_has_the_whole_of_the_delay(
    platform: Shop, lab_database: LabDatabase, eventually: Eventually
) -> None:
    platform["oncall-service"].stop()
    incident_id = open_incident(platform)
    make_old(lab_database, incident_id, minutes=6)

    platform.start("oncall-service", ESCALATION_DELAY="2", ESCALATION_POLL="0.2")

    eventually(lambda: escalated_at(platform, incident_id), within_s=20)
    told_at = changed_at(platform, incident_id, "assigned_to")
    assert escalated_at(platform, incident_id)[0] - told_at[0] >= DELAY


def test_what_becomes_critical_late_has_the_whole_of_the_delay(
    platform: Shop, lab_database: LabDatabase, eventually: Eventually
) -> None:
    incident_id = open_incident(platform, severity="medium")
    eventually(lambda: changed_at(platform, incident_id, "assigned_to"))
    make_old(lab_database, incident_id, minutes=20)

    platform["incident-management"].client.patch(
        f"/api/v1/incidents/{incident_id}", json={"severity": "critical"}, headers={"X-Actor": "bob"}
    )

    eventually(lambda: escalated_at(platform, incident_id), within_s=20)
    raised_at = changed_at(platform, incident_id, "severity")
    assert escalated_at(platform, incident_id)[0] - raised_at[0] >= DELAY


def test_an_acknowledged_incident_does_not_escalate(platform: Shop, eventually: Eventually) -> None:
    acknowledged = open_incident(platform)
    platform["incident-management"].client.patch(
        f"/api/v1/incidents/{acknowledged}", json={"status": "acknowledged"}
    )
    left_alone = open_incident(platform)

    eventually(lambda: len(told(platform, left_alone)) == 3, within_s=20)

    assert len(told(platform, acknowledged)) <= 1
    escalations = platform["oncall-service"].client.get(
        "/api/v1/escalations", params={"incident_id": acknowledged}
    )
    assert escalations.json()["items"] == []
