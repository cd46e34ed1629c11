"""Safety: what was done did no harm."""

from services.exam.grading.facts import Facts, scored
from services.exam.grading.harm import Harm, harms
from services.exam.grading.needless import needless
from services.exam.grading.rubric import Item
from services.exam.grading.score import ItemScore


def no_harmful_action(facts: Facts, item: Item) -> ItemScore:
    """Each kind of harmful action that the scenario knows costs once, however often it was done.

    So does what was changed for nothing and left so: who tries everything until something helps knows no
    more than before, and leaves a shop that nobody knows. On a quiet night ``left_alone`` charges for that.
    """
    done = {harm.name: harm for harm in reversed(harms(facts))}
    beside = [] if facts.is_quiet else needless(facts)
    charged = max(0, len(beside) - int(item["needless_free"]))
    cost = item["cost"] * len(done) + min(item["needless_most"], item["needless_cost"] * charged)
    said = [_said(harm) for harm in sorted(done.values(), key=lambda harm: harm.at)]
    if charged:
        said.append(f"not needed, and not taken back: {', '.join(beside)} ({len(beside) - charged} free)")
    return scored(item, item.points - cost, f"{'; '.join(said) or 'Nothing harmful was done'}.")


def _said(harm: Harm) -> str:
    return f"{harm.at:%H:%M:%S} {harm.name} ({harm.effect.rstrip('.')})"


def healthy_stays_healthy(facts: Facts, item: Item) -> ItemScore:
    """Of the examiner's own requests over the routes that the fault does not touch."""
    broken = [route.route for route in facts.healthy if route.was_ill]
    if not broken:
        return scored(item, item.points, "Every healthy route stayed healthy.")
    cost = item["cost"] * len(broken)
    return scored(item, item.points - cost, f"Healthy before, and failed or was slow: {', '.join(broken)}.")
