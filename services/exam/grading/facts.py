"""What the items of a criterion look at: the journal, read once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from scenarios.model import NO_FAULT, Scenario
from services.common.catalog import SERVICES
from services.common.fields import OWN_ACTORS
from services.exam.diagnosis import NOTHING, Diagnosis
from services.exam.grading.clock import RunClock
from services.exam.grading.probes import Limits, RouteHistory, histories, outage_min, recovered_at
from services.exam.grading.rubric import Item
from services.exam.grading.score import ItemScore
from services.exam.journal import Event, EventKind, Journal

MACHINES = frozenset(
    {service.name for service in SERVICES}
    | {"", "alertmanager", "examiner", "lab", "monitoring", "prober", "prometheus", "schedule"}
    | OWN_ACTORS
)
"""Actors that are no person: what they do is neither to a candidate's credit nor against them."""


@dataclass(frozen=True)
class Facts:
    """A run as grading sees it."""

    scenario: Scenario
    journal: Journal
    limits: Limits
    clock: RunClock = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clock", RunClock(self.journal))

    @property
    def is_quiet(self) -> bool:
        """Whether nothing was broken."""
        return self.scenario.truth.component == NO_FAULT

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """The last one that was handed in; a blank one where none was."""
        submissions = self.journal.submissions
        return max(submissions, key=lambda one: one.number).diagnosis if submissions else Diagnosis()

    @property
    def says_nothing_is_wrong(self) -> bool:
        """Whether the answer is ``none``, and only that."""
        return names(self.diagnosis.component) == (NOTHING,)

    @cached_property
    def affected(self) -> list[RouteHistory]:
        return histories(self.journal, self.clock, self.limits, affected=True)

    @cached_property
    def healthy(self) -> list[RouteHistory]:
        return histories(self.journal, self.clock, self.limits, affected=False)

    @property
    def has_begun(self) -> bool:
        """Whether the fault came before the run ended: who hands in sooner has mended nothing."""
        return self.is_quiet or self.journal.run.injected_at is not None

    @property
    def is_recovered(self) -> bool:
        """The examiner's last check passed and the broken routes are well again."""
        return self.has_begun and self.journal.final.passed and self.recovered_at is not None

    @cached_property
    def acknowledged_at(self) -> datetime | None:
        """When a person first acknowledged a page or an incident.

        Who acknowledges before there is a page, perhaps all the time, answers none by that: then only
        the acknowledgement of an incident counts.
        """
        if not self.has_begun:
            return None
        paged = next(self.events("page.sent", "incident.opened"), None)
        kinds: tuple[EventKind, ...] = ("page.acknowledged", "incident.acknowledged")
        if paged is not None and any(e.at < paged.at for e in self.from_the_start("page.acknowledged")):
            kinds = ("incident.acknowledged",)
        answers = (event.at for event in self.by_people(*kinds))
        return next((at for at in answers if paged is None or at >= paged.at), None)

    @cached_property
    def recovered_at(self) -> datetime | None:
        """Since when the broken routes are as before, as the examiner's requests say.

        ``None`` where none of them was ever ill, too: who keeps the fault from showing has mended nothing.
        """
        return recovered_at(self.affected) if self.was_ill else None

    def are_served(self, at: datetime) -> bool:
        """Whether customers were served again by then, for good; ``False`` where they always were."""
        return self.recovered_at is not None and at >= self.recovered_at

    @property
    def was_ill(self) -> bool:
        """Whether the examiner's requests met the fault on any route that it breaks."""
        return any(route.was_ill for route in self.affected)

    @property
    def outage_min(self) -> float:
        return outage_min(self.affected)

    def events(self, *kinds: EventKind) -> Iterator[Event]:
        """Events of these kinds from the injection on, by time."""
        began_at = self.clock.began_at
        return (event for event in self.journal.events if event.kind in kinds and event.at >= began_at)

    def from_the_start(self, *kinds: EventKind) -> Iterator[Event]:
        """Events of these kinds from the start of the run on: the healthy minutes are the candidate's too."""
        return (event for event in self.journal.events if event.kind in kinds)

    def by_people(self, *kinds: EventKind) -> Iterator[Event]:
        """Those from the injection on, of people only."""
        return (event for event in self.events(*kinds) if is_person(event.actor))

    def first_s(self, *kinds: EventKind) -> float | None:
        """Seconds from the injection to the first such event."""
        first = next(self.events(*kinds), None)
        return None if first is None else self.clock.elapsed_s(first.at)


Measure = Callable[[Facts, Item], ItemScore]


def scored(item: Item, points: float, reason: str) -> ItemScore:
    """So many of an item's points, to the hundredth."""
    return ItemScore(measure=item.measure, points=round(points, 2) + 0.0, of=item.points, reason=reason)


def share(item: Item, part: float, reason: str) -> ItemScore:
    """A part of an item's points."""
    return scored(item, item.points * part, reason)


def on_time(value: float, *, full: float, zero: float) -> float:
    """1 up to ``full``, 0 from ``zero`` on, evenly in between."""
    return min(1.0, max(0.0, (zero - value) / (zero - full)))


def names(answer: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The different names of an answer, in the order given."""
    given = (answer,) if isinstance(answer, str) else answer or ()
    return tuple(dict.fromkeys(given))


def is_person(actor: str) -> bool:
    return actor not in MACHINES


def spell(seconds: float) -> str:
    """``95`` → ``1 min 35 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
