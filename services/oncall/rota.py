"""The rota: schedules and overrides in Postgres, and who is on call by them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database
from services.common.errors import Conflict, NotFound, Unprocessable
from services.oncall.schemas import (
    EVERY_TEAM,
    FIRST,
    LAST,
    LONGEST_OVERRIDE,
    NewOverride,
    NewSchedule,
    OnCall,
    Override,
    OverrideList,
    OverrideReceipt,
    Schedule,
    ScheduleList,
    Timeline,
    Turn,
)
from services.oncall.tables import overrides, schedules
from services.oncall.timeline import LOOK_AHEAD, Plan, StandIn

LONGEST_TIMELINE = timedelta(days=366)
_DEFAULT_LOCK = 7_210_060
"""Number of the advisory lock under which default schedules are removed."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock on the wall, in UTC."""
    return datetime.now(UTC)


class Rota:
    """Schedules, overrides and turns; ``clock`` says what now is."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    def add_schedule(self, new: NewSchedule) -> Schedule:
        """A new schedule: from now on it is the one in force for its team."""
        values = {**new.model_dump(mode="json"), "name": new.name or f"{new.team}-primary"}
        with self._database.transaction() as db:
            row = db.execute(insert(schedules).values(values).returning(*schedules.c)).one()
        return Schedule.model_validate(row)

    def schedule(self, schedule_id: UUID) -> Schedule:
        """One schedule; raises ``NotFound``."""
        with self._database.transaction() as db:
            row = db.execute(select(schedules).where(schedules.c.id == schedule_id)).one_or_none()
        if row is None:
            raise NotFound(f"no schedule {schedule_id}")
        return Schedule.model_validate(row)

    def schedules(self, *, team: str | None, limit: int, offset: int) -> ScheduleList:
        """A page of schedules, the one made last first; ``None`` is every team's."""
        query: Select[tuple[object, ...]] = select(schedules).order_by(schedules.c.seq.desc())
        if team is not None:
            query = query.where(schedules.c.team == team)
        with self._database.transaction() as db:
            rows = db.execute(query.limit(limit + 1).offset(offset)).all()
        return ScheduleList.of(rows, limit=limit, offset=offset)

    def remove_schedule(self, schedule_id: UUID) -> None:
        """Remove a schedule; the one made before it is in force again, or the default.

        Raises ``NotFound``, and ``Conflict`` for the last default: every team has somebody.
        """
        s = schedules.c
        with self._database.transaction() as db:
            db.execute(select(func.pg_advisory_xact_lock(_DEFAULT_LOCK)))
            team = db.scalar(delete(schedules).where(s.id == schedule_id).returning(s.team))
            if team is None:
                raise NotFound(f"no schedule {schedule_id}")
            if team == EVERY_TEAM and self._newest(db, EVERY_TEAM) is None:
                raise Conflict("this is the last schedule for every team: make another one first")

    def add_override(self, new: NewOverride) -> OverrideReceipt:
        """Have somebody stand in; where it overlaps earlier overrides, this one holds."""
        o = overrides.c
        with self._database.transaction() as db:
            row = db.execute(insert(overrides).values(new.model_dump()).returning(*overrides.c)).one()
            overlapped = db.scalars(
                select(o.id)
                .where(
                    o.team == new.team,
                    o.starts_at < new.ends_at,
                    o.ends_at > new.starts_at,
                    o.seq < row.seq,
                )
                .order_by(o.seq)
            ).all()
        made = Override.model_validate(row)
        return OverrideReceipt(**made.model_dump(), overlaps=list(overlapped))

    def overrides(self, *, team: str | None, since: datetime | None, limit: int, offset: int) -> OverrideList:
        """A page of overrides, the one made last first; ``None`` is every team's, and past ones too."""
        query: Select[tuple[object, ...]] = select(overrides).order_by(overrides.c.seq.desc())
        if team is not None:
            query = query.where(overrides.c.team == team)
        if since is not None:
            query = query.where(overrides.c.ends_at > since)
        with self._database.transaction() as db:
            rows = db.execute(query.limit(limit + 1).offset(offset)).all()
        return OverrideList.of(rows, limit=limit, offset=offset)

    def remove_override(self, override_id: UUID) -> None:
        """Take an override back; raises ``NotFound``."""
        with self._database.transaction() as db:
            removed = db.execute(delete(overrides).where(overrides.c.id == override_id))
        if removed.rowcount == 0:
            raise NotFound(f"no override {override_id}")

    def current(self, team: str) -> OnCall:
        """Who is on call for a team now."""
        now = self._clock()
        schedule, plan = self._plan(team, since=now, until=now)
        turn = plan.current(now)
        return OnCall(
            team=team,
            engineer=turn.engineer,
            schedule_id=schedule.id,
            since=turn.since,
            until=turn.until,
            source=turn.source,
            override_id=turn.override_id,
        )

    def next_other(self, team: str) -> str:
        """Who comes after whoever is on call for a team now."""
        now = self._clock()
        _, plan = self._plan(team, since=now, until=now + LOOK_AHEAD)
        return plan.next_other(now)

    def timeline(self, team: str, *, since: datetime, until: datetime) -> Timeline:
        """Who is on call for a team from ``since`` until ``until``, by what is on record now.

        Raises ``Unprocessable`` for a stretch that is empty or too long.
        """
        if not FIRST <= since < until <= LAST:
            raise Unprocessable("from must be before to, and both between the years 2000 and 2100")
        if until - since > LONGEST_TIMELINE:
            raise Unprocessable(f"a timeline is for at most {LONGEST_TIMELINE.days} days")
        schedule, plan = self._plan(team, since=since, until=until)
        turns = plan.turns(since=since, until=until)
        return Timeline(
            team=team,
            schedule_id=schedule.id,
            since=since,
            until=until,
            items=[Turn.model_validate(turn) for turn in turns],
        )

    def _plan(self, team: str, *, since: datetime, until: datetime) -> tuple[Schedule, Plan]:
        """The schedule in force for a team, and its plan for whatever touches these bounds."""
        with self._database.transaction() as db:
            own = self._newest(db, team)
            schedule = own or self._newest(db, EVERY_TEAM)
            if schedule is None:
                raise NotFound("no schedule, and none for every team")
            teams = {team} if own is not None else {team, EVERY_TEAM}
            standing_in = self._standing_in(db, team, teams=teams, since=since, until=until)
        is_default = own is None or team == EVERY_TEAM
        return schedule, Plan(schedule.turns(), standing_in, "default" if is_default else "rotation")

    def _newest(self, db: Connection, team: str) -> Schedule | None:
        s = schedules.c
        row = db.execute(
            select(schedules).where(s.team == team).order_by(s.seq.desc()).limit(1)
        ).one_or_none()
        return None if row is None else Schedule.model_validate(row)

    def _standing_in(
        self, db: Connection, team: str, *, teams: set[str], since: datetime, until: datetime
    ) -> list[StandIn]:
        o = overrides.c
        # The turn around an instant reaches at most as far as the longest override around it.
        rows = db.execute(
            select(overrides).where(
                o.team.in_(teams),
                o.ends_at > since - LONGEST_OVERRIDE,
                o.starts_at < until + LONGEST_OVERRIDE,
            )
        )
        return [
            StandIn(row.id, row.engineer, row.starts_at, row.ends_at, (row.team == team, row.seq))
            for row in rows
        ]
