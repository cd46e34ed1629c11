"""Response: whether the page was taken up in time, rated rightly, and is in somebody's hands."""

from datetime import datetime
from typing import Any

from scenarios.model import Scenario
from services.exam.grading.facts import Facts, is_person, on_time, scored, share, spell
from services.exam.grading.rubric import Item
from services.exam.grading.score import ItemScore

SEVERITIES = ("low", "medium", "high", "critical")
MONITORING = "alertmanager"
"""The source of the alerts that the lab's own monitoring sends."""


def acknowledged_in_time(facts: Facts, item: Item) -> ItemScore:
    """Of the first acknowledgement of a page or an incident by a person."""
    if facts.acknowledged_at is None:
        return scored(item, 0, "The page was not acknowledged.")
    took_s = facts.clock.elapsed_s(facts.acknowledged_at)
    part = on_time(took_s / 60, full=item["full_min"], zero=item["zero_min"])
    return share(item, part, f"Acknowledged {spell(took_s)} after the fault.")


def severity(facts: Facts, item: Item) -> ItemScore:
    """Of the severity in the diagnosis."""
    said, right = facts.diagnosis.severity, gravest(facts.scenario)
    if said is None:
        return scored(item, 0, f"The diagnosis gives no severity; it was {right}.")
    off = abs(SEVERITIES.index(said) - SEVERITIES.index(right))
    part = {0: 1.0, 1: item["one_step_share"]}.get(off, 0.0)
    return share(item, part, f"{said} is right." if not off else f"{said} was said; it was {right}.")


def gravest(scenario: Scenario) -> str:
    """The severity of the gravest alert that a scenario expects: that of its incident."""
    expected = [alert.severity for alert in scenario.expected_alerts]
    return max(expected, key=SEVERITIES.index, default="low")


def assignment(facts: Facts, item: Item) -> ItemScore:
    """Half for whose it is, half for that it was moved on."""
    until = facts.clock.ended_at
    is_taken = any(_is_taken(incident, until=until) for incident in facts.journal.incidents)
    is_moved = any(_is_moved(facts, incident) for incident in facts.journal.incidents)
    not_moved = "No person moved one on to in progress, or to resolved once customers were served again."
    said = [
        "An incident is in a person's name." if is_taken else "No person took an incident or gave it away.",
        "A person moved it on." if is_moved else not_moved,
    ]
    return share(item, (is_taken + is_moved) / 2, " ".join(said))


def _is_taken(incident: dict[str, Any], *, until: datetime) -> bool:
    assignee, acknowledged_at = incident.get("assigned_to"), incident.get("acknowledged_at")
    if not assignee:
        return False
    if acknowledged_at and datetime.fromisoformat(acknowledged_at) <= until:
        return bool(assignee == incident["acknowledged_by"]) or _is_given(incident, until=until)
    return _is_given(incident, until=until)


def _is_given(incident: dict[str, Any], *, until: datetime) -> bool:
    return any(step["what"] == "assigned_to" for step in _by_people(incident, until=until))


def _is_moved(facts: Facts, incident: dict[str, Any]) -> bool:
    """Whether somebody works on it or has ended it; what customers still feel is not resolved."""
    return any(
        step.get("to") == "in_progress"
        or (step.get("to") == "resolved" and facts.are_served(datetime.fromisoformat(step["at"])))
        for step in _by_people(incident, until=facts.clock.ended_at)
        if step["what"] == "status"
    )


def _by_people(incident: dict[str, Any], *, until: datetime) -> list[dict[str, str]]:
    """What people did. The incident was read when the run had ended: what came after that counts no more."""
    return [
        step
        for step in incident.get("timeline", [])
        if is_person(step["actor"]) and datetime.fromisoformat(step["at"]) <= until
    ]


def nobody_disturbed(facts: Facts, item: Item) -> ItemScore:
    """On a quiet night: incidents that a person opened, by hand or by an alert, and pages about none."""
    if not facts.says_nothing_is_wrong:
        return scored(item, 0, "The diagnosis does not say that nothing is wrong.")
    # Under what name it was asked for says nothing: anybody can give any.
    told_of = {event.detail.get("incident_id") for event in facts.events("incident.opened", "page.sent")}
    known = {one["id"] for one in facts.journal.incidents if one.get("alerts")}
    by_monitoring = {one["id"] for one in facts.journal.incidents if _is_of_monitoring(one)}
    # A message that lists others has no incident of its own; those that it lists have.
    disturbances = (told_of | known) - by_monitoring - {None}
    if not disturbances:
        return scored(item, item.points, "Nobody was disturbed.")
    cost = item["cost"] * len(disturbances)
    return scored(item, max(0.0, item.points - cost), f"{len(disturbances)} pages or incidents for nothing.")


def _is_of_monitoring(incident: dict[str, Any]) -> bool:
    """Whether any of an incident's alerts is the lab's own monitoring's."""
    return any(alert["source"] == MONITORING for alert in incident.get("alerts", []))


def severity_of_nothing(facts: Facts, item: Item) -> ItemScore:
    """On a quiet night: none, or low."""
    if not facts.says_nothing_is_wrong:
        return scored(item, 0, "The diagnosis does not say that nothing is wrong.")
    said = facts.diagnosis.severity
    if said in (None, "low"):
        return scored(item, item.points, f"Severity {said or 'none'} is right.")
    return scored(item, 0, f"Severity {said} for nothing.")
