"""From the dashboards' code to the JSON that Grafana is given."""

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.grafana import golden_signals, incident_b, incident_overview, lab, sre_performance

_DASHBOARDS = (incident_overview, golden_signals, incident_b, sre_performance, lab)


def generated() -> dict[str, str]:
    """The text of each dashboard's file by the file's name."""
    built = [module.build() for module in _DASHBOARDS]
    return {
        f"{one.uid}.json": json.dumps(one, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        + "\n"
        for one in built
    }
