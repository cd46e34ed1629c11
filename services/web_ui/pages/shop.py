"""The page Shop: each service's golden signals over the last half hour, with the incidents marked."""

from collections.abc import Sequence
from dataclasses import dataclass

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from services.common.catalog import SERVICES
from services.web_ui.charts import line_chart
from services.web_ui.incidents import Filter, Incidents
from services.web_ui.parts import empty_state, severity_badge, tag
from services.web_ui.readings import Latest
from services.web_ui.schemas import Incident
from services.web_ui.signals import GoldenSignals, Point, Signals, last
from services.web_ui.theme import Frame, frame

REFRESH_S = 5.0
SHOP = ("gateway", "profile", "payment", "inventory", "fraud", "dns")
"""The shop's services in the order of a request."""
PLATFORM = tuple(service.name for service in SERVICES if service.name not in SHOP)


@dataclass(frozen=True)
class Signal:
    """One chart of a service: what it shows, in what unit, and what its axis reaches at least."""

    field: str
    title: str
    unit: str
    at_least: float


SIGNALS = (
    Signal("rate", "Requests", "/s", 1.0),
    Signal("error_ratio", "Errors (5xx)", "%", 0.05),
    Signal("p95_s", "Latency, p95", "s", 0.1),
)


def add_page(incidents: Incidents, signals: Latest[Signals]) -> None:
    """Register the page at ``/shop``."""

    @ui.page("/shop")
    def shop_page() -> None:
        with frame("Shop", title="Shop") as parts:
            _ShopPage(incidents, signals, parts)


class _ShopPage:
    def __init__(self, incidents: Incidents, signals: Latest[Signals], parts: Frame) -> None:
        self._incidents = incidents
        self._signals = signals
        self._parts = parts
        with tag("div", classes="page-head"):
            tag("h1", "Shop")
            tag("span", "the last 30 minutes; coloured bands are incidents", classes="muted")
        self._note = tag("div")
        with self._note:
            tag("p", "Loading the signals…", classes="muted loading")
        self._is_said_away = False
        self._services = {name: _ServiceSignals(name) for name in SHOP}
        self._platform = tag("h2", "The incident platform", classes="group")
        self._platform.set_visibility(False)
        self._services |= {name: _ServiceSignals(name) for name in PLATFORM}
        ui.timer(REFRESH_S, self._refresh)

    def _say_away(self) -> None:
        if self._is_said_away:
            return
        self._is_said_away = True
        self._note.clear()
        with self._note:
            empty_state(
                "cloud_off", "The signals cannot be read.", "This page fills itself as soon as they can be."
            )

    async def _refresh(self) -> None:
        signals = await self._signals.get()
        incidents = await self._incidents.newest(Filter(statuses=())).get()
        self._parts.problems.show([signals, incidents])
        self._note.set_visibility(signals.value is None)
        self._platform.set_visibility(signals.value is not None)
        if signals.value is None:
            self._say_away()
        known = incidents.value.items if incidents.value else []
        for name, shown in self._services.items():
            own = [incident for incident in known if incident.service == name]
            shown.show(signals.value, own)


class _ServiceSignals:
    """One service's line of charts."""

    def __init__(self, name: str) -> None:
        self._name = name
        with tag("section", classes="box signals", aria_label=name) as self._box:
            with tag("div", classes="signals-head"):
                tag("h2", name)
                self._incidents = tag("span", classes="badges")
            with tag("div", classes="charts") as self._plots:
                self._charts = [_Chart(signal) for signal in SIGNALS]
            self._none = tag("p", "No HTTP requests in the last 30 minutes.", classes="muted")
        self._box.set_visibility(False)
        self._shown: object = None

    def show(self, signals: Signals | None, incidents: Sequence[Incident]) -> None:
        """Draw the signals; nothing is sent while nothing changed."""
        self._box.set_visibility(signals is not None)
        if signals is None or (signals, incidents) == self._shown:
            return
        self._shown = (signals, incidents)
        own = signals.by_service.get(self._name, GoldenSignals())
        self._plots.set_visibility(bool(own.rate))
        self._none.set_visibility(not own.rate)
        for chart in self._charts:
            chart.show(getattr(own, chart.signal.field), incidents, signals)
        self._incidents.clear()
        with self._incidents:
            for incident in incidents:
                if incident.resolved_at is None:
                    with tag("a", href=f"/incidents/{incident.id}", title=incident.title):
                        severity_badge(incident.severity)


class _Chart:
    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        with tag("figure", classes="chart"):
            with tag("figcaption"):
                tag("span", signal.title)
                self._now: TextElement = tag("strong", classes="figure")
            self._chart = ui.echart({}, renderer="svg").classes("plot")

    def show(self, points: Sequence[Point], incidents: Sequence[Incident], signals: Signals) -> None:
        self._now.set_text(_figure(last(points), self.signal.unit))
        options = line_chart(
            points,
            incidents,
            name=self.signal.title,
            start=signals.start,
            end=signals.end,
            unit=self.signal.unit,
            at_least=self.signal.at_least,
        )
        self._chart.options.clear()
        self._chart.options.update(options)
        self._chart.update()


def _figure(value: float | None, unit: str) -> str:
    """A value as a person reads it; no traffic has none."""
    if value is None:
        return "–"
    if unit == "%":
        return f"{value * 100:.1f} %"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
    return f"{value:.1f} {unit}"
