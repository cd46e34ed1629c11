"""The telemetry service takes what the three formats bring, keeps each thing once, and finds it again."""

import gzip
import json
import uuid
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import brotli
import httpx
import pytest
import sentry_sdk
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from sentry_sdk.integrations.logging import LoggingIntegration
from sqlalchemy.event import listens_for

from services.common.database import Database
from services.telemetry import sentry_items
from services.telemetry.queries import MAX_SPANS, Queries, Window
from services.telemetry.records import Arrivals
from services.telemetry.store import Store
from tests.conftest import LabDatabase, RunningService, Shop

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
NOW = datetime.now(UTC)
COMPRESS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}


@pytest.fixture(scope="module")
def telemetry(standing_shop: Shop) -> RunningService:
    return standing_shop.start("telemetry", TELEMETRY_MAX_IN_FLIGHT="4")


def a_trace_id() -> str:
    return uuid.uuid4().hex


def a_signal(**fields: Any) -> dict[str, Any]:
    return {
        "signal_id": str(uuid.uuid4()),
        "timestamp": NOW.isoformat(),
        "service_name": "till",
        "level": "INFO",
        "message": "till.opened",
        **fields,
    }


def a_span(trace_id: str, **fields: Any) -> Span:
    started = int(NOW.timestamp() * 1e9)
    return Span(
        **{
            "trace_id": bytes.fromhex(trace_id),
            "span_id": uuid.uuid4().bytes[:8],
            "name": "GET",
            "kind": Span.SPAN_KIND_SERVER,
            "start_time_unix_nano": started,
            "end_time_unix_nano": started + 12_500_000,
            **fields,
        }
    )


def an_export(*spans: Span, service: str = "till") -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    resource.scope_spans.add().spans.extend(spans)
    return request


def export(telemetry: RunningService, *spans: Span, service: str = "till") -> httpx.Response:
    body = an_export(*spans, service=service).SerializeToString()
    return telemetry.client.post("/v1/traces", content=body, headers=PROTOBUF)


def get(telemetry: RunningService, path: str, **params: Any) -> Any:
    answer = telemetry.client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- signals


def test_a_signal_is_found_as_it_was_sent(telemetry: RunningService) -> None:
    trace_id = a_trace_id()
    signal = a_signal(trace_id=trace_id, level="ERROR", attributes={"order_id": 7, "deep": {"a": [1, None]}})

    answer = telemetry.client.post("/ingest/logs", json=signal)

    assert (answer.status_code, answer.json()) == (200, {"received": 1, "stored": 1})
    [found] = get(telemetry, "logs", trace_id=trace_id)["items"]
    assert found == {
        "signal_id": signal["signal_id"],
        "timestamp": NOW.isoformat().replace("+00:00", "Z"),
        "service": "till",
        "level": "ERROR",
        "message": "till.opened",
        "trace_id": trace_id,
        "attributes": {"order_id": 7, "deep": {"a": [1, None]}},
    }


def test_signals_that_are_sent_again_are_stored_once(telemetry: RunningService) -> None:
    trace_id = a_trace_id()
    batch = [a_signal(trace_id=trace_id) for _ in range(5)]

    telemetry.client.post("/ingest/logs", json=batch[:3])
    again = telemetry.client.post("/ingest/logs", json=[*batch, batch[0]])

    assert again.json() == {"received": 6, "stored": 2}
    assert len(get(telemetry, "logs", trace_id=trace_id)["items"]) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"signal_id": "no-uuid"},
        {"level": "LOUD"},
        {"timestamp": "yesterday"},
        {"timestamp": "2026-11-21T10:00:00"},
        {"timestamp": "9999-12-31T23:59:59-12:00"},
        {"service_name": ""},
        {"message": None},
        {"attributes": [1]},
    ],
)
def test_one_invalid_signal_refuses_its_whole_batch(
    telemetry: RunningService, change: dict[str, Any]
) -> None:
    trace_id = a_trace_id()

    answer = telemetry.client.post(
        "/ingest/logs", json=[a_signal(trace_id=trace_id), a_signal(trace_id=trace_id, **change)]
    )

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["1", next(iter(change))]
    assert get(telemetry, "logs", trace_id=trace_id)["items"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"5", b"\xff", b"[" * 100_000, b'{"signal_id": ' + b"9" * 5000])
def test_a_body_that_holds_no_signals_is_a_422(telemetry: RunningService, body: bytes) -> None:
    assert telemetry.client.post("/ingest/logs", content=body, headers=JSON).status_code == 422


def test_what_postgres_cannot_keep_is_kept_in_other_words(telemetry: RunningService) -> None:
    trace_id = a_trace_id()
    odd = b'{"big": %s, "nan": NaN, "nul\\u0000": "a\\u0000b", "half": "\\ud800", "deep": %s}' % (
        b"9" * 400,
        b"[" * 200 + b"]" * 200,
    )
    signal = json.dumps(a_signal(trace_id=trace_id, message="a\0b")).encode()
    body = signal[:-1] + b', "attributes": ' + odd + b"}"

    answer = telemetry.client.post("/ingest/logs", content=body, headers=JSON)

    assert answer.status_code == 200, answer.text
    [found] = get(telemetry, "logs", trace_id=trace_id)["items"]
    assert found["message"] == "a\ufffdb"
    assert found["attributes"]["nan"] == "nan"
    assert found["attributes"]["nul\ufffd"] == "a\ufffdb"


def test_logs_are_filtered_and_paged_newest_first(telemetry: RunningService) -> None:
    service = f"till-{uuid.uuid4().hex[:8]}"
    levels = ["INFO", "WARNING", "ERROR", "CRITICAL"]
    telemetry.client.post(
        "/ingest/logs",
        json=[
            a_signal(
                service_name=service,
                level=level,
                message=f"till.{level.lower()}",
                timestamp=(NOW - timedelta(minutes=10 * n)).isoformat(),
                attributes={"drawer": f"100%_{n}"},
            )
            for n, level in enumerate(levels)
        ],
    )

    def messages(**params: Any) -> list[str]:
        return [item["message"] for item in get(telemetry, "logs", service=service, **params)["items"]]

    assert messages() == ["till.info", "till.warning", "till.error", "till.critical"]
    assert messages(level="ERROR") == ["till.error", "till.critical"]
    assert messages(q="ILL.WARN") == ["till.warning"]
    assert messages(q="100%_2") == ["till.error"]
    assert messages(q="100__2") == []
    assert messages(q="t%info") == []
    assert len(messages(since="2h")) == 4
    assert messages(since=(NOW - timedelta(minutes=15)).isoformat()) == ["till.info", "till.warning"]
    assert messages(until=(NOW - timedelta(minutes=15)).isoformat()) == ["till.error", "till.critical"]
    first = get(telemetry, "logs", service=service, limit=3)
    assert first["next_offset"] == 3
    rest = get(telemetry, "logs", service=service, limit=3, offset=3)
    assert [item["message"] for item in rest["items"]] == ["till.critical"]
    assert (rest["limit"], rest["offset"], rest["next_offset"]) == (3, 3, None)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("logs", {"since": "soon"}),
        ("logs", {"until": "2026-13-01T00:00:00Z"}),
        ("logs", {"level": "LOUD"}),
        ("logs", {"limit": 0}),
        ("logs", {"trace_id": "x y"}),
        ("traces", {"min_duration_ms": "nan"}),
        ("traces", {"error": "maybe"}),
        ("traces", {"since": "99999999999d"}),
        ("errors", {"tag": "no-colon"}),
    ],
)
def test_a_bad_value_is_a_422(telemetry: RunningService, path: str, params: dict[str, Any]) -> None:
    assert telemetry.client.get(f"/api/v1/{path}", params=params).status_code == 422


# --- spans


def test_a_trace_that_comes_in_parts_is_one_tree(telemetry: RunningService) -> None:
    trace_id = a_trace_id()
    start = int(NOW.timestamp() * 1e9)
    child = a_span(
        trace_id,
        parent_span_id=b"rootroot",
        span_id=b"childone",
        start_time_unix_nano=start + 5_000_000,
        end_time_unix_nano=start + 105_000_000,
        status={"code": 2, "message": "no answer"},
        attributes=[{"key": "http.route", "value": {"string_value": "/api/payment"}}],
    )
    event = child.events.add(name="exception", time_unix_nano=start + 9_000_000)
    event.attributes.add(key="exception.type").value.string_value = "ValueError"
    root = a_span(
        trace_id,
        span_id=b"rootroot",
        name="POST /checkout",
        start_time_unix_nano=start,
        end_time_unix_nano=start + 100_000_000,
    )
    orphan = a_span(trace_id, parent_span_id=b"nobody!!", start_time_unix_nano=start + 1_000_000)

    export(telemetry, child, service="cellar")
    export(telemetry, root, orphan)

    trace = get(telemetry, f"traces/{trace_id}")
    assert trace["services"] == ["cellar", "till"]
    assert trace["duration_ms"] == 105.0
    first, second = trace["spans"]
    assert (first["name"], first["depth"], first["status"], first["kind"]) == (
        "POST /checkout",
        0,
        "unset",
        "server",
    )
    assert second["parent_span_id"] == b"nobody!!".hex()
    [inner] = first["children"]
    assert (inner["service"], inner["depth"], inner["offset_ms"], inner["duration_ms"]) == (
        "cellar",
        1,
        5.0,
        100.0,
    )
    assert (inner["status"], inner["status_message"]) == ("error", "no answer")
    assert inner["events"][0]["attributes"] == {"exception.type": "ValueError"}
    [line] = [one for one in get(telemetry, "traces")["items"] if one["trace_id"] == trace_id]
    assert line == {
        "trace_id": trace_id,
        "root_service": "till",
        "root_name": "POST /checkout",
        "started_at": trace["started_at"],
        "duration_ms": 105.0,
        "spans": 3,
        "errors": 1,
        "services": ["cellar", "till"],
    }


def test_a_trace_that_comes_in_parts_is_found_by_every_route_that_it_went_over(
    telemetry: RunningService,
) -> None:
    trace_id = a_trace_id()
    routes = [f"/{uuid.uuid4().hex}" for _ in range(2)]
    for route in routes:
        attributes = [{"key": "http.route", "value": {"string_value": route}}]
        export(telemetry, a_span(trace_id, attributes=attributes))

    found = [get(telemetry, "traces", route=route)["items"] for route in routes]

    assert [[one["trace_id"] for one in items] for items in found] == [[trace_id], [trace_id]]


def test_of_a_very_long_trace_so_many_spans_are_shown_and_it_says_that_there_are_more(
    telemetry: RunningService,
) -> None:
    trace_id = a_trace_id()
    export(telemetry, *(a_span(trace_id) for _ in range(MAX_SPANS)))
    whole = get(telemetry, f"traces/{trace_id}")

    export(telemetry, a_span(trace_id))

    longer = get(telemetry, f"traces/{trace_id}")
    assert (len(whole["spans"]), whole["truncated"]) == (MAX_SPANS, False)
    assert (len(longer["spans"]), longer["truncated"]) == (MAX_SPANS, True)


def test_an_export_that_is_sent_again_is_stored_once(telemetry: RunningService) -> None:
    trace_id = a_trace_id()
    spans = [a_span(trace_id), a_span(trace_id)]

    export(telemetry, *spans)
    export(telemetry, *spans, spans[0], a_span(trace_id))

    [line] = [one for one in get(telemetry, "traces")["items"] if one["trace_id"] == trace_id]
    assert line["spans"] == len(get(telemetry, f"traces/{trace_id}")["spans"]) == 3


def test_traces_are_filtered(telemetry: RunningService) -> None:
    service, slow, failed = f"till-{uuid.uuid4().hex[:8]}", a_trace_id(), a_trace_id()
    start = int(NOW.timestamp() * 1e9)
    route = [{"key": "http.route", "value": {"string_value": "/slow/{n}"}}]
    export(
        telemetry,
        a_span(slow, end_time_unix_nano=start + 3_000_000_000, attributes=route),
        a_span(failed, status={"code": 2}),
        service=service,
    )

    def found(**params: Any) -> set[str]:
        return {one["trace_id"] for one in get(telemetry, "traces", service=service, **params)["items"]}

    assert found() == {slow, failed}
    assert found(min_duration_ms=1000) == {slow}
    assert found(error="true") == {failed}
    assert found(error="false") == {slow}
    assert found(route="/slow/{n}") == {slow}
    assert found(until="1h") == set()


@pytest.mark.parametrize("no_parent", ["", None])
@pytest.mark.parametrize("encoding", ["identity", *COMPRESS])
def test_spans_come_in_json_and_compressed_too(
    telemetry: RunningService, encoding: str, no_parent: str | None
) -> None:
    trace_id = a_trace_id()
    start = int(NOW.timestamp() * 1e9)
    span = {
        "traceId": trace_id.upper(),
        "spanId": "00f067aa0ba902b7",
        "parentSpanId": no_parent,
        "name": "GET /json",
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 1_000_000),
        "attributes": [{"key": "n", "value": {"intValue": "12"}}],
        "status": {"code": 1},
        "madeUpField": True,
    }
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()

    answer = telemetry.client.post(
        "/v1/traces",
        content=COMPRESS.get(encoding, bytes)(body),
        headers={**JSON, "content-encoding": encoding},
    )

    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    [found] = get(telemetry, f"traces/{trace_id}")["spans"]
    assert (found["name"], found["kind"], found["status"]) == ("GET /json", "client", "ok")
    assert (found["service"], found["attributes"]) == ("unknown_service", {"n": 12})


def test_refused_spans_are_a_partial_success(telemetry: RunningService) -> None:
    trace_id = a_trace_id()

    answer = export(telemetry, a_span(trace_id), a_span(trace_id, span_id=b""), a_span("0" * 32))

    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert partial.rejected_spans == 2
    assert "span id" in partial.error_message
    assert len(get(telemetry, f"traces/{trace_id}")["spans"]) == 1


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTOBUF, b"\xff\xff\xff"),
        (JSON, b"{"),
        (JSON, b"[]"),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}'),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 5}]}]}]}'),
        (JSON, b"[" * 100_000),
        ({**PROTOBUF, "content-encoding": "gzip"}, b"no gzip"),
        ({**PROTOBUF, "content-encoding": "br"}, brotli.compress(b"x" * 99)[:-2]),
        ({**PROTOBUF, "content-encoding": "lzma"}, b""),
    ],
)
def test_a_malformed_export_is_a_400_in_its_own_encoding(
    telemetry: RunningService, headers: dict[str, str], body: bytes
) -> None:
    answer = telemetry.client.post("/v1/traces", content=body, headers=headers)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == headers["content-type"]
    status = answer.json() if headers["content-type"] == JSON["content-type"] else None
    code = status["code"] if status else Status.FromString(answer.content).code
    assert code == 3


def test_another_media_type_is_a_415(telemetry: RunningService) -> None:
    answer = telemetry.client.post("/v1/traces", content=b"", headers={"content-type": "text/plain"})

    assert answer.status_code == 415


def test_a_small_body_that_decompresses_to_a_big_one_is_refused(telemetry: RunningService) -> None:
    for encoding, compress in COMPRESS.items():
        answer = telemetry.client.post(
            "/ingest/logs",
            content=compress(b" " * 50_000_000),
            headers={**JSON, "content-encoding": encoding},
        )
        assert answer.status_code == 413, encoding


def test_an_unknown_trace_is_a_404(telemetry: RunningService) -> None:
    assert telemetry.client.get(f"/api/v1/traces/{a_trace_id()}").status_code == 404
    assert telemetry.client.get(f"/api/v1/errors/{a_trace_id()}").status_code == 404


# --- errors


def an_event(**fields: Any) -> dict[str, Any]:
    return {"event_id": uuid.uuid4().hex, "timestamp": NOW.isoformat(), "platform": "python", **fields}


def an_envelope(*items: tuple[str, Any], with_length: bool = True) -> bytes:
    lines = [b'{"event_id": "9ec79c33ec9942ab8353589fcb2e04dc", "dsn": "https://any@sentry.test/42"}']
    for kind, payload in items:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        header = {"type": kind, **({"length": len(body)} if with_length else {})}
        lines += [json.dumps(header).encode(), body]
    return b"\n".join(lines)


def send(telemetry: RunningService, *items: tuple[str, Any], with_length: bool = True) -> httpx.Response:
    return telemetry.client.post(
        "/api/42/envelope/?sentry_key=any", content=an_envelope(*items, with_length=with_length)
    )


def thrown(kind: str, value: str, *functions: str) -> dict[str, Any]:
    frames = [{"module": "till.app", "function": one, "lineno": 3, "filename": "app.py"} for one in functions]
    return {"values": [{"type": kind, "value": value, "stacktrace": {"frames": frames}}]}


@pytest.mark.parametrize("with_length", [True, False])
def test_an_envelope_with_an_event_a_log_and_strangers_is_taken(
    telemetry: RunningService, with_length: bool
) -> None:
    trace_id = a_trace_id()
    event = an_event(
        exception=thrown("ValueError", "drawer 7 is stuck", "open"),
        contexts={"trace": {"trace_id": trace_id}},
        tags=[["service", "till"], ["drawer", "7"]],
    )
    log = {
        "timestamp": NOW.timestamp(),
        "trace_id": trace_id,
        "level": "warn",
        "body": "stuck",
        "attributes": {"n": {"value": 7, "type": "integer"}},
    }
    items = [
        ("attachment", b"\x00\x01" if with_length else b"x"),
        ("event", event),
        ("log", {"items": [log]}),
    ]

    answer = send(telemetry, *items, ("session", {}), with_length=with_length)
    again = send(telemetry, *items, with_length=with_length)

    assert answer.json() == again.json() == {"id": "9ec79c33ec9942ab8353589fcb2e04dc"}
    [group] = get(telemetry, "errors", trace_id=trace_id)["items"]
    assert (group["type"], group["value"], group["count"]) == ("ValueError", "drawer 7 is stuck", 1)
    assert (group["culprit"], group["service"]) == ("till.app in open", "till")
    assert group["tags"] == {"service": {"till": 1}, "drawer": {"7": 1}}
    assert (group["last_event_id"], group["last_trace_id"]) == (event["event_id"], trace_id)
    [line] = get(telemetry, "logs", trace_id=trace_id)["items"]
    assert (line["level"], line["message"], line["attributes"]) == ("WARNING", "stuck", {"n": 7})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b'{}\n{"length": 2}\n{}',
        b'{}\n{"type": "event", "length": 99}\n{}',
        b'{}\n{"type": "event", "length": 1}\n{}',
        b'{}\n{"type": "event", "length": -1}\n{}',
        b'{}\n{"type": "event"}\n[]',
        b'{}\n{"type": "event"}\n{"event_id": "x"}',
        b'{}\n{"type": "transaction"}\n{}',
    ],
)
def test_a_malformed_envelope_is_a_400(telemetry: RunningService, body: bytes) -> None:
    answer = telemetry.client.post("/api/1/envelope/", content=body)

    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_errors_are_grouped_counted_and_filtered(telemetry: RunningService) -> None:
    service = f"till-{uuid.uuid4().hex[:8]}"

    def event(value: str, *functions: str, drawer: str, minutes: int, **fields: Any) -> tuple[str, Any]:
        return "event", an_event(
            exception=thrown("KeyError", value, *functions),
            tags={"service": service, "drawer": drawer},
            timestamp=(NOW - timedelta(minutes=minutes)).isoformat(),
            **fields,
        )

    send(
        telemetry,
        event("a", "main", "open", drawer="1", minutes=30, release="1.0"),
        event("b", "main", "open", drawer="2", minutes=20, release="1.1"),
        event("c", "main", "shut", drawer="2", minutes=10),
        ("event", an_event(message="no order 17", tags={"service": service}, level="warning")),
        ("event", an_event(message="no order 18", tags={"service": service})),
        event("d", "main", "open", drawer="3", minutes=40, fingerprint=["mine"]),
    )

    groups = get(telemetry, "errors", service=service)["items"]
    assert [(group["type"], group["value"], group["count"]) for group in groups] == [
        ("message", groups[0]["value"], 2),
        ("KeyError", "c", 1),
        ("KeyError", "b", 2),
        ("KeyError", "d", 1),
    ]
    both = groups[2]
    assert both["releases"] == ["1.0", "1.1"]
    assert both["tags"]["drawer"] == {"1": 1, "2": 1}
    assert both["first_seen"] < both["last_seen"]
    tagged = get(telemetry, "errors", service=service, tag=["drawer:2", f"service:{service}"])["items"]
    assert [(group["value"], group["count"]) for group in tagged] == [("c", 1), ("b", 1)]
    since = (NOW - timedelta(minutes=15)).isoformat()
    assert len(get(telemetry, "errors", service=service, since=since)["items"]) == 2
    detail = get(telemetry, f"errors/{both['group_id']}", limit=1)
    assert [one["message"] for one in detail["events"]] == ["KeyError: b"]
    assert [frame["function"] for frame in detail["events"][0]["stacktrace"]] == ["main", "open"]
    assert detail["count"] == 2


def test_a_transaction_becomes_spans_of_its_trace(telemetry: RunningService) -> None:
    trace_id = a_trace_id()
    transaction = {
        "type": "transaction",
        "transaction": "/checkout",
        "start_timestamp": NOW.timestamp(),
        "timestamp": NOW.timestamp() + 0.25,
        "server_name": "till",
        "contexts": {
            "trace": {"trace_id": trace_id, "span_id": "a" * 16, "op": "http.server", "status": "ok"}
        },
        "spans": [
            {
                "span_id": "b" * 16,
                "parent_span_id": "a" * 16,
                "op": "db.query",
                "description": "SELECT",
                "start_timestamp": NOW.timestamp() + 0.1,
                "timestamp": NOW.timestamp() + 0.2,
                "status": "internal_error",
            }
        ],
    }

    assert send(telemetry, ("transaction", transaction)).status_code == 200

    [root] = get(telemetry, f"traces/{trace_id}")["spans"]
    assert (root["name"], root["kind"], root["status"], root["service"]) == (
        "/checkout",
        "server",
        "ok",
        "till",
    )
    [child] = root["children"]
    assert (child["name"], child["kind"], child["status"]) == ("SELECT", "client", "error")
    assert child["duration_ms"] == pytest.approx(100, abs=1)


def test_an_event_without_an_envelope_is_taken_at_store(telemetry: RunningService) -> None:
    event = an_event(exception=thrown("OldError", "from an old SDK"), server_name="old-till")

    answer = telemetry.client.post(
        "/api/1/store/",
        content=gzip.compress(json.dumps(event).encode()),
        headers={"content-encoding": "gzip"},
    )

    assert answer.json() == {"id": event["event_id"]}
    [group] = get(telemetry, "errors", service="old-till")["items"]
    assert group["type"] == "OldError"


def test_a_real_sdk_reports_an_error_with_its_stack_and_breadcrumbs(telemetry: RunningService) -> None:
    client = sentry_sdk.Client(
        dsn=f"http://any@127.0.0.1:{telemetry.port}/7",
        default_integrations=False,
        integrations=[LoggingIntegration(level=None, event_level=None)],
        release="sdk-1",
        server_name="sdk-till",
    )
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        sentry_sdk.add_breadcrumb(category="query", message="SELECT 1")
        try:
            raise LookupError("nothing in drawer 9")
        except LookupError as error:
            event_id = sentry_sdk.capture_exception(error)
        client.close(timeout=5)

    [group] = get(telemetry, "errors", service="sdk-till")["items"]
    assert (group["type"], group["last_event_id"], group["releases"]) == ("LookupError", event_id, ["sdk-1"])
    [event] = get(telemetry, f"errors/{group['group_id']}")["events"]
    assert event["stacktrace"][-1]["function"].startswith("test_a_real_sdk")
    assert event["breadcrumbs"][0]["category"] == "query"


# --- bounds


def test_what_is_too_much_or_too_old_is_removed(
    shop: Shop, lab_database: LabDatabase, eventually: Callable[..., None]
) -> None:
    telemetry = shop.start("telemetry", TELEMETRY_MAX_ROWS="100", TELEMETRY_RETENTION_INTERVAL="0.2")
    for n in range(5):
        telemetry.client.post("/ingest/logs", json=[a_signal(message=f"{n}.{one}") for one in range(50)])
    old, new = a_trace_id(), a_trace_id()
    export(telemetry, a_span(old))
    with lab_database.connect("postgres") as db, db.cursor() as cursor:
        cursor.execute("UPDATE telemetry.spans SET received_at = now() - interval '7 h'")
        cursor.execute("UPDATE telemetry.traces SET received_at = now() - interval '7 h'")
    export(telemetry, a_span(new))

    # After two batches there were a hundred rows, too: what was removed tells that all five are through.
    eventually(lambda: telemetry.metric("telemetry_removed_total", table="signals") == 150)
    kept = [item["message"] for item in get(telemetry, "logs", limit=1000)["items"]]
    assert {message.split(".")[0] for message in kept} == {"3", "4"}
    eventually(lambda: [one["trace_id"] for one in get(telemetry, "traces")["items"]] == [new])
    eventually(lambda: telemetry.client.get(f"/api/v1/traces/{old}").status_code == 404)
    eventually(lambda: telemetry.metric("telemetry_rows", table="signals") == 100)


def test_a_trace_is_listed_no_longer_than_its_spans_are_kept(
    shop: Shop, eventually: Callable[..., None]
) -> None:
    telemetry = shop.start("telemetry", TELEMETRY_MAX_ROWS="100", TELEMETRY_RETENTION_INTERVAL="0.2")
    short, longer, last = a_trace_id(), a_trace_id(), a_trace_id()
    export(telemetry, a_span(short))
    export(telemetry, *(a_span(longer) for _ in range(60)))
    export(telemetry, *(a_span(last) for _ in range(60)))

    eventually(lambda: telemetry.client.get(f"/api/v1/traces/{longer}").status_code == 404)

    eventually(lambda: [one["trace_id"] for one in get(telemetry, "traces")["items"]] == [last])
    assert len(get(telemetry, f"traces/{last}")["spans"]) == 60


def test_errors_that_are_removed_while_they_are_read_are_read_as_they_were(
    lab_database: LabDatabase,
) -> None:
    database = Database(lab_database.url("platform"), service="reader", schema="telemetry")
    error = sentry_items.error_event(an_event(message="no order", server_name="till"), received_at=NOW)
    Store(database).add([Arrivals(events=[error])])

    @listens_for(database.engine, "after_cursor_execute")
    def remove_between_statements(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "GROUP BY" in statement:
            with lab_database.connect("platform") as db, db.cursor() as cursor:
                cursor.execute("DELETE FROM telemetry.events")

    window = Window(since=None, until=None, limit=10, offset=0)
    page = Queries(database).errors(window, tags={}, service=None, trace_id=None)
    database.dispose()

    assert [(group.value, group.count) for group in page.items] == [("no order", 1)]


def test_a_database_that_is_away_is_a_503_and_what_was_acknowledged_is_there_after_it(
    shop: Shop, lab_database: LabDatabase
) -> None:
    telemetry = shop.start("telemetry")
    signal = a_signal(trace_id=a_trace_id())
    telemetry.client.post("/ingest/logs", json=signal).raise_for_status()
    with lab_database.connect("postgres") as db, db.cursor() as cursor:
        cursor.execute("ALTER ROLE platform NOLOGIN")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'platform'")
    try:
        refused = telemetry.client.post("/ingest/logs", json=a_signal())
    finally:
        with lab_database.connect("postgres") as db, db.cursor() as cursor:
            cursor.execute("ALTER ROLE platform LOGIN")

    assert refused.status_code == 503
    restarted = shop.restart("telemetry")
    assert [i["signal_id"] for i in get(restarted, "logs")["items"]] == [signal["signal_id"]]


def test_many_senders_of_the_same_things_at_once_store_each_once(
    telemetry: RunningService, at_once: Callable[..., list[Any]]
) -> None:
    traces = [a_trace_id() for _ in range(20)]
    spans = [a_span(trace_id) for trace_id in traces]
    signals = [a_signal(trace_id=trace_id) for trace_id in traces]

    def send_both() -> list[int]:
        answers = [
            httpx.post(f"{telemetry.url}/ingest/logs", json=signals, trust_env=False, timeout=20),
            httpx.post(
                f"{telemetry.url}/v1/traces",
                content=an_export(*reversed(spans)).SerializeToString(),
                headers=PROTOBUF,
                trust_env=False,
                timeout=20,
            ),
        ]
        return [answer.status_code for answer in answers]

    statuses = {status for both in at_once([send_both] * 12) for status in both}

    assert statuses <= {200, 429}
    assert 200 in statuses
    for trace_id in traces:
        assert len(get(telemetry, "logs", trace_id=trace_id)["items"]) == 1
        assert len(get(telemetry, f"traces/{trace_id}")["spans"]) == 1


def test_more_requests_than_there_is_room_for_are_told_to_come_back(
    telemetry: RunningService, at_once: Callable[..., list[Any]]
) -> None:
    batch = [a_signal() for _ in range(1500)]
    body = json.dumps(batch).encode()

    def post() -> httpx.Response:
        return httpx.post(
            f"{telemetry.url}/ingest/logs", content=body, headers=JSON, trust_env=False, timeout=30
        )

    answers = at_once([post] * 24)

    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert {answer.status_code for answer in answers} == {200, 429}
    assert telemetry.metric("telemetry_refused_total", reason="busy") >= len(refused)


def test_telemetry_ships_nothing_to_itself_and_says_nothing_of_what_comes_in(
    shop: Shop, eventually: Callable[..., None]
) -> None:
    url = f"http://127.0.0.1:{shop.port('telemetry')}"
    telemetry = shop.start(
        "telemetry",
        SENTRY_DSN=url.replace("//", "//lab@") + "/1",
        OTEL_EXPORTER_OTLP_ENDPOINT=url,
        OTEL_BSP_SCHEDULE_DELAY="100",
        PRODSENTINEL_URL=url,
    )

    telemetry.client.post("/ingest/logs", json=a_signal()).raise_for_status()
    telemetry.client.post("/ingest/logs", json={})
    get(telemetry, "logs")

    eventually(lambda: "/api/v1/logs" in telemetry.log.read_text())
    lines = [json.loads(line) for line in telemetry.log.read_text().splitlines()]
    assert [line["status"] for line in lines if line.get("route") == "/ingest/logs"] == [422]
    assert telemetry.metric("telemetry_received_total", kind="signal") == 1
    assert telemetry.metric("telemetry_received_total", kind="span") == 0


def test_the_candidate_reads_telemetry_and_changes_nothing(lab_database: LabDatabase) -> None:
    with lab_database.connect("candidate") as db, db.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM telemetry.signals")
        assert cursor.fetchone() == (0,)
        with pytest.raises(Exception, match="permission denied"):
            cursor.execute("DELETE FROM telemetry.signals")
