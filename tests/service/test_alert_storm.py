"""More than the service has room for: it says so, stays up, and does not grow."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import psutil

from services.alert_ingestion.intake import BODY_ROOM_BYTES, MAX_READING
from tests.conftest import RunningService, Shop
from tests.storm import ALERTS, post_all

ROOM = 20
CLIENTS = 200
"""Each client sends the next alert as soon as it has its answer: ten times the room is always knocking."""
ALERT = {
    "service": "payment",
    "severity": "critical",
    "message": "x" * 2000,
    "labels": {f"label_{n}": "y" * 200 for n in range(20)},
}


def memory_mib(service: RunningService) -> float:
    return psutil.Process(service.process.pid).memory_info().rss / 2**20


def test_a_storm_beyond_the_room_is_answered_429_with_a_time_and_loses_nothing_that_was_accepted(
    shop: Shop,
) -> None:
    shop.start("incident-management")
    ingestion = shop.start("alert-ingestion", MAX_IN_FLIGHT=str(ROOM))
    post_all([ingestion.url], [ALERT] * 50, clients=10)
    before = memory_mib(ingestion)

    storm = post_all([ingestion.url], [ALERT] * 4000, clients=CLIENTS)

    grown = memory_mib(ingestion) - before
    assert set(storm.statuses) == {201, 429}
    assert storm.broken == []
    assert sum(storm.statuses.values()) == 4000
    refused = [answer for answer in storm.answers if answer.status_code == 429]
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert "try again" in refused[0].json()["detail"]
    assert ingestion.metric("alerts_refused_total") == len(refused)
    assert ingestion.metric("alerts_in_flight") == 0
    assert shop.database is not None
    with shop.database.connect("platform").cursor() as cursor:
        cursor.execute("SELECT count(*) FROM incident.alerts")
        assert cursor.fetchone() == (len(storm.accepted_ids) + 50,)
    assert grown < 40, f"{grown:.0f} MiB"


def test_in_a_storm_the_service_stays_healthy_and_readable(shop: Shop) -> None:
    shop.start("incident-management")
    ingestion = shop.start("alert-ingestion", MAX_IN_FLIGHT=str(ROOM))

    with ThreadPoolExecutor(1) as pool:
        storm = pool.submit(post_all, [ingestion.url], [ALERT] * 3000, clients=100)
        seen = []
        while not storm.done():
            seen.append(httpx.get(f"{ingestion.url}/health", trust_env=False, timeout=10).status_code)
            seen.append(httpx.get(ingestion.url + ALERTS, trust_env=False, timeout=10).status_code)

    assert len(seen) >= 4
    assert set(seen) == {200}


def test_big_bodies_that_are_held_back_have_only_so_much_room_and_small_alerts_do_not_notice(
    shop: Shop, eventually: Callable[..., None]
) -> None:
    ingestion = shop.start("alert-ingestion", INCIDENT_WAIT_S="0")
    size = 2**20
    announced = f"host: x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n".encode()
    held_back = announced + b" " * (size - 1)
    paths = [ALERTS, "/api/v1/webhooks/alertmanager"] * (BODY_ROOM_BYTES // size // 2)

    def answer(path: str, *, of: int) -> httpx.Response:
        return ingestion.client.post(path, content=b"{" * of, headers={"content-type": "application/json"})

    with ExitStack() as stack:
        for path in paths:
            half = stack.enter_context(socket.create_connection(("127.0.0.1", ingestion.port)))
            half.sendall(f"POST {path} HTTP/1.1\r\n".encode() + held_back)
        eventually(lambda: answer(ALERTS, of=size).status_code == 429)
        refused, refused_hook = (answer(path, of=size) for path in paths[:2])
        small = ingestion.client.post(ALERTS, json=ALERT)
        assert [ingestion.metric("alerts_in_flight"), refused.status_code] == [len(paths) // 2, 429]
        eventually(lambda: answer(ALERTS, of=size).status_code == 422)

    assert (refused.headers["retry-after"], refused_hook.status_code) == ("1", 503)
    assert "bodies of 16777216 bytes are under way" in refused.json()["detail"]
    assert small.status_code == 202


def test_webhooks_whose_bodies_do_not_come_leave_room_again_and_no_other_is_read_meanwhile(
    shop: Shop, eventually: Callable[..., None]
) -> None:
    ingestion = shop.start("alert-ingestion")
    head = b"POST /api/v1/webhooks/alertmanager HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    body = {"version": "4", "alerts": []}

    def answer() -> httpx.Response:
        return ingestion.client.post("/api/v1/webhooks/alertmanager", json=body)

    with ExitStack() as stack:
        for _ in range(MAX_READING):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", ingestion.port)))
            half.sendall(head + b'content-length: 1000\r\n\r\n{"version"')
        eventually(lambda: answer().status_code == 503)
        refused, healthy = answer(), ingestion.client.get("/health")
        eventually(lambda: answer().status_code == 200)

    assert refused.headers["retry-after"] == "1"
    assert "are being read" in refused.json()["detail"]
    assert healthy.status_code == 200


def test_a_webhook_that_there_is_no_room_for_is_a_503_so_that_it_comes_again(shop: Shop) -> None:
    # Nobody opens incidents, so that alerts stay under way for a while.
    shop.environment["INCIDENT_MANAGEMENT_URL"] = "http://10.255.255.1:9"
    ingestion = shop.start("alert-ingestion", MAX_IN_FLIGHT="1", INCIDENT_WAIT_S="1.5")
    alert = {"status": "firing", "fingerprint": "f", "labels": {"service": "payment", "severity": "high"}}
    body = {"version": "4", "alerts": [alert]}

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx.post, ingestion.url + ALERTS, json=ALERT, trust_env=False, timeout=10)
        while ingestion.metric("alerts_in_flight") == 0:
            assert not first.done()
        second = ingestion.client.post("/api/v1/webhooks/alertmanager", json=body)

    assert first.result().status_code == 202
    assert (second.status_code, second.headers["retry-after"]) == (503, "1")
