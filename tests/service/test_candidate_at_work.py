"""The candidate's tools on real services: the same functions that `lab mcp` offers and the commands call."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import httpx2
import psutil
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from sqlalchemy import text

from embedded.errors import LabError
from embedded.free_ports import free_port
from lab.tools.bounds import MOST_CHARACTERS
from lab.tools.database import LONGEST_VALUE, Database
from lab.tools.incidents import Incidents
from lab.tools.metrics import Metrics
from lab.tools.names import Names
from lab.tools.operations import Operations
from lab.tools.seat import Seat
from lab.tools.server import server
from lab.tools.telemetry import Telemetry
from services.common.catalog import PROMETHEUS, SERVICES
from tests.conftest import Shop
from tests.exam import TOKEN, Exam

TOOLS = {
    *("brief", "time_left", "acknowledge_page", "read_hints", "take_hint", "post_status_update"),
    *("submit_diagnosis", "read_submissions"),
    *("search_logs", "search_traces", "get_trace", "search_errors", "get_error"),
    *("query_metrics", "query_metrics_over_time", "list_metrics", "list_alerts"),
    *("run_sql", "lookup_name", "get_record", "put_record"),
    *("list_services", "get_settings", "change_settings", "rollback", "restart_service"),
    *("list_incidents", "get_incident", "acknowledge_incident", "change_incident", "add_note"),
    "write_postmortem",
}
CHANGES = text("SELECT service, actor, name FROM ops.setting_changes ORDER BY id")


@pytest.fixture
def candidate(shop: Shop) -> Seat:
    """A candidate called ada who reaches what the test starts, and has no run."""
    assert shop.database is not None
    urls = {spec.name: f"http://127.0.0.1:{shop.port(spec.name)}" for spec in SERVICES}
    return Seat(
        run="",
        token="",
        actor="ada",
        urls={**urls, PROMETHEUS.name: "http://127.0.0.1:1"},
        dns_server=("127.0.0.1", shop.dns_port),
        database_url=shop.database.url("candidate").replace("+psycopg2", ""),
    )


@pytest.fixture
def operations(candidate: Seat) -> Operations:
    return Operations(candidate, Metrics(candidate))


def changes(shop: Shop) -> list[tuple[str, str, str]]:
    assert shop.database is not None
    with shop.database.engine().connect() as db:
        return [(row.service, row.actor, row.name) for row in db.execute(CHANGES)]


def call(seat: Seat, tool: str, **arguments: Any) -> Any:
    """Call a tool of the server in this process; what it answers, or what it says is wrong."""

    async def asked() -> Any:
        async with Client(server(seat)) as client:
            answer = await client.call_tool(tool, arguments)
            return answer.content[0].text if answer.is_error else answer.structured_content  # type: ignore[union-attr]

    return asyncio.run(asked())


def offered(seat: Seat) -> dict[str, dict[str, Any]]:
    """The schema of each tool's arguments, by the tool's name."""

    async def listed() -> dict[str, dict[str, Any]]:
        async with Client(server(seat)) as client:
            return {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}

    return asyncio.run(listed())


def write_log(shop: Shop, *messages: str) -> None:
    """Log lines of the till, a second between two, the last one now."""
    ages = range(len(messages) - 1, -1, -1)
    lines = [
        {
            "signal_id": str(uuid.uuid4()),
            "timestamp": (datetime.now(UTC) - timedelta(seconds=age)).isoformat(),
            "service_name": "till",
            "level": "INFO",
            "message": message,
        }
        for age, message in zip(ages, messages, strict=True)
    ]
    assert shop["telemetry"].client.post("/ingest/logs", json=lines).json()["stored"] == len(lines)


def test_the_server_offers_the_candidates_tools_and_no_more(candidate: Seat) -> None:
    assert offered(candidate).keys() == TOOLS


def test_every_tools_schema_allows_the_arguments_that_it_has_and_no_more(candidate: Seat) -> None:
    assert {name for name, schema in offered(candidate).items() if schema["additionalProperties"]} == set()


@pytest.mark.parametrize(
    ("tool", "arguments", "refused"),
    [
        ("submit_diagnosis", {"diagnosis": {}, "is_draft": True}, "is_draft; it takes: diagnosis, draft"),
        (
            "query_metrics_over_time",
            {"promql": "up", "start": "1h", "step": 1},
            "start, step; it takes: promql, since, step_s",
        ),
        ("search_logs", {"serivce": "payment"}, "serivce; it takes: service, level,"),
        ("brief", {"run": "r1"}, "run; it takes none"),
    ],
)
def test_an_argument_that_a_tool_does_not_have_is_refused_with_those_that_it_has(
    candidate: Seat, tool: str, arguments: dict[str, Any], refused: str
) -> None:
    assert f"{tool} has no argument {refused}" in call(candidate, tool, **arguments)


def test_sql_runs_as_the_candidate_and_gives_so_many_rows(candidate: Seat) -> None:
    answer = Database(candidate).run_sql("SELECT current_user, n FROM generate_series(1, 5) AS n", limit=2)

    assert answer["columns"] == ["current_user", "n"]
    assert answer["rows"] == [["candidate", 1], ["candidate", 2]]
    assert answer["is_cut"]


def test_an_index_is_made_without_locking_the_table(candidate: Seat) -> None:
    by_name = "CREATE INDEX CONCURRENTLY by_key ON profile.users (profile.lookup_key(email))"

    made = Database(candidate).run_sql(by_name)

    found = Database(candidate).run_sql("SELECT indexname FROM pg_indexes WHERE indexname = 'by_key'")
    assert made["status"] == "CREATE INDEX"
    assert found["rows"] == [["by_key"]]


def test_no_connection_is_left_open_behind_a_statement(candidate: Seat) -> None:
    mine = (
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'candidate' AND datname = current_database()"
    )

    counts = [Database(candidate).run_sql(mine)["rows"] for _ in range(3)]

    assert counts == [[[1]]] * 3


def test_sql_that_the_candidate_may_not_run_says_why(candidate: Seat) -> None:
    with pytest.raises(LabError, match=r"permission denied|candidate"):
        Database(candidate).run_sql("DELETE FROM payment.transactions")


def test_the_truth_is_not_to_be_had_by_sql(candidate: Seat) -> None:
    answer = call(candidate, "run_sql", statement="SELECT * FROM exam.runs")

    assert "permission denied for schema exam" in answer


def test_values_of_every_kind_come_as_json(candidate: Seat) -> None:
    answer = call(
        candidate, "run_sql", statement="SELECT 1.50::numeric, now(), interval '1 s', '{a}'::text[]"
    )

    [row] = answer["rows"]
    assert (row[0], row[3]) == ("1.50", ["a"])


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("'0044-03-15 BC'::date", "0044-03-15 BC"),
        ("'20000-01-01'::timestamp", "20000-01-01 00:00:00"),
        ("'20000-01-01 UTC'::timestamptz AT TIME ZONE 'UTC'", "20000-01-01 00:00:00"),
        ("'infinity'::date", "infinity"),
        ("'-infinity'::timestamptz", "-infinity"),
        ("array['20000-01-01'::date, '2026-01-13'::date]", ["20000-01-01", "2026-01-13"]),
        ("'100000000 years'::interval", "100000000 years"),
        (r"'\x00ff'::bytea", r"\x00ff"),
        (r"array['\x00ff'::bytea]", [r"\x00ff"]),
        ("'NaN'::float8", "NaN"),
        ("array['Infinity'::float8, '-Infinity', 0.5]", ["Infinity", "-Infinity", 0.5]),
        ("'NaN'::numeric", "NaN"),
    ],
)
def test_a_value_that_json_or_python_has_not_comes_as_its_text(
    candidate: Seat, expression: str, shown: object
) -> None:
    assert call(candidate, "run_sql", statement=f"SELECT {expression}")["rows"] == [[shown]]


def test_an_answer_that_cannot_be_read_says_so_and_that_the_statement_ran(candidate: Seat) -> None:
    answer = call(candidate, "run_sql", statement="SELECT ('1' || repeat('0', 5000))::jsonb")

    assert "the statement ran, but what it gave cannot be shown: " in answer


def test_a_statement_with_a_nul_in_it_is_not_run_in_part(candidate: Seat) -> None:
    assert "NUL" in call(candidate, "run_sql", statement="SELECT 1\0 WHERE false")


@pytest.mark.parametrize(
    "wide",
    [
        "repeat('x', 2000000)",
        "(SELECT array_agg(n) FROM generate_series(1, 300000) AS n)",
        "(SELECT jsonb_object_agg('k' || n, n) FROM generate_series(1, 100000) AS n)",
    ],
)
def test_a_long_value_is_cut_whatever_its_type(candidate: Seat, wide: str) -> None:
    [[value, after]] = call(candidate, "run_sql", statement=f"SELECT {wide}, 1")["rows"]

    assert (len(value), value[-1], after) == (LONGEST_VALUE + 1, "…", 1)


def test_rows_that_are_too_many_for_an_answer_are_cut_with_a_word_on_it(candidate: Seat) -> None:
    wide = "SELECT n, repeat('x', 3000) FROM generate_series(1, 1000) AS n"

    answer = call(candidate, "run_sql", statement=wide, limit=1000)

    assert len(json.dumps(answer)) < MOST_CHARACTERS + 1_000
    assert [row[0] for row in answer["rows"]] == list(range(1, len(answer["rows"]) + 1))
    assert answer["is_cut"]
    assert "Fewer columns" in answer["how_to_see_more"]


def test_log_lines_that_do_not_fit_are_on_the_next_page(shop: Shop, candidate: Seat) -> None:
    shop.start("telemetry")
    write_log(shop, *("x" * 4_000 for _ in range(30)))

    first = call(candidate, "search_logs", limit=1000)
    rest = call(candidate, "search_logs", limit=1000, offset=first["next_offset"])
    last = call(candidate, "search_logs", limit=1000, offset=rest["next_offset"])

    found = [line["signal_id"] for page in (first, rest, last) for line in page["items"]]
    assert (first["is_cut"], "is_cut" in last, last["next_offset"]) == (True, False, None)
    assert (len(found), len(set(found))) == (30, 30)


def test_a_page_of_log_lines_leads_to_the_next_one(shop: Shop, candidate: Seat) -> None:
    shop.start("telemetry")
    write_log(shop, "first", "second", "third")

    pages = [Telemetry(candidate).search_logs(limit=1, offset=at)["items"] for at in (0, 1, 2)]

    assert [line["message"] for [line] in pages] == ["third", "second", "first"]  # type: ignore[misc,union-attr,call-overload,index]


def test_what_cannot_be_a_part_of_a_path_is_refused_with_the_reason(shop: Shop, candidate: Seat) -> None:
    shop.start("telemetry")

    for tool, written in (
        ("get_trace", {"trace_id": "ab\ncd"}),
        ("get_error", {"group_id": "a\0"}),
        ("get_error", {"group_id": "abc?x=1"}),
    ):
        assert "422: path." in call(candidate, tool, **written)
    assert "..%2Ferrors: 404: " in call(candidate, "get_trace", trace_id="../errors")
    assert "URL too long" in call(candidate, "get_trace", trace_id="x" * 70_000)
    assert "'' names nothing" in call(candidate, "get_error", group_id="")
    assert "'..' names nothing" in call(candidate, "get_trace", trace_id="..")


def test_a_record_is_asked_for_by_its_name_alone(shop: Shop, operations: Operations) -> None:
    shop.start("dns")

    with pytest.raises(LabError, match=r"%2Fhealth: 4\d\d: "):
        operations.get_record("../../health")


def test_errors_are_found_by_all_of_their_tags(shop: Shop, candidate: Seat) -> None:
    shop.start("telemetry")

    with pytest.raises(LabError, match=r"query\.tag\.1: .*query\.tag\.2: "):
        Telemetry(candidate).search_errors(tags=["card_range:424242", "none", "neither"])
    assert Telemetry(candidate).search_errors(tags=["a:1", "b:2"])["items"] == []


def test_a_name_is_looked_up_as_dig_would(shop: Shop, candidate: Seat) -> None:
    shop.start("dns")

    found, missing = Names(candidate).lookup_name("fraud-api"), Names(candidate).lookup_name("nobody")

    assert [answer["value"] for answer in found["answers"]] == ["127.0.0.1"]  # type: ignore[union-attr,call-overload,index]
    assert (missing["status"], missing["answers"]) == ("NXDOMAIN", [])


def test_a_change_is_on_record_under_the_candidates_name(shop: Shop, operations: Operations) -> None:
    shop.start("inventory")

    answer = operations.change_settings("inventory", {"stock_take": "stopped"})

    assert answer["settings"]["stock_take"]["value"] == "stopped"  # type: ignore[index,call-overload]
    assert changes(shop) == [("inventory", "ada", "stock_take")]


def test_a_setting_that_there_is_not_is_refused_by_its_name(shop: Shop, operations: Operations) -> None:
    shop.start("inventory")

    with pytest.raises(LabError, match=r"422: body\.nonsense"):
        operations.change_settings("inventory", {"nonsense": 1})


@pytest.mark.parametrize("service", ["gateway", "inventory", "fraud", "dns"])
def test_a_restart_ends_the_process_and_is_on_record(
    shop: Shop, operations: Operations, eventually: Callable[[Callable[[], object]], None], service: str
) -> None:
    started = shop.start(service)

    operations.restart_service(service)

    eventually(lambda: not started.process.is_alive())
    assert changes(shop) == [(service, "ada", "restart")]


def test_a_service_without_a_database_restarts_as_well(
    shop: Shop, operations: Operations, eventually: Callable[[Callable[[], object]], None]
) -> None:
    shop.environment.pop("DATABASE_URL", None)
    fraud = shop.start("fraud")

    operations.restart_service("fraud")

    eventually(lambda: not fraud.process.is_alive())


def test_a_service_that_nobody_watches_over_is_not_ended(shop: Shop, operations: Operations) -> None:
    inventory = shop.start("inventory", ENV="local")

    with pytest.raises(LabError, match="403: nobody would start it again"):
        operations.restart_service("inventory")

    assert inventory.client.get("/health").status_code == 200


def test_the_examiners_service_is_no_part_of_the_shop(operations: Operations) -> None:
    for act in (operations.get_settings, operations.restart_service, operations.rollback):
        with pytest.raises(LabError, match="exam is the examiner's"):
            act("exam")
    assert "exam" not in operations.list_services()["services"]  # type: ignore[operator]


def test_an_incident_is_taken_noted_resolved_and_looked_back_on(shop: Shop, candidate: Seat) -> None:
    opened = shop.start("incident-management").client.post(
        "/api/v1/incidents", json={"title": "Payments fail", "service": "payment", "severity": "critical"}
    )
    incidents, incident_id = Incidents(candidate), opened.json()["id"]

    incidents.acknowledge_incident(incident_id)
    incidents.add_note(incident_id, "12:00 payment: 9 % of requests fail.")
    incidents.change_incident(incident_id, status="resolved")
    incidents.write_postmortem(incident_id, "A name was gone.", action_items=["Alert on NXDOMAIN."])

    found = incidents.get_incident(incident_id)
    shown = [found[name] for name in ("status", "assigned_to", "acknowledged_by", "has_postmortem")]
    assert shown == ["resolved", "ada", "ada", True]
    assert [note["author"] for note in found["notes"]] == ["ada"]  # type: ignore[union-attr,call-overload,index]


def test_incidents_that_are_not_on_the_first_page_are_on_the_next(shop: Shop, candidate: Seat) -> None:
    platform = shop.start("incident-management").client
    for title in ("Payments fail", "Profiles are slow"):
        platform.post("/api/v1/incidents", json={"title": title, "service": "till", "severity": "low"})

    [older] = call(candidate, "list_incidents", limit=1, offset=1)["items"]

    assert older["title"] == "Payments fail"


def test_without_a_run_the_exams_tools_say_what_is_missing(candidate: Seat) -> None:
    assert "set FIREDRILL_RUN and FIREDRILL_TOKEN" in call(candidate, "brief")


def test_an_argument_that_is_not_allowed_is_said_to_be(candidate: Seat) -> None:
    assert "Input should be 'INFO'" in call(candidate, "search_logs", level="loud")


@pytest.fixture
def mcp_over_http(shop: Shop, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """`lab mcp --http` for the candidate of a run that has not begun: its URL and the candidate's token."""
    shop.start("exam", **TOKEN)
    sitting = Exam(shop["exam"].url).create("quiet-night")
    port = free_port()
    variables = {
        **os.environ,
        "LAB_DIR": str(tmp_path),
        "EXAM_URL": shop["exam"].url,
        "FIREDRILL_RUN": sitting.id,
        "FIREDRILL_TOKEN": sitting.token,
    }
    command = [sys.executable, "-P", "-m", "lab", "mcp", "--http", "--port", str(port)]
    with subprocess.Popen(command, env=variables) as process:
        yield f"http://127.0.0.1:{port}/mcp", sitting.token
        psutil.Process(process.pid).terminate()


def test_over_http_the_candidates_token_opens_the_tools(
    mcp_over_http: tuple[str, str], eventually: Callable[..., None]
) -> None:
    url, token = mcp_over_http

    def refuses_strangers() -> bool:
        try:
            return httpx.post(url, json={}, trust_env=False).status_code == 401
        except httpx.ConnectError:
            return False

    async def brief() -> Any:
        headers = {"authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return (await client.call_tool("brief", {})).structured_content

    eventually(refuses_strangers, within_s=90.0)
    assert asyncio.run(brief())["state"] == "created"
