"""Journals of runs that never happened, for the tests of grading and of reports."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from scenarios.model import NO_FAULT, Scenario
from services.common.catalog import SERVICES
from services.exam.diagnosis import Diagnosis, Evidence, RuledOut
from services.exam.grading.response import gravest
from services.exam.journal import (
    Check,
    EndedBy,
    Event,
    EventKind,
    EvidenceFinding,
    Journal,
    Probe,
    RouteBaseline,
    RunFacts,
    Series,
    Submission,
    Verdict,
)
from services.exam.prometheus import SIGNALS

STARTED_AT = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
SOAK_S = 60
INJECTED_AT = STARTED_AT + timedelta(seconds=SOAK_S)
PROBE_EVERY_S = 3
RUN_ID = UUID("5f0c2f6e-95a1-4c1b-9d37-1f5a3b0c7e21")
INCIDENT_ID = "0d1b6a0e-6d0f-4a6e-8a38-0b2b5c6d7e8f"
CANDIDATE = "a1"
POSTMORTEM = "\n\n".join(
    f"## {part}\n\n{text}"
    for part, text in (
        ("Summary", "Payments failed for five minutes in the morning."),
        ("Impact", "92 % of the payments were refused, 240 in all."),
        ("Root cause", "The record of the fraud service was left out of the zone."),
        ("Timeline", "- 09:01:00 it began"),
        ("Lessons", "A zone wants a check before it is served."),
        ("Action items", "- [ ] check the zone before it is served"),
    )
)
NOTE = "09:03 payment refuses 92 % of POST /api/payment; looking at the fraud check next"


def after(seconds: float) -> datetime:
    """So many seconds after the injection."""
    return INJECTED_AT + timedelta(seconds=seconds)


def event(at_s: float, kind: EventKind, actor: str = CANDIDATE, /, **detail: Any) -> Event:
    """An event ``at_s`` seconds after the injection."""
    return Event(at=after(at_s), kind=kind, actor=actor, detail=detail)


def true_diagnosis(scenario: Scenario) -> Diagnosis:
    """The answer that scores full."""
    truth = scenario.truth
    others = [service.name for service in SERVICES if service.name != truth.component][:2]
    is_quiet = truth.component == NO_FAULT
    return Diagnosis(
        component=truth.component,
        mechanism=truth.mechanism,
        trigger=truth.trigger,
        affected=truth.affected,
        not_affected=truth.not_affected,
        ruled_out=[RuledOut(component=name, because="it answers as on any other day") for name in others],
        evidence=[
            Evidence(kind="trace", ref="4bf92f3577b34da6a3ce929d0e0e4736"),
            Evidence(kind="metric", ref="service:http_errors:ratio30s"),
            Evidence(kind="query", ref="SELECT count(*) FROM pg_stat_activity"),
        ],
        severity=None if is_quiet else gravest(scenario),
        summary="Looked at errors, latency and load of every route over the last hour.",
        impact="Customers felt what the notes say, from the start to the recovery.",
        mitigation="What the notes say was changed, and nothing beyond it.",
    )


def findings(diagnosis: Diagnosis, *, exists: bool = True, bears: bool = True) -> tuple[EvidenceFinding, ...]:
    return tuple(
        EvidenceFinding(ref=one.ref, kind=one.kind, exists=exists, bears=bears, why="looked up")
        for one in diagnosis.evidence
    )


def probes(
    scenario: Scenario, *, broken_until_s: float, ended_s: float, broken_too: Sequence[str] = ()
) -> tuple[Probe, ...]:
    """A round each three seconds; affected routes fail from the injection until ``broken_until_s``."""
    truth = scenario.truth
    routes = [(route, True) for route in truth.affected] + [(route, False) for route in truth.not_affected]
    found = []
    for at_s in range(-SOAK_S, int(ended_s) + 1, PROBE_EVERY_S):
        for route, affected in routes:
            is_bad = (affected or route in broken_too) and 0 <= at_s < broken_until_s
            found.append(
                Probe(
                    at=after(at_s),
                    route=route,
                    affected=affected,
                    ok=not is_bad,
                    status=503 if is_bad else 200,
                    latency_ms=900.0 if is_bad else 12.0,
                )
            )
    return tuple(found)


def journal(
    scenario: Scenario,
    *,
    diagnosis: Diagnosis | None = None,
    events: Iterable[Event] = (),
    mitigated_s: float | None = None,
    ended_s: float = 1800,
    passed: bool | None = None,
    broken_too: Sequence[str] = (),
    incidents: Sequence[dict[str, Any]] = (),
    postmortems: dict[str, str] | None = None,
    evidence: tuple[EvidenceFinding, ...] | None = None,
    ended_by: EndedBy = "submitted",
) -> Journal:
    """Half an hour in which the shop was well again ``mitigated_s`` after the fault, or not at all."""
    is_quiet = scenario.truth.component == NO_FAULT
    if passed is None:
        passed = is_quiet or mitigated_s is not None
    broken_until_s = ended_s + 1 if mitigated_s is None else mitigated_s
    routes = (*scenario.truth.affected, *scenario.truth.not_affected)
    submissions = [Submission(at=after(ended_s), number=1, diagnosis=diagnosis)] if diagnosis else []
    if evidence is None:
        evidence = findings(diagnosis) if diagnosis else ()
    return Journal(
        run=RunFacts(
            id=RUN_ID,
            scenario=scenario.name,
            seed=7,
            candidate=CANDIDATE,
            minutes=45,
            blind=True,
            created_at=STARTED_AT,
            started_at=STARTED_AT,
            injected_at=INJECTED_AT,
            ended_at=after(ended_s),
            ended_by=ended_by,
        ),
        events=tuple(sorted(events, key=lambda one: one.at)),
        probes=probes(scenario, broken_until_s=broken_until_s, ended_s=ended_s, broken_too=broken_too),
        baseline={route: RouteBaseline(error_ratio=0.0, p95_ms=20.0) for route in routes},
        final=Verdict(
            passed=passed, checks=(Check(name="affected routes", ok=passed, detail="12 of 12 answered"),)
        ),
        incidents=tuple(incidents),
        postmortems=postmortems or {},
        submissions=tuple(submissions),
        evidence=evidence,
    )


def perfect(scenario: Scenario, **changes: Any) -> Journal:
    """A run as it should be; ``changes`` are those of ``journal``, ``more`` are further events."""
    more = changes.pop("more", ())
    if scenario.truth.component == NO_FAULT:
        events = [event(120, "update.posted", text="All routes answer as they did an hour ago.")]
        return journal(
            scenario, **{"diagnosis": true_diagnosis(scenario), "events": [*events, *more], **changes}
        )
    given = {
        "diagnosis": true_diagnosis(scenario),
        "events": [*_worked_through(), *more],
        "mitigated_s": 171,
        "ended_s": 600,
        "incidents": [_incident()],
        "postmortems": {INCIDENT_ID: POSTMORTEM},
    }
    return journal(scenario, **{**given, **changes})


def _worked_through() -> list[Event]:
    return [
        event(35, "alert.fired", "prometheus", alertname="PaymentHighErrorRatio", service="payment"),
        event(36, "incident.opened", "alert-ingestion", incident_id=INCIDENT_ID, service="payment"),
        event(37, "page.sent", "notification-service", incident_id=INCIDENT_ID, recipient="ana"),
        event(80, "page.acknowledged", incident_id=INCIDENT_ID),
        event(81, "incident.acknowledged", incident_id=INCIDENT_ID),
        event(100, "update.posted", text="Payments fail since 09:01; the next update comes at 09:15."),
        event(130, "note.added", incident_id=INCIDENT_ID, text=NOTE),
        event(150, "sql.run", statement="SELECT count(*) FROM pg_stat_activity", error=None),
        event(168, "setting.changed", service="payment", setting="breaker", old=None, new="on"),
        event(400, "incident.changed", incident_id=INCIDENT_ID, what="status", to="resolved"),
    ]


def _incident() -> dict[str, Any]:
    return {
        "id": INCIDENT_ID,
        "service": "payment",
        "severity": "critical",
        "status": "resolved",
        "title": "92 % of payment's requests fail",
        "assigned_to": CANDIDATE,
        "acknowledged_by": CANDIDATE,
        "acknowledged_at": after(81).isoformat(),
        "resolved_at": after(400).isoformat(),
        "has_postmortem": True,
        "timeline": [
            {
                "at": after(90).isoformat(),
                "actor": CANDIDATE,
                "what": "status",
                "from": "open",
                "to": "in_progress",
            },
        ],
    }


def with_signals(one: Journal) -> Journal:
    """The same with a golden signal of each kind for three services."""
    times = [STARTED_AT.timestamp() + 5 * n for n in range(132)]
    since, until = INJECTED_AT.timestamp(), INJECTED_AT.timestamp() + 240
    heights = {"ratio": 0.62, "s": 2.1, "requests/s": 4.0}
    shapes = [(name, unit, heights[unit]) for name, unit, _ in SIGNALS]
    return one.model_copy(
        update={
            "signals": tuple(
                Series(
                    name=name,
                    service=service,
                    unit=unit,
                    points=tuple((at, high if since < at < until else high / 20) for at in times),
                )
                for service in ("gateway", "payment", "inventory")
                for name, unit, high in shapes
            )
        }
    )
