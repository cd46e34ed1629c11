"""Schedules, overrides, timelines and policies over HTTP."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import inspect

import database
from services.oncall.tables import metadata
from tests.conftest import LabDatabase, RunningService, Shop

SEEDED = ["ada", "grace", "edsger", "barbara"]


@pytest.fixture
def oncall(standing_shop: Shop) -> RunningService:
    """The service, one for the module: each test has a team of its own."""
    try:
        return standing_shop["oncall-service"]
    except KeyError:
        return standing_shop.start("oncall-service", ESCALATION_POLL="600")


@pytest.fixture
def team() -> str:
    """A team that nobody has used."""
    return f"team-{uuid.uuid4()}"


def add_schedule(oncall: RunningService, team: str, *members: str, **fields: Any) -> httpx.Response:
    return oncall.client.post(
        "/api/v1/schedules", json={"team": team, "members": list(members or ["lin"]), **fields}
    )


def add_override(oncall: RunningService, team: str, engineer: str, **hours: float) -> httpx.Response:
    """An override from and to so many hours from now."""
    now = datetime.now(UTC)
    body = {
        "team": team,
        "engineer": engineer,
        "starts_at": (now + timedelta(hours=hours["since"])).isoformat(),
        "ends_at": (now + timedelta(hours=hours["until"])).isoformat(),
    }
    return oncall.client.post("/api/v1/overrides", json=body)


def current(oncall: RunningService, team: str) -> dict[str, Any]:
    found: dict[str, Any] = oncall.client.get("/api/v1/oncall/current", params={"team": team}).json()
    return found


def timeline(oncall: RunningService, team: str, since: str, until: str) -> httpx.Response:
    return oncall.client.get("/api/v1/oncall/timeline", params={"team": team, "from": since, "to": until})


# --- who is on call


@pytest.mark.parametrize("name", ["payment", "gateway", "frontend-api", "*"])
def test_every_team_has_somebody_from_the_first_second(shop: Shop, name: str) -> None:
    oncall = shop.start("oncall-service")

    found = current(oncall, name)

    since = datetime.fromisoformat(found["since"])
    week = since.isocalendar().week
    assert (found["engineer"], found["source"]) == (SEEDED[week % 4], "default")
    assert found["team"] == name
    assert (since.isoweekday(), since.hour) == (1, 0)
    assert datetime.fromisoformat(found["until"]) - since == timedelta(days=7)
    assert since <= datetime.now(UTC) < datetime.fromisoformat(found["until"])
    (schedule,) = oncall.client.get("/api/v1/schedules").json()["items"]
    assert (schedule["name"], schedule["team"]) == ("shop-primary", "*")
    assert found["schedule_id"] == schedule["id"]


def test_a_team_with_a_schedule_of_its_own_has_its_own_people(oncall: RunningService, team: str) -> None:
    answer = add_schedule(oncall, team, "lin")

    assert answer.status_code == 201
    schedule = answer.json()
    assert schedule["name"] == f"{team}-primary"
    assert (schedule["rotation"], schedule["time_zone"]) == ({"kind": "weekly"}, "UTC")
    found = current(oncall, team)
    assert (found["engineer"], found["source"], found["schedule_id"]) == ("lin", "rotation", schedule["id"])
    assert current(oncall, f"{team}-other")["source"] == "default"
    assert oncall.client.get(f"/api/v1/schedules/{schedule['id']}").json() == schedule
    assert oncall.client.get("/api/v1/schedules", params={"team": team}).json()["items"] == [schedule]


def test_the_schedule_made_last_is_in_force_and_removing_it_brings_the_one_before_back(
    oncall: RunningService, team: str
) -> None:
    add_schedule(oncall, team, "first")
    second = add_schedule(oncall, team, "second").json()
    assert current(oncall, team)["engineer"] == "second"

    removed = oncall.client.delete(f"/api/v1/schedules/{second['id']}")

    assert removed.status_code == 204
    assert current(oncall, team)["engineer"] == "first"
    assert oncall.client.delete(f"/api/v1/schedules/{second['id']}").status_code == 404
    assert oncall.client.get(f"/api/v1/schedules/{second['id']}").status_code == 404


def test_the_last_schedule_for_every_team_cannot_be_removed(shop: Shop) -> None:
    oncall = shop.start("oncall-service")
    (seeded,) = oncall.client.get("/api/v1/schedules").json()["items"]

    refused = oncall.client.delete(f"/api/v1/schedules/{seeded['id']}")
    other = add_schedule(oncall, "*", "lin")
    accepted = oncall.client.delete(f"/api/v1/schedules/{seeded['id']}")

    assert (refused.status_code, other.status_code, accepted.status_code) == (409, 201, 204)
    assert current(oncall, "payment")["engineer"] == "lin"


def test_a_rotation_hands_over_at_the_wall_clock_time_of_its_zone(oncall: RunningService, team: str) -> None:
    rotation = {"kind": "handoff", "at": "09:00", "every_days": 1, "starts_on": "2026-03-27"}
    answer = add_schedule(oncall, team, "a", "b", time_zone="Europe/Berlin", rotation=rotation)

    found = timeline(oncall, team, "2026-03-28T08:00:00Z", "2026-03-30T07:00:00Z").json()

    assert answer.json()["rotation"] == rotation
    # The clocks go forward on the 29th.
    assert [(one["engineer"], one["since"], one["until"]) for one in found["items"]] == [
        ("b", "2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"),
        ("a", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"members": []},
        {"members": ["ada", "ada"]},
        {"members": ["two\nlines"]},
        {"members": "ada"},
        {"team": "two words"},
        {"team": ""},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../etc/passwd"},
        {"rotation": {"kind": "monthly"}},
        {"rotation": {"kind": "weekly", "at": "09:00"}},
        {"rotation": {"kind": "handoff", "at": "09:00"}},
        {"rotation": {"kind": "handoff", "at": "25:00", "starts_on": "2026-01-01"}},
        {"rotation": {"kind": "handoff", "every_days": 0, "starts_on": "2026-01-01"}},
        {"rotation": {"kind": "handoff", "starts_on": "2026-02-30"}},
        {"rotation": {"kind": "handoff", "starts_on": "0001-01-01"}},
        {"rotation": {"kind": "handoff", "starts_on": 20000}},
        {"shift": 1},
    ],
)
def test_what_is_no_schedule_is_a_422_and_not_kept(
    oncall: RunningService, team: str, fields: dict[str, Any]
) -> None:
    answer = oncall.client.post("/api/v1/schedules", json={"team": team, "members": ["ada"], **fields})

    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert oncall.client.get("/api/v1/schedules", params={"team": team}).json()["items"] == []


# --- overrides


def test_an_override_holds_for_its_time_and_names_itself(oncall: RunningService, team: str) -> None:
    add_schedule(oncall, team, "lin")

    override = add_override(oncall, team, "kay", since=-1, until=1)

    assert override.status_code == 201
    found = current(oncall, team)
    assert (found["engineer"], found["source"]) == ("kay", "override")
    assert found["override_id"] == override.json()["id"]
    assert (found["since"], found["until"]) == (override.json()["starts_at"], override.json()["ends_at"])
    removed = oncall.client.delete(f"/api/v1/overrides/{override.json()['id']}")
    assert removed.status_code == 204
    assert current(oncall, team)["engineer"] == "lin"


def test_a_turn_begins_where_the_override_before_it_ended(oncall: RunningService, team: str) -> None:
    starts_on = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
    add_schedule(oncall, team, "lin", rotation={"kind": "handoff", "every_days": 7, "starts_on": starts_on})
    override = add_override(oncall, team, "kay", since=-3, until=-1).json()

    found = current(oncall, team)

    assert (found["engineer"], found["since"]) == ("lin", override["ends_at"])


def test_of_overlapping_overrides_the_one_made_later_wins_and_names_the_others(
    oncall: RunningService, team: str
) -> None:
    add_schedule(oncall, team, "lin")
    first = add_override(oncall, team, "first", since=-2, until=2).json()
    second = add_override(oncall, team, "second", since=-1, until=1).json()
    apart = add_override(oncall, team, "apart", since=2.5, until=3).json()

    assert (first["overlaps"], second["overlaps"], apart["overlaps"]) == ([], [first["id"]], [])
    assert current(oncall, team)["engineer"] == "second"
    found = timeline(oncall, team, first["starts_at"], apart["ends_at"]).json()
    assert [one["engineer"] for one in found["items"]][:5] == ["first", "second", "first", "lin", "apart"]
    made = oncall.client.get("/api/v1/overrides", params={"team": team}).json()["items"]
    assert [one["id"] for one in made] == [apart["id"], second["id"], first["id"]]
    ends_after = {"team": team, "from": second["ends_at"]}
    lasting = oncall.client.get("/api/v1/overrides", params=ends_after).json()["items"]
    assert [one["id"] for one in lasting] == [apart["id"], first["id"]]


def test_an_override_for_every_team_stands_below_one_for_the_team_and_does_not_reach_teams_of_their_own(
    shop: Shop,
) -> None:
    oncall = shop.start("oncall-service", ESCALATION_POLL="600")
    add_schedule(oncall, "payment", "lin")
    add_override(oncall, "gateway", "kay", since=-1, until=1)

    add_override(oncall, "*", "everybody", since=-1, until=1)

    engineers = [current(oncall, name)["engineer"] for name in ("payment", "gateway", "profile")]
    assert engineers == ["lin", "kay", "everybody"]


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-11-02T10:00:00Z", "2026-11-02T10:00:00Z"),
        ("2026-11-02T10:00:00Z", "2026-11-02T09:00:00Z"),
        ("2026-11-02T10:00:00+02:00", "2026-11-02T08:00:00Z"),
        ("2026-11-02T10:00:00", "2026-11-02T11:00:00"),
        ("2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"),
        ("1900-01-01T00:00:00Z", "1900-01-02T00:00:00Z"),
        ("yesterday", "tomorrow"),
        (1_700_000_000, 1_700_000_100),
    ],
)
def test_what_is_no_interval_is_a_422(
    oncall: RunningService, team: str, since: object, until: object
) -> None:
    body = {"team": team, "engineer": "kay", "starts_at": since, "ends_at": until}

    answer = oncall.client.post("/api/v1/overrides", json=body)

    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert oncall.client.get("/api/v1/overrides", params={"team": team}).json()["items"] == []


def test_an_unknown_override_is_a_404(oncall: RunningService) -> None:
    assert oncall.client.delete(f"/api/v1/overrides/{uuid.uuid4()}").status_code == 404


# --- the timeline


def test_the_weekly_timeline_goes_over_a_53_week_year(oncall: RunningService, team: str) -> None:
    add_schedule(oncall, team, "w0", "w1", "w2", "w3")

    found = timeline(oncall, team, "2026-12-20T00:00:00Z", "2027-01-12T00:00:00Z").json()

    assert [(one["engineer"], one["since"]) for one in found["items"]] == [
        ("w3", "2026-12-20T00:00:00Z"),
        ("w0", "2026-12-21T00:00:00Z"),
        ("w1", "2026-12-28T00:00:00Z"),
        ("w1", "2027-01-04T00:00:00Z"),
        ("w2", "2027-01-11T00:00:00Z"),
    ]
    assert found["items"][-1]["until"] == "2027-01-12T00:00:00Z"


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-11-02T00:00:00Z", "2026-11-02T00:00:00Z"),
        ("2026-11-03T00:00:00Z", "2026-11-02T00:00:00Z"),
        ("2026-01-01T00:00:00Z", "2027-01-03T00:00:00Z"),
        ("2026-01-01", "2026-01-02"),
        ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
    ],
)
def test_a_timeline_of_an_impossible_stretch_is_a_422(oncall: RunningService, since: str, until: str) -> None:
    assert timeline(oncall, "payment", since, until).status_code == 422


# --- policies


def test_a_team_without_a_policy_has_the_one_for_every_team(oncall: RunningService, team: str) -> None:
    default = oncall.client.get(f"/api/v1/escalation-policies/{team}").json()
    levels = [{"target": "engineer", "engineer": "boss", "after_s": 30.0, "channel": "chat"}]

    put = oncall.client.put(f"/api/v1/escalation-policies/{team}", json={"levels": levels})

    assert default["team"] == "*"
    assert [level["target"] for level in default["levels"]] == ["next_on_call", "engineer"]
    assert put.status_code == 200
    assert oncall.client.get(f"/api/v1/escalation-policies/{team}").json() == put.json()
    assert put.json()["levels"] == levels
    every = oncall.client.get("/api/v1/escalation-policies").json()["items"]
    assert {"*", team} <= {policy["team"] for policy in every}


@pytest.mark.parametrize(
    "level",
    [
        {"target": "engineer"},
        {"target": "on_call", "engineer": "ada"},
        {"target": "nobody"},
        {"target": "on_call", "after_s": -1},
        {"target": "on_call", "channel": "pigeon"},
    ],
)
def test_what_is_no_policy_is_a_422(oncall: RunningService, team: str, level: dict[str, Any]) -> None:
    answer = oncall.client.put(f"/api/v1/escalation-policies/{team}", json={"levels": [level]})

    assert answer.status_code == 422


# --- the database


def test_the_tables_in_code_are_those_of_the_database(lab_database: LabDatabase) -> None:
    inspector = inspect(lab_database.engine("platform"))

    assert set(inspector.get_table_names("oncall")) == {table.name for table in metadata.tables.values()}
    for table in metadata.tables.values():
        columns = {c["name"]: c["nullable"] for c in inspector.get_columns(table.name, "oncall")}
        assert columns == {c.name: c.nullable for c in table.columns}, table.name


def test_applying_the_schema_again_seeds_nothing_twice_and_takes_nothing_back(
    shop: Shop, lab_database: LabDatabase
) -> None:
    oncall = shop.start("oncall-service")
    oncall.client.put("/api/v1/escalation-policies/*", json={"levels": []})
    add_schedule(oncall, "*", "lin")

    database.apply(lab_database.admin_url, passwords={role: role for role in database.ROLES})

    assert len(oncall.client.get("/api/v1/schedules").json()["items"]) == 2
    assert oncall.client.get("/api/v1/escalation-policies/payment").json()["levels"] == []


def test_a_candidate_reads_the_rota_and_changes_none_of_it(lab_database: LabDatabase) -> None:
    with lab_database.connect("candidate").cursor() as cursor:
        cursor.execute("SELECT count(*) FROM oncall.schedules")
        with pytest.raises(Exception, match="permission denied"):
            cursor.execute("DELETE FROM oncall.schedules")


def test_removing_the_two_last_defaults_at_once_leaves_one(shop: Shop, at_once: Callable[..., Any]) -> None:
    oncall = shop.start("oncall-service")
    add_schedule(oncall, "*", "lin")
    ids = [one["id"] for one in oncall.client.get("/api/v1/schedules").json()["items"]]

    def remove(schedule_id: str) -> Callable[[], int]:
        return lambda: oncall.client.delete(f"/api/v1/schedules/{schedule_id}").status_code

    assert sorted(at_once([remove(one) for one in ids])) == [204, 409]
    assert len(oncall.client.get("/api/v1/schedules").json()["items"]) == 1
