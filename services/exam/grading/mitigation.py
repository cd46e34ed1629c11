"""Mitigation: whether customers are served again, and how long they were not."""

from services.exam.grading.facts import Facts, is_person, on_time, scored, share, spell
from services.exam.grading.harm import changes_something
from services.exam.grading.rubric import Item
from services.exam.grading.score import ItemScore

MINUTES_A_DAY = 24 * 60


def recovered(facts: Facts, item: Item) -> ItemScore:
    """The last check gates; the grader's own requests say for how long it holds."""
    if not facts.has_begun:
        return scored(item, 0, "The run ended before anything was broken.")
    failed = [check for check in facts.journal.final.checks if not check.ok]
    if not facts.journal.final.passed:
        said = "; ".join(f"{check.name}: {check.detail}" for check in failed[:3]) or "see the checks"
        return scored(item, 0, f"The last check failed: {said}.")
    if not facts.was_ill:
        return scored(item, 0, "No request met the fault, so there was nothing to mend.")
    since = facts.recovered_at
    if since is None:
        return scored(item, 0, "The broken routes were still failing or slow at the end.")
    held_s = facts.clock.elapsed_s(facts.clock.ended_at) - facts.clock.elapsed_s(since)
    if held_s < item["stable_s"]:
        return share(item, item["shaky_share"], f"Back to normal, but for {spell(held_s)} only.")
    return scored(item, item.points, f"Back to normal for the last {spell(held_s)}.")


def recovered_in_time(facts: Facts, item: Item) -> ItemScore:
    """From the injection to the recovery."""
    since = facts.recovered_at
    if not facts.is_recovered or since is None:
        return scored(item, 0, "It was not back to normal.")
    took_s = facts.clock.elapsed_s(since)
    part = on_time(took_s / 60, full=item["full_min"], zero=item["zero_min"])
    return share(item, part, f"Back to normal {spell(took_s)} after the fault.")


def error_budget(facts: Facts, item: Item) -> ItemScore:
    """Of the outage, which a half working mitigation shortens, too."""
    if not facts.is_recovered:
        return scored(item, 0, "It was not back to normal.")
    part = on_time(facts.outage_min, full=item["full_min"], zero=item["zero_min"])
    burned = facts.outage_min / budget_min(item)
    said = f"{facts.outage_min:.1f} minutes of outage: {burned:.1%} of the budget of {item['days']:g} days"
    return share(item, part, f"{said} at {item['slo']:.1%}.")


def budget_min(item: Item) -> float:
    """Minutes of outage that the objective allows."""
    return (1 - item["slo"]) * item["days"] * MINUTES_A_DAY


def left_alone(facts: Facts, item: Item) -> ItemScore:
    """On a quiet night: whatever was changed, was changed for nothing."""
    if not facts.says_nothing_is_wrong:
        return scored(item, 0, "The diagnosis does not say that nothing is wrong.")
    if not facts.journal.final.passed:
        return scored(item, 0, "The shop was well before, and was not at the end.")
    changes = [
        event
        for event in facts.from_the_start("setting.changed", "record.changed", "service.restarted", "sql.run")
        if is_person(event.actor) and changes_something(event)
    ]
    if not changes:
        return scored(item, item.points, "Nothing was changed.")
    cost = item["cost"] * len(changes)
    return scored(item, max(0.0, item.points - cost), f"{len(changes)} changes where nothing was wrong.")
