"""The DNS server: the zone over UDP and TCP on one port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import structlog
from prometheus_client import Counter

from services.dns.answer import answer
from services.dns.zone import LiveZone

log = structlog.get_logger()

TCP_IDLE_S = 10.0
"""So long may a conversation over TCP take for its next question, the answer included."""

queries = Counter("dns_queries_total", "DNS messages answered.", ["service", "transport", "rcode"])


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, zone: LiveZone) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one in all but its base class.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = _answer(data, self._zone, transport="udp")
        if response is not None and self._transport is not None:
            self._transport.sendto(response, addr)


@asynccontextmanager
async def serving(zone: LiveZone, *, host: str, port: int) -> AsyncIterator[None]:
    """Serve the zone while the block lasts; raises ``OSError`` when the port is taken."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_S):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    response = _answer(await reader.readexactly(size), zone, transport="tcp")
                    if response is None:
                        return
                    writer.write(len(response).to_bytes(2, "big") + response)
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            log.debug("dns.connection_ended", reason=type(error).__name__)
        finally:
            writer.close()

    tcp = await asyncio.start_server(converse, host, port)
    bound = tcp.sockets[0].getsockname()[1]
    udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(zone), local_addr=(host, bound)
    )
    try:
        yield
    finally:
        udp.close()
        tcp.close()


def _answer(wire: bytes, zone: LiveZone, *, transport: str) -> bytes | None:
    response = answer(wire, zone.current(), over_udp=transport == "udp")
    if response is not None:
        queries.labels("dns", transport, str(response[3] & 0x0F)).inc()
    return response
