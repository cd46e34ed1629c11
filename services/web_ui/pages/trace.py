"""The page of one trace: its spans as a waterfall, what was written down meanwhile, what was raised."""

from collections.abc import Sequence
from itertools import cycle, islice

from nicegui import ui

from services.web_ui.parts import empty_state, icon, section, set_attributes, tag, time_of_day
from services.web_ui.sightings import counted, error_rows, log_rows
from services.web_ui.telemetry import ErrorSearch, LogSearch, Span, Telemetry, Trace, in_words
from services.web_ui.text import span as short
from services.web_ui.theme import Frame, frame

REFRESH_S = 3.0
SPANS_SHOWN = 500
LINES_SHOWN = 100
_COLOURS = "abcdef"
"""The style sheet's colours for services; with more services they come again."""
_UNKNOWN = (
    "search_off",
    "There is no such trace.",
    "Spans arrive a few seconds after they ended, and old traces are let go. This page keeps looking.",
)
_AWAY = ("cloud_off", "The trace cannot be read.", "This page fills itself as soon as it can be.")


def add_page(telemetry: Telemetry) -> None:
    """Register the page at ``/traces/{id}``."""

    @ui.page("/traces/{trace_id}")
    def trace_page(trace_id: str) -> None:
        with frame("Traces", title="Trace") as parts:
            _TracePage(trace_id, telemetry, parts)


class _TracePage:
    def __init__(self, trace_id: str, telemetry: Telemetry, parts: Frame) -> None:
        self._trace = telemetry.trace(trace_id)
        self._logs = telemetry.logs.of(LogSearch(trace_id=trace_id))
        self._errors = telemetry.errors.of(ErrorSearch(trace_id=trace_id))
        self._parts = parts
        with tag("p", classes="back"), tag("a", href="/traces"):
            icon("arrow_back")
            tag("span", "Traces")
        self._title = tag("h1", "Trace")
        tag("p", trace_id, classes="muted id")
        self._box = tag("div", classes="trace-parts")
        with self._box:
            self._spans = tag("div")
            with self._spans:
                tag("p", "Loading the trace…", classes="muted loading")
            with section("Errors") as self._error_box:
                self._error_rows = error_rows(tag("div", classes="list"))
            with section("Log lines") as self._log_box:
                self._log_rows = log_rows(tag("div", classes="list logs"))
        self._error_box.set_visibility(False)
        self._log_box.set_visibility(False)
        self._shown: Trace | str | None = None
        ui.timer(REFRESH_S, self._refresh)

    async def _refresh(self) -> None:
        trace, logs, errors = await self._trace.get(), await self._logs.get(), await self._errors.get()
        self._parts.problems.show([trace, logs, errors])
        lines = list(reversed(logs.value.items[:LINES_SHOWN])) if logs.value else []
        groups = errors.value.items if errors.value else []
        self._log_rows.show(lines)
        self._error_rows.show(groups)
        self._log_box.set_visibility(bool(lines))
        self._error_box.set_visibility(bool(groups))
        if trace.value is not None:
            self._show(trace.value)
        else:
            self._say("unknown" if trace.is_refused else "away")

    def _say(self, missing: str) -> None:
        if missing == self._shown:
            return
        self._shown = missing
        self._spans.clear()
        with self._spans:
            empty_state(*(_UNKNOWN if missing == "unknown" else _AWAY))

    def _show(self, trace: Trace) -> None:
        """Draw the trace anew if spans have come: what was unfolded is folded then."""
        if trace == self._shown:
            return
        self._shown = trace
        spans = list(islice(trace.flat(), SPANS_SHOWN + 1))
        root = spans[0]
        self._title.set_text(f"{root.service}: {root.name}")
        ui.page_title(f"{root.service}: {root.name} · Firedrill")
        self._spans.clear()
        with self._spans:
            _Waterfall(trace, spans)


class _Waterfall:
    """A line for each span: who did what, and when in the trace, for how long."""

    def __init__(self, trace: Trace, spans: Sequence[Span]) -> None:
        self._whole_ms = max(trace.duration_ms, 0.001)
        names = list(dict.fromkeys(span.service for span in spans))
        self._colours = dict(zip(names, cycle(_COLOURS), strict=False))
        failed = sum(span.status == "error" for span in spans)
        with tag("section", classes="box waterfall", aria_label="Spans"):
            with tag("p", classes="facts muted"):
                time_of_day(trace.started_at)
                tag("span", f"took {short(trace.duration_ms)}")
                tag("span", counted(len(spans), "span"))
                if failed:
                    tag("span", counted(failed, "error"), classes="status status-open")
            with tag("p", classes="legend"):
                for name in names:
                    with tag("span"):
                        tag("i", classes=f"of-service-{self._colours[name]}")
                        tag("span", name)
            with tag("div", classes="scale muted", aria_hidden="true"), tag("div"):
                for part in range(5):
                    tag("span", short(trace.duration_ms * part / 4) if part else "0")
            for span in spans[:SPANS_SHOWN]:
                self._add(span)
            if len(spans) > SPANS_SHOWN:
                tag("p", f"Only the first {SPANS_SHOWN} spans are shown.", classes="muted")

    def _add(self, span: Span) -> None:
        has_failed = span.status == "error"
        with tag("details", classes=f"span{' failed' if has_failed else ''}", data_span=span.span_id):
            with tag("summary"):
                with tag("span", classes="name").style(f"--depth:{min(span.depth, 12)}"):
                    tag("strong", span.service)
                    tag("span", span.name)
                    if has_failed:
                        tag("span", "error", classes="status status-open")
                with tag("span", classes="track"):
                    self._add_bar(span)
                tag("span", short(span.duration_ms), classes="figure duration")
            _add_attributes(span)

    def _add_bar(self, span: Span) -> None:
        left = min(max(100 * span.offset_ms / self._whole_ms, 0.0), 99.5)
        width = min(max(100 * span.duration_ms / self._whole_ms, 0.4), 100 - left)
        bar = tag("span", classes=f"bar of-service-{self._colours[span.service]}")
        bar.style(f"left:{left:.2f}%;width:{width:.2f}%")
        set_attributes(
            bar, title=f"from {short(span.offset_ms)} to {short(span.offset_ms + span.duration_ms)}"
        )


def _add_attributes(span: Span) -> None:
    with tag("div", classes="unfolded"):
        tag(
            "p", f"{span.kind} · from {short(span.offset_ms)}, for {short(span.duration_ms)}", classes="muted"
        )
        if span.status_message:
            tag("p", span.status_message, classes="reason")
        tag("pre", in_words(span.attributes.items()) or "no attributes")
        for event in span.events:
            with tag("p", classes="muted"):
                time_of_day(event.timestamp)
                tag("span", f" {event.name}")
            if event.attributes:
                tag("pre", in_words(event.attributes.items()))
