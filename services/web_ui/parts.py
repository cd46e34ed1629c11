"""Small parts that several pages show."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from services.web_ui.readings import Reading
from services.web_ui.schemas import SEVERITIES, STATUSES, Severity, Status
from services.web_ui.text import clock, iso, moment


def tag(name: str, text: str = "", *, classes: str = "", **attributes: str) -> TextElement:
    """An HTML element with text; ``aria_label="…"`` becomes the attribute ``aria-label``.

    As a context manager it takes children.
    """
    element = TextElement(tag=name, text=text)
    set_attributes(element, **attributes)
    return element.classes(classes)


def set_attributes(element: ui.element, **attributes: str) -> None:
    """Set HTML attributes, whatever characters are in the values."""
    for attribute, value in attributes.items():
        element.props[attribute.strip("_").replace("_", "-")] = value


def icon(name: str) -> None:
    """A picture that says nothing that is not written beside it."""
    ui.icon(name).props("aria-hidden=true")


def button(
    text: str,
    on_click: Callable[..., object],
    *,
    look: Literal["solid", "outline", "flat"] = "solid",
    symbol: str = "",
) -> ui.button:
    """A button in the console's own colours: Quasar's do not follow the theme."""
    made = ui.button(text, on_click=on_click, color=None, icon=symbol or None)
    made.props("no-caps unelevated" if look == "solid" else f"no-caps {look}")
    return made.classes(f"button-{look}")


def severity_badge(severity: Severity) -> TextElement:
    """The severity in words, in its colour."""
    badge = tag("span")
    show_severity(badge, severity)
    return badge


def show_severity(badge: TextElement, severity: Severity) -> None:
    """Let ``badge`` say a severity, in its colour."""
    badge.set_text(SEVERITIES[severity])
    badge.classes(replace=f"badge severity-{severity}")


def show_status(badge: TextElement, status: Status) -> None:
    """Let ``badge`` say a status, in its colour."""
    badge.set_text(STATUSES[status])
    badge.classes(replace=f"status status-{status}")


def tick_since(element: TextElement, since: datetime) -> None:
    """Let ``element`` count up from ``since``, in the browser."""
    set_attributes(element, data_since=iso(since), title=f"since {moment(since)}")


def count_down_to(element: TextElement, until: datetime) -> None:
    """Let ``element`` count down to ``until``, in the browser."""
    set_attributes(element, data_until=iso(until), title=moment(until))


def countdown(until: datetime) -> TextElement:
    """A duration that counts down to ``until``, in the browser."""
    element = tag("span", classes="figure")
    count_down_to(element, until)
    return element


def time_of_day(at: datetime) -> TextElement:
    """A time of day in UTC, with its date on hover."""
    return tag("time", clock(at), classes="figure", datetime=iso(at), title=moment(at))


def choice_field(
    label: str, choices: Mapping[str, str], value: str, choose: Callable[[str], object]
) -> ui.select:
    """A field above a list in which one of several things is chosen; ``choices`` are words by value."""
    field = ui.select(dict(choices), label=label, value=value, on_change=lambda event: choose(event.value))
    return field.props("outlined dense options-dense behavior=menu").classes("choice")


def text_field(label: str, value: str, choose: Callable[[str], object], *, pause_ms: int = 300) -> ui.input:
    """A field above a list in which something is typed; ``choose`` hears of it after a pause."""
    field = ui.input(label, value=value, on_change=lambda event: choose((event.value or "").strip()))
    return field.props(f"outlined dense clearable autocomplete=off debounce={pause_ms}").classes("choice")


def empty_state(symbol: str, title: str, advice: str) -> None:
    """What stands where there is nothing: what that means, and what can be done."""
    with tag("div", classes="empty"):
        icon(symbol)
        tag("p", title, classes="empty-title")
        tag("p", advice, classes="muted")


class Placeholder:
    """What a page shows until it has been able to read the one thing that it is about.

    ``unknown`` and ``away`` are an empty state each: there is no such thing, or it cannot be read.
    """

    def __init__(self, loading: str, *, unknown: tuple[str, str, str], away: tuple[str, str, str]) -> None:
        self._unknown = unknown
        self._away = away
        self._said: tuple[str, str, str] | None = None
        self._box = tag("div")
        with self._box:
            tag("p", loading, classes="muted loading")

    def show(self, reading: Reading[Any]) -> None:
        """Say why nothing was read, or make way for what was."""
        self._box.set_visibility(reading.value is None)
        why = self._unknown if reading.is_refused else self._away
        if reading.value is not None or why == self._said:
            return
        self._said = why
        self._box.clear()
        with self._box:
            empty_state(*why)


def section(title: str, *, classes: str = "") -> TextElement:
    """A titled box; use it as a context manager."""
    box = tag("section", classes=f"box {classes}", aria_label=title)
    with box:
        tag("h2", title)
    return box
