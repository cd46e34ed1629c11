"""The stock-taking job that holds its locks: what is seen, what it leaves alone, and what mends it."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest

from tests.books import Books
from tests.conftest import LabDatabase, RunningService, Shop

ORDER = {"customer_id": 1, "amount": "18.50", "items": [{"sku": "mug-blue", "quantity": 1}]}
END_THE_JOB = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'stock-take' AND datname = current_database()
"""
JOB = """
SELECT pid, state, usename FROM pg_stat_activity
WHERE application_name = 'stock-take' AND datname = current_database()
"""
BLOCKERS_OF_INVENTORY = """
SELECT DISTINCT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity
WHERE application_name = 'inventory' AND wait_event_type = 'Lock' AND datname = current_database()
"""


@pytest.fixture
def inventory(shop: Shop) -> RunningService:
    """The service alone, in its mode."""
    service = shop.start("inventory")
    assert service.mode("lock_held").status_code == 200
    return service


def reserve(inventory: RunningService, *, deadline_ms: int) -> httpx.Response:
    return inventory.client.post(
        "/api/inventory/reserve",
        json={"reservation_id": str(uuid.uuid4()), "items": [{"sku": "mug-blue", "quantity": 1}]},
        headers={"x-deadline-ms": str(deadline_ms)},
    )


def works(inventory: RunningService) -> bool:
    return reserve(inventory, deadline_ms=1000).status_code == 200


def as_candidate(database: LabDatabase, statement: str) -> list[Any]:
    """The rows that the person on call gets."""
    with database.connect("candidate") as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def setting(service: RunningService) -> dict[str, Any]:
    view: dict[str, Any] = service.client.get("/ops/settings").json()["settings"]["stock_take"]
    return {"value": view["value"], "set_by_operator": view["set_by_operator"]}


def test_reservations_hang_until_their_deadline(inventory: RunningService, books: Books) -> None:
    started = time.perf_counter()

    answer = reserve(inventory, deadline_ms=600)

    assert answer.status_code == 504
    assert answer.json()["detail"].startswith("stock is locked")
    assert 0.4 < time.perf_counter() - started < 2.0


def test_articles_can_still_be_read(inventory: RunningService, books: Books) -> None:
    assert inventory.client.get("/api/inventory/mug-blue").json()["available"] == 250_000


def test_the_candidate_sees_the_idle_session_and_whom_it_blocks(
    inventory: RunningService, lab_database: LabDatabase, books: Books, eventually: Any
) -> None:
    [(pid, state, user)] = as_candidate(lab_database, JOB)
    assert (state, user) == ("idle in transaction", "shop")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reserve, inventory, deadline_ms=3000)
        eventually(lambda: as_candidate(lab_database, BLOCKERS_OF_INVENTORY))
        assert as_candidate(lab_database, BLOCKERS_OF_INVENTORY) == [(pid,)]
        assert waiting.result().status_code == 504


def test_it_is_mended_by_ending_the_session_and_stays_mended(
    shop: Shop, inventory: RunningService, lab_database: LabDatabase, books: Books, eventually: Any
) -> None:
    assert as_candidate(lab_database, END_THE_JOB) == [(True,)]

    eventually(lambda: works(inventory))
    eventually(lambda: setting(inventory) == {"value": "stopped", "set_by_operator": True})
    assert as_candidate(lab_database, JOB) == []

    inventory = shop.restart("inventory")
    assert inventory.mode("lock_held", resume=True).status_code == 200
    assert works(inventory)
    assert as_candidate(lab_database, JOB) == []
    changes = books.query(
        "SELECT actor, name, new_value FROM ops.setting_changes WHERE service = 'inventory'"
    )
    assert changes == [("postgres-session-ended", "stock_take", "stopped")]


def test_a_restart_alone_does_not_mend_it(shop: Shop, inventory: RunningService, books: Books) -> None:
    inventory = shop.restart("inventory")
    inventory.mode("lock_held", resume=True)

    assert not works(inventory)


def test_it_is_mended_by_stopping_the_job(
    inventory: RunningService, lab_database: LabDatabase, books: Books, eventually: Any
) -> None:
    assert inventory.set(stock_take="stopped").status_code == 200

    eventually(lambda: works(inventory), within_s=5)
    assert as_candidate(lab_database, JOB) == []


@contextmanager
def one_article_locked(database: LabDatabase) -> Iterator[None]:
    """Somebody else holds an article while the block lasts, so that the job has to wait for it."""
    with closing(database.connect("shop")) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM inventory.stock WHERE sku = 'mug-blue' FOR UPDATE")
        yield


def test_a_job_that_is_stopped_while_it_waits_for_its_locks_holds_none(
    shop: Shop, lab_database: LabDatabase, books: Books, eventually: Any
) -> None:
    inventory = shop.start("inventory")
    with ThreadPoolExecutor(1) as pool:
        with one_article_locked(lab_database):
            switching = pool.submit(inventory.mode, "lock_held")
            eventually(lambda: "active" in [state for _, state, _ in as_candidate(lab_database, JOB)])

            assert inventory.set(stock_take="stopped").status_code == 200

        assert switching.result().status_code == 200

    eventually(lambda: as_candidate(lab_database, JOB) == [], within_s=5)
    assert works(inventory)


def test_a_job_that_does_not_get_its_locks_is_a_503_and_can_be_started_again(
    shop: Shop, lab_database: LabDatabase, books: Books, eventually: Any
) -> None:
    inventory = shop.start("inventory")

    with one_article_locked(lab_database):
        answer = inventory.mode("lock_held")

    assert answer.status_code == 503
    assert "stayed locked" in answer.json()["detail"]
    eventually(lambda: as_candidate(lab_database, JOB) == [])
    assert works(inventory)
    inventory.mode("lock_held")
    assert not works(inventory)
    inventory.mode("none")
    assert works(inventory)


def test_a_job_that_cannot_start_without_postgres_is_a_503(
    shop: Shop, lab_database: LabDatabase, books: Books
) -> None:
    inventory = shop.start("inventory")
    with closing(lab_database.connect("postgres")) as db, db.cursor() as cursor:
        cursor.execute("ALTER ROLE shop NOLOGIN")
        try:
            answer = inventory.mode("lock_held")
        finally:
            cursor.execute("ALTER ROLE shop LOGIN")

    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("the failure mode 'lock_held' cannot be switched")
    assert inventory.client.get("/admin/failure-mode").json()["failure_mode"] == "none"
    assert works(inventory)


@pytest.mark.parametrize("path", ["/admin/failure-mode/none", "/admin/baseline"])
def test_it_is_over_when_its_mode_is_left(
    inventory: RunningService, lab_database: LabDatabase, books: Books, path: str
) -> None:
    assert inventory.client.post(path).status_code == 200

    assert works(inventory)
    assert as_candidate(lab_database, JOB) == []


def test_the_baseline_lets_the_job_run_again_after_a_person_stopped_it(
    inventory: RunningService, books: Books
) -> None:
    inventory.set(stock_take="stopped")

    inventory.client.post("/admin/baseline")

    assert setting(inventory) == {"value": "allowed", "set_by_operator": False}
    inventory.mode("lock_held")
    assert not works(inventory)


def test_a_stopped_service_leaves_no_job_behind(
    inventory: RunningService, lab_database: LabDatabase, books: Books, eventually: Any
) -> None:
    inventory.process.terminate()
    inventory.process.join(5)

    eventually(lambda: as_candidate(lab_database, JOB) == [], within_s=5)


def test_the_shop_answers_504_and_500_for_orders_and_sells_on_without_items(
    shop: Shop, inventory: RunningService, books: Books, eventually: Any
) -> None:
    shop.start("dns", "fraud", "payment", "gateway")
    checkout = {"customer_id": 1, "items": ORDER["items"], "payment": {"amount": "18.50"}}
    mugs, balance = books.available("mug-blue"), books.balance(1)
    with ThreadPoolExecutor(4) as pool:
        order = pool.submit(shop["payment"].client.post, "/api/payment", json=ORDER)
        passed_on = pool.submit(shop["gateway"].client.post, "/api/payment", json=ORDER)
        checked_out = pool.submit(shop["gateway"].client.post, "/checkout", json=checkout)
        simple = pool.submit(
            shop["gateway"].client.post, "/api/payment", json={"customer_id": 2, "amount": "5"}
        )
        statuses = [one.result().status_code for one in (order, passed_on, checked_out, simple)]

    assert statuses == [504, 504, 500, 201]
    assert books.balance(1) == balance
    inventory.mode("none")
    eventually(lambda: books.open_releases() == 0)
    assert books.available("mug-blue") == mugs
    assert shop["gateway"].client.post("/checkout", json=checkout).status_code == 201


def test_stock_is_conserved_when_locks_come_and_go_under_load(
    shop: Shop, inventory: RunningService, books: Books, eventually: Any
) -> None:
    payment = shop.start("dns", "fraud", "payment")
    payment.set(inventory_deadline_s=0.5)

    with ThreadPoolExecutor(8) as pool:
        orders = [pool.submit(payment.client.post, "/api/payment", json=ORDER) for _ in range(24)]
        wait(orders, return_when=FIRST_COMPLETED)
        inventory.mode("none")
        statuses = [order.result().status_code for order in orders]

    assert {201, 504} <= set(statuses) <= {201, 503, 504}
    eventually(lambda: books.open_releases() == 0)
    assert books.available("mug-blue") == 250_000 - statuses.count(201)
