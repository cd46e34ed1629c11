"""What the on-call service takes and answers. Instants are ISO 8601 with an offset."""

from datetime import UTC, date, datetime, timedelta
from datetime import time as wall_time
from functools import cache
from typing import Annotated, Any, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from services.common.pages import Page
from services.oncall.rotation import HandoffRotation, Rotation, WeeklyRotation
from services.oncall.timeline import Source

EVERY_TEAM = "*"
LONGEST_OVERRIDE = timedelta(days=92)
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["ada"])]
Team = Annotated[
    str,
    Field(
        pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,99})$",
        examples=["payment"],
        description="A service's name; * stands for every team without its own.",
    ),
]
Channel = Literal["console", "email", "webhook", "chat"]


def _only_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def _in_range(instant: datetime) -> datetime:
    if not FIRST <= instant <= LAST:
        raise ValueError("must lie between the years 2000 and 2100")
    return instant.astimezone(UTC)


def _day_in_range(day: date) -> date:
    if not FIRST.date() <= day <= LAST.date():
        raise ValueError("must lie between the years 2000 and 2100")
    return day


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("no such time zone in the IANA database")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _unique(members: list[str]) -> list[str]:
    if len(set(members)) < len(members):
        raise ValueError("a member is named twice")
    return members


Instant = Annotated[AwareDatetime, BeforeValidator(_only_text), AfterValidator(_in_range)]
Day = Annotated[date, BeforeValidator(_only_text), AfterValidator(_day_in_range)]


class WeeklyKind(BaseModel):
    """A turn for each ISO week, from Monday 00:00 on: member number ``week % members``, from 0."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["weekly"] = "weekly"


class HandoffKind(BaseModel):
    """A turn every ``every_days`` days, handed over at the wall-clock time ``at``."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["handoff"]
    at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["09:00"])] = "09:00"
    every_days: Annotated[int, Field(ge=1, le=28, strict=True)] = 7
    starts_on: Day
    """The day on which the first member's turn begins."""


class NewSchedule(BaseModel):
    """Who takes turns for a team. Of several schedules of a team, the one made last is in force."""

    model_config = ConfigDict(extra="forbid")

    team: Team
    members: Annotated[list[Name], Field(min_length=1, max_length=50), AfterValidator(_unique)]
    name: Name | None = None
    """``<team>-primary`` unless it is given."""
    time_zone: Annotated[
        str, Field(max_length=64, examples=["Europe/Berlin"]), AfterValidator(_known_zone)
    ] = "UTC"
    rotation: WeeklyKind | HandoffKind = WeeklyKind()


class Schedule(BaseModel):
    """A schedule on record."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    team: str
    members: list[str]
    time_zone: str
    rotation: WeeklyKind | HandoffKind
    created_at: datetime

    def turns(self) -> Rotation:
        """Its rotation, to be asked whose turn it is."""
        members, zone = tuple(self.members), ZoneInfo(self.time_zone)
        if isinstance(self.rotation, WeeklyKind):
            return WeeklyRotation(members, zone)
        return HandoffRotation(
            members,
            zone,
            at=wall_time.fromisoformat(self.rotation.at),
            every_days=self.rotation.every_days,
            starts_on=self.rotation.starts_on,
        )


class ScheduleList(Page[Schedule]):
    """Schedules, the one made last first; ``next_offset`` is null on the last page."""


class OnCall(BaseModel):
    """Who is on call for a team now, and for which stretch of time.

    ``source``: the team's own rotation, an override, or the default schedule
    (team ``*``).
    """

    team: str
    engineer: str
    schedule_id: UUID
    since: datetime
    until: datetime
    source: Source
    override_id: UUID | None = None


class Turn(BaseModel):
    """A stretch of a timeline, cut to the timeline's bounds."""

    model_config = ConfigDict(from_attributes=True)

    engineer: str
    since: datetime
    until: datetime
    source: Source
    override_id: UUID | None


class Timeline(BaseModel):
    """Who is on call for a team from ``since`` until ``until``, without gaps."""

    team: str
    schedule_id: UUID
    since: datetime
    until: datetime
    items: list[Turn]


class NewOverride(BaseModel):
    """Somebody stands in for a team, for at most 92 days.

    Where overrides overlap, the one made later wins; the answer names those
    that it overlaps. One for a team stands above one for every team (``*``), which does
    not reach teams with a schedule of their own.
    """

    model_config = ConfigDict(extra="forbid")

    team: Team
    engineer: Name
    starts_at: Instant
    ends_at: Instant
    reason: Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if self.starts_at >= self.ends_at:
            raise ValueError("ends_at must be after starts_at")
        if self.ends_at - self.starts_at > LONGEST_OVERRIDE:
            raise ValueError(f"an override is for at most {LONGEST_OVERRIDE.days} days: change the schedule")
        return self


class Override(BaseModel):
    """An override on record."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    team: str
    engineer: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_at: datetime


class OverrideReceipt(Override):
    """An override just made, with the earlier ones of its team over which it wins where they overlap."""

    overlaps: list[UUID]


class OverrideList(Page[Override]):
    """Overrides, the one made last first; ``next_offset`` is null on the last page."""


class Level(BaseModel):
    """One level of a policy.

    ``after_s`` counts from when the incident last changed hands, as each step
    makes it, or became critical; however often it is handed on, the level comes
    after twice that. Without it ``ESCALATION_DELAY`` stands.
    """

    model_config = ConfigDict(extra="forbid")

    target: Literal["on_call", "next_on_call", "engineer"]
    engineer: Name | None = None
    """For the target ``engineer``, and for no other."""
    after_s: Annotated[float, Field(ge=0, le=86_400, strict=True)] | None = None
    channel: Channel = "console"

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if (self.target == "engineer") != (self.engineer is not None):
            raise ValueError("engineer goes with the target 'engineer', and only with it")
        return self


class NewPolicy(BaseModel):
    """The levels that an unacknowledged critical incident climbs; none means that it does not escalate."""

    model_config = ConfigDict(extra="forbid")

    levels: Annotated[list[Level], Field(max_length=10)]


class Policy(NewPolicy):
    """A team's policy on record; the team ``*`` is for every team without its own."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    team: str
    updated_at: datetime


class PolicyList(BaseModel):
    """Every policy, by team."""

    items: list[Policy]


class EscalationRequest(BaseModel):
    """Take an incident one level up now, without waiting."""

    model_config = ConfigDict(extra="forbid")

    incident_id: Name
    team: Team = EVERY_TEAM
    reason: Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class Escalation(BaseModel):
    """One step: ``pending`` until the notification service has it, or it is needed no more."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    incident_id: str
    level: int
    team: str
    engineer: str
    channel: Channel
    message: str
    origin: Literal["automatic", "manual"]
    status: Literal["pending", "notified", "cancelled"]
    delivery_id: UUID | None
    created_at: datetime
    settled_at: datetime | None


class EscalationList(Page[Escalation]):
    """Steps, the latest first; ``next_offset`` is null on the last page."""


class OpenIncident(BaseModel):
    """What is read of an incident of incident-management.

    While it is open, ``updated_at`` is when it last changed hands or severity.
    """

    id: UUID
    title: str
    service: str
    assigned_to: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class IncidentPage(BaseModel):
    """What is read of a page of incidents; ``next_offset`` is null on the last page."""

    items: list[OpenIncident]
    next_offset: int | None = None


class IncidentState(BaseModel):
    """What is read of a single incident."""

    status: str
    severity: str


class NotifyReceipt(BaseModel):
    """What is read of the notification service's answer."""

    delivery_id: UUID
