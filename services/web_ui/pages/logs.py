"""The page Logs: what the services wrote down, live, by service, level, trace and text."""

from nicegui import ui

from services.web_ui.parts import choice_field, icon, tag, text_field
from services.web_ui.results import Results, Words, service_choice, window_choice
from services.web_ui.sightings import log_rows
from services.web_ui.telemetry import LogLine, LogSearch, Telemetry
from services.web_ui.theme import frame

_LEVELS = {"": "All", "WARNING": "Warning and above", "ERROR": "Error and above", "CRITICAL": "Critical"}
_WORDS = Words(
    "/logs",
    "log lines",
    "No log line fits this search.",
    "Change it above. Lines appear here a second or two after they were written.",
)


def add_page(telemetry: Telemetry) -> None:
    """Register the page at ``/logs``; its query is the search."""

    @ui.page("/logs")
    def logs_page(
        service: str = "",
        level: str = "",
        trace_id: str = "",
        q: str = "",
        since: str = "",
        until: str = "",
        offset: int = 0,
    ) -> None:
        search = LogSearch(
            service=service,
            since=since,
            until=until,
            offset=max(offset, 0),
            level=level if level in _LEVELS else "",
            trace_id=trace_id,
            q=q,
        )
        with frame("Logs", title="Logs") as parts:
            results: Results[LogSearch, LogLine] = Results(
                parts, search, telemetry.logs, _WORDS, moment_of=lambda line: line.timestamp
            )
            results.add_head("Logs")
            _add_filters(results)
            results.add_list(log_rows(tag("div", classes="list logs", role="region", aria_label="Log lines")))


def _add_filters(results: Results[LogSearch, LogLine]) -> None:
    search = results.search
    with tag("div", classes="filters of-five", role="search"):
        text = text_field("Text", search.q, lambda value: results.look_for(q=value)).props("type=search")
        text.classes(replace="search")
        with text.add_slot("prepend"):
            icon("search")
        service_choice(search, lambda value: results.look_for(service=value))
        choice_field("Level", _LEVELS, search.level, lambda value: results.look_for(level=value))
        window_choice(search, lambda since, until: results.look_for(since=since, until=until))
        text_field("Trace", search.trace_id, lambda value: results.look_for(trace_id=value))
