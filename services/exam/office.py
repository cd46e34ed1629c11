"""The examiner's office: creating runs, steering them, reading what came of them."""

import random
from collections.abc import Mapping
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from scenarios.model import Scenario
from services.common.database import driver_url
from services.common.errors import Conflict, Unavailable, Unprocessable
from services.exam.closing import Closing
from services.exam.compiling import Compiler
from services.exam.schemas import RANDOM, CreatedRun, NewRun, Run, RunPage, Timeline
from services.exam.settings import ExamSettings
from services.exam.store import RunRow, Runs
from services.exam.tokens import hash_of, new_token

_ROLES = ("examiner", "shop", "platform", "postgres")
"""Who reads the truth or writes what a run is graded by. In ``.env.example`` the password is the name."""
_LOGIN_TIMEOUT_S = 2
_WRONG_PASSWORD = ("authentication failed", "pg_hba.conf", "is not permitted to log in")
"""What Postgres says to whom it lets in with no such password; libpq gives no SQLSTATE of a log-in."""


class Office:
    """Everything an examiner may ask of the exam."""

    def __init__(
        self,
        runs: Runs,
        scenarios: Mapping[str, Scenario],
        *,
        settings: ExamSettings,
        compiler: Compiler,
        closing: Closing,
    ) -> None:
        self._runs = runs
        self._scenarios = scenarios
        self._settings = settings
        self._compiler = compiler
        self._closing = closing

    def create(self, new: NewRun) -> CreatedRun:
        """Raises ``Unprocessable`` for a scenario that there is not."""
        name = drawn(new.seed, sorted(self._scenarios)) if new.scenario == RANDOM else new.scenario
        if name not in self._scenarios:
            raise Unprocessable(
                f"no scenario {name}; there are {RANDOM}, {', '.join(sorted(self._scenarios))}"
            )
        soak_s = self._scenarios[name].timeline.soak_s if new.soak_s is None else new.soak_s
        token = new_token()
        row = self._runs.create(new, scenario=name, soak_s=soak_s, token_hash=hash_of(token))
        return CreatedRun(token=token, **_shown(row).model_dump())

    def run(self, run_id: UUID) -> Run:
        return _shown(self._runs.run(run_id))

    def page(self, *, limit: int, offset: int) -> RunPage:
        return self._runs.page(limit=limit, offset=offset)

    def start(self, run_id: UUID) -> Run:
        """Raises ``Conflict`` where a blind run would not be blind."""
        if self._runs.run(run_id).blind:
            self._require_blind()
        return _shown(self._runs.start(run_id))

    def pause(self, run_id: UUID) -> Run:
        return _shown(self._runs.pause(run_id))

    def resume(self, run_id: UUID) -> Run:
        return _shown(self._runs.resume(run_id))

    def extend(self, run_id: UUID, *, minutes: float) -> Run:
        return _shown(self._runs.extend(run_id, minutes=minutes))

    def abort(self, run_id: UUID) -> Run:
        return _shown(self._runs.abort(run_id))

    def timeline(self, run_id: UUID) -> Timeline:
        row = self._runs.run(run_id)
        return Timeline(run_id=run_id, state=row.state, events=self._compiler.events(row))

    def journal(self, run_id: UUID) -> JsonValue:
        return self._runs.journal(run_id)

    def regrade(self, run_id: UUID) -> JsonValue:
        """The same journal under the rubric and the scenario of today."""
        return self._closing.grade(self._graded(run_id))

    def report_html(self, run_id: UUID) -> str:
        return self._closing.report_html(self._graded(run_id))

    def report_json(self, run_id: UUID) -> JsonValue:
        return self._closing.report_json(self._graded(run_id))

    def _graded(self, run_id: UUID) -> RunRow:
        row = self._runs.run(run_id)
        if row.state != "graded":
            raise Conflict(f"run {run_id} is {row.state}: there is nothing to grade")
        return row

    def _require_blind(self) -> None:
        if not self._settings.lab_blind:
            raise Conflict(
                "this lab tells what it breaks: start it with LAB_BLIND=true (`make exam-lab`), or have an "
                "open run (`--open`)"
            )
        if self._settings.lab_admin_token is None:
            raise Conflict("a blind lab needs LAB_ADMIN_TOKEN, or nothing in it can be broken")
        known = [role for role in _ROLES if _is_known(role, database_url=self._settings.database_url)]
        if known:
            raise Conflict(
                f"everybody knows the database password of {', '.join(known)}, and with it the truth can be "
                "read or the record changed: have an .env with random passwords (`make up` writes one where "
                "there is none) and a lab started anew with it (`make down`, `make up`), or have an open run "
                "(`--open`)"
            )


def drawn(seed: int, names: list[str]) -> str:
    """The scenario that a seed draws: always the same one of the same names."""
    return random.Random(f"{seed}:scenario").choice(names)


def _shown(row: RunRow) -> Run:
    return Run.model_validate(row)


def _is_known(role: str, *, database_url: str) -> bool:
    """Whether the role's password is its name: of our own by the URL, of others by a log-in.

    Raises ``Unavailable`` where the server does not say: a full one refuses the right password, too.
    """
    own = driver_url(database_url)
    if role == own.username:
        return own.password == role
    url = own.set(username=role, password=role)
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": _LOGIN_TIMEOUT_S})
    try:
        engine.connect().close()
    except OperationalError as error:
        if not any(words in str(error.orig) for words in _WRONG_PASSWORD):
            raise Unavailable(f"whether everybody knows {role}'s password: {error.orig}") from error
        return False
    return True
