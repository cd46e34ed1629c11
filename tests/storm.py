"""Many clients that post alerts at the same time, and what they were answered."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

ALERTS = "/api/v1/alerts"


@dataclass(frozen=True)
class Storm:
    """The answers to a storm of alerts, and why those requests that broke off have none."""

    answers: list[httpx.Response] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status_code for answer in self.answers)

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """The receipts: what was answered with 2xx."""
        return [answer.json() for answer in self.answers if answer.status_code < 300]

    @property
    def accepted_ids(self) -> set[str]:
        return {receipt["alert_id"] for receipt in self.accepted}


def post_all(
    urls: Sequence[str],
    bodies: Sequence[dict[str, Any]],
    *,
    clients: int,
    after: Callable[[int], None] | None = None,
) -> Storm:
    """Post every body, dealt out to so many clients, each with its own connection and one of the services.

    ``after`` is told how many answers there are, as they come. A connection
    that breaks is an answer that nobody got.
    """
    storm = Storm()
    lock = threading.Lock()
    ready = threading.Barrier(clients)

    def run(number: int) -> None:
        url = urls[number % len(urls)]
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            ready.wait()
            for body in bodies[number::clients]:
                try:
                    answer = client.post(ALERTS, json=body)
                except httpx.TransportError as error:
                    storm.broken.append(repr(error))
                    continue
                with lock:
                    storm.answers.append(answer)
                    count = len(storm.answers)
                if after is not None:
                    after(count)

    with ThreadPoolExecutor(clients) as pool:
        for finished in [pool.submit(run, number) for number in range(clients)]:
            finished.result()
    return storm
