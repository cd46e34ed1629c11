"""SQL as a candidate types it, read far enough to tell what it does from what it only says.

Neither a comment nor a literal does anything: a look for ``wait_event_type = 'Lock'`` locks nothing, and
``-- state`` behind a statement narrows nothing down.
"""

import re

_OPENING = re.compile(r"[eE]'|'|\$(?:[A-Za-z_]\w*)?\$|--|/\*")
_ESCAPED = re.compile(r"(?:[^'\\]|\\.|'')*'?", re.DOTALL)
_PLAIN = re.compile(r"(?:[^']|'')*'?")


def without_comments(statement: str) -> str:
    """The statement with a space for each comment."""
    return "".join(" " if kind == "comment" else part for kind, part in _parts(statement))


def bare(statement: str) -> str:
    """The statement with a space for each comment, and for each literal of text."""
    return "".join(part if kind == "code" else " " for kind, part in _parts(statement))


def _parts(statement: str) -> list[tuple[str, str]]:
    """The statement in pieces, in their order: ``code``, ``literal`` and ``comment``.

    What is not closed goes on to the end, except a tag of dollars, which then was none.
    """
    parts, place = [], 0
    while (begun := _OPENING.search(statement, place)) is not None:
        kind, end = _piece(statement, begun)
        parts += [("code", statement[place : begun.start()]), (kind, statement[begun.start() : end])]
        place = end
    return [*parts, ("code", statement[place:])]


def _piece(statement: str, begun: re.Match[str]) -> tuple[str, int]:
    """What begins here, and where it ends."""
    opening, start = begun[0], begun.end()
    if opening == "--":
        line_end = statement.find("\n", start)
        return "comment", len(statement) if line_end < 0 else line_end
    if opening == "/*":
        end = statement.find("*/", start)
        return "comment", len(statement) if end < 0 else end + 2
    if opening.startswith("$"):
        end = statement.find(opening, start)
        return ("code", start) if end < 0 else ("literal", end + len(opening))
    closed = (_PLAIN if opening == "'" else _ESCAPED).match(statement, start)
    return "literal", closed.end() if closed else start
