"""The journal of a run, put together from everywhere."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scenarios.model import NO_FAULT, Scenario
from services.exam import symptoms
from services.exam.evidence import Bearing, EvidenceChecker
from services.exam.incidents import Incidents
from services.exam.journal import (
    Event,
    EvidenceFinding,
    Journal,
    Probe,
    RouteBaseline,
    RunFacts,
    Submission,
    Verdict,
)
from services.exam.recordings import Recordings
from services.exam.store import RunRow, Runs
from services.exam.timeline import TimelineReader, restarted

NOT_JUDGED = Verdict(passed=False)
"""The verdict on a run that was aborted: nobody looked."""


class Compiler:
    """Puts journals together. Raises ``Unavailable`` while something that it needs is away."""

    def __init__(
        self,
        runs: Runs,
        scenarios: Mapping[str, Scenario],
        *,
        timeline: TimelineReader,
        incidents: Incidents,
        recordings: Recordings,
        evidence: EvidenceChecker,
    ) -> None:
        self._runs = runs
        self._scenarios = scenarios
        self._timeline = timeline
        self._incidents = incidents
        self._recordings = recordings
        self._evidence = evidence

    def events(self, row: RunRow) -> list[Event]:
        """What has happened so far."""
        return self._events(row, self._runs.probes(row.id))

    def journal(self, row: RunRow) -> Journal:
        """Everything about a run that has ended."""
        assert row.started_at is not None
        assert row.ended_at is not None
        self._recordings.record(row)
        probes = self._runs.probes(row.id)
        events = self._events(row, probes)
        opened = [str(e.detail["incident_id"]) for e in events if e.kind == "incident.opened"]
        incidents = self._incidents.details(opened)
        submitted = self._runs.submissions(row.id)
        return Journal(
            run=_facts(row),
            events=tuple(events),
            probes=tuple(probes),
            baseline=usual(row, probes),
            settings={} if row.world is None else row.world["settings"],
            final=NOT_JUDGED if row.final is None else Verdict.model_validate(row.final),
            incidents=tuple(incidents),
            postmortems=self._incidents.postmortems(incidents, until=row.ended_at),
            submissions=tuple(submitted),
            evidence=tuple(self._checked(row, submitted, events)),
            signals=self._recordings.of(row.id).signals,
        )

    def _events(self, row: RunRow, probes: list[Probe]) -> list[Event]:
        own = self._runs.events(row.id)
        if row.started_at is None:
            return own
        before = usual(row, probes)
        found = [
            *own,
            *symptoms.changes(probes, before=before, since=row.injected_at),
            *self._timeline.events(since=row.started_at, until=row.ended_at or row.now),
        ]
        # Those that Prometheus knows still are among the timeline's.
        kept = [restarted(service, at) for service, at in self._recordings.of(row.id).restarts]
        return sorted([*found, *(one for one in kept if one not in found)], key=lambda event: event.at)

    def _checked(
        self, row: RunRow, submitted: list[Submission], events: list[Event]
    ) -> list[EvidenceFinding]:
        """The evidence of the submission that counts: what was found when it came in, it has not lost."""
        if not submitted or not submitted[-1].diagnosis.evidence:
            return []
        last = submitted[-1]
        now = self._findings(row, last, [event for event in events if event.kind == "sql.run"])
        return preferred(self._recordings.findings(row.id, last.number), now)

    def record(self) -> None:
        """Keep what may be gone when the run that is under way ends. Raises ``Unavailable``."""
        row = self._runs.active()
        if row is None or row.started_at is None or not row.is_under_way:
            return
        self._recordings.record(row)
        if row.injected_at is None and self._scenarios[row.scenario].truth.component != NO_FAULT:
            # Nothing can bear on a fault that is still to come.
            return
        unchecked = self._recordings.unchecked(row.id)
        for one in self._runs.submissions(row.id):
            if one.number in unchecked:
                ran = self._timeline.statements(since=row.started_at, until=row.now)
                self._recordings.keep_findings(row.id, one.number, self._findings(row, one, ran))

    def _findings(self, row: RunRow, submitted: Submission, ran: list[Event]) -> list[EvidenceFinding]:
        scenario = self._scenarios[row.scenario]
        bears = scenario.bears_on
        bearing = Bearing(
            services=bears.services,
            paths=[route.partition(" ")[2] for route in scenario.truth.affected],
            relations=bears.relations,
            metrics=bears.metrics,
            since=_broken_since(row, is_quiet=scenario.truth.component == NO_FAULT),
            until=submitted.at,
        )
        return self._evidence.check(submitted.diagnosis.evidence, bearing=bearing, statements=ran)


def usual(row: RunRow, probes: Sequence[Probe]) -> dict[str, RouteBaseline]:
    """How each route was before the fault: as the check at the start found, and the probes until the fault.

    Of the two the better one counts: the minutes before the fault are the candidate's already, and whoever
    makes them slow must not make the outage usual.
    """
    checked = {} if row.world is None else row.world["routes"]
    found = {route: RouteBaseline.model_validate(how) for route, how in checked.items()}
    probed = symptoms.baseline(probes, until=row.injected_at)
    return {route: _better(found.get(route), probed.get(route)) for route in {**found, **probed}}


def _better(*found: RouteBaseline | None) -> RouteBaseline:
    known = [one for one in found if one is not None]
    return RouteBaseline(
        error_ratio=min(one.error_ratio for one in known), p95_ms=min(one.p95_ms for one in known)
    )


def preferred(kept: Sequence[EvidenceFinding], now: Sequence[EvidenceFinding]) -> list[EvidenceFinding]:
    """For each piece what was found first, if it was there then; a log line may arrive late."""
    first = kept or now
    return [before if before.exists else after for before, after in zip(first, now, strict=True)]


def _broken_since(row: RunRow, *, is_quiet: bool) -> datetime:
    """Since when evidence bears: from the fault on, never without one, from the start where there is none."""
    since = row.started_at if is_quiet else row.injected_at
    return since or datetime.max.replace(tzinfo=UTC)


def _facts(row: RunRow) -> RunFacts:
    facts: dict[str, Any] = {name: getattr(row, name) for name in RunFacts.model_fields}
    return RunFacts.model_validate(facts)
