"""The tables of incidents; ``database/50-incident.sql`` creates them."""

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, String, Table, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="incident")


def _time(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), server_default=func.now(), nullable=False)


incidents = Table(
    "incidents",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("title", String, nullable=False),
    Column("service", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("status", String, nullable=False, server_default="open"),
    Column("assigned_to", String),
    _time("created_at"),
    _time("updated_at"),
    Column("acknowledged_at", DateTime(timezone=True)),
    Column("acknowledged_by", String),
    Column("resolved_at", DateTime(timezone=True)),
    Column("resolved_by", String),
    Column("reopened_from", Uuid),
    Column("idempotency_key", String),
    Column("request_hash", String),
)
timeline = Table(
    "timeline",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("incident_id", Uuid, nullable=False),
    _time("at"),
    Column("actor", String, nullable=False),
    Column("what", String, nullable=False),
    Column("from_value", String),
    Column("to_value", String),
)
notes = Table(
    "notes",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("incident_id", Uuid, nullable=False),
    _time("at"),
    Column("author", String, nullable=False),
    Column("text", String, nullable=False),
)
postmortems = Table(
    "postmortems",
    metadata,
    Column("incident_id", Uuid, primary_key=True),
    _time("written_at"),
    Column("author", String, nullable=False),
    Column("summary", String, nullable=False),
    Column("impact", String, nullable=False),
    Column("root_cause", String, nullable=False),
    Column("lessons", String, nullable=False),
    Column("action_items", JSONB, nullable=False),
)
outbox = Table(
    "outbox",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("incident_id", Uuid, nullable=False),
    Column("kind", String, nullable=False),
    Column("recipient", String, nullable=False, server_default=""),
    _time("created_at"),
    _time("due_at"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("done_at", DateTime(timezone=True)),
)

alerts = Table(
    "alerts",
    MetaData(schema="incident"),
    Column("id", Uuid, primary_key=True),
    Column("source", String),
    Column("message", String),
    Column("labels", JSONB),
    Column("action", String),
    Column("incident_id", Uuid),
    Column("repeats", Integer),
    Column("occurred_at", DateTime(timezone=True)),
    Column("received_at", DateTime(timezone=True)),
    Column("resolved_at", DateTime(timezone=True)),
)
"""What is read here of the alerts; they are alert-ingestion's, which writes them."""
