"""The dashboards as they are generated: up to date, complete, and readable for Grafana and for us."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from embedded.monitoring.promql import read
from monitoring.grafana import DASHBOARDS, FOLDER
from monitoring.grafana.generate import generated
from monitoring.grafana.queries import (
    PROMETHEUS,
    Chosen,
    UnknownVariable,
    filled_in,
    queries,
    read_dashboards,
)
from scenarios.model import MODES, NO_FAULT

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CHOSEN = Chosen(since=NOW - timedelta(minutes=15), until=NOW)
PROVISIONING = FOLDER / "provisioning"
UNITS = {value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str)} | {"x"}
"""Grafana's own, and one that is shown as it is written."""


def dashboards() -> list[dict[str, Any]]:
    return read_dashboards()


def panels() -> list[dict[str, Any]]:
    return [panel for dashboard in dashboards() for panel in dashboard["panels"]]


def test_the_generated_files_are_up_to_date() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS.iterdir()}

    assert files == generated(), "run python -m monitoring.grafana"


def test_the_five_dashboards_are_there() -> None:
    assert {path.name for path in DASHBOARDS.iterdir()} == {
        "golden-signals.json",
        "incident-b.json",
        "incident-overview.json",
        "lab.json",
        "sre-performance.json",
    }


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_has_a_unit_a_query_and_a_title_that_says_what_good_looks_like(panel: dict[str, Any]) -> None:
    what, _, good = panel["title"].partition(" — good: ")

    assert what
    assert good
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
def test_a_dashboard_can_be_narrowed_down_and_left(dashboard: dict[str, Any]) -> None:
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}

    assert variables & {"service", "interval"}
    assert any(
        link["type"] == "dashboards" and link["tags"] == dashboard["tags"] for link in dashboard["links"]
    )
    assert any("${console:raw}" in link.get("url", "") for link in dashboard["links"])


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
def test_a_dashboard_uses_each_of_its_variables(dashboard: dict[str, Any]) -> None:
    used = json.dumps({name: value for name, value in dashboard.items() if name != "templating"})

    for variable in dashboard["templating"]["list"]:
        assert re.search(rf"\$\{{?{variable['name']}\b", used), variable["name"]


def test_what_is_lost_on_the_way_to_telemetry_is_counted_on_the_page_of_the_lab() -> None:
    text = json.dumps(next(one for one in dashboards() if one["uid"] == "lab"))

    assert [one for one in ("signals", "spans", "error_events") if f"{one}_dropped_total" not in text] == []


def test_series_of_a_service_lead_to_its_traces_and_incidents_to_their_page() -> None:
    text = json.dumps(panels())

    assert "${console:raw}/traces?service=${__field.labels.service}" in text
    assert "${console:raw}/incidents/${__value.raw}" in text


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
def test_panels_stand_beside_each_other_and_have_numbers_of_their_own(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in dashboard["panels"]):
        columns = range(place["x"], place["x"] + place["w"])
        lines = range(place["y"], place["y"] + place["h"])
        cells = {(x, y) for x in columns for y in lines}
        assert columns.stop <= 24
        assert not cells & taken
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
def test_the_schema_of_grafana_knows_everything_that_a_dashboard_says(dashboard: dict[str, Any]) -> None:
    """Except in annotations, of which it knows only the common part."""
    register_default_plugins()
    known = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))

    for name in dashboard.keys() - {"annotations"}:
        assert missing(dashboard[name], known[name], place=name) == []


def missing(ours: Any, theirs: Any, *, place: str) -> list[str]:
    """What is in ours and not in theirs, which may say more."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        absent = [f"{place}.{key}" for key in ours.keys() - theirs.keys()]
        deeper = [
            missing(ours[key], theirs[key], place=f"{place}.{key}") for key in ours.keys() & theirs.keys()
        ]
        return [*absent, *(one for found in deeper for one in found)]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = zip(ours, theirs, strict=True)
        return [one for n, (a, b) in enumerate(pairs) for one in missing(a, b, place=f"{place}.{n}")]
    return [] if ours == theirs else [place]


@pytest.mark.parametrize("query", queries(dashboards()), ids=lambda query: query.place)
def test_a_query_has_all_its_variables_filled_in_and_can_be_read(query: Any) -> None:
    text = filled_in(query, CHOSEN)

    assert "$_" not in text
    assert "${" not in text
    if query.source == PROMETHEUS:
        assert read(text).text == text


def test_a_variable_that_nothing_fills_in_is_an_error() -> None:
    query = next(query for query in queries(dashboards()) if query.source == PROMETHEUS)
    unknown = type(query)("d", "p", PROMETHEUS, "rate(up[$windw])")

    with pytest.raises(UnknownVariable, match="windw"):
        filled_in(unknown, CHOSEN)


def test_no_dashboard_names_what_can_be_broken() -> None:
    modes = {mode for of_service in MODES.values() for mode in of_service} - {NO_FAULT}
    text = "".join(path.read_text(encoding="utf-8") for path in DASHBOARDS.iterdir())

    assert [mode for mode in sorted(modes) if mode.lower() in text.lower()] == []


def test_every_data_source_that_is_used_is_provisioned_and_no_password_is_written_down() -> None:
    provisioned = yaml.safe_load((PROVISIONING / "datasources" / "datasources.yml").read_text())[
        "datasources"
    ]
    used = {
        (target["datasource"]["type"], target["datasource"]["uid"])
        for panel in panels()
        for target in (panel, *panel["targets"])
    }

    assert used <= {(source["type"], source["uid"]) for source in provisioned}
    secrets = [value for source in provisioned for value in source.get("secureJsonData", {}).values()]
    assert secrets == ["$OBSERVER_DB_PASSWORD"]


def test_the_lab_marks_each_phase_and_the_shop_marks_faults_alone() -> None:
    marks = {
        dashboard["uid"]: [
            target["expr"] for one in dashboard["annotations"]["list"] if "expr" in (target := one["target"])
        ]
        for dashboard in dashboards()
    }
    fault = 'max by (scenario, phase) (lab_phase{phase="hold"})'
    assert {uid: found for uid, found in marks.items() if found} == {
        "lab": ["max by (scenario, phase) (lab_phase)"],
        "golden-signals": [fault],
        "incident-b": [fault],
    }
