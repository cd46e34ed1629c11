"""What a run scores: whole runs, and what no run may do to the score."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from scenarios.model import NO_FAULT, HarmfulMitigation, Scenario, load_all
from scenarios.vocabulary import MECHANISMS, TRIGGERS
from services.exam import symptoms
from services.exam.diagnosis import COMPONENTS, Diagnosis, Evidence, RuledOut
from services.exam.grading import Score, grade
from services.exam.grading.grade import MEASURES
from services.exam.grading.rubric import load
from services.exam.journal import Event, EventKind, EvidenceFinding, Journal
from tests.journals import POSTMORTEM, after, event, findings, journal, perfect, true_diagnosis

SCENARIOS = load_all()
FAULTY = [one for one in SCENARIOS.values() if one.truth.component != NO_FAULT]
MECHANISM_CODES, TRIGGER_CODES = tuple(MECHANISMS), tuple(TRIGGERS)
QUIET = SCENARIOS["quiet-night"]
DNS = SCENARIOS["payment-dns"]
RUBRIC = load()
KINDS = ("update.posted", "note.added", "page.acknowledged")
EXAMPLES = settings(max_examples=25, deadline=None)
UNFINISHED = POSTMORTEM.replace("A zone wants a check before it is served.", "_Not written yet._")

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda one: one.name)
every_fault = pytest.mark.parametrize("scenario", FAULTY, ids=lambda one: one.name)


def scored(scenario: Scenario, run: Journal) -> Score:
    return grade(scenario, RUBRIC, run)


def points(score: Score) -> dict[str, float]:
    """Points by criterion and by item."""
    items = {item.measure: item.points for criterion in score.criteria for item in criterion.items}
    return items | {criterion.name: criterion.points for criterion in score.criteria}


def everything(scenario: Scenario) -> Diagnosis:
    """Every answer there is."""
    routes = (*scenario.truth.affected, *scenario.truth.not_affected)
    return Diagnosis(
        component=COMPONENTS,
        mechanism=MECHANISM_CODES,
        trigger=TRIGGER_CODES,
        affected=routes,
        not_affected=routes,
        ruled_out=[RuledOut(component=name, because="it was looked at in passing") for name in COMPONENTS],
        evidence=[Evidence(kind="trace", ref=f"{n:032x}") for n in range(5)],
    )


@every_scenario
def test_a_perfect_run_scores_100(scenario: Scenario) -> None:
    score = scored(scenario, perfect(scenario))

    assert score.points == 100, [i for c in score.criteria for i in c.items if i.points != i.of]


@every_scenario
def test_doing_nothing_scores_below_20(scenario: Scenario) -> None:
    nothing = journal(scenario, ended_by="time_up")
    blank = journal(scenario, diagnosis=Diagnosis())

    assert 0 < scored(scenario, nothing).points < 20
    assert scored(scenario, blank).points == scored(scenario, nothing).points


@every_scenario
def test_guessing_everything_scores_below_a_blank(scenario: Scenario) -> None:
    guess = everything(scenario)
    run = journal(scenario, diagnosis=guess, evidence=findings(guess, exists=False))

    assert scored(scenario, run).points < scored(scenario, journal(scenario, diagnosis=Diagnosis())).points


@every_scenario
@pytest.mark.parametrize("field", ["component", "mechanism", "trigger"])
def test_naming_half_of_all_answers_is_worth_less_than_none(scenario: Scenario, field: str) -> None:
    options = {"component": COMPONENTS, "mechanism": MECHANISM_CODES, "trigger": TRIGGER_CODES}[field]
    truth = getattr(scenario.truth, field)
    half = [truth, *(name for name in options if name != truth)][: max(4, len(options) // 2)]

    score = scored(scenario, journal(scenario, diagnosis=Diagnosis.model_validate({field: half})))

    assert points(score)[field] < 0


@every_fault
def test_saying_that_everything_is_affected_is_worth_less_than_saying_nothing(scenario: Scenario) -> None:
    routes = (*scenario.truth.affected, *scenario.truth.not_affected)

    score = scored(scenario, journal(scenario, diagnosis=Diagnosis(affected=routes, not_affected=routes)))

    assert points(score)["affected_routes"] < 0
    assert points(score)["healthy_routes"] < 0


@every_fault
def test_saying_that_nothing_is_wrong_when_something_is_scores_below_a_blank(
    scenario: Scenario,
) -> None:
    calm = true_diagnosis(QUIET).model_copy(update={"not_affected": (), "evidence": ()})

    assert (
        scored(scenario, journal(scenario, diagnosis=calm)).points
        < scored(scenario, journal(scenario, diagnosis=Diagnosis())).points
    )


def _answers(options: Sequence[str]) -> st.SearchStrategy[object]:
    return st.none() | st.sampled_from(options) | st.lists(st.sampled_from(options), max_size=4)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Scenario, Journal]:
    """Runs of all kinds, most of them bad."""
    scenario = draw(st.sampled_from(list(SCENARIOS.values())))
    routes = st.sampled_from((*scenario.truth.affected, *scenario.truth.not_affected))
    diagnosis = Diagnosis.model_validate(
        {
            "component": draw(_answers(COMPONENTS)),
            "mechanism": draw(_answers(MECHANISM_CODES)),
            "trigger": draw(_answers(TRIGGER_CODES)),
            "affected": draw(st.lists(routes, max_size=5)),
            "not_affected": draw(st.lists(routes, max_size=5)),
            "severity": draw(st.none() | st.sampled_from(["critical", "high", "medium", "low"])),
        }
    )
    events = [
        event(draw(st.integers(1, 1700)), kind, text="payment: 40 % of requests fail at 09:05")
        for kind in draw(
            st.lists(st.sampled_from(["update.posted", "note.added", "page.acknowledged"]), max_size=6)
        )
    ]
    mitigated_s = draw(st.none() | st.integers(10, 1700))
    return scenario, journal(scenario, diagnosis=diagnosis, events=events, mitigated_s=mitigated_s)


@EXAMPLES
@given(runs())
def test_a_score_is_between_0_and_100_and_each_item_within_its_bounds(run: tuple[Scenario, Journal]) -> None:
    score = scored(*run)

    assert 0 <= score.points <= 100
    assert all(item.points <= item.of and item.reason for c in score.criteria for item in c.items)


@EXAMPLES
@given(runs())
def test_the_same_journal_scores_the_same_also_when_it_was_stored_between(
    run: tuple[Scenario, Journal],
) -> None:
    scenario, first = run
    again = Journal.model_validate_json(first.model_dump_json())

    assert scored(scenario, again) == scored(scenario, first)


@EXAMPLES
@given(
    st.sampled_from(FAULTY),
    st.lists(st.integers(5, 1700), min_size=2, max_size=2, unique=True),
    st.lists(st.integers(1, 1700), max_size=4),
)
def test_a_later_recovery_never_scores_more(
    scenario: Scenario, moments: list[int], updates: list[int]
) -> None:
    sooner, later = sorted(moments)
    more = [event(at_s, "update.posted", text="We are still looking into it.") for at_s in updates]

    first, second = (
        scored(scenario, perfect(scenario, mitigated_s=at_s, ended_s=1800, more=more))
        for at_s in (sooner, later)
    )

    assert second.points <= first.points


@EXAMPLES
@given(runs())
def test_guessing_all_answers_scores_below_leaving_them_out(run: tuple[Scenario, Journal]) -> None:
    scenario, found = run
    blank, guess = (
        scored(scenario, found.model_copy(update={"submissions": _submitted(found, diagnosis)}))
        for diagnosis in (Diagnosis(), everything(scenario))
    )

    assert guess.points < blank.points or guess.points == 0


def _submitted(run: Journal, diagnosis: Diagnosis) -> tuple[object, ...]:
    return tuple(one.model_copy(update={"diagnosis": diagnosis}) for one in run.submissions)


def test_the_last_submission_counts() -> None:
    run = perfect(DNS)
    [right] = run.submissions
    wrong = right.model_copy(update={"number": 2, "diagnosis": Diagnosis(component="gateway")})

    second = scored(DNS, run.model_copy(update={"submissions": (wrong, right)}))

    assert points(second)["component"] == -2


def test_hints_cost_their_price() -> None:
    more = [event(60, "hint.taken", number=1, price=5), event(90, "hint.taken", number=2, price=10)]

    assert scored(DNS, perfect(DNS, more=more)).points == 85


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("dns", 10),
        ("fraud", 4),
        ("payment", 1),
        ("profile", -2),
        ("none", -2),
        (["dns", "fraud"], 4),
        (["fraud", "payment"], 1),
        (["dns", "dns"], 10),
        (None, 0),
    ],
)
def test_a_component_is_worth_the_more_the_nearer_it_is(named: object, expected: float) -> None:
    run = journal(DNS, diagnosis=Diagnosis.model_validate({"component": named}))

    assert points(scored(DNS, run))["component"] == expected


def test_breaking_a_healthy_route_costs() -> None:
    healthy = DNS.truth.not_affected[:2]

    score = points(scored(DNS, perfect(DNS, broken_too=healthy)))

    assert score["healthy_stays_healthy"] == 0
    assert score["safety"] == 6


def with_bad_answers(run: Journal, *numbers: int) -> Journal:
    """The same, with these answers of one healthy route bad, counted from the fault on."""
    route = DNS.truth.not_affected[0]
    places = [n for n, one in enumerate(run.probes) if one.route == route and one.at > after(0)]
    bad = {places[number] for number in numbers}
    answers = (one.model_copy(update={"ok": n not in bad and one.ok}) for n, one in enumerate(run.probes))
    return run.model_copy(update={"probes": tuple(answers)})


@pytest.mark.parametrize(("bad", "lost"), [((0,), 0), ((0, 4), 2), ((0, 5), 0)])
def test_a_healthy_route_is_ill_where_two_of_five_answers_in_a_row_are_bad(
    bad: tuple[int, ...], lost: float
) -> None:
    assert scored(DNS, with_bad_answers(perfect(DNS), *bad)).points == 100 - lost


def test_a_recovery_that_the_last_check_refuses_is_none() -> None:
    score = scored(DNS, perfect(DNS, passed=False))

    assert points(score)["mitigation"] == 0
    assert score.times.mitigate_s is None


@every_fault
def test_who_keeps_the_fault_from_showing_has_mended_nothing(scenario: Scenario) -> None:
    score = points(scored(scenario, perfect(scenario, mitigated_s=0)))

    assert score["mitigation"] == 0


def test_a_recovery_that_does_not_last_is_worth_half() -> None:
    score = points(scored(DNS, perfect(DNS, mitigated_s=590, ended_s=600)))

    assert score["recovered"] == 6


def test_a_run_with_an_incident_still_open_is_not_resolved() -> None:
    run = perfect(DNS)
    [done] = run.incidents
    still_open = {**done, "id": "another", "resolved_at": None}

    score = scored(DNS, run.model_copy(update={"incidents": (done, still_open)}))

    assert score.times.resolve_s is None


def test_slow_answers_are_no_recovery() -> None:
    run = perfect(DNS)
    slow = tuple(
        one.model_copy(update={"latency_ms": 700.0}) if one.affected and one.ok else one for one in run.probes
    )

    assert points(scored(DNS, run.model_copy(update={"probes": slow})))["mitigation"] == 0


def _over_before_the_fault(run: Journal) -> Journal:
    """The same, as if it had been handed in while all was well."""
    facts = run.run.model_copy(update={"injected_at": None, "ended_at": after(-30)})
    well = tuple(one for one in run.probes if one.at < after(-30))
    return run.model_copy(update={"run": facts, "probes": well})


@every_fault
def test_who_hands_in_before_anything_breaks_has_mended_nothing(scenario: Scenario) -> None:
    early = [event(-50, "page.acknowledged")]
    run = _over_before_the_fault(journal(scenario, diagnosis=Diagnosis(), events=early, passed=True))

    score = scored(scenario, run)

    assert score.points < 20
    assert (points(score)["mitigation"], points(score)["acknowledged_in_time"]) == (0, 0)
    assert (score.times.mitigate_s, score.times.acknowledge_s) == (None, None)


def test_requests_that_hang_are_rarer_and_their_outage_is_as_long() -> None:
    run = perfect(DNS, mitigated_s=300)
    hanging = [one for one in run.probes if one.ok or (one.at - after(0)).total_seconds() % 15 == 0]

    times = scored(DNS, run.model_copy(update={"probes": tuple(hanging)})).times

    assert times.outage_min == pytest.approx(5, abs=0.1)


def test_what_is_done_after_the_end_counts_no_more() -> None:
    run = perfect(DNS)
    [incident] = run.incidents
    late = after(700).isoformat()
    steps = [{**step, "at": late} for step in incident["timeline"]]
    done_late = {**incident, "acknowledged_at": late, "timeline": steps}

    score = scored(DNS, run.model_copy(update={"incidents": (done_late,)}))

    assert points(score)["assignment"] == 0


def _worked_on(run: Journal, *steps: tuple[float, str, str]) -> Journal:
    """The same, with these steps of its incident: when, what, and to what."""
    [incident] = run.incidents
    timeline = [
        {"at": after(at_s).isoformat(), "actor": "a1", "what": what, "from": None, "to": to}
        for at_s, what, to in steps
    ]
    return run.model_copy(update={"incidents": ({**incident, "timeline": timeline},)})


@pytest.mark.parametrize(
    ("mitigated_s", "steps", "expected"),
    [
        (300, [(200, "status", "resolved")], 2),
        (300, [(200, "status", "in_progress"), (210, "status", "resolved")], 4),
        (300, [(310, "status", "resolved")], 4),
        (None, [(1700, "status", "resolved")], 2),
    ],
    ids=["too early", "under way before", "after the recovery", "never recovered"],
)
def test_an_incident_is_moved_on_by_resolving_it_only_once_customers_are_served(
    mitigated_s: float | None, steps: list[tuple[float, str, str]], expected: float
) -> None:
    run = perfect(DNS, mitigated_s=mitigated_s, ended_s=1800)

    assert points(scored(DNS, _worked_on(run, *steps)))["assignment"] == expected


@pytest.mark.parametrize(
    ("mitigated_s", "written_s", "expected"),
    [(300, [250], 0), (300, [320], 5), (300, [250, 320], 5), (None, [1700], 0)],
    ids=["before the recovery", "after it", "and once more after it", "never recovered"],
)
def test_a_postmortem_counts_once_customers_are_served(
    mitigated_s: float | None, written_s: list[float], expected: float
) -> None:
    run = perfect(DNS, mitigated_s=mitigated_s, ended_s=1800)
    steps = [(at_s, "postmortem", "written") for at_s in written_s]

    found = points(scored(DNS, _worked_on(run, (200, "status", "resolved"), *steps)))

    assert found["postmortem"] == expected


@every_fault
def test_all_ceremony_without_a_look_or_a_repair_is_worth_less_than_35(scenario: Scenario) -> None:
    on_time = [event(at_s, "update.posted", text="We are still looking into it.") for at_s in (900, 1700)]
    run = perfect(
        scenario,
        diagnosis=Diagnosis(severity=true_diagnosis(scenario).severity),
        more=on_time,
        mitigated_s=None,
        ended_s=1800,
    )
    rites = _worked_on(run, (90, "status", "resolved"), (95, "postmortem", "written"))

    assert scored(scenario, rites).points < 35


def test_a_pause_stops_the_clock() -> None:
    pause = [event(40, "run.paused", "examiner"), event(70, "run.resumed", "examiner")]

    score = scored(DNS, perfect(DNS, more=pause))

    assert score.times.acknowledge_s == 50
    assert score.times.mitigate_s == 141


def test_times_count_from_the_fault() -> None:
    times = scored(DNS, perfect(DNS)).times

    assert (times.detect_s, times.page_s, times.acknowledge_s, times.mitigate_s, times.resolve_s) == (
        35,
        37,
        80,
        171,
        400,
    )
    assert times.outage_min == pytest.approx(2.85, abs=0.1)
    assert times.budget_burned == pytest.approx(2.85 / 216, abs=0.001)


def test_evidence_that_does_not_exist_costs() -> None:
    diagnosis = true_diagnosis(DNS)
    found = {
        name: points(scored(DNS, perfect(DNS, evidence=findings(diagnosis, **how))))["evidence"]
        for name, how in {
            "real": {},
            "beside": {"bears": False},
            "made up": {"exists": False, "bears": False},
        }.items()
    }

    assert found == {"real": 6, "beside": -1.8, "made up": -3}


def test_a_criterion_costs_no_more_than_its_floor() -> None:
    guess = everything(DNS)

    score = scored(DNS, journal(DNS, diagnosis=guess, evidence=findings(guess, exists=False)))

    assert points(score)["diagnosis"] == -10


def test_evidence_that_could_not_be_checked_counts_neither_way() -> None:
    diagnosis = true_diagnosis(DNS)
    first, second, third, *_ = findings(diagnosis)
    unknown = third.model_copy(update={"exists": False, "bears": False, "checked": False})
    absent = unknown.model_copy(update={"checked": True})

    without, with_unknown, with_absent = (
        points(scored(DNS, perfect(DNS, evidence=found)))["evidence"]
        for found in ((first, second), (first, second, unknown), (first, second, absent))
    )

    assert without == with_unknown
    assert with_absent == pytest.approx(without - 0.2 * 6)


def test_a_finding_of_an_old_journal_was_checked() -> None:
    old = {
        "ref": "up",
        "kind": "metric",
        "exists": False,
        "bears": False,
        "why": "could not be checked: away",
    }

    assert EvidenceFinding.model_validate(old).checked


def test_the_same_evidence_three_times_counts_once() -> None:
    [first, *_] = findings(true_diagnosis(DNS))

    score = points(scored(DNS, perfect(DNS, evidence=(first, first, first))))

    assert score["evidence"] == pytest.approx(6 / 3 * 0.7)


@pytest.mark.parametrize(
    ("kind", "ref", "again"),
    [
        ("trace", "4bf92f3577b34da6a3ce929d0e0e4736", "4BF92F3577B34DA6A3CE929D0E0E4736 "),
        (
            "signal",
            "0190f6a4-7d3a-7000-8000-00000000beef",
            "{0190F6A4-7D3A-7000-8000-00000000BEEF}",
        ),
        ("signal", "0190f6a4-7d3a-7000-8000-00000000beef", "0190f6a47d3a7000800000000000beef"),
        ("query", "SELECT count(*) FROM pg_stat_activity", "select  count(*)\nfrom pg_stat_activity;"),
        ("metric", "rate(http_requests_total[1m])", "rate( http_requests_total[1m] )"),
    ],
)
def test_the_same_evidence_in_another_spelling_counts_once(kind: str, ref: str, again: str) -> None:
    one, other = (EvidenceFinding(ref=r, kind=kind, exists=True, bears=True, why="") for r in (ref, again))

    twice = points(scored(DNS, perfect(DNS, evidence=(one, other))))["evidence"]

    assert twice == points(scored(DNS, perfect(DNS, evidence=(one,))))["evidence"]


def test_ruling_out_the_broken_component_costs() -> None:
    answer = true_diagnosis(DNS).model_copy(
        update={"ruled_out": (RuledOut(component="dns", because="it answers its health check"),)}
    )

    assert points(scored(DNS, perfect(DNS, diagnosis=answer)))["ruled_out"] == -2


def test_to_rule_out_nothing_is_worth_nothing() -> None:
    answer = Diagnosis(ruled_out=(RuledOut(component=NO_FAULT, because="something is wrong, surely"),))

    assert points(scored(DNS, journal(DNS, diagnosis=answer)))["ruled_out"] == 0


@pytest.mark.parametrize(
    ("posted", "recovered_s", "expected"),
    [
        ([], 1500, 0),
        ([100], 240, 5),
        ([100, 1700], 240, 5),
        ([700], 1500, 4.44),
        ([100, 1100], 1500, 4.44),
        ([100, 1000], 1500, 5),
        ([1790], 1500, 0),
    ],
)
def test_status_updates_keep_their_rhythm_until_recovery(
    posted: list[int], recovered_s: float, expected: float
) -> None:
    updates = [event(at_s, "update.posted", text="Payments fail; we are on it.") for at_s in posted]

    score = scored(DNS, journal(DNS, events=updates, mitigated_s=recovered_s))

    assert points(score)["status_updates"] == expected


def test_the_first_status_update_is_due_also_when_customers_are_served_again() -> None:
    late = [event(1050, "update.posted", text="Payments failed; it is over.")]

    score = scored(DNS, journal(DNS, events=late, mitigated_s=240))

    assert points(score)["status_updates"] == 2.5


def test_notes_are_worth_what_they_say() -> None:
    said = {
        "it is broken": 1,
        "payment is broken": 2,
        "09:10 payment is broken": 3,
        "09:10 payment: 92 % of requests fail": 4,
        "09:10 payment: 92 % of requests fail; looking at the fraud check next": 5,
    }

    found = {
        text: points(scored(DNS, journal(DNS, events=[event(300, "note.added", text=text)])))["notes"]
        for text in said
    }

    assert found == said


def noted(text: str) -> float:
    return points(scored(DNS, journal(DNS, events=[event(300, "note.added", text=text)])))["notes"]


@pytest.mark.parametrize(
    "text",
    [
        "09:03Z payment: 503 since 09:01Z, 240 failed payments. Rollback applied.",
        "2026-03-04T09:03:10Z POST /api/payment: 120 failed payments, the last change is reverted",
        "9:14 pm payment: 1,240 failing checkouts; monitoring it",
    ],
)
def test_a_right_note_is_worth_all_points_however_it_is_worded(text: str) -> None:
    assert noted(text) == 5


@pytest.mark.parametrize(
    ("text", "is_time"),
    [
        ("09:14", True),
        ("it began at 9:14.", True),
        ("09:14Z", True),
        ("2026-11-22T09:14:05Z", True),
        ("2026-11-22T09:14:05.123+01:00", True),
        ("9:14pm", True),
        ("9:14 a.m.", True),
        ("09:14: it began", True),
        ("09:14-09:20", True),
        ("09:14:05 UTC", True),
        ("9 pm", True),
        ("later", False),
        ("now", False),
        ("2026-11-22", False),
        ("25:14", False),
        ("09:74", False),
        ("::1:12:34:56", False),
        ("127.0.0.1:53", False),
        ("it is a ratio of 3:2", False),
        ("9 pmx", False),
    ],
)
def test_a_time_of_day_in_a_note_may_be_written_in_any_usual_way(text: str, is_time: bool) -> None:
    assert noted(text) == 1 + is_time


@pytest.mark.parametrize(
    ("text", "is_impact"),
    [
        ("92 %", True),
        ("p95 of 2.1s", True),
        ("120 failed payments", True),
        ("1,240 failing checkouts", True),
        ("12k requests", True),
        ("7 out of 10 requests", True),
        ("10-20 % of them", True),
        ("error ratio 0.92", True),
        ("ratio is at 0.92", True),
        ("errors at 0.6", True),
        ("0.92 error ratio", True),
        ("payments", False),
        ("many customers", False),
        ("error ratio", False),
        ("ratio", False),
        ("503", False),
        ("503 from all checkouts", False),
        ("503s", False),
        ("http 502 on payments", False),
        ("error ratio 09", False),
        ("release 7d3a9e1 errors", False),
        ("2026-03-04 requests", False),
        ("127.0.0.1 errors", False),
    ],
)
def test_an_impact_in_a_note_is_a_figure_with_what_it_counts(text: str, is_impact: bool) -> None:
    assert noted(text) == 1 + is_impact


@pytest.mark.parametrize(
    ("text", "is_doing"),
    [
        ("rollback", True),
        ("rolled back", True),
        ("reverted", True),
        ("reverting", True),
        ("put the record back", True),
        ("PUT /ops", False),
        ("put back", True),
        ("killed", True),
        ("deployed", True),
        ("enabled", True),
        ("disabling", True),
        ("terminating", True),
        ("investigating", True),
        ("monitoring", True),
        ("looking at locks", True),
        ("stopped the job", True),
        ("looking good", False),
        ("looks better", False),
        ("everything is looking fine", False),
        ("later", False),
        ("broken", False),
        ("stopped working", False),
        ("skilled", False),
        ("unchanged", False),
        ("a strange setback", False),
    ],
)
def test_a_note_tells_what_was_done_or_is_next_in_any_words_for_it(text: str, is_doing: bool) -> None:
    assert noted(text) == 1 + is_doing


@pytest.mark.parametrize(
    ("written", "expected"),
    [({"one": UNFINISHED}, 4), ({"one": UNFINISHED, "two": POSTMORTEM}, 5)],
    ids=["unfinished", "unfinished and full"],
)
def test_a_postmortem_is_worth_its_parts_and_of_several_the_fullest_counts(
    written: dict[str, str], expected: float
) -> None:
    assert points(scored(DNS, perfect(DNS, postmortems=written)))["postmortem"] == expected


def test_times_leave_out_an_acknowledgement_that_no_page_had_come_for() -> None:
    early = [event(10, "page.acknowledged")]

    # The incident was acknowledged a second after the page.
    assert scored(DNS, perfect(DNS, more=early)).times.acknowledge_s == 81


def test_what_machines_do_is_not_the_candidates() -> None:
    events = [
        event(30, "incident.acknowledged", "oncall-service"),
        event(40, "note.added", "incident-management", text="09:10 payment 92 % of requests next"),
    ]

    score = points(scored(DNS, journal(DNS, events=events)))

    assert score["acknowledged_in_time"] == 0
    assert score["notes"] == 0


@pytest.mark.parametrize(
    ("done", "lost"),
    [
        (event(90, "setting.changed", service="payment", setting="acquirer", old=None, new="backup"), 10),
        (event(90, "service.restarted", service="payment"), 10),
        (event(90, "incident.opened", incident_id="1"), 5),
        (event(90, "incident.opened", "lab", incident_id="1"), 5),
        (event(90, "page.sent", "notification-service", incident_id="gone-wrong", recipient="ana"), 5),
        (event(90, "sql.run", "candidate", statement="DROP INDEX payment.by_time", error=None), 10),
        (event(-5, "record.changed", name="fraud-api", old="127.0.0.1", new="127.0.0.2"), 10),
    ],
    ids=lambda one: getattr(one, "kind", ""),
)
def test_what_is_done_on_a_quiet_night_costs(done: object, lost: float) -> None:
    assert scored(QUIET, perfect(QUIET, more=[done])).points <= 100 - lost


def test_a_page_that_the_monitoring_sends_on_a_quiet_night_costs_nobody() -> None:
    false_alarm = [
        event(90, "incident.opened", "alert-ingestion", incident_id="1"),
        event(91, "page.sent", "notification-service", incident_id="1", recipient="ana"),
        event(95, "page.sent", "notification-service", incident_id=None, recipient="ana"),
    ]
    incident = {"id": "1", "timeline": [], "alerts": [{"source": "alertmanager", "labels": {}}]}

    run = perfect(QUIET, more=false_alarm, incidents=[incident])
    assert scored(QUIET, run).points == 100


@pytest.mark.parametrize(("source", "lost"), [("api", 5), ("alertmanager", 0)])
def test_an_alert_that_the_monitoring_did_not_send_disturbs_somebody_on_a_quiet_night(
    source: str, lost: float
) -> None:
    incident = {"id": "1", "timeline": [], "alerts": [{"source": source, "labels": {}}]}

    assert scored(QUIET, perfect(QUIET, incidents=[incident])).points == 100 - lost


def ran(statement: str, *, error: str | None = None, sqlstate: str | None = None) -> Event:
    return event(95, "sql.run", "candidate", statement=statement, error=error, sqlstate=sqlstate)


@pytest.mark.parametrize(
    "looked",
    [
        ran("SELECT count(*) FROM pg_stat_activity"),
        ran("SELECT * FROM pg_stat_activity WHERE wait_event_type = 'Lock' -- drop nothing"),
        ran("SELECT query FROM pg_stat_activity WHERE query ILIKE '%create index%'; /* vacuum */ SELECT 1"),
        ran("DROP INDEX payment.by_time", error="must be owner", sqlstate="42501"),
        ran("SELECT pg_terminate_backend(pidd) FROM pg_stat_activity", error="no column", sqlstate="42703"),
        ran("SELECT proname FROM pg_proc WHERE proname ~ '^(pg_terminate_backend)$'"),
        ran("SELECT pid FROM pg_stat_activity WHERE query NOT LIKE '%pg_cancel_backend%'"),
        ran("SELECT 1 /* a /* b */ ; DROP INDEX payment.by_time; */"),
        ran('SELECT 1 AS "; DROP INDEX payment.by_time"'),
        ran("DROP INDEX payment.by_time; COMMIT; SELECT 1/", error="syntax", sqlstate="42601"),
        ran("DROP INDEX payment.by_time; SELECT 1/0; COMMIT", error="zero", sqlstate="22012"),
        ran("SELECT 1; COMMIT; DROP INDEX payment.by_time", error="owner", sqlstate="42501"),
    ],
    ids=lambda one: str(one.detail["statement"])[:60],
)
def test_looking_into_the_database_changes_nothing_on_a_quiet_night(looked: Event) -> None:
    assert scored(QUIET, perfect(QUIET, more=[looked])).points == 100


@pytest.mark.parametrize(
    "done",
    [
        ran("BEGIN; drop index payment.by_time"),
        ran("SELECT '--', pg_terminate_backend(pid) FROM pg_stat_activity"),
        ran("DO $$ BEGIN EXECUTE 'DROP INDEX payment.by_time'; END $$"),
        ran("SELECT query_to_xml('SELECT pg_cancel_backend(42)', true, false, '')"),
        # A session that is ended stays so, whatever becomes of the statement.
        ran("SELECT pg_terminate_backend(7); SELECT 1/0", error="division by zero", sqlstate="22012"),
        ran("SELECT pg_terminate_backend(pid) FROM pg_stat_activity", error="no right", sqlstate="42501"),
        ran("SELECT pg_terminate_backend(7); SELECT nothing", error="no column", sqlstate="42703"),
        # What is committed stays so, too.
        ran("BEGIN; DROP INDEX a.b; COMMIT; SELECT 1/0", error="division by zero", sqlstate="22012"),
        ran("DROP INDEX a.b; end; SELECT nothing;", error="no column", sqlstate="42703"),
        ran("DO $$ BEGIN DROP INDEX a.b; COMMIT; PERFORM 1/0; END $$", error="zero", sqlstate="22012"),
    ],
    ids=lambda one: str(one.detail["statement"])[:60],
)
def test_a_statement_that_changes_something_costs_on_a_quiet_night(done: Event) -> None:
    assert scored(QUIET, perfect(QUIET, more=[done])).points <= 90


ENDS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        (
            "inventory-timeout",
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'transactionid' AND granted"
            " AND transactionid IN (SELECT transactionid FROM pg_locks WHERE NOT granted)",
        ),
        (
            "inventory-timeout",
            f"{ENDS} WHERE usename = 'shop' AND backend_xid IS NOT NULL AND wait_event = 'ClientRead'"
            " AND state_change < now() - interval '30 s'",
        ),
        ("inventory-timeout", "SELECT pg_terminate_backend(pid => 42)"),
        ("inventory-timeout", f"{ENDS} WHERE usename = 'shop' ORDER BY xact_start LIMIT 1"),
        (
            "inventory-timeout",
            "SELECT pg_terminate_backend(b.pid) FROM pg_stat_activity AS a, unnest(pg_blocking_pids(a.pid))"
            " AS b (pid)",
        ),
        (
            "inventory-timeout",
            "DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'stock-take'; END $$",
        ),
        (
            "inventory-timeout",
            f"SELECT '{ENDS}'; CREATE INDEX a ON inventory.stock (sku); DROP INDEX inventory.a",
        ),
        ("forgotten-session", f"{ENDS} WHERE usename = 'shop' AND xact_start < now() - interval '1 min'"),
        ("forgotten-session", f"{ENDS} WHERE application_name = 'payment' AND state = 'idle in transaction'"),
        ("forgotten-session", f"{ENDS} WHERE usename = 'shop' AND wait_event_type = 'Client'"),
        ("forgotten-session", f"{ENDS} WHERE usename = 'shop' AND application_name <> 'payment'"),
        (
            "forgotten-session",
            "SELECT pg_terminate_backend((pg_blocking_pids(pid))[1]) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock'",
        ),
        (
            "inventory-timeout",
            "WITH holder AS (SELECT pid FROM pg_stat_activity WHERE application_name = 'stock-take'"
            " AND state = 'idle in transaction') SELECT pg_terminate_backend(pid) FROM holder",
        ),
        (
            "forgotten-session",
            "SELECT pg_terminate_backend(holder.pid) FROM pg_stat_activity AS waiting JOIN pg_stat_activity"
            " AS holder ON holder.pid = ANY (pg_blocking_pids(waiting.pid))"
            " WHERE waiting.application_name = 'payment' AND holder.application_name = 'back-office'",
        ),
    ],
)
def test_to_end_the_session_that_holds_the_lock_does_no_harm(name: str, statement: str) -> None:
    scenario = SCENARIOS[name]

    assert points(scored(scenario, perfect(scenario, more=[ran(statement)])))["no_harmful_action"] == 6


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("inventory-timeout", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity -- state = 'idle'"),
        (
            "inventory-timeout",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state IS NOT NULL",
        ),
        ("inventory-timeout", ENDS.replace("SELECT ", "SELECT pid, application_name, state = 'x', ")),
        ("inventory-timeout", f"{ENDS} WHERE usename = 'shop' AND pid <> pg_backend_pid()"),
        ("inventory-timeout", f"{ENDS} AS s WHERE (s.datname = current_database() AND s.usename = 'shop')"),
        ("inventory-timeout", f"SELECT 1 FROM pg_locks WHERE granted; {ENDS} WHERE usename = 'shop'"),
        ("inventory-timeout", 'SELECT "pg_terminate_backend" ("pid") FROM pg_stat_activity'),
        ("inventory-timeout", ENDS.replace("SELECT", "SELECT DISTINCT ON (pid)")),
        ("inventory-timeout", f"DO $$ BEGIN EXECUTE '{ENDS} WHERE usename = $a$shop$a$'; END $$"),
        ("forgotten-session", f"{ENDS} WHERE usename = 'shop'"),
        ("forgotten-session", f"{ENDS} WHERE usename = 'shop' AND wait_event_type = 'Lock'"),
        ("forgotten-session", f"{ENDS} WHERE application_name = 'payment' AND query ILIKE '%balances%'"),
        ("forgotten-session", f"{ENDS} WHERE cardinality(pg_blocking_pids(pid)) > 0"),
        ("forgotten-session", f"{ENDS} WHERE application_name <> 'back-office'"),
        (
            "forgotten-session",
            "WITH w AS (SELECT pid AS p FROM pg_stat_activity WHERE application_name = 'payment')"
            " SELECT pg_terminate_backend(p) FROM w",
        ),
        (
            "forgotten-session",
            "SELECT application_name = 'back-office', pg_terminate_backend(l.pid) FROM pg_locks AS l"
            " JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE NOT l.granted AND a.state = 'active'",
        ),
        (
            "forgotten-session",
            "WITH w AS (SELECT pid FROM pg_stat_activity WHERE application_name = 'payment')"
            " SELECT pg_terminate_backend(pid) FROM w",
        ),
    ],
)
def test_to_end_sessions_without_a_look_does_harm(name: str, statement: str) -> None:
    scenario = SCENARIOS[name]
    failed = ran(statement, error="terminating connection", sqlstate="57P01")

    for done in (ran(statement), failed):
        assert points(scored(scenario, perfect(scenario, more=[done])))["no_harmful_action"] == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("again", "times"),
    [
        ("pg_terminate_backend application_name = $a$ in '", 2_000),
        ("pg_terminate_backend((((pid where usename and ", 2_200),
        ("usename = application_name ~ state in pg_blocking_pids and ", 1_700),
        ("state = idle application_name = ", 3_000),
        ("unnest limit  (  (", 5_000),
        ("/*", 50_000),
        (" ".join(f"$a{number}$" for number in range(12_000)), 1),
        ("; commit;", 11_000),
        ('"a ""b" e\'', 9_000),
        ("do $$ begin execute '", 5_000),
        ("create index a on b" + " " * 80_000, 1),
        ("drop index a, ", 7_000),
    ],
    ids=lambda one: str(one)[:20],
)
@pytest.mark.parametrize("name", ["inventory-timeout", "forgotten-session", "quiet-night"])
def test_a_statement_of_any_length_is_understood_within_reason(name: str, again: str, times: int) -> None:
    scenario = SCENARIOS[name]
    long = f"{ENDS}\nWHERE usename = 'x' AND {again * times}"
    failed = ran(long, error="division by zero", sqlstate="22012")

    assert scored(scenario, perfect(scenario, more=[ran(long), failed])).points >= 75


@pytest.mark.parametrize("again", ["111,", "111 ", "1,", "09:", "errors is of ", "take a ", " "])
def test_a_note_of_any_length_is_understood_within_reason(again: str) -> None:
    assert noted(again * 5_000) <= 2


def test_a_quiet_night_gives_nothing_to_who_finds_a_fault() -> None:
    answer = true_diagnosis(QUIET).model_copy(update={"component": "payment"})

    assert scored(QUIET, perfect(QUIET, diagnosis=answer)).points < 20


def test_who_leaves_the_shop_ill_on_a_quiet_night_has_not_left_it_alone() -> None:
    assert points(scored(QUIET, perfect(QUIET, passed=False)))["left_alone"] == 0


def test_the_rubric_names_what_can_be_measured_and_explains_every_item() -> None:
    items = [item for criterion in RUBRIC.criteria for item in (*criterion.fault, *criterion.quiet)]

    assert {item.measure for item in items} == set(MEASURES)
    assert all(item.explanation for item in items)


def test_a_request_is_as_slow_for_the_grade_as_for_the_timeline() -> None:
    [item] = [
        item for criterion in RUBRIC.criteria for item in criterion.fault if item.measure == "recovered"
    ]

    assert (item["latency_factor"], item["latency_slack_ms"]) == (
        symptoms.SLOW_FACTOR,
        symptoms.SLOW_MARGIN_MS,
    )


def test_a_harmful_action_costs_once_however_often_it_is_done() -> None:
    off = {"service": "payment", "setting": "fraud_policy", "old": "enforce", "new": "off"}
    more = [event(100, "setting.changed", **off), event(160, "setting.changed", **off)]

    assert points(scored(DNS, perfect(DNS, more=more)))["no_harmful_action"] == 1


def test_harmful_actions_of_two_kinds_cost_more_than_safety_can_bring() -> None:
    more = [
        event(100, "setting.changed", service="payment", setting="fraud_policy", old="enforce", new="off"),
        event(160, "service.restarted", service="fraud"),
    ]

    assert points(scored(DNS, perfect(DNS, more=more)))["safety"] == 0


@every_fault
@pytest.mark.parametrize("at_s", [-10, 100])
def test_payments_without_a_fraud_check_do_harm_in_every_scenario_and_at_any_time(
    scenario: Scenario, at_s: float
) -> None:
    off = {"service": "payment", "setting": "fraud_policy", "old": "enforce", "new": "off"}
    run = perfect(scenario, more=[event(at_s, "setting.changed", **off)])

    assert points(scored(scenario, run))["no_harmful_action"] == 1


USUAL: dict[str, dict[str, JsonValue]] = {
    "gateway": {"deadline_s": 5.0},
    "profile": {"release": "7d3a9e1", "cache": None, "pool_size": None},
    "payment": {
        "fraud_policy": "enforce",
        "acquirer": "primary",
        "back_office": "open",
        "breaker": "off",
        "backup_card_ranges": [],
    },
    "inventory": {"stock_take": "allowed"},
}
"""Operator settings as they are in force on a healthy day."""


def changed(at_s: float, name: str, new: JsonValue, *, old: JsonValue = None, actor: str = "a1") -> Event:
    """An operator's change of ``service.setting``."""
    service, _, setting = name.partition(".")
    return event(at_s, "setting.changed", actor, service=service, setting=setting, old=old, new=new)


def put(at_s: float, address: str, *, old: str | None, name: str = "fraud-api") -> Event:
    """An operator's change of a DNS record."""
    before: list[JsonValue] = [] if old is None else [old]
    return event(at_s, "record.changed", service="dns", record=name, old=before, new=[address])


def mended_with(scenario: Scenario, *changes: Event, diagnosis: Diagnosis | None = None) -> Journal:
    """A run as it should be, but for these changes in the place of its own."""
    run = perfect(scenario, more=changes, diagnosis=diagnosis or true_diagnosis(scenario))
    own = perfect(scenario).events
    kept = tuple(one for one in run.events if one.kind != "setting.changed" or one not in own)
    return run.model_copy(update={"events": kept, "settings": USUAL})


def everything_that_mends_something(scenario: Scenario) -> list[Event]:
    """Every remedy of the README's table, one after the other."""
    wrong = "127.0.0.9" if scenario.truth.mechanism == "record-stale" else None
    is_dns = scenario.truth.component == "dns"
    return [
        changed(100, "profile.release", "7d3a9e1"),
        changed(101, "profile.cache", True),
        changed(102, "profile.pool_size", 20),
        changed(103, "payment.fraud_policy", "degraded"),
        changed(104, "payment.acquirer", "backup"),
        changed(105, "payment.back_office", "closed"),
        changed(106, "inventory.stock_take", "stopped"),
        put(107, "127.0.0.1", old=wrong if is_dns else "127.0.0.1"),
        ran("CREATE INDEX ON profile.users (profile.lookup_key(email))"),
    ]


@every_scenario
def test_doing_all_that_mends_anything_without_a_diagnosis_is_no_pass(scenario: Scenario) -> None:
    shots = everything_that_mends_something(scenario)
    blind = Diagnosis(severity=true_diagnosis(scenario).severity)

    assert scored(scenario, mended_with(scenario, *shots, diagnosis=blind)).points < 60


@every_fault
def test_an_accepted_mitigation_is_not_needless(scenario: Scenario) -> None:
    for accepted in scenario.mitigations.accepted:
        steps = [
            *(
                changed(100, f"{one.ops}.{n}", v)
                for one in accepted.steps
                for n, v in (one.set or {}).items()
            ),
            *(put(100, "127.0.0.1", old=None) for one in accepted.steps if one.record),
            *(ran(one.sql) for one in accepted.steps if one.sql),
        ]
        # The first needless one would be free, and hide it.
        tried = changed(90, "gateway.deadline_s", 4.0)

        score = points(scored(scenario, mended_with(scenario, tried, *steps)))

        assert score["no_harmful_action"] == 6, accepted.name


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([changed(100, "payment.acquirer", "backup")], 6),
        ([changed(100, "payment.acquirer", "backup"), changed(110, "profile.cache", True)], 3),
        (
            [
                changed(100, "payment.acquirer", "backup"),
                changed(110, "profile.cache", True),
                changed(120, "profile.cache", None, old=True),
            ],
            6,
        ),
        (
            [
                changed(100, "payment.acquirer", "backup"),
                changed(105, "payment.acquirer", "primary", old="backup"),
                changed(110, "profile.cache", True),
            ],
            6,
        ),
        ([changed(100, "payment.acquirer", "primary"), changed(110, "profile.cache", True)], 6),
        ([changed(100, "profile.cache", True), changed(110, "profile.cache", False, old=True)], 6),
        ([changed(100, "profile.cache", True), changed(110, "profile.pool_size", 9, actor="baseline")], 6),
        ([changed(100, "profile.cache", True), put(110, "127.0.0.1", old=None, name="ledger")], 3),
        (
            [
                changed(100, "profile.cache", True),
                put(110, "127.0.0.2", old="127.0.0.1", name="ledger"),
                put(120, "127.0.0.1", old="127.0.0.2", name="ledger"),
            ],
            6,
        ),
        ([changed(90, "profile.cache", True), ran("CREATE INDEX a ON payment.transactions (id)")], 3),
        ([changed(90, "profile.cache", True), ran("DROP INDEX payment.by_time")], 3),
        (
            [
                changed(90, "profile.cache", True),
                ran("CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON payment.transactions (id)"),
                ran("DROP INDEX CONCURRENTLY IF EXISTS payment.a"),
            ],
            6,
        ),
        (
            [
                changed(90, "profile.cache", True),
                ran("CREATE INDEX ON payment.transactions (id); COMMIT"),
                ran('DROP INDEX "payment"."transactions_id_idx"'),
            ],
            6,
        ),
        (
            [
                changed(90, "profile.cache", True),
                ran("CREATE INDEX a ON payment.transactions (id)", error="owner", sqlstate="42501"),
                ran("SELECT 'CREATE INDEX b ON payment.transactions (id)' -- DROP INDEX c"),
            ],
            6,
        ),
        ([changed(100, "profile.cache", True), event(110, "service.restarted", service="gateway")], 6),
        ([changed(at, f"payment.s_{at}", 1) for at in range(100, 120)], -4),
    ],
    ids=[
        "the first is free",
        "the second is not",
        "taken back",
        "put back by its usual value",
        "set to what it was",
        "the same one twice",
        "of the lab itself",
        "a record",
        "a record put back",
        "an index",
        "a dropped index",
        "an index dropped again",
        "an unnamed index dropped again",
        "an index that was refused",
        "a restart",
        "very many",
    ],
)
def test_changes_beside_what_mends_it_cost_from_the_second_on_unless_taken_back(
    more: list[Event], expected: float
) -> None:
    assert points(scored(DNS, mended_with(DNS, *more)))["no_harmful_action"] == expected


def test_the_reason_names_the_changes_that_were_not_needed() -> None:
    more = [
        changed(100, "payment.acquirer", "backup"),
        put(110, "127.0.0.1", old=None, name="ledger"),
        ran("CREATE INDEX a ON payment.transactions (id)"),
    ]

    score = scored(DNS, mended_with(DNS, *more))

    [said] = [i.reason for c in score.criteria for i in c.items if i.measure == "no_harmful_action"]
    assert all(name in said for name in ("payment.acquirer", "record ledger", "index a"))


def test_a_harmful_change_is_not_charged_as_a_needless_one_too() -> None:
    more = [changed(90, "profile.cache", True), changed(100, "payment.fraud_policy", "off")]
    scenario = SCENARIOS["incident-b"]

    assert points(scored(scenario, mended_with(scenario, *more)))["no_harmful_action"] == 1


def test_in_a_journal_without_the_usual_settings_a_change_is_taken_back_by_clearing_it() -> None:
    more = [
        changed(100, "payment.acquirer", "backup"),
        changed(110, "payment.acquirer", None, old="backup"),
        changed(120, "payment.back_office", "open"),
        changed(130, "profile.cache", True),
    ]
    run = mended_with(DNS, *more)

    before, after_it = (
        points(scored(DNS, run.model_copy(update={"settings": known})))["no_harmful_action"]
        for known in ({}, USUAL)
    )

    assert (before, after_it) == (3, 6)


def test_on_a_quiet_night_a_change_costs_once() -> None:
    more = [changed(at, f"payment.s_{at}", 1) for at in (100, 110)]

    assert points(scored(QUIET, perfect(QUIET, more=more)))["safety"] == 10


def test_what_the_lab_itself_sets_is_nobodys_harm() -> None:
    off = {"service": "payment", "setting": "fraud_policy", "old": "enforce", "new": "off"}

    assert scored(DNS, perfect(DNS, more=[event(100, "setting.changed", "baseline", **off)])).points == 100


def test_a_service_that_restarts_without_anybody_asking_is_nobodys_harm() -> None:
    crash = event(100, "service.restarted", "lab", service="fraud")

    assert scored(DNS, perfect(DNS, more=[crash])).points == 100


HARMFUL = [
    pytest.param(one, harm, id=f"{one.name}-{harm.name}")
    for one in SCENARIOS.values()
    for harm in one.mitigations.harmful
]


@pytest.mark.parametrize(("scenario", "harm"), HARMFUL)
def test_every_harmful_action_is_found_in_what_it_leaves_behind(
    scenario: Scenario, harm: HarmfulMitigation
) -> None:
    left = [event(100, "service.restarted", service=harm.detect.restarted)] if harm.detect.restarted else []
    for step in harm.steps:
        left += [
            event(100, "setting.changed", service=step.ops, setting=name, old=None, new=value)
            for name, value in (step.set or {}).items()
        ]
        left += [event(100, "sql.run", "candidate", statement=step.sql, error=None)] if step.sql else []

    score = scored(scenario, perfect(scenario, more=left))

    [said] = [i.reason for c in score.criteria for i in c.items if i.measure == "no_harmful_action"]
    assert harm.name in said


@pytest.mark.parametrize("kind", ["page.acknowledged", "incident.acknowledged"])
@pytest.mark.parametrize(("at_s", "expected"), [(20, 0), (38, 6)])
def test_who_acknowledges_before_there_is_a_page_has_not_answered_it(
    at_s: int, expected: float, kind: EventKind
) -> None:
    paged = [event(35, "incident.opened", "alert-ingestion", incident_id="1")]

    score = scored(DNS, journal(DNS, events=[*paged, event(at_s, kind, incident_id="1")]))

    assert points(score)["acknowledged_in_time"] == expected


def test_who_acknowledges_all_the_time_has_not_answered_a_page() -> None:
    paged = [event(35, "incident.opened", "alert-ingestion", incident_id="1")]
    blindly = [event(at_s, "page.acknowledged") for at_s in range(-30, 60, 10)]
    taken = event(50, "incident.acknowledged", incident_id="1")

    def given(*more: Event) -> float:
        return points(scored(DNS, journal(DNS, events=[*paged, *blindly, *more])))["acknowledged_in_time"]

    assert (given(), given(taken)) == (0, 6)
