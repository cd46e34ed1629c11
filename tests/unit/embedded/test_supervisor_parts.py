"""The supervisor's decisions, without a process."""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from embedded import state, supervision
from embedded.claim import Identity, clear_leftovers, runner, stop
from embedded.environment import settings
from embedded.ports import wanted
from embedded.supervision import Backoff, Component, Standing, Supervised
from embedded.supervisor import Plan, _Lab
from services.common.catalog import PROMETHEUS


def test_the_delay_doubles_to_five_seconds() -> None:
    backoff = Backoff()

    assert [backoff.after(1.0) for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_the_delay_is_short_again_after_a_steady_life() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(1.0)

    assert backoff.after(10.0) == 0.2


class Report:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.told_twice = asyncio.Event()

    def changed(self, standing: Standing) -> None:
        """Nothing to show."""

    def say(self, event: str, message: str, *, level: str = "info", component: str = "") -> None:
        self.said.append((event, message))
        if len(self.said) == 2:
            self.told_twice.set()


def test_a_program_that_is_not_there_is_said_and_tried_again(tmp_path: Path) -> None:
    async def start() -> None:
        raise FileNotFoundError("no such program")

    async def run() -> Report:
        report = Report()
        component = Component("absent", start, None, tmp_path / "absent.log")  # type: ignore[arg-type]
        supervised = Supervised(component, report, lambda: 0.0)
        task = asyncio.create_task(supervised.run())
        await report.told_twice.wait()
        await supervised.stop(within_s=0.1)
        await task
        return report

    report = asyncio.run(run())

    assert report.said[0] == (
        "process.died",
        "could not be started: no such program; starting it again in 0.2 s",
    )


class Life:
    """A process that lives until it is killed."""

    pid, created = 4711, 12.5

    def __init__(self) -> None:
        self.signals: list[signal.Signals] = []
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        await self._ended.wait()
        return -self.signals[-1]

    def send(self, number: signal.Signals) -> None:
        self.signals.append(number)
        self._ended.set()


def watched(name: str, answers: list[bool], *, folder: Path) -> tuple[list[Life], Report]:
    """What becomes of a component that answers its health checks so, and then well; its lives."""
    lives: list[Life] = []
    left = iter(answers)
    all_asked = asyncio.Event()

    async def start() -> Life:
        lives.append(Life())
        return lives[-1]

    async def is_healthy(_running: object) -> bool:
        answer = next(left, None)
        if answer is None:
            all_asked.set()
        return answer is not False

    async def run() -> Report:
        report = Report()
        supervised = Supervised(Component(name, start, is_healthy, folder / "log"), report, lambda: 0.0)
        task = asyncio.create_task(supervised.run())
        with suppress(TimeoutError):
            await asyncio.wait_for(all_asked.wait(), 1.0)
        await supervised.stop(within_s=0.1)
        await task
        return report

    return lives, asyncio.run(run())


@pytest.fixture
def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "_WATCH_EVERY_S", 0.02)
    monkeypatch.setattr(supervision, "_HANGS_AFTER_S", 0.05)


@pytest.mark.usefixtures("quick_watch")
def test_a_monitoring_that_hangs_is_ended_and_started_again(tmp_path: Path) -> None:
    lives, report = watched("prometheus", [True, *[False] * 5], folder=tmp_path)

    assert [life.signals for life in lives] == [[signal.SIGKILL], [signal.SIGTERM]]
    assert [event for event, _ in report.said] == ["process.hangs", "process.died", "process.back"]


@pytest.mark.usefixtures("quick_watch")
def test_a_monitoring_that_misses_a_few_goes_on(tmp_path: Path) -> None:
    few = [True, *[False] * 4]

    lives, report = watched("prometheus", [*few, *few, *few], folder=tmp_path)

    assert [life.signals for life in lives] == [[signal.SIGTERM]]
    assert report.said == []


@pytest.mark.usefixtures("quick_watch")
def test_no_other_is_ended_whatever_it_answers(tmp_path: Path) -> None:
    """A scenario may want it stuck: a restart would mend that."""
    lives, report = watched("payment", [True, *[False] * 50], folder=tmp_path)

    assert [life.signals for life in lives] == [[signal.SIGTERM]]
    assert report.said == []


class NoForkServer:
    """Starts nothing; remembers what each process would have been told."""

    def __init__(self) -> None:
        self.environments: list[Mapping[str, str]] = []

    async def start(self, _name: str, *, environment: Mapping[str, str], **_: object) -> None:
        self.environments.append(environment)


def test_the_monitoring_is_told_whether_its_lab_starts_or_goes_on(tmp_path: Path) -> None:
    fork_server, nothing = NoForkServer(), object()
    whole: Any = _Lab(
        settings({"LAB_DIR": str(tmp_path), "DATABASE_URL": "postgresql://root:x@db/postgres"}),
        Plan(),
        fork_server=fork_server,  # type: ignore[arg-type]
        guard=nothing,  # type: ignore[arg-type]
        display=nothing,  # type: ignore[arg-type]
        identity=Identity.own(),
        began_s=0.0,
    )
    monitoring = whole._service(PROMETHEUS)

    asyncio.run(monitoring.start())
    asyncio.run(monitoring.start())

    assert [told["LAB_RESUMES"] for told in fork_server.environments] == ["false", "true"]


def test_a_pid_that_was_given_to_somebody_else_is_never_signalled() -> None:
    # This very process under a birth date that is not its own: a signal would end the test.
    stranger = Identity(os.getpid(), psutil.Process().create_time() - 3600)

    assert stranger.process() is None
    assert stop(stranger, deadline_s=0.1)
    assert clear_leftovers([stranger], deadline_s=0.1) == []


def test_a_pid_file_that_nobody_holds_names_no_running_lab(tmp_path: Path) -> None:
    own = Identity.own()
    (tmp_path / "lab.pid").write_text(json.dumps({"pid": own.pid, "created": own.created}))

    assert runner(tmp_path) is None


def test_the_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    standing = Standing("gateway", "http://127.0.0.1:8010", "healthy", 4711, 12.5, 1.5, 2)

    state.write(tmp_path, supervisor=Identity(1, 2.0), components=[standing])

    assert state.read(tmp_path) == state.LabState(Identity(1, 2.0), (standing,))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"supervisor": {}}'])
def test_a_state_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)

    assert state.read(tmp_path) is None


def test_every_port_that_is_bound_has_a_variable_that_moves_it() -> None:
    ports = {(port.variable, port.protocol) for port in wanted(settings({}))}

    assert ("DNS_QUERY_PORT", "udp") in ports
    assert ("DNS_QUERY_PORT", "tcp") in ports
    assert {"POSTGRES_PORT", "TRAFFIC_GENERATOR_PORT", "GATEWAY_PORT"} <= {variable for variable, _ in ports}


def test_a_database_of_the_users_own_needs_no_port() -> None:
    lab = settings({"DATABASE_URL": "postgresql://root:x@db/postgres"})

    assert "POSTGRES_PORT" not in {port.variable for port in wanted(lab)}
