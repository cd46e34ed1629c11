"""Diagnosis: what is claimed against what is true. Leaving out is free, being wrong is not."""

from collections import Counter
from collections.abc import Iterable, Mapping

from services.common.catalog import steps_between
from services.exam.diagnosis import NOTHING, identity
from services.exam.grading.facts import Facts, names, scored, share
from services.exam.grading.rubric import Item
from services.exam.grading.score import ItemScore

LEAST = -0.5
"""No answer costs more than half of what it could have brought."""


def component(facts: Facts, item: Item) -> ItemScore:
    """Partial credit by distance in the graph of dependencies."""
    truth = facts.scenario.truth.component
    near = {0: 1.0, 1: item["next_to_it"], 2: item["two_steps"]}
    return _named(item, facts.diagnosis.component, truth, credits_by_steps=near)


def mechanism(facts: Facts, item: Item) -> ItemScore:
    return _named(item, facts.diagnosis.mechanism, facts.scenario.truth.mechanism)


def trigger(facts: Facts, item: Item) -> ItemScore:
    return _named(item, facts.diagnosis.trigger, facts.scenario.truth.trigger)


def _named(
    item: Item,
    answer: str | tuple[str, ...] | None,
    truth: str,
    *,
    credits_by_steps: Mapping[int, float] | None = None,
) -> ItemScore:
    """A name or several against the one that is true."""
    given = names(answer)
    if not given:
        return scored(item, 0, f"Not answered; it was {truth}.")
    best = max(_credit(item, name, truth, credits_by_steps) for name in given)
    part = best / len(given) if best > 0 else best
    part = max(LEAST, part - item["each_further"] * (len(given) - 1))
    if given == (truth,):
        return share(item, part, f"{truth} is right.")
    listed = ", ".join(given)
    if truth in given:
        return share(item, part, f"{truth} is right, but it was one of {len(given)} answers: {listed}.")
    return share(item, part, f"Answered: {listed}; it was {truth}.")


def _credit(item: Item, name: str, truth: str, credits_by_steps: Mapping[int, float] | None) -> float:
    if name == truth:
        return 1.0
    if credits_by_steps is None or NOTHING in (name, truth):
        return item["wrong"]
    steps = steps_between(name, truth)
    return item["wrong"] if steps is None else credits_by_steps.get(steps, item["wrong"])


def affected_routes(facts: Facts, item: Item) -> ItemScore:
    """Routes that the scenario says nothing about count neither way."""
    truth = facts.scenario.truth
    said = set(facts.diagnosis.affected)
    hits, wrong = said & set(truth.affected), said & set(truth.not_affected)
    if not said:
        return scored(item, 0, f"No route was named; broken were {_listed(truth.affected)}.")
    part = len(hits) / len(truth.affected)
    if wrong:
        part -= item["wrong_weight"] * len(wrong) / len(truth.not_affected)
    reason = f"{len(hits)} of {len(truth.affected)} broken routes named"
    reason += f"; healthy, but named: {_listed(wrong)}." if wrong else "."
    return share(item, max(LEAST, part), reason)


def healthy_routes(facts: Facts, item: Item) -> ItemScore:
    """The mirror image; a few are enough."""
    truth = facts.scenario.truth
    said = set(facts.diagnosis.not_affected)
    hits, wrong = said & set(truth.not_affected), said & set(truth.affected)
    enough = min(int(item["enough"]), len(truth.not_affected))
    part = min(1.0, len(hits) / enough) if enough else 0.0
    if wrong:
        part -= item["wrong_weight"] * len(wrong) / len(truth.affected)
    reason = f"{len(hits)} healthy routes named"
    reason += f"; broken, but named as healthy: {_listed(wrong)}." if wrong else "."
    return share(item, max(LEAST, part), reason)


def ruled_out(facts: Facts, item: Item) -> ItemScore:
    """A reason is asked for; whether it is a good one is for the debrief."""
    truth = facts.scenario.truth.component
    reasoned = {
        one.component
        for one in facts.diagnosis.ruled_out
        if len(one.because.strip()) >= item["least_characters"]
    }
    if truth in {one.component for one in facts.diagnosis.ruled_out}:
        return share(item, item["wrong"], f"{truth} was ruled out, and was the one.")
    right = reasoned - {NOTHING}
    reason = f"Ruled out with a reason: {_listed(right) or 'nothing'}."
    return share(item, min(1.0, len(right) / item["enough"]), reason)


def evidence(facts: Facts, item: Item) -> ItemScore:
    """Of what the examiner's service found out about each reference of the last submission."""
    found = {(one.kind, identity(one.kind, one.ref)): one for one in facts.journal.evidence}.values()
    if not found:
        return scored(item, 0, "No evidence was given.")
    bearing = [one for one in found if one.exists and (one.bears or facts.is_quiet)]
    unchecked = sum(not one.checked for one in found)
    absent = sum(one.checked and not one.exists for one in found)
    beside = len(found) - len(bearing) - absent - unchecked
    part = min(1.0, len(bearing) / item["enough"])
    kinds = Counter(one.kind for one in bearing)
    if len(kinds) < item["kinds"]:
        part *= item["alone_share"]
    part += item["absent"] * absent + item["beside"] * beside
    reason = f"{len(bearing)} of {len(found)} references bear on it, of {len(kinds)} kinds"
    reason += f"; {absent} do not exist" if absent else ""
    reason += f"; {unchecked} could not be checked and count neither way" if unchecked else ""
    reason += f"; {beside} do not bear on it." if beside else "."
    return share(item, max(LEAST, part), reason)


def nothing_affected(facts: Facts, item: Item) -> ItemScore:
    """On a quiet night: no route."""
    named = facts.diagnosis.affected
    if named:
        return share(item, item["wrong"], f"Nothing was broken, but named: {_listed(named)}.")
    if not facts.says_nothing_is_wrong:
        return scored(item, 0, "The diagnosis does not say that nothing is wrong.")
    return scored(item, item.points, "No route was named as broken.")


def _listed(routes: Iterable[str]) -> str:
    return ", ".join(sorted(routes))
