"""The ledger's tables; ``database/30-payment.sql`` creates them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(schema="payment")


def _created(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), server_default=func.now(), nullable=False)


customers = Table(
    "customers",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("name", String, nullable=False),
    Column("email", String, nullable=False),
    Column("trusted", Boolean, nullable=False, server_default="false"),
    _created("created_at"),
)
account_balances = Table(
    "account_balances",
    metadata,
    Column("customer_id", BigInteger, primary_key=True),
    Column("balance", Numeric(14, 2), nullable=False),
    _created("updated_at"),
)
payment_methods = Table(
    "payment_methods",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("label", String, nullable=False),
    Column("card_range", String),
    _created("created_at"),
)
transactions = Table(
    "transactions",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("amount", Numeric(12, 2), nullable=False),
    Column("status", String, nullable=False),
    Column("reason", String),
    Column("refundable", Numeric(12, 2), nullable=False, server_default="0"),
    Column("refund_of", BigInteger),
    Column("reservation_id", Uuid),
    _created("created_at"),
    Column("completed_at", DateTime(timezone=True)),
)
fraud_reviews = Table(
    "fraud_reviews",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("transaction_id", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    _created("created_at"),
)
releases = Table(
    "releases",
    metadata,
    Column("reservation_id", Uuid, primary_key=True),
    _created("created_at"),
    Column("released_at", DateTime(timezone=True)),
)
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("route", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("request_hash", String, nullable=False),
    _created("started_at"),
    Column("response_status", Integer),
    Column("response_body", JSONB),
)
webhook_events = Table(
    "webhook_events",
    metadata,
    Column("event_id", String, primary_key=True),
    Column("type", String, nullable=False),
    Column("data", JSONB, nullable=False),
    _created("received_at"),
)
acquirers = Table(
    "acquirers",
    metadata,
    Column("name", String, primary_key=True),
    Column("accepts", Boolean, nullable=False, server_default="true"),
    Column("refused_card_ranges", ARRAY(String), nullable=False, server_default="{}"),
)
