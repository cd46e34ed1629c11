"""The page of one group of errors: what was raised where, how often, with which tags, in which traces."""

from nicegui import ui

from services.web_ui.parts import Placeholder, icon, section, tag, time_of_day
from services.web_ui.rows import Rows
from services.web_ui.telemetry import ErrorDetail, ErrorEvent, StackFrame, Telemetry
from services.web_ui.text import moment
from services.web_ui.theme import Frame, frame

REFRESH_S = 3.0
VALUES_SHOWN = 6
EVENTS_SHOWN = 10
OWN_CODE = "services"
"""Calls in the services' own code stand out from those in libraries."""
_UNKNOWN = (
    "search_off",
    "There is no such error.",
    "Old errors are let go, and its address may have been cut.",
)
_AWAY = ("cloud_off", "The error cannot be read.", "This page fills itself as soon as it can be.")


def add_page(telemetry: Telemetry) -> None:
    """Register the page at ``/errors/{id}``."""

    @ui.page("/errors/{group_id}")
    def error_page(group_id: str) -> None:
        with frame("Errors", title="Error") as parts:
            _ErrorPage(group_id, telemetry, parts)


class _ErrorPage:
    def __init__(self, group_id: str, telemetry: Telemetry, parts: Frame) -> None:
        self._error = telemetry.error(group_id)
        self._parts = parts
        with tag("p", classes="back"), tag("a", href="/errors"):
            icon("arrow_back")
            tag("span", "Errors")
        self._placeholder = Placeholder("Loading the error…", unknown=_UNKNOWN, away=_AWAY)
        with tag("article") as self._article:
            with tag("div", classes="incident-head"):
                self._service = tag("span", classes="service")
                self._title = tag("h1")
                self._value = tag("p", classes="error-value")
                self._facts = tag("p", classes="facts muted")
            with tag("div", classes="columns"):
                with section("Stack trace, newest call first"):
                    self._stack = tag("ol", classes="stack")
                with tag("div"):
                    with section("Tags"):
                        self._tags = tag("dl", classes="tags")
                    with section("Newest events"):
                        self._events: Rows[str, ErrorEvent] = Rows(
                            tag("div", classes="list"), key=lambda event: event.event_id, make=_EventRow
                        )
        self._article.set_visibility(False)
        self._shown: ErrorDetail | None = None
        self._frames: list[StackFrame] | None = None
        ui.timer(REFRESH_S, self._refresh)

    async def _refresh(self) -> None:
        reading = await self._error.get()
        self._parts.problems.show([reading])
        error = reading.value
        self._article.set_visibility(error is not None)
        self._placeholder.show(reading)
        if error is not None and error != self._shown:
            self._shown = error
            self._show(error)

    def _show(self, error: ErrorDetail) -> None:
        ui.page_title(f"{error.type} · Firedrill")
        self._service.set_text(error.service)
        self._title.set_text(error.type)
        self._value.set_text(error.value)
        facts = [
            f"seen {error.count} times" if error.count > 1 else "seen once",
            f"first {moment(error.first_seen)}",
            f"last {moment(error.last_seen)}",
            f"in {error.culprit}" if error.culprit else "",
            f"release {', '.join(error.releases)}" if error.releases else "",
        ]
        self._facts.set_text(" · ".join(fact for fact in facts if fact))
        self._events.show(error.events[:EVENTS_SHOWN])
        self._show_stack(error.events[0].stacktrace if error.events else [])
        self._show_tags(error.tags)

    def _show_stack(self, frames: list[StackFrame]) -> None:
        if frames == self._frames:
            return
        self._frames = frames
        self._stack.clear()
        with self._stack:
            if not frames:
                tag("li", "This error came without a stack trace.", classes="muted")
            for at in reversed(frames):
                place = at.filename or at.module or "?"
                with tag("li", classes="" if place.startswith(OWN_CODE) else "foreign"):
                    tag("strong", at.function or "?")
                    tag("code", f"{place}:{at.lineno}" if at.lineno else place)

    def _show_tags(self, tags: dict[str, dict[str, int]]) -> None:
        self._tags.clear()
        with self._tags:
            if not tags:
                tag("p", "None.", classes="muted")
            for name, values in sorted(tags.items()):
                tag("dt", name)
                with tag("dd"):
                    for value, count in sorted(values.items(), key=lambda one: -one[1])[:VALUES_SHOWN]:
                        with tag("span"):
                            tag("code", value)
                            tag("span", f"{count} ×", classes="muted figure")
                    if len(values) > VALUES_SHOWN:
                        tag("span", f"and {len(values) - VALUES_SHOWN} others", classes="muted")


class _EventRow:
    """One event: when, its message, and the way to its trace."""

    def __init__(self, event: ErrorEvent) -> None:
        with tag("div", classes="event") as self.element:
            time_of_day(event.timestamp)
            if event.trace_id:
                tag("a", "Trace", href=f"/traces/{event.trace_id}", title=event.trace_id)
            tag("span", event.tags.get("request_id", ""), classes="muted", title="request id")

    def show(self, event: ErrorEvent) -> None:
        """An event that happened does not change."""
