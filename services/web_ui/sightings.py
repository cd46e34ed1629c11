"""The rows in which log lines, traces and errors are listed, on their own pages and on others."""

from nicegui import ui

from services.web_ui.parts import set_attributes, tag, tick_since, time_of_day
from services.web_ui.rows import Rows
from services.web_ui.telemetry import ErrorGroup, LogLine, TraceSummary, in_words
from services.web_ui.text import span

GIST_VALUE_LIMIT = 120
_UNTOLD = frozenset({"request_id"})


def log_rows(box: ui.element) -> Rows[str, LogLine]:
    """Rows of log lines inside ``box``."""
    return Rows(box, key=lambda line: line.signal_id, make=LogRow)


def trace_rows(box: ui.element) -> Rows[str, TraceSummary]:
    """Rows of traces inside ``box``."""
    return Rows(box, key=lambda trace: trace.trace_id, make=TraceRow)


def error_rows(box: ui.element) -> Rows[str, ErrorGroup]:
    """Rows of groups of errors inside ``box``."""
    return Rows(box, key=lambda group: group.group_id, make=ErrorRow)


class LogRow:
    """One log line; it unfolds to its attributes and the way to its trace."""

    def __init__(self, line: LogLine) -> None:
        with tag("details", classes="log-line") as self.element:
            with tag("summary"):
                time_of_day(line.timestamp)
                tag("span", line.level, classes=f"level level-{line.level.lower()}")
                tag("span", line.service, classes="service")
                with tag("span", classes="title"):
                    tag("span", line.message)
                    tag("span", _gist(line), classes="gist")
            with tag("div", classes="unfolded"):
                tag("pre", in_words(line.attributes.items()) or "no attributes")
                if line.trace_id:
                    tag("a", f"Trace {line.trace_id}", href=f"/traces/{line.trace_id}")

    def show(self, line: LogLine) -> None:
        """A line that was written does not change."""


def _gist(line: LogLine) -> str:
    """The attributes in a row, as far as they are short: most messages are names of what happened."""
    texts = ((name, str(value)) for name, value in line.attributes.items() if name not in _UNTOLD)
    return "  ".join(f"{name}={text}" for name, text in texts if len(text) <= GIST_VALUE_LIMIT)


class TraceRow:
    """One trace's line: a link to its page."""

    def __init__(self, trace: TraceSummary) -> None:
        with tag("a", classes="trace-row", href=f"/traces/{trace.trace_id}") as self.element:
            time_of_day(trace.started_at)
            self._root = tag("span", classes="title")
            self._services = tag("span", classes="service")
            self._errors = tag("span")
            self._spans = tag("span", classes="muted figure")
            self._duration = tag("span", classes="figure duration")
        self._shown: TraceSummary | None = None

    def show(self, trace: TraceSummary) -> None:
        """Say what is known of the trace: spans arrive one after the other."""
        if trace == self._shown:
            return
        self._shown = trace
        self._root.set_text(f"{trace.root_service}: {trace.root_name}")
        others = [name for name in trace.services if name != trace.root_service]
        self._services.set_text("→ " + ", ".join(others) if others else "")
        self._errors.set_text(counted(trace.errors, "error") if trace.errors else "")
        self._errors.classes(replace="status status-open" if trace.errors else "status-none")
        self._spans.set_text(counted(trace.spans, "span"))
        self._duration.set_text(span(trace.duration_ms))


class ErrorRow:
    """One group's line: a link to its page."""

    def __init__(self, group: ErrorGroup) -> None:
        with tag("a", classes="error-row", href=f"/errors/{group.group_id}") as self.element:
            with tag("span", classes="title"):
                tag("strong", group.type)
                self._value = tag("span", classes="value")
                tag("span", group.culprit, classes="muted culprit")
            tag("span", group.service, classes="service")
            self._count = tag("span", classes="figure")
            with tag("span", classes="age muted"):
                self._last = tag("span", classes="figure")
                tag("span", " ago")
        self._shown: ErrorGroup | None = None

    def show(self, group: ErrorGroup) -> None:
        """Say how often it was seen, and when last."""
        if group == self._shown:
            return
        self._shown = group
        self._value.set_text(group.value)
        self._count.set_text(f"{group.count} ×")
        tick_since(self._last, group.last_seen)
        set_attributes(self._last, title=f"last seen {group.last_seen:%H:%M:%S} UTC")


def counted(count: int, thing: str) -> str:
    """``1 span``, ``2 spans``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"
