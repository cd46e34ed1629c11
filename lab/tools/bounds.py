"""An answer of at most so many characters: lists end early, and what is too long by itself is cut."""

import json

from pydantic import JsonValue

from lab.tools.api import Document

MOST_CHARACTERS = 50_000
"""Of an answer's JSON text: about as much as an agent reads without losing what it read before."""
_NEWEST_LAST = "values"
"""Where Prometheus puts a series' points."""


def written(value: JsonValue) -> str:
    """JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def fitted(answer: Document, *, advice: str) -> Document:
    """The answer if it fits, else what fits of it, with ``is_cut`` and with advice how to see the rest.

    A page that was cut is followed by the page that begins with what was left out.
    """
    if len(written(answer)) <= MOST_CHARACTERS:
        return answer
    marks: Document = {"is_cut": True, "how_to_see_more": advice}
    room = MOST_CHARACTERS - len(written(marks))
    kept = _cut({name: value for name, value in answer.items() if name not in marks}, room)
    if not isinstance(kept, dict):
        return {**marks, "beginning": kept}
    items, offset = kept.get("items"), kept.get("offset")
    if isinstance(items, list) and isinstance(offset, int):
        kept["next_offset"] = offset + len(items)
    return {**marks, **kept}


def _cut(value: JsonValue, room: int) -> JsonValue:
    """What is left of a value so that its JSON text takes no more room; something is left of each."""
    if len(written(value)) <= room:
        return value
    if isinstance(value, list):
        return _cut_list(value, room)
    if isinstance(value, dict):
        kept = _cut_object(value, room)
        # Its names alone can be too long.
        return kept if len(written(kept)) <= room else _cut(written(value), room)
    return _cut_text(value, room) if isinstance(value, str) else value


def _cut_list(items: list[JsonValue], room: int) -> list[JsonValue]:
    left = room - len("[]")
    kept: list[JsonValue] = []
    for item in items:
        taken = len(written(item)) + len(",")
        if taken > left:
            break
        left -= taken
        kept.append(item)
    return kept or [_cut(items[0], left)]


def _cut_object(members: Document, room: int) -> Document:
    """Small members stay as they are; the room that they leave is shared by the others."""
    left = room - len("{}") - sum(len(written(name)) + len(":,") for name in members)
    kept: Document = {}
    by_size = sorted(members, key=lambda name: len(written(members[name])))
    for place, name in enumerate(by_size):
        value, share = members[name], left // (len(members) - place)
        if name == _NEWEST_LAST and isinstance(value, list):
            kept[name] = _cut(value[::-1], share)[::-1]  # type: ignore[index]
        else:
            kept[name] = _cut(value, share)
        left -= len(written(kept[name]))
    return {name: kept[name] for name in members}


def _cut_text(text: str, room: int) -> str:
    kept = text[: max(0, room - len('"…"'))]
    # A sign that JSON escapes takes more room than one.
    while kept and len(written(kept)) + len("…") > room:
        kept = kept[: len(kept) // 2]
    return f"{kept}…"
