"""The DNS server's conversations over TCP: how long one may last, and how long it may be silent."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import dns.message
import pytest

from embedded.free_ports import free_port
from services.dns import server
from services.dns.settings import SHIPPED_ZONE
from services.dns.zone import LiveZone

IDLE_S = 0.4


@pytest.fixture
def converse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], None]:
    """Run a conversation with a server that waits ``IDLE_S`` for the next question."""
    monkeypatch.setattr(server, "TCP_IDLE_S", IDLE_S)
    zone = LiveZone(tmp_path / "internal.corp.zone", shipped=SHIPPED_ZONE)

    def run(conversation: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        async def talk() -> None:
            port = free_port()
            async with server.serving(zone, host="127.0.0.1", port=port):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await conversation(reader, writer)
                finally:
                    writer.close()
                    await writer.wait_closed()

        asyncio.run(talk())

    return run


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dns.message.Message:
    query = dns.message.make_query("fraud-api.internal.corp", "A").to_wire()
    writer.write(len(query).to_bytes(2, "big") + query)
    size = int.from_bytes(await reader.readexactly(2), "big")
    return dns.message.from_wire(await reader.readexactly(size))


def test_a_conversation_may_last_as_long_as_it_is_not_silent(converse: Callable[..., None]) -> None:
    async def ask_now_and_then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(6):
            assert (await ask(reader, writer)).answer
            await asyncio.sleep(IDLE_S / 3)

    converse(ask_now_and_then)


def test_a_silent_conversation_is_ended(converse: Callable[..., None]) -> None:
    async def say_nothing_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ask(reader, writer)
        async with asyncio.timeout(IDLE_S * 5):
            assert await reader.read() == b""

    converse(say_nothing_more)
