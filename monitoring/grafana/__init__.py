"""Grafana's dashboards as code, the JSON generated from it, and the check that every query answers."""

from pathlib import Path

FOLDER = Path(__file__).parent
DASHBOARDS = FOLDER / "dashboards"
"""The generated JSON, one file for each dashboard, named after its uid."""
