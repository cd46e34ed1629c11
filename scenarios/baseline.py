"""The healthy lab on record: its settings, its schema, its data, and how fast its routes answer.

``take`` reads it from a live lab. Two baselines of which ``differences`` finds none are the same lab: what
traffic changes (balances, transactions, stock) counts by what it conserves.
"""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from scenarios.access import ADMINISTERED, LabAccess, Refused
from scenarios.probes import Answer, Probes, p95_ms
from services.common import indexes
from services.common.catalog import PROMETHEUS, TRAFFIC_GENERATOR

ROUNDS = 4
ROUND_EVERY_S = 0.5
RECORDS = ("fraud-api", "ledger", "ns1")
_BUILD_INFO = re.compile(r'^build_info\{[^}]*release="([^"]*)"[^}]*\} 1', re.MULTILINE)

SCHEMA_SQL = """
    SELECT md5(string_agg(line, E'\\n' ORDER BY line COLLATE "C")) FROM (
        SELECT format('column %s.%s.%s %s %s %s', table_schema, table_name, column_name, data_type,
            is_nullable, column_default) FROM information_schema.columns
        WHERE table_schema IN ('profile', 'payment', 'inventory', 'ops', 'incident', 'oncall', 'notification')
        UNION ALL
        SELECT indexdef FROM pg_indexes
        WHERE schemaname IN ('profile', 'payment', 'inventory', 'ops', 'incident', 'oncall', 'notification')
        UNION ALL
        SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace IN (
            'profile'::regnamespace, 'payment'::regnamespace, 'inventory'::regnamespace, 'ops'::regnamespace)
        UNION ALL
        SELECT format('trigger %s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
        WHERE NOT tgisinternal
        UNION ALL
        SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'profile'::regnamespace
    ) AS described (line)
"""
REFERENCE_SQL: Mapping[str, str] = {
    "profile.users": "SELECT md5(string_agg(u::text, ',' ORDER BY u.id)) FROM profile.users AS u",
    "payment.customers of the seed": (
        "SELECT md5(string_agg(concat_ws('|', id, name, email, trusted), ',' ORDER BY id))"
        " FROM payment.customers WHERE id <= 6"
    ),
    "payment.payment_methods": (
        "SELECT md5(string_agg(concat_ws('|', id, customer_id, kind, label, card_range), ',' ORDER BY id))"
        " FROM payment.payment_methods"
    ),
    "payment.acquirers": "SELECT md5(string_agg(a::text, ',' ORDER BY a.name)) FROM payment.acquirers AS a",
    "inventory.stock": (
        "SELECT md5(string_agg(concat_ws('|', sku, name), ',' ORDER BY sku)) FROM inventory.stock"
    ),
}
"""Rows that no request changes."""
MONEY_SQL = """
    SELECT (SELECT sum(balance) FROM payment.account_balances)
    + (SELECT sum(CASE kind WHEN 'payment' THEN amount ELSE -amount END)
       FROM payment.transactions WHERE status = 'captured')
"""
STOCK_SQL = """
    SELECT (SELECT sum(available) FROM inventory.stock) + coalesce((
        SELECT sum((item ->> 'quantity')::int)
        FROM inventory.reservations, jsonb_array_elements(items) AS item
        WHERE status = 'reserved'), 0)
"""
CONSERVED_SQL: Mapping[str, str] = {"money": MONEY_SQL, "stock": STOCK_SQL}
"""Sums that requests leave as they are."""
GROWING_SQL: Mapping[str, str] = {
    "payment.customers": "SELECT count(*) FROM payment.customers",
    "payment.transactions": "SELECT count(*) FROM payment.transactions",
    "inventory.reservations": "SELECT count(*) FROM inventory.reservations",
    "payment.webhook_events": "SELECT count(*) FROM payment.webhook_events",
}
"""Rows that only become more."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Route(_Part):
    """How a route answers: share of failed requests, 95th percentile in milliseconds."""

    error_ratio: float
    p95_ms: float


class Baseline(_Part):
    """A lab as it was at one moment."""

    settings: dict[str, dict[str, JsonValue]]
    """Operator settings in force, by service."""
    set_by_operators: tuple[str, ...]
    """``service.name`` of each that a person has set."""
    releases: dict[str, str]
    records: dict[str, tuple[str, ...]]
    """Addresses of the zone, by name."""
    rules: str
    """Digest of the alerting rules as they are loaded."""
    planned_per_s: float
    """The load's plan."""
    schema_digest: str
    indexes_missing: tuple[str, ...] = ()
    indexes_added: tuple[str, ...] = ()
    """Of the shop's, against what the schema's own files say."""
    reference: dict[str, str]
    conserved: dict[str, str]
    rows: dict[str, int]
    routes: dict[str, Route] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of settings, schema and data; a lab that is back at its baseline has the same again."""
        facts = self.model_dump(mode="json", exclude={"routes", "rows", "planned_per_s"})
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def take(
    lab: LabAccess,
    *,
    routes: Sequence[str] = (),
    rounds: int = ROUNDS,
    sleep: Callable[[float], None] = time.sleep,
) -> Baseline:
    """The lab as it is now; ``routes`` are asked for ``rounds`` times. Raises ``AccessError``."""
    views = {name: lab.get(name, "/ops/settings").json()["settings"] for name in ADMINISTERED}
    with lab.reading() as session, session.cursor() as cursor:

        def ask(query: str) -> Any:
            cursor.execute(query)
            row = cursor.fetchone()
            return None if row is None else row[0]

        facts = {
            "schema_digest": str(ask(SCHEMA_SQL)),
            **_indexes(ask(indexes.INDEXES_SQL)),
            "reference": {name: str(ask(query)) for name, query in REFERENCE_SQL.items()},
            "conserved": {name: str(ask(query)) for name, query in CONSERVED_SQL.items()},
            "rows": {name: int(ask(query)) for name, query in GROWING_SQL.items()},
        }
    return Baseline.model_validate(
        {
            "settings": {
                service: {name: one["value"] for name, one in view.items()} for service, view in views.items()
            },
            "set_by_operators": sorted(
                f"{service}.{name}"
                for service, view in views.items()
                for name, one in view.items()
                if one["set_by_operator"]
            ),
            "releases": {name: _release(lab, name) for name in ADMINISTERED},
            "records": {name: _addresses(lab, name) for name in RECORDS},
            "rules": rules_digest(lab),
            "planned_per_s": planned_per_s(lab),
            **facts,
            "routes": measure(lab, routes, rounds=rounds, sleep=sleep) if routes else {},
        }
    )


def differences(before: Baseline, after: Baseline) -> list[str]:
    """What is not as it was, a line each, sorted; none when the digests are the same."""
    was, now = (_flat(one.model_dump(mode="json", exclude={"routes", "rows"})) for one in (before, after))
    return [
        f"{name}: was {was.get(name)}, is {now.get(name)}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]


def unwell(baseline: Baseline) -> list[str]:
    """What keeps a lab from being a healthy start, a line each."""
    lines = [f"an operator has set {name}" for name in baseline.set_by_operators]
    lines += [
        f"{route} fails or is not answered"
        for route, health in baseline.routes.items()
        if health.error_ratio > 0
    ]
    lines += [
        f"the index {name} is missing: a new start of the lab makes it" for name in baseline.indexes_missing
    ]
    lines += [f"somebody has left the index {name}: drop it" for name in baseline.indexes_added]
    if baseline.planned_per_s <= 0:
        lines.append("the load does not run")
    return lines


def _indexes(found: Sequence[str]) -> dict[str, list[str]]:
    given = indexes.given()
    return {"indexes_missing": sorted(given - {*found}), "indexes_added": sorted({*found} - given)}


def measure(
    lab: LabAccess,
    routes: Sequence[str],
    *,
    rounds: int = ROUNDS,
    every_s: float = ROUND_EVERY_S,
    sleep: Callable[[float], None] = time.sleep,
    probes: Probes | None = None,
) -> dict[str, Route]:
    """Ask for the routes so many times, ``every_s`` apart; how each one was."""
    asked = probes or Probes(lab.urls["gateway"])
    answers: list[dict[str, Answer]] = []
    for number in range(rounds):
        if number:
            sleep(every_s)
        answers.append(asyncio.run(asked.ask_all(routes)))
    return {route: _summed_up([one[route] for one in answers]) for route in routes}


def rules_digest(lab: LabAccess) -> str:
    """Digest of the alerting rules that the monitoring has loaded. Raises ``AccessError``."""
    groups = lab.get(PROMETHEUS.name, "/api/v1/rules?type=alert").json()["data"]["groups"]
    rules = sorted(
        [rule["name"], rule["query"], rule.get("duration"), sorted(rule.get("labels", {}).items())]
        for group in groups
        for rule in group["rules"]
        if rule.get("type") == "alerting"
    )
    return hashlib.sha256(json.dumps(rules).encode()).hexdigest()


def planned_per_s(lab: LabAccess) -> float:
    """The rate at which the load sends, by its own word. Raises ``AccessError``."""
    found = re.search(
        r"^traffic_planned_requests_per_second (\S+)$",
        lab.get(TRAFFIC_GENERATOR, "/metrics").text,
        re.MULTILINE,
    )
    return float(found.group(1)) if found else 0.0


def _release(lab: LabAccess, name: str) -> str:
    found = _BUILD_INFO.search(lab.get(name, "/metrics").text)
    return found.group(1) if found else ""


def _addresses(lab: LabAccess, name: str) -> list[str]:
    try:
        return sorted(lab.get("dns", f"/ops/records/{name}").json()["addresses"])
    except Refused as error:
        if error.status == 404:
            return []
        raise


def _summed_up(answers: Sequence[Answer]) -> Route:
    return Route(
        error_ratio=sum(not one.ok for one in answers) / len(answers),
        p95_ms=p95_ms(one.latency_ms for one in answers),
    )


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat
