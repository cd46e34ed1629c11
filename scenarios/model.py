"""Scenarios: what breaks, what should be seen, what is true and what mends it.

Each scenario is a YAML file beside this one, named after it. ``load`` reads one,
``load_all`` reads them all; what is wrong with a file is said with the file, the
field and what is allowed there.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from services.common import catalog

FOLDER = Path(__file__).parent

NO_FAULT = "none"
MODES: Mapping[str, tuple[str, ...]] = {
    "profile": ("cache_off", "slow_query", "pool_saturation", "combined", "inject_timeout_errors"),
    "dns": ("record_missing",),
    "inventory": ("lock_held",),
    "payment": ("decline",),
}
"""What can be made to break, by service; ``none`` is everywhere."""

SERVICE_NAMES = tuple(service.name for service in catalog.SERVICES)

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Route = Annotated[str, Field(pattern=r"^(GET|POST|PUT|PATCH|DELETE) /\S*$")]


class ScenarioError(Exception):
    """A scenario file cannot be used. The message has a line for each thing that is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Timeline(_Part):
    """How long each phase lasts, in seconds: healthy, broken, healthy again."""

    soak_s: Seconds
    hold_s: Seconds
    rest_s: Seconds


class Fault(_Part):
    """A failure mode of a service, ``offset_s`` seconds after the hold begins."""

    service: str
    mode: str
    offset_s: Seconds = 0

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.service not in SERVICE_NAMES:
            raise _not_allowed("service", self.service, SERVICE_NAMES)
        allowed = (NO_FAULT, *MODES.get(self.service, ()))
        if self.mode not in allowed:
            raise _not_allowed("mode", self.mode, allowed, whose=f" of {self.service}")
        return self


class ExpectedAlert(_Part):
    """An alert that must fire, at most ``within_s`` seconds after the first fault."""

    alert: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]+$")]
    service: str
    severity: Literal["critical", "high", "medium", "low"] = "critical"
    within_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _service_is_known(self) -> Self:
        if self.service not in SERVICE_NAMES:
            raise _not_allowed("service", self.service, SERVICE_NAMES)
        return self


class RedHerring(_Part):
    """Something that looks like a cause and is none."""

    kind: Literal["deploy", "metric", "job"]
    seen: Text
    why_harmless: Text


class Truth(_Part):
    """The answer: only an examiner reads it. Component ``none`` means that nothing is wrong."""

    component: str
    mechanism: Text
    trigger: Text
    affected: tuple[Route, ...]
    not_affected: tuple[Route, ...]

    @model_validator(mode="after")
    def _component_is_known(self) -> Self:
        allowed = (NO_FAULT, *SERVICE_NAMES)
        if self.component not in allowed:
            raise _not_allowed("component", self.component, allowed)
        return self


class Mitigation(_Part):
    """Something a person may do, and what comes of it."""

    action: Text
    effect: Text


class Mitigations(_Part):
    accepted: tuple[Mitigation, ...]
    harmful: tuple[Mitigation, ...]


class Hint(_Part):
    """Help that a candidate can buy for ``price`` points."""

    text: Text
    price: Annotated[int, Field(ge=0)]


class Scenario(_Part):
    """One incident (or a quiet night), complete."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    title: Text
    difficulty: Literal["easy", "medium", "hard"]
    timeline: Timeline
    faults: tuple[Fault, ...]
    expected_alerts: tuple[ExpectedAlert, ...]
    red_herrings: tuple[RedHerring, ...]
    truth: Truth
    mitigations: Mitigations
    hints: tuple[Hint, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        hold_s = self.timeline.hold_s
        for place, fault in enumerate(self.faults):
            if fault.offset_s >= hold_s:
                raise _wrong(f"faults.{place}.offset_s", f"must be below timeline.hold_s ({hold_s:g})")
        for place, expected in enumerate(self.expected_alerts):
            if expected.within_s > hold_s:
                field = f"expected_alerts.{place}.within_s"
                raise _wrong(field, f"must not exceed timeline.hold_s ({hold_s:g})")
        broken = [fault for fault in self.faults if fault.mode != NO_FAULT]
        if not broken and self.expected_alerts:
            raise _wrong("expected_alerts", "must be empty where no fault is")
        if bool(broken) == (self.truth.component == NO_FAULT):
            raise _wrong("truth.component", f"must be {NO_FAULT!r} where no fault is, and only there")
        return self

    @property
    def services(self) -> tuple[str, ...]:
        """The services that the faults touch, each once, in the order of the file."""
        return tuple(dict.fromkeys(fault.service for fault in self.faults))

    def with_timeline(
        self, *, soak_s: float | None = None, hold_s: float | None = None, rest_s: float | None = None
    ) -> "Scenario":
        """The same scenario with other durations, in seconds; ``None`` keeps one. Alert deadlines stay."""
        given = {"soak_s": soak_s, "hold_s": hold_s, "rest_s": rest_s}
        changes = {name: value for name, value in given.items() if value is not None}
        return self.model_copy(update={"timeline": self.timeline.model_copy(update=changes)})


def load(path: Path) -> Scenario:
    """Read one scenario file. Raises ``ScenarioError`` that says all that is wrong with it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ScenarioError(f"{path}: a mapping is needed; allowed fields: {_listed(Scenario.model_fields)}")
    try:
        scenario = Scenario.model_validate(content)
    except ValidationError as error:
        lines = [f"{path}: {_explained(details)}" for details in error.errors(include_url=False)]
        raise ScenarioError("\n".join(lines)) from error
    if scenario.name != path.stem:
        raise ScenarioError(f"{path}: name: {scenario.name!r} is not the file's name; allowed: {path.stem}")
    return scenario


def load_all(folder: Path = FOLDER) -> dict[str, Scenario]:
    """All scenarios of a folder by name. Raises ``ScenarioError`` with what is wrong in any of them."""
    scenarios: dict[str, Scenario] = {}
    wrong: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            scenarios[path.stem] = load(path)
        except ScenarioError as error:
            wrong.append(str(error))
    if wrong:
        raise ScenarioError("\n".join(wrong))
    return scenarios


def _wrong(field: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("wrong", "{message}", {"field": field, "message": message})


def _not_allowed(field: str, value: str, allowed: tuple[str, ...], *, whose: str = "") -> PydanticCustomError:
    close = difflib.get_close_matches(value, allowed, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ""
    return _wrong(field, f"{value!r} is no {field}{whose}; allowed: {_listed(allowed)}{meant}")


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))


def _explained(details: ErrorDetails) -> str:
    """One line for one error: the field's path, what is wrong, and what is allowed."""
    place = [str(step) for step in details["loc"]]
    context = details.get("ctx", {})
    if details["type"] == "wrong":
        return f"{'.'.join([*place, context['field']])}: {context['message']}"
    field = ".".join(place) or "(file)"
    if details["type"] == "extra_forbidden":
        return f"{field}: unknown field; allowed: {_listed(_fields_beside(details['loc']))}"
    if details["type"] == "missing":
        return f"{field}: is missing"
    if details["type"] == "literal_error":
        return f"{field}: {details['input']!r} is not allowed; allowed: {context['expected']}"
    return f"{field}: {details['input']!r} is not allowed: {details['msg']}"


def _fields_beside(place: tuple[int | str, ...]) -> Mapping[str, Any]:
    """The fields of the model in which the last step of ``place`` stands."""
    model: type[BaseModel] = Scenario
    for step in place[:-1]:
        if isinstance(step, str):
            model = _model_within(model.model_fields[step].annotation)
    return model.model_fields


def _model_within(annotation: Any) -> type[BaseModel]:
    """The model that a field holds: ``Timeline``, or the ``Fault`` of ``tuple[Fault, ...]``."""
    arguments = getattr(annotation, "__args__", ())
    model: type[BaseModel] = arguments[0] if arguments else annotation
    return model
