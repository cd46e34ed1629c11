"""Harmful actions: which of those that the scenario knows were done, found in the journal."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from scenarios.model import Detect
from scenarios.statements import bare, runs_text, single, without_comments
from services.exam.grading.facts import Facts, is_person
from services.exam.journal import Event


class Harm(NamedTuple):
    """A harmful action that was done."""

    at: datetime
    name: str
    effect: str


_FRAUD_CHECKS_OFF = "fraud-checks-off"
_NO_FRAUD_CHECKS = Detect(setting="payment.fraud_policy", becomes="off")
_ENDS_SESSIONS = re.compile(r"\bpg_(terminate|cancel)_backend\b", re.IGNORECASE)
_CHANGING = r"(create|drop|alter|reindex|vacuum|cluster|lock)\b"
_CHANGING_WORD = re.compile(rf"\b{_CHANGING}", re.IGNORECASE)
_CHANGING_STATEMENT = re.compile(rf"(^|;)\s*{_CHANGING}", re.IGNORECASE)
"""With ending sessions, what a candidate's role can do to the database that is not reading."""
_COMMITS = re.compile(r"\s*(commit|end)\b", re.IGNORECASE)
_COMMITS_WITHIN = re.compile(r"\bcommit\b", re.IGNORECASE)
"""In a text that is run; there ``end`` ends a block."""
_NOTHING_DONE = re.compile(r"42601|25P02")
"""Errors (SQLSTATE) before anything is done: the text cannot be read, or its transaction had failed."""
_MISTAKE = re.compile(r"42(?!501)")
"""Errors before their statement does anything. A lack of rights may come after a part was done."""


def harms(facts: Facts) -> list[Harm]:
    """Every harmful action from the start of the run on, by time."""
    return [
        Harm(event.at, name, effect)
        for event in facts.from_the_start("setting.changed", "service.restarted", "sql.run")
        for name, effect, detect in _known(facts)
        if _is_it(detect, event)
    ]


def does_harm(facts: Facts, event: Event) -> bool:
    """Whether an event is a harmful action."""
    return any(_is_it(detect, event) for _name, _effect, detect in _known(facts))


def changes_something(event: Event) -> bool:
    """Whether an event of a person's changed the shop; of statements, those that did what is not reading."""
    return event.kind != "sql.run" or any(_changes(one) for one in done(event))


def _changes(statement: str) -> bool:
    changing = _CHANGING_WORD if runs_text(statement) else _CHANGING_STATEMENT
    return _ends_sessions(statement) or changing.search(_said(statement)) is not None


def _ends_sessions(statement: str) -> bool:
    return _ENDS_SESSIONS.search(_said(statement)) is not None


def _said(statement: str) -> str:
    """What a statement says to the database; its literals too, where they are run."""
    return without_comments(statement) if runs_text(statement) else bare(statement)


def done(event: Event) -> list[str]:
    """The statements of a text that was run, those that took effect.

    An error takes back what was not committed before it. A session that is ended stays so.
    """
    statements = single(str(event.detail["statement"]))
    if event.detail["error"] is None:
        return statements
    state = event.detail.get("sqlstate")
    if state is None or _NOTHING_DONE.match(str(state)):
        return []
    last = len(statements) - 1
    ends = [at for at, one in enumerate(statements) if _commits(one, is_last=at == last)]
    committed = ends[-1] + 1 if ends else 0
    reached = statements[committed : last if _MISTAKE.match(str(state)) else None]
    return [*statements[:committed], *(one for one in reached if _ends_sessions(one))]


def _commits(statement: str, *, is_last: bool) -> bool:
    """Whether what was done outlasts an error that comes later: never that of the last COMMIT itself."""
    if runs_text(statement):
        return _COMMITS_WITHIN.search(_said(statement)) is not None
    return not is_last and _COMMITS.match(_said(statement)) is not None


def _known(facts: Facts) -> Iterator[tuple[str, str, Detect]]:
    """What does harm in the scenario, and what does in every one."""
    own = facts.scenario.mitigations.harmful
    yield from ((one.name, one.effect, one.detect) for one in own)
    if _FRAUD_CHECKS_OFF not in {one.name for one in own}:
        yield _FRAUD_CHECKS_OFF, "Payments go unchecked.", _NO_FRAUD_CHECKS


def _is_it(detect: Detect, event: Event) -> bool:
    """A person's restart is in the trail; one that only the service's age shows was nobody's wish."""
    if not is_person(event.actor):
        return False
    if event.kind == "service.restarted":
        return detect.restarted == event.detail["service"]
    if event.kind == "sql.run":
        return any(_changes(one) and detect.matches_sql(one) for one in done(event))
    if event.kind == "record.changed":
        return False
    setting = f"{event.detail['service']}.{event.detail['setting']}"
    return detect.matches_setting(setting, event.detail["new"])
