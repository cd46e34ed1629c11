"""Escalations: policies, and the steps that were taken, in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert

from services.common.database import Database
from services.common.errors import Conflict, NotFound
from services.oncall.rota import Rota
from services.oncall.schemas import (
    EVERY_TEAM,
    Escalation,
    EscalationList,
    EscalationRequest,
    Level,
    NewPolicy,
    OpenIncident,
    Policy,
    PolicyList,
)
from services.oncall.tables import escalation_policies, escalations

PENDING_BATCH = 100
TITLE_CHARS = 500


@dataclass(frozen=True)
class LastStep:
    """The highest level that an incident has climbed to, and when it did."""

    level: int
    taken_at: datetime


def due_level(
    levels: Sequence[Level],
    incident: OpenIncident,
    *,
    seen_at: datetime,
    last: LastStep | None,
    delay: timedelta,
    now: datetime,
) -> int | None:
    """The number (from 1) of the level that is due now; ``None`` when none is, or all are taken.

    A level's wait begins when the incident came to whom it is with, as critical
    as it is, so that whoever is told late still has the whole of it. However
    often it is handed on, it begins one wait after the step before at the latest,
    or after ``seen_at``, when the incident was first seen open and critical.
    """
    taken, since = (last.level, last.taken_at) if last else (0, incident.created_at)
    if taken >= len(levels):
        return None
    after_s = levels[taken].after_s
    wait = delay if after_s is None else timedelta(seconds=after_s)
    # Nobody's yet: whoever is on call is about to be asked for, and has had none of it.
    came_at = incident.updated_at if incident.assigned_to is not None else max(incident.updated_at, seen_at)
    begins_at = min(max(since, came_at), max(since, seen_at) + wait)
    return taken + 1 if now >= begins_at + wait else None


class Escalations:
    """Policies and steps. A step is taken once, whoever tries: its incident and level are its key.

    One that was cancelled told nobody, and is taken anew when it is due again.
    """

    def __init__(self, database: Database, *, rota: Rota, delay: timedelta) -> None:
        self._database = database
        self._rota = rota
        self._delay = delay

    def policies(self) -> PolicyList:
        """Every policy, by team."""
        with self._database.transaction() as db:
            rows = db.execute(select(escalation_policies).order_by(escalation_policies.c.team)).all()
        return PolicyList(items=[Policy.model_validate(row) for row in rows])

    def policy(self, team: str) -> Policy:
        """A team's own policy, or the one for every team; raises ``NotFound`` when there is neither."""
        p = escalation_policies.c
        query = select(escalation_policies).where(p.team.in_({team, EVERY_TEAM}))
        with self._database.transaction() as db:
            row = db.execute(query.order_by((p.team == team).desc()).limit(1)).one_or_none()
        if row is None:
            raise NotFound(f"no escalation policy for {team}")
        return Policy.model_validate(row)

    def put_policy(self, team: str, new: NewPolicy) -> Policy:
        """Set a team's policy."""
        values = {"levels": new.model_dump(mode="json")["levels"], "updated_at": func.now()}
        with self._database.transaction() as db:
            row = db.execute(
                insert(escalation_policies)
                .values(team=team, **values)
                .on_conflict_do_update(index_elements=["team"], set_=values)
                .returning(*escalation_policies.c)
            ).one()
        return Policy.model_validate(row)

    def escalate(self, request: EscalationRequest) -> Escalation:
        """Take an incident one level up now.

        Raises ``Conflict`` when it is at the top, or when a step is being taken at this moment.
        """
        levels = self.policy(request.team).levels
        last = self._last_steps([request.incident_id]).get(request.incident_id)
        number = last.level + 1 if last else 1
        if number > len(levels):
            raise Conflict(f"incident {request.incident_id} is at the last level, {len(levels)}")
        because = f": {request.reason}" if request.reason else ""
        step = self._take(
            request.incident_id,
            number,
            levels[number - 1],
            team=request.team,
            message=f"Incident {request.incident_id} was escalated to you, level {number}{because}",
            origin="manual",
        )
        if step is None:
            raise Conflict(f"incident {request.incident_id} was escalated at this moment")
        return step

    def take_due(
        self, incidents: Sequence[OpenIncident], *, seen: Mapping[UUID, datetime], now: datetime
    ) -> list[Escalation]:
        """Take the step that is due for each of these unacknowledged incidents, one each at most.

        ``seen`` says when each was first seen like this.
        """
        last_steps = self._last_steps([str(incident.id) for incident in incidents])
        taken = []
        for incident in incidents:
            levels = self.policy(incident.service).levels
            last = last_steps.get(str(incident.id))
            number = due_level(
                levels, incident, seen_at=seen[incident.id], last=last, delay=self._delay, now=now
            )
            if number is None:
                continue
            step = self._take(
                str(incident.id),
                number,
                levels[number - 1],
                team=incident.service,
                message=f"Escalation, level {number}: {_one_line(incident.title)}"
                f" (service {_one_line(incident.service)}) is critical and nobody has acknowledged it",
                origin="automatic",
            )
            if step is not None:
                taken.append(step)
        return taken

    def pending(self) -> list[Escalation]:
        """Steps that the notification service does not have yet, oldest first."""
        e = escalations.c
        query = select(escalations).where(e.status == "pending").order_by(e.seq).limit(PENDING_BATCH)
        with self._database.transaction() as db:
            return [Escalation.model_validate(row) for row in db.execute(query)]

    def pending_count(self) -> int:
        """How many steps the notification service does not have yet."""
        query = select(func.count()).where(escalations.c.status == "pending")
        with self._database.transaction() as db:
            return db.scalar(query) or 0

    def settle(
        self, step_id: UUID, *, status: Literal["notified", "cancelled"], delivery_id: UUID | None = None
    ) -> bool:
        """End a pending step; false when another process had done so."""
        e = escalations.c
        with self._database.transaction() as db:
            settled = db.execute(
                update(escalations)
                .where(e.id == step_id, e.status == "pending")
                .values(status=status, delivery_id=delivery_id, settled_at=func.now())
            )
        return settled.rowcount == 1

    def not_handed_over(self) -> list[Escalation]:
        """Steps that were told to somebody who has not been given the incident yet, oldest first."""
        e = escalations.c
        is_due = (e.status == "notified") & e.handed_over_at.is_(None)
        query = select(escalations).where(is_due).order_by(e.seq).limit(PENDING_BATCH)
        with self._database.transaction() as db:
            return [Escalation.model_validate(row) for row in db.execute(query)]

    def settle_handover(self, step: Escalation) -> None:
        """Note down that a step's incident was given to whom it told, or need not be.

        So need none of the steps below it: the incident is not to come back down.
        """
        e = escalations.c
        up_to_it = (e.incident_id == step.incident_id) & (e.level <= step.level)
        with self._database.transaction() as db:
            db.execute(
                update(escalations)
                .where(up_to_it, e.handed_over_at.is_(None))
                .values(handed_over_at=func.now())
            )

    def steps(self, *, incident_id: str | None, limit: int, offset: int) -> EscalationList:
        """A page of steps, the latest first; ``None`` is every incident's."""
        query: Select[tuple[object, ...]] = select(escalations).order_by(escalations.c.seq.desc())
        if incident_id is not None:
            query = query.where(escalations.c.incident_id == incident_id)
        with self._database.transaction() as db:
            rows = db.execute(query.limit(limit + 1).offset(offset)).all()
        return EscalationList.of(rows, limit=limit, offset=offset)

    def _last_steps(self, incident_ids: Sequence[str]) -> Mapping[str, LastStep]:
        e = escalations.c
        query = (
            select(e.incident_id, e.level, e.created_at)
            .ext(distinct_on(e.incident_id))
            .where(e.incident_id.in_(incident_ids), e.status != "cancelled")
            .order_by(e.incident_id, e.level.desc())
        )
        with self._database.transaction() as db:
            return {row.incident_id: LastStep(row.level, row.created_at) for row in db.execute(query)}

    def _take(
        self,
        incident_id: str,
        number: int,
        level: Level,
        *,
        team: str,
        message: str,
        origin: Literal["automatic", "manual"],
    ) -> Escalation | None:
        """Put a step on record; ``None`` when somebody else has taken it."""
        engineer = self._engineer(level, team=team)
        e = escalations.c
        was_cancelled = (e.incident_id == incident_id) & (e.level == number) & (e.status == "cancelled")
        with self._database.transaction() as db:
            # Not set to pending again: its id may be known as the key of what it said then.
            db.execute(delete(escalations).where(was_cancelled))
            row = db.execute(
                insert(escalations)
                .values(
                    incident_id=incident_id,
                    level=number,
                    team=team,
                    engineer=engineer,
                    channel=level.channel,
                    message=message,
                    origin=origin,
                )
                .on_conflict_do_nothing()
                .returning(*escalations.c)
            ).one_or_none()
        return None if row is None else Escalation.model_validate(row)

    def _engineer(self, level: Level, *, team: str) -> str:
        match level.target:
            case "on_call":
                return self._rota.current(team).engineer
            case "next_on_call":
                return self._rota.next_other(team)
            case "engineer":
                assert level.engineer is not None
                return level.engineer


def _one_line(text: str) -> str:
    """Text of another service as one line of printable signs."""
    return "".join(sign if sign.isprintable() else " " for sign in text[:TITLE_CHARS])
