"""A critical incident that nobody acknowledges climbs its levels, each once, and stops when somebody does."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from services.common.database import Database
from services.oncall.app import SCHEMA
from services.oncall.escalations import Escalations
from services.oncall.rota import Rota
from services.oncall.schemas import EscalationRequest
from tests.conftest import LabDatabase, RunningService, Shop
from tests.receiver import Received, receiving

Eventually = Callable[..., None]
ONCALL = "oncall-service"
QUICK = {"ESCALATION_DELAY": "0.5", "ESCALATION_POLL": "0.1"}
LEVELS = [
    {"target": "engineer", "engineer": "second"},
    {"target": "engineer", "engineer": "third"},
]


@dataclass
class Incidents:
    """What an incident-management of the test's own knows. ``is_away``: everything is a 503."""

    known: list[dict[str, Any]] = field(default_factory=list)
    is_away: bool = False
    are_handed_on: bool = False
    """Whenever they are listed, each has come to somebody else just now."""
    lists: int = 0
    keeps_from: set[str] = field(default_factory=set)
    """To whom no incident can be given now: that is a 503."""
    assigned: list[tuple[str, str, str]] = field(default_factory=list)
    """Incident, engineer and who asked, for each change of the assignee."""

    def open(self, *, title: str = "Checkout fails", severity: str = "critical", age_s: float = 0) -> str:
        """Open an incident of the service payment; its id."""
        created_at = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
        incident = {
            "id": str(uuid.uuid4()),
            "title": title,
            "service": "payment",
            "severity": severity,
            "status": "open",
            "assigned_to": "first",
            "created_at": created_at,
            "updated_at": created_at,
        }
        self.known.insert(0, incident)
        return str(incident["id"])

    def change(self, incident_id: str, **change: str) -> None:
        """Acknowledge it, for instance."""
        (incident,) = [one for one in self.known if one["id"] == incident_id]
        incident |= change

    def answer(self, request: Received) -> tuple[int, object]:
        """Status and body for a request."""
        if request.method == "PATCH":
            return self._assign(request.path, request.body, actor=request.headers["x-actor"])
        return self._read(request.path)

    def _read(self, path: str) -> tuple[int, object]:
        """One incident, or a page of at most two."""
        if self.is_away:
            return 503, {"detail": "away"}
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path != "/api/v1/incidents":
            found = [one for one in self.known if parts.path.endswith(one["id"])]
            return (200, found[0]) if found else (404, {"detail": "unknown"})
        self.lists += 1
        if self.are_handed_on:
            for one in self.known:
                one["updated_at"] = datetime.now(UTC).isoformat()
        fitting = [
            one
            for one in self.known
            if (one["status"], one["severity"]) == (query["status"], query["severity"])
        ]
        offset, limit = int(query["offset"]), min(int(query["limit"]), 2)
        more = offset + limit if len(fitting) > offset + limit else None
        return 200, {
            "items": fitting[offset : offset + limit],
            "limit": limit,
            "offset": offset,
            "next_offset": more,
        }

    def _assign(self, path: str, change: dict[str, str], *, actor: str) -> tuple[int, object]:
        """A change of the assignee, which must not page anybody a second time."""
        if change["assigned_to"] in self.keeps_from:
            self.keeps_from.remove(change["assigned_to"])
            return 503, {"detail": "away"}
        status, found = self._read(path.partition("?")[0])
        asked = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        assert asked["page"] == "false"
        if status == 200 and isinstance(found, dict):
            if asked["while_open"] == "true" and found["status"] != "open":
                return 409, {"detail": f"it is {found['status']}"}
            found |= {**change, "updated_at": datetime.now(UTC).isoformat()}
            self.assigned.append((found["id"], change["assigned_to"], actor))
        return status, found


@pytest.fixture
def incidents(shop: Shop) -> Iterator[Incidents]:
    """An incident-management of the test's own where the shop expects it."""
    incidents = Incidents()
    with receiving(shop.port("incident-management"), incidents.answer):
        yield incidents


@pytest.fixture
def oncall(shop: Shop, incidents: Incidents) -> RunningService:
    """The service with a policy of two levels, and the real notification service behind it."""
    shop.start("notification-service")
    oncall = shop.start(ONCALL, **QUICK)
    set_levels(oncall, LEVELS)
    return oncall


def set_levels(oncall: RunningService, levels: list[dict[str, Any]]) -> None:
    answer = oncall.client.put("/api/v1/escalation-policies/payment", json={"levels": levels})
    assert answer.status_code == 200


def steps(oncall: RunningService, incident_id: str) -> list[tuple[int, str, str]]:
    """Level, engineer and status of each step, the first one first."""
    items = oncall.client.get("/api/v1/escalations", params={"incident_id": incident_id}).json()["items"]
    return [(one["level"], one["engineer"], one["status"]) for one in reversed(items)]


def told(shop: Shop, incident_id: str) -> list[str]:
    """Whom the notification service was asked to tell, in order."""
    answer = shop["notification-service"].client.get(
        "/api/v1/notifications", params={"incident_id": incident_id, "limit": 200}
    )
    return [one["recipient"] for one in reversed(answer.json()["items"])]


def rounds(incidents: Incidents, count: int) -> Callable[[], bool]:
    """That the incidents were looked at so many times more."""
    until = incidents.lists + count
    return lambda: incidents.lists >= until


def test_an_unacknowledged_critical_incident_climbs_every_level_once(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    incident_id = incidents.open()

    eventually(lambda: told(shop, incident_id) == ["second", "third"])

    eventually(rounds(incidents, 10))
    assert told(shop, incident_id) == ["second", "third"]
    assert steps(oncall, incident_id) == [(1, "second", "notified"), (2, "third", "notified")]
    first, second = reversed(
        oncall.client.get("/api/v1/escalations", params={"incident_id": incident_id}).json()["items"]
    )
    waited = datetime.fromisoformat(second["created_at"]) - datetime.fromisoformat(first["created_at"])
    assert waited >= timedelta(seconds=0.5)
    assert "Checkout fails" in first["message"]
    assert oncall.metric("escalations_total", origin="automatic") == 2
    eventually(lambda: oncall.metric("escalations_pending") == 0)


@pytest.mark.parametrize("status", ["acknowledged", "in_progress", "resolved"])
def test_it_stops_when_somebody_acknowledges(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually, status: str
) -> None:
    incident_id = incidents.open()
    eventually(lambda: told(shop, incident_id) == ["second"])

    incidents.change(incident_id, status=status)

    eventually(rounds(incidents, 12))
    assert told(shop, incident_id) == ["second"]


def test_an_incident_that_is_handed_on_again_and_again_is_escalated_all_the_same(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    incidents.are_handed_on = True

    incident_id = incidents.open()

    eventually(lambda: told(shop, incident_id) == ["second", "third"])


def test_nothing_escalates_before_its_delay_nor_what_is_not_critical(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    set_levels(oncall, [{"target": "engineer", "engineer": "second", "after_s": 600.0}])
    young, minor = incidents.open(age_s=500), incidents.open(severity="high", age_s=900)
    old = incidents.open(age_s=601)

    eventually(lambda: told(shop, old) == ["second"])

    eventually(rounds(incidents, 5))
    assert told(shop, young) == []
    assert told(shop, minor) == []


def test_every_page_of_incidents_is_looked_at(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    ids = [incidents.open(age_s=60) for _ in range(7)]

    for incident_id in ids:
        eventually(lambda one=incident_id: "second" in told(shop, one))


def test_a_restart_neither_skips_nor_doubles_a_step(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    ids = [incidents.open() for _ in range(6)]
    for level in (1, 2):
        eventually(lambda level=level: any(len(steps(shop[ONCALL], one)) >= level for one in ids))
        shop.restart(ONCALL)

    for incident_id in ids:
        eventually(lambda one=incident_id: told(shop, one) == ["second", "third"])
    eventually(rounds(incidents, 10))
    assert [told(shop, one) for one in ids] == [["second", "third"]] * 6


def test_two_replicas_take_every_step_once(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    replica = shop.start_replica(ONCALL, **QUICK)
    ids = [incidents.open() for _ in range(12)]

    for incident_id in ids:
        eventually(lambda one=incident_id: told(shop, one) == ["second", "third"])

    eventually(rounds(incidents, 20))
    assert [told(shop, one) for one in ids] == [["second", "third"]] * 12
    taken = [one.metric("escalations_total", origin="automatic") for one in (oncall, replica)]
    assert sum(taken) == 24


def test_a_step_taken_while_notification_is_away_is_told_when_it_is_back(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    shop["notification-service"].stop()
    set_levels(oncall, LEVELS[:1])
    incident_id = incidents.open()
    eventually(lambda: steps(oncall, incident_id) == [(1, "second", "pending")])
    assert oncall.client.get("/health").status_code == 200

    shop.start("notification-service")

    eventually(lambda: told(shop, incident_id) == ["second"])
    eventually(lambda: steps(oncall, incident_id) == [(1, "second", "notified")])


@pytest.mark.parametrize("change", [{"status": "acknowledged"}, {"severity": "high"}])
def test_a_step_that_was_not_told_is_cancelled_when_the_incident_needs_nobody_more(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually, change: dict[str, str]
) -> None:
    shop["notification-service"].stop()
    set_levels(oncall, LEVELS[:1])
    incident_id = incidents.open()
    eventually(lambda: steps(oncall, incident_id) == [(1, "second", "pending")])

    incidents.change(incident_id, **change)

    eventually(lambda: steps(oncall, incident_id) == [(1, "second", "cancelled")])
    shop.start("notification-service")
    eventually(rounds(incidents, 5))
    assert told(shop, incident_id) == []


def test_a_step_that_another_process_has_cancelled_does_not_become_notified(
    lab_database: LabDatabase,
) -> None:
    database = Database(lab_database.url("platform"), service=ONCALL, schema=SCHEMA)
    escalations = Escalations(database, rota=Rota(database), delay=timedelta(0))
    step = escalations.escalate(EscalationRequest(incident_id="inc-1"))

    ended = [
        escalations.settle(step.id, status="cancelled"),
        escalations.settle(step.id, status="notified", delivery_id=uuid.uuid4()),
    ]
    found = escalations.steps(incident_id="inc-1", limit=10, offset=0).items
    database.dispose()

    assert ended == [True, False]
    assert [(one.status, one.delivery_id) for one in found] == [("cancelled", None)]


def opened_and_lowered(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> str:
    """An incident whose first step was cancelled: it was lowered before the notification service was back."""
    shop["notification-service"].stop()
    incident_id = incidents.open()
    eventually(lambda: steps(oncall, incident_id) == [(1, "second", "pending")])
    incidents.change(incident_id, severity="high")
    eventually(lambda: steps(oncall, incident_id) == [(1, "second", "cancelled")])
    shop.start("notification-service")
    return incident_id


def test_a_level_that_was_cancelled_is_told_when_the_incident_is_critical_again(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    incident_id = opened_and_lowered(shop, incidents, oncall, eventually)

    incidents.change(incident_id, severity="critical")

    eventually(lambda: told(shop, incident_id) == ["second", "third"])
    assert [(level, who) for level, who, _ in steps(oncall, incident_id)] == [(1, "second"), (2, "third")]


def test_a_person_escalates_to_the_level_that_was_cancelled(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    incident_id = opened_and_lowered(shop, incidents, oncall, eventually)

    answer = oncall.client.post("/api/v1/escalate", json={"incident_id": incident_id, "team": "payment"})

    assert (answer.status_code, answer.json()["level"]) == (201, 1)
    eventually(lambda: told(shop, incident_id) == ["second"])


def test_a_step_that_the_notification_service_refuses_does_not_keep_the_next_one_back(
    shop: Shop,
    lab_database: LabDatabase,
    incidents: Incidents,
    oncall: RunningService,
    eventually: Eventually,
) -> None:
    with lab_database.engine("platform").begin() as db:
        db.execute(
            text(
                "INSERT INTO oncall.escalations"
                " (incident_id, level, team, engineer, channel, message, origin)"
                " VALUES ('i-refused', 1, 'payment', 'second', 'console', chr(1), 'manual')"
            )
        )

    oncall.client.post("/api/v1/escalate", json={"incident_id": "i-next", "team": "payment"})

    eventually(lambda: told(shop, "i-next") == ["second"])
    assert "escalation.untold" in oncall.log.read_text()


def test_it_goes_on_when_incident_management_was_away(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    incidents.is_away = True
    incident_id = incidents.open()
    eventually(lambda: "escalation.incidents_unknown" in oncall.log.read_text())
    assert steps(oncall, incident_id) == []

    incidents.is_away = False

    eventually(lambda: told(shop, incident_id) == ["second", "third"])


def test_a_person_escalates_without_waiting_and_also_while_incident_management_is_away(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    incidents.is_away = True
    body = {"incident_id": "i-1", "team": "payment", "reason": "I need help"}

    answers = [oncall.client.post("/api/v1/escalate", json=body) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 409]
    first = answers[0].json()
    assert (first["level"], first["engineer"], first["origin"]) == (1, "second", "manual")
    assert first["message"] == "Incident i-1 was escalated to you, level 1: I need help"
    eventually(lambda: told(shop, "i-1") == ["second", "third"])
    assert answers[2].json() == {"detail": "incident i-1 is at the last level, 2"}


def test_a_step_taken_by_a_person_is_not_taken_again(
    shop: Shop, incidents: Incidents, oncall: RunningService, eventually: Eventually
) -> None:
    incident_id = incidents.open()
    oncall.client.post("/api/v1/escalate", json={"incident_id": incident_id, "team": "payment"})

    eventually(lambda: told(shop, incident_id) == ["second", "third"])

    eventually(rounds(incidents, 8))
    assert told(shop, incident_id) == ["second", "third"]


def test_by_the_default_policy_the_next_one_of_the_rotation_is_told_first(
    shop: Shop, incidents: Incidents, eventually: Eventually
) -> None:
    shop.start("notification-service")
    oncall = shop.start(ONCALL, **QUICK)
    now = oncall.client.get("/api/v1/oncall/current", params={"team": "payment"}).json()
    until = (datetime.fromisoformat(now["until"]) + timedelta(days=21)).strftime("%Y-%m-%dT%H:%M:%SZ")
    turns = oncall.client.get(
        "/api/v1/oncall/timeline", params={"team": "payment", "from": now["since"], "to": until}
    ).json()["items"]
    others = [one["engineer"] for one in turns if one["engineer"] != now["engineer"]]

    incident_id = incidents.open()

    eventually(lambda: told(shop, incident_id) == [others[0], "incident-commander"])


def test_each_step_gives_the_incident_to_whom_it_tells(
    oncall: RunningService, incidents: Incidents, eventually: Eventually
) -> None:
    incident_id = incidents.open()

    eventually(lambda: len(incidents.assigned) == 2)

    assert incidents.assigned == [(incident_id, "second", ONCALL), (incident_id, "third", ONCALL)]


def test_an_incident_is_handed_over_when_incident_management_is_back(
    oncall: RunningService, incidents: Incidents, eventually: Eventually
) -> None:
    incident_id = incidents.open(severity="high")
    incidents.is_away = True
    oncall.client.post("/api/v1/escalate", json={"incident_id": incident_id, "team": "payment"})
    eventually(lambda: steps(oncall, incident_id) == [(1, "second", "notified")])
    assert incidents.assigned == []

    incidents.is_away = False

    eventually(lambda: incidents.assigned == [(incident_id, "second", ONCALL)])


def test_an_incident_that_somebody_has_acknowledged_by_now_stays_theirs(
    oncall: RunningService, incidents: Incidents, lab_database: LabDatabase, eventually: Eventually
) -> None:
    incident_id = incidents.open()
    incidents.change(incident_id, status="acknowledged")
    with lab_database.engine("platform").begin() as db:
        db.execute(
            text(
                "INSERT INTO oncall.escalations"
                " (incident_id, level, team, engineer, channel, message, origin, status, settled_at)"
                " VALUES (:id, 1, 'payment', 'second', 'console', 'm', 'automatic', 'notified', now())"
            ),
            {"id": incident_id},
        )

    def is_settled() -> bool:
        with lab_database.engine("platform").begin() as db:
            return bool(
                db.scalar(text("SELECT bool_and(handed_over_at IS NOT NULL) FROM oncall.escalations"))
            )

    eventually(is_settled)
    assert incidents.assigned == []


def test_an_incident_that_went_further_up_is_not_given_back_to_whom_it_passed(
    oncall: RunningService, incidents: Incidents, lab_database: LabDatabase, eventually: Eventually
) -> None:
    incidents.keeps_from.add("second")
    incident_id = incidents.open(severity="high")
    with lab_database.engine("platform").begin() as db:
        db.execute(
            text(
                "INSERT INTO oncall.escalations"
                " (incident_id, level, team, engineer, channel, message, origin, status, settled_at)"
                " SELECT :id, level, 'payment', engineer, 'console', 'm', 'automatic', 'notified', now()"
                " FROM (VALUES (1, 'second'), (2, 'third')) AS steps (level, engineer)"
            ),
            {"id": incident_id},
        )

    eventually(lambda: incidents.assigned)
    eventually(rounds(incidents, 5))

    assert incidents.assigned == [(incident_id, "third", ONCALL)]
