"""A session that holds locks, on a real Postgres: what ends its watch, and what does not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from services.common.errors import Unavailable
from services.common.held_locks import HeldLocks
from services.inventory.stock_take import COUNT
from tests.conftest import LabDatabase

Eventually = Callable[..., None]

NAME = "stock-take"
ALL_STOCK = {"skus": None}


@dataclass
class Postgres:
    """What a person with every right sees of the job, and does to it."""

    cursor: "psycopg2.extensions.cursor"

    def sessions(self) -> list[str]:
        """The states of the job's sessions."""
        self.cursor.execute(
            "SELECT state FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
            [NAME],
        )
        return [state for (state,) in self.cursor.fetchall()]

    def end_sessions(self) -> None:
        self.cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            [NAME],
        )

    def allow_sessions(self, count: int) -> None:
        """So many in this database at once, the person's own one counted; -1 for as many as come."""
        self.cursor.execute("SELECT current_database()")
        [(name,)] = self.cursor.fetchall()
        self.cursor.execute(f"ALTER DATABASE {name} CONNECTION LIMIT {count}")

    def execute(self, statement: str) -> None:
        self.cursor.execute(statement)


@pytest.fixture
def as_superuser(lab_database: LabDatabase) -> Iterator[Postgres]:
    with closing(lab_database.connect("postgres")) as connection, connection.cursor() as cursor:
        yield Postgres(cursor)
        cursor.execute("ALTER ROLE shop LOGIN")


@dataclass
class Ended:
    """What is told when a person has ended the session; cannot be written down the first few times."""

    refusals: int = 0
    told: int = 0
    happened: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        self.told += 1
        if self.told <= self.refusals:
            raise Unavailable("the change could not be recorded")
        self.happened.set()


def job(database: LabDatabase, on_ended: Ended, *, statement: str = COUNT) -> HeldLocks:
    return HeldLocks(
        make_url(database.url("shop")), application_name=NAME, statement=statement, on_ended=on_ended
    )


@pytest.fixture
def ended() -> Ended:
    return Ended()


@pytest.fixture
def held(lab_database: LabDatabase, ended: Ended) -> Iterator[HeldLocks]:
    """The job, to be started."""
    held = job(lab_database, ended)
    yield held
    held.stop()
    held.wait()


def test_it_is_told_once_that_a_person_ended_the_session(
    as_superuser: Postgres, held: HeldLocks, ended: Ended, eventually: Eventually
) -> None:
    held.start(ALL_STOCK)

    as_superuser.end_sessions()

    assert ended.happened.wait(5)
    held.wait()
    assert ended.told == 1
    eventually(lambda: as_superuser.sessions() == [])


def test_it_holds_its_locks_while_nobody_else_may_connect(
    as_superuser: Postgres, held: HeldLocks, ended: Ended, eventually: Eventually
) -> None:
    as_superuser.allow_sessions(2)
    held.start(ALL_STOCK)
    eventually(lambda: as_superuser.sessions() == ["idle in transaction"])
    assert not ended.happened.wait(1)
    assert as_superuser.sessions() == ["idle in transaction"]

    as_superuser.allow_sessions(-1)
    as_superuser.end_sessions()

    assert ended.happened.wait(5)


def test_that_it_was_ended_is_told_until_it_is_written_down(
    as_superuser: Postgres, held: HeldLocks, ended: Ended
) -> None:
    ended.refusals = 2
    held.start(ALL_STOCK)

    as_superuser.end_sessions()

    assert ended.happened.wait(5)
    held.wait()
    assert ended.told == 3


def test_it_takes_its_locks_again_after_postgres_was_away_however_it_is_refused_at_first(
    as_superuser: Postgres, held: HeldLocks, ended: Ended, eventually: Eventually
) -> None:
    held.start(ALL_STOCK)
    as_superuser.execute("ALTER ROLE shop NOLOGIN")
    as_superuser.end_sessions()
    eventually(lambda: as_superuser.sessions() == [])
    assert not ended.happened.wait(1)

    as_superuser.execute("REVOKE UPDATE ON inventory.stock FROM shop")
    as_superuser.execute("ALTER ROLE shop LOGIN")
    assert not ended.happened.wait(1.5)
    as_superuser.execute("GRANT UPDATE ON inventory.stock TO shop")

    eventually(lambda: as_superuser.sessions() == ["idle in transaction"])
    assert ended.told == 0


def test_one_that_was_stopped_before_it_had_its_locks_gives_them_back(
    as_superuser: Postgres, held: HeldLocks, eventually: Eventually
) -> None:
    held.stop()

    held.start(ALL_STOCK)

    held.wait()
    eventually(lambda: as_superuser.sessions() == [])


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "SELECT nothing", COUNT])
def test_a_start_that_fails_leaves_no_session(
    lab_database: LabDatabase, as_superuser: Postgres, ended: Ended, eventually: Eventually, statement: str
) -> None:
    failing = job(lab_database, ended, statement=statement)

    with pytest.raises((psycopg2.Error, KeyError)) as caught:
        failing.start({})

    # The session would end with the error; here it is kept, as Sentry and tracing keep it.
    assert caught.tb is not None
    eventually(lambda: as_superuser.sessions() == [])
