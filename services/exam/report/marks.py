"""The moments that every chart shows: fault, page, acknowledgement, mitigation, recovery."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from scenarios.model import NO_FAULT, Scenario
from services.exam.grading.clock import RunClock
from services.exam.grading.facts import is_person
from services.exam.grading.harm import changes_something
from services.exam.grading.score import Score
from services.exam.journal import Event, EventKind, Journal

CHANGES: tuple[EventKind, ...] = ("setting.changed", "record.changed", "service.restarted", "sql.run")
"""What a person on call mends with. Of statements not all: most only look."""


@dataclass(frozen=True)
class Mark:
    """A moment with a letter for the charts and a word for the legend."""

    letter: str
    name: str
    at: datetime


def marks(scenario: Scenario, journal: Journal, score: Score) -> list[Mark]:
    """Those that happened, by time."""
    began_at = journal.run.injected_at or journal.run.started_at
    later = [event for event in journal.events if event.at >= began_at]
    recovered_at = _recovered_at(journal, score)
    found = [
        ("F", "fault", None if scenario.truth.component == NO_FAULT else journal.run.injected_at),
        ("P", "page", _first(later, "page.sent")),
        ("A", "acknowledged", _acknowledged_at(journal, score)),
        ("M", "mitigation", _mitigated_at(later, recovered_at)),
        ("R", "recovered", recovered_at),
    ]
    known = [Mark(letter, name, at) for letter, name, at in found if at is not None]
    return sorted(known, key=lambda mark: mark.at)


def _first(events: Iterable[Event], *kinds: EventKind) -> datetime | None:
    return next((event.at for event in events if event.kind in kinds), None)


def _acknowledged_at(journal: Journal, score: Score) -> datetime | None:
    """The one that the score counts."""
    if score.times.acknowledge_s is None:
        return None
    clock, wanted_s = RunClock(journal), score.times.acknowledge_s - 1e-6
    counted = (event for event in journal.events if clock.elapsed_s(event.at) >= wanted_s)
    return _first(counted, "page.acknowledged", "incident.acknowledged")


def _recovered_at(journal: Journal, score: Score) -> datetime | None:
    """The first request of the suffix that the score counts as recovered."""
    if score.times.mitigate_s is None:
        return None
    clock, wanted_s = RunClock(journal), score.times.mitigate_s - 1e-6
    return next((p.at for p in journal.probes if p.affected and clock.elapsed_s(p.at) >= wanted_s), None)


def _mitigated_at(events: Iterable[Event], recovered_at: datetime | None) -> datetime | None:
    """The last change by a person before the recovery."""
    if recovered_at is None:
        return None
    changes = [e.at for e in events if _is_change(e) and e.at <= recovered_at]
    return changes[-1] if changes else None


def _is_change(event: Event) -> bool:
    return event.kind in CHANGES and is_person(event.actor) and changes_something(event)
