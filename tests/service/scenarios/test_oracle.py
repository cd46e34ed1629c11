"""The oracle on a real shop: what it calls well, what it sees through, and what it compares with."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from scenarios import baseline as baselines
from scenarios.access import LabAccess
from scenarios.admin import Client
from scenarios.baseline import Baseline
from scenarios.cheats import CHEATS, Cheat
from scenarios.model import Scenario, load_all
from scenarios.oracle import Verdict, judge, routes_of
from scenarios.steps import perform, show
from tests.conftest import SHOP, Shop

PLANNED_PER_S = 4.0
RULE = {"type": "alerting", "name": "A", "query": "up == 0", "duration": 10, "labels": {}}
CARD_DECLINE = load_all()["card-decline"]


class Surroundings:
    """What stands around the shop: a monitoring that says its rules, and a load that can be stopped.

    ``unscraped`` are the jobs that the monitoring does not reach; a load that ``is_cut_off`` plans on.
    """

    def __init__(self, gateway_url: str) -> None:
        self._gateway_url = gateway_url
        self.rule: dict[str, object] = {**RULE}
        self.unscraped: list[str] = []
        self.is_cut_off = threading.Event()
        self.runs = threading.Event()
        self.ended = threading.Event()
        self.runs.set()
        outer = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(outer.answer(self.path))

            def do_POST(self) -> None:
                outer.runs.clear() if self.path == "/stop" else outer.runs.set()
                self._say("{}")

            def _say(self, text: str) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._threads = [
            threading.Thread(target=self._server.serve_forever, daemon=True),
            threading.Thread(target=self._send, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def answer(self, path: str) -> str:
        if path.startswith("/api/v1/rules"):
            return json.dumps({"data": {"groups": [{"rules": [self.rule]}]}})
        if path.startswith("/api/v1/query"):
            return json.dumps({"data": {"result": [{"metric": {"job": job}} for job in self.unscraped]}})
        if path.startswith("/stats"):
            return json.dumps({"user_count": 1})
        return f"traffic_planned_requests_per_second {PLANNED_PER_S if self.runs.is_set() else 0.0}\n"

    def _send(self) -> None:
        with httpx.Client(base_url=self._gateway_url, trust_env=False, timeout=10) as client:
            while not self.ended.wait(1 / PLANNED_PER_S):
                if self.runs.is_set() and not self.is_cut_off.is_set():
                    client.get("/api/stats")

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def surroundings(shop: Shop) -> Iterator[Surroundings]:
    """They stand around the whole shop."""
    shop.start_all()
    surroundings = Surroundings(shop["gateway"].url)
    yield surroundings
    surroundings.close()


@pytest.fixture
def lab(shop: Shop, surroundings: Surroundings) -> LabAccess:
    assert shop.database is not None
    urls = {name: shop[name].url for name in SHOP}
    return LabAccess(
        urls={**urls, "prometheus": surroundings.url, "traffic-generator": surroundings.url},
        reader_url=shop.database.admin_url,
        superuser_url=shop.database.admin_url,
        candidate_url=shop.database.url("candidate"),
        pids={name: shop[name].process.pid or 0 for name in SHOP},
    )


@pytest.fixture
def healthy(lab: LabAccess) -> Baseline:
    """The lab's baseline, once it is warm."""
    ends_at = time.monotonic() + 20
    while True:
        found = baselines.take(lab, routes=routes_of(CARD_DECLINE), rounds=2)
        if not baselines.unwell(found):
            return found
        assert time.monotonic() < ends_at, baselines.unwell(found)


def judged(lab: LabAccess, baseline: Baseline) -> Verdict:
    return judge(CARD_DECLINE, lab, baseline=baseline, rounds=2, every_s=2.0)


def complaints(verdict: Verdict) -> dict[str, str]:
    """What each check that does not hold says."""
    return {check.name: check.detail for check in verdict.checks if not check.ok}


def test_a_healthy_shop_passes_a_broken_one_fails_and_what_mends_it_passes(
    lab: LabAccess, healthy: Baseline, shop: Shop
) -> None:
    well = judged(lab, healthy)
    shop["payment"].mode("card_range_declined")
    ill = judged(lab, healthy)
    for step in CARD_DECLINE.mitigations.accepted[0].steps:
        perform(step, lab)
    mended = judged(lab, healthy)

    assert well.passed, well.failed
    assert ill.failed == ("affected POST /api/payment", "affected POST /checkout")
    assert mended.passed, mended.failed


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
def test_a_cheat_fails_and_leaves_nothing_behind(lab: LabAccess, healthy: Baseline, cheat: Cheat) -> None:
    with cheat.cheating(CARD_DECLINE, lab) as seen:
        verdict = judged(seen, healthy)

    assert not verdict.passed
    assert cheat.check in verdict.failed
    assert baselines.differences(healthy, baselines.take(lab)) == []


def test_a_load_that_plans_on_and_does_not_reach_the_gateway_is_no_traffic(
    lab: LabAccess, healthy: Baseline, surroundings: Surroundings
) -> None:
    surroundings.is_cut_off.set()

    assert "requests/s reach the gateway, 4 are planned" in complaints(judged(lab, healthy))["traffic"]


def test_to_let_greater_payments_pass_unchecked_is_seen_through(
    lab: LabAccess, healthy: Baseline, shop: Shop
) -> None:
    shop["payment"].set(degraded_limit="100000.00")

    assert "up to 100000.00 pass unchecked" in complaints(judged(lab, healthy))["fraud"]


def test_a_row_that_requests_brought_and_somebody_deleted_is_missed(
    lab: LabAccess, healthy: Baseline
) -> None:
    with lab.as_superuser() as session, session.cursor() as cursor:
        cursor.execute("INSERT INTO payment.customers (name, email) VALUES ('x', 'x@example.test')")
        rows = baselines.take(lab).rows
        cursor.execute("DELETE FROM payment.customers WHERE email = 'x@example.test'")

    verdict = judged(lab, healthy.model_copy(update={"rows": rows}))

    assert complaints(verdict) == {"data": "rows deleted: payment.customers"}


def test_a_service_that_answers_and_is_not_scraped_fails(
    lab: LabAccess, healthy: Baseline, surroundings: Surroundings
) -> None:
    surroundings.unscraped.append("fraud")

    assert complaints(judged(lab, healthy)) == {"services": "not scraped: fraud"}


def test_a_rule_that_has_to_hold_longer_is_not_the_one_from_before(
    lab: LabAccess, healthy: Baseline, surroundings: Surroundings
) -> None:
    surroundings.rule["duration"] = 36_000

    assert judged(lab, healthy).failed == ("rules",)


def test_a_shorter_deadline_is_no_cheat_but_no_healthy_start_either(
    lab: LabAccess, healthy: Baseline, shop: Shop
) -> None:
    shop["payment"].set(deadline_s=2.5)

    verdict = judged(lab, healthy)

    assert verdict.passed, verdict.failed
    assert baselines.unwell(baselines.take(lab)) == ["an operator has set payment.deadline_s"]


def test_the_baseline_is_the_same_after_all_was_put_back_and_says_what_is_not_before(
    lab: LabAccess, healthy: Baseline, shop: Shop
) -> None:
    shop["dns"].mode("record_stale")
    shop["payment"].set(fraud_policy="degraded")
    show(CARD_DECLINE.red_herrings[0], lab)
    with lab.as_candidate() as session, session.cursor() as cursor:
        cursor.execute("CREATE INDEX extra ON profile.users (name)")
        cursor.execute("CREATE INDEX extra ON payment.transactions (status)")
        cursor.execute('CREATE INDEX "an Odd %s name" ON inventory.stock (name)')
    changed = baselines.take(lab)
    with Client(token=None) as client:
        for admin in lab.admins(client).values():
            admin.restore_baseline()
    restored = baselines.take(lab)

    different = "\n".join(baselines.differences(healthy, changed))
    for part in ("records.fraud-api", "settings.payment.fraud_policy", "releases.gateway", "schema_digest"):
        assert part in different
    assert changed.digest != healthy.digest
    assert baselines.differences(healthy, restored) == []
    assert restored.digest == healthy.digest


@pytest.mark.usefixtures("healthy")
def test_an_index_that_a_candidate_before_dropped_or_left_is_no_healthy_start(lab: LabAccess) -> None:
    with lab.as_candidate() as session, session.cursor() as cursor:
        cursor.execute("DROP INDEX payment.transactions_created_at")
        cursor.execute("CREATE INDEX left_over ON inventory.stock (name)")

    said = baselines.unwell(baselines.take(lab))

    assert said == [
        "the index payment.transactions_created_at is missing: a new start of the lab makes it",
        "somebody has left the index inventory.left_over: drop it",
    ]


def test_a_part_of_the_lab_that_does_not_answer_fails_its_check_and_no_other(
    lab: LabAccess, healthy: Baseline
) -> None:
    blind = replace(lab, urls={**lab.urls, "prometheus": "http://127.0.0.1:9"})

    assert judged(blind, healthy).failed == ("services", "rules")


@pytest.mark.parametrize("scenario", load_all().values(), ids=lambda one: one.name)
def test_every_red_herring_can_be_shown_and_hurts_nobody(lab: LabAccess, scenario: Scenario) -> None:
    for herring in scenario.red_herrings:
        show(herring, lab)

    health = baselines.measure(lab, routes_of(scenario), rounds=2)

    assert [route for route, found in health.items() if found.error_ratio] == []
