"""incident-management on its own: an incident's way, who did what, and what is known about it."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import inspect, text

from services.alert_ingestion.tables import metadata as alert_tables
from services.incident_management.tables import metadata as incident_tables
from tests.conftest import LabDatabase, RunningService, Shop

Open = Callable[..., dict[str, Any]]
INCIDENTS = "/api/v1/incidents"


@pytest.fixture
def open_incident(incidents: RunningService) -> Open:
    """Open an incident of a service that no other test has."""

    def post(**body: Any) -> dict[str, Any]:
        new = {"title": "error ratio above 5 %", "service": f"s-{uuid4()}", "severity": "high", **body}
        answer = incidents.client.post(INCIDENTS, json=new)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return post


def patch(incidents: RunningService, incident: dict[str, Any], actor: str, **change: Any) -> httpx.Response:
    return incidents.client.patch(f"{INCIDENTS}/{incident['id']}", json=change, headers={"x-actor": actor})


def detail(incidents: RunningService, incident: dict[str, Any]) -> dict[str, Any]:
    return incidents.client.get(f"{INCIDENTS}/{incident['id']}").json()


def changes(
    incidents: RunningService, incident: dict[str, Any]
) -> list[tuple[str, str, str | None, str | None]]:
    """The timeline without its times."""
    return [(e["actor"], e["what"], e["from"], e["to"]) for e in detail(incidents, incident)["timeline"]]


# --- opening and finding


def test_a_new_incident_is_open_and_its_timeline_begins(
    incidents: RunningService, open_incident: Open
) -> None:
    incident = open_incident(title="checkout fails", severity="critical")

    assert incident["status"] == "open"
    assert (incident["assigned_to"], incident["mtta_seconds"], incident["mttr_seconds"]) == (None, None, None)
    assert datetime.fromisoformat(incident["created_at"]).utcoffset() == timedelta(0)
    assert changes(incidents, incident) == [("operator", "created", None, "open")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": ""},
        {"title": "two\nlines"},
        {"service": "not a name"},
        {"severity": "urgent"},
        {"status": "open"},
        {"title": None},
    ],
)
def test_an_incident_that_makes_no_sense_is_a_422(incidents: RunningService, wrong: dict[str, Any]) -> None:
    new = {"title": "t", "service": "payment", "severity": "high", **wrong}

    answer = incidents.client.post(INCIDENTS, json=new)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["body", next(iter(wrong))]


def test_the_same_idempotency_key_is_the_same_incident(incidents: RunningService) -> None:
    new = {"title": "t", "service": f"s-{uuid4()}", "severity": "high"}
    key = {"idempotency-key": str(uuid4())}

    first, second = (incidents.client.post(INCIDENTS, json=new, headers=key) for _ in range(2))
    other = incidents.client.post(INCIDENTS, json={**new, "title": "another"}, headers=key)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert other.status_code == 422


def test_a_batch_opens_one_incident_for_each_key_however_often_it_comes(
    incidents: RunningService, at_once: Any
) -> None:
    keys = [str(uuid4()) for _ in range(20)]
    new = {"title": "t", "service": f"s-{uuid4()}", "severity": "low"}
    forth = {"incidents": [{**new, "idempotency_key": key} for key in keys]}
    back = {"incidents": [{**new, "idempotency_key": key} for key in (*reversed(keys), keys[0])]}

    answers = at_once(
        [lambda b=b: incidents.client.post(f"{INCIDENTS}/batch", json=b) for b in [forth, back] * 4]
    )

    assert {answer.status_code for answer in answers} == {201}
    opened = {frozenset((i["idempotency_key"], i["incident_id"]) for i in a.json()["items"]) for a in answers}
    assert len(opened) == 1
    listed = incidents.client.get(INCIDENTS, params={"service": new["service"], "limit": 200}).json()
    assert len(listed["items"]) == 20


def test_the_list_is_newest_first_filtered_and_paged(incidents: RunningService, open_incident: Open) -> None:
    service = f"s-{uuid4()}"
    opened = [open_incident(service=service, severity=s)["id"] for s in ("high", "low", "high", "high")]
    patch(incidents, {"id": opened[3]}, "ann", status="resolved")

    def ids(**query: Any) -> list[str]:
        page = incidents.client.get(INCIDENTS, params={"service": service, **query}).json()
        return [incident["id"] for incident in page["items"]]

    assert ids() == opened[::-1]
    assert ids(severity="high") == [opened[3], opened[2], opened[0]]
    assert ids(status="open", severity="high") == [opened[2], opened[0]]
    assert ids(status=["open", "resolved"]) == opened[::-1]
    assert ids(status="in_progress") == []
    first = incidents.client.get(INCIDENTS, params={"service": service, "limit": 3}).json()
    last = incidents.client.get(
        INCIDENTS, params={"service": service, "limit": 3, "offset": first["next_offset"]}
    ).json()
    assert [i["id"] for i in first["items"] + last["items"]] == opened[::-1]
    assert last["next_offset"] is None


def test_a_search_finds_what_has_all_of_its_words_in_its_line(
    incidents: RunningService, open_incident: Open
) -> None:
    service = f"s-{uuid4()}"
    failing = open_incident(service=service, title="Payments fail 5%", severity="critical", assigned_to="ana")
    patch(incidents, failing, "ana", status="in_progress")
    slow = open_incident(service=service, title="Profiles are slow", assigned_to="Özgür")

    def found(q: str) -> list[str]:
        page = incidents.client.get(INCIDENTS, params={"service": service, "q": q}).json()
        return [incident["id"] for incident in page["items"]]

    for words in (
        "FAIL pay",
        "ana",
        "in progress critical",
        failing["id"][-12:],
        "5%",
        f"{service} payments",
    ):
        assert found(words) == [failing["id"]], words
    assert found("s") == [slow["id"], failing["id"]]
    assert found("özgür") == found("ÖZGÜR SLOW") == [slow["id"]]
    for words in ("payments fail today", "eve", "fa_l", "%%"):
        assert found(words) == [], words


def test_an_unknown_incident_is_a_404_everywhere(incidents: RunningService) -> None:
    nowhere = f"{INCIDENTS}/{uuid4()}"

    answers = [
        incidents.client.get(nowhere),
        incidents.client.patch(nowhere, json={"status": "resolved"}),
        incidents.client.get(f"{nowhere}/metrics"),
        incidents.client.post(f"{nowhere}/reopen"),
        incidents.client.post(f"{nowhere}/postmortem", json={"summary": "s"}),
        incidents.client.get(f"{nowhere}/postmortem"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 6


def test_the_summary_counts_by_status_and_severity(shop: Shop) -> None:
    alone = shop.start("incident-management")
    new = {"title": "t", "service": "payment"}
    for severity in ("critical", "critical", "low"):
        last = alone.client.post(INCIDENTS, json={**new, "severity": severity}).json()
    patch(alone, last, "ann", status="resolved")

    assert alone.client.get(f"{INCIDENTS}/summary").json() == {
        "by_status": {"open": 2, "acknowledged": 0, "in_progress": 0, "resolved": 1},
        "unresolved_by_severity": {"critical": 2, "high": 0, "medium": 0, "low": 0},
    }


# --- the incident's way


def test_an_incident_goes_forward_step_by_step_and_its_times_are_kept(
    incidents: RunningService, open_incident: Open
) -> None:
    incident = open_incident()

    for status in ("acknowledged", "in_progress", "resolved"):
        answer = patch(incidents, incident, "ann", status=status)
        assert (answer.status_code, answer.json()["status"]) == (200, status)

    after = detail(incidents, incident)
    assert (after["acknowledged_by"], after["resolved_by"]) == ("ann", "ann")
    assert 0 < after["mtta_seconds"] < after["mttr_seconds"] < 60
    times = incidents.client.get(f"{INCIDENTS}/{incident['id']}/metrics").json()
    assert times == {
        "incident_id": incident["id"],
        "status": "resolved",
        "mtta_seconds": after["mtta_seconds"],
        "mttr_seconds": after["mttr_seconds"],
    }
    assert changes(incidents, incident)[1:] == [
        ("ann", "status", "open", "acknowledged"),
        ("ann", "status", "acknowledged", "in_progress"),
        ("ann", "status", "in_progress", "resolved"),
    ]


def test_steps_may_be_skipped(incidents: RunningService, open_incident: Open) -> None:
    worked_on, resolved = open_incident(), open_incident()

    patch(incidents, worked_on, "ann", status="in_progress")
    patch(incidents, resolved, "ann", status="resolved")

    # Who works on it has acknowledged it; who resolves it straight away has not.
    assert detail(incidents, worked_on)["mtta_seconds"] > 0
    assert detail(incidents, resolved)["mtta_seconds"] is None
    assert detail(incidents, resolved)["mttr_seconds"] > 0


@pytest.mark.parametrize(
    ("now", "wanted", "reason"),
    [
        ("acknowledged", "open", "cannot go back to open: the incident is acknowledged by ann"),
        ("in_progress", "acknowledged", "cannot go back to acknowledged: the incident is in_progress by ann"),
        ("resolved", "open", "reopen it instead"),
        ("resolved", "resolved", "already resolved by ann"),
    ],
)
def test_no_way_leads_back_and_the_409_says_why(
    incidents: RunningService, open_incident: Open, now: str, wanted: str, reason: str
) -> None:
    incident = open_incident()
    patch(incidents, incident, "ann", status=now)
    before = detail(incidents, incident)

    answer = patch(incidents, incident, "bob", status=wanted, notes="mine", assigned_to="bob")

    assert answer.status_code == 409
    assert reason in answer.json()["detail"]
    assert detail(incidents, incident) == before


def test_what_is_to_change_only_while_nobody_has_acknowledged_is_refused_from_then_on(
    incidents: RunningService, open_incident: Open
) -> None:
    incident = open_incident()
    path = f"{INCIDENTS}/{incident['id']}?while_open=true"
    given = incidents.client.patch(path, json={"assigned_to": "bob"})
    patch(incidents, incident, "ann", status="acknowledged", assigned_to="ann")
    before = detail(incidents, incident)

    late = incidents.client.patch(path, json={"assigned_to": "bob"})

    assert (given.status_code, given.json()["assigned_to"]) == (200, "bob")
    assert (late.status_code, "acknowledged" in late.json()["detail"]) == (409, True)
    assert detail(incidents, incident) == before


def test_of_sixteen_people_who_acknowledge_at_once_one_wins_and_the_others_learn_who(
    incidents: RunningService, open_incident: Open, at_once: Any
) -> None:
    incident = open_incident()
    people = [f"person-{n}" for n in range(16)]
    observed = incidents.metric("incident_mtta_seconds_count")

    answers = at_once([lambda p=p: patch(incidents, incident, p, status="acknowledged") for p in people])

    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 15}
    [winner] = [p for p, answer in zip(people, answers, strict=True) if answer.status_code == 200]
    losers = [answer.json()["detail"] for answer in answers if answer.status_code == 409]
    assert all(f"already acknowledged by {winner} at 20" in said for said in losers)
    assert detail(incidents, incident)["acknowledged_by"] == winner
    assert incidents.metric("incident_mtta_seconds_count") == observed + 1


def test_every_change_is_in_the_timeline_with_who_and_from_what_to_what(
    incidents: RunningService, open_incident: Open
) -> None:
    incident = open_incident()

    patch(incidents, incident, "ann", assigned_to="bob")
    patch(incidents, incident, "bob", severity="critical", notes="it is the pool\nall of it")
    patch(incidents, incident, "bob", assigned_to=None, severity="critical")

    assert changes(incidents, incident)[1:] == [
        ("ann", "assigned_to", None, "bob"),
        ("bob", "severity", "high", "critical"),
        ("bob", "note", None, "it is the pool\nall of it"),
        ("bob", "assigned_to", "bob", None),
    ]
    [note] = detail(incidents, incident)["notes"]
    assert (note["author"], note["text"]) == ("bob", "it is the pool\nall of it")
    times = [entry["at"] for entry in detail(incidents, incident)["timeline"]]
    assert times == sorted(times)


@pytest.mark.parametrize(
    "change",
    [{}, {"status": "closed"}, {"notes": ""}, {"notes": "a\x00b"}, {"owner": "x"}, {"severity": "p1"}],
)
def test_a_change_that_makes_no_sense_is_a_422(
    incidents: RunningService, open_incident: Open, change: dict[str, Any]
) -> None:
    assert patch(incidents, open_incident(), "ann", **change).status_code == 422


# --- again, and afterwards


def test_reopening_is_a_new_incident_linked_to_the_old(
    incidents: RunningService, open_incident: Open
) -> None:
    old = open_incident(title="it is back", assigned_to="ann")
    patch(incidents, old, "ann", status="resolved")

    answer = incidents.client.post(f"{INCIDENTS}/{old['id']}/reopen", headers={"x-actor": "bob"})

    new = answer.json()
    assert answer.status_code == 201
    assert new["id"] != old["id"]
    assert {k: new[k] for k in ("title", "service", "severity", "assigned_to")} == {
        k: old[k] for k in ("title", "service", "severity", "assigned_to")
    }
    assert (new["status"], new["reopened_from"]) == ("open", old["id"])
    assert detail(incidents, old)["status"] == "resolved"
    assert detail(incidents, old)["reopened_as"] == new["id"]
    assert ("bob", "reopened_as", None, new["id"]) in changes(incidents, old)
    assert ("bob", "reopened_from", None, old["id"]) in changes(incidents, new)


def test_an_incident_is_reopened_once_and_only_when_it_is_resolved(
    incidents: RunningService, open_incident: Open, at_once: Any
) -> None:
    incident = open_incident()
    early = incidents.client.post(f"{INCIDENTS}/{incident['id']}/reopen")
    patch(incidents, incident, "ann", status="resolved")

    answers = at_once([lambda: incidents.client.post(f"{INCIDENTS}/{incident['id']}/reopen")] * 8)

    assert early.status_code == 409
    assert "this one is open" in early.json()["detail"]
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}
    [new] = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert {a.json()["detail"] for a in answers if a.status_code == 409} == {f"already reopened as {new}"}


def test_a_postmortem_is_markdown_with_the_timeline_filled_in(
    incidents: RunningService, open_incident: Open
) -> None:
    incident = open_incident(title="pool | exhausted")
    path = f"{INCIDENTS}/{incident['id']}/postmortem"
    early = incidents.client.post(path, json={"summary": "s"})
    patch(incidents, incident, "ann", status="acknowledged", notes="# no heading\nof mine")
    patch(incidents, incident, "ann", status="resolved")
    missing = incidents.client.get(path)

    written = incidents.client.post(
        path,
        json={"summary": "The pool ran out.", "root_cause": "A leak.", "action_items": ["fix the leak"]},
        headers={"x-actor": "ann"},
    )
    document = incidents.client.get(path)

    assert (early.status_code, missing.status_code, written.status_code) == (409, 404, 201)
    assert document.headers["content-type"].startswith("text/markdown")
    assert document.text == written.json()["markdown"]
    lines = document.text.splitlines()
    assert lines[0] == "# Postmortem: pool \\| exhausted"
    assert {"The pool ran out.", "A leak.", "- [ ] fix the leak"} <= set(lines)
    assert [line for line in lines if line.endswith("**ann** status: open → acknowledged")]
    assert [line for line in lines if line.endswith("**ann** note: \\# no heading of mine")]
    assert [line for line in lines if line.startswith("#")] == [
        "# Postmortem: pool \\| exhausted",
        *(
            f"## {name}"
            for name in ("Summary", "Impact", "Root cause", "Timeline", "Alerts", "Lessons", "Action items")
        ),
    ]
    assert detail(incidents, incident)["has_postmortem"] is True


def test_a_postmortem_written_again_replaces_the_first(
    incidents: RunningService, open_incident: Open
) -> None:
    incident = open_incident()
    patch(incidents, incident, "ann", status="resolved")
    path = f"{INCIDENTS}/{incident['id']}/postmortem"

    incidents.client.post(path, json={"summary": "draft"})
    incidents.client.post(path, json={"summary": "final"})

    summary = incidents.client.get(path).text.partition("## Summary\n\n")[2].partition("\n")[0]
    assert summary == "final"


# --- metrics


def test_incidents_are_counted_from_the_database_also_after_a_restart_and_by_two_replicas(shop: Shop) -> None:
    first = shop.start("incident-management")
    second = shop.start_replica("incident-management")
    new = {"title": "t", "service": "payment", "severity": "high"}
    opened = [first.client.post(INCIDENTS, json=new).json() for _ in range(3)]
    patch(second, opened[0], "ann", status="acknowledged")
    patch(second, opened[1], "ann", status="resolved")

    restarted = shop.restart("incident-management")

    for replica in (restarted, second):
        shown = {s: replica.metric("incidents_total", status=s) for s in ("open", "acknowledged", "resolved")}
        assert shown == {"open": 1, "acknowledged": 1, "resolved": 1}
        unresolved = {s: replica.metric("incidents_unresolved", severity=s) for s in ("critical", "high")}
        assert unresolved == {"critical": 0, "high": 2}
    assert restarted.metric("incidents_total", status="in_progress") == 0
    assert "# TYPE incidents_total gauge" in restarted.client.get("/metrics").text


def test_times_are_observed_once_whichever_replica_is_asked_and_in_the_stated_buckets(shop: Shop) -> None:
    first = shop.start("incident-management")
    second = shop.start_replica("incident-management")
    assert shop.database is not None
    new = {"title": "t", "service": "payment", "severity": "high"}
    incident = first.client.post(INCIDENTS, json=new).json()
    with shop.database.connect("platform").cursor() as db:
        db.execute("UPDATE incident.incidents SET created_at = created_at - interval '90 seconds'")

    for replica, status in ((first, "acknowledged"), (second, "in_progress"), (second, "resolved")):
        assert patch(replica, incident, "ann", status=status).status_code == 200
        assert patch(first, incident, "bob", status=status).status_code == 409
        assert patch(second, incident, "bob", status=status).status_code == 409

    def total(name: str, **labels: str) -> float:
        return first.metric(name, **labels) + second.metric(name, **labels)

    assert (total("incident_mtta_seconds_count"), total("incident_mttr_seconds_count")) == (1, 1)
    below = {le: total("incident_mtta_seconds_bucket", le=le) for le in ("30.0", "60.0", "120.0", "3600.0")}
    assert below == {"30.0": 0, "60.0": 0, "120.0": 1, "3600.0": 1}
    assert 90 < total("incident_mttr_seconds_sum") < 120
    bounds = [
        line.partition('le="')[2].partition('"')[0]
        for line in first.client.get("/metrics").text.splitlines()
        if line.startswith("incident_mttr_seconds_bucket")
    ]
    assert bounds == ["60.0", "300.0", "600.0", "1800.0", "3600.0", "7200.0", "14400.0", "+Inf"]


# --- the schema


def test_the_tables_in_code_are_those_of_the_schema_incident(lab_database: LabDatabase) -> None:
    inspector = inspect(lab_database.engine("platform"))
    in_code = [*incident_tables.tables.values(), *alert_tables.tables.values()]

    assert set(inspector.get_table_names("incident")) == {table.name for table in in_code}
    for table in in_code:
        columns = {c["name"]: c["nullable"] for c in inspector.get_columns(table.name, "incident")}
        assert columns == {c.name: c.nullable for c in table.columns}, table.name


def test_the_candidate_reads_incidents_and_changes_none(lab_database: LabDatabase) -> None:
    with lab_database.engine("candidate").connect() as db:
        assert db.execute(text("SELECT count(*) FROM incident.incidents")).scalar_one() == 0
        allowed = "SELECT has_table_privilege('incident.incidents', 'UPDATE')"
        assert db.execute(text(allowed)).scalar_one() is False
