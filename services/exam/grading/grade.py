"""The grade: every item of the rubric, measured."""

from collections.abc import Mapping

from scenarios.model import Scenario
from services.exam.grading import communication, diagnosis, mitigation, response, safety
from services.exam.grading.facts import Facts, Measure
from services.exam.grading.mitigation import budget_min
from services.exam.grading.probes import Limits
from services.exam.grading.rubric import Criterion, Item, Rubric
from services.exam.grading.score import CriterionScore, HintCost, Score, Times
from services.exam.journal import Journal

MEASURES: Mapping[str, Measure] = {
    measure.__name__: measure
    for measure in (
        response.acknowledged_in_time,
        response.severity,
        response.assignment,
        response.nobody_disturbed,
        response.severity_of_nothing,
        diagnosis.component,
        diagnosis.mechanism,
        diagnosis.trigger,
        diagnosis.affected_routes,
        diagnosis.healthy_routes,
        diagnosis.ruled_out,
        diagnosis.evidence,
        diagnosis.nothing_affected,
        mitigation.recovered,
        mitigation.recovered_in_time,
        mitigation.error_budget,
        mitigation.left_alone,
        safety.no_harmful_action,
        safety.healthy_stays_healthy,
        communication.status_updates,
        communication.notes,
        communication.any_update,
        communication.summary,
        communication.postmortem,
        communication.handover,
    )
}
"""What a rubric's items can name."""


def grade(scenario: Scenario, rubric: Rubric, journal: Journal) -> Score:
    """Score one run.

    Raises ``KeyError`` for a rubric that names a measure or a parameter that there is not.
    """
    limits = _item(rubric, "recovered")
    facts = Facts(scenario, journal, Limits(limits["latency_factor"], limits["latency_slack_ms"]))
    criteria = tuple(_criterion(one, facts) for one in rubric.criteria)
    hints = tuple(_hints(facts))
    earned = sum(one.points for one in criteria) - sum(one.price for one in hints)
    return Score(
        run=journal.run.id,
        scenario=scenario.name,
        candidate=journal.run.candidate,
        points=round(max(0.0, earned), 1),
        of=sum(one.points for one in rubric.criteria),
        criteria=criteria,
        hints=hints,
        times=_times(facts, budget_min(_item(rubric, "error_budget"))),
    )


def _item(rubric: Rubric, measure: str) -> Item:
    """The item of that measure; ``KeyError`` if the rubric has none."""
    return {item.measure: item for criterion in rubric.criteria for item in criterion.fault}[measure]


def _criterion(criterion: Criterion, facts: Facts) -> CriterionScore:
    items = criterion.quiet if facts.is_quiet else criterion.fault
    scores = tuple(MEASURES[item.measure](facts, item) for item in items)
    return CriterionScore(
        name=criterion.name,
        title=criterion.title,
        points=round(max(criterion.floor, sum(one.points for one in scores)), 2),
        of=criterion.points,
        items=scores,
    )


def _hints(facts: Facts) -> list[HintCost]:
    taken = [event.detail for event in facts.journal.events if event.kind == "hint.taken"]
    return [HintCost.model_validate({name: one[name] for name in ("number", "price")}) for one in taken]


def _times(facts: Facts, allowed_min: float) -> Times:
    recovered_at = facts.recovered_at if facts.is_recovered and not facts.is_quiet else None
    resolved = [incident.get("resolved_at") for incident in facts.journal.incidents]
    return Times(
        detect_s=facts.first_s("alert.fired"),
        page_s=facts.first_s("page.sent"),
        acknowledge_s=None if facts.acknowledged_at is None else facts.clock.elapsed_s(facts.acknowledged_at),
        mitigate_s=None if recovered_at is None else facts.clock.elapsed_s(recovered_at),
        resolve_s=_resolve_s(facts) if resolved and all(resolved) else None,
        outage_min=round(facts.outage_min, 2),
        budget_burned=round(facts.outage_min / allowed_min, 4),
    )


def _resolve_s(facts: Facts) -> float | None:
    """When the last incident was resolved, as its timeline says."""
    moments = [
        facts.clock.elapsed_s(event.at)
        for event in facts.events("incident.changed")
        if event.detail.get("what") == "status" and event.detail.get("to") == "resolved"
    ]
    return max(moments, default=None)
