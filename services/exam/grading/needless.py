"""Changes beside what mends it: settings, records and indexes that people left changed for nothing."""

import re
from collections.abc import Iterator

from scenarios.statements import bare, run
from services.exam.grading.facts import Facts, is_person
from services.exam.grading.harm import does_harm, done
from services.exam.journal import Event

_CREATES = re.compile(
    r"\bcreate\s+(?:unique\s+)?index\s+(?:concurrently\s+)?(?:if\s+not\s+exists\s+)?"
    r"(?:(?!on\b)(?P<name>\w+)\s+)?on\s+(?:only\s+)?(?P<table>\w+(?:\.\w+)?)",
    re.IGNORECASE,
)
_DROPS = re.compile(
    r"\bdrop\s+index\s+(?:concurrently\s+)?(?:if\s+exists\s+)?(?P<names>[\w.]+(?:\s*,\s*[\w.]+)*)",
    re.IGNORECASE,
)
_AROUND_DOT = re.compile(r"(?<!\s)\s*\.\s*")
"""From the first blank on alone: a statement may have a hundred thousand of them."""


def needless(facts: Facts) -> list[str]:
    """What people changed, no accepted mitigation changes, and was still changed at the end, by name.

    What does harm is left out: it has a price of its own.
    """
    return [*_settings_and_records(facts), *_indexes(facts)]


def _settings_and_records(facts: Facts) -> Iterator[str]:
    accepted = _accepted(facts)
    first: dict[str, Event] = {}
    last: dict[str, Event] = {}
    for event in facts.from_the_start("setting.changed", "record.changed"):
        first.setdefault(_name(event), event)
        last[_name(event)] = event
    for name, event in last.items():
        usual = (None, first[name].detail["old"], _usual(facts, event))
        if event.detail["new"] in usual or not is_person(event.actor):
            continue
        if name not in accepted and not does_harm(facts, event):
            yield name


def _accepted(facts: Facts) -> set[str]:
    """The settings and records that a scenario's accepted mitigations touch, as ``_name`` has them."""
    steps = [step for one in facts.scenario.mitigations.accepted for step in one.steps]
    settings = {f"{step.ops}.{name}" for step in steps for name in step.set or ()}
    return settings | {f"record {step.record}" for step in steps if step.record}


def _name(event: Event) -> str:
    if event.kind == "record.changed":
        return f"record {event.detail['record']}"
    return f"{event.detail['service']}.{event.detail['setting']}"


def _usual(facts: Facts, event: Event) -> object:
    """What was in force at the start: who sets just that has taken a change back, too."""
    settings = facts.journal.settings.get(str(event.detail["service"]), {})
    return settings.get(str(event.detail.get("setting")))


def _indexes(facts: Facts) -> Iterator[str]:
    """Those that were created and not dropped again, and those that were there before and are gone."""
    accepted = {
        table
        for one in facts.scenario.mitigations.accepted
        for step in one.steps
        for _, table in _created(step.sql or "")
    }
    added: dict[str, str] = {}
    gone: dict[str, None] = {}
    for statement in _of_people(facts):
        for name, table in _created(statement):
            if name in gone:
                del gone[name]
            else:
                added[name or f"on {table}"] = table
        for name in _dropped(statement):
            known = next((one for one in added if _is_it(one, added[one], name)), None)
            if known is None:
                gone[name] = None
            else:
                del added[known]
    yield from (f"index {name}" for name, table in added.items() if table not in accepted)
    yield from (f"dropped index {name}" for name in gone)


def _of_people(facts: Facts) -> Iterator[str]:
    """Statements that took effect and may be about an index."""
    for event in facts.from_the_start("sql.run"):
        if is_person(event.actor) and "index" in str(event.detail["statement"]).lower():
            yield from done(event)


def _created(text: str) -> list[tuple[str, str]]:
    """Name and table of each index that a text creates; the name is empty where Postgres is to find one."""
    return [((one["name"] or "").lower(), one["table"].lower()) for one in _CREATES.finditer(_code(text))]


def _dropped(text: str) -> list[str]:
    """The names of the indexes that a text drops, without their schema."""
    return [
        name.strip().rpartition(".")[2].lower()
        for one in _DROPS.finditer(_code(text))
        for name in one["names"].split(",")
    ]


def _code(text: str) -> str:
    return ";".join(_AROUND_DOT.sub(".", bare(one)) for one in run(text))


def _is_it(known: str, table: str, name: str) -> bool:
    """Whether ``name`` is an index that was created; Postgres calls one without a name after its table."""
    return known == name or (known == f"on {table}" and name.startswith(f"{table.rpartition('.')[2]}_"))
