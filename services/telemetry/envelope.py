"""Sentry's envelope: the format in which its SDKs send, as its developer documentation has it.

A line of JSON with headers, then items. An item is a line of JSON with at least
a ``type``, then its payload: ``length`` bytes if the header has that, otherwise
up to the end of the line. A line break after a payload belongs to neither.
"""

import json
from dataclasses import dataclass
from typing import Any

from services.common.errors import BadRequest

MAX_ITEMS = 1000


@dataclass(frozen=True, slots=True)
class Item:
    """One item: what it is, and its bytes."""

    type: str
    payload: bytes

    def json(self) -> Any:
        """The payload as JSON; raises ``BadRequest``."""
        return _json(self.payload, what=f"payload of an item {self.type!r}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope. ``headers`` may have an ``event_id``."""

    headers: dict[str, Any]
    items: list[Item]


def parse(body: bytes) -> Envelope:
    """Take an envelope apart; raises ``BadRequest`` saying what is wrong where."""
    line, position = _line(body, 0)
    headers = _object(line, what="envelope's headers")
    items: list[Item] = []
    while position < len(body):
        line, position = _line(body, position)
        if not line:
            continue
        if len(items) == MAX_ITEMS:
            raise BadRequest(f"an envelope may have {MAX_ITEMS} items")
        header = _object(line, what=f"headers of item {len(items) + 1}")
        payload, position = _payload(body, position, length=header.get("length"))
        items.append(Item(_type(header), payload))
    return Envelope(headers, items)


def _line(body: bytes, position: int) -> tuple[bytes, int]:
    """The line that begins at ``position``, and where the next one begins."""
    end = body.find(b"\n", position)
    if end < 0:
        return body[position:].strip(), len(body)
    return body[position:end].strip(), end + 1


def _payload(body: bytes, position: int, *, length: object) -> tuple[bytes, int]:
    if length is None:
        end = body.find(b"\n", position)
        end = len(body) if end < 0 else end
        return body[position:end], end + 1
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise BadRequest("the length of an item is a number of bytes")
    end = position + length
    if end > len(body):
        raise BadRequest(f"an item says that it has {length} bytes, and {len(body) - position} are left")
    if body[end : end + 1] not in (b"", b"\n"):
        raise BadRequest("a payload is not followed by a line break: its length is wrong")
    return body[position:end], end + 1


def _type(header: dict[str, Any]) -> str:
    found = header.get("type")
    if not isinstance(found, str):
        raise BadRequest("an item has no type")
    return found


def _object(line: bytes, *, what: str) -> dict[str, Any]:
    found = _json(line, what=what)
    if not isinstance(found, dict):
        raise BadRequest(f"{what}: not a JSON object")
    return found


def _json(text: bytes, *, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{what}: not JSON: {type(error).__name__}") from error
