"""``record_missing``: the fraud check cannot be found. The symptom in figures, and all that mends it."""

import importlib.util
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.zone
import httpx
import pytest

from services.dns.settings import SHIPPED_ZONE
from tests.books import Books
from tests.conftest import RunningService, Shop

DECK = Path(__file__).parents[2] / "traffic-generator" / "deck.py"
SIMPLE = {"customer_id": 1, "amount": "18.50"}
Eventually = Callable[..., None]


@pytest.fixture
def payment(shop: Shop) -> RunningService:
    """The payment service with its dependencies, the record gone."""
    service = shop.start("dns", "fraud", "inventory", "payment")
    assert shop["dns"].mode("record_missing").status_code == 200
    return service


@pytest.fixture(scope="module")
def deck() -> ModuleType:
    """The traffic generator's deck; its folder is no package."""
    spec = importlib.util.spec_from_file_location("deck_under_fault", DECK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def pay(payment: RunningService, amount: str = "18.50", **more: Any) -> httpx.Response:
    return payment.client.post("/api/payment", json={**SIMPLE, "amount": amount, **more})


def rcode(shop: Shop) -> dns.rcode.Rcode:
    query = dns.message.make_query("fraud-api.internal.corp", "A")
    return dns.query.udp(query, "127.0.0.1", port=shop.dns_port, timeout=3).rcode()


def send_full_deck(deck: ModuleType, gateway: RunningService) -> dict[str, Counter[int]]:
    """The statuses of one full deck by route, refunds above 1,000 as a route of their own."""

    def send(request: Any) -> tuple[str, int]:
        headers = {"Idempotency-Key": str(uuid.uuid4())} if request.once else {}
        answer = gateway.client.request(request.method, request.path, json=request.body, headers=headers)
        is_big = request.route == "/api/refund" and float(request.body["amount"]) > 1000
        return f"{request.method} {request.route}{' above 1000' if is_big else ''}", answer.status_code

    requests = [r for index in range(deck.HUNDREDS_PER_DECK) for r in deck.hundred(deck.DEFAULT_SEED, index)]
    statuses: dict[str, Counter[int]] = defaultdict(Counter)
    with ThreadPoolExecutor(6) as pool:
        for route, status in pool.map(send, requests):
            statuses[route][status] += 1
    return statuses


def failed(statuses: Counter[int]) -> int:
    return sum(count for status, count in statuses.items() if status >= 500)


def test_a_full_deck_fails_for_92_percent_of_payments_88_percent_of_big_refunds_and_nothing_else(
    shop: Shop, books: Books, deck: ModuleType, eventually: Eventually
) -> None:
    shop.start_all()
    shop["dns"].mode("record_missing")

    statuses = send_full_deck(deck, shop["gateway"])

    payments, big_refunds = statuses.pop("POST /api/payment"), statuses.pop("POST /api/refund above 1000")
    assert failed(payments) / payments.total() == 0.92
    assert failed(big_refunds) / big_refunds.total() == 0.88
    assert {status for status in (payments + big_refunds) if status >= 500} <= {503, 504}
    assert {route: failed(counts) for route, counts in statuses.items() if failed(counts)} == {}
    assert payments.total() + big_refunds.total() + sum(c.total() for c in statuses.values()) == 500
    eventually(lambda: books.open_releases() == 0 and books.pending() == 0)


def test_a_full_deck_fails_nowhere_in_health(
    shop: Shop, books: Books, deck: ModuleType, eventually: Eventually
) -> None:
    shop.start_all()

    statuses = send_full_deck(deck, shop["gateway"])

    assert {route: failed(counts) for route, counts in statuses.items() if failed(counts)} == {}
    assert statuses["POST /api/payment"] == {201: 70, 402: 5}
    assert statuses["POST /api/refund above 1000"] == {201: 25}
    eventually(lambda: books.open_releases() == 0 and books.pending() == 0)


def test_the_name_is_gone_and_payments_are_a_quick_503(
    shop: Shop, payment: RunningService, books: Books
) -> None:
    before = books.balance(1)
    started = time.perf_counter()

    answer = pay(payment)

    assert time.perf_counter() - started < 0.8
    assert rcode(shop) == dns.rcode.NXDOMAIN
    assert answer.status_code == 503
    assert answer.json() == {"detail": "fraud: fraud-api.internal.corp: NXDOMAIN"}
    assert books.balance(1) == before


def test_what_needs_no_fraud_check_goes_on(payment: RunningService, books: Books) -> None:
    trusted = pay(payment, customer_id=5)
    small_refund = payment.client.post("/api/refund", json={"customer_id": 1, "amount": "1000.00"})
    big_refund = payment.client.post("/api/refund", json={"customer_id": 1, "amount": "1000.01"})

    assert [a.status_code for a in (trusted, small_refund, big_refund)] == [201, 201, 503]


def test_it_is_mended_at_once_by_putting_the_record_back(
    shop: Shop, payment: RunningService, books: Books
) -> None:
    assert pay(payment).status_code == 503

    shop["dns"].client.put("/ops/records/fraud-api", json={"address": "127.0.0.1"})

    assert pay(payment).status_code == 201


def test_it_is_mended_by_editing_the_zone_file(shop: Shop, payment: RunningService, books: Books) -> None:
    zone_file = Path(shop.environment["ZONE_FILE"])

    with zone_file.open("a") as file:
        file.write("fraud-api 5 IN A 127.0.0.1\n")

    assert pay(payment).status_code == 201


def test_a_restored_record_stays_through_a_restart_and_a_resumed_mode(
    shop: Shop, payment: RunningService, books: Books
) -> None:
    shop["dns"].client.put("/ops/records/fraud-api", json={"address": "127.0.0.1"})

    resumed = shop.restart("dns").mode("record_missing", resume=True)

    assert resumed.json()["failure_mode"] == "record_missing"
    assert pay(payment).status_code == 201


def test_a_restart_alone_does_not_mend_it(shop: Shop, payment: RunningService, books: Books) -> None:
    shop.restart("dns").mode("record_missing", resume=True)

    assert pay(payment).status_code == 503


def test_the_degraded_policy_lets_through_up_to_its_limit_and_queues_reviews(
    payment: RunningService, books: Books
) -> None:
    payment.set(fraud_policy="degraded", degraded_limit="500.00")

    within, above = pay(payment, "500.00"), pay(payment, "500.01")

    assert (within.status_code, above.status_code) == (201, 503)
    assert books.query("SELECT transaction_id, reason FROM payment.fraud_reviews") == [
        (within.json()["id"], "not checked: fraud: fraud-api.internal.corp: NXDOMAIN")
    ]


def test_the_degraded_policy_serves_big_refunds_too(payment: RunningService, books: Books) -> None:
    payment.set(fraud_policy="degraded")

    answer = payment.client.post("/api/refund", json={"customer_id": 1, "amount": "1899.00"})

    assert answer.status_code == 201
    assert books.count("payment.fraud_reviews") == 1


def test_the_degraded_policy_still_checks_once_the_record_is_back(
    shop: Shop, payment: RunningService, books: Books
) -> None:
    payment.set(fraud_policy="degraded")
    shop["dns"].mode("none")

    assert pay(payment, "100000.00").status_code == 403
    assert pay(payment).status_code == 201
    assert books.count("payment.fraud_reviews") == 0


def test_with_the_policy_off_nothing_is_checked_and_nothing_queued(
    payment: RunningService, books: Books
) -> None:
    payment.set(fraud_policy="off")

    assert pay(payment, "100000.00").status_code == 201
    assert books.count("payment.fraud_reviews") == 0


def test_a_policy_set_by_a_person_outlives_a_restart_of_payment(
    shop: Shop, payment: RunningService, books: Books
) -> None:
    payment.set(fraud_policy="degraded")

    assert pay(shop.restart("payment")).status_code == 201


@pytest.mark.parametrize("path", ["/admin/failure-mode/none", "/admin/baseline"])
def test_it_is_over_when_its_mode_is_left(
    shop: Shop, payment: RunningService, books: Books, path: str
) -> None:
    shop["dns"].client.post(path)

    assert pay(payment).status_code == 201


def zone(file: Path) -> dns.zone.Zone:
    return dns.zone.from_file(str(file), origin="internal.corp.")


def test_the_baseline_restores_zone_and_settings(shop: Shop, payment: RunningService, books: Books) -> None:
    shop["dns"].client.put("/ops/records/other", json={"address": "127.0.0.7"})
    payment.set(fraud_policy="off", deadline_s=9, breaker="on")

    shop["dns"].client.post("/admin/baseline")
    payment.client.post("/admin/baseline")

    assert zone(Path(shop.environment["ZONE_FILE"])) == zone(SHIPPED_ZONE)
    settings = payment.client.get("/ops/settings").json()["settings"]
    assert {name: settings[name]["value"] for name in ("fraud_policy", "deadline_s", "breaker")} == {
        "fraud_policy": "enforce",
        "deadline_s": 3.0,
        "breaker": "off",
    }
    assert not any(setting["set_by_operator"] for setting in settings.values())


def test_the_baseline_mends_a_zone_that_a_dead_process_left_without_the_record(
    shop: Shop, payment: RunningService, books: Books
) -> None:
    shop.restart("dns").client.post("/admin/baseline")

    assert pay(payment).status_code == 201
