"""Runs in Postgres: everything that the exam knows is there, so that a restart loses nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from services.common.database import Database
from services.common.errors import Conflict, NotFound
from services.exam.diagnosis import Diagnosis
from services.exam.journal import EndedBy, Event, EventKind, Probe, Submission
from services.exam.run_clock import RunClock
from services.exam.schemas import ACTIVE, UNDER_WAY, NewRun, RunPage, State
from services.exam.tables import events, probes, runs, submissions

EXAMINER = "examiner"
EXAM = "exam"


@dataclass(frozen=True)
class RunRow:
    """One run as it stands in its table, with what the database's clock said when it was read."""

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
    paused_s: float
    ended_at: datetime | None
    ended_by: EndedBy | None
    applied: Sequence[int]
    shown: Sequence[int]
    world: Any
    final: Any
    reverted_at: datetime | None
    score: Any
    now: datetime

    @property
    def clock(self) -> RunClock:
        return RunClock(self.started_at, self.paused_at, self.paused_s, self.ended_at, self.minutes)

    @property
    def elapsed_s(self) -> float:
        return self.clock.elapsed_s(self.now)

    @property
    def left_s(self) -> float:
        return self.clock.left_s(self.now)

    @property
    def points(self) -> float | None:
        return None if self.score is None else float(self.score["points"])

    @property
    def is_under_way(self) -> bool:
        """Whether its candidate works on it: started, not ended, whether paused or not."""
        return self.state in UNDER_WAY


_COLUMNS = [
    *(column for column in runs.c if column.name not in ("journal", "token_hash")),
    func.clock_timestamp().label("now"),
]


class Runs:
    """The runs, their events, probes and submissions. Raises ``NotFound`` for a run that there is not."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Reading

    def run(self, run_id: UUID) -> RunRow:
        """One run."""
        with self._database.transaction() as db:
            return _read(db, run_id)

    def page(self, *, limit: int, offset: int) -> RunPage:
        """Runs, newest first."""
        query = select(*_COLUMNS).order_by(runs.c.created_at.desc(), runs.c.id)
        with self._database.transaction() as db:
            found = db.execute(query.limit(limit + 1).offset(offset)).mappings().all()
        return RunPage.of([RunRow(**row) for row in found], limit=limit, offset=offset)

    def active(self) -> RunRow | None:
        """The run that has the lab now, if one has."""
        query = select(*_COLUMNS).where(runs.c.state.in_(ACTIVE))
        with self._database.transaction() as db:
            found = db.execute(query).mappings().one_or_none()
        return RunRow(**found) if found else None

    def of_token(self, token_hash: str) -> UUID | None:
        """The run whose candidate's token has this hash."""
        with self._database.transaction() as db:
            return db.scalar(select(runs.c.id).where(runs.c.token_hash == token_hash))

    def events(self, run_id: UUID) -> list[Event]:
        """What the exam itself wrote down of a run."""
        columns = (events.c.at, events.c.kind, events.c.actor, events.c.detail)
        query = select(*columns).where(events.c.run_id == run_id).order_by(events.c.at, events.c.id)
        with self._database.transaction() as db:
            return [Event(**row) for row in db.execute(query).mappings()]

    def probes(self, run_id: UUID) -> list[Probe]:
        """Every fresh request of the prober, in the order of time."""
        columns = [column for column in probes.c if column.name != "run_id"]
        query = select(*columns).where(probes.c.run_id == run_id).order_by(probes.c.at, probes.c.route)
        with self._database.transaction() as db:
            return [Probe(**row) for row in db.execute(query).mappings()]

    def submissions(self, run_id: UUID) -> list[Submission]:
        """What was handed in, oldest first."""
        s = submissions.c
        query = select(s.at, s.number, s.diagnosis).where(s.run_id == run_id).order_by(s.number)
        with self._database.transaction() as db:
            return [Submission(**row) for row in db.execute(query).mappings()]

    def journal(self, run_id: UUID) -> dict[str, JsonValue]:
        """The journal as JSON; raises ``Conflict`` while there is none."""
        with self._database.transaction() as db:
            row = _read(db, run_id)
            found: dict[str, JsonValue] | None = db.scalar(select(runs.c.journal).where(runs.c.id == run_id))
        if found is None:
            raise Conflict(f"run {run_id} is {row.state}: it has no journal")
        return found

    # The examiner

    def create(self, new: NewRun, *, scenario: str, soak_s: float, token_hash: str) -> RunRow:
        """A run that waits for its start."""
        values = {
            "scenario": scenario,
            "seed": new.seed,
            "candidate": new.candidate,
            "minutes": new.minutes,
            "soak_s": soak_s,
            "blind": not new.open,
            "token_hash": token_hash,
        }
        with self._database.transaction() as db:
            run_id = db.execute(insert(runs).values(values).returning(runs.c.id)).scalar_one()
            _note(db, run_id, "run.created", actor=EXAMINER, minutes=new.minutes)
            return _read(db, run_id)

    def start(self, run_id: UUID) -> RunRow:
        """Give the lab to this run. Raises ``Conflict`` unless it is new and no other has the lab."""
        try:
            with self._locked(run_id) as (db, row):
                _require(row, "created")
                _set(db, run_id, state="waiting")
                return _read(db, run_id)
        except IntegrityError as error:
            raise Conflict("another run has the lab: let it end, or abort it") from error

    def pause(self, run_id: UUID) -> RunRow:
        """Stop the run's clock; what is broken stays broken."""
        with self._locked(run_id) as (db, row):
            _require(row, *UNDER_WAY)
            if row.paused_at is not None:
                raise Conflict(f"run {run_id} is paused already")
            _set(db, run_id, paused_at=func.clock_timestamp())
            _note(db, run_id, "run.paused", actor=EXAMINER)
            return _read(db, run_id)

    def resume(self, run_id: UUID) -> RunRow:
        """Let the clock go on."""
        with self._locked(run_id) as (db, row):
            if row.paused_at is None:
                raise Conflict(f"run {run_id} is not paused")
            stood_s = (row.now - row.paused_at).total_seconds()
            _set(db, run_id, paused_at=None, paused_s=runs.c.paused_s + stood_s)
            _note(db, run_id, "run.resumed", actor=EXAMINER, stood_s=round(stood_s, 1))
            return _read(db, run_id)

    def extend(self, run_id: UUID, *, minutes: float) -> RunRow:
        """Give more time."""
        with self._locked(run_id) as (db, row):
            _require(row, "created", "waiting", *UNDER_WAY)
            _set(db, run_id, minutes=runs.c.minutes + minutes)
            _note(db, run_id, "run.extended", actor=EXAMINER, minutes=minutes)
            return _read(db, run_id)

    def abort(self, run_id: UUID) -> RunRow:
        """End a run without a grade. What it broke is put back before the lab is free."""
        with self._locked(run_id) as (db, row):
            _require(row, "created", "waiting", *UNDER_WAY, "grading")
            if row.state == "grading":
                _set(db, run_id, ended_by="aborted", trouble=None)
                _note(db, run_id, "run.ended", actor=EXAMINER, by="aborted")
            elif row.state == "created":
                _set(db, run_id, state="aborted", ended_at=func.clock_timestamp(), ended_by="aborted")
                _note(db, run_id, "run.ended", actor=EXAMINER, by="aborted")
            else:
                _end(db, row, by="aborted", actor=EXAMINER)
            return _read(db, run_id)

    # What the run needs next

    def begin(self, run_id: UUID, *, world: Any, detail: Mapping[str, Any]) -> None:
        """The lab is as it should be: the run's clock begins."""
        with self._locked(run_id) as (db, row):
            if row.state != "waiting":
                return
            _set(db, run_id, state="soaking", started_at=func.clock_timestamp(), world=world, trouble=None)
            _note(db, run_id, "baseline.checked", actor=EXAM, **detail)
            _note(db, run_id, "run.started", actor=EXAMINER)

    def applied(self, run_id: UUID, number: int, *, at: datetime, service: str) -> None:
        """Fault ``number`` of the scenario took at ``at``; the first one is the injection."""
        with self._locked(run_id) as (db, row):
            if number in row.applied:
                return
            values: dict[str, Any] = {"applied": [*row.applied, number]}
            if row.injected_at is None:
                values["injected_at"] = at
            _set(db, run_id, **values)
            _note(db, run_id, "fault.injected", actor=EXAM, at=at, fault=number, service=service)

    def soaked(self, run_id: UUID) -> None:
        """The healthy minutes are over."""
        with self._locked(run_id) as (db, row):
            if row.state == "soaking":
                _set(db, run_id, state="running")

    def shown(self, run_id: UUID, number: int, *, herring: str, failed: str | None) -> None:
        """Red herring ``number`` is to be seen, or could not be shown (``failed`` says why)."""
        with self._locked(run_id) as (db, row):
            if number in row.shown:
                return
            _set(db, run_id, shown=[*row.shown, number])
            _note(db, run_id, "herring.shown", actor=EXAM, number=number, herring=herring, failed=failed)

    def time_up(self, run_id: UUID) -> None:
        """The candidate's time is over."""
        with self._locked(run_id) as (db, row):
            if row.is_under_way and row.paused_at is None and row.left_s <= 0:
                # It may be noticed late, and who worked on meanwhile had no more time than others.
                late = timedelta(seconds=row.elapsed_s - row.minutes * 60)
                _end(db, row, by="time_up", actor=EXAM, at=row.now - late)

    def reverted(self, run_id: UUID, *, detail: Mapping[str, Any]) -> None:
        """What the run broke is put back."""
        with self._locked(run_id) as (db, row):
            if row.reverted_at is None:
                _set(db, run_id, reverted_at=func.clock_timestamp())
                _note(db, run_id, "fault.reverted", actor=EXAM, **detail)

    def keep(self, run_id: UUID, **values: Any) -> None:
        """Write down what the end of a run has got done: ``final``, ``journal``, ``score``, ``trouble``."""
        with self._database.transaction() as db:
            _set(db, run_id, **values)

    def finish(self, run_id: UUID) -> None:
        """The lab is free again. A run that was aborted while it was graded has no score."""
        with self._locked(run_id) as (db, row):
            if row.ended_by == "aborted":
                _set(db, run_id, state="aborted", trouble=None, score=None)
            else:
                _set(db, run_id, state="graded", trouble=None)

    def add_probes(self, run_id: UUID, found: Iterable[Probe]) -> None:
        """Write down a round of the prober."""
        rows = [{"run_id": run_id, **probe.model_dump()} for probe in found]
        with self._database.transaction() as db:
            db.execute(insert(probes), rows)

    # The candidate

    def note(self, run_id: UUID, kind: EventKind, **detail: Any) -> datetime:
        """Write down what the candidate did. Raises ``Conflict`` when the run is not under way."""
        with self._locked(run_id) as (db, row):
            _require_working(row)
            return _note(db, run_id, kind, actor=row.candidate, **detail)

    def take_hint(self, run_id: UUID, prices: Sequence[int]) -> int:
        """Buy the next hint: its number, from 1. Raises ``Conflict`` when there is none left."""
        with self._locked(run_id) as (db, row):
            _require_working(row)
            e = events.c
            taken = select(func.count()).where(e.run_id == run_id, e.kind == "hint.taken")
            number: int = db.execute(taken).scalar_one() + 1
            if number > len(prices):
                raise Conflict("there are no more hints")
            _note(db, run_id, "hint.taken", actor=row.candidate, number=number, price=prices[number - 1])
            return number

    def submit(self, run_id: UUID, diagnosis: Diagnosis, *, draft: bool) -> Submission:
        """Hand in a diagnosis, which ends the run unless it is a draft."""
        with self._locked(run_id) as (db, row):
            _require_working(row)
            s = submissions.c
            last = db.scalar(select(func.max(s.number)).where(s.run_id == run_id)) or 0
            written = {"run_id": run_id, "number": last + 1, "diagnosis": diagnosis.model_dump(mode="json")}
            at = db.execute(insert(submissions).values(written).returning(s.at)).scalar_one()
            _note(db, run_id, "submission.made", actor=row.candidate, at=at, number=last + 1)
            if not draft:
                _end(db, row, by="submitted", actor=row.candidate)
            return Submission(at=at, number=last + 1, diagnosis=diagnosis)

    @contextmanager
    def _locked(self, run_id: UUID) -> Iterator[tuple[Connection, RunRow]]:
        """The run, which nobody else changes meanwhile."""
        with self._database.transaction() as db:
            db.execute(select(runs.c.id).where(runs.c.id == run_id).with_for_update())
            yield db, _read(db, run_id)


def _read(db: Connection, run_id: UUID) -> RunRow:
    found = db.execute(select(*_COLUMNS).where(runs.c.id == run_id)).mappings().one_or_none()
    if found is None:
        raise NotFound(f"no run {run_id}")
    return RunRow(**found)


def _set(db: Connection, run_id: UUID, **values: Any) -> None:
    db.execute(update(runs).where(runs.c.id == run_id).values(values))


def _note(
    db: Connection, run_id: UUID, kind: EventKind, *, actor: str, at: datetime | None = None, **detail: Any
) -> datetime:
    values: dict[str, Any] = {"run_id": run_id, "kind": kind, "actor": actor, "detail": detail}
    if at is not None:
        values["at"] = at
    written: datetime = db.execute(insert(events).values(values).returning(events.c.at)).scalar_one()
    return written


def _end(db: Connection, row: RunRow, *, by: EndedBy, actor: str, at: datetime | None = None) -> None:
    """The candidate's work is over, now or since ``at``; what is left is to look, put back and grade."""
    # A pause ends with the run: its clock stands from here on anyway.
    stood_s = (row.now - row.paused_at).total_seconds() if row.paused_at else 0.0
    _set(
        db,
        row.id,
        state="grading",
        ended_at=at or func.clock_timestamp(),
        ended_by=by,
        paused_at=None,
        paused_s=runs.c.paused_s + stood_s,
        trouble=None,
    )
    _note(db, row.id, "run.ended", actor=actor, at=at, by=by)


def _require(row: RunRow, *states: State) -> None:
    if row.state not in states:
        raise Conflict(f"run {row.id} is {row.state}, and for this it must be {' or '.join(states)}")


def _require_working(row: RunRow) -> None:
    if row.state in ("created", "waiting"):
        raise Conflict("the run has not started yet")
    if not row.is_under_way or row.left_s <= 0:
        raise Conflict("the run is over")
    if row.paused_at is not None:
        raise Conflict("the run is paused")
