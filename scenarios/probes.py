"""Fresh requests over the shop's routes: what a customer would meet now.

A route is written as its template, ``POST /api/payment``. Asking for one means asking as several customers
at once (with a card and without, with items and without), since a fault may hit some of them only: it is
well when all of them are, and as slow as the slowest.
"""

import asyncio
import math
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from services.common.client import trusted_authorities

TIMEOUT_S = 12.0
"""Longer than the gateway's own deadline: a probe waits as long as a patient customer."""
ORDINARY_CUSTOMERS = (1, 2, 3)
"""Checked for fraud, with funds; the first two pay with cards of different ranges."""
REFUNDED = 2
SEEDED_PAYMENT_OF_REFUNDED = 2
"""A payment in the seed with much left to refund."""
REFUND = "1001.00"
"""Just above what needs no fraud check."""
LAST_USER = 1000
TAIL_STRIDE = 367
"""Coprime to the number of users: one after the other, all of them are asked for."""


@dataclass(frozen=True)
class Answer:
    """What came of asking for a route. ``status`` is the worst one, ``None`` if one got no answer."""

    ok: bool
    status: int | None
    latency_ms: float


@dataclass(frozen=True)
class _Ask:
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    expects: tuple[int, ...] = (200,)
    once: bool = False


@dataclass
class Probes:
    """Asks the gateway at ``url``. ``sent`` counts the requests, so that they can be told from the load."""

    url: str
    sent: int = 0
    _numbers: Any = field(default_factory=count)
    _nonce: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    async def ask(self, route: str) -> Answer:
        """Ask for a route. Raises ``KeyError`` for a route that no probe knows."""
        if route == "POST /api/refund":
            return await self._ask_for_refund()
        variants = ROUTES[route](next(self._numbers), self._nonce)
        async with self._client() as client:
            answers = await asyncio.gather(*(self._send(client, one) for one in variants))
        return _worst(answers)

    async def ask_all(self, routes: Sequence[str]) -> dict[str, Answer]:
        """One round: all routes at once."""
        return dict(zip(routes, await asyncio.gather(*(self.ask(route) for route in routes)), strict=True))

    async def _ask_for_refund(self) -> Answer:
        """Pay, and take it back; where no payment goes through, take back a part of an old one."""
        async with self._client() as client:
            paid = await self._pay_to_take_back(client)
            body = {"customer_id": REFUNDED, "amount": REFUND, "transaction_id": paid}
            return await self._send(client, _Ask("POST", "/api/refund", body, (200, 201), once=True))

    async def _pay_to_take_back(self, client: httpx.AsyncClient) -> int:
        self.sent += 1
        try:
            answer = await client.post(
                "/api/payment",
                json={"customer_id": REFUNDED, "amount": REFUND},
                headers={"idempotency-key": uuid.uuid4().hex},
            )
        except httpx.HTTPError:
            return SEEDED_PAYMENT_OF_REFUNDED
        return int(answer.json()["id"]) if answer.status_code == 201 else SEEDED_PAYMENT_OF_REFUNDED

    async def _send(self, client: httpx.AsyncClient, ask: _Ask) -> Answer:
        headers = {"idempotency-key": uuid.uuid4().hex} if ask.once else {}
        self.sent += 1
        started = time.perf_counter()
        try:
            answer = await client.request(ask.method, ask.path, json=ask.body, headers=headers)
        except httpx.HTTPError:
            return Answer(False, None, _ms_since(started))
        return Answer(answer.status_code in ask.expects, answer.status_code, _ms_since(started))

    def _client(self) -> httpx.AsyncClient:
        # With a context of its own each client would stop the others for 30 ms, and the clock goes.
        return httpx.AsyncClient(
            base_url=self.url, timeout=TIMEOUT_S, trust_env=False, verify=trusted_authorities()
        )


def p95_ms(latencies: Iterable[float]) -> float:
    """The nearest-rank percentile of latencies in ms, of which there is at least one."""
    ordered = sorted(latencies)
    return ordered[math.ceil(0.95 * len(ordered)) - 1]


def _worst(answers: Sequence[Answer]) -> Answer:
    bad = [one for one in answers if not one.ok]
    status = (bad or answers)[0].status
    return Answer(not bad, status, max(one.latency_ms for one in answers))


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def _get(template: str, *ids: int) -> Callable[[int, str], list[_Ask]]:
    return lambda _n, _nonce: [_Ask("GET", template.format(one)) for one in ids]


def _profiles(n: int, _nonce: str) -> list[_Ask]:
    """One that everybody looks at, and one that hardly anybody does: it is in no cache."""
    tail = n * TAIL_STRIDE % LAST_USER + 1
    return [_Ask("GET", f"/api/users/profile/{user}") for user in (1 + n % 10, tail)]


def _payments(_n: int, _nonce: str) -> list[_Ask]:
    item = [{"sku": "mug-blue", "quantity": 1}]
    bodies = [{"customer_id": customer, "amount": "1.00"} for customer in ORDINARY_CUSTOMERS]
    with_items: dict[str, Any] = {**bodies[-2], "items": item}
    return [_Ask("POST", "/api/payment", body, (201,), once=True) for body in (*bodies, with_items)]


def _checkouts(_n: int, _nonce: str) -> list[_Ask]:
    return [
        _Ask(
            "POST",
            "/checkout",
            {
                "customer_id": customer,
                "items": [{"sku": "sticker-pack", "quantity": 1}],
                "payment": {"amount": "1.00"},
            },
            (201,),
            once=True,
        )
        for customer in ORDINARY_CUSTOMERS
    ]


def _new_customer(n: int, nonce: str) -> list[_Ask]:
    body = {"name": "Probe", "email": f"probe.{nonce}.{n}@example.test"}
    return [_Ask("POST", "/api/customers", body, (201,))]


def _webhook(n: int, nonce: str) -> list[_Ask]:
    body = {"event_id": f"probe-{nonce}-{n}", "type": "payment.settled", "data": {"transaction_id": 1}}
    return [_Ask("POST", "/api/webhooks/payment-gateway", body)]


ROUTES: Mapping[str, Callable[[int, str], list[_Ask]]] = {
    "GET /api/users/profile/{user_id}": _profiles,
    "GET /api/customers/{customer_id}": _get("/api/customers/{}", 1, 3),
    "GET /api/accounts/{customer_id}/balance": _get("/api/accounts/{}/balance", 1, 3),
    "GET /api/payment-methods/{customer_id}": _get("/api/payment-methods/{}", 1, 3),
    "GET /api/transactions": _get("/api/transactions?limit=10", 0),
    "GET /api/transactions/{transaction_id}": _get("/api/transactions/{}", 1),
    "GET /api/stats": _get("/api/stats", 0),
    "POST /api/customers": _new_customer,
    "POST /api/webhooks/payment-gateway": _webhook,
    "POST /api/payment": _payments,
    "POST /api/refund": _payments,
    "POST /checkout": _checkouts,
}
"""Every route that a scenario may name. The refund asks in two steps, by itself."""
