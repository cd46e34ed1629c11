"""The journal of a run, put together from everywhere."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scenarios.model import Scenario
from services.exam import symptoms
from services.exam.evidence import Bearing, EvidenceChecker
from services.exam.incidents import Incidents
from services.exam.journal import Event, EvidenceFinding, Journal, Probe, RunFacts, Submission, Verdict
from services.exam.prometheus import Prometheus
from services.exam.store import RunRow, Runs
from services.exam.timeline import TimelineReader

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
        prometheus: Prometheus,
        evidence: EvidenceChecker,
    ) -> None:
        self._runs = runs
        self._scenarios = scenarios
        self._timeline = timeline
        self._incidents = incidents
        self._prometheus = prometheus
        self._evidence = evidence

    def events(self, row: RunRow) -> list[Event]:
        """What has happened so far."""
        return self._events(row, self._runs.probes(row.id))

    def journal(self, row: RunRow) -> Journal:
        """Everything about a run that has ended."""
        assert row.started_at is not None
        assert row.ended_at is not None
        probes = self._runs.probes(row.id)
        events = self._events(row, probes)
        opened = [str(e.detail["incident_id"]) for e in events if e.kind == "incident.opened"]
        incidents = self._incidents.details(opened)
        submitted = self._runs.submissions(row.id)
        return Journal(
            run=_facts(row),
            events=tuple(events),
            probes=tuple(probes),
            baseline=symptoms.baseline(probes, until=row.injected_at),
            final=NOT_JUDGED if row.final is None else Verdict.model_validate(row.final),
            incidents=tuple(incidents),
            postmortems=self._incidents.postmortems(incidents),
            submissions=tuple(submitted),
            evidence=tuple(self._checked(row, submitted, events)),
            signals=tuple(self._prometheus.golden_signals(since=row.started_at, until=row.ended_at)),
        )

    def _events(self, row: RunRow, probes: list[Probe]) -> list[Event]:
        own = self._runs.events(row.id)
        if row.started_at is None:
            return own
        before = symptoms.baseline(probes, until=row.injected_at)
        found = [
            *own,
            *symptoms.changes(probes, before=before, since=row.injected_at),
            *self._timeline.events(since=row.started_at, until=row.ended_at or row.now),
        ]
        return sorted(found, key=lambda event: event.at)

    def _checked(
        self, row: RunRow, submitted: list[Submission], events: list[Event]
    ) -> list[EvidenceFinding]:
        """The evidence of the submission that counts."""
        if not submitted or not submitted[-1].diagnosis.evidence:
            return []
        bears = self._scenarios[row.scenario].bears_on
        bearing = Bearing(
            services=bears.services,
            relations=bears.relations,
            metrics=bears.metrics,
            since=_broken_since(row),
            until=submitted[-1].at,
        )
        ran = [event for event in events if event.kind == "sql.run"]
        return self._evidence.check(submitted[-1].diagnosis.evidence, bearing=bearing, statements=ran)


def _broken_since(row: RunRow) -> datetime:
    since = row.injected_at or row.started_at
    assert since is not None
    return since


def _facts(row: RunRow) -> RunFacts:
    facts: dict[str, Any] = {name: getattr(row, name) for name in RunFacts.model_fields}
    return RunFacts.model_validate(facts)
