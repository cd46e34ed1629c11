"""The load on the shop: the dealt requests, sent to the gateway when they are due.

One dealer (in the only process, or in the master) walks the deck and hands each
request to a lane. A lane is a Locust user: it takes a request, sends it and records
the answer. Arrivals never wait for answers: there are enough lanes for every request
to run into its timeout. The gateway is Locust's ``--host``.
"""

# gevent has no type information, and Locust's hooks are partly untyped.
# mypy: disable-error-code="import-untyped, no-untyped-call, untyped-decorator"

import logging
import os
import time
from dataclasses import asdict
from typing import Any, cast

import gevent
import log_lines
from arrivals import LATE_AFTER_S
from dealer import DEAL, Dealer, Tally
from gevent.queue import Queue
from locust import FastHttpUser, constant, events, task
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import LocalRunner, MasterRunner, WorkerRunner
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from traffic_metrics import registry_of
from traffic_settings import TIMEOUT_S, read_settings

MAX_WAITING = 200
"""Requests that wait for a lane; what comes on top is dropped."""
SUMMARY_EVERY_S = 300.0

log_lines.set_up()
log = logging.getLogger("traffic")
settings = read_settings(os.environ)
tally = Tally()
waiting: "Queue[tuple[float, dict[str, Any]]]" = Queue()
"""Since when (monotonic seconds) which dealt request waits for a lane of this process."""


class Lane(FastHttpUser):
    """Sends one dealt request after another, each as soon as it is handed over."""

    wait_time = constant(0)
    network_timeout = TIMEOUT_S
    connection_timeout = TIMEOUT_S

    @task
    def send_next(self) -> None:
        since, request = waiting.get()
        if time.monotonic() - since > LATE_AFTER_S:
            tally.late += 1
        self._send(request)

    def _send(self, request: dict[str, Any]) -> None:
        # Each arrival is somebody else: no connection is kept, none is found dead.
        headers = {"Connection": "close"}
        if request["idempotency_key"] is not None:
            headers["Idempotency-Key"] = request["idempotency_key"]
        with self.client.request(
            request["method"],
            request["path"],
            name=request["route"],
            json=request["body"],
            headers=headers,
            catch_response=True,
        ) as response:
            if response.status_code in request["expects"]:
                response.success()
            elif response.status_code:
                response.failure(f"answered {response.status_code}")


def take(msg: Message, **_: Any) -> None:
    """Let a dealt request wait for the next free lane of this process, unless too many wait already."""
    if waiting.qsize() >= MAX_WAITING:
        if tally.dropped == 0:
            log.warning("traffic.dropping", extra={"waiting": MAX_WAITING})
        tally.dropped += 1
        return
    waiting.put((time.monotonic(), msg.data))


@events.init.add_listener
def set_up_process(environment: Environment, **_: Any) -> None:
    """Give this process its part: lanes, the dealer, or both."""
    runner = environment.runner
    if not isinstance(runner, MasterRunner):
        _add_lanes(environment)
    if isinstance(runner, WorkerRunner):
        environment.events.report_to_master.add_listener(_report_tally)
        return
    options = environment.parsed_options
    if options is not None and options.num_users is None:
        options.num_users = settings.lanes
    dealer = Dealer(cast(LocalRunner | MasterRunner, runner), settings, tally)
    _deal_while_testing(environment, dealer)
    _add_pages(environment, dealer)


def _add_lanes(environment: Environment) -> None:
    def forget_what_waits(**_: Any) -> None:
        while not waiting.empty():
            waiting.get_nowait()

    cast(LocalRunner | WorkerRunner, environment.runner).register_message(DEAL, take)
    environment.events.test_start.add_listener(forget_what_waits)


def _deal_while_testing(environment: Environment, dealer: Dealer) -> None:
    def reset(**_: Any) -> None:
        dealer.stop()
        tally.take_from(Tally())

    def start(**_: Any) -> None:
        # Also fired when a person changes the number of users in the middle of a test.
        if not dealer.dealing:
            dealer.start()

    def stop(**_: Any) -> None:
        if dealer.dealing:
            dealer.stop()
            log.info("traffic.summary", extra=dealer.summary())

    def summarise() -> None:
        while True:
            gevent.sleep(SUMMARY_EVERY_S)
            if dealer.dealing:
                log.info("traffic.summary", extra=dealer.summary())

    environment.events.worker_report.add_listener(_add_tally_of_worker)
    environment.events.test_start.add_listener(reset)
    environment.events.spawning_complete.add_listener(start)
    environment.events.test_stop.add_listener(stop)
    gevent.spawn(summarise)


def _add_pages(environment: Environment, dealer: Dealer) -> None:
    """``GET /health``, ``/summary`` and ``/metrics`` beside Locust's own pages."""
    if environment.web_ui is None or environment.web_ui.app is None:
        return
    app = environment.web_ui.app
    app.add_url_rule("/health", "health", lambda: {"status": "ok", "service": log_lines.SERVICE})
    app.add_url_rule("/summary", "summary", dealer.summary)
    registry = registry_of(dealer)
    app.add_url_rule(
        "/metrics", "metrics", lambda: (generate_latest(registry), {"content-type": CONTENT_TYPE_LATEST})
    )


def _report_tally(data: dict[str, Any], **_: Any) -> None:
    data["tally"] = asdict(tally)
    tally.take_from(Tally())


def _add_tally_of_worker(data: dict[str, Any], **_: Any) -> None:
    tally.late += data["tally"]["late"]
    tally.dropped += data["tally"]["dropped"]
