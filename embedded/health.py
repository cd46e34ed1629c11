"""Asking a service how it is, without an HTTP library: importing one would cost the start half a second."""

import asyncio
import json
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Health:
    """What a service answered. ``status`` is the HTTP status, 0 when there was no answer."""

    status: int
    detail: str

    @property
    def is_ok(self) -> bool:
        """Whether it is ready to serve."""
        return 200 <= self.status < 400


async def ask(url: str, *, timeout_s: float = 2.0) -> Health:
    """GET ``url`` (plain HTTP). Never raises for a service that is down, slow or talks nonsense."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_s):
            raw = await _get(parts.hostname or "", parts.port or 80, parts.path or "/")
    except TimeoutError:
        return Health(0, f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Health(0, error.strerror or "no connection")
    head, _, body = raw.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[1].isdigit():
        return Health(0, "not an HTTP answer")
    return Health(int(words[1]), _detail(body))


async def _get(host: str, port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        return await reader.read()
    finally:
        writer.close()


def _detail(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    detail = answer.get("detail") if isinstance(answer, dict) else None
    return detail if isinstance(detail, str) else ""
