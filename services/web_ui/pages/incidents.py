"""The page Incidents: what is wrong now, without a reload."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode
from uuid import UUID

from nicegui import ui

from services.common.catalog import SERVICES
from services.web_ui.actions import KEYS, change, say
from services.web_ui.incidents import ACTIVE, LIST_LIMIT, Filter, Incidents
from services.web_ui.parts import (
    button,
    choice_field,
    empty_state,
    set_attributes,
    show_severity,
    show_status,
    tag,
    tick_since,
)
from services.web_ui.readings import Reading
from services.web_ui.rows import Rows
from services.web_ui.schemas import SEVERITIES, STATUSES, Incident, IncidentPage, Severity, Status
from services.web_ui.text import duration, iso, moment
from services.web_ui.theme import Frame, frame, on_key

REFRESH_S = 1.0
SEARCH_PAUSE_MS = 150
_STATUS_CHOICES = {"active": "Active", **dict[str, str](STATUSES.items()), "all": "All"}
_SEVERITY_CHOICES = {"": "All", **dict[str, str](SEVERITIES.items())}
_WANTED: dict[str, tuple[Status, ...]] = {"active": ACTIVE, **{name: (name,) for name in STATUSES}, "all": ()}
_AWAY = ("cloud_off", "The incidents cannot be read.", "This page fills itself as soon as they can be.")
_NARROW = ("filter_alt_off", "No incident fits these filters.", "Change or clear them above.")
_CALM = (
    "check_circle",
    "Nothing is wrong.",
    "Alerts become incidents here by themselves. To see one, break something on the page Lab.",
)


@dataclass(frozen=True)
class Choice:
    """What the visitor chose above the list; as texts, as they stand in the page's address."""

    status: str = "active"
    severity: str = ""
    service: str = ""
    search: str = ""
    offset: int = 0

    @property
    def filter(self) -> Filter:
        severities: dict[str, Severity] = {name: name for name in SEVERITIES}
        return Filter(
            _WANTED.get(self.status, ACTIVE),
            severities.get(self.severity),
            self.service,
            self.search,
            self.offset,
        )

    @property
    def address(self) -> str:
        """The page's address that brings this choice back."""
        chosen = {name: value for name, value in vars(self).items() if value != getattr(Choice, name)}
        return f"/?{urlencode(chosen)}" if chosen else "/"


def add_page(incidents: Incidents) -> None:
    """Register the page at ``/``; an empty ``search`` in the query puts the cursor there."""

    @ui.page("/")
    def incidents_page(
        status: str = "active",
        severity: str = "",
        service: str = "",
        search: str | None = None,
        offset: int = 0,
    ) -> None:
        choice = Choice(
            status if status in _WANTED else "active",
            severity if severity in SEVERITIES else "",
            service,
            search or "",
            max(offset, 0),
        )
        with frame("Incidents", title="Incidents") as parts:
            _IncidentsPage(incidents, parts, choice, is_searching=search is not None)


class _IncidentsPage:
    def __init__(self, incidents: Incidents, parts: Frame, choice: Choice, *, is_searching: bool) -> None:
        self._incidents = incidents
        self._parts = parts
        self._choice = choice
        with tag("div", classes="page-head"):
            tag("h1", "Incidents")
            self._count = tag("span", classes="muted")
        self._add_filters(is_searching=is_searching)
        self._list = _incident_rows()
        self._below = tag("div")
        self._said: object = "loading"
        with self._below:
            tag("p", "Loading incidents…", classes="muted loading")
        with tag("div", classes="paging"):
            self._newer = button("Newer", lambda: self._turn_page(-LIST_LIMIT), look="outline").props("dense")
            self._older = button("Older", lambda: self._turn_page(LIST_LIMIT), look="outline").props("dense")
        self._newer.set_visibility(False)
        self._older.set_visibility(False)
        with tag("p", classes="keys muted"):
            for key, meaning in _KEYS.items():
                tag("kbd", key)
                tag("span", meaning)
        on_key(self._press)
        ui.timer(REFRESH_S, self._refresh)

    def _add_filters(self, *, is_searching: bool) -> None:
        services = {"": "All"} | {service.name: service.name for service in SERVICES}
        services.setdefault(self._choice.service, self._choice.service)
        with tag("div", classes="filters", role="search"):
            search = ui.input(
                placeholder="Search",
                value=self._choice.search,
                on_change=lambda event: self._choose(search=event.value or ""),
            ).classes("search")
            search.props(f"type=search outlined dense clearable debounce={SEARCH_PAUSE_MS}")
            set_attributes(search, aria_label="Search incidents")
            with search.add_slot("prepend"):
                ui.icon("search")
            if is_searching:
                search.props("autofocus")
            choice_field(
                "Status", _STATUS_CHOICES, self._choice.status, lambda value: self._choose(status=value)
            )
            choice_field(
                "Severity",
                _SEVERITY_CHOICES,
                self._choice.severity,
                lambda value: self._choose(severity=value),
            )
            choice_field("Service", services, self._choice.service, lambda value: self._choose(service=value))

    async def _choose(self, **chosen: str) -> None:
        await self._look_at(replace(self._choice, **chosen, offset=0))

    async def _turn_page(self, step: int) -> None:
        await self._look_at(replace(self._choice, offset=max(self._choice.offset + step, 0)))
        ui.run_javascript("window.scrollTo(0, 0)")

    async def _look_at(self, choice: Choice) -> None:
        self._choice = choice
        ui.navigate.history.replace(choice.address)
        await self._refresh()

    async def _refresh(self) -> None:
        choice = self._choice
        reading = await self._incidents.newest(choice.filter).get()
        if choice != self._choice:
            return
        self._parts.problems.show([reading])
        page = reading.value
        known = page.items if page else []
        self._list.show(known)
        has_older = page is not None and page.next_offset is not None
        self._newer.set_visibility(choice.offset > 0)
        self._older.set_visibility(has_older)
        self._count.set_text(
            _counted(known, offset=choice.offset, is_all=not choice.offset and not has_older)
        )
        unanswered = sum(incident.status == "open" for incident in known)
        ui.page_title(f"({unanswered}) Incidents · Firedrill" if unanswered else "Incidents · Firedrill")
        self._say_below(reading)

    def _say_below(self, reading: Reading[IncidentPage]) -> None:
        said: tuple[str, str, str] | None = None
        if reading.is_refused and reading.error is not None:
            said = ("help", "This cannot be searched for.", reading.error.reason)
        elif reading.value is None or (reading.error and not reading.value.items):
            said = _AWAY
        elif not reading.value.items:
            said = _CALM if self._choice == Choice() else _NARROW
        if said == self._said:
            return
        self._said = said
        self._below.clear()
        if said:
            with self._below:
                empty_state(*said)

    async def _press(self, key: str, incident_id: str | None) -> None:
        if incident_id is None:
            say("Choose an incident first: j and k, or Tab.")
            return
        status = KEYS[key]
        if await change(self._incidents, UUID(incident_id), visitor=self._parts.visitor, status=status):
            await self._refresh()


_KEYS = {"/": "search", "j k": "choose", "Enter": "open", "a": "acknowledge", "r": "resolve"}


def _counted(known: Sequence[Incident], *, offset: int, is_all: bool) -> str:
    by_status = [
        f"{count} {text.lower()}"
        for status, text in STATUSES.items()
        if (count := sum(incident.status == status for incident in known))
    ]
    if known and not is_all:
        by_status.append(f"of those from {offset + 1} to {offset + len(known)}, the newest first")
    return " · ".join(by_status)


def _incident_rows() -> Rows[UUID, Incident]:
    box = tag("div", classes="list", role="region", aria_label="Incidents")
    with box, tag("div", classes="incident-row column-heads", aria_hidden="true"):
        for title in ("Severity", "Incident", "Service", "Status", "Assigned to", "Age"):
            tag("span", title)
    return Rows(box, key=lambda incident: incident.id, make=_Row)


class _Row:
    """One incident's line: a link to its page."""

    def __init__(self, incident: Incident) -> None:
        with tag(
            "a",
            classes="incident-row",
            href=f"/incidents/{incident.id}",
            data_incident=str(incident.id),
        ) as self.element:
            self._severity = tag("span")
            self._title = tag("span", classes="title")
            self._service = tag("span", classes="service")
            self._status = tag("span")
            self._assignee = tag("span", classes="assignee")
            with tag("span", classes="age"):
                self._age = tag("span", classes="figure")
        self._shown: Incident | None = None

    def show(self, incident: Incident) -> None:
        """Say how the incident stands; nothing is sent while nothing changed."""
        if incident == self._shown:
            return
        self._shown = incident
        show_severity(self._severity, incident.severity)
        self._title.set_text(incident.title)
        self._service.set_text(incident.service)
        show_status(self._status, incident.status)
        self._assignee.set_text(incident.assigned_to or "nobody yet")
        self._show_age(incident)

    def _show_age(self, incident: Incident) -> None:
        if incident.resolved_at is None:
            tick_since(self._age, incident.created_at)
            return
        self._age.props(remove="data-since")
        self._age.set_text(f"took {duration(incident.mttr_seconds or 0)}")
        set_attributes(self._age, title=f"{moment(incident.created_at)} to {iso(incident.resolved_at)}")
