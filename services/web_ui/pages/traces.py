"""The page Traces: which requests there were, by service, duration and errors."""

from nicegui import ui

from services.web_ui.parts import choice_field, tag, text_field
from services.web_ui.results import Results, Words, service_choice, window_choice
from services.web_ui.sightings import trace_rows
from services.web_ui.telemetry import Telemetry, TraceSearch, TraceSummary
from services.web_ui.theme import frame

_DURATIONS = {
    "": "Any",
    "100": "100 ms or more",
    "500": "500 ms or more",
    "1000": "1 s or more",
    "2000": "2 s or more",
    "5000": "5 s or more",
}
_ERRORS = {"": "With or without", "true": "With errors", "false": "Without errors"}
_WORDS = Words(
    "/traces",
    "traces",
    "No trace fits this search.",
    "Change it above. Spans arrive here a few seconds after they ended.",
)


def add_page(telemetry: Telemetry) -> None:
    """Register the page at ``/traces``; its query is the search."""

    @ui.page("/traces")
    def traces_page(
        service: str = "",
        min_duration_ms: str = "",
        error: str = "",
        since: str = "",
        until: str = "",
        offset: int = 0,
    ) -> None:
        search = TraceSearch(
            service=service,
            since=since,
            until=until,
            offset=max(offset, 0),
            min_duration_ms=min_duration_ms,
            error=error if error in _ERRORS else "",
        )
        with frame("Traces", title="Traces") as parts:
            results: Results[TraceSearch, TraceSummary] = Results(
                parts, search, telemetry.traces, _WORDS, moment_of=lambda trace: trace.started_at
            )
            results.add_head("Traces")
            _add_filters(results)
            box = tag("div", classes="list", role="region", aria_label="Traces")
            with box, tag("div", classes="trace-row column-heads", aria_hidden="true"):
                for title in ("Began", "Request", "Through", "Errors", "Spans", "Took"):
                    tag("span", title)
            results.add_list(trace_rows(box))


def _add_filters(results: Results[TraceSearch, TraceSummary]) -> None:
    search = results.search
    with tag("div", classes="filters of-five", role="search"):
        service_choice(search, lambda value: results.look_for(service=value))
        durations = dict(_DURATIONS)
        durations.setdefault(search.min_duration_ms, f"{search.min_duration_ms} ms or more")
        choice_field(
            "Duration",
            durations,
            search.min_duration_ms,
            lambda value: results.look_for(min_duration_ms=value),
        )
        choice_field("Errors", _ERRORS, search.error, lambda value: results.look_for(error=value))
        window_choice(search, lambda since, until: results.look_for(since=since, until=until))
        text_field("Trace id", "", _go_to_trace, pause_ms=600)


def _go_to_trace(trace_id: str) -> None:
    if trace_id:
        ui.navigate.to(f"/traces/{trace_id}")
