"""The diagnosis that a candidate hands in: ``diagnosis.yaml``, or the body of a submission.

It is structured, so that grading needs no judge: names come from the catalog of
services and from the scenarios' vocabulary, routes are route templates.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from scenarios.vocabulary import MECHANISMS, TRIGGERS
from services.common.catalog import SERVICES
from services.common.fields import Prose, Severity

NOTHING = "none"
EXAMINER = "exam"
COMPONENTS = (NOTHING, *(s.name for s in SERVICES if s.name != EXAMINER), "postgres")

Route = Annotated[str, Field(pattern=r"^(GET|POST|PUT|PATCH|DELETE) /[^\s\x00]*$", max_length=200)]
Text = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuledOut(_Part):
    """A component that was suspected, and why it is not the cause."""

    component: str
    because: Prose

    @field_validator("component")
    @classmethod
    def _known(cls, value: str) -> str:
        return str(_checked(value, COMPONENTS, what="component"))


class Evidence(_Part):
    """Where it can be seen: a signal's id, a trace's id, a query's text, a PromQL expression."""

    kind: Literal["signal", "trace", "query", "metric"]
    ref: Annotated[str, Field(min_length=1, max_length=5_000, pattern=r"^[^\x00]+$")]
    says: Text = ""


def identity(kind: str, ref: str) -> str:
    """What a piece of evidence refers to, however it is spelt: by this it is looked up, and counts once.

    A metric's is for comparing alone: without its spaces an expression may not be one.
    """
    if kind == "query":
        return " ".join(ref.lower().split()).rstrip("; ")
    if kind == "metric":
        return "".join(ref.split())
    spelt = ref.strip().lower()
    if kind == "trace":
        return spelt
    try:
        return str(UUID(spelt))
    except ValueError:
        return spelt


class Diagnosis(_Part):
    """What is wrong, whom it hits, how one knows. What is left out is not claimed.

    A list claims all of its members, and wrong ones count against it.
    """

    component: str | tuple[str, ...] | None = None
    mechanism: str | tuple[str, ...] | None = None
    trigger: str | tuple[str, ...] | None = None
    affected: Annotated[tuple[Route, ...], Field(max_length=50)] = ()
    not_affected: Annotated[tuple[Route, ...], Field(max_length=50)] = ()
    ruled_out: Annotated[tuple[RuledOut, ...], Field(max_length=30)] = ()
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=20)] = ()
    severity: Severity | None = None
    summary: Text = ""
    impact: Text = ""
    mitigation: Text = ""

    @field_validator("component")
    @classmethod
    def _component_known(cls, value: Any) -> Any:
        return _checked(value, COMPONENTS, what="component")

    @field_validator("mechanism")
    @classmethod
    def _mechanism_known(cls, value: Any) -> Any:
        return _checked(value, tuple(MECHANISMS), what="mechanism")

    @field_validator("trigger")
    @classmethod
    def _trigger_known(cls, value: Any) -> Any:
        return _checked(value, tuple(TRIGGERS), what="trigger")


def _checked(value: Any, allowed: Iterable[str], *, what: str) -> Any:
    """The value as it is, if every name in it is allowed; the error says what would be."""
    named = (value,) if isinstance(value, str) else tuple(value or ())
    wrong = [name for name in named if name not in allowed]
    if wrong:
        raise ValueError(f"{what} {', '.join(map(repr, wrong))} is not known; allowed: {', '.join(allowed)}")
    return value
