"""One failed checkout, followed by its trace id through all that the lab's own telemetry holds of it."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.telemetry import p99, reads_without_receiver
from tests.conftest import Shop

ROUTE = "POST /checkout/order-timeout"
AT_MOST = 1.2
ATTEMPTS = 3
WAY = ("gateway", "payment", "inventory")


def flat(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every span of a tree."""
    for node in nodes:
        yield node
        yield from flat(node["children"])


def test_one_trace_id_runs_through_all_that_a_failed_checkout_leaves(
    shop: Shop, eventually: Callable[..., None]
) -> None:
    telemetry = shop.start("telemetry")
    url = telemetry.url
    shop.start_all(
        SENTRY_DSN=f"{url.replace('://', '://lab@')}/1",
        OTEL_EXPORTER_OTLP_ENDPOINT=url,
        OTEL_BSP_SCHEDULE_DELAY="200",
        PRODSENTINEL_URL=url,
    )

    answer = shop["gateway"].client.post("/checkout/order-timeout")

    assert answer.status_code == 500
    trace_id = answer.headers["x-trace-id"]

    def ask(path: str, **params: str) -> Any:
        return telemetry.client.get(f"/api/v1/{path}", params=params).json()

    # Spans
    def spans() -> list[dict[str, Any]]:
        return list(flat(ask(f"traces/{trace_id}").get("spans", [])))

    eventually(lambda: {span["service"] for span in spans()} >= set(WAY))
    # Each service ships on its own: until all have, spans whose parents are missing are roots too.
    eventually(lambda: [one["name"] for one in ask(f"traces/{trace_id}")["spans"]] == [ROUTE])
    [root] = ask(f"traces/{trace_id}")["spans"]
    assert (root["service"], root["status"], root["depth"]) == ("gateway", "error", 0)
    servers = [span for span in spans() if span["kind"] == "server"]
    by_service = {span["service"]: span for span in servers}
    assert by_service["gateway"]["depth"] < by_service["payment"]["depth"] < by_service["inventory"]["depth"]
    [line] = ask("traces", error="true", route="/checkout/order-timeout")["items"]
    assert (line["trace_id"], line["root_service"]) == (trace_id, "gateway")

    # Signals, the shipped form of log lines
    def signals() -> dict[str, Any]:
        return {one["service"]: one for one in ask("logs", trace_id=trace_id)["items"]}

    eventually(lambda: set(signals()) >= set(WAY))
    assert signals()["gateway"]["attributes"]["request_id"] == trace_id

    # Log lines, as they are on standard output
    for name in WAY:
        assert f'"trace_id": "{trace_id}"' in shop[name].log.read_text()

    # Errors in Sentry's form
    def errors(**params: str) -> dict[str, Any]:
        return {one["service"]: one for one in ask("errors", trace_id=trace_id, **params)["items"]}

    eventually(lambda: set(errors()) >= set(WAY))
    assert {group["last_trace_id"] for group in errors().values()} == {trace_id}
    assert errors()["payment"]["type"] == "DeadlineExceeded"
    assert errors(tag="service:payment") == {"payment": errors()["payment"]}
    [event] = ask(f"errors/{errors()['payment']['group_id']}")["events"]
    assert event["trace_id"] == event["tags"]["request_id"] == trace_id
    assert event["stacktrace"][-1]["module"].startswith("services.")


@pytest.mark.parametrize("is_killed", [False, True], ids=["hanging", "killed"])
def test_a_receiver_that_is_away_costs_a_reader_nothing(
    shop: Shop, is_killed: bool, eventually: Callable[..., None]
) -> None:
    """Side by side with a receiver that is there; a noisy neighbour spoils a percentile, but not three."""
    url = shop.start("telemetry").url
    shipping = {
        "SENTRY_DSN": f"{url.replace('://', '://lab@')}/1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "PRODSENTINEL_URL": url,
    }
    profile = shop.start("profile", **shipping)

    def take_away(is_away: bool) -> None:
        pid = shop["telemetry"].process.pid
        assert pid is not None
        if not is_killed:
            os.kill(pid, signal.SIGSTOP if is_away else signal.SIGCONT)
        elif is_away:
            os.kill(pid, signal.SIGKILL)
        else:
            shop.restart("telemetry")

    ratios = []
    while len(ratios) < ATTEMPTS and (not ratios or min(ratios) > AT_MOST):
        well, away = reads_without_receiver(take_away, profile.url, rounds=3, round_s=4, settle_s=1)
        ratios.append(p99(away) / p99(well))

    assert min(ratios) <= AT_MOST, ratios
    # And it is true that everything is shipped.
    query = {"service": "profile", "limit": 1}
    eventually(lambda: shop["telemetry"].client.get("/api/v1/logs", params=query).json()["items"])
    eventually(lambda: shop["telemetry"].client.get("/api/v1/traces", params=query).json()["items"])
