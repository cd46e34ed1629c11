"""The frame of every page: style, navigation, the visitor's name and theme, and who is away."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

from nicegui import ui
from nicegui.events import GenericEventArguments

from services.web_ui.backends import Away
from services.web_ui.parts import button, icon, set_attributes, tag
from services.web_ui.readings import Reading
from services.web_ui.text import clock

STATIC = Path(__file__).parent / "static"
NAME_COOKIE = "firedrill_name"
THEME_COOKIE = "firedrill_theme"
NAME = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,62}[\x21-\x7e])?")
"""What ``X-Actor`` may be: printable ASCII, at most 64 characters."""

LINE = re.compile(r"[^\x00-\x1f\x7f]{1,200}")

Theme = Literal["auto", "dark", "light"]
_THEMES: dict[Theme, tuple[str, bool | None]] = {
    "auto": ("brightness_auto", None),
    "dark": ("dark_mode", True),
    "light": ("light_mode", False),
}


@dataclass(frozen=True)
class Tab:
    """A place in the navigation."""

    label: str
    path: str
    icon: str


TABS = (
    Tab("Incidents", "/", "notifications"),
    Tab("Shop", "/shop", "show_chart"),
    Tab("Traces", "/traces", "account_tree"),
    Tab("Logs", "/logs", "subject"),
    Tab("Errors", "/errors", "bug_report"),
    Tab("On call", "/on-call", "person"),
    Tab("Lab", "/lab", "science"),
)


class Visitor:
    """Who looks at this page, as their browser remembers it."""

    def __init__(self, cookies: Mapping[str, str]) -> None:
        name = unquote(cookies.get(NAME_COOKIE, ""))
        self.name = name if NAME.fullmatch(name) else ""
        theme = cookies.get(THEME_COOKIE)
        self.theme: Theme = theme if theme in _THEMES else "auto"
        self.on_name: Callable[[], None] = lambda: None

    async def known(self) -> str | None:
        """The visitor's name, asked for if need be; ``None`` if they would not say."""
        return self.name or await self.ask()

    async def ask(self) -> str | None:
        """Ask for the name and keep it in the browser."""
        name = await ask_line(
            "Who are you?",
            label="Name",
            action="Save",
            value=self.name,
            explanation="Your name stands beside what you do, in the timeline and for your colleagues.",
            allowed=NAME,
            rule="at most 64 characters, and only what ASCII has",
        )
        if name is not None:
            self.name = name
            _remember(NAME_COOKIE, name)
            self.on_name()
        return name


async def ask_line(
    question: str,
    *,
    label: str,
    action: str,
    value: str = "",
    explanation: str = "",
    allowed: re.Pattern[str] = LINE,
    rule: str = "one line of at most 200 characters",
) -> str | None:
    """Ask for a line of text in a dialog; ``None`` if it was cancelled."""
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        tag("h2", question)
        if explanation:
            tag("p", explanation)
        field = ui.input(
            label,
            value=value,
            validation={rule: lambda text: bool(allowed.fullmatch((text or "").strip()))},
        )
        field.props("outlined autofocus maxlength=200 autocomplete=off").classes("full-width")
        field.without_auto_validation()

        def submit() -> None:
            if field.validate():
                dialog.submit(field.value.strip())

        field.on("keydown.enter", submit)
        with tag("div", classes="dialog-actions"):
            button("Cancel", lambda: dialog.submit(None), look="flat")
            button(action, submit)
    answer: str | None = await dialog
    dialog.delete()
    return answer


def _remember(cookie: str, value: str) -> None:
    ui.run_javascript(f"remember({cookie!r}, decodeURIComponent({quote(value)!r}))")


class Problems:
    """The line under the navigation that says which backend is away, while one is."""

    def __init__(self) -> None:
        self._box = tag("div", classes="problems", role="status", aria_live="polite")
        self._shown: list[str] = []

    def show(self, readings: Sequence[Reading[Any]]) -> None:
        """Say what is wrong with these readings; nothing if all is well."""
        lines = list(
            dict.fromkeys(_sentence(reading) for reading in readings if isinstance(reading.error, Away))
        )
        if lines == self._shown:
            return
        self._shown = lines
        self._box.clear()
        with self._box:
            for line in lines:
                with tag("p", classes="problem"):
                    icon("cloud_off")
                    tag("span", line)


def _sentence(reading: Reading[Any]) -> str:
    error = reading.error
    assert error is not None
    since = (
        f"Shown is what it said at {clock(reading.read_at)}; it is asked again all the time."
        if reading.read_at
        else "Nothing of it can be shown until it is back; it is asked again all the time."
    )
    return f"{error.backend} does not answer ({error.reason}). {since}"


@dataclass(frozen=True)
class Frame:
    """What a page is given: who looks at it, and where it says what is wrong."""

    visitor: Visitor
    problems: Problems


@contextmanager
def frame(current: str, *, title: str) -> Iterator[Frame]:
    """Build the frame of a page under the tab ``current``; what is made inside goes into its main part."""
    request = ui.context.client.request
    visitor = Visitor(request.cookies)
    ui.page_title(f"{title} · Firedrill")
    dark = ui.dark_mode(_THEMES[visitor.theme][1])
    with tag("header", classes="top"):
        with tag("a", classes="brand", href="/", aria_label="Firedrill: incidents"):
            icon("local_fire_department")
            tag("span", "Firedrill")
        _navigation(current)
        tag("div", classes="spring")
        _theme_button(visitor, dark)
        _name_button(visitor)
    problems = Problems()
    with tag("div", classes="page"):
        yield Frame(visitor, problems)


def _navigation(current: str) -> None:
    with tag("nav", aria_label="Pages"):
        for tab in TABS:
            here = {"aria_current": "page"} if tab.label == current else {}
            with tag("a", href=tab.path, **here):
                icon(tab.icon)
                tag("span", tab.label)


def _theme_button(visitor: Visitor, dark: ui.dark_mode) -> None:
    def show() -> None:
        symbol, value = _THEMES[visitor.theme]
        label = f"Theme: {visitor.theme}"
        set_attributes(turner, icon=symbol, aria_label=label, title=label)
        dark.set_value(value)

    def turn() -> None:
        names = list(_THEMES)
        visitor.theme = names[(names.index(visitor.theme) + 1) % len(names)]
        _remember(THEME_COOKIE, visitor.theme)
        show()

    turner = button("", turn, look="flat").props("round dense")
    show()


def _name_button(visitor: Visitor) -> None:
    namer = button("", visitor.ask, look="flat", symbol="account_circle").props("dense")

    def show() -> None:
        namer.set_text(visitor.name or "Your name")

    visitor.on_name = show
    show()


def on_key(react: Callable[[str, str | None], object]) -> None:
    """Call ``react(key, incident_id)`` when ``a`` or ``r`` is pressed outside a field.

    ``incident_id`` is that of the row in focus, ``None`` when none is.
    """

    async def pressed(event: GenericEventArguments) -> None:
        answer = react(event.args["key"], event.args["incident"])
        if asyncio.iscoroutine(answer):
            await answer

    ui.on("console-key", pressed)


def add_assets() -> None:
    """Put style sheet and script into every page; their names change when they do."""
    for name, html in (
        ("console.css", '<link rel="stylesheet" href="{}">'),
        ("console.js", '<script src="{}" defer></script>'),
    ):
        digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
        ui.add_head_html(html.format(f"/static/{name}?{digest}"), shared=True)
