"""Harmful actions: which of those that the scenario knows were done, found in the journal."""

from datetime import datetime
from typing import NamedTuple

from scenarios.model import Detect
from services.exam.grading.facts import Facts, is_person
from services.exam.journal import Event


class Harm(NamedTuple):
    """A harmful action that was done."""

    at: datetime
    name: str
    effect: str


def harms(facts: Facts) -> list[Harm]:
    """Every harmful action after the injection, by time."""
    return [
        Harm(event.at, known.name, known.effect)
        for event in facts.events("setting.changed", "service.restarted", "sql.run")
        for known in facts.scenario.mitigations.harmful
        if _is_it(known.detect, event)
    ]


def _is_it(detect: Detect, event: Event) -> bool:
    """A person's restart is in the trail; one that only the service's age shows was nobody's wish."""
    if not is_person(event.actor):
        return False
    if event.kind == "service.restarted":
        return detect.restarted == event.detail["service"]
    if event.kind == "sql.run":
        return event.detail["error"] is None and detect.matches_sql(str(event.detail["statement"]))
    setting = f"{event.detail['service']}.{event.detail['setting']}"
    return detect.matches_setting(setting, event.detail["new"])
