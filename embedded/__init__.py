"""The lab without Docker: Postgres, the services as processes, the load and the schedule."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The project's folder."""
