"""The inventory's tables; ``database/40-inventory.sql`` creates them."""

from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="inventory")

stock = Table(
    "stock",
    metadata,
    Column("sku", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("available", Integer, nullable=False),
    Column("updated_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("status", String, nullable=False),
    Column("items", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    Column("released_at", DateTime(timezone=True)),
)
