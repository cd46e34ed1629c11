"""What the dashboards are built of: queries, panels, variables, links, annotations.

Every panel is made with a unit and a title that says what good looks like.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.grafana import FOLDER
from monitoring.grafana.queries import PHASES

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")
INCIDENTS = DataSourceRef(type_val="grafana-postgresql-datasource", uid="incidents")
TAG = "firedrill"
CONSOLE = "http://localhost:8080"
EVERYTHING = ".*"
INTERVALS = ("15s", "30s", "1m", "5m", "15m")
SERVICE_LABEL = "${__field.labels.service}"

Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour holds; the first has no value."""
NONE_IS_GOOD: Steps = ((None, "green"), (1, "red"))

_Panel = TypeVar(
    "_Panel",
    timeseries.Panel,
    stat.Panel,
    bargauge.Panel,
    barchart.Panel,
    table.Panel,
    statetimeline.Panel,
)


# Queries


class SqlQuery(Dataquery):
    """A statement for Grafana's PostgreSQL data source, in the form of its code editor."""

    def __init__(self, statement: str) -> None:
        self.statement = statement
        self.ref_id = "A"

    def to_json(self) -> dict[str, object]:
        """As it stands in a dashboard."""
        return {
            "refId": self.ref_id,
            "datasource": INCIDENTS,
            "editorMode": "code",
            "format": "table",
            "rawQuery": True,
            "rawSql": self.statement,
        }


class _Built(Builder[Dataquery]):
    def __init__(self, query: Dataquery) -> None:
        self._query = query

    def build(self) -> Dataquery:
        return self._query


def promql(expression: str, legend: str, *, ref: str = "A") -> prometheus.Dataquery:
    """An expression over the time shown. ``legend`` names each series, with its labels in ``{{}}``."""
    query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref).datasource(PROMETHEUS)
    return query.range()


def promql_now(expression: str, legend: str, *, ref: str = "A") -> prometheus.Dataquery:
    """An expression at the end of the time shown."""
    return promql(expression, legend, ref=ref).instant()


def buckets_now(expression: str) -> prometheus.Dataquery:
    """The buckets of a histogram, as Grafana wants them in order to show each by itself."""
    return promql_now(expression, "{{le}}").format(PromQueryFormat.HEATMAP)


def sql(name: str) -> Builder[Dataquery]:
    """The statement on the incidents that is in ``statements/<name>.sql``."""
    return _Built(SqlQuery(_statement(name)))


def _statement(name: str) -> str:
    return (FOLDER / "statements" / f"{name}.sql").read_text(encoding="utf-8").rstrip()


# Panels


def lines(
    title: str,
    *queries: Builder[Dataquery],
    good: str,
    unit: str,
    width: int = 12,
    height: int = 8,
    limit: float | None = None,
    stacked: bool = False,
    traces_of: str = "",
) -> timeseries.Panel:
    """Values over time. ``limit`` is drawn; a click leads to the traces of the service ``traces_of``."""
    panel = _dressed(timeseries.Panel(), title, queries, good=good, unit=unit, width=width, height=height)
    panel.fill_opacity(30 if stacked else 8).show_points(VisibilityMode.NEVER).min(0)
    panel.legend(_legend()).tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if limit is not None:
        panel.thresholds(_thresholds([(None, "transparent"), (limit, "red")]))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    if traces_of:
        panel.data_links([_traces(traces_of)])
    return panel


def number(
    title: str,
    *queries: Builder[Dataquery],
    good: str,
    unit: str,
    steps: Steps,
    width: int = 6,
    height: int = 5,
    decimals: int | None = None,
) -> stat.Panel:
    """One big number for each series, coloured by ``steps``."""
    panel = _dressed(stat.Panel(), title, queries, good=good, unit=unit, width=width, height=height)
    panel.thresholds(_thresholds(steps)).graph_mode(BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if decimals is not None:
        panel.decimals(decimals)
    return panel


def distribution(
    title: str, *queries: Builder[Dataquery], good: str, unit: str, width: int = 12, height: int = 8
) -> bargauge.Panel:
    """A bar for each bucket of a histogram."""
    panel = _dressed(bargauge.Panel(), title, queries, good=good, unit=unit, width=width, height=height)
    panel.display_mode(BarGaugeDisplayMode.GRADIENT).orientation(VizOrientation.HORIZONTAL).min(0)
    panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.CONTINUOUS_BL_PU))
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def bars(
    title: str, *queries: Builder[Dataquery], good: str, unit: str, by: str, width: int = 12, height: int = 8
) -> barchart.Panel:
    """A group of bars for each value of the column ``by``."""
    panel = _dressed(barchart.Panel(), title, queries, good=good, unit=unit, width=width, height=height)
    return panel.x_field(by).min(0).show_value(VisibilityMode.AUTO).legend(_legend())


def rows(
    title: str,
    *queries: Builder[Dataquery],
    good: str,
    unit: str,
    units: Sequence[tuple[str, str]] = (),
    links: Sequence[tuple[str, str, str]] = (),
    width: int = 24,
    height: int = 10,
) -> table.Panel:
    """A table. ``units`` are columns with a unit of their own, ``links`` columns with a title and a URL."""
    panel = _dressed(table.Panel(), title, queries, good=good, unit=unit, width=width, height=height)
    for column, its_unit in units:
        panel.override_by_name(column, [DynamicConfigValue(id_val="unit", value=its_unit)])
    for column, text, url in links:
        link = {"title": text, "url": url, "targetBlank": True}
        panel.override_by_name(column, [DynamicConfigValue(id_val="links", value=[link])])
    return panel


def timeline(
    title: str,
    *queries: Builder[Dataquery],
    good: str,
    states: Sequence[tuple[str, str, str]],
    width: int = 24,
    height: int = 8,
) -> statetimeline.Panel:
    """A bar for each series, coloured by its state. ``states`` are value, text and colour."""
    panel = _dressed(
        statetimeline.Panel(), title, queries, good=good, unit="none", width=width, height=height
    )
    options = {
        value: ValueMappingResult(text=text, color=color, index=index)
        for index, (value, text, color) in enumerate(states)
    }
    panel.mappings([ValueMap(options=options)])
    return panel.show_value(VisibilityMode.NEVER).row_height(0.8).merge_values(True).legend(_legend())


def _dressed(
    panel: _Panel,
    title: str,
    queries: Sequence[Builder[Dataquery]],
    *,
    good: str,
    unit: str,
    width: int,
    height: int,
) -> _Panel:
    """The panel with what all of them have."""
    for query in queries:
        panel.with_target(query)
    source = INCIDENTS if any(isinstance(query, _Built) for query in queries) else PROMETHEUS
    return panel.title(f"{title} — good: {good}").unit(unit).datasource(source).span(width).height(height)


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True)
    return legend.display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    made = [Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def _traces(service: str) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Traces of this service").type(DashboardLinkType.LINK).target_blank(True)
    return link.url("${console:raw}/traces?service=" + service)


# Dashboards


class Annotation(AnnotationQuery):
    """An annotation with the fields that its data source needs and the SDK does not know."""

    def __init__(self, *, more: dict[str, Any], **known: Any) -> None:
        super().__init__(**known)
        self.more = more

    def to_json(self) -> dict[str, object]:
        """As it stands in a dashboard."""
        return {**super().to_json(), **self.more}


class _BuiltAnnotation(Builder[AnnotationQuery]):
    def __init__(self, annotation: Annotation) -> None:
        self._annotation = annotation

    def build(self) -> AnnotationQuery:
        return self._annotation


def faults() -> Builder[AnnotationQuery]:
    """From when to when a scenario holds its fault. A blind lab has no such series, and so no mark."""
    return _phases('{phase="hold"}', name="Scenario", text="The scenario holds.")


def phases() -> Builder[AnnotationQuery]:
    """From when to when each phase of a scenario lasts: soak, hold, rest. Nothing when the lab is blind."""
    return _phases("", name="Phases", text="{{phase}}")


def _phases(matchers: str, *, name: str, text: str) -> Builder[AnnotationQuery]:
    expression = f"max by (scenario, phase) ({PHASES}{matchers})"
    return _BuiltAnnotation(
        Annotation(
            name=name,
            datasource=PROMETHEUS,
            icon_color="purple",
            more={
                "target": {"refId": "Anno", "expr": expression, "interval": "15s"},
                "titleFormat": "{{scenario}}",
                "textFormat": text,
                "tagKeys": "scenario,phase",
                "useValueForTime": False,
            },
        )
    )


def incidents() -> Builder[AnnotationQuery]:
    """From when to when an incident lasted. The columns are those that the data source looks for."""
    query = {**SqlQuery(_statement("incident-annotations")).to_json(), "refId": "Anno"}
    return _BuiltAnnotation(
        Annotation(name="Incidents", datasource=INCIDENTS, icon_color="red", more={"target": query})
    )


def new_dashboard(
    uid: str,
    title: str,
    *panels: Builder[Panel],
    about: str,
    shown: str = "now-30m",
    refresh: str = "5s",
    service: str = EVERYTHING,
    intervals: Sequence[str] = INTERVALS,
    annotations: Sequence[Builder[AnnotationQuery]] = (),
) -> Dashboard:
    """A dashboard with the links that all have, and the variables that its panels use.

    ``service`` is the one chosen at first, ``intervals`` are those to choose from; empty leaves its variable
    out.
    """
    builder = dashboard.Dashboard(title).uid(uid).description(about).tags([TAG]).readonly()
    builder.time(shown, "now").refresh(refresh).timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    services = [_service_variable(service)] if service else []
    builder.variables([*services, *_interval_variables(intervals), _console_variable()])
    builder.annotations(list(annotations))
    builder.links([_siblings(), _console_link()])
    for panel in panels:
        builder.with_panel(panel)
    built = builder.build()
    for number_of_panel, panel_of_dashboard in enumerate(built.panels or (), start=1):
        panel_of_dashboard.id_val = number_of_panel
    return built


def _service_variable(chosen: str) -> dashboard.QueryVariable:
    everything = chosen == EVERYTHING
    current = VariableOption(
        selected=True, text=["All"] if everything else [chosen], value=["$__all"] if everything else [chosen]
    )
    variable = dashboard.QueryVariable("service").label("Service").datasource(PROMETHEUS)
    variable.query({"query": "label_values(http_requests_total, service)", "refId": "services"})
    variable.multi(True).include_all(True).all_value(EVERYTHING).current(current)
    return variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)


def _interval_variables(offered: Sequence[str]) -> list[dashboard.IntervalVariable]:
    if not offered:
        return []
    options = [VariableOption(selected=one == "30s", text=one, value=one) for one in offered]
    variable = dashboard.IntervalVariable("interval").label("Interval").values(",".join(offered))
    return [variable.options(options).current(VariableOption(selected=True, text="30s", value="30s"))]


def _console_variable() -> dashboard.TextBoxVariable:
    option = VariableOption(selected=True, text=CONSOLE, value=CONSOLE)
    variable = dashboard.TextBoxVariable("console").label("Console").default_value(CONSOLE)
    return variable.current(option).options([option]).hide(VariableHide.HIDE_VARIABLE)


def _siblings() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.keep_time(True).include_vars(True)


def _console_link() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Console").type(DashboardLinkType.LINK).icon("external link")
    return link.url("${console:raw}").target_blank(True).tooltip("Incidents, on-call, traces, logs, errors")
