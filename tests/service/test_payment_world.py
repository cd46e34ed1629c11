"""The payment service's other faults: a card range that is refused, an account that somebody holds locked."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

import database
from tests.conftest import LabDatabase, RunningService, Shop

Eventually = Callable[..., None]


def pay(payment: RunningService, customer_id: int, *, timeout_s: float = 10.0) -> int:
    body = {"customer_id": customer_id, "amount": "10.00"}
    return payment.client.post(
        "/api/payment", json=body, headers={"x-deadline-ms": str(int(timeout_s * 1000))}
    ).status_code


@pytest.fixture
def payment(shop: Shop) -> RunningService:
    """Payment with what it calls."""
    return shop.start("dns", "fraud", "inventory", "payment")


def test_an_acquirer_that_refuses_a_card_range_fails_its_customers_payments_and_no_others(
    payment: RunningService,
) -> None:
    payment.mode("card_range_declined")

    assert [pay(payment, customer) for customer in (1, 2, 3, 1)] == [500, 201, 201, 500]

    payment.mode("none")

    assert pay(payment, 1) == 201


@pytest.mark.parametrize("mended", [{"backup_card_ranges": ["424242"]}, {"acquirer": "backup"}])
def test_the_backup_acquirer_takes_the_refused_cards(
    payment: RunningService, mended: dict[str, object]
) -> None:
    payment.mode("card_range_declined")

    payment.set(**mended)

    assert [pay(payment, customer) for customer in (1, 2, 3)] == [201, 201, 201]


def test_the_refusal_outlives_a_restart_and_ends_with_the_mode(shop: Shop, payment: RunningService) -> None:
    payment.mode("card_range_declined")

    payment = shop.restart("payment", PAYMENT_FAILURE_MODE="card_range_declined", LAB_RESUMES="true")
    before = pay(payment, 1)
    payment.mode("none")

    assert (before, pay(payment, 1)) == (500, 201)


def test_to_bring_the_database_up_to_date_mends_nothing_and_payment_that_starts_anew_does(
    shop: Shop, lab_database: LabDatabase, payment: RunningService
) -> None:
    payment.mode("card_range_declined")

    database.apply(lab_database.admin_url, passwords={})
    meanwhile = pay(payment, 1)
    payment = shop.restart("payment")

    assert (meanwhile, pay(payment, 1)) == (500, 201)


@pytest.fixture
def locked(shop: Shop, payment: RunningService) -> RunningService:
    """Payment, whose customer 3 is held locked; the gateway gives up after a second."""
    gateway = shop.start("gateway")
    gateway.set(deadline_s=1.0)
    payment.mode("account_locked")
    return gateway


HEAD_OF_THE_QUEUE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'back-office' AND state = 'idle in transaction'"
)


def test_payments_of_a_locked_account_hang_and_others_do_not(locked: RunningService) -> None:
    assert [pay(locked, customer) for customer in (3, 1, 2)] == [504, 201, 201]


def test_the_queue_behind_the_lock_takes_the_whole_pool_and_every_route_with_it(
    shop: Shop, locked: RunningService, eventually: Eventually
) -> None:
    locked.set(deadline_s=0.2)
    for _ in range(22):
        pay(locked, 3)

    locked.set(deadline_s=5.0)
    assert locked.client.get("/api/transactions").status_code == 500

    with shop.database.connect("candidate") as connection, connection.cursor() as cursor:  # type: ignore[union-attr]
        cursor.execute(HEAD_OF_THE_QUEUE)
    eventually(lambda: locked.client.get("/api/transactions").status_code == 200)
    eventually(lambda: pay(locked, 3) == 201)


def test_a_back_office_that_is_closed_stays_closed_when_the_service_comes_back(
    shop: Shop, locked: RunningService, eventually: Eventually
) -> None:
    shop["payment"].set(back_office="closed")
    eventually(lambda: pay(locked, 3) == 201)

    shop.restart("payment", PAYMENT_FAILURE_MODE="account_locked", LAB_RESUMES="true")

    assert pay(locked, 3) == 201


def test_a_session_that_nobody_has_closed_is_back_when_the_service_is(
    shop: Shop, locked: RunningService
) -> None:
    shop.restart("payment", PAYMENT_FAILURE_MODE="account_locked", LAB_RESUMES="true")

    assert pay(locked, 3) == 504


def test_the_account_is_free_after_the_mode(
    shop: Shop, locked: RunningService, eventually: Eventually
) -> None:
    shop["payment"].mode("none")

    eventually(lambda: pay(locked, 3) == 201)


def sessions(database: LabDatabase, *, wait_event_type: str) -> int:
    """How many sessions of the back office wait for this kind of thing."""
    with closing(database.connect("postgres")) as db, db.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'back-office'"
            " AND datname = current_database() AND wait_event_type = %s",
            [wait_event_type],
        )
        [(count,)] = cursor.fetchall()
        return int(count)


def test_a_back_office_that_is_closed_while_it_waits_for_the_account_lets_go_of_it(
    lab_database: LabDatabase, payment: RunningService, eventually: Eventually
) -> None:
    with (
        closing(lab_database.connect("shop")) as holder,
        holder.cursor() as cursor,
        ThreadPoolExecutor(1) as pool,
    ):
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM payment.account_balances WHERE customer_id = 3 FOR UPDATE")
        switching = pool.submit(payment.mode, "account_locked")
        eventually(lambda: sessions(lab_database, wait_event_type="Lock") == 1)

        assert payment.set(back_office="closed").status_code == 200

        cursor.execute("ROLLBACK")
        assert switching.result().status_code == 200

    eventually(lambda: sessions(lab_database, wait_event_type="Client") == 0, within_s=5)
    assert pay(payment, 3) == 201


@pytest.mark.parametrize("mode", ["decline", "card_range_declined", "account_locked"])
def test_a_mode_that_cannot_be_switched_without_postgres_is_a_503_and_left_as_it_was(
    lab_database: LabDatabase, payment: RunningService, mode: str
) -> None:
    with closing(lab_database.connect("postgres")) as db, db.cursor() as cursor:
        cursor.execute("ALTER ROLE shop NOLOGIN")
        try:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
            answer = payment.mode(mode)
        finally:
            cursor.execute("ALTER ROLE shop LOGIN")

    assert answer.status_code == 503
    assert answer.json()["detail"].startswith(f"the failure mode {mode!r} cannot be switched")
    assert payment.client.get("/admin/failure-mode").json()["failure_mode"] == "none"
    assert pay(payment, 3) == 201


def test_a_mode_that_cannot_be_left_without_postgres_is_a_503_and_stays(
    lab_database: LabDatabase, payment: RunningService
) -> None:
    payment.mode("decline")
    with closing(lab_database.connect("postgres")) as db, db.cursor() as cursor:
        cursor.execute("ALTER ROLE shop NOLOGIN")
        try:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
            answer = payment.mode("none")
        finally:
            cursor.execute("ALTER ROLE shop LOGIN")

    assert answer.status_code == 503
    assert payment.client.get("/admin/failure-mode").json()["failure_mode"] == "decline"
    assert payment.mode("none").status_code == 200
    assert pay(payment, 1) == 201


def test_the_nightly_report_reads_in_a_session_of_its_own_and_ends(
    shop: Shop, payment: RunningService, eventually: Eventually
) -> None:
    def reports() -> int:
        with shop.database.connect("candidate") as connection, connection.cursor() as cursor:  # type: ignore[union-attr]
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nightly-report'")
            row = cursor.fetchone()
            assert row is not None
            return int(row[0])

    assert payment.client.post("/admin/report", params={"for_s": 1.5}).status_code == 204

    eventually(lambda: reports() == 1)
    assert pay(payment, 1) == 201
    eventually(lambda: reports() == 0)


def test_a_deploy_changes_the_release_that_is_shown_until_the_baseline_is_restored(
    payment: RunningService,
) -> None:
    payment.client.post("/admin/release/91f7d3c")
    deployed = payment.metric("build_info", release="91f7d3c")
    payment.client.post("/admin/baseline")

    assert deployed == 1
    assert payment.metric("build_info", release="91f7d3c") == 0
    assert payment.metric("build_info", release="7d3a9e1") == 1
