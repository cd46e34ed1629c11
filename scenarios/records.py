"""The record of phases in Postgres, in the schema that only the examiner reads.

A phase is written down when it begins and again when it ends. While the database
is away the schedule goes on: what could not be written is kept and written later,
with the times at which it happened.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Engine,
    MetaData,
    Table,
    Text,
    Update,
    Uuid,
    create_engine,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.elements import ColumnElement
from structlog.typing import FilteringBoundLogger

from scenarios.model import Fault, Scenario

RETRY_S = 2.0
CONNECT_TIMEOUT_S = 2
STATEMENT_TIMEOUT_MS = 2_000
MAX_UNWRITTEN = 1_000
"""Phases kept while the database is away; the oldest are lost first."""

phases = Table(
    "phases",
    MetaData(schema="exam"),
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("scenario", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("faults", JSONB, nullable=False),
    Column("truth", JSONB(none_as_null=True)),
    Column("seed", BigInteger, nullable=False),
)

EXAM_IS_ON = text(
    "SELECT EXISTS (SELECT FROM exam.runs WHERE state IN ('waiting', 'soaking', 'running', 'grading'))"
)


class RecordsUnreachable(Exception):
    """The database did not answer, or did not do what it was asked."""


@dataclass(eq=False)
class Phase:
    """One stretch of a scenario: ``soak``, ``hold`` or ``rest``. Times are the schedule's clock, in s."""

    scenario: Scenario
    name: str
    started_s: float
    ended_s: float | None = None
    id: UUID | None = None
    """Given by Postgres once the phase is recorded."""

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self.scenario.faults if self.name == "hold" else ()


@dataclass(frozen=True)
class LeftOpen:
    """A recorded phase that an earlier run did not end, with the services that it may have broken."""

    id: UUID
    services: tuple[str, ...]


class PhaseRecords:
    """Writes phases to the database of ``url`` (role ``examiner``); without one, nowhere."""

    def __init__(
        self, url: str | None, *, seed: int, log: FilteringBoundLogger, clock: Callable[[], float]
    ) -> None:
        self._engine = _engine(url) if url else None
        self._seed = seed
        self._log = log
        self._clock = clock
        self._unwritten: list[Phase] = []
        self._retry_at_s = float("-inf")

    def begin(self, scenario: Scenario, name: str) -> Phase:
        """A phase that begins now. It is written down now, or by a later ``flush``."""
        phase = Phase(scenario, name, started_s=self._clock())
        self._keep(phase)
        return phase

    def end(self, phase: Phase) -> None:
        """The phase ends now."""
        phase.ended_s = self._clock()
        self._keep(phase)

    def holds(self, phase: Phase) -> bool:
        """Whether the phase is written down, or there is nowhere to write it."""
        return self._engine is None or phase.id is not None

    def flush(self) -> None:
        """Write what is unwritten, unless the last attempt failed less than ``RETRY_S`` ago."""
        if self._engine is None or not self._unwritten or self._clock() < self._retry_at_s:
            return
        try:
            while self._unwritten:
                with self._engine.begin() as connection:
                    phase_id = self._write(connection, self._unwritten[0])
                self._unwritten.pop(0).id = phase_id
        except SQLAlchemyError as error:
            self._retry_at_s = self._clock() + RETRY_S
            self._log.warning("records.unreachable", unwritten=len(self._unwritten), error=_first_line(error))

    def left_open(self) -> list[LeftOpen]:
        """What earlier runs did not end, oldest first. Raises ``RecordsUnreachable``."""
        if self._engine is None:
            return []
        query = select(phases.c.id, phases.c.faults).where(phases.c.ended_at.is_(None))
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query.order_by(phases.c.started_at)).all()
        except SQLAlchemyError as error:
            raise RecordsUnreachable(_first_line(error)) from error
        return [LeftOpen(row.id, tuple(fault["service"] for fault in row.faults)) for row in rows]

    def exam_is_on(self) -> bool:
        """Whether a run of the exam has the lab. Raises ``RecordsUnreachable``."""
        if self._engine is None:
            return False
        try:
            with self._engine.connect() as connection:
                return bool(connection.scalar(EXAM_IS_ON))
        except SQLAlchemyError as error:
            raise RecordsUnreachable(_first_line(error)) from error

    def close(self, left: LeftOpen) -> None:
        """End a phase of an earlier run now. Raises ``RecordsUnreachable``."""
        if self._engine is None:
            return
        try:
            with self._engine.begin() as connection:
                connection.execute(_ending(left.id, func.now()))
        except SQLAlchemyError as error:
            raise RecordsUnreachable(_first_line(error)) from error

    def say_what_is_lost(self) -> None:
        """Log each phase that never reached the database."""
        for phase in self._unwritten:
            self._log_lost(phase)

    def _keep(self, phase: Phase) -> None:
        if self._engine is None:
            return
        if phase not in self._unwritten:
            self._unwritten.append(phase)
        if len(self._unwritten) > MAX_UNWRITTEN:
            self._log_lost(self._unwritten.pop(0))
        self.flush()

    def _log_lost(self, phase: Phase) -> None:
        self._log.error(
            "phase.record_lost",
            phase_id=phase.id,
            scenario=phase.scenario.name,
            phase=phase.name,
            started_ago_s=round(self._clock() - phase.started_s, 1),
        )

    def _write(self, connection: Connection, phase: Phase) -> UUID:
        """Insert the phase, or its end where it is in the table already. Returns its id."""
        ended_at = None if phase.ended_s is None else self._moment(phase.ended_s)
        if phase.id is not None:
            connection.execute(_ending(phase.id, ended_at if ended_at is not None else func.now()))
            return phase.id
        row = insert(phases).values(
            scenario=phase.scenario.name,
            phase=phase.name,
            started_at=self._moment(phase.started_s),
            ended_at=ended_at,
            faults=[fault.model_dump() for fault in phase.faults],
            truth=phase.scenario.truth.model_dump(mode="json") if phase.name == "hold" else None,
            seed=self._seed,
        )
        phase_id: UUID = connection.execute(row.returning(phases.c.id)).scalar_one()
        return phase_id

    def _moment(self, at_s: float) -> ColumnElement[datetime]:
        """When by the database's clock it was ``at_s`` by ours."""
        return func.now() - timedelta(seconds=self._clock() - at_s)


def _engine(url: str) -> Engine:
    # A connection for each write: one that is kept would hang with a server that hangs.
    return create_engine(
        url,
        poolclass=NullPool,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
        },
    )


def _ending(phase_id: UUID, ended_at: ColumnElement[datetime]) -> Update:
    """End the phase, never before it began: the database's clock may have been set back."""
    not_before_start = func.greatest(phases.c.started_at, ended_at)
    return update(phases).where(phases.c.id == phase_id).values(ended_at=not_before_start)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
