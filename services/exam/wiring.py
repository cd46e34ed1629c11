"""The exam's parts, put together once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

import httpx
from sqlalchemy import func, select

from scenarios import access, steps, vocabulary
from scenarios.access import LabAccess
from scenarios.admin import Client
from scenarios.model import Scenario, load_all
from scenarios.oracle import all_routes
from scenarios.probes import Probes
from services.common.catalog import POSTGRES_PORT
from services.common.database import Database
from services.common.errors import Conflict
from services.exam.candidate import Desk
from services.exam.closing import Closing
from services.exam.compiling import Compiler
from services.exam.conductor import Conductor
from services.exam.evidence import EvidenceChecker
from services.exam.faults import Faults
from services.exam.grading import rubric
from services.exam.herrings import Herrings
from services.exam.incidents import Incidents
from services.exam.lab_state import LabState
from services.exam.office import Office
from services.exam.preparing import Preparation
from services.exam.prober import Prober
from services.exam.prometheus import Prometheus
from services.exam.recordings import Recordings
from services.exam.settings import ExamSettings
from services.exam.store import Runs
from services.exam.timeline import TimelineReader


@dataclass
class Parts:
    """What the app runs and what its routes ask."""

    office: Office
    desk: Desk
    conductor: Conductor
    compiler: Compiler
    prober: Prober
    client: httpx.Client
    admin: Client

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        self.admin.close()


def wire(settings: ExamSettings, database: Database, runs: Runs) -> Parts:
    """Build everything that is behind the routes. Raises ``ScenarioError`` for a scenario that is no good."""
    scenarios = _Known(load_all())
    rules = rubric.load()
    lab = access.from_environment()
    client, admin = httpx.Client(trust_env=False), lab.client()
    prometheus = Prometheus(settings.prometheus_url, client=client)
    incidents = Incidents(settings.incident_management_url, client=client)
    faults = Faults(runs, lab.admins(admin), now=partial(_now, database))
    state = LabState(
        lab,
        faults=faults,
        prometheus=prometheus,
        rounds=settings.exam_rounds,
        routes=all_routes(scenarios.values()),
    )
    compiler = Compiler(
        runs,
        scenarios,
        timeline=TimelineReader(database, prometheus),
        incidents=incidents,
        recordings=Recordings(database, prometheus),
        evidence=EvidenceChecker(database, prometheus),
    )
    closing = Closing(
        runs,
        scenarios,
        rubric=rules,
        compiler=compiler,
        judge=state.judge,
        restore=state.restore,
        directory=settings.lab_dir,
    )
    words = {"mechanisms": vocabulary.MECHANISMS, "triggers": vocabulary.TRIGGERS}
    return Parts(
        office=Office(runs, scenarios, settings=settings, compiler=compiler, closing=closing),
        desk=Desk(runs, scenarios, rubric=rules, places=places(lab), vocabulary=words),
        conductor=Conductor(
            runs,
            scenarios,
            faults=faults,
            prepare=Preparation(
                runs, database, incidents=incidents, restore=faults.restore, check=state.check
            ),
            show=Herrings(runs, show=lambda herring: steps.show(herring, lab)),
            close=closing,
        ),
        compiler=compiler,
        prober=Prober(runs, scenarios, ask=Probes(lab.urls["gateway"]).ask),
        client=client,
        admin=admin,
    )


class _Known(dict[str, Scenario]):
    """The lab's scenarios. The run that asks for one that is gone may be the candidate's: it is not named."""

    def __missing__(self, name: str) -> NoReturn:
        raise Conflict("the file of this run's scenario is gone: put it back and start the exam again")


def places(lab: LabAccess, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Where the candidate finds everything: a URL by name, and the database's.

    Between containers a service's host is its name. From outside it is a port of the machine, which compose
    publishes on the address ``PUBLISHED_ON``, and ``<PREFIX>_PORT`` moves.
    """

    def outside(name: str, url: SplitResult, *, default_port: int) -> str:
        if url.hostname != name:
            return f"{url.hostname}:{url.port or default_port}"
        variable = f"{name.upper().replace('-', '_')}_PORT"
        return f"{_dialled(environ.get('PUBLISHED_ON'))}:{environ.get(variable) or url.port or default_port}"

    urls = {name: urlsplit(url) for name, url in lab.urls.items()}
    found = {name: f"http://{outside(name, url, default_port=80)}" for name, url in urls.items()}
    database = urlsplit(lab.reader_url or "")
    where = outside("postgres", database, default_port=POSTGRES_PORT)
    return {**found, "database": f"postgresql://candidate@{where}{database.path}"}


def _dialled(address: str | None) -> str:
    """Whoever listens on every address is found on this machine's own."""
    return "127.0.0.1" if address in (None, "", "0.0.0.0") else address


def _now(database: Database) -> datetime:
    with database.transaction() as db:
        found: datetime = db.execute(select(func.clock_timestamp())).scalar_one()
        return found
