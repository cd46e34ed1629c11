"""The report: one file each, complete, and nothing that a candidate typed becomes markup."""

import json
import re
from html import unescape
from html.parser import HTMLParser
from io import StringIO
from typing import get_args
from xml.etree import ElementTree

import pytest
from rich.console import Console

from scenarios.model import Scenario, load_all
from services.exam.diagnosis import Diagnosis
from services.exam.grading import Score, grade
from services.exam.grading.rubric import load
from services.exam.journal import EventKind, Journal
from services.exam.report import Graded, as_html, as_json, compare_html, compare_table
from services.exam.report.compare import compared
from services.exam.report.marks import marks
from services.exam.report.words import KINDS, duration
from tests.journals import after, event, journal, perfect, with_signals

SCENARIOS = load_all()
DNS, QUIET = SCENARIOS["payment-dns"], SCENARIOS["quiet-night"]
RUBRIC = load()
WIDEST_SIGN = 6
"""Pixels of a letter beside an axis; digits are narrower."""
LOADS_FROM_ELSEWHERE = re.compile(r"<(script|link|img|iframe)\b|@import|url\(", re.IGNORECASE)


def graded(scenario: Scenario, run: Journal) -> Score:
    return grade(scenario, RUBRIC, run)


def page(scenario: Scenario, run: Journal) -> str:
    return as_html(scenario, RUBRIC, run, graded(scenario, run))


class _Balance(HTMLParser):
    """Knows the elements that are open; an end tag that fits none fails the test."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda one: one.name)
def test_a_report_is_one_whole_page_with_score_truth_and_path(scenario: Scenario) -> None:
    html = page(scenario, with_signals(perfect(scenario)))

    parser = _Balance()
    parser.feed(html)
    assert parser.open == []
    assert not LOADS_FROM_ELSEWHERE.search(html)
    assert all(criterion.title in html for criterion in RUBRIC.criteria)
    shown = unescape(html)
    assert scenario.truth.component in html
    assert scenario.truth.explained in shown
    assert scenario.debrief in shown
    assert all(step in shown for step in scenario.strong_path)
    assert html.count("<svg") == 1 + 9


def test_every_item_stands_there_with_its_reason() -> None:
    run = journal(DNS, diagnosis=Diagnosis(component="payment"))

    html = page(DNS, run)

    for criterion in graded(DNS, run).criteria:
        for item in criterion.items:
            assert item.reason in html.replace("&#39;", "'")


@pytest.mark.parametrize(("scenario", "night"), [(DNS, "fault"), (QUIET, "quiet")])
def test_an_item_is_explained_by_the_rubric_of_its_kind_of_night(scenario: Scenario, night: str) -> None:
    html = unescape(page(scenario, perfect(scenario)))

    [diagnosis] = [one for one in RUBRIC.criteria if one.name == "diagnosis"]
    [component] = [item for item in getattr(diagnosis, night) if item.measure == "component"]
    assert f'title="{component.explanation}">component<' in html


def test_what_a_candidate_typed_stays_text() -> None:
    evil = "<script>alert(1)</script>"
    run = perfect(DNS, more=[event(50, "update.posted", text=evil), event(51, "note.added", evil, text=evil)])
    run = run.model_copy(update={"run": run.run.model_copy(update={"candidate": evil})})

    html = page(DNS, run) + compare_html([Graded(run.run, graded(DNS, run))])

    assert evil not in html
    assert "&lt;script&gt;" in html


def test_charts_are_well_formed_and_within_their_frame() -> None:
    html = page(DNS, with_signals(perfect(DNS)))

    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        root = ElementTree.fromstring(drawing)
        width = float(root.attrib["viewBox"].split()[2])
        places = [
            float(e.attrib[name]) for e in root.iter() for name in ("x1", "x2", "cx") if name in e.attrib
        ]
        assert all(0 <= x <= width for x in places)
        for text in root.iterfind(".//{*}text"):
            if text.attrib.get("text-anchor") == "end":
                assert float(text.attrib["x"]) >= WIDEST_SIGN * len(text.text or ""), text.text


def test_the_marks_are_fault_page_acknowledgement_mitigation_and_recovery() -> None:
    run = perfect(DNS)

    found = [(mark.name, mark.at) for mark in marks(DNS, run, graded(DNS, run))]

    assert found == [
        ("fault", after(0)),
        ("page", after(37)),
        ("acknowledged", after(80)),
        ("mitigation", after(168)),
        ("recovered", after(171)),
    ]


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELECT count(*) FROM payment.transactions", None),
        ("SELECT query FROM pg_stat_activity WHERE query LIKE '%pg_terminate_backend%'", None),
        ("CREATE INDEX by_key ON profile.nothing (id)", 'relation "profile.nothing" does not exist'),
    ],
)
def test_who_only_looks_or_fails_has_not_mitigated(statement: str, error: str | None) -> None:
    look = event(170, "sql.run", statement=statement, error=error, code="42P01" if error else None)
    mend = event(
        169, "sql.run", statement="-- ends it\nSELECT pg_terminate_backend(42)", error=None, code=None
    )
    run = perfect(DNS, more=[mend, look])

    assert ("mitigation", after(169)) in [(mark.name, mark.at) for mark in marks(DNS, run, graded(DNS, run))]


def test_a_run_that_ended_before_the_fault_has_none_to_mark() -> None:
    run = journal(DNS, diagnosis=Diagnosis())
    run = run.model_copy(update={"run": run.run.model_copy(update={"injected_at": None})})

    assert marks(DNS, run, graded(DNS, run)) == []


def test_slow_answers_are_red_in_the_timeline_like_failed_ones() -> None:
    run = perfect(DNS)
    well = run.model_copy(update={"probes": tuple(p for p in run.probes if p.ok)})
    slow = well.model_copy(
        update={"probes": tuple(p.model_copy(update={"latency_ms": 2000.0}) for p in well.probes)}
    )

    assert 'class="bad"' not in page(DNS, well)
    assert 'class="bad"' in page(DNS, slow)


def test_a_quiet_night_has_no_fault_to_mark() -> None:
    run = perfect(QUIET)

    assert marks(QUIET, run, graded(QUIET, run)) == []


def test_a_run_without_anything_still_has_a_report() -> None:
    empty = journal(DNS).model_copy(update={"probes": (), "events": (), "baseline": {}})

    assert "No diagnosis was handed in." in page(DNS, empty)


def test_the_json_report_can_be_graded_again() -> None:
    run = perfect(DNS)
    report = json.loads(json.dumps(as_json(DNS, RUBRIC, run, graded(DNS, run))))

    again = graded(DNS, Journal.model_validate(report["journal"]))

    assert again == Score.model_validate(report["score"])
    assert report["truth"]["component"] == "dns"


def test_runs_are_compared_line_by_line_and_the_best_is_marked() -> None:
    good, bad, quiet = perfect(DNS), journal(DNS, diagnosis=Diagnosis(component="payment")), perfect(QUIET)
    runs = [Graded(run.run, graded(one, run)) for one, run in ((DNS, good), (DNS, bad), (QUIET, quiet))]

    lines = {line.name: line for line in compared(runs)}

    assert lines["component"].figures == ("10", "1", "20")
    assert lines["to mitigate, min:s"].figures == ("2:51", "–", "–")
    assert lines["to mitigate, min:s"].best == (True, False, False)
    assert lines["left alone"].figures == ("–", "–", "25")
    console = Console(width=120, file=StringIO())
    console.print(compare_table(runs))
    assert "payment-dns #7" in console.file.getvalue()
    assert "2:51" in compare_html(runs)


def test_a_candidates_name_in_brackets_is_no_markup() -> None:
    run = perfect(DNS)
    named = run.run.model_copy(update={"candidate": "ana [team] [/x]"})
    told = StringIO()

    Console(width=120, file=told).print(compare_table([Graded(named, graded(DNS, run))]))

    assert "ana [team] [/x]" in told.getvalue()


def test_every_kind_of_event_has_its_words() -> None:
    assert set(KINDS) == set(get_args(EventKind))


@pytest.mark.parametrize(("seconds", "spelt"), [(None, "–"), (0, "0:00"), (95, "1:35"), (-5, "−0:05")])
def test_durations_are_minutes_and_seconds(seconds: float | None, spelt: str) -> None:
    assert duration(seconds) == spelt
