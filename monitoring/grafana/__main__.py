"""Writes the dashboards' JSON: ``python -m monitoring.grafana``."""

from monitoring.grafana import DASHBOARDS
from monitoring.grafana.generate import generated

DASHBOARDS.mkdir(exist_ok=True)
for name, text in generated().items():
    (DASHBOARDS / name).write_text(text, encoding="utf-8")
