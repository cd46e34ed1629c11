"""What breaks under a payment: nothing is lost, nothing is paid twice, and reserved stock comes back."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from services.common.breaker import FAILURES_TO_OPEN
from services.payment.ledger import LEASE
from tests.books import Books
from tests.conftest import LabDatabase, RunningService, Shop
from tests.receiver import receiving

MUG = {"sku": "mug-blue", "quantity": 1}
ORDER = {"customer_id": 1, "amount": "18.50", "items": [MUG]}
SIMPLE = {"customer_id": 1, "amount": "18.50"}


@pytest.fixture
def payment(shop: Shop) -> RunningService:
    """The service with all that it depends on."""
    return shop.start("dns", "fraud", "inventory", "payment")


def pay(payment: RunningService, body: dict[str, Any] = ORDER, **headers: str) -> httpx.Response:
    return payment.client.post("/api/payment", json=body, headers=headers)


def timed(call: Any) -> tuple[httpx.Response, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def log_lines(service: RunningService, event: str) -> list[dict[str, Any]]:
    """A service's log lines of one event."""
    lines = (json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


@contextmanager
def locked(database: LabDatabase, statement: str) -> Iterator[None]:
    """Hold the rows of a ``SELECT … FOR UPDATE`` while the block lasts."""
    connection = database.connect("shop")
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute(statement)
        yield
    connection.rollback()
    connection.close()


@contextmanager
def silent_server(port: int) -> Iterator[None]:
    """A server on ``port`` that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", port), backlog=64):
        yield


# --- the inventory


@pytest.mark.parametrize("answer", [(502, {"error": "bad gateway"}), (503, ["busy"])])
def test_whatever_stands_before_the_inventory_and_refuses_is_a_503_with_what_it_said(
    shop: Shop, answer: tuple[int, Any]
) -> None:
    payment = shop.start("dns", "fraud", "payment")

    with receiving(shop.port("inventory"), lambda _: answer):
        refused = pay(payment)

    assert refused.status_code == 503
    assert refused.json()["detail"].startswith("inventory: ")


# --- the acquirer


def test_decline_is_a_500_with_a_value_error_in_the_log(
    payment: RunningService, books: Books, eventually: Any
) -> None:
    mugs = books.available("mug-blue")
    payment.mode("decline")

    answer = pay(payment)

    assert answer.status_code == 500
    assert answer.headers["x-request-id"]
    eventually(lambda: log_lines(payment, "request.failed"))
    [line] = log_lines(payment, "request.failed")
    assert (line["level"], line["error_type"]) == ("error", "ValueError")
    assert "declined" in line["error"]
    assert line["trace_id"] == answer.headers["x-trace-id"]
    assert payment.client.get("/api/transactions/6").json()["status"] == "declined"
    eventually(lambda: books.available("mug-blue") == mugs)


def test_decline_leaves_reads_and_refunds_alone(payment: RunningService, books: Books) -> None:
    payment.mode("decline")

    assert payment.client.get("/api/customers/1").status_code == 200
    assert payment.client.post("/api/refund", json=SIMPLE).status_code == 201


def test_decline_is_mended_by_the_backup_acquirer_for_good(
    shop: Shop, payment: RunningService, books: Books
) -> None:
    payment.mode("decline")
    assert pay(payment).status_code == 500

    payment.set(acquirer="backup")
    assert pay(payment).status_code == 201

    payment = shop.restart("payment", LAB_RESUMES="true")
    payment.mode("decline", resume=True)
    assert pay(payment).status_code == 201


def test_a_restart_alone_does_not_mend_decline(shop: Shop, payment: RunningService, books: Books) -> None:
    payment.mode("decline")

    payment = shop.restart("payment", LAB_RESUMES="true")
    payment.mode("decline", resume=True)

    assert pay(payment).status_code == 500


@pytest.mark.parametrize("path", ["/admin/failure-mode/none", "/admin/baseline"])
def test_decline_is_over_when_its_mode_is_left(payment: RunningService, books: Books, path: str) -> None:
    payment.mode("decline")

    payment.client.post(path)

    assert pay(payment).status_code == 201


def test_a_decline_mode_that_a_dead_process_left_behind_is_ended_by_the_baseline(
    shop: Shop, payment: RunningService, books: Books
) -> None:
    payment.mode("decline")
    payment = shop.restart("payment", LAB_RESUMES="true")

    payment.client.post("/admin/baseline")

    assert pay(payment).status_code == 201


# --- the triggers


def test_the_fail_trigger_declines_one_payment_and_no_other(payment: RunningService, books: Books) -> None:
    assert pay(payment, baggage="firedrill.trigger=order-fail-pay").status_code == 500
    assert pay(payment).status_code == 201


def test_the_timeout_trigger_hangs_one_reservation_and_no_other(
    payment: RunningService, books: Books
) -> None:
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(timed, lambda: pay(payment, baggage="firedrill.trigger=order-timeout"))
        time.sleep(0.5)
        other, took_s = timed(lambda: pay(payment))
        answer, hung_s = hanging.result()

    assert (other.status_code, answer.status_code) == (201, 504)
    assert took_s < 1.0
    assert 1.5 < hung_s < 3.5


@pytest.mark.parametrize("trigger", ["order-fail-pay", "order-timeout"])
def test_triggers_are_ignored_outside_the_demo(shop: Shop, books: Books, trigger: str) -> None:
    payment = shop.start("dns", "fraud", "inventory", "payment", ENV="local")

    assert pay(payment, baggage=f"firedrill.trigger={trigger}").status_code == 201


# --- inventory and fraud go away


def test_inventory_that_is_down_is_a_503_and_its_stock_comes_back_with_it(
    shop: Shop, payment: RunningService, books: Books, eventually: Any
) -> None:
    mugs = books.available("mug-blue")
    shop["inventory"].process.kill()
    shop["inventory"].process.join()

    answer, took_s = timed(lambda: pay(payment))

    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("inventory: ")
    assert took_s < 1.0
    assert books.open_releases() == 1
    assert payment.metric("dependency_requests_total", dependency="inventory", outcome="unreachable") >= 1
    shop.restart("inventory")
    eventually(lambda: books.open_releases() == 0)
    assert books.available("mug-blue") == mugs
    assert pay(payment).status_code == 201


def test_a_release_that_inventory_refuses_for_now_is_asked_for_again(
    shop: Shop, books: Books, eventually: Any
) -> None:
    payment = shop.start("dns", "fraud", "payment")
    refusals = iter([503, 503, 503])

    with receiving(shop.port("inventory"), lambda _: (next(refusals, 200), {})) as inventory:
        answer = pay(payment)
        eventually(lambda: books.open_releases() == 0)

    assert answer.status_code == 503
    asked = [one.path.rpartition("/")[2] for one in inventory.received]
    assert asked == ["reserve", "release", "release", "release"]


def test_a_reservation_that_came_too_late_is_given_back(
    shop: Shop, payment: RunningService, books: Books, eventually: Any
) -> None:
    mugs = books.available("mug-blue")
    payment.set(inventory_deadline_s=0.2)

    with locked(shop.database, "SELECT 1 FROM inventory.stock WHERE sku = 'mug-blue' FOR UPDATE"):
        answer, took_s = timed(lambda: pay(payment))

    assert answer.status_code == 504
    assert took_s < 1.0
    assert payment.metric("dependency_requests_total", dependency="inventory", outcome="timeout") >= 1
    eventually(lambda: books.open_releases() == 0)
    assert books.available("mug-blue") == mugs


def test_a_fraud_check_that_never_answers_is_a_504_within_its_deadline(
    shop: Shop, books: Books, eventually: Any
) -> None:
    payment = shop.start("dns", "inventory", "payment")
    mugs = books.available("mug-blue")

    with silent_server(shop.port("fraud")):
        answer, took_s = timed(lambda: pay(payment))

    assert answer.status_code == 504
    assert 0.8 < took_s < 1.5
    assert payment.metric("dependency_requests_total", dependency="fraud", outcome="timeout") == 1
    eventually(lambda: books.open_releases() == 0)
    assert books.available("mug-blue") == mugs


def test_a_dns_server_that_is_down_is_a_503_and_counted_as_unresolved(shop: Shop, books: Books) -> None:
    payment = shop.start("fraud", "inventory", "payment")
    payment.set(fraud_deadline_s=2)

    answer, took_s = timed(lambda: pay(payment, SIMPLE))

    assert answer.status_code == 503
    assert took_s < 1.6
    assert payment.metric("dependency_requests_total", dependency="fraud", outcome="unresolved") == 1


def test_a_payment_gives_up_when_its_caller_s_time_is_up(shop: Shop, books: Books) -> None:
    payment = shop.start("dns", "inventory", "payment")

    with silent_server(shop.port("fraud")):
        answer, took_s = timed(lambda: pay(payment, SIMPLE, **{"x-deadline-ms": "300"}))

    assert answer.status_code == 504
    assert took_s < 0.8


def test_the_outcomes_of_calls_are_counted(shop: Shop, payment: RunningService, books: Books) -> None:
    def counted(dependency: str, outcome: str) -> float:
        return payment.metric("dependency_requests_total", dependency=dependency, outcome=outcome)

    pay(payment)
    pay(payment, {**ORDER, "items": [{"sku": "no-such-thing", "quantity": 1}]})
    shop["dns"].mode("record_missing")
    pay(payment)

    assert (counted("fraud", "ok"), counted("fraud", "unresolved")) == (2, 1)
    assert (counted("inventory", "ok"), counted("inventory", "rejected")) >= (1, 1)
    assert payment.metric("dependency_request_duration_seconds_count", dependency="fraud") == 3


def test_the_breaker_makes_repeated_failures_fail_at_once(shop: Shop, books: Books) -> None:
    payment = shop.start("dns", "inventory", "payment")
    payment.set(breaker="on", fraud_deadline_s=0.5)

    with silent_server(shop.port("fraud")):
        slow = [timed(lambda: pay(payment, SIMPLE)) for _ in range(FAILURES_TO_OPEN)]
        fast = [timed(lambda: pay(payment, SIMPLE)) for _ in range(3)]

    assert [answer.status_code for answer, _ in slow] == [504] * FAILURES_TO_OPEN
    assert [answer.status_code for answer, _ in fast] == [503] * 3
    assert "breaker" in fast[0][0].json()["detail"]
    assert min(took for _, took in slow) > 0.45
    assert max(took for _, took in fast) < 0.4
    assert payment.metric("dependency_requests_total", dependency="fraud", outcome="breaker_open") == 3

    payment.set(breaker="off")
    assert pay(payment, SIMPLE).json()["detail"].startswith("fraud: ConnectError")


# --- the process and Postgres go away


def test_a_payment_service_killed_in_the_middle_loses_and_doubles_nothing(
    shop: Shop, payment: RunningService, books: Books, eventually: Any
) -> None:
    mugs = books.available("mug-blue")
    answered: list[httpx.Response] = []
    stop = threading.Event()

    def keep_paying(url: str) -> None:
        with httpx.Client(base_url=url, timeout=5, trust_env=False) as client:
            while not stop.is_set():
                try:
                    answered.append(client.post("/api/payment", json=ORDER))
                except httpx.TransportError:
                    return

    with ThreadPoolExecutor(8) as pool:
        paying = [pool.submit(keep_paying, payment.url) for _ in range(8)]
        eventually(lambda: len(answered) > 20)
        payment.process.kill()
        stop.set()
        for one in paying:
            one.result()

    books.assert_balanced()
    captured = books.value("SELECT count(*) FROM payment.transactions WHERE status = 'captured' AND id > 5")
    assert captured >= sum(answer.status_code == 201 for answer in answered)
    assert books.pending() > 0
    books.query(
        "UPDATE payment.transactions SET created_at = created_at - :age * interval '1 s'"
        " WHERE status = 'pending'",
        age=LEASE.total_seconds(),
    )
    payment = shop.restart("payment")
    eventually(lambda: books.pending() == 0 and books.open_releases() == 0)
    assert books.available("mug-blue") == mugs - captured
    assert log_lines(payment, "ledger.orphans_ended")


def test_a_backend_ended_in_the_middle_of_a_capture_moves_nothing(
    shop: Shop, payment: RunningService, books: Books, eventually: Any
) -> None:
    mugs, balance = books.available("mug-blue"), books.balance(1)
    end_it = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'payment' AND wait_event_type = 'Lock' AND datname = current_database()"
    )

    with (
        locked(shop.database, "SELECT 1 FROM payment.account_balances WHERE customer_id = 1 FOR UPDATE"),
        ThreadPoolExecutor(1) as pool,
    ):
        paying = pool.submit(pay, payment)
        eventually(lambda: books.query(end_it))
        answer = paying.result()

    assert answer.status_code >= 500
    assert books.balance(1) == balance
    eventually(lambda: books.pending() == 0 and books.open_releases() == 0)
    assert books.available("mug-blue") == mugs
    assert pay(payment).status_code == 201


def test_the_service_works_on_when_all_its_sessions_were_ended(payment: RunningService, books: Books) -> None:
    pay(payment)
    books.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'payment'")

    assert pay(payment).status_code == 201
