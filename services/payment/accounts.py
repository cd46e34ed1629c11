"""Customers, balances, transactions: what is read of the ledger, and the webhook's events."""

from datetime import timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database
from services.common.errors import NotFound
from services.payment.schemas import (
    Balance,
    Customer,
    NewCustomer,
    PaymentMethod,
    Stats,
    Transaction,
    TransactionPage,
    WebhookEvent,
    WebhookReceipt,
)
from services.payment.tables import account_balances, customers, payment_methods, transactions, webhook_events

STATS_WINDOW = timedelta(minutes=15)


class Accounts:
    """The readable side of the ledger in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def customer(self, customer_id: int) -> Customer:
        """One customer; raises ``NotFound``."""
        with self._database.transaction() as db:
            found = db.execute(select(customers).where(customers.c.id == customer_id)).one_or_none()
        if found is None:
            raise NotFound(f"no customer {customer_id}")
        return Customer.model_validate(found)

    def add_customer(self, new: NewCustomer) -> Customer:
        """A new customer with an empty account."""
        with self._database.transaction() as db:
            added = db.execute(
                insert(customers).values(name=new.name, email=new.email).returning(*customers.c)
            ).one()
            db.execute(insert(account_balances).values(customer_id=added.id, balance=0))
        return Customer.model_validate(added)

    def balance(self, customer_id: int) -> Balance:
        """What a customer's account holds; raises ``NotFound``."""
        with self._database.transaction() as db:
            found = db.execute(
                select(account_balances).where(account_balances.c.customer_id == customer_id)
            ).one_or_none()
        if found is None:
            raise NotFound(f"no account of customer {customer_id}")
        return Balance.model_validate(found)

    def payment_methods(self, customer_id: int) -> list[PaymentMethod]:
        """A customer's ways to pay; raises ``NotFound`` for an unknown customer."""
        self.customer(customer_id)
        query = select(payment_methods).where(payment_methods.c.customer_id == customer_id)
        with self._database.transaction() as db:
            found = db.execute(query.order_by(payment_methods.c.id)).all()
        return [PaymentMethod.model_validate(row) for row in found]

    def transaction(self, transaction_id: int) -> Transaction:
        """One transaction; raises ``NotFound``."""
        with self._database.transaction() as db:
            found = db.execute(select(transactions).where(transactions.c.id == transaction_id)).one_or_none()
        if found is None:
            raise NotFound(f"no transaction {transaction_id}")
        return Transaction.model_validate(found)

    def transactions(
        self, *, customer_id: int | None, status: str | None, limit: int, offset: int
    ) -> TransactionPage:
        """A page of transactions, newest first."""
        query: Select[tuple[object, ...]] = select(transactions).order_by(transactions.c.id.desc())
        if customer_id is not None:
            query = query.where(transactions.c.customer_id == customer_id)
        if status is not None:
            query = query.where(transactions.c.status == status)
        with self._database.transaction() as db:
            found = db.execute(query.limit(limit + 1).offset(offset)).all()
        return TransactionPage.of(found, limit=limit, offset=offset)

    def stats(self) -> Stats:
        """Counts over the last fifteen minutes."""
        t = transactions.c
        recent = t.created_at > func.now() - STATS_WINDOW
        with self._database.transaction() as db:
            counts = db.execute(
                select(t.kind, t.status, func.count().label("n")).where(recent).group_by(t.kind, t.status)
            ).all()
            pending = db.scalar(select(func.count()).where(t.status == "pending"))
            # The highest id, since counting every customer would get slower every day.
            n_customers = db.scalar(select(func.max(customers.c.id)))
        return Stats(
            window_s=int(STATS_WINDOW.total_seconds()),
            transactions={f"{row.kind}.{row.status}": row.n for row in counts},
            customers=n_customers or 0,
            pending=pending or 0,
        )

    def receive(self, event: WebhookEvent) -> WebhookReceipt:
        """Keep an event of the payment gateway, once."""
        with self._database.transaction() as db:
            added = db.execute(
                insert(webhook_events)
                .values(event_id=event.event_id, type=event.type, data=event.data)
                .on_conflict_do_nothing()
                .returning(webhook_events.c.event_id)
            ).one_or_none()
        return WebhookReceipt(event_id=event.event_id, status="accepted" if added else "duplicate")
