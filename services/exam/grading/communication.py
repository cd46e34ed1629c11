"""Communication and wrap-up: whether others could have known. By the rubric's rules, not by taste."""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from services.exam.grading.facts import Facts, scored, share, spell
from services.exam.grading.rubric import Item
from services.exam.grading.score import ItemScore
from services.exam.grading.wording import IN_NOTES

POSTMORTEM_PARTS = ("Summary", "Impact", "Root cause", "Lessons", "Action items")
_UNWRITTEN = "_Not written yet._"


class _Note(NamedTuple):
    elapsed_s: float
    text: str


def status_updates(facts: Facts, item: Item) -> ItemScore:
    """How late each one was, together; until recovery, or the end where there was none."""
    posted = _updates(facts, least=item["least_characters"])
    if not posted:
        return scored(item, 0, "No status update was posted.")
    ended_s = facts.clock.elapsed_s(facts.clock.ended_at)
    until_s = facts.clock.elapsed_s(facts.recovered_at) if facts.recovered_at else ended_s
    late_s = _late_s(posted, until_s=until_s, first_s=item["first_min"] * 60, every_s=item["every_min"] * 60)
    part = max(0.0, 1 - late_s / (item["every_min"] * 60))
    said = f"{spell(late_s)} late in all" if late_s else "in time"
    return share(item, part, f"{len(posted)} status update{'s'[: len(posted) > 1]}, {said}.")


def _updates(facts: Facts, *, least: float) -> list[float]:
    """When updates that say something were posted, in seconds from the injection."""
    return [
        facts.clock.elapsed_s(event.at)
        for event in facts.events("update.posted")
        if len(str(event.detail.get("text", "")).strip()) >= least
    ]


def _late_s(posted: Sequence[float], *, until_s: float, first_s: float, every_s: float) -> float:
    """The first is due whether customers are served again or not, each further one until they are."""
    late_s = max(0.0, posted[0] - first_s)
    for before_s, at_s in pairwise(posted):
        late_s += max(0.0, min(at_s, until_s) - before_s - every_s)
    return late_s + max(0.0, until_s - posted[-1] - every_s)


def notes(facts: Facts, item: Item) -> ItemScore:
    """What the notes say between them, by signs of it."""
    written = _notes(facts)
    if not written:
        return scored(item, 0, "No note was written.")
    in_time = any(note.elapsed_s <= item["first_min"] * 60 for note in written)
    has = {f"a note within {item['first_min']:g} minutes": in_time} | {
        what: any(found(note.text) for note in written) for what, found in IN_NOTES.items()
    }
    missing = [what for what, is_there in has.items() if not is_there]
    part = sum(has.values()) / len(has)
    return share(
        item, part, f"Missing: {'; '.join(missing)}." if missing else "The notes say all that is asked."
    )


def _notes(facts: Facts) -> list[_Note]:
    return [
        _Note(facts.clock.elapsed_s(event.at), str(event.detail.get("text", "")))
        for event in facts.by_people("note.added")
    ]


def any_update(facts: Facts, item: Item) -> ItemScore:
    """On a quiet night one is enough."""
    if not facts.says_nothing_is_wrong:
        return scored(item, 0, "The diagnosis does not say that nothing is wrong.")
    if not _updates(facts, least=item["least_characters"]):
        return scored(item, 0, "No status update was posted.")
    return scored(item, item.points, "A status update was posted.")


def summary(facts: Facts, item: Item) -> ItemScore:
    """On a quiet night: what was looked at, in the diagnosis."""
    if not facts.says_nothing_is_wrong:
        return scored(item, 0, "The diagnosis does not say that nothing is wrong.")
    if len(facts.diagnosis.summary.strip()) < item["least_characters"]:
        return scored(item, 0, "The diagnosis has no summary to speak of.")
    return scored(item, item.points, "The diagnosis has a summary.")


def postmortem(facts: Facts, item: Item) -> ItemScore:
    """Of the fullest one, if there are several, that was written when it was over."""
    if not facts.journal.postmortems:
        return scored(item, 0, "No postmortem was written.")
    written = [
        _parts(markdown, least=item["least_characters"])
        for incident_id, markdown in facts.journal.postmortems.items()
        if facts.are_served(_written_at(facts, incident_id))
    ]
    if not written:
        return scored(item, 0, "It was written before customers were served again.")
    best = max(written, key=len)
    missing = [part for part in POSTMORTEM_PARTS if part not in best]
    reason = f"Missing: {', '.join(missing)}." if missing else "The postmortem has all its parts."
    return share(item, len(best) / len(POSTMORTEM_PARTS), reason)


def _written_at(facts: Facts, incident_id: str) -> datetime:
    """When a postmortem was last written to; at the end of the run, where its incident does not say."""
    ended_at = facts.clock.ended_at
    steps = [step for one in facts.journal.incidents if one["id"] == incident_id for step in one["timeline"]]
    written = [datetime.fromisoformat(step["at"]) for step in steps if step["what"] == "postmortem"]
    return max((at for at in written if at <= ended_at), default=ended_at)


def _parts(markdown: str, *, least: float) -> set[str]:
    """The parts that somebody has written."""
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", markdown, re.MULTILINE | re.DOTALL))
    return {
        part
        for part in POSTMORTEM_PARTS
        if (text := sections.get(part, "").strip()) != _UNWRITTEN and len(text) >= least
    }


def handover(facts: Facts, item: Item) -> ItemScore:
    """On a quiet night: impact and mitigation, in words."""
    if not facts.says_nothing_is_wrong:
        return scored(item, 0, "The diagnosis does not say that nothing is wrong.")
    texts = (facts.diagnosis.impact, facts.diagnosis.mitigation)
    written = sum(len(text.strip()) >= item["least_characters"] for text in texts)
    return share(item, written / len(texts), f"{written} of impact and mitigation are written.")
