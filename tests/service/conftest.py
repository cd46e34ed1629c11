"""What the tests with real services share: a shop for a whole module, the books, and many clients at once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from embedded.postgres import Server
from tests.conftest import LabDatabase, Shop, _shop

MONEY = """
SELECT (SELECT sum(balance) FROM payment.account_balances)
     + (SELECT coalesce(sum(CASE kind WHEN 'payment' THEN amount ELSE -amount END), 0)
        FROM payment.transactions WHERE status = 'captured')
"""
STOCK = """
SELECT stock.sku, stock.available + coalesce(sum(held.quantity), 0)
FROM inventory.stock
LEFT JOIN (
    SELECT item ->> 'sku' AS sku, (item ->> 'quantity')::int AS quantity
    FROM inventory.reservations, jsonb_array_elements(items) AS item
    WHERE status = 'reserved'
) AS held USING (sku)
GROUP BY stock.sku, stock.available
"""


class Books:
    """What Postgres has of money and stock, and whether it still adds up."""

    def __init__(self, database: LabDatabase) -> None:
        self._database = database
        self._money = self.money()
        self._stock = self.stock_owned()

    def query(self, statement: str, **parameters: object) -> list[Any]:
        """The rows of a statement, which may also be a change."""
        with self._database.engine().begin() as db:
            result = db.execute(text(statement), parameters)
            return list(result.all()) if result.returns_rows else []

    def value(self, statement: str, **parameters: object) -> Any:
        """The single value of a query."""
        return self.query(statement, **parameters)[0][0]

    def money(self) -> Decimal:
        """Balances, and what is settled: captured payments less captured refunds."""
        return Decimal(self.value(MONEY))

    def stock_owned(self) -> dict[str, int]:
        """For each article what is available and what is reserved, together."""
        return {sku: int(owned) for sku, owned in self.query(STOCK)}

    def available(self, sku: str) -> int:
        """How many of an article can be reserved."""
        return int(self.value("SELECT available FROM inventory.stock WHERE sku = :sku", sku=sku))

    def balance(self, customer_id: int) -> Decimal:
        """What a customer's account holds."""
        found = self.value("SELECT balance FROM payment.account_balances WHERE customer_id = :id", id=customer_id)
        return Decimal(found)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self.value(f"SELECT count(*) FROM {table}"))

    def open_account(self, balance: str, *, trusted: bool = False) -> int:
        """A customer of the test's own, with money that comes from outside."""
        customer_id = self.value(
            "INSERT INTO payment.customers (name, email, trusted) VALUES ('Test', 't@t.test', :trusted) RETURNING id",
            trusted=trusted,
        )
        self.query("INSERT INTO payment.account_balances VALUES (:id, :balance)", id=customer_id, balance=balance)
        self._money += Decimal(balance)
        return int(customer_id)

    def open_releases(self) -> int:
        """Reservations that payment still has to give back."""
        return int(self.value("SELECT count(*) FROM payment.releases WHERE released_at IS NULL"))

    def pending(self) -> int:
        """Movements of money that have neither been captured nor ended."""
        return int(self.value("SELECT count(*) FROM payment.transactions WHERE status = 'pending'"))

    def assert_balanced(self) -> None:
        """Money and stock are conserved, and nothing is below zero."""
        assert self.money() == self._money
        assert self.stock_owned() == self._stock
        assert self.value("SELECT min(balance) FROM payment.account_balances") >= 0
        assert self.value("SELECT min(available) FROM inventory.stock") >= 0


@pytest.fixture
def books(lab_database: LabDatabase) -> Iterator[Books]:
    """The books of the test's own database; they must balance when the test is over."""
    books = Books(lab_database)
    yield books
    books.assert_balanced()


@pytest.fixture(scope="module")
def standing_database(postgres: Server, _database_numbers: Iterator[int]) -> LabDatabase:
    """One database for a module whose tests do not get into each other's way."""
    return LabDatabase(postgres.create_database(f"test_{next(_database_numbers)}", template="template"))


@pytest.fixture(scope="module")
def standing_shop(tmp_path_factory: pytest.TempPathFactory, standing_database: LabDatabase) -> Iterator[Shop]:
    """One shop for such a module."""
    folder: Path = tmp_path_factory.mktemp("shop")
    with _shop(folder, standing_database) as shop:
        yield shop


@pytest.fixture
def standing_books(standing_database: LabDatabase) -> Iterator[Books]:
    """The books of the module's database; they must balance after each test that looks at them."""
    books = Books(standing_database)
    yield books
    books.assert_balanced()


@pytest.fixture
def at_once() -> Callable[[list[Callable[[], Any]]], list[Any]]:
    """Call functions at the same moment, each in a thread of its own; their results in order."""

    def run(calls: list[Callable[[], Any]]) -> list[Any]:
        ready = threading.Barrier(len(calls))

        def start(call: Callable[[], Any]) -> Any:
            ready.wait()
            return call()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(start, calls))

    return run
