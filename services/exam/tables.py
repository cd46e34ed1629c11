"""The exam's tables; ``database/80-exam.sql`` creates them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
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

metadata = MetaData(schema="exam")

runs = Table(
    "runs",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("scenario", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("minutes", Double, nullable=False),
    Column("soak_s", Double, nullable=False),
    Column("blind", Boolean, nullable=False),
    Column("token_hash", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="created"),
    Column("trouble", Text),
    Column("created_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("injected_at", DateTime(timezone=True)),
    Column("paused_at", DateTime(timezone=True)),
    Column("paused_s", Double, nullable=False, server_default="0"),
    Column("ended_at", DateTime(timezone=True)),
    Column("ended_by", Text),
    Column("applied", ARRAY(Integer), nullable=False, server_default="{}"),
    Column("shown", ARRAY(Integer), nullable=False, server_default="{}"),
    Column("world", JSONB(none_as_null=True)),
    Column("final", JSONB(none_as_null=True)),
    Column("reverted_at", DateTime(timezone=True)),
    Column("journal", JSONB(none_as_null=True)),
    Column("score", JSONB(none_as_null=True)),
)
events = Table(
    "events",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Column("at", DateTime(timezone=True), server_default=func.clock_timestamp(), nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default="{}"),
)
probes = Table(
    "probes",
    metadata,
    Column("run_id", Uuid, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("route", Text, nullable=False),
    Column("affected", Boolean, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("status", Integer),
    Column("latency_ms", Double, nullable=False),
)
submissions = Table(
    "submissions",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    Column("diagnosis", JSONB, nullable=False),
    Column("findings", JSONB(none_as_null=True)),
)
recordings = Table(
    "recordings",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("since", DateTime(timezone=True), primary_key=True),
    Column("until", DateTime(timezone=True), nullable=False),
    Column("signals", JSONB, nullable=False),
    Column("restarts", JSONB, nullable=False),
)
