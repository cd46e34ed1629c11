"""The gateway: what comes in goes on unchanged, and nothing behind it makes it hang."""

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.conftest import RunningService, Shop

CHECKOUT = {
    "customer_id": 1,
    "items": [{"sku": "mug-blue", "quantity": 1}],
    "payment": {"amount": "18.50"},
}


@dataclass
class Upstream:
    """A service of the test's own: says what it is told to say, and remembers what it was asked."""

    status: int = 200
    content_type: str = "application/json"
    body: bytes = b"{}"
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def last(self) -> tuple[str, str, dict[str, str], bytes]:
        return self.asked[-1]

    @property
    def deadline_ms(self) -> int:
        """How long the last caller said it would wait."""
        return int(self.last[2]["x-deadline-ms"])


@pytest.fixture(scope="module")
def standing_upstream(standing_shop: Shop) -> Iterator[Upstream]:
    """Stands where payment would be."""
    told = Upstream()

    class Answerer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told.asked.append((self.command, self.path, headers, content))
            time.sleep(told.delay_s)
            self.send_response(told.status)
            self.send_header("content-type", told.content_type)
            self.send_header("content-length", str(len(told.body)))
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.body)

        do_GET = do_POST = answer  # noqa: N815 (the names that the server looks for)

        def log_message(self, *arguments: object) -> None:
            """Quiet: what was asked is in ``asked``."""

    server = ThreadingHTTPServer(("127.0.0.1", standing_shop.port("payment")), Answerer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def upstream(standing_upstream: Upstream) -> Upstream:
    """The upstream, told nothing yet."""
    vars(standing_upstream).update(vars(Upstream()))
    return standing_upstream


@pytest.fixture(scope="module")
def standing_gateway(standing_shop: Shop) -> RunningService:
    return standing_shop.start("gateway")


@pytest.fixture
def gateway(standing_gateway: RunningService) -> Iterator[RunningService]:
    """The gateway before that upstream, with nothing set by an operator."""
    yield standing_gateway
    standing_gateway.client.post("/admin/baseline")


def timed(call: Any) -> tuple[httpx.Response, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


# --- what comes in goes on


@pytest.mark.parametrize("status", [200, 201, 402, 404, 409, 418, 422, 500, 503, 504])
def test_the_status_body_and_type_of_an_answer_are_kept(
    upstream: Upstream, gateway: RunningService, status: int
) -> None:
    upstream.status, upstream.body, upstream.content_type = status, b"caf\xe9", "text/plain; charset=latin-1"

    answer = gateway.client.post("/api/payment", json={})

    assert (answer.status_code, answer.content) == (status, b"caf\xe9")
    assert answer.headers["content-type"] == "text/plain; charset=latin-1"


def test_a_body_goes_on_byte_for_byte(upstream: Upstream, gateway: RunningService) -> None:
    body = b'{ "amount" :\t1.10, "broken": \xff'

    gateway.client.post("/api/payment", content=body, headers={"content-type": "application/x-odd"})

    method, path, headers, content = upstream.last
    assert (method, path, content) == ("POST", "/api/payment", body)
    assert headers["content-type"] == "application/x-odd"


@pytest.mark.parametrize(
    "query",
    [
        "?limit=2&offset=4",
        "?limit=2&limit=3",
        "?status=a%20b&x=%26%3D",
        "?flag",
        "?empty=",
        "?a=1+2",
        "?q=%C3%A9",
        "",
    ],
)
def test_a_query_goes_on_as_it_is(upstream: Upstream, gateway: RunningService, query: str) -> None:
    gateway.client.get(f"/api/transactions{query}")

    assert upstream.last[1] == f"/api/transactions{query}"


def test_the_idempotency_key_and_the_ids_go_on(upstream: Upstream, gateway: RunningService) -> None:
    key = str(uuid.uuid4())
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    gateway.client.post(
        "/api/payment",
        json={},
        headers={"Idempotency-Key": key, "x-request-id": "order-7", "traceparent": traceparent},
    )

    headers = upstream.last[2]
    assert headers["idempotency-key"] == key
    assert headers["x-request-id"] == "order-7"
    assert headers["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"


def test_credentials_and_cookies_stay_outside(upstream: Upstream, gateway: RunningService) -> None:
    gateway.client.get("/api/stats", headers={"authorization": "Bearer secret", "cookie": "a=b"})

    assert not {"authorization", "cookie"} & set(upstream.last[2])


def test_an_answer_carries_the_gateway_s_ids_once(upstream: Upstream, gateway: RunningService) -> None:
    upstream.headers = {"x-request-id": "from-behind", "set-cookie": "a=b", "retry-after": "3"}

    answer = gateway.client.get("/api/stats", headers={"x-request-id": "order-7"})

    assert answer.headers.get_list("x-request-id") == ["order-7"]
    assert answer.headers["retry-after"] == "3"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/ops/settings", "/admin/failure-mode", "/api/inventory/mug-blue", "/metrics/x"]
)
def test_routes_that_are_not_the_shop_s_are_not_passed_on(
    upstream: Upstream, gateway: RunningService, path: str
) -> None:
    gateway.client.get(path)

    assert upstream.asked == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/transactions?x=\xff\xfe HTTP/1.1\r\n",
        b"GET /api/customers/\xff HTTP/1.1\r\n",
        b"GET /api/customers/..%2f..%2fadmin HTTP/1.1\r\n",
        b"GET /api/customers/%00 HTTP/1.1\r\n",
        b"POST /api/payment HTTP/1.1\r\nIdempotency-Key: caf\xc3\xa9\r\nContent-Length: 0\r\n",
        b"POST /api/payment HTTP/1.1\r\nContent-Type: caf\xe9\r\nContent-Length: 0\r\n",
        b"GET /api/stats HTTP/1.1\r\nx-request-id: \xff\r\nx-deadline-ms: -1\r\n",
        b"GET /api/stats HTTP/1.1\r\nx-deadline-ms: 1e9\r\ntraceparent: rubbish\r\nbaggage: ===;;,\xff\r\n",
    ],
)
def test_odd_bytes_in_path_query_and_headers_are_no_500(
    upstream: Upstream, gateway: RunningService, head: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(head + b"Host: gateway\r\nConnection: close\r\n\r\n")
        status_line = connection.makefile("rb").readline()

    assert 200 <= int(status_line.split()[1]) < 500
    assert gateway.client.get("/api/stats").status_code == 200


# --- deadlines


def test_each_hop_has_less_time_than_the_one_before(upstream: Upstream, gateway: RunningService) -> None:
    gateway.client.get("/api/stats")
    by_default = upstream.deadline_ms
    gateway.client.get("/api/stats", headers={"x-deadline-ms": "1000"})
    asked_for = upstream.deadline_ms
    gateway.client.get("/api/stats", headers={"x-deadline-ms": "60000"})
    asked_for_too_much = upstream.deadline_ms

    assert 4000 < by_default < 5000
    assert 700 < asked_for < 1000
    assert 4000 < asked_for_too_much < 5000


def test_a_caller_with_little_time_is_answered_in_it(upstream: Upstream, gateway: RunningService) -> None:
    upstream.delay_s = 2.0

    answer, took_s = timed(lambda: gateway.client.get("/api/stats", headers={"x-deadline-ms": "300"}))

    assert answer.status_code == 504
    assert answer.json()["detail"].startswith("payment: no answer within 0.2")
    assert took_s < 0.8


@pytest.mark.parametrize("header", ["0", "1", "40"])
def test_a_caller_with_no_time_is_answered_without_a_call(
    upstream: Upstream, gateway: RunningService, header: str
) -> None:
    answer = gateway.client.get("/api/stats", headers={"x-deadline-ms": header})

    assert answer.status_code == 504
    assert upstream.asked == []


@pytest.mark.parametrize("header", ["", "-5", "soon", "1.5", "99999999999999999999"])
def test_a_deadline_that_is_none_is_the_default(
    upstream: Upstream, gateway: RunningService, header: str
) -> None:
    gateway.client.get("/api/stats", headers={"x-deadline-ms": header})

    assert 4000 < upstream.deadline_ms < 5000


def test_an_operator_can_shorten_the_deadline(upstream: Upstream, gateway: RunningService) -> None:
    upstream.delay_s = 2.0
    gateway.set(deadline_s=0.3)

    answer, took_s = timed(lambda: gateway.client.get("/api/stats"))

    assert answer.status_code == 504
    assert took_s < 0.8


def test_a_hung_upstream_is_a_504_while_other_routes_go_on(shop: Shop) -> None:
    gateway = shop.start("profile", "gateway")
    gateway.set(deadline_s=2)
    with (
        socket.create_server(("127.0.0.1", shop.port("payment")), backlog=256),
        ThreadPoolExecutor(24) as pool,
    ):
        hung = [pool.submit(timed, lambda: gateway.client.post("/api/payment", json={})) for _ in range(24)]
        time.sleep(0.2)
        other, other_s = timed(lambda: httpx.get(f"{gateway.url}/api/users/profile/1", timeout=5))
        answers = [one.result() for one in hung]

    assert other.status_code == 200
    assert other_s < 1.5
    assert {answer.status_code for answer, _ in answers} == {504}
    assert max(took for _, took in answers) < 4
    assert gateway.metric("dependency_requests_total", dependency="payment", outcome="timeout") == 24


def test_an_upstream_that_is_down_is_a_quick_503(shop: Shop) -> None:
    gateway = shop.start("gateway")

    answer, took_s = timed(lambda: gateway.client.get("/api/stats"))

    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("payment: ")
    assert took_s < 1.0
    assert gateway.client.get("/health").status_code == 200


def test_an_upstream_that_hangs_up_is_a_503(shop: Shop) -> None:
    gateway = shop.start("gateway")

    def hang_up(server: socket.socket) -> None:
        connection, _ = server.accept()
        connection.close()

    with socket.create_server(("127.0.0.1", shop.port("payment"))) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(hang_up, server)
        answer = gateway.client.get("/api/stats")

    assert answer.status_code == 503


# --- checkout's answers


@pytest.mark.parametrize(
    ("behind", "in_front"),
    [
        (402, 402),
        (403, 403),
        (404, 404),
        (409, 409),
        (422, 422),
        (500, 500),
        (502, 500),
        (503, 503),
        (504, 500),
    ],
)
def test_checkout_keeps_refusals_and_hides_how_payment_broke(
    upstream: Upstream, gateway: RunningService, behind: int, in_front: int
) -> None:
    upstream.status, upstream.body = behind, json.dumps({"detail": "the reason"}).encode()

    answer = gateway.client.post("/checkout", json=CHECKOUT)

    assert answer.status_code == in_front
    assert answer.json()["detail"] == ("the payment failed" if in_front == 500 else "the reason")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b'"x"', b'{"no": "detail"}'])
@pytest.mark.parametrize("status", [409, 503])
def test_checkout_copes_with_a_refusal_that_it_cannot_read(
    upstream: Upstream, gateway: RunningService, status: int, body: bytes
) -> None:
    upstream.status, upstream.body = status, body

    answer = gateway.client.post("/checkout", json=CHECKOUT)

    assert (answer.status_code, answer.json()["detail"]) == (status, "the payment failed")


def test_checkout_asks_for_what_was_ordered_with_the_client_s_key(
    upstream: Upstream, gateway: RunningService
) -> None:
    upstream.status, upstream.body = 201, b'{"id": 7, "amount": "18.50"}'

    answer = gateway.client.post("/checkout", json=CHECKOUT, headers={"Idempotency-Key": "k-1"})

    assert answer.json() == {"order_id": "order-7", "status": "paid", "transaction_id": 7, "amount": "18.50"}
    _, path, headers, content = upstream.last
    assert (path, headers["idempotency-key"]) == ("/api/payment", "k-1")
    assert json.loads(content) == {"customer_id": 1, "amount": "18.50", "items": CHECKOUT["items"]}
