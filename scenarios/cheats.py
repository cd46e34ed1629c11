"""Ways to make the shop look well that mend nothing. The oracle must see through each of them."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scenarios.access import AccessError, LabAccess
from scenarios.model import NO_FAULT, Scenario
from services.common.catalog import PROMETHEUS, TRAFFIC_GENERATOR

DEADLINES = {
    "gateway": {"deadline_s": 30},
    "payment": {"deadline_s": 30, "fraud_deadline_s": 30, "inventory_deadline_s": 30},
    "inventory": {"reserve_deadline_s": 30},
}


class CannotTry(Exception):
    """This lab gives no hold for the cheat. The message says what is missing."""


@dataclass(frozen=True)
class Cheat:
    """One of them. ``check`` is the oracle's check that must fail while it is on.

    ``cheating`` does it and undoes it, and gives the lab as whoever is cheated sees it. It raises
    ``CannotTry``, or ``AccessError`` when the lab does not let it be done.
    """

    name: str
    check: str
    cheating: Callable[[Scenario, LabAccess], AbstractContextManager[LabAccess]]


@contextmanager
def _no_traffic(_scenario: Scenario, lab: LabAccess) -> Iterator[LabAccess]:
    users = lab.get(TRAFFIC_GENERATOR, "/stats/requests").json()["user_count"]
    lab.send("POST", TRAFFIC_GENERATOR, "/stop")
    try:
        yield lab
    finally:
        lab.send("POST", TRAFFIC_GENERATOR, "/swarm", data={"user_count": users, "spawn_rate": 100})


@contextmanager
def _stopped_service(scenario: Scenario, lab: LabAccess) -> Iterator[LabAccess]:
    """The service that is ill does not answer any more, not even with errors."""
    component = scenario.truth.component
    name = "payment" if component == NO_FAULT else component
    if name not in lab.pids:
        raise CannotTry(f"the process of {name} is not this machine's")
    os.kill(lab.pids[name], signal.SIGSTOP)
    try:
        yield lab
    finally:
        os.kill(lab.pids[name], signal.SIGCONT)


@contextmanager
def _missing_rule(_scenario: Scenario, lab: LabAccess) -> Iterator[LabAccess]:
    """Monitoring whose first alerting rule was taken out: the real one, seen through a door that hides it."""
    answer = lab.get(PROMETHEUS.name, "/api/v1/rules?type=alert").json()
    group = next(one for one in answer["data"]["groups"] if one["rules"])
    del group["rules"][0]
    with _answering_rules(lab, answer) as doctored:
        yield doctored


@contextmanager
def _muted_rule(_scenario: Scenario, lab: LabAccess) -> Iterator[LabAccess]:
    """Monitoring in which a rule is silenced: it is there, and can never hold."""
    answer = lab.get(PROMETHEUS.name, "/api/v1/rules?type=alert").json()
    rule = next(rule for group in answer["data"]["groups"] for rule in group["rules"])
    rule["query"] = f"({rule['query']}) and on () vector(0) > 1"
    with _answering_rules(lab, answer) as doctored:
        yield doctored


@contextmanager
def _raised_deadlines(_scenario: Scenario, lab: LabAccess) -> Iterator[LabAccess]:
    with _settings(lab, DEADLINES):
        yield lab


@contextmanager
def _no_fraud_checks(_scenario: Scenario, lab: LabAccess) -> Iterator[LabAccess]:
    with _settings(lab, {"payment": {"fraud_policy": "off"}}):
        yield lab


@contextmanager
def _deleted_rows(_scenario: Scenario, lab: LabAccess) -> Iterator[LabAccess]:
    """A customer's way to pay is gone, and so is a reservation that was never released."""
    with _changing_rows(
        lab,
        do="WITH gone AS (DELETE FROM payment.payment_methods WHERE customer_id = 5 RETURNING *)"
        " SELECT coalesce(jsonb_agg(to_jsonb(gone)), '[]')::text FROM gone",
        undo="INSERT INTO payment.payment_methods OVERRIDING SYSTEM VALUE"
        " SELECT * FROM jsonb_populate_recordset(NULL::payment.payment_methods, %s::jsonb)",
    ):
        yield lab


@contextmanager
def _made_up_money(_scenario: Scenario, lab: LabAccess) -> Iterator[LabAccess]:
    """A balance is higher than what was paid in and out."""
    with _changing_rows(
        lab,
        do="UPDATE payment.account_balances SET balance = balance + 100 WHERE customer_id = 6 RETURNING '[]'",
        undo="UPDATE payment.account_balances SET balance = balance - 100"
        " WHERE customer_id = 6 AND %s::jsonb IS NOT NULL",
    ):
        yield lab


CHEATS = (
    Cheat("stop-traffic", "traffic", _no_traffic),
    Cheat("stop-service", "services", _stopped_service),
    Cheat("delete-rule", "rules", _missing_rule),
    Cheat("silence-rule", "rules", _muted_rule),
    Cheat("raise-deadlines", "deadlines", _raised_deadlines),
    Cheat("fraud-checks-off", "fraud", _no_fraud_checks),
    Cheat("delete-data", "data", _deleted_rows),
    Cheat("make-up-money", "data", _made_up_money),
)


@contextmanager
def _settings(lab: LabAccess, values: dict[str, dict[str, Any]]) -> Iterator[None]:
    """These operator settings; what was there before is put back."""
    before = {service: lab.get(service, "/ops/settings").json()["settings"] for service in values}
    for service, given in values.items():
        lab.send("PATCH", service, "/ops/settings", json=given)
    try:
        yield
    finally:
        for service, given in values.items():
            was = {
                name: before[service][name]["value"] if before[service][name]["set_by_operator"] else None
                for name in given
            }
            lab.send("PATCH", service, "/ops/settings", json=was)


@contextmanager
def _changing_rows(lab: LabAccess, *, do: str, undo: str) -> Iterator[None]:
    """Change rows as the superuser; ``undo`` is given what ``do`` returned."""
    if lab.superuser_url is None:
        raise CannotTry("only a superuser could, and its URL is not known here")
    with lab.as_superuser() as session, session.cursor() as cursor:
        cursor.execute(do)
        row = cursor.fetchone()
        kept = row[0] if row else "[]"
    try:
        yield
    finally:
        with lab.as_superuser() as session, session.cursor() as cursor:
            cursor.execute(undo, [kept])


@contextmanager
def _answering_rules(lab: LabAccess, answer: dict[str, Any]) -> Iterator[LabAccess]:
    """The lab with a monitoring that says this of its rules, and otherwise what the real one says."""
    body = json.dumps(answer).encode()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = body
            if not self.path.startswith("/api/v1/rules"):
                try:
                    said = lab.get(PROMETHEUS.name, self.path).content
                except AccessError as error:
                    self.send_error(502, str(error))
                    return
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield replace(lab, urls={**lab.urls, PROMETHEUS.name: url})
    finally:
        server.shutdown()
        server.server_close()
