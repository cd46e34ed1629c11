"""Scenarios: what breaks, what should be seen, what is true and what mends it.

Each scenario is a YAML file beside this one, named after it. ``load`` reads one,
``load_all`` reads them all; what is wrong with a file is said with the file, the
field and what is allowed there.
"""

import difflib
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from scenarios.statements import bare, conditions, run
from scenarios.vocabulary import MECHANISMS, TRIGGERS
from services.common import catalog

FOLDER = Path(__file__).parent

NO_FAULT = "none"
MODES: Mapping[str, tuple[str, ...]] = {
    "profile": ("cache_off", "slow_query", "pool_saturation", "combined", "inject_timeout_errors"),
    "dns": ("record_missing", "record_stale"),
    "inventory": ("lock_held",),
    "payment": ("decline", "card_range_declined", "account_locked"),
}
"""What can be made to break, by service; ``none`` is everywhere."""

SERVICE_NAMES = tuple(service.name for service in catalog.SERVICES)

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Route = Annotated[str, Field(pattern=r"^(GET|POST|PUT|PATCH|DELETE) /\S*$")]


_AS_WRITTEN = re.IGNORECASE | re.DOTALL | re.VERBOSE
"""How a scenario's regular expressions are meant."""


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


class Step(_Part):
    """One thing that somebody really does to the lab. Exactly one of these:

    ``ops`` and ``set``: operator settings of a service (``null`` takes one back);
    ``record`` and ``address``: an address record of the zone, the host of the service ``fraud`` if it
    says ``fraud``; ``sql``: a statement under the role ``candidate``; ``wait_s``: nothing, for so long.
    For a red herring alone: ``deploy`` and ``release``: the service runs as this release from now on,
    which behaves the same; ``report`` and ``for_s``: the nightly report runs for so many seconds.
    """

    ops: str | None = None
    set: dict[str, JsonValue] | None = None
    record: str | None = None
    address: str | None = None
    ttl_s: Annotated[int, Field(ge=0, le=86400)] | None = None
    sql: Text | None = None
    wait_s: Seconds | None = None
    deploy: str | None = None
    release: Annotated[str, Field(pattern=r"^[0-9a-f]{7}$")] | None = None
    report: Literal["payment"] | None = None
    for_s: Annotated[float, Field(gt=0, le=120)] | None = None

    @property
    def kind(self) -> str:
        """The field that says what is done: one of ``STEP_FIELDS``."""
        return next(name for name in STEP_FIELDS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        kinds = [name for name in STEP_FIELDS if name in given]
        if len(kinds) != 1:
            raise _wrong(STEP_FIELDS_LISTED, "exactly one of these is needed")
        needed, allowed = STEP_FIELDS[kinds[0]]
        if missing := [name for name in needed if name not in given]:
            raise _wrong(missing[0], f"is needed with {kinds[0]}")
        if strange := given - {kinds[0], *needed, *allowed}:
            raise _wrong(min(strange), f"does not go with {kinds[0]}")
        for field in ("ops", "deploy"):
            if field in given and getattr(self, field) not in SERVICE_NAMES:
                raise _not_allowed(field, str(getattr(self, field)), SERVICE_NAMES)
        return self


STEP_FIELDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ops": (("set",), ()),
    "record": (("address",), ("ttl_s",)),
    "sql": ((), ()),
    "wait_s": ((), ()),
    "deploy": (("release",), ()),
    "report": (("for_s",), ()),
}
"""The kinds of steps, each with the fields that it needs and those that it may have."""
STEP_FIELDS_LISTED = "|".join(STEP_FIELDS)
OF_RED_HERRINGS = ("deploy", "report")


class RedHerring(_Part):
    """Something that looks like a cause and is none.

    ``steps`` make it visible, ``offset_s`` seconds after the hold begins (before it, if negative); without
    any it is always there. ``jitter_s`` moves it: by how much is the seed's to say.
    """

    kind: Literal["deploy", "metric", "job"]
    seen: Text
    why_harmless: Text
    offset_s: Annotated[float, Field(ge=-3600, allow_inf_nan=False)] = 0
    jitter_s: Seconds = 0
    steps: tuple[Step, ...] = ()

    def shown_at_s(self, *, seed: int, number: int) -> float:
        """When it is shown in a run with this seed, in seconds after the hold begins.

        ``number`` is its place among the scenario's red herrings.
        """
        return self.offset_s + random.Random(f"{seed}:herring:{number}").uniform(0, self.jitter_s)


class Truth(_Part):
    """The answer: only an examiner reads it. Component ``none`` means that nothing is wrong.

    ``mechanism`` and ``trigger`` are codes of ``scenarios.vocabulary``; ``explained`` is prose.
    """

    component: str
    mechanism: str
    trigger: str
    explained: Text
    affected: tuple[Route, ...]
    not_affected: tuple[Route, ...]

    @model_validator(mode="after")
    def _words_are_known(self) -> Self:
        allowed = (NO_FAULT, *SERVICE_NAMES)
        if self.component not in allowed:
            raise _not_allowed("component", self.component, allowed)
        if self.mechanism not in MECHANISMS:
            raise _not_allowed("mechanism", self.mechanism, tuple(MECHANISMS))
        if self.trigger not in TRIGGERS:
            raise _not_allowed("trigger", self.trigger, tuple(TRIGGERS))
        return self


class Bearing(_Part):
    """Which evidence bears on the fault: of these services, over these relations, of these metrics.

    ``relations`` are names of tables and views of the database, without schema or with; ``metrics`` are
    beginnings of metric names.
    """

    services: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _services_are_known(self) -> Self:
        for service in self.services:
            if service not in SERVICE_NAMES:
                raise _not_allowed("services", service, SERVICE_NAMES)
        return self


class Detect(_Part):
    """How a harmful action is found in what happened. Exactly one of these:

    ``setting`` (``service.name``) that ``becomes`` a value or goes ``above`` or ``below`` a number; ``sql``:
    a regular expression that a statement matches, whatever its case, which may go with ``where``: another one
    that its conditions match, a line for each; ``restarted``: a service.

    Both are verbose: blanks in them stand for nothing. ``sql`` sees no literal, for what a statement only
    says it does not do; ``where`` sees them, and each condition from its column on.
    """

    setting: Annotated[str, Field(pattern=r"^[a-z-]+\.[a-z_]+$")] | None = None
    becomes: JsonValue = None
    above: float | None = None
    below: float | None = None
    sql: Text | None = None
    where: Text | None = None
    restarted: str | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        ways = [name for name in ("setting", "sql", "restarted") if getattr(self, name) is not None]
        if len(ways) != 1:
            raise _wrong("setting|sql|restarted", "exactly one of these is needed")
        given = {"becomes", "above", "below"} & self.model_fields_set
        if len(given) != (ways[0] == "setting"):
            raise _wrong("becomes|above|below", "one of these goes with setting, none with anything else")
        if self.where is not None and self.sql is None:
            raise _wrong("where", "goes with sql alone")
        for field in ("sql", "where"):
            try:
                re.compile(getattr(self, field) or "", _AS_WRITTEN)
            except re.error as error:
                raise _wrong(field, f"is no regular expression: {error}") from error
        return self

    def matches_setting(self, setting: str, value: JsonValue) -> bool:
        """Whether ``setting`` (``service.name``) with its new value is what is looked for."""
        if self.setting != setting:
            return False
        if "becomes" in self.model_fields_set:
            return value == self.becomes
        number = _number(value)
        if number is None:
            return False
        return number > self.above if self.above is not None else number < (self.below or 0)

    def matches_sql(self, statement: str) -> bool:
        """Whether a statement does what is looked for."""
        return self.sql is not None and any(
            re.search(self.sql, bare(one), _AS_WRITTEN) is not None and self._is_where(one)
            for one in run(statement)
        )

    def _is_where(self, statement: str) -> bool:
        lines = "".join(f"{one}\n" for one in conditions(statement))
        return self.where is None or re.search(self.where, lines, _AS_WRITTEN) is not None


class Mitigation(_Part):
    """Something a person may do, and what comes of it. ``steps`` are what it is in the lab."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    action: Text
    effect: Text
    steps: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _is_a_persons(self) -> Self:
        for place, step in enumerate(self.steps):
            if step.kind in OF_RED_HERRINGS:
                raise _wrong(f"steps.{place}.{step.kind}", "is for red herrings alone")
        return self


class HarmfulMitigation(Mitigation):
    """Something that must not be done, and how one sees that it was."""

    detect: Detect


class Mitigations(_Part):
    accepted: tuple[Mitigation, ...]
    harmful: tuple[HarmfulMitigation, ...]


class Hint(_Part):
    """Help that a candidate can buy for ``price`` points."""

    text: Text
    price: Annotated[int, Field(ge=0)]


class Scenario(_Part):
    """One incident (or a quiet night), complete."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    title: Text
    difficulty: Literal["easy", "medium", "hard"]
    symptom: Text
    """What customers say; a candidate may read it."""
    timeline: Timeline
    faults: tuple[Fault, ...]
    expected_alerts: tuple[ExpectedAlert, ...]
    red_herrings: tuple[RedHerring, ...]
    truth: Truth
    bears_on: Bearing
    mitigations: Mitigations
    hints: Annotated[tuple[Hint, ...], Field(min_length=3, max_length=3)]
    """The nearer to the answer, the dearer."""
    strong_path: tuple[Text, ...]
    """What a strong candidate does, step by step."""
    debrief: Text

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
        for field in ("component", "mechanism", "trigger"):
            if bool(broken) == (getattr(self.truth, field) == NO_FAULT):
                raise _wrong(f"truth.{field}", f"must be {NO_FAULT!r} where no fault is, and only there")
        for place, mitigation in enumerate(self.mitigations.accepted):
            if broken and not mitigation.steps:
                raise _wrong(f"mitigations.accepted.{place}.steps", "are needed where a fault is")
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


def _number(value: JsonValue) -> float | None:
    """A setting's value as a number; amounts are kept as strings."""
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


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
