"""What a search of the telemetry found: live, a page at a time, and in words where there is nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from nicegui import ui

from services.common.catalog import SERVICES
from services.web_ui.parts import button, choice_field, empty_state, set_attributes, tag
from services.web_ui.readings import Reading, Readings
from services.web_ui.rows import Rows
from services.web_ui.telemetry import Found, Search
from services.web_ui.text import clock, iso
from services.web_ui.theme import Frame

REFRESH_S = 2.0
_WINDOWS = {
    "": "Any time",
    "5m": "Last 5 minutes",
    "15m": "Last 15 minutes",
    "1h": "Last hour",
    "6h": "Last 6 hours",
    "24h": "Last 24 hours",
}

S = TypeVar("S", bound=Search)
T = TypeVar("T")


@dataclass(frozen=True)
class Words:
    """How a page speaks of what it lists."""

    path: str
    things: str
    nothing: str
    advice: str


def address(path: str, search: Search) -> str:
    """The page's address that brings this search back."""
    parameters = search.parameters()
    return f"{path}?{urlencode(parameters)}" if parameters else path


class Results(Generic[S, T]):
    """The list under the fields, and how much of it there is.

    ``moment_of`` gives an item's time: older pages are held there, so that
    what arrives meanwhile does not push them on.
    """

    def __init__(
        self,
        parts: Frame,
        search: S,
        readings: Readings[S, Found[T]],
        words: Words,
        *,
        moment_of: Callable[[T], datetime] | None = None,
    ) -> None:
        self._parts = parts
        self._search = search
        self._readings = readings
        self._words = words
        self._moment_of = moment_of
        self._found: Found[T] = Found(items=[], next_offset=None)
        self._is_live = True
        self._held_until = ""

    @property
    def search(self) -> S:
        """What is looked for now."""
        return self._search

    def add_head(self, title: str) -> None:
        """Put the title there, how much was found, and the button that stops the list."""
        with tag("div", classes="page-head"):
            tag("h1", title)
            self._count = tag("span", classes="muted")
            self._live = button("Live", self._turn, look="flat", symbol="pause").props("dense")
            set_attributes(self._live, title="Stop the list, or let it go on")

    def add_list(self, rows: Rows[Any, T]) -> None:
        """Show what is found in ``rows``, and what is to be said about it below them."""
        self._rows = rows
        self._rows.show([])
        self._below = tag("div")
        self._said: object = "loading"
        with self._below:
            tag("p", f"Loading {self._words.things}…", classes="muted loading")
        with tag("div", classes="paging"):
            self._newest = button("Newest", self._to_newest, look="outline").props("dense")
            self._older = button("Older", self._to_older, look="outline").props("dense")
        self._newest.set_visibility(False)
        self._older.set_visibility(False)
        ui.timer(REFRESH_S, self._go_on)

    async def look_for(self, **changed: Any) -> None:
        """Change what is looked for, from the newest on."""
        await self._show(replace(self._search, offset=0, **changed))

    async def _to_older(self) -> None:
        search = self._search
        if self._moment_of and not search.until and self._found.items:
            # To the next millisecond: the address does not say it finer, and the newest must stay in.
            newest = self._moment_of(self._found.items[0]) + timedelta(milliseconds=1)
            self._held_until = iso(newest)
            search = replace(search, until=self._held_until)
        await self._show(replace(search, offset=self._found.next_offset or 0))
        ui.run_javascript("window.scrollTo(0, 0)")

    async def _to_newest(self) -> None:
        is_held = bool(self._held_until) and self._search.until == self._held_until
        await self._show(replace(self._search, offset=0, until="" if is_held else self._search.until))

    async def _show(self, search: S) -> None:
        self._search = search
        ui.navigate.history.replace(address(self._words.path, search))
        await self._refresh()

    def _turn(self) -> None:
        self._is_live = not self._is_live
        self._live.set_text("Live" if self._is_live else "Stopped")
        self._live.props(f"icon={'pause' if self._is_live else 'play_arrow'}")

    async def _go_on(self) -> None:
        if self._is_live:
            await self._refresh()

    async def _refresh(self) -> None:
        search = self._search
        reading = await self._readings.of(search).get()
        if search != self._search:
            return
        self._parts.problems.show([reading])
        self._found = reading.value or Found(items=[], next_offset=None)
        self._rows.show(self._found.items)
        self._count.set_text(self._counted())
        self._newest.set_visibility(search.offset > 0)
        self._older.set_visibility(self._found.next_offset is not None)
        self._say_below(reading)

    def _counted(self) -> str:
        count, offset = len(self._found.items), self._search.offset
        if offset:
            return f"{offset + 1} to {offset + count}"
        if self._found.next_offset is not None:
            return f"the newest {count}"
        return f"{count} found" if count else ""

    def _say_below(self, reading: Reading[Found[T]]) -> None:
        said: tuple[str, str, str] | None = None
        if reading.is_refused and reading.error is not None:
            said = ("help", "This cannot be searched for.", reading.error.reason)
        elif reading.value is None:
            said = (
                "cloud_off",
                f"The {self._words.things} cannot be read.",
                "This page fills itself as soon as they can be.",
            )
        elif not reading.value.items:
            said = ("search_off", self._words.nothing, self._words.advice)
        if said == self._said:
            return
        self._said = said
        self._below.clear()
        if said:
            with self._below:
                empty_state(*said)


def service_choice(search: Search, choose: Callable[[str], object]) -> None:
    """The field for the service."""
    services = {"": "All", **{service.name: service.name for service in SERVICES}}
    services.setdefault(search.service, search.service)
    choice_field("Service", services, search.service, choose)


def window_choice(search: Search, choose: Callable[[str, str], object]) -> None:
    """The field for the time; ``choose(since, until)``. Times in the page's address are a choice of it."""
    given = f"{search.since}/{search.until}"
    choices: Mapping[str, str] = {f"{since}/": words for since, words in _WINDOWS.items()}
    if given not in choices:
        choices = {given: _stretch(search), **choices}

    def chosen(value: str) -> object:
        since, _, until = value.partition("/")
        return choose(since, until)

    choice_field("Time", choices, given, chosen)


def _stretch(search: Search) -> str:
    if not search.until:
        return f"Since {_time(search.since)}"
    return (
        f"{_time(search.since)} – {_time(search.until)}" if search.since else f"Until {_time(search.until)}"
    )


def _time(text: str) -> str:
    try:
        return clock(datetime.fromisoformat(text)).removesuffix(" UTC")
    except ValueError:
        return text
