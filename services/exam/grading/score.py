"""What grading says about a run."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ItemScore(_Part):
    """Points for one item, and why so many."""

    measure: str
    points: float
    of: float
    reason: str


class CriterionScore(_Part):
    """Points for one criterion: its items' sum, but at least its floor."""

    name: str
    title: str
    points: float
    of: float
    items: tuple[ItemScore, ...]


class HintCost(_Part):
    """A hint that was taken."""

    number: int
    price: float


class Times(_Part):
    """Seconds from the injection, without pauses; ``None`` for what did not happen."""

    detect_s: float | None
    """The first alert."""
    page_s: float | None
    acknowledge_s: float | None
    mitigate_s: float | None
    """Since then the broken routes have been as before."""
    resolve_s: float | None
    """The last incident of the run was resolved; ``None`` if one is open."""
    outage_min: float
    """Minutes of outage, averaged over the broken routes."""
    budget_burned: float
    """The outage's share of the error budget that the rubric states."""


class Score(_Part):
    """A run's score, complete."""

    run: UUID
    scenario: str
    candidate: str
    points: float
    of: float
    criteria: tuple[CriterionScore, ...]
    hints: tuple[HintCost, ...]
    times: Times
