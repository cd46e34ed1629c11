"""The tables of alerts; ``database/50-incident.sql`` creates them."""

from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, String, Table, Uuid, cast, exists, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="incident")


def _time(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), server_default=func.now(), nullable=False)


correlation_slots = Table(
    "correlation_slots",
    metadata,
    Column("service", String, primary_key=True),
    Column("severity", String, primary_key=True),
    Column("opening", Uuid),
    Column("title", String),
    Column("is_waiting", Boolean, nullable=False, server_default="false"),
    _time("claimed_until"),
    _time("touched_at"),
)
alerts = Table(
    "alerts",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("source", String, nullable=False),
    Column("fingerprint", String),
    Column("service", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("message", String, nullable=False),
    Column("labels", JSONB, nullable=False, server_default="{}"),
    _time("occurred_at"),
    _time("received_at"),
    _time("last_seen_at"),
    Column("repeats", Integer, nullable=False, server_default="0"),
    Column("action", String, nullable=False),
    Column("opening", Uuid),
    Column("incident_id", Uuid),
    Column("resolved_at", DateTime(timezone=True)),
    Column("superseded_at", DateTime(timezone=True)),
    Column("idempotency_key", String),
    Column("request_hash", String),
)

_foreign = MetaData(schema="incident")
incidents = Table(
    "incidents",
    _foreign,
    Column("id", Uuid, primary_key=True),
    Column("service", String),
    Column("severity", String),
    Column("status", String),
    Column("created_at", DateTime(timezone=True)),
    Column("idempotency_key", String),
)
"""What is read here of incident-management's incidents."""
timeline = Table(
    "timeline",
    _foreign,
    Column("incident_id", Uuid),
    Column("actor", String),
    Column("what", String),
    Column("to_value", String),
)
"""What is appended here to incident-management's timeline."""

incident_exists = exists().where(incidents.c.idempotency_key == cast(correlation_slots.c.opening, String))
"""Whether a slot's opening has its incident: it was asked for under the opening as its key."""
