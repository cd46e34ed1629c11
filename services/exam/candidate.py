"""The candidate's desk: what one run's candidate reads and does."""

from collections.abc import Mapping
from uuid import UUID

from scenarios.model import Hint as ScenarioHint
from scenarios.model import Scenario
from services.exam.diagnosis import COMPONENTS
from services.exam.grading.rubric import Rubric
from services.exam.schemas import (
    Acknowledgement,
    Brief,
    Criterion,
    Hint,
    HintOffer,
    Receipt,
    State,
    SubmissionIn,
    SubmissionList,
    SubmissionReceipt,
    TimeLeft,
    Update,
)
from services.exam.store import RunRow, Runs

COMPLAINTS_AFTER_S = 60.0
TASK = (
    "You are on call for a small shop. Somebody may page you, or not. Find out what is wrong and for whom, "
    "mitigate it with what an operator may do, keep people informed, and hand in a diagnosis before time is "
    "up. It may be that nothing is wrong: then say so, and leave everything as it is."
)


class Desk:
    """Everything a candidate may ask of the exam. Nothing in an answer names what is wrong."""

    def __init__(
        self,
        runs: Runs,
        scenarios: Mapping[str, Scenario],
        *,
        rubric: Rubric,
        places: Mapping[str, str],
        vocabulary: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._runs = runs
        self._scenarios = scenarios
        self._rubric = rubric
        self._places = places
        self._vocabulary = vocabulary

    def brief(self, run_id: UUID) -> Brief:
        row = self._runs.run(run_id)
        scenario = self._scenarios[row.scenario]
        return Brief(
            run_id=run_id,
            candidate=row.candidate,
            state=_shown_state(row),
            minutes=row.minutes,
            task=TASK,
            symptom=scenario.symptom if customers_complain(row) else None,
            places=dict(self._places),
            diagnosis={
                "components": list(COMPONENTS),
                **{name: dict(words) for name, words in self._vocabulary.items()},
            },
            criteria=[
                Criterion(name=one.title, points=one.points, explanation=one.explained)
                for one in self._rubric.criteria
            ],
        )

    def time(self, run_id: UUID) -> TimeLeft:
        row = self._runs.run(run_id)
        return TimeLeft(
            state=_shown_state(row),
            is_paused=row.paused_at is not None,
            elapsed_s=round(row.elapsed_s, 1),
            left_s=round(row.left_s, 1),
            ends_at=row.clock.ends_at(row.now) if row.is_under_way else None,
        )

    def acknowledge(self, run_id: UUID, which: Acknowledgement) -> Receipt:
        incident = str(which.incident_id) if which.incident_id else None
        at = self._runs.note(run_id, "page.acknowledged", incident_id=incident)
        return Receipt(at=at, kind="page.acknowledged")

    def hints(self, run_id: UUID) -> HintOffer:
        offered = self._hints(run_id)
        taken = sum(event.kind == "hint.taken" for event in self._runs.events(run_id))
        return HintOffer(
            taken=[_hint(number, offered[number - 1]) for number in range(1, taken + 1)],
            left=len(offered) - taken,
            prices=[hint.price for hint in offered[taken:]],
        )

    def take_hint(self, run_id: UUID) -> Hint:
        offered = self._hints(run_id)
        number = self._runs.take_hint(run_id, [hint.price for hint in offered])
        return _hint(number, offered[number - 1])

    def post_update(self, run_id: UUID, update: Update) -> Receipt:
        at = self._runs.note(run_id, "update.posted", text=update.text)
        return Receipt(at=at, kind="update.posted")

    def submit(self, run_id: UUID, submission: SubmissionIn) -> SubmissionReceipt:
        made = self._runs.submit(run_id, submission.diagnosis, draft=submission.draft)
        return SubmissionReceipt(number=made.number, at=made.at, draft=submission.draft)

    def submissions(self, run_id: UUID) -> SubmissionList:
        return SubmissionList(items=self._runs.submissions(run_id))

    def _hints(self, run_id: UUID) -> tuple[ScenarioHint, ...]:
        return self._scenarios[self._runs.run(run_id).scenario].hints


def _hint(number: int, hint: ScenarioHint) -> Hint:
    return Hint(number=number, price=hint.price, text=hint.text)


def customers_complain(row: RunRow) -> bool:
    """Whether customers have said by now what they meet.

    They call a minute after the fault, so that looking at the brief again and again is no alarm.
    """
    if row.state in ("created", "waiting", "soaking"):
        return False
    return not row.is_under_way or row.elapsed_s >= row.soak_s + COMPLAINTS_AFTER_S


def _shown_state(row: RunRow) -> State:
    """Soaking looks like running: when it begins is for the candidate to find out."""
    return "running" if row.state == "soaking" else row.state
