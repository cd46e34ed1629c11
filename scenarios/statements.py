"""SQL as a candidate types it, read far enough to tell what it does from what it only says.

Neither a comment nor a literal does anything: a look for ``wait_event_type = 'Lock'`` locks nothing, and
``-- state`` behind a statement narrows nothing down. What is quoted is read as Postgres reads it
(https://www.postgresql.org/docs/current/sql-syntax-lexical.html), or it would hide what stands beside it.
"""

import re
from collections.abc import Iterator, Mapping

_BEYOND_ASCII = "\x80-\U0010ffff"
_OPENING = re.compile(
    rf"(?<![\w${_BEYOND_ASCII}])(?:[eE]'|\$(?:[A-Za-z_{_BEYOND_ASCII}][\w{_BEYOND_ASCII}]*)?\$)|'|\"|--|/\*"
)
"""Within a name neither a dollar nor the letter before a quote opens anything: ``a$$``, ``name'a'``."""
_ESCAPED = re.compile(r"(?:[^'\\]|\\.|''|'[ \t\f\v]*[\r\n]\s*')*'?", re.DOTALL)
_PLAIN = re.compile(r"(?:[^']|'')*'?")
_NAME = re.compile(r"(?:[^\"]|\"\")*\"?")
_USUAL_NAME = re.compile(r"\"([a-z_][a-z0-9_]*)\"")
"""One that says the same without its quotes."""
_LINE = re.compile(r"[^\r\n]*")
_COMMENT_EDGE = re.compile(r"/\*|\*/")

_RUNS_TEXT = re.compile(r"(^|;)\s*do\b|\b(query_to_\w+|ts_stat|ts_rewrite)\b", re.IGNORECASE)
_IS_STATEMENT = re.compile(r"\bselect\b", re.IGNORECASE)

_CLAUSE = re.compile(
    r"\b(?:(where|on|having|when)|(and|or)|distinct\s+on|select|from|join|order|group|limit|offset|fetch|window|union"
    r"|intersect|except|returning|then|else|end|loop)\b|;|$",
    re.IGNORECASE,
)
"""What begins a condition, what joins one to another, and what ends them."""
_BEFORE_COLUMN = re.compile(r"[\s(]*(?:\w+\s*\.\s*)*")


def without_comments(statement: str) -> str:
    """The statement with a space for each comment."""
    return "".join(" " if kind == "comment" else part for kind, part in _parts(statement))


def bare(statement: str) -> str:
    """The statement with a space for each comment, literal of text, and name that needs its quotes."""
    return "".join(part if kind == "code" else " " for kind, part in _parts(statement))


def single(text: str) -> list[str]:
    """The statements of a text, each on its own and without comments."""
    found = [""]
    for kind, part in _parts(text):
        first, *further = part.split(";") if kind == "code" else [" " if kind == "comment" else part]
        found[-1] += first
        found += further
    return [one for one in found if one.strip()]


def runs_text(statement: str) -> bool:
    """Whether a literal is run, too."""
    return _RUNS_TEXT.search(bare(statement)) is not None


def run(text: str) -> list[str]:
    """What a text runs, each statement on its own.

    A literal that is run is opened, and so are those in it that are statements.
    """
    return [one for part in single(text) for one in ([part] if not runs_text(part) else _within(part))]


def conditions(statement: str) -> list[str]:
    """The conditions of a statement: what follows WHERE, ON, HAVING and WHEN, each from its column on.

    ``WHERE (s.usename = 'shop' AND granted)`` has ``usename = 'shop'`` and ``granted)``.
    """
    # Two of one length: in the one no literal can be taken for a word.
    parts = [(kind, " " if kind == "comment" else part) for kind, part in _parts(statement)]
    whole = "".join(part for _, part in parts)
    code = "".join(part if kind == "code" else "'" * len(part) for kind, part in parts)
    found, begun = [], None
    for word in _CLAUSE.finditer(code):
        if begun is not None:
            found.append(" ".join(_BEFORE_COLUMN.sub("", whole[begun : word.start()], count=1).split()))
        begun = word.end() if word[1] or (word[2] and begun is not None) else None
    return [one for one in found if one]


def _within(statement: str) -> Iterator[str]:
    for one in single(
        "".join(_opened(part) if kind == "literal" else part for kind, part in _parts(statement))
    ):
        parts = _parts(one)
        yield "".join(
            _opened(part) if kind == "literal" and _IS_STATEMENT.search(part) else part
            for kind, part in parts
        )


def _opened(literal: str) -> str:
    """What a literal says."""
    if literal.startswith("$"):
        tag = literal[: literal.index("$", 1) + 1]
        return f" {literal.removeprefix(tag).removesuffix(tag)} "
    text = literal[literal.index("'") + 1 :].removesuffix("'").replace("''", "'")
    return f" {text} "


def _parts(statement: str) -> list[tuple[str, str]]:
    """The statement in pieces, in their order: ``code``, ``literal``, ``name`` and ``comment``.

    What is not closed goes on to the end, except a tag of dollars, which then was none.
    """
    parts, place, tags = [], 0, _last_tags(statement)
    while (begun := _OPENING.search(statement, place)) is not None:
        kind, end = _piece(statement, begun, tags)
        piece = statement[begun.start() : end]
        if kind == "name" and (usual := _USUAL_NAME.fullmatch(piece)) is not None:
            kind, piece = "code", f" {usual[1]} "
        parts += [("code", statement[place : begun.start()]), (kind, piece)]
        place = end
    return [*parts, ("code", statement[place:])]


def _piece(statement: str, begun: re.Match[str], tags: Mapping[str, int]) -> tuple[str, int]:
    """What begins here, and where it ends. ``tags`` says where each is for the last time."""
    opening, start = begun[0], begun.end()
    if opening == "--":
        closed = _LINE.match(statement, start)
        return "comment", closed.end() if closed else start
    if opening == "/*":
        return "comment", _comment_end(statement, start)
    if opening.startswith("$"):
        if tags[opening] < start:
            return "code", start
        return "literal", statement.index(opening, start) + len(opening)
    if opening == '"':
        closed = _NAME.match(statement, start)
        return "name", closed.end() if closed else start
    closed = (_PLAIN if opening == "'" else _ESCAPED).match(statement, start)
    return "literal", closed.end() if closed else start


def _last_tags(statement: str) -> dict[str, int]:
    """Where each tag of dollars begins for the last time. To look for each to the end would take too long."""
    found, at = {}, 0
    for between in statement.split("$")[:-1]:
        found[f"${between}$"] = at - 1
        at += len(between) + 1
    return found


def _comment_end(statement: str, start: int) -> int:
    """Where a comment ends that begins before ``start``: one may hold others."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(statement, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(statement)
