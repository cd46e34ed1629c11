"""The page Errors: what was raised, alike errors as one group."""

from typing import Annotated

from fastapi import Query
from nicegui import ui

from services.web_ui.parts import tag, text_field
from services.web_ui.results import Results, Words, service_choice, window_choice
from services.web_ui.sightings import error_rows
from services.web_ui.telemetry import ErrorGroup, ErrorSearch, Telemetry
from services.web_ui.theme import frame

_WORDS = Words(
    "/errors", "errors", "No error fits this search.", "Nothing was raised, or the search above hides it."
)


def add_page(telemetry: Telemetry) -> None:
    """Register the page at ``/errors``; its query is the search."""

    @ui.page("/errors")
    def errors_page(
        service: str = "",
        trace_id: str = "",
        tags: Annotated[list[str] | None, Query(alias="tag")] = None,
        since: str = "",
        until: str = "",
        offset: int = 0,
    ) -> None:
        search = ErrorSearch(
            service=service,
            since=since,
            until=until,
            offset=max(offset, 0),
            trace_id=trace_id,
            tag=tuple(tags or ()),
        )
        with frame("Errors", title="Errors") as parts:
            results: Results[ErrorSearch, ErrorGroup] = Results(parts, search, telemetry.errors, _WORDS)
            results.add_head("Errors")
            _add_filters(results)
            box = tag("div", classes="list", role="region", aria_label="Errors")
            with box, tag("div", classes="error-row column-heads", aria_hidden="true"):
                for title in ("Error", "Service", "Seen", "Last"):
                    tag("span", title)
            results.add_list(error_rows(box))


def _add_filters(results: Results[ErrorSearch, ErrorGroup]) -> None:
    search = results.search
    with tag("div", classes="filters of-four", role="search"):
        service_choice(search, lambda value: results.look_for(service=value))
        window_choice(search, lambda since, until: results.look_for(since=since, until=until))
        text_field(
            "Tags, such as release:7d3a9e1",
            " ".join(search.tag),
            lambda value: results.look_for(tag=_tags(value)),
        )
        text_field("Trace", search.trace_id, lambda value: results.look_for(trace_id=value))


def _tags(text: str) -> tuple[str, ...]:
    """The words that are ``name:value``; one that is still being typed is none yet."""
    return tuple(word for word in text.split() if ":" in word)
