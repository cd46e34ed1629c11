"""A telemetry service that knows one failed checkout, by the telemetry service's own interface."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

NOW = datetime.now(UTC)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
GROUP_ID = "payment-ValueError"


def _at(offset_ms: float) -> str:
    return (NOW + timedelta(milliseconds=offset_ms)).isoformat()


def _span(
    number: int, service: str, name: str, *, offset_ms: float, duration_ms: float, depth: int, **more: Any
) -> dict[str, Any]:
    return {
        "span_id": f"{number:016x}",
        "parent_span_id": f"{number - 1:016x}" if depth else None,
        "service": service,
        "name": name,
        "kind": "server",
        "status": "unset",
        "status_message": None,
        "started_at": _at(offset_ms),
        "offset_ms": offset_ms,
        "duration_ms": duration_ms,
        "depth": depth,
        "attributes": {"http.request.method": "POST"},
        "events": [],
        "children": [],
        **more,
    }


PAYMENT = _span(
    2,
    "payment",
    "POST /api/payment",
    offset_ms=20,
    duration_ms=90,
    depth=1,
    status="error",
    status_message="ValueError: unknown acquirer code 57",
    attributes={"http.request.method": "POST", "order_id": "order-fail-pay"},
    children=[_span(3, "inventory", "POST /api/inventory/reserve", offset_ms=30, duration_ms=40, depth=2)],
)
TRACE = {
    "trace_id": TRACE_ID,
    "started_at": _at(0),
    "duration_ms": 120.0,
    "services": ["gateway", "payment", "inventory"],
    "spans": [
        _span(
            1,
            "gateway",
            "POST /checkout",
            offset_ms=0,
            duration_ms=120,
            depth=0,
            status="error",
            children=[PAYMENT],
        )
    ],
}
SUMMARY = {
    **{name: TRACE[name] for name in ("trace_id", "started_at", "duration_ms", "services")},
    "root_service": "gateway",
    "root_name": "POST /checkout",
    "spans": 3,
    "errors": 2,
}
LINES = [
    {
        "signal_id": f"00000000-0000-4000-8000-{number:012x}",
        "timestamp": _at(number),
        "service": service,
        "level": level,
        "message": message,
        "trace_id": trace_id,
        "attributes": attributes,
    }
    for number, (service, level, message, trace_id, attributes) in enumerate(
        [
            ("profile", "INFO", "cache.warmed", None, {"entries": 12}),
            ("gateway", "WARNING", "request.finished", TRACE_ID, {"status": 500, "route": "/checkout"}),
            ("payment", "ERROR", "request.failed", TRACE_ID, {"error": "unknown acquirer code 57"}),
        ]
    )
]
GROUP = {
    "group_id": GROUP_ID,
    "type": "ValueError",
    "value": "unknown acquirer code 57",
    "culprit": "services/payment/processor.py in capture",
    "service": "payment",
    "count": 7,
    "first_seen": _at(-60_000),
    "last_seen": _at(0),
    "last_event_id": "e" * 32,
    "last_trace_id": TRACE_ID,
    "releases": ["7d3a9e1"],
    "tags": {"service": {"payment": 7}, "request_id": {"r-1": 4, "r-2": 3}},
}
DETAIL = {
    **GROUP,
    "events": [
        {
            "event_id": "e" * 32,
            "timestamp": _at(0),
            "service": "payment",
            "trace_id": TRACE_ID,
            "release": "7d3a9e1",
            "environment": "demo",
            "message": "unknown acquirer code 57",
            "tags": {"service": "payment"},
            "stacktrace": [
                {"filename": "services/payment/app.py", "function": "pay", "lineno": 91, "module": None},
                {
                    "filename": "services/payment/processor.py",
                    "function": "capture",
                    "lineno": 118,
                    "module": None,
                },
            ],
        }
    ],
}


class _Telemetry(BaseHTTPRequestHandler):
    """Answers what the console asks."""

    asked: list[str]

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        type(self).asked.append(self.path)
        found = self._answer(place.path, query)
        body = json.dumps(found if found is not None else {"detail": "not found"}).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        single = {f"/api/v1/traces/{TRACE_ID}": TRACE, f"/api/v1/errors/{GROUP_ID}": DETAIL}
        lists = {"/api/v1/logs": LINES[::-1], "/api/v1/traces": [SUMMARY], "/api/v1/errors": [GROUP]}
        if path in single:
            return single[path]
        if path not in lists:
            return None
        items = [item for item in lists[path] if _fits(item, query)]
        return {"items": items, "limit": 100, "offset": 0, "next_offset": None}

    def log_message(self, *_: object) -> None:
        """Say nothing on standard error."""


def _fits(item: dict[str, Any], query: dict[str, str]) -> bool:
    trace_id = item.get("trace_id") or item.get("last_trace_id")
    services = item.get("services") or [item["service"]]
    return (
        query.get("service", services[0]) in services
        and query.get("trace_id", trace_id) == trace_id
        and query.get("q", "") in json.dumps(item)
        and (query.get("level") != "ERROR" or item["level"] == "ERROR")
        and float(query.get("min_duration_ms", 0)) <= item.get("duration_ms", 1e9)
    )


@contextmanager
def serving(port: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Serve while the block lasts: the base URL, and the list of what was asked so far."""
    asked: list[str] = []
    answering = type("Answering", (_Telemetry,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", port), answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()
