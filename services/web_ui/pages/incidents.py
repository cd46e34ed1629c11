"""The page Incidents: what is wrong now, without a reload."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode
from uuid import UUID

from nicegui import ui

from services.common.catalog import SERVICES
from services.web_ui.actions import KEYS, change, say
from services.web_ui.incidents import ACTIVE, LIST_LIMIT, Filter, Incidents
from services.web_ui.parts import empty_state, set_attributes, show_severity, show_status, tag, tick_since
from services.web_ui.schemas import SEVERITIES, STATUSES, Incident, Severity, Status
from services.web_ui.text import duration, iso, moment
from services.web_ui.theme import Frame, frame, on_key

REFRESH_S = 1.0
SEARCH_PAUSE_MS = 150
_STATUS_CHOICES = {"active": "Active", **dict[str, str](STATUSES.items()), "all": "All"}
_SEVERITY_CHOICES = {"": "All", **dict[str, str](SEVERITIES.items())}
_WANTED: dict[str, tuple[Status, ...]] = {"active": ACTIVE, **{name: (name,) for name in STATUSES}, "all": ()}
_EMPTY = {
    "away": ("cloud_off", "The incidents cannot be read.", "This page fills itself as soon as they can be."),
    "narrow": ("filter_alt_off", "No incident fits these filters.", "Change or clear them above."),
    "calm": (
        "check_circle",
        "Nothing is wrong.",
        "Alerts become incidents here by themselves. To see one, break something on the page Lab.",
    ),
}


@dataclass(frozen=True)
class Choice:
    """What the visitor chose above the list; as texts, as they stand in the page's address."""

    status: str = "active"
    severity: str = ""
    service: str = ""
    search: str = ""

    @property
    def filter(self) -> Filter:
        severities: dict[str, Severity] = {name: name for name in SEVERITIES}
        return Filter(
            _WANTED.get(self.status, ACTIVE), severities.get(self.severity), self.service, self.search
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
        status: str = "active", severity: str = "", service: str = "", search: str | None = None
    ) -> None:
        choice = Choice(
            status if status in _WANTED else "active",
            severity if severity in SEVERITIES else "",
            service,
            search or "",
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
        self._list = _IncidentList()
        self._below = tag("div")
        self._said_below = ""
        with self._below:
            tag("p", "Loading incidents…", classes="muted loading")
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
            _select("Status", _STATUS_CHOICES, self._choice.status, lambda value: self._choose(status=value))
            _select(
                "Severity",
                _SEVERITY_CHOICES,
                self._choice.severity,
                lambda value: self._choose(severity=value),
            )
            _select("Service", services, self._choice.service, lambda value: self._choose(service=value))

    async def _choose(self, **chosen: str) -> None:
        self._choice = replace(self._choice, **chosen)
        ui.navigate.history.replace(self._choice.address)
        await self._refresh()

    async def _refresh(self) -> None:
        choice = self._choice
        reading = await self._incidents.newest(choice.filter).get()
        if choice != self._choice:
            return
        self._parts.problems.show([reading])
        known = reading.value or []
        fitting = [incident for incident in known if choice.filter.matches_text(incident)]
        self._list.show(fitting)
        self._count.set_text(_counted(known, fitting=len(fitting)))
        unanswered = sum(incident.status == "open" for incident in known)
        ui.page_title(f"({unanswered}) Incidents · Firedrill" if unanswered else "Incidents · Firedrill")
        if reading.value is None:
            self._say_below("away")
        elif fitting:
            self._say_below("")
        else:
            self._say_below("calm" if choice == Choice() else "narrow")

    def _say_below(self, empty: str) -> None:
        if empty == self._said_below and empty:
            return
        self._said_below = empty
        self._below.clear()
        if empty:
            with self._below:
                empty_state(*_EMPTY[empty])

    async def _press(self, key: str, incident_id: str | None) -> None:
        if incident_id is None:
            say("Choose an incident first: j and k, or Tab.")
            return
        status = KEYS[key]
        if await change(self._incidents, UUID(incident_id), visitor=self._parts.visitor, status=status):
            await self._refresh()


_KEYS = {"/": "search", "j k": "choose", "Enter": "open", "a": "acknowledge", "r": "resolve"}


def _select(label: str, choices: dict[str, str], value: str, choose: Callable[[str], object]) -> None:
    ui.select(choices, label=label, value=value, on_change=lambda event: choose(event.value)).props(
        "outlined dense options-dense behavior=menu"
    ).classes("choice")


def _counted(known: Sequence[Incident], *, fitting: int) -> str:
    by_status = [
        f"{count} {text.lower()}"
        for status, text in STATUSES.items()
        if (count := sum(incident.status == status for incident in known))
    ]
    narrowed = [f"{fitting} shown"] if fitting != len(known) else []
    cut = [f"the newest {LIST_LIMIT}"] if len(known) >= LIST_LIMIT else []
    return " · ".join([*by_status, *narrowed, *cut])


class _IncidentList:
    """The rows: each stays the same element while its incident is in the list, so that focus stays too."""

    def __init__(self) -> None:
        self._box = tag("div", classes="incident-list", role="region", aria_label="Incidents")
        with self._box, tag("div", classes="incident-row column-heads", aria_hidden="true"):
            for title in ("Severity", "Incident", "Service", "Status", "Assigned to", "Age"):
                tag("span", title)
        self._rows: dict[UUID, _Row] = {}
        self._is_first = True

    def show(self, incidents: Sequence[Incident]) -> None:
        """Show exactly these, in this order."""
        wanted = {incident.id for incident in incidents}
        for gone in [incident_id for incident_id in self._rows if incident_id not in wanted]:
            self._rows.pop(gone).element.delete()
        for place, incident in enumerate(incidents, start=1):
            row = self._rows.get(incident.id)
            if row is None:
                with self._box:
                    row = self._rows[incident.id] = _Row(incident, is_new=not self._is_first)
            row.show(incident)
            if self._box.default_slot.children.index(row.element) != place:
                row.element.move(self._box, target_index=place)
        self._box.set_visibility(bool(incidents))
        self._is_first = False


class _Row:
    """One incident's line: a link to its page."""

    def __init__(self, incident: Incident, *, is_new: bool) -> None:
        arrival = " arrived" if is_new else ""
        with tag(
            "a",
            classes=f"incident-row{arrival}",
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
