"""What the exam takes and answers. Times are UTC, durations are seconds unless they are named minutes."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from services.common.fields import Line, Prose
from services.common.pages import Page
from services.exam.diagnosis import Diagnosis
from services.exam.grading.facts import MACHINES
from services.exam.journal import EndedBy, Event, Submission

State = Literal["created", "waiting", "soaking", "running", "grading", "graded", "aborted"]
ACTIVE: tuple[State, ...] = ("waiting", "soaking", "running", "grading")
"""While a run is in one of these, the lab is its own."""
UNDER_WAY: tuple[State, ...] = ("soaking", "running")
"""While a run is in one of these, its clock goes and its candidate works."""
MAX_MINUTES = 24 * 60
RANDOM = "random"

Minutes = Annotated[float, Field(gt=0, le=MAX_MINUTES, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewRun(_Body):
    """A run to be. ``random`` draws the scenario by the seed; it is sealed in the run either way.

    Without ``soak_s`` the scenario says how long all is well at first. A run is blind
    unless ``open``: then the lab may name what is wrong.
    """

    scenario: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$", examples=["payment-dns", RANDOM])]
    candidate: Line
    minutes: Minutes = 45
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    soak_s: Annotated[float | None, Field(ge=0, le=3600, allow_inf_nan=False)] = None
    open: bool = False

    @field_validator("candidate")
    @classmethod
    def _is_no_machine(cls, name: str) -> str:
        if name in MACHINES:
            raise ValueError(f"{name} is a part of the lab: what it does is nobody's credit")
        return name


class Extension(_Body):
    """More time."""

    minutes: Minutes


class Run(BaseModel):
    """One run as the examiner sees it. ``trouble`` says why it does not go on at the moment."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    scenario: str
    seed: int
    candidate: str
    minutes: float
    soak_s: float
    blind: bool
    state: State
    trouble: str | None
    created_at: datetime
    started_at: datetime | None
    injected_at: datetime | None
    paused_at: datetime | None
    ended_at: datetime | None
    ended_by: EndedBy | None
    elapsed_s: float
    left_s: float
    points: float | None


class CreatedRun(Run):
    """A new run with its candidate's token, which is shown this once."""

    token: str


class RunPage(Page[Run]):
    """Runs, newest first; ``next_offset`` is null on the last page."""


class Timeline(BaseModel):
    """What happened in a run, in the order of time."""

    run_id: UUID
    state: State
    events: list[Event]


class Criterion(BaseModel):
    """A part of the score, as candidates are told beforehand."""

    name: str
    points: float
    explanation: str


class Brief(BaseModel):
    """What the candidate is told: the task, the time, where everything is. Never what is wrong."""

    run_id: UUID
    candidate: str
    state: State
    minutes: float
    task: str
    symptom: str | None
    places: dict[str, str]
    diagnosis: dict[str, JsonValue]
    """What a diagnosis may say: components, mechanisms and triggers with a line each."""
    criteria: list[Criterion]


class TimeLeft(BaseModel):
    """The run's clock."""

    state: State
    is_paused: bool
    elapsed_s: float
    left_s: float
    ends_at: datetime | None


class HintOffer(BaseModel):
    """How many hints there are, and what each of those not taken yet costs in points."""

    taken: list["Hint"]
    left: int
    prices: list[int]


class Hint(BaseModel):
    """A hint that was bought."""

    number: int
    price: int
    text: str


class Update(_Body):
    """A status update, as one would post it for customers and colleagues."""

    text: Prose


class Acknowledgement(_Body):
    """Which page is acknowledged: an incident's id, or simply the page."""

    incident_id: UUID | None = None


class Receipt(BaseModel):
    """What was asked for is on record."""

    at: datetime
    kind: str


class SubmissionIn(_Body):
    """A diagnosis, which ends the run; a ``draft`` does not, and may be replaced until time is up."""

    diagnosis: Diagnosis
    draft: bool = False


class SubmissionReceipt(BaseModel):
    """A diagnosis was handed in; the one with the highest number counts."""

    number: int
    at: datetime
    draft: bool


class SubmissionList(BaseModel):
    """Everything that was handed in, oldest first."""

    items: list[Submission]
