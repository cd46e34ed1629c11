"""What every service does through the one app factory."""

import json
import re
import signal
import socket
import time
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import inspect, text

from services.common.catalog import SERVICES
from services.common.ops import metadata as ops_tables
from services.inventory.tables import metadata as inventory_tables
from services.payment.tables import metadata as payment_tables
from services.profile.tables import metadata as profile_tables
from services.telemetry.tables import metadata as telemetry_tables
from tests.conftest import LabDatabase, RunningService, Shop

ALL = [spec.name for spec in SERVICES]
TRACE_ID = re.compile(r"[0-9a-f]{32}")


def log_lines(service: RunningService) -> list[dict[str, object]]:
    """The service's log, a dictionary a line; every line must be JSON."""
    finished = service.log.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in finished.splitlines()]


@pytest.mark.parametrize("name", ALL)
def test_every_service_has_the_common_routes(shop: Shop, name: str) -> None:
    service = shop.start(name)

    assert service.client.get("/health").json() == {"status": "ok", "service": name}
    assert service.client.get("/ops/settings").json()["service"] == name
    assert service.client.get("/admin/failure-mode").json() == {"service": name, "failure_mode": "none"}
    assert service.metric("build_info", service=name) == 1
    assert service.client.get("/docs").status_code == 200
    unknown = service.client.get("/nowhere")
    assert unknown.status_code == 404
    assert unknown.json() == {"detail": "Not Found"}


@pytest.mark.parametrize("name", ALL)
def test_every_answer_has_its_ids_and_cors(shop: Shop, name: str) -> None:
    service = shop.start(name)

    answer = service.client.get(
        "/health", headers={"x-request-id": "mine-1", "origin": "http://127.0.0.1:8080"}
    )
    own = service.client.get("/nowhere")

    assert answer.headers["x-request-id"] == "mine-1"
    assert TRACE_ID.fullmatch(answer.headers["x-trace-id"])
    assert answer.headers["access-control-allow-origin"] == "*"
    assert own.headers["x-request-id"] == own.headers["x-trace-id"]


def test_a_500_has_its_ids_a_metric_and_one_error_in_the_log(shop: Shop) -> None:
    profile = shop.start("profile", INJECT_TIMEOUT_ERRORS="true")

    answer = profile.client.get("/api/users/profile/1", headers={"x-request-id": "mine-2"})

    assert answer.status_code == 500
    assert answer.json() == {"detail": "internal error", "trace_id": answer.headers["x-trace-id"]}
    assert answer.headers["x-request-id"] == "mine-2"
    assert profile.metric("http_requests_total", status="500", route="/api/users/profile/{user_id}") == 1
    errors = [line for line in log_lines(profile) if line["level"] == "error"]
    assert len(errors) == 1
    assert errors[0]["trace_id"] == answer.headers["x-trace-id"]
    assert errors[0]["request_id"] == "mine-2"
    assert errors[0]["service"] == "profile"
    assert any("services/profile/store.py" in str(frame) for frame in errors[0]["frames"])  # type: ignore[union-attr]


def test_a_request_id_that_would_break_a_log_line_is_not_taken(shop: Shop) -> None:
    fraud = shop.start("fraud")

    answer = fraud.client.get("/health", headers={"x-request-id": 'a"} {"event": "forged'})

    assert TRACE_ID.fullmatch(answer.headers["x-request-id"])


def test_a_trace_goes_on_from_the_callers_traceparent(shop: Shop) -> None:
    fraud = shop.start("fraud")
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"

    answer = fraud.client.get("/health", headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"})

    assert answer.headers["x-trace-id"] == trace_id


def test_one_trace_id_runs_through_every_service_of_a_checkout(
    shop: Shop, eventually: Callable[..., None]
) -> None:
    shop.start_all()

    answer = shop["gateway"].client.post("/checkout/success")

    trace_id = answer.headers["x-trace-id"]
    assert answer.status_code == 201

    def request_ids(name: str) -> set[object]:
        lines = [line for line in log_lines(shop[name]) if line.get("trace_id") == trace_id]
        return {line["request_id"] for line in lines}

    # A line is written after the answer is out.
    for name in ("gateway", "payment", "inventory", "fraud"):
        eventually(lambda name=name: request_ids(name) == {trace_id})


def test_metrics_carry_routes_and_not_paths(shop: Shop) -> None:
    fraud = shop.start("fraud")
    for n in range(3):
        fraud.client.get(f"/nowhere/{n}")
        fraud.client.request("PROPFIND", "/health")

    text_format = fraud.client.get("/metrics").text

    assert "/nowhere" not in text_format
    assert fraud.metric("http_requests_total", route="unmatched", status="404") == 3
    assert fraud.metric("http_requests_total", method="OTHER") == 3
    assert fraud.metric("http_request_duration_seconds_count", route="unmatched") == 3


# --- readiness


def test_health_says_503_and_names_the_database_when_it_is_away(
    shop: Shop, lab_database: LabDatabase
) -> None:
    inventory = shop.start("inventory")
    with lab_database.connect("postgres").cursor() as cursor:
        cursor.execute("ALTER ROLE shop NOLOGIN")
        try:
            started = time.monotonic()
            answer = inventory.client.get("/health")
            took = time.monotonic() - started
        finally:
            cursor.execute("ALTER ROLE shop LOGIN")

    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("database: ")
    assert took < 2
    assert inventory.client.get("/health").status_code == 200


def test_health_says_503_within_two_seconds_when_the_database_hangs(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        inventory = shop.launch("inventory", {"DATABASE_URL": f"postgresql://shop:x@127.0.0.1:{port}/x"})
        ends_at = time.monotonic() + 30
        while True:
            started = time.monotonic()
            try:
                answer = inventory.client.get("/health")
                break
            except httpx.TransportError:
                assert time.monotonic() < ends_at
                time.sleep(0.1)
        took = time.monotonic() - started

    assert answer.status_code == 503
    assert answer.json() == {"detail": "database: no answer"}
    assert took < 2.5


def test_a_service_is_healthy_again_after_its_sessions_were_ended(
    shop: Shop, lab_database: LabDatabase
) -> None:
    profile = shop.start("profile")
    profile.client.get("/api/users/profile/1")
    with lab_database.connect("postgres").cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")

    assert profile.client.get("/health").status_code == 200
    assert profile.client.get("/api/users/profile/1").status_code == 200


# --- operator settings


def test_operator_settings_outlive_a_kill(shop: Shop) -> None:
    shop.start("gateway").set(deadline_s=3.5)

    gateway = shop.restart("gateway")

    setting = gateway.client.get("/ops/settings").json()["settings"]["deadline_s"]
    assert (setting["value"], setting["set_by_operator"]) == (3.5, True)


def test_an_operators_setting_stands_above_the_mode_also_after_a_kill(shop: Shop) -> None:
    profile = shop.start("profile")
    profile.mode("combined")
    profile.set(release="7d3a9e1")

    profile = shop.restart("profile")
    profile.mode("combined", resume=True)

    assert profile.client.get("/api/users/profile/1").elapsed.total_seconds() < 1
    assert profile.metric("build_info", release="7d3a9e1") == 1


def test_every_change_of_a_setting_is_audited(shop: Shop, lab_database: LabDatabase) -> None:
    profile = shop.start("profile")
    profile.client.patch("/ops/settings", json={"pool_size": 5}, headers={"x-actor": "ada"})
    profile.client.patch("/ops/settings", json={"pool_size": 6, "cache": False}, headers={"x-actor": "grace"})
    profile.client.patch("/ops/settings", json={"pool_size": None}, headers={"x-actor": "ada"})

    engine = lab_database.engine("candidate")
    with engine.connect() as db:
        rows = db.execute(
            text(
                "SELECT actor, name, old_value, new_value FROM ops.setting_changes"
                " WHERE service = 'profile' ORDER BY id"
            )
        ).all()

    assert [tuple(row) for row in rows] == [
        ("ada", "pool_size", None, 5),
        ("grace", "cache", None, False),
        ("grace", "pool_size", 5, 6),
        ("ada", "pool_size", 6, None),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"pool_size": 0},
        {"pool_size": "many"},
        {"pool_size": "5"},
        {"pool_size": True},
        {"cache": 1},
        {"cache": "off"},
        {"no_such_setting": 1},
        {"release": "fffffff"},
        {"pool_size": 5, "query_timeout_ms": -1},
        [],
        "x",
    ],
)
def test_a_setting_that_is_not_allowed_changes_nothing(shop: Shop, change: object) -> None:
    profile = shop.start("profile")
    before = profile.client.get("/ops/settings").json()

    answer = profile.client.patch("/ops/settings", json=change)

    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert profile.client.get("/ops/settings").json() == before


def test_a_setting_that_cannot_be_recorded_is_not_changed(shop: Shop, lab_database: LabDatabase) -> None:
    profile = shop.start("profile")
    with lab_database.connect("postgres").cursor() as cursor:
        cursor.execute("ALTER TABLE ops.setting_changes RENAME TO elsewhere")
        answer = profile.set(pool_size=5)
        cursor.execute("ALTER TABLE ops.elsewhere RENAME TO setting_changes")

    assert answer.status_code == 503
    assert profile.metric("db_pool_size") == 20


def test_a_setting_reaches_every_replica(shop: Shop, eventually: Callable[..., None]) -> None:
    first = shop.start("profile")
    second = shop.start_replica("profile")

    first.set(pool_size=9)

    eventually(lambda: second.metric("db_pool_size") == 9)


# --- failure modes


@pytest.mark.parametrize("name", ALL)
def test_modes_are_switched_live_only_in_the_demo(shop: Shop, name: str) -> None:
    service = shop.start(name, ENV="local")

    assert service.mode("none").status_code == 403
    assert service.client.get("/admin/failure-mode").status_code == 403
    assert service.client.post("/admin/baseline").status_code == 403


def test_an_unknown_mode_is_refused_with_the_known_ones(shop: Shop) -> None:
    answer = shop.start("profile").mode("on_fire")

    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "unknown failure mode 'on_fire'; known: cache_off, combined, inject_timeout_errors, none,"
        " pool_saturation, slow_query"
    )


@pytest.mark.parametrize("offered", [None, "Bearer wrong", "secret-1", "Basic secret-1"])
def test_the_admin_token_is_asked_for_once_it_is_set(shop: Shop, offered: str | None) -> None:
    profile = shop.start("profile", LAB_ADMIN_TOKEN="secret-1")
    headers = {"authorization": offered} if offered else {}

    refused = profile.client.post("/admin/failure-mode/combined", headers=headers)
    accepted = profile.client.get("/admin/failure-mode", headers={"authorization": "Bearer secret-1"})

    assert refused.status_code == 403
    assert accepted.json()["failure_mode"] == "none"
    assert "secret-1" not in profile.log.read_text()


def test_a_blind_lab_does_not_name_the_fault(shop: Shop) -> None:
    profile = shop.start("profile", LAB_BLIND="true", LAB_ADMIN_TOKEN="t", PROFILE_FAILURE_MODE="combined")

    answer = profile.client.get("/api/users/profile/1")
    seen = [
        str(answer.headers),
        answer.text,
        profile.client.get("/ops/settings").text,
        profile.client.get("/metrics").text,
        profile.client.get("/health").text,
        profile.log.read_text(),
    ]

    assert answer.status_code == 200
    assert not [
        word for word in ("combined", "failure", "incident_b", "blind") if word in "".join(seen).lower()
    ]


# --- shutdown


@pytest.mark.parametrize("name", ALL)
def test_a_service_ends_on_sigterm_without_an_error(shop: Shop, name: str) -> None:
    service = shop.start(name)
    service.client.get("/health")

    service.process.terminate()
    service.process.join(5)

    assert service.process.exitcode in (0, -signal.SIGTERM)
    assert not [line for line in log_lines(service) if line["level"] == "error"]


# --- the tables in code and in SQL


@pytest.mark.parametrize(
    "metadata",
    [ops_tables, profile_tables, payment_tables, inventory_tables, telemetry_tables],
    ids=lambda m: m.schema,
)
def test_the_tables_in_code_are_those_of_the_database(lab_database: LabDatabase, metadata) -> None:  # type: ignore[no-untyped-def]
    engine = lab_database.engine("shop")
    inspector = inspect(engine)

    assert set(inspector.get_table_names(metadata.schema)) == {
        table.name for table in metadata.tables.values()
    }
    for table in metadata.tables.values():
        columns = {c["name"]: c["nullable"] for c in inspector.get_columns(table.name, metadata.schema)}
        assert columns == {c.name: c.nullable for c in table.columns}, table.name


def test_a_service_that_comes_back_does_not_undo_what_a_person_mended(shop: Shop) -> None:
    dns = shop.start("dns", DNS_FAILURE_MODE="record_missing")
    assert dns.client.get("/ops/records/fraud-api").status_code == 404
    dns.client.put("/ops/records/fraud-api", json={"address": "127.0.0.1"})

    dns = shop.restart("dns", LAB_RESUMES="true")

    assert dns.client.get("/admin/failure-mode").json()["failure_mode"] == "record_missing"
    assert dns.client.get("/ops/records/fraud-api").status_code == 200


def test_a_tidy_restart_does_not_mend_the_fault(shop: Shop) -> None:
    dns = shop.start("dns")
    dns.mode("record_missing")
    dns.process.terminate()
    dns.process.join(5)

    dns = shop.start("dns")
    dns.mode("record_missing", resume=True)

    assert dns.client.get("/ops/records/fraud-api").status_code == 404
