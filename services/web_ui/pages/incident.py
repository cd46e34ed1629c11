"""The page of one incident: what happened, what was done, and the buttons to do more."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlencode
from uuid import UUID

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from services.web_ui.actions import KEYS, change, reopen
from services.web_ui.incidents import Incidents
from services.web_ui.pages.around import Around
from services.web_ui.pages.postmortem import PostmortemSection
from services.web_ui.parts import (
    Placeholder,
    button,
    icon,
    section,
    set_attributes,
    show_severity,
    show_status,
    tag,
    tick_since,
    time_of_day,
)
from services.web_ui.readings import Latest
from services.web_ui.results import address
from services.web_ui.schemas import (
    SEVERITIES,
    STATUSES,
    Alert,
    IncidentDetail,
    Note,
    Severity,
    Status,
    TimelineEntry,
)
from services.web_ui.telemetry import BEFORE_INCIDENT, Telemetry, TraceSearch
from services.web_ui.text import duration, iso, moment
from services.web_ui.theme import Frame, ask_line, frame, on_key

REFRESH_S = 1.0
_UNKNOWN = ("search_off", "There is no such incident.", "Its address may have been cut short.")
_AWAY = ("cloud_off", "The incident cannot be read.", "This page fills itself as soon as it can be.")
_BUTTONS: dict[Status, tuple[str, str]] = {
    "acknowledged": ("Acknowledge", "a"),
    "in_progress": ("In progress", ""),
    "resolved": ("Resolve", "r"),
}


def add_page(
    incidents: Incidents, telemetry: Telemetry, queries: Latest[dict[str, str]], *, prometheus_link: str
) -> None:
    """Register the page at ``/incidents/{id}``; ``queries`` are the alerts' expressions by their names."""

    @ui.page("/incidents/{incident_id}")
    def incident_page(incident_id: UUID) -> None:
        with frame("Incidents", title="Incident") as parts:
            _IncidentPage(incident_id, incidents, telemetry, queries, parts, prometheus_link=prometheus_link)


class _IncidentPage:
    def __init__(
        self,
        incident_id: UUID,
        incidents: Incidents,
        telemetry: Telemetry,
        queries: Latest[dict[str, str]],
        parts: Frame,
        *,
        prometheus_link: str,
    ) -> None:
        self._id = incident_id
        self._incidents = incidents
        self._queries = queries
        self._known_queries: Mapping[str, str] = {}
        self._parts = parts
        with tag("p", classes="back"), tag("a", href="/"):
            icon("arrow_back")
            tag("span", "Incidents")
        self._placeholder = Placeholder("Loading the incident…", unknown=_UNKNOWN, away=_AWAY)
        with tag("article", classes="incident") as self._article:
            self._head = _Head()
            self._add_buttons()
            self._figures = _Figures(assign=self._assign, take=self._take)
            with tag("div", classes="columns"):
                with tag("div"):
                    self._notes = _Notes(self._write, refresh=self._refresh)
                    self._postmortem = PostmortemSection(incidents, incident_id, parts.visitor)
                    self._timeline = _Timeline()
                with tag("div"):
                    self._alerts = _Alerts(prometheus_link)
                    self._around = Around(telemetry)
        self._article.set_visibility(False)
        on_key(self._press)
        ui.timer(REFRESH_S, self._refresh)

    def _add_buttons(self) -> None:
        self._buttons: dict[Status, ui.button] = {}
        with tag("div", classes="actions"):
            for status, (text, key) in _BUTTONS.items():
                made = button(text, lambda status=status: self._go_to(status))
                with made:
                    if key:
                        tag("kbd", key, aria_hidden="true")
                self._buttons[status] = made
            self._severity = button("Severity", lambda: None, look="outline", symbol="arrow_drop_down")
            with self._severity, ui.menu() as menu:
                menu.props("auto-close")
                for severity, text in SEVERITIES.items():
                    ui.menu_item(text, lambda severity=severity: self._set_severity(severity))
            self._reopen = button("Reopen", self._open_again, look="outline")
            self._linked = _Linked()

    async def _refresh(self) -> None:
        reading = await self._incidents.one(self._id).get()
        incident = reading.value
        self._article.set_visibility(incident is not None)
        self._placeholder.show(reading)
        if incident is None:
            self._parts.problems.show([reading])
            return
        ui.page_title(f"{STATUSES[incident.status]}: {incident.title} · Firedrill")
        self._head.show(incident)
        self._figures.show(incident)
        self._notes.show(incident.notes)
        self._timeline.show(incident.timeline)
        self._alerts.show(incident, self._known_queries)
        await self._postmortem.show(incident)
        for status, made in self._buttons.items():
            made.set_enabled(incident.may_become(status))
        self._reopen.set_visibility(incident.status == "resolved" and incident.reopened_as is None)
        self._linked.show(incident)
        # Last, since these may be away for seconds: what a person does here must show at once.
        queries = await self._queries.get()
        around = await self._around.read(incident)
        self._known_queries = queries.value or {}
        self._alerts.show(incident, self._known_queries)
        self._parts.problems.show([reading, queries, *around])

    async def _go_to(self, status: Status) -> None:
        await change(self._incidents, self._id, visitor=self._parts.visitor, status=status)
        await self._refresh()

    async def _set_severity(self, severity: Severity) -> None:
        await change(self._incidents, self._id, visitor=self._parts.visitor, severity=severity)
        await self._refresh()

    async def _press(self, key: str, _incident_id: str | None) -> None:
        await self._go_to(KEYS[key])

    async def _write(self, text: str) -> bool:
        return await change(self._incidents, self._id, visitor=self._parts.visitor, note=text)

    async def _assign(self) -> None:
        name = await ask_line("Assign to", label="Name", action="Assign")
        if name:
            await change(self._incidents, self._id, visitor=self._parts.visitor, assigned_to=name)
            await self._refresh()

    async def _take(self) -> None:
        name = await self._parts.visitor.known()
        if name:
            await change(self._incidents, self._id, visitor=self._parts.visitor, assigned_to=name)
            await self._refresh()

    async def _open_again(self) -> None:
        opened = await reopen(self._incidents, self._id, visitor=self._parts.visitor)
        if opened is not None:
            ui.navigate.to(f"/incidents/{opened.id}")


class _Head:
    def __init__(self) -> None:
        with tag("div", classes="incident-head"):
            with tag("div", classes="badges"):
                self._severity = tag("span")
                self._status = tag("span")
                self._service = tag("span", classes="service")
            self._title = tag("h1")

    def show(self, incident: IncidentDetail) -> None:
        show_severity(self._severity, incident.severity)
        show_status(self._status, incident.status)
        self._service.set_text(incident.service)
        self._title.set_text(incident.title)


class _Linked:
    """The ways to the incidents that this one was reopened from and as."""

    def __init__(self) -> None:
        self._box = tag("span", classes="muted")
        self._shown: tuple[UUID | None, UUID | None] = (None, None)

    def show(self, incident: IncidentDetail) -> None:
        linked = (incident.reopened_from, incident.reopened_as)
        if linked == self._shown:
            return
        self._shown = linked
        self._box.clear()
        with self._box:
            if incident.reopened_from:
                tag("a", "Reopened from an earlier incident", href=f"/incidents/{incident.reopened_from}")
            if incident.reopened_as:
                tag("a", "Reopened as a new incident", href=f"/incidents/{incident.reopened_as}")


class _Figures:
    """The figures under the title: age, who has it, time to acknowledge, time to resolve."""

    def __init__(self, *, assign: Callable[[], object], take: Callable[[], object]) -> None:
        with tag("dl", classes="figures"):
            self._age = _figure("Open for", "")
            self._mtta = _figure("MTTA", "from the opening to the acknowledgement")
            self._mttr = _figure("MTTR", "from the opening to the resolution")
            with tag("div", classes="figure-box"):
                tag("dt", "Assigned to")
                with tag("dd"):
                    self._assignee = tag("span", classes="assignee")
                    with tag("span", classes="small-buttons"):
                        button("Take it", take, look="flat").props("dense")
                        button("Assign…", assign, look="flat").props("dense")

    def show(self, incident: IncidentDetail) -> None:
        self._assignee.set_text(incident.assigned_to or "nobody yet")
        self._show_age(incident)
        never = "never acknowledged" if incident.status == "resolved" else "not acknowledged yet"
        _show_figure(self._mtta, incident.mtta_seconds, by=incident.acknowledged_by, until_then=never)
        _show_figure(
            self._mttr, incident.mttr_seconds, by=incident.resolved_by, until_then="not resolved yet"
        )

    def _show_age(self, incident: IncidentDetail) -> None:
        if incident.resolved_at is None:
            tick_since(self._age, incident.created_at)
            return
        self._age.props(remove="data-since")
        self._age.set_text(duration(incident.mttr_seconds or 0))
        set_attributes(self._age, title=f"since {moment(incident.created_at)}")


def _figure(name: str, meaning: str) -> TextElement:
    with tag("div", classes="figure-box", title=meaning):
        tag("dt", name)
        return tag("dd", classes="figure")


def _show_figure(figure: TextElement, seconds: float | None, *, by: str | None, until_then: str) -> None:
    if seconds is None:
        figure.set_text(until_then)
        figure.classes(add="muted")
        return
    figure.classes(remove="muted")
    figure.set_text(duration(seconds) + (f" by {by}" if by else ""))


class _Notes:
    """The notes, and the field for another one; ``write`` answers whether it was written."""

    def __init__(
        self, write: Callable[[str], Awaitable[bool]], *, refresh: Callable[[], Awaitable[None]]
    ) -> None:
        self._write = write
        self._refresh = refresh
        self._is_writing = False
        with section("Notes"):
            self._field = (
                ui.textarea(placeholder="What do you see, what did you do?")
                .props("outlined dense autogrow rows=2 maxlength=4000")
                .classes("full-width")
            )
            set_attributes(self._field, aria_label="New note")
            self._field.on("keydown.ctrl.enter", self._submit)
            with tag("div", classes="note-actions"):
                tag("span", "Ctrl+Enter saves", classes="muted")
                button("Add note", self._submit).props("dense")
            self._list = tag("div", classes="notes")
        self._shown: Sequence[Note] | None = None

    async def _submit(self) -> None:
        typed = self._field.value or ""
        text = typed.strip()
        if not text or self._is_writing:
            return
        self._is_writing = True
        try:
            is_written = await self._write(text)
        finally:
            self._is_writing = False
        if is_written:
            # Before the refresh, which may take seconds; what was typed since then is not written yet.
            self._field.set_value((self._field.value or "").removeprefix(typed))
        await self._refresh()

    def show(self, notes: Sequence[Note]) -> None:
        if notes == self._shown:
            return
        self._shown = notes
        self._list.clear()
        with self._list:
            for note in sorted(notes, key=lambda note: note.at, reverse=True):
                with tag("div", classes="note"):
                    with tag("p", classes="muted"):
                        tag("strong", note.author)
                        time_of_day(note.at)
                    tag("p", note.text, classes="note-text")


class _Timeline:
    def __init__(self) -> None:
        with section("Timeline"):
            self._list = tag("ol", classes="timeline")
        self._shown: Sequence[TimelineEntry] | None = None

    def show(self, timeline: Sequence[TimelineEntry]) -> None:
        if timeline == self._shown:
            return
        self._shown = timeline
        self._list.clear()
        with self._list:
            for entry in sorted(timeline, key=lambda entry: entry.at, reverse=True):
                with tag("li"):
                    time_of_day(entry.at)
                    with tag("span"):
                        tag("strong", entry.actor)
                        tag("span", entry.sentence)


class _Alerts:
    def __init__(self, prometheus_link: str) -> None:
        self._prometheus_link = prometheus_link
        with section("Alerts"):
            self._count = tag("p", classes="muted")
            self._list = tag("div", classes="alerts")
        self._shown: object = None

    def show(self, incident: IncidentDetail, queries: Mapping[str, str]) -> None:
        shown = (incident.service, incident.alerts, incident.alert_count, queries)
        if shown == self._shown:
            return
        self._shown = shown
        self._count.set_text(_alerts_counted(incident.alerts, incident.alert_count))
        self._list.clear()
        with self._list:
            for alert in incident.alerts:
                self._add(alert, queries.get(alert.name), service=incident.service)

    def _add(self, alert: Alert, query: str | None, *, service: str) -> None:
        with tag("div", classes="alert"):
            with tag("p", classes="alert-head"):
                if alert.resolved_at:
                    tag("span", "Over", classes="status status-resolved")
                elif alert.source != "api":
                    # Of one that somebody posted nobody ever says that it is over.
                    tag("span", "Firing", classes="status status-open")
                if alert.name:
                    tag("strong", alert.name)
                time_of_day(alert.received_at)
                if alert.repeats:
                    tag("span", f"sent {alert.repeats + 1} times", classes="muted")
            tag("p", alert.message)
            if alert.description:
                tag("p", alert.description, classes="muted")
            with tag("p", classes="labels"):
                for name, value in alert.own_labels.items():
                    tag("code", f"{name}={value}")
            with tag("p", classes="alert-links"):
                if query:
                    address = f"{self._prometheus_link}/api/v1/query?{urlencode({'query': query})}"
                    tag("a", "Query", href=address, target="_blank", rel="noopener", title=query)
                if alert.runbook.startswith(("https://", "http://")):
                    tag("a", "Runbook", href=alert.runbook, target="_blank", rel="noopener")
                elif alert.runbook:
                    tag("span", "Runbook")
                    tag("code", alert.runbook)
                if alert.trace_id:
                    tag("a", "Trace", href=f"/traces/{alert.trace_id}", title=alert.trace_id)
                else:
                    tag("a", "Failed traces", href=_traces_behind(alert, service=service))


def _traces_behind(alert: Alert, *, service: str) -> str:
    """What failed in the service in the minutes before an alert that names no trace itself."""
    since, until = alert.received_at - BEFORE_INCIDENT, alert.resolved_at or alert.received_at
    search = TraceSearch(service=service, since=iso(since), until=iso(until), error="true")
    return address("/traces", search)


def _alerts_counted(alerts: Sequence[Alert], count: int) -> str:
    if not count:
        return "No alert belongs to this incident: a person opened it."
    listed = f", the newest {len(alerts)} are listed" if count > len(alerts) else ""
    return f"{count} {'alert' if count == 1 else 'alerts'} from {', '.join(_sources(alerts))}{listed}"


def _sources(alerts: Sequence[Alert]) -> list[str]:
    return sorted({alert.source for alert in alerts})
