"""What happened around an incident: errors, failed traces and loud log lines of its service."""

import asyncio
from typing import Any

from services.web_ui.parts import section, set_attributes, tag
from services.web_ui.readings import Reading
from services.web_ui.results import address
from services.web_ui.schemas import IncidentDetail
from services.web_ui.sightings import error_rows, log_rows, trace_rows
from services.web_ui.telemetry import ErrorSearch, LogSearch, Telemetry, TraceSearch, around

SHOWN = 3


class Around:
    """A box on the incident's page: from five minutes before it opened until it was resolved."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        with section("Around it", classes="around"):
            tag(
                "p", "In its service, from 5 minutes before it opened until it was resolved.", classes="muted"
            )
            with tag("p", classes="alert-links"):
                self._all_logs = tag("a", "Logs")
                self._all_traces = tag("a", "Traces")
                self._all_errors = tag("a", "Errors")
            self._errors = error_rows(tag("div", classes="list"))
            self._traces = trace_rows(tag("div", classes="list"))
            self._logs = log_rows(tag("div", classes="list logs"))
            self._nothing = tag(
                "p", "No error, no failed trace and no warning of it is known yet.", classes="muted"
            )
        self._nothing.set_visibility(False)

    async def read(self, incident: IncidentDetail) -> list[Reading[Any]]:
        """Show what is known now; the readings that it came from."""
        where = around(incident)
        set_attributes(self._all_logs, href=address("/logs", LogSearch(**where)))
        set_attributes(self._all_traces, href=address("/traces", TraceSearch(**where)))
        set_attributes(self._all_errors, href=address("/errors", ErrorSearch(**where)))
        errors, traces, logs = await asyncio.gather(
            self._telemetry.errors.of(ErrorSearch(**where)).get(),
            self._telemetry.traces.of(TraceSearch(**where, error="true")).get(),
            self._telemetry.logs.of(LogSearch(**where, level="WARNING")).get(),
        )
        found = [(reading.value.items if reading.value else []) for reading in (errors, traces, logs)]
        self._errors.show(errors.value.items[:SHOWN] if errors.value else [])
        self._traces.show(traces.value.items[:SHOWN] if traces.value else [])
        self._logs.show(logs.value.items[:SHOWN] if logs.value else [])
        is_known = errors.value is not None and traces.value is not None and logs.value is not None
        self._nothing.set_visibility(is_known and not any(found))
        return [errors, traces, logs]
