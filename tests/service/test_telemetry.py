"""What leaves a service for others: Sentry envelopes, OTLP spans, signals, to real HTTP receivers."""

import gzip
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import brotli
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sentry_sdk.envelope import Envelope
from sqlalchemy import text

from tests.conftest import LabDatabase, Shop

DECODERS = {"identity": bytes, "gzip": gzip.decompress, "br": brotli.decompress}


class Receiver:
    """Takes every POST and keeps it; ``hang`` lets it accept and never answer."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes]] = []
        self.hang = threading.Event()
        self._release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                body = DECODERS[self.headers.get("content-encoding", "identity")](body)
                if receiver.hang.is_set():
                    receiver._release.wait()
                receiver.posts.append((self.path, body))
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """The test says what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.port = self._server.server_port

    def events(self, kind: str) -> list[dict[str, object]]:
        """The Sentry items of one type: ``event`` or ``transaction``."""
        return [
            json.loads(item.payload.get_bytes())
            for path, body in self.posts
            if path.endswith("/envelope/")
            for item in Envelope.deserialize(body).items
            if item.type == kind
        ]

    def spans(self) -> list[tuple[str, str, str]]:
        """Service, trace id and name of every span."""
        return [
            (_service(resource), span.trace_id.hex(), span.name)
            for path, body in self.posts
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def signals(self) -> list[dict[str, object]]:
        """Every signal that was shipped."""
        return [s for path, body in self.posts if path == "/ingest/logs" for s in json.loads(body)]

    def close(self) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()


def _service(resource) -> str:  # type: ignore[no-untyped-def]
    return {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()
    yield receiver
    receiver.close()


def dsn(receiver: Receiver) -> str:
    return f"http://key@127.0.0.1:{receiver.port}/1"


def test_an_error_reaches_sentry_with_its_tags_and_the_trace_id_of_the_answer(
    lone_shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    profile = lone_shop.start("profile", SENTRY_DSN=dsn(receiver), FAILURE_MODE="inject_timeout_errors")

    answer = profile.client.get("/api/users/profile/1", headers={"x-request-id": "mine-3"})

    eventually(lambda: receiver.events("event"))
    event = receiver.events("event")[0]
    assert answer.status_code == 500
    assert event["tags"] == {
        "service": "profile",
        "failure_mode": "inject_timeout_errors",
        "demo_scenario": "incident_b",
        "request_id": "mine-3",
    }
    assert event["exception"]["values"][-1]["type"] == "OperationalError"  # type: ignore[index]
    assert event["contexts"]["trace"]["trace_id"] == answer.headers["x-trace-id"]  # type: ignore[index]
    assert event["environment"] == "demo"
    assert event["release"] == "7d3a9e1"


def test_an_error_carries_the_release_that_serves_and_not_the_one_that_was_started(
    lone_shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    profile = lone_shop.start("profile", SENTRY_DSN=dsn(receiver), FAILURE_MODE="cache_off")
    serving = profile.client.get("/ops/settings").json()["settings"]["release"]["value"]
    profile.set(query_timeout_ms=1)

    profile.client.get("/api/users/profile/4")

    eventually(lambda: receiver.events("event"))
    assert receiver.events("event")[0]["release"] == serving != "7d3a9e1"


def test_an_extra_database_read_leaves_a_breadcrumb(
    lone_shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    profile = lone_shop.start("profile", SENTRY_DSN=dsn(receiver), FAILURE_MODE="cache_off")
    profile.set(query_timeout_ms=1)

    profile.client.get("/api/users/profile/4")

    eventually(lambda: receiver.events("event"))
    crumbs = receiver.events("event")[0]["breadcrumbs"]["values"]  # type: ignore[index]
    assert [c["data"]["user_id"] for c in crumbs if c["category"] == "query"] == [4]


def test_breadcrumbs_of_one_request_stay_out_of_the_next_ones_event(
    lone_shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    profile = lone_shop.start("profile", SENTRY_DSN=dsn(receiver), FAILURE_MODE="cache_off")
    profile.client.get("/api/users/profile/8")
    profile.set(query_timeout_ms=1)

    profile.client.get("/api/users/profile/9")

    eventually(lambda: receiver.events("event"))
    crumbs = receiver.events("event")[0]["breadcrumbs"]["values"]  # type: ignore[index]
    assert [c["data"]["user_id"] for c in crumbs if c["category"] == "query"] == [9]


def test_requests_become_transactions_under_the_same_trace_id(
    lone_shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    profile = lone_shop.start(
        "profile", SENTRY_DSN=dsn(receiver), TRACES_SAMPLE_RATE="1", FAILURE_MODE="cache_off"
    )

    answer = profile.client.get("/api/users/profile/4")

    def found() -> list[dict[str, object]]:
        wanted = "/api/users/profile/{user_id}"
        return [t for t in receiver.events("transaction") if t["transaction"] == wanted]

    eventually(found)
    transaction = found()[0]
    assert transaction["contexts"]["trace"]["trace_id"] == answer.headers["x-trace-id"]  # type: ignore[index]
    tags = transaction["tags"]
    assert tags["service"] == "profile"  # type: ignore[index]
    assert tags["failure_mode"] == "cache_off"  # type: ignore[index]
    assert tags["demo_scenario"] == "incident_b"  # type: ignore[index]


def test_the_demo_scenario_is_a_tag_of_every_service_that_is_told_it(
    shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    fraud = shop.start(
        "fraud", SENTRY_DSN=dsn(receiver), TRACES_SAMPLE_RATE="1", DEMO_SCENARIO="black_friday"
    )

    fraud.client.get("/ops/settings").raise_for_status()

    eventually(lambda: receiver.events("transaction"))
    tags = receiver.events("transaction")[0]["tags"]
    assert tags["service"] == "fraud"  # type: ignore[index]
    assert tags["demo_scenario"] == "black_friday"  # type: ignore[index]


def test_a_blind_lab_tells_sentry_neither_mode_nor_scenario(
    lone_shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    profile = lone_shop.start(
        "profile", SENTRY_DSN=dsn(receiver), LAB_BLIND="true", FAILURE_MODE="inject_timeout_errors"
    )

    profile.client.get("/api/users/profile/1", headers={"x-request-id": "mine-4"})

    eventually(lambda: receiver.events("event"))
    assert receiver.events("event")[0]["tags"] == {"service": "profile", "request_id": "mine-4"}
    assert not [body for _, body in receiver.posts if b"inject" in body or b"incident_b" in body]


def test_a_blind_lab_tells_nobody_of_a_fault_that_could_not_be_put_in(
    shop: Shop, lab_database: LabDatabase, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    url = f"http://127.0.0.1:{receiver.port}"
    inventory = shop.start(
        "inventory",
        LAB_BLIND="true",
        LAB_ADMIN_TOKEN="t",
        SENTRY_DSN=dsn(receiver),
        TRACES_SAMPLE_RATE="1",
        OTEL_EXPORTER_OTLP_ENDPOINT=url,
        OTEL_BSP_SCHEDULE_DELAY="100",
        PRODSENTINEL_URL=url,
    )
    inventory.client.headers["authorization"] = "Bearer t"
    with lab_database.engine("candidate").begin() as candidate:
        candidate.execute(text("SELECT 1 FROM inventory.stock FOR UPDATE"))
        failed = inventory.mode("lock_held")

    inventory.client.get("/ops/settings")

    eventually(lambda: any(s["message"] == "request.finished" for s in receiver.signals()))
    eventually(lambda: receiver.events("transaction") and receiver.spans())
    seen = inventory.log.read_text() + str(receiver.posts)
    assert failed.status_code == 503
    assert not [word for word in ("lock_held", "TimeoutError", "request.failed", "/admin") if word in seen]


def test_what_the_lab_itself_asks_all_the_time_becomes_no_transaction(
    lone_shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    profile = lone_shop.start("profile", SENTRY_DSN=dsn(receiver), TRACES_SAMPLE_RATE="1")
    for path in ("/health", "/metrics"):
        profile.client.get(path).raise_for_status()

    profile.client.get("/api/users/profile/4").raise_for_status()

    eventually(lambda: receiver.events("transaction"))
    assert {t["transaction"] for t in receiver.events("transaction")} == {"/api/users/profile/{user_id}"}


def test_without_a_dsn_nothing_is_sent_and_the_service_works(lone_shop: Shop) -> None:
    profile = lone_shop.start("profile", SENTRY_DSN="", FAILURE_MODE="inject_timeout_errors")

    assert profile.client.get("/api/users/profile/1").status_code == 500


def test_spans_of_one_checkout_form_one_trace_over_the_services(
    shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    shop.start_all(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.port}", OTEL_BSP_SCHEDULE_DELAY="200"
    )

    trace_id = shop["gateway"].client.post("/checkout/success").headers["x-trace-id"]

    def services() -> set[str]:
        return {service for service, trace, _ in receiver.spans() if trace == trace_id}

    eventually(lambda: services() >= {"gateway", "payment", "inventory", "fraud"})
    # The ledger's own statement, exported after the request has ended.
    eventually(lambda: ("payment", trace_id, "UPDATE") in receiver.spans())


def test_log_lines_are_shipped_as_signals(
    lone_shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    profile = lone_shop.start("profile", PRODSENTINEL_URL=f"http://127.0.0.1:{receiver.port}")

    answer = profile.client.get("/api/users/profile/1")

    def found() -> list[dict[str, object]]:
        return [s for s in receiver.signals() if s["trace_id"] == answer.headers["x-trace-id"]]

    eventually(found)
    signal = found()[0]
    assert set(signal) == {
        "signal_id", "trace_id", "service_name", "timestamp", "level", "message", "attributes",
    }  # fmt: skip
    assert (signal["service_name"], signal["level"], signal["message"]) == (
        "profile",
        "INFO",
        "request.finished",
    )
    assert signal["attributes"]["status"] == 200  # type: ignore[index]


def test_health_checks_scrapes_and_lone_statements_are_no_spans(
    shop: Shop, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    url = f"http://127.0.0.1:{receiver.port}"
    payment = shop.start("payment", OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="100")
    quiet = [payment.client.get(path).headers["x-trace-id"] for path in ("/health", "/metrics")]
    # Longer than the background task waits between its statements.
    time.sleep(1.2)

    asked = payment.client.get("/api/stats").headers["x-trace-id"]

    eventually(lambda: ("payment", asked, "GET /api/stats") in receiver.spans())
    assert {trace for _, trace, _ in receiver.spans()} == {asked}
    assert "0" * 32 not in quiet


def test_what_a_receiver_did_not_take_is_shipped_when_it_is_back(
    shop: Shop, eventually: Callable[..., None]
) -> None:
    url = f"http://127.0.0.1:{shop.port('telemetry')}"
    fraud = shop.start(
        "fraud", OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="300", PRODSENTINEL_URL=url
    )
    trace_id = fraud.client.get("/ops/settings").headers["x-trace-id"]
    time.sleep(0.7)

    telemetry = shop.start("telemetry")

    eventually(lambda: telemetry.client.get(f"/api/v1/traces/{trace_id}").status_code == 200)
    logs = {"trace_id": trace_id}
    eventually(lambda: telemetry.client.get("/api/v1/logs", params=logs).json()["items"])
    assert fraud.metric("spans_dropped_total") == fraud.metric("signals_dropped_total") == 0


def test_a_service_ends_in_time_though_its_receiver_hangs(shop: Shop, receiver: Receiver) -> None:
    receiver.hang.set()
    url = f"http://127.0.0.1:{receiver.port}"
    fraud = shop.start(
        "fraud",
        OTEL_EXPORTER_OTLP_ENDPOINT=url,
        OTEL_BSP_SCHEDULE_DELAY="100",
        PRODSENTINEL_URL=url,
        SENTRY_DSN=dsn(receiver),
    )
    fraud.client.get("/ops/settings")
    time.sleep(0.5)

    started = time.monotonic()
    fraud.process.terminate()
    fraud.process.join(10)

    assert fraud.process.exitcode == -signal.SIGTERM
    # The exporter's own patience is 3 s, the span processor's that it replaces 30 s.
    assert time.monotonic() - started < 2.5


@pytest.mark.parametrize("receiver_hangs", [True, False])
def test_a_receiver_that_hangs_or_is_gone_slows_no_request(
    lone_shop: Shop, receiver: Receiver, receiver_hangs: bool
) -> None:
    receiver.hang.set()
    if not receiver_hangs:
        receiver.close()
    url = f"http://127.0.0.1:{receiver.port}"
    profile = lone_shop.start(
        "profile",
        PRODSENTINEL_URL=url,
        SENTRY_DSN=dsn(receiver),
        OTEL_EXPORTER_OTLP_ENDPOINT=url,
        TRACES_SAMPLE_RATE="1",
    )
    profile.client.get("/api/users/profile/1")

    started = time.monotonic()
    statuses = {profile.client.get("/api/users/profile/1").status_code for _ in range(200)}
    took = time.monotonic() - started

    assert statuses == {200}
    # Each of 200 requests would wait for seconds if it waited at all.
    assert took < 10
