"""The report of one run: an HTML file without anything outside it, and a JSON file."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scenarios.model import NO_FAULT, Scenario
from services.exam.diagnosis import Diagnosis
from services.exam.grading.facts import names
from services.exam.grading.rubric import Rubric
from services.exam.grading.score import Score
from services.exam.journal import Journal, Series
from services.exam.report.charts import signal_chart, timeline_chart
from services.exam.report.marks import marks
from services.exam.report.words import KINDS, duration, points, said

FOLDER = Path(__file__).parent / "templates"
TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"duration": duration, "points": points}


def style() -> str:
    """The style sheet that every report carries."""
    return (FOLDER / "style.css").read_text(encoding="utf-8")


def as_html(scenario: Scenario, rubric: Rubric, journal: Journal, score: Score) -> str:
    """The report as one file: style and charts are in it, scripts there are none."""
    shown = marks(scenario, journal, score)
    is_quiet = scenario.truth.component == NO_FAULT
    items = [item for one in rubric.criteria for item in (one.quiet if is_quiet else one.fault)]
    return TEMPLATES.get_template("report.html.j2").render(
        style=Markup(style()),  # noqa: S704 (ours)
        scenario=scenario,
        run=journal.run,
        journal=journal,
        score=score,
        marks=shown,
        explanations={item.measure: item.explanation for item in items},
        answers=_answers(scenario, journal),
        diagnosis=_last(journal),
        timeline=timeline_chart(journal, shown, words=KINDS),
        signals=[
            (service, [{"svg": signal_chart(one, journal, shown), "caption": one.name} for one in group])
            for service, group in _by_service(journal.signals)
        ],
        events=[(event, KINDS[event.kind], said(event)) for event in journal.events],
        began_at=journal.run.injected_at or journal.run.started_at,
        since=_since,
    )


def as_json(scenario: Scenario, rubric: Rubric, journal: Journal, score: Score) -> dict[str, Any]:
    """The same for programs: score, truth, marks and the whole journal, which can be graded again."""
    return {
        "score": score.model_dump(mode="json"),
        "rubric": rubric.model_dump(mode="json"),
        "scenario": {"name": scenario.name, "title": scenario.title, "difficulty": scenario.difficulty},
        "truth": scenario.truth.model_dump(mode="json"),
        "strong_path": list(scenario.strong_path),
        "debrief": scenario.debrief,
        "marks": [{"name": mark.name, "at": mark.at.isoformat()} for mark in marks(scenario, journal, score)],
        "journal": journal.model_dump(mode="json"),
    }


def _last(journal: Journal) -> Diagnosis | None:
    return max(journal.submissions, key=lambda one: one.number).diagnosis if journal.submissions else None


def _answers(scenario: Scenario, journal: Journal) -> list[tuple[str, str, str]]:
    """What was asked, what was answered and what is true."""
    given, truth = _last(journal) or Diagnosis(), scenario.truth
    return [
        ("Component", _listed(names(given.component)), truth.component),
        ("Mechanism", _listed(names(given.mechanism)), truth.mechanism),
        ("Trigger", _listed(names(given.trigger)), truth.trigger),
        ("Broken routes", _listed(given.affected), _listed(truth.affected)),
        ("Healthy routes", _listed(given.not_affected), _listed(truth.not_affected)),
        ("Ruled out", _listed(f"{one.component}: {one.because}" for one in given.ruled_out), ""),
        ("Summary", given.summary, truth.explained),
        ("Impact", given.impact, ""),
        ("Mitigation", given.mitigation, ""),
    ]


def _listed(values: Iterable[str]) -> str:
    return "\n".join(values)


def _by_service(signals: Iterable[Series]) -> list[tuple[str, list[Series]]]:
    groups: dict[str, list[Series]] = {}
    for one in signals:
        groups.setdefault(one.service, []).append(one)
    return list(groups.items())


def _since(at: datetime, began_at: datetime) -> str:
    return duration((at - began_at).total_seconds())
