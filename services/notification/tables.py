"""The outbox' tables; ``database/70-notification.sql`` creates them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY

metadata = MetaData(schema="notification")

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("incident_id", String),
    Column("channel", String, nullable=False),
    Column("recipient", String, nullable=False),
    Column("message", String, nullable=False),
    Column("note", String),
    Column("status", String, nullable=False, server_default="queued"),
    Column("is_bundle", Boolean, nullable=False, server_default="false"),
    Column("bundle_id", Uuid),
    Column("attempt_count", Integer, nullable=False, server_default="0"),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("reached", ARRAY(String), nullable=False, server_default="{}"),
    Column("last_error", String),
    Column("idempotency_key", String),
    Column("request_hash", String),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
)
attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("ended_at", DateTime(timezone=True)),
    Column("outcome", String),
    Column("error", String),
)
