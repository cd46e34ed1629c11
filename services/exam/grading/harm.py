"""Harmful actions: which of those that the scenario knows were done, found in the journal."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from scenarios.model import Detect
from scenarios.statements import bare, without_comments
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
_RUNS_TEXT = re.compile(r"(^|;)\s*do\b|\bquery_to_\w+", re.IGNORECASE)
"""Where a literal is run, too."""
_NOTHING_DONE = re.compile(r"42(?!501)|25P02")
"""Errors (SQLSTATE) that come before anything is done: a mistake, or a transaction that had failed before.

A lack of rights may come after a part was done.
"""


def harms(facts: Facts) -> list[Harm]:
    """Every harmful action from the start of the run on, by time."""
    return [
        Harm(event.at, name, effect)
        for event in facts.from_the_start("setting.changed", "service.restarted", "sql.run")
        for name, effect, detect in _known(facts)
        if _is_it(detect, event)
    ]


def changes_something(event: Event) -> bool:
    """Whether an event of a person's changed the shop; of statements, those that did what is not reading."""
    if event.kind != "sql.run":
        return True
    return _is_done(event) and _changes(str(event.detail["statement"]))


def _changes(statement: str) -> bool:
    code = bare(statement)
    if _RUNS_TEXT.search(code):
        whole = without_comments(statement)
        return bool(_ENDS_SESSIONS.search(whole) or _CHANGING_WORD.search(whole))
    return bool(_ENDS_SESSIONS.search(code) or _CHANGING_STATEMENT.search(code))


def _is_done(event: Event) -> bool:
    """Whether a statement did what it says. A session that is ended stays so, whatever fails later."""
    if event.detail["error"] is None:
        return True
    state = event.detail.get("sqlstate")
    if state is None or _NOTHING_DONE.match(str(state)):
        return False
    return _ENDS_SESSIONS.search(without_comments(str(event.detail["statement"]))) is not None


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
        return _is_done(event) and detect.matches_sql(str(event.detail["statement"]))
    setting = f"{event.detail['service']}.{event.detail['setting']}"
    return detect.matches_setting(setting, event.detail["new"])
