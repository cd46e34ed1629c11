"""The profile service's table; ``database/20-profile.sql`` creates it on Postgres."""

from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, func

metadata = MetaData(schema="profile")

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("email", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("plan", String, nullable=False),
    Column("country", String, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
