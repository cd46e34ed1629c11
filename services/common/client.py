"""Calls from service to service: deadline, ids, metrics, breaker, and names from the lab's own DNS."""

import asyncio
import ssl
import time
from functools import cache
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.resolver
import httpx
import structlog
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

from services.common import deadline, metrics
from services.common.breaker import CircuitBreaker
from services.common.errors import DeadlineExceeded, Unavailable
from services.common.patience import answer_within

INTERNAL_DOMAIN = "internal.corp"
DNS_TIMEOUT_S = 0.8
"""Shorter than the fraud check's own deadline, so that a server that is down shows as what it is."""


KEPT = 20
"""Idle connections that a client keeps to a service."""


class NameNotResolved(httpx.ConnectError):
    """The lab's DNS has no address for a name, or gives no answer."""


class InternalNames(httpx.AsyncHTTPTransport):
    """A transport that looks names under ``internal.corp`` up at the lab's DNS server.

    An address is remembered for as long as its record's TTL says (RFC 1035 section 3.2.1), and not at
    all while ``remembers`` is off; that a name has none is not remembered. Each request opens its own
    connection, so that where a name leads now is where the request goes.
    """

    def __init__(self, dns_server: str) -> None:
        super().__init__(verify=trusted_authorities(), limits=_limits(kept=0))
        host, _, port = dns_server.rpartition(":")
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._server = (host, int(port))
        self._resolver.lifetime = DNS_TIMEOUT_S
        self._remembered: dict[str, tuple[str, float]] = {}
        self.remembers = True

    def forget(self) -> None:
        """Ask anew for every name."""
        self._remembered.clear()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host
        if name.endswith("." + INTERNAL_DOMAIN):
            request.url = request.url.copy_with(host=self._recall(name) or await self._address(name))
        return await super().handle_async_request(request)

    def _recall(self, name: str) -> str | None:
        address, until_s = self._remembered.get(name, ("", 0.0))
        return address if self.remembers and time.monotonic() < until_s else None

    async def _address(self, name: str) -> str:
        try:
            host, port = self._server
            # A host name of the server itself (compose) is the platform's to resolve.
            self._resolver.nameservers = [await _platform_address(host)]
            self._resolver.port = port
            answer = await self._resolver.resolve(name + ".", "A")
        except dns.resolver.NXDOMAIN as error:
            raise NameNotResolved(f"{name}: NXDOMAIN") from error
        except dns.exception.DNSException as error:
            raise NameNotResolved(f"{name}: {error}") from error
        except OSError as error:
            raise NameNotResolved(f"{name}: DNS server {self._server[0]}: {error}") from error
        address, ttl_s = str(answer[0].address), answer.rrset.ttl if answer.rrset else 0
        self._remembered[name] = address, time.monotonic() + ttl_s
        return address


async def _platform_address(host: str) -> str:
    if host.replace(".", "").isdigit():
        return host
    found = await asyncio.get_running_loop().getaddrinfo(host, None)
    return str(found[0][4][0])


@cache
def trusted_authorities() -> ssl.SSLContext:
    """Whom calls over TLS trust: read once, since it takes 30 ms and every client wants it."""
    return httpx.create_ssl_context(trust_env=False)


def _limits(*, kept: int) -> httpx.Limits:
    """As many connections as there are calls: their number is bounded by their deadlines.

    A call that waits for a place in httpcore's pool and gives up may leave the place taken for ever.
    """
    return httpx.Limits(max_connections=None, max_keepalive_connections=kept)


def new_client(*, names: InternalNames | None = None) -> httpx.AsyncClient:
    """A client whose calls carry the trace; ``names`` knows those under ``internal.corp``."""
    client = httpx.AsyncClient(
        transport=names or httpx.AsyncHTTPTransport(verify=trusted_authorities(), limits=_limits(kept=KEPT)),
        trust_env=False,
        follow_redirects=False,
    )
    HTTPXClientInstrumentor.instrument_client(client)
    return client


class Dependency:
    """Another service, as one that calls it sees it.

    ``service`` is the caller and ``name`` the called, both for the metrics.
    """

    def __init__(
        self, name: str, base_url: str, *, service: str, client: httpx.AsyncClient | None = None
    ) -> None:
        self.name = name
        self.breaker = CircuitBreaker()
        self._base_url = base_url.rstrip("/")
        self._service = service
        self._client = client if client is not None else new_client()
        self._duration = metrics.dependency_request_duration.labels(service, name)

    async def call(
        self,
        method: str,
        path: str,
        *,
        at_most_s: float,
        json: Any = None,
        content: bytes | None = None,
        params: Any = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Call the dependency and return its answer, whatever its status.

        ``at_most_s`` bounds the call; the request's own deadline may bound it
        further. Raises ``DeadlineExceeded`` (504) when the time is up and
        ``Unavailable`` (503) when the dependency cannot be found or reached.
        """
        if not self.breaker.allows():
            self._count("breaker_open")
            raise Unavailable(f"{self.name}: circuit breaker open after repeated failures")
        budget_s = deadline.for_next_hop_s(at_most=at_most_s)
        sent = {**(headers or {}), deadline.HEADER: str(int(budget_s * 1000)), **_request_id()}
        started = time.perf_counter()
        try:
            answer = await answer_within(
                budget_s,
                self._client,
                method,
                self._base_url + path,
                json=json,
                content=content,
                params=params,
                headers=sent,
            )
        except TimeoutError as error:
            self._failed("timeout")
            raise DeadlineExceeded(f"{self.name}: no answer within {budget_s:.2f} s") from error
        except NameNotResolved as error:
            self._failed("unresolved")
            raise Unavailable(f"{self.name}: {error}") from error
        except httpx.HTTPError as error:
            self._failed("unreachable")
            raise Unavailable(f"{self.name}: {type(error).__name__}: {error}") from error
        finally:
            self._duration.observe(time.perf_counter() - started)
        if answer.status_code >= 500:
            self._failed("failed")
        else:
            self.breaker.succeeded()
            self._count("ok" if answer.status_code < 400 else "rejected")
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _failed(self, outcome: str) -> None:
        self.breaker.failed()
        self._count(outcome)

    def _count(self, outcome: str) -> None:
        metrics.dependency_requests.labels(self._service, self.name, outcome).inc()


def _request_id() -> dict[str, str]:
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return {"x-request-id": request_id} if request_id else {}
