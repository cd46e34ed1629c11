"""On-call and notification are asked outside the request's fate: whoever is away gets asked later."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from sqlalchemy import text

from tests.conftest import RunningService, Shop
from tests.receiver import Received, Receiver, receiving

INCIDENTS = "/api/v1/incidents"
NEW = {"title": "checkout fails", "service": "payment", "severity": "critical"}

Wait = Callable[..., None]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What a test starts of its own, ended with it."""
    with ExitStack() as stack:
        yield stack


def start_oncall(shop: Shop, stack: ExitStack, engineer: str = "ann") -> Receiver:
    def answer(asked: Received) -> tuple[int, Any]:
        return 200, {"team": asked.path.partition("team=")[2], "engineer": engineer}

    return stack.enter_context(receiving(shop.port("oncall-service"), answer))


def start_notification(shop: Shop, stack: ExitStack) -> Receiver:
    port = shop.port("notification-service")
    return stack.enter_context(receiving(port, lambda _: (202, {"delivery_id": "1", "status": "queued"})))


def detail(service: RunningService, incident: dict[str, Any]) -> dict[str, Any]:
    return service.client.get(f"{INCIDENTS}/{incident['id']}").json()


def pending(service: RunningService) -> float:
    return service.metric("incident_outbox_pending")


def test_whoever_is_on_call_gets_the_incident_and_is_paged_once(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    oncall, notification = start_oncall(shop, stack), start_notification(shop, stack)
    incidents = shop.start("incident-management")
    shop.start_replica("incident-management")

    incident = incidents.client.post(INCIDENTS, json=NEW).json()
    eventually(lambda: pending(incidents) == 0)

    assert detail(incidents, incident)["assigned_to"] == "ann"
    assert [asked.path for asked in oncall.received] == ["/api/v1/oncall/current?team=payment"]
    [page] = notification.received
    assert page.path == "/api/v1/notify"
    assert page.body == {
        "incident_id": incident["id"],
        "channel": "console",
        "recipient": "ann",
        "message": "[CRITICAL] payment: checkout fails",
    }
    assert page.headers["idempotency-key"]
    told = [(e["actor"], e["what"], e["to"]) for e in detail(incidents, incident)["timeline"][1:]]
    assert told == [("oncall-service", "assigned_to", "ann"), ("notification-service", "paged", "ann")]


@pytest.mark.parametrize("severity", ["medium", "low"])
def test_what_only_informs_is_somebodys_and_pages_when_it_becomes_grave(
    shop: Shop, stack: ExitStack, eventually: Wait, severity: str
) -> None:
    start_oncall(shop, stack)
    notification = start_notification(shop, stack)
    incidents = shop.start("incident-management")

    incident = incidents.client.post(INCIDENTS, json={**NEW, "severity": severity}).json()
    eventually(lambda: detail(incidents, incident)["assigned_to"] == "ann")
    eventually(lambda: pending(incidents) == 0)
    before = list(notification.received)
    raised = incidents.client.patch(
        f"{INCIDENTS}/{incident['id']}", json={"severity": "critical"}, headers={"x-actor": "bob"}
    )
    eventually(lambda: len(notification.received) > 0)

    assert before == []
    assert raised.status_code == 200
    assert [(page.body["recipient"], page.body["message"]) for page in notification.received] == [
        ("ann", "[CRITICAL] payment: checkout fails")
    ]


@pytest.mark.parametrize(
    ("actor", "change", "paged"),
    [("bob", {}, ["ana"]), ("ana", {}, []), ("bob", {"assigned_to": "cleo"}, ["cleo"])],
)
def test_what_becomes_grave_pages_once_who_has_it_from_then_on_unless_they_raised_it(
    shop: Shop, stack: ExitStack, eventually: Wait, actor: str, change: dict[str, str], paged: list[str]
) -> None:
    notification = start_notification(shop, stack)
    incidents = shop.start("incident-management")
    new = {**NEW, "severity": "medium", "assigned_to": "ana"}
    incident = incidents.client.post(INCIDENTS, json=new, headers={"x-actor": "ana"}).json()

    raised = {"severity": "critical", **change}
    incidents.client.patch(f"{INCIDENTS}/{incident['id']}", json=raised, headers={"x-actor": actor})
    eventually(lambda: pending(incidents) == 0)

    assert [page.body["recipient"] for page in notification.received] == paged


def test_what_becomes_less_grave_pages_nobody_who_knows_of_it(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    start_oncall(shop, stack)
    notification = start_notification(shop, stack)
    incidents = shop.start("incident-management")
    incident = incidents.client.post(INCIDENTS, json=NEW).json()
    eventually(lambda: len(notification.received) == 1)

    for actor, change in (("ana", {"assigned_to": "ana"}), ("bob", {"severity": "high"})):
        incidents.client.patch(f"{INCIDENTS}/{incident['id']}", json=change, headers={"x-actor": actor})
    eventually(lambda: pending(incidents) == 0)

    assert detail(incidents, incident)["assigned_to"] == "ana"
    assert [page.body["recipient"] for page in notification.received] == ["ann"]


@pytest.mark.parametrize(
    ("severity", "actor", "paged"),
    [("critical", "bob", ["ana"]), ("critical", "ana", []), ("high", "bob", ["ana"]), ("medium", "bob", [])],
)
def test_a_reopened_incident_pages_who_has_it_if_it_is_grave_and_they_did_not_reopen_it(
    shop: Shop, stack: ExitStack, eventually: Wait, severity: str, actor: str, paged: list[str]
) -> None:
    oncall = start_oncall(shop, stack)
    incidents = shop.start("incident-management")
    new = {**NEW, "severity": severity, "assigned_to": "ana"}
    old = incidents.client.post(INCIDENTS, json=new, headers={"x-actor": "ana"}).json()
    incidents.client.patch(f"{INCIDENTS}/{old['id']}", json={"status": "resolved"})

    notification = start_notification(shop, stack)
    again = incidents.client.post(f"{INCIDENTS}/{old['id']}/reopen", headers={"x-actor": actor}).json()
    eventually(lambda: pending(incidents) == 0)

    assert again["assigned_to"] == "ana"
    assert [page.body["recipient"] for page in notification.received] == paged
    assert oncall.received == []


def test_who_opens_an_incident_for_themselves_is_not_paged(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    notification = start_notification(shop, stack)
    incidents = shop.start("incident-management")

    for actor in ("ana", "bob"):
        new = {**NEW, "severity": "low", "assigned_to": "ana"}
        incidents.client.post(INCIDENTS, json=new, headers={"x-actor": actor})
    eventually(lambda: pending(incidents) == 0)

    assert [page.body["recipient"] for page in notification.received] == ["ana"]


def test_who_is_given_an_incident_back_is_paged_again(shop: Shop, stack: ExitStack, eventually: Wait) -> None:
    start_oncall(shop, stack)
    notification = start_notification(shop, stack)
    incidents = shop.start("incident-management")
    incident = incidents.client.post(INCIDENTS, json=NEW).json()
    eventually(lambda: len(notification.received) == 1)

    for number, person in enumerate(("grace", "ann"), start=2):
        change = {"assigned_to": person}
        incidents.client.patch(f"{INCIDENTS}/{incident['id']}", json=change, headers={"x-actor": "bob"})
        eventually(lambda number=number: len(notification.received) == number)

    eventually(lambda: pending(incidents) == 0)
    assert [page.body["recipient"] for page in notification.received] == ["ann", "grace", "ann"]
    assert len({page.headers["idempotency-key"] for page in notification.received}) == 3


def test_with_both_away_the_incident_exists_and_the_assignment_and_the_page_follow(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    incidents = shop.start("incident-management")

    answer = incidents.client.post(INCIDENTS, json=NEW)
    eventually(lambda: "oncall.unreachable" in incidents.log.read_text())
    alone = detail(incidents, answer.json())
    notification = start_notification(shop, stack)
    start_oncall(shop, stack)
    eventually(lambda: pending(incidents) == 0)

    assert answer.status_code == 201
    assert alone["assigned_to"] is None
    assert detail(incidents, answer.json())["assigned_to"] == "ann"
    assert [page.body["recipient"] for page in notification.received] == ["ann"]


def test_who_took_an_incident_while_on_call_was_away_keeps_it_and_nobody_is_paged(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    notification = start_notification(shop, stack)
    incidents = shop.start("incident-management")
    incident = incidents.client.post(INCIDENTS, json=NEW).json()
    taken = {"assigned_to": "cleo"}
    incidents.client.patch(f"{INCIDENTS}/{incident['id']}", json=taken, headers={"x-actor": "cleo"})

    start_oncall(shop, stack)
    eventually(lambda: pending(incidents) == 0)

    assert detail(incidents, incident)["assigned_to"] == "cleo"
    assert notification.received == []


def test_what_was_to_be_asked_outlives_a_kill(shop: Shop, stack: ExitStack, eventually: Wait) -> None:
    incidents = shop.start("incident-management")
    opened = [incidents.client.post(INCIDENTS, json=NEW).json() for _ in range(5)]
    notification = start_notification(shop, stack)
    start_oncall(shop, stack)

    incidents = shop.restart("incident-management")
    # What the killed one had taken is due again after its lease.
    eventually(lambda: pending(incidents) == 0, within_s=40)

    assert {detail(incidents, one)["assigned_to"] for one in opened} == {"ann"}
    assert {page.body["incident_id"] for page in notification.received} == {one["id"] for one in opened}


def test_a_page_that_was_not_taken_goes_out_again_under_the_same_key(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    start_oncall(shop, stack)
    notification = start_notification(shop, stack)
    refusals = iter([503, 429, 202])
    notification.answer = lambda _: (next(refusals), {})
    incidents = shop.start("incident-management")

    incidents.client.post(INCIDENTS, json=NEW)
    eventually(lambda: len(notification.received) == 3 and pending(incidents) == 0)

    assert len({page.headers["idempotency-key"] for page in notification.received}) == 1


def test_a_page_that_has_to_say_something_else_by_now_is_another_page_and_not_refused(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    start_oncall(shop, stack)
    notification = start_notification(shop, stack)
    said: dict[str, Any] = {}

    def take_but_lose_the_first_answer(asked: Received) -> tuple[int, Any]:
        key = asked.headers["idempotency-key"]
        if said.setdefault(key, asked.body) != asked.body:
            return 422, {"detail": "this Idempotency-Key was used for a different request"}
        return (202, {}) if len(notification.received) > 1 else (504, {})

    notification.answer = take_but_lose_the_first_answer
    incidents = shop.start("incident-management")

    incident = incidents.client.post(INCIDENTS, json={**NEW, "severity": "high"}).json()
    eventually(lambda: notification.received)
    incidents.client.patch(f"{INCIDENTS}/{incident['id']}", json={"severity": "critical"})
    eventually(lambda: pending(incidents) == 0)

    assert [entry["what"] for entry in detail(incidents, incident)["timeline"]][-1] == "paged"
    assert notification.received[-1].body["message"] == "[CRITICAL] payment: checkout fails"


def test_an_incident_that_is_locked_keeps_no_other_one_locked(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    assert shop.database is not None
    incidents = shop.start("incident-management")
    opened = [incidents.client.post(INCIDENTS, json=NEW).json()["id"] for _ in range(10)]
    looking = stack.enter_context(closing(shop.database.connect("platform"))).cursor()

    def is_waited_for() -> bool:
        looking.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return looking.fetchone() == (1,)

    with shop.database.engine("platform").begin() as db:
        # As a batch of alerts does it: several incidents, in an order of its own.
        db.execute(text("SELECT FROM incident.incidents WHERE id = :id FOR SHARE"), {"id": opened[-1]})
        start_oncall(shop, stack)
        looking.execute("UPDATE incident.outbox SET due_at = now() WHERE done_at IS NULL")
        eventually(is_waited_for)
        db.execute(text("SET LOCAL lock_timeout = '200ms'"))
        locked = db.execute(text("SELECT FROM incident.incidents FOR SHARE"))

        assert locked.rowcount == 10


def test_a_page_that_is_refused_for_good_is_written_down_and_not_repeated(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    start_oncall(shop, stack)
    notification = start_notification(shop, stack)
    notification.answer = lambda _: (422, {"detail": "unknown channel"})
    incidents = shop.start("incident-management")

    incident = incidents.client.post(INCIDENTS, json=NEW).json()
    eventually(lambda: pending(incidents) == 0)

    assert len(notification.received) == 1
    assert detail(incidents, incident)["timeline"][-1]["what"] == "page_refused"


def test_an_on_call_service_that_stays_away_does_not_keep_the_page_back_for_ever(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    notification = start_notification(shop, stack)
    incidents = shop.start("incident-management", PAGE_ANYWAY_AFTER_S="0")

    incidents.client.post(INCIDENTS, json=NEW)
    eventually(lambda: notification.received)

    assert notification.received[0].body["recipient"] == "payment"


def test_what_only_informs_waits_for_an_on_call_service_that_stays_away_and_pages_nobody(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    notification = start_notification(shop, stack)
    incidents = shop.start("incident-management", PAGE_ANYWAY_AFTER_S="0")

    incident = incidents.client.post(INCIDENTS, json={**NEW, "severity": "medium"}).json()
    eventually(lambda: "oncall.unreachable" in incidents.log.read_text())
    start_oncall(shop, stack)
    eventually(lambda: pending(incidents) == 0)

    assert detail(incidents, incident)["assigned_to"] == "ann"
    assert notification.received == []


@pytest.mark.parametrize(("severity", "paged"), [("critical", ["payment"]), ("medium", [])])
def test_a_team_with_nobody_on_call_is_paged_by_its_name_if_it_is_grave(
    shop: Shop, stack: ExitStack, eventually: Wait, severity: str, paged: list[str]
) -> None:
    oncall, notification = start_oncall(shop, stack), start_notification(shop, stack)
    oncall.answer = lambda _: (404, {"detail": "no schedule"})
    incidents = shop.start("incident-management")

    incident = incidents.client.post(INCIDENTS, json={**NEW, "severity": severity}).json()
    eventually(lambda: oncall.received and pending(incidents) == 0)

    assert [page.body["recipient"] for page in notification.received] == paged
    assert detail(incidents, incident)["assigned_to"] is None


def test_an_assignee_who_is_named_is_paged_and_nobody_is_asked(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    oncall, notification = start_oncall(shop, stack), start_notification(shop, stack)
    incidents = shop.start("incident-management")

    incident = incidents.client.post(INCIDENTS, json={**NEW, "assigned_to": "bob"}).json()
    incidents.client.patch(
        f"{INCIDENTS}/{incident['id']}", json={"assigned_to": "cleo"}, headers={"x-actor": "bob"}
    )
    incidents.client.patch(
        f"{INCIDENTS}/{incident['id']}", json={"assigned_to": "dan"}, headers={"x-actor": "dan"}
    )
    eventually(lambda: pending(incidents) == 0)

    assert oncall.received == []
    # Who takes an incident knows of it.
    assert sorted(page.body["recipient"] for page in notification.received) == ["bob", "cleo"]


def test_nobody_is_paged_for_what_is_resolved_meanwhile(
    shop: Shop, stack: ExitStack, eventually: Wait
) -> None:
    incidents = shop.start("incident-management")
    incident = incidents.client.post(INCIDENTS, json={**NEW, "assigned_to": "bob"}).json()
    incidents.client.patch(f"{INCIDENTS}/{incident['id']}", json={"status": "resolved"})

    notification = start_notification(shop, stack)
    eventually(lambda: pending(incidents) == 0)

    assert notification.received == []


def test_a_receiver_that_hangs_slows_no_request_down(shop: Shop, stack: ExitStack) -> None:
    silent = stack.enter_context(socket.create_server(("127.0.0.1", shop.port("oncall-service"))))
    incidents = shop.start("incident-management")

    answers = [incidents.client.post(INCIDENTS, json=NEW) for _ in range(5)]

    assert silent.fileno() >= 0
    assert {answer.status_code for answer in answers} == {201}
    assert max(answer.elapsed.total_seconds() for answer in answers) < 1.5
