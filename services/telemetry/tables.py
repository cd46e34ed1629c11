"""What is stored; ``database/75-telemetry.sql`` creates it."""

from sqlalchemy import (
    Boolean,
    Column,
    Computed,
    DateTime,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(schema="telemetry")


def _received_at() -> Column[object]:
    return Column("received_at", DateTime(timezone=True), server_default=func.now(), nullable=False)


signals = Table(
    "signals",
    metadata,
    Column("signal_id", Uuid, primary_key=True),
    Column("timestamp", DateTime(timezone=True), nullable=False),
    _received_at(),
    Column("service", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("trace_id", Text),
    Column("attributes", JSONB, server_default="{}", nullable=False),
)
spans = Table(
    "spans",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("span_id", Text, primary_key=True),
    Column("parent_span_id", Text),
    _received_at(),
    Column("service", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("status_message", Text),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("duration_ms", Double, nullable=False),
    Column("attributes", JSONB, server_default="{}", nullable=False),
    Column("events", JSONB, server_default="[]", nullable=False),
)
traces = Table(
    "traces",
    metadata,
    Column("trace_id", Text, primary_key=True),
    _received_at(),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True), nullable=False),
    Column(
        "duration_ms", Double, Computed("extract(epoch FROM ended_at - started_at) * 1000"), nullable=False
    ),
    Column("spans", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("services", ARRAY(Text), nullable=False),
    Column("routes", ARRAY(Text), nullable=False),
    Column("root_service", Text, nullable=False),
    Column("root_name", Text, nullable=False),
    Column("root_started_at", DateTime(timezone=True), nullable=False),
    Column("has_root", Boolean, nullable=False),
)
events = Table(
    "events",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("timestamp", DateTime(timezone=True), nullable=False),
    _received_at(),
    Column("group_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("culprit", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("trace_id", Text),
    Column("release", Text),
    Column("environment", Text),
    Column("tags", JSONB, server_default="{}", nullable=False),
    Column("stacktrace", JSONB, server_default="[]", nullable=False),
    Column("breadcrumbs", JSONB, server_default="[]", nullable=False),
)

BOUNDED = (signals, spans, traces, events)
"""The tables that retention keeps bounded, in this order: a trace is looked at after its spans."""
