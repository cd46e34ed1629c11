"""Every query that the generated dashboards send, with Grafana's variables filled in."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from monitoring.grafana import DASHBOARDS

Source = Literal["prometheus", "grafana-postgresql-datasource"]
PROMETHEUS: Source = "prometheus"
POSTGRES: Source = "grafana-postgresql-datasource"
PHASES = "lab_phase"
"""The metric that a blind lab has not."""
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
_TIME_FILTER = re.compile(r"\$__timeFilter\(([\w.]+)\)")
_TIME_BOUND = re.compile(r"\$__time(From|To)\(\)")
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<metric>\w+),\s*)?(?P<label>\w+)\)")


@dataclass(frozen=True)
class Query:
    """One query as it stands in the JSON."""

    dashboard: str
    panel: str
    """The panel's title, or what else the query is for."""
    source: Source
    text: str
    is_instant: bool = False

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.dashboard} / {self.panel}"


@dataclass(frozen=True)
class Chosen:
    """What a viewer has chosen: the time and the variables."""

    since: datetime
    until: datetime
    interval: str = "30s"
    service: str = ".*"
    console: str = "http://localhost:8080"

    @property
    def range(self) -> str:
        """``$__range``: the time shown, in whole seconds."""
        return f"{round((self.until - self.since).total_seconds())}s"


class UnknownVariable(Exception):
    """A query uses a variable that nothing fills in."""


def read_dashboards(folder: Path = DASHBOARDS) -> list[dict[str, Any]]:
    """The generated dashboards, by name of file."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def queries(dashboards: Sequence[Mapping[str, Any]]) -> list[Query]:
    """All queries of panels, annotations and variables."""
    return [
        query
        for one in dashboards
        for query in (*_of_panels(one), *_of_annotations(one), *_of_variables(one))
    ]


def filled_in(query: Query, chosen: Chosen) -> str:
    """The query as Grafana would send it. Raises ``UnknownVariable``."""
    values = {
        "interval": chosen.interval,
        "service": chosen.service,
        "console": chosen.console,
        "__range": chosen.range,
    }
    bounds = {"From": f"'{chosen.since.isoformat()}'", "To": f"'{chosen.until.isoformat()}'"}
    text = query.text
    if query.source == POSTGRES:
        text = _TIME_FILTER.sub(rf"\1 BETWEEN {bounds['From']} AND {bounds['To']}", text)
        text = _TIME_BOUND.sub(lambda found: bounds[found[1]], text)

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in values:
            raise UnknownVariable(f"{query.place}: ${name}")
        return values[name]

    return _VARIABLE.sub(value, text)


def _of_panels(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield _query(dashboard["uid"], panel["title"], target)


def _of_annotations(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    for annotation in dashboard["annotations"].get("list", []):
        target = {"datasource": annotation["datasource"], **annotation["target"]}
        yield _query(dashboard["uid"], f"annotation {annotation['name']}", target)


def _of_variables(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    """A variable's values are those of a label: whether there are any, a selector tells."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
            if found is None:
                raise UnknownVariable(f"{dashboard['uid']}: {variable['query']['query']}")
            expression = f'count by ({found["label"]}) ({found["metric"] or ""}{{{found["label"]}=~".+"}})'
            yield Query(
                dashboard["uid"], f"variable {variable['name']}", PROMETHEUS, expression, is_instant=True
            )


def _query(dashboard: str, panel: str, target: Mapping[str, Any]) -> Query:
    source: Source = target["datasource"]["type"]
    text = target["expr"] if source == PROMETHEUS else target["rawSql"]
    return Query(dashboard, panel, source, text, is_instant=bool(target.get("instant")))
