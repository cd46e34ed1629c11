"""The on-call tables; ``database/60-oncall.sql`` creates them."""

from sqlalchemy import BigInteger, Column, DateTime, Identity, Integer, MetaData, String, Table, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(schema="oncall")


def _id() -> Column[object]:
    return Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid())


def _seq() -> Column[object]:
    return Column("seq", BigInteger, Identity(always=True), nullable=False)


def _at(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), server_default=func.now(), nullable=False)


schedules = Table(
    "schedules",
    metadata,
    _id(),
    _seq(),
    Column("name", String, nullable=False),
    Column("team", String, nullable=False),
    Column("members", ARRAY(String), nullable=False),
    Column("time_zone", String, nullable=False),
    Column("rotation", JSONB, nullable=False),
    _at("created_at"),
)
overrides = Table(
    "overrides",
    metadata,
    _id(),
    _seq(),
    Column("team", String, nullable=False),
    Column("engineer", String, nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("reason", String, nullable=False),
    _at("created_at"),
)
escalation_policies = Table(
    "escalation_policies",
    metadata,
    Column("team", String, primary_key=True),
    Column("levels", JSONB, nullable=False),
    _at("updated_at"),
)
escalations = Table(
    "escalations",
    metadata,
    _id(),
    _seq(),
    Column("incident_id", String, nullable=False),
    Column("level", Integer, nullable=False),
    Column("team", String, nullable=False),
    Column("engineer", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("message", String, nullable=False),
    Column("origin", String, nullable=False),
    Column("status", String, nullable=False, server_default="pending"),
    Column("delivery_id", Uuid),
    _at("created_at"),
    Column("settled_at", DateTime(timezone=True)),
    Column("handed_over_at", DateTime(timezone=True)),
)
