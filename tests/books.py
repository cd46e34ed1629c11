"""The books of the shop: what Postgres has of money and stock, and whether it adds up."""

from decimal import Decimal
from typing import Any

from sqlalchemy import text

from tests.conftest import LabDatabase

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
        self._engine = database.engine()
        self._money = self.money()
        self._stock = self.stock_owned()

    def query(self, statement: str, **parameters: object) -> list[Any]:
        """The rows of a statement, which may also be a change."""
        with self._engine.begin() as db:
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
        found = self.value(
            "SELECT balance FROM payment.account_balances WHERE customer_id = :id", id=customer_id
        )
        return Decimal(found)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self.value(f"SELECT count(*) FROM {table}"))

    def open_account(self, balance: str, *, trusted: bool = False) -> int:
        """A customer of the test's own, with money that comes from outside."""
        customer_id = self.value(
            "INSERT INTO payment.customers (name, email, trusted)"
            " VALUES ('Test', 't@t.test', :trusted) RETURNING id",
            trusted=trusted,
        )
        self.query(
            "INSERT INTO payment.account_balances VALUES (:id, :balance)", id=customer_id, balance=balance
        )
        self._money += Decimal(balance)
        return int(customer_id)

    def deposit(self, customer_id: int, amount: str) -> None:
        """More money from outside."""
        self.query(
            "UPDATE payment.account_balances SET balance = balance + :amount WHERE customer_id = :id",
            amount=amount,
            id=customer_id,
        )
        self._money += Decimal(amount)

    def take_in(self, sku: str, available: int) -> None:
        """A new article, with stock that comes from outside."""
        self.query(
            "INSERT INTO inventory.stock VALUES (:sku, :sku, :available)", sku=sku, available=available
        )
        self._stock[sku] = available

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
