"""What a candidate can fetch from a blind lab, and whether it names what was broken."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from scenarios.model import MODES, load_all
from services.common.catalog import SERVICES
from tests.lab import Lab

NAMES = {name for modes in MODES.values() for name in modes} | set(load_all())
SPELLINGS = sorted(
    {*NAMES, *(name.replace("-", "_") for name in NAMES), *(name.replace("_", "-") for name in NAMES)}
)
TITLES = [scenario.title for scenario in load_all().values()]
TELLTALE = re.compile(
    rf"\b({'|'.join(SPELLINGS)})\b|{'|'.join(map(re.escape, TITLES))}"
    r"|failure.?modes?|\bfaults?\b|\bfaulty\b|inject|chaos|scenario|ground.?truth|\bblind\b|\bfault\.|\bphase_id\b",
    re.IGNORECASE,
)
EXAMPLES = {
    "user_id": "1",
    "customer_id": "1",
    "id": "1",
    "sku": "mug-blue",
    "name": "fraud-api",
    "team": "payment",
}
SYSTEM_SCHEMAS = "('pg_catalog', 'information_schema')"
READABLE = text(
    "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables"
    f" WHERE table_schema NOT IN {SYSTEM_SCHEMAS}"
    " AND has_table_privilege(quote_ident(table_schema) || '.' || quote_ident(table_name), 'SELECT')"
)


def leaks(seen: Mapping[str, str]) -> list[str]:
    """Each place that names a scenario or a mode or speaks of faults, with the words around it."""
    return sorted(
        f"{place}: …{found.string[max(0, found.start() - 60) : found.end() + 60]}…"
        for place, shown in seen.items()
        for found in TELLTALE.finditer(shown)
    )


def everything(lab: Lab, folder: Path) -> Iterator[tuple[str, str]]:
    """Where a candidate can look, and what is to be seen there, headers included.

    There must be an incident, an alert and a page.
    """
    with httpx.Client(trust_env=False, timeout=20) as client:
        ids = _known_ids(lab, client)
        for spec in SERVICES:
            for path in _paths(client, lab.url(spec.name), ids):
                yield _fetched(client, "GET", lab.url(spec.name) + path)
            yield _fetched(client, "POST", lab.url(spec.name) + "/admin/baseline")
        for path in (
            "/",
            "/shop",
            "/on-call",
            "/lab",
            "/traces",
            "/logs",
            "/errors",
            f"/incidents/{ids['incident_id']}",
        ):
            yield _fetched(client, "GET", lab.url("web-ui") + path)
        for path in _prometheus_paths():
            yield _fetched(client, "GET", lab.url_of_prometheus + path)
        for path in ("/", "/stats/requests", "/logs", "/tasks", "/exceptions"):
            yield _fetched(client, "GET", f"http://127.0.0.1:{lab.ports['TRAFFIC_GENERATOR_PORT']}{path}")
        yield _fetched(client, "GET", lab.url("gateway") + "/api/users/profile/2")
        order = {"customer_id": 1, "amount": "2.00", "items": [{"sku": "mug-blue", "quantity": 1}]}
        yield _fetched(client, "POST", lab.url("gateway") + "/api/payment", json=order)
        yield _fetched(client, "POST", lab.url("gateway") + "/checkout", json=order)
    yield from _database(lab)
    for log in (folder / "lab" / "logs").glob("*.log"):
        # The schedule's own log and the lab's are the examiner's.
        if log.stem not in ("schedule", "lab", "database"):
            yield f"log {log.stem}", log.read_text()


def _fetched(client: httpx.Client, method: str, url: str, **options: Any) -> tuple[str, str]:
    answer = client.request(method, url, **options)
    return f"{method} {url}", f"{answer.status_code} {answer.headers} {answer.text}"


def _paths(client: httpx.Client, url: str, ids: dict[str, str]) -> list[str]:
    """Every GET route of a service, with something in each hole, and what no OpenAPI lists."""
    openapi = client.get(f"{url}/openapi.json").json()
    listed = [
        re.sub(r"\{(\w+)[^}]*\}", lambda hole: {**EXAMPLES, **ids}.get(hole[1], "1"), path)
        + _query(methods["get"])
        for path, methods in openapi["paths"].items()
        if "get" in methods
    ]
    return [*listed, "/openapi.json", "/docs", "/metrics", "/health", "/nowhere", "/admin/failure-mode"]


def _query(operation: dict[str, Any]) -> str:
    known = {"team": "payment", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "limit": "200"}
    wanted = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
    return "?" + "&".join(f"{name}={known[name]}" for name in wanted if name in known)


def _known_ids(lab: Lab, client: httpx.Client) -> dict[str, str]:
    """An incident, an alert, a delivery and a schedule that there are."""
    incident = client.get(lab.url("incident-management") + "/api/v1/incidents").json()["items"][0]
    alert = client.get(lab.url("alert-ingestion") + "/api/v1/alerts").json()["items"][0]
    page = client.get(lab.url("notification-service") + "/api/v1/notifications").json()["items"][0]
    schedule = client.get(lab.url("oncall-service") + "/api/v1/schedules").json()["items"][0]
    return {
        "incident_id": incident["id"],
        "alert_id": alert["id"],
        "delivery_id": page["delivery_id"],
        "schedule_id": schedule["id"],
    }


def _prometheus_paths() -> list[str]:
    every = "match[]=%7B__name__%3D~%22.%2B%22%7D"
    return [
        "/api/v1/rules",
        "/api/v1/alerts",
        "/api/v1/targets",
        "/api/v1/labels",
        "/api/v1/label/__name__/values",
        f"/api/v1/series?{every}",
        "/api/v1/query?query=http_requests_total",
        "/api/v1/query?query=dependency_requests_total",
        "/metrics",
    ]


def _database(lab: Lab) -> Iterator[tuple[str, str]]:
    """Every table that the candidate's role may read, and every session and statement that it may see."""
    with lab.engine("candidate").connect() as db:
        tables = db.scalars(READABLE).all()
        for table in [*tables, "pg_stat_activity", "pg_roles", "pg_settings", "pg_stat_database"]:
            rows = db.exec_driver_sql(f"SELECT * FROM {table}").mappings().all()
            yield f"table {table}", json.dumps([dict(row) for row in rows], default=str)
