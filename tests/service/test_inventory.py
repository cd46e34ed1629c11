"""The inventory: stock never goes below nothing, each reservation counts once, each release once."""

import uuid
from collections import Counter
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.books import Books
from tests.conftest import LabDatabase, RunningService, Shop


@pytest.fixture(scope="module")
def inventory(standing_shop: Shop) -> RunningService:
    """The service alone."""
    return standing_shop.start("inventory")


@pytest.fixture
def scarce(standing_books: Books) -> str:
    """An article of the test's own, of which there are ten."""
    sku = f"scarce-{uuid.uuid4().hex[:8]}"
    standing_books.take_in(sku, 10)
    return sku


def reserve(
    inventory: RunningService, *items: tuple[str, int], reservation: str | None = None
) -> httpx.Response:
    body = {
        "reservation_id": reservation or str(uuid.uuid4()),
        "items": [{"sku": sku, "quantity": quantity} for sku, quantity in items],
    }
    return inventory.client.post("/api/inventory/reserve", json=body)


def release(inventory: RunningService, reservation: str) -> httpx.Response:
    return inventory.client.post("/api/inventory/release", json={"reservation_id": reservation})


def test_an_article_is_read_with_what_is_available(inventory: RunningService, scarce: str) -> None:
    assert inventory.client.get(f"/api/inventory/{scarce}").json() == {
        "sku": scarce,
        "name": scarce,
        "available": 10,
    }


def test_an_unknown_article_is_a_404(inventory: RunningService, standing_books: Books) -> None:
    answer = inventory.client.get("/api/inventory/no-such-thing")

    assert (answer.status_code, answer.json()) == (404, {"detail": "no article 'no-such-thing'"})


def test_a_reservation_takes_its_items_off_the_stock(
    inventory: RunningService, standing_books: Books, scarce: str
) -> None:
    reservation = str(uuid.uuid4())

    answer = reserve(inventory, (scarce, 3), reservation=reservation)

    assert (answer.status_code, answer.json()) == (200, {"reservation_id": reservation, "status": "reserved"})
    assert standing_books.available(scarce) == 7


def test_an_article_named_twice_is_reserved_twice(
    inventory: RunningService, standing_books: Books, scarce: str
) -> None:
    assert reserve(inventory, (scarce, 6), (scarce, 4)).status_code == 200
    assert standing_books.available(scarce) == 0


@pytest.mark.parametrize(("other", "status"), [(("no-such-thing", 1), 404), (("display-stand", 1000), 409)])
def test_all_items_are_reserved_or_none(
    inventory: RunningService, standing_books: Books, scarce: str, other: tuple[str, int], status: int
) -> None:
    reservation = str(uuid.uuid4())

    assert reserve(inventory, (scarce, 3), other, reservation=reservation).status_code == status

    assert standing_books.available(scarce) == 10
    assert reserve(inventory, (scarce, 3), reservation=reservation).status_code == 200


def test_the_same_reservation_sent_again_counts_once(
    inventory: RunningService, standing_books: Books, scarce: str, at_once: Any
) -> None:
    reservation = str(uuid.uuid4())

    answers = at_once([lambda: reserve(inventory, (scarce, 3), reservation=reservation)] * 8)

    assert [answer.status_code for answer in answers] == [200] * 8
    assert standing_books.available(scarce) == 7


def test_a_release_puts_the_items_back_once(
    inventory: RunningService, standing_books: Books, scarce: str, at_once: Any
) -> None:
    reservation = str(uuid.uuid4())
    reserve(inventory, (scarce, 3), reservation=reservation)

    answers = at_once([lambda: release(inventory, reservation)] * 8)

    assert [answer.json()["status"] for answer in answers] == ["released"] * 8
    assert standing_books.available(scarce) == 10


def test_a_release_that_comes_first_bars_the_reservation(
    inventory: RunningService, standing_books: Books, scarce: str
) -> None:
    reservation = str(uuid.uuid4())

    assert release(inventory, reservation).status_code == 200

    late = reserve(inventory, (scarce, 3), reservation=reservation)
    assert (late.status_code, late.json()) == (409, {"detail": f"reservation {reservation} was released"})
    assert standing_books.available(scarce) == 10


def test_a_reservation_and_its_release_at_the_same_moment_leave_the_stock_whole(
    inventory: RunningService, standing_books: Books, scarce: str, at_once: Any
) -> None:
    for _ in range(10):
        reservation = str(uuid.uuid4())
        at_once(
            [
                lambda r=reservation: reserve(inventory, (scarce, 3), reservation=r),
                lambda r=reservation: release(inventory, r),
            ]
        )

    assert standing_books.available(scarce) == 10


def test_thirty_two_reservations_at_once_never_oversell(
    inventory: RunningService, standing_books: Books, scarce: str, at_once: Any
) -> None:
    statuses = at_once([lambda: reserve(inventory, (scarce, 1)).status_code] * 32)

    assert Counter(statuses) == {200: 10, 409: 22}
    assert standing_books.available(scarce) == 0


def test_orders_that_name_their_items_the_other_way_round_do_not_deadlock(
    inventory: RunningService, standing_books: Books, at_once: Any
) -> None:
    forth, back = [("cap-navy", 1), ("tee-black", 1)], [("tee-black", 1), ("cap-navy", 1)]

    def keep_reserving(items: list[tuple[str, int]]) -> set[int]:
        return {reserve(inventory, *items).status_code for _ in range(10)}

    seen = at_once([lambda n=n: keep_reserving(back if n % 2 else forth) for n in range(8)])

    assert seen == [{200}] * 8


def test_an_added_index_is_dropped_once_nobody_reads_its_table_and_holds_nobody_up(
    shop: Shop, lab_database: LabDatabase
) -> None:
    inventory = shop.start("inventory")
    with closing(lab_database.connect()) as candidate, candidate.cursor() as cursor:
        cursor.execute("CREATE INDEX extra ON inventory.stock (name)")
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM inventory.stock")

        refused = inventory.client.post("/admin/baseline", timeout=5)

        assert refused.is_error
        assert inventory.client.get("/api/inventory/mug-blue", timeout=1).status_code == 200
        cursor.execute("ROLLBACK")

        assert inventory.client.post("/admin/baseline").status_code == 200

        cursor.execute("SELECT to_regclass('inventory.extra')")
        assert cursor.fetchall() == [(None,)]
