"""The whole embedded lab: what starts when, what is printed meanwhile, and how it ends.

Postgres, the fork server's imports and Locust start at once; the schema is
applied while the imports go on. Then the services are forked, and the schedule
when all of them are healthy.
"""

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console

from embedded import health, logs, ports, state
from embedded.claim import Identity, claimed, clear_leftovers
from embedded.display import Display
from embedded.environment import (
    EXAMINER_TOKEN_FILE,
    Settings,
    exam_environment,
    lab_database_url,
    preparation_environment,
    role_passwords,
    role_url,
    schedule_environment,
    shop_environment,
    traffic_environment,
)
from embedded.errors import LabError
from embedded.guard import Guard, guarding
from embedded.postgres import STOP_SIGNAL, Server, write_private
from embedded.processes import ForkServer, Running, start_program
from embedded.supervision import Component, Standing, Supervised
from embedded.warm_up import PRELOAD
from services.common.catalog import DATABASE_NAME, EXAM, Service

_SCHEDULE_GRACE_S = 1.0
_SERVICE_GRACE_S = 0.5
_POSTGRES_GRACE_S = 0.3
_ALL_WITHIN_S = 1.8
_SERVICES_BEFORE_SCHEDULE_S = 10.0
_LOG_POLL_S = 0.25
_ROTATE_EVERY_S = 5.0


@dataclass(frozen=True)
class Plan:
    """What a lab is made of beside its services; tests start smaller ones."""

    preload: Sequence[str] = PRELOAD
    prepare_database: Sequence[str] = (sys.executable, "-m", "embedded.schema")
    """A program that is told in its environment what ``embedded.schema`` is told."""
    schedule: str | None = "scenarios.schedule:main"
    traffic: Callable[[Settings], list[str]] | None = field(default=lambda lab: traffic_command(lab))


def traffic_command(lab: Settings) -> list[str]:
    """How Locust is started: never forked, since gevent patches what the fork server has in use."""
    return [
        *(sys.executable, "-m", "locust"),
        *("--config", "traffic-generator/locust.conf", "-f", "traffic-generator/locustfile.py"),
        *("--host", lab.url("gateway"), "--web-host", lab.bind, "--web-port", str(lab.traffic_port)),
    ]


def run(lab: Settings, *, plan: Plan | None = None) -> int:
    """Run the lab until SIGINT, SIGTERM or SIGHUP; the exit code.

    Takes over from a lab that runs in the same folder. What keeps it from
    starting is printed, with exit code 1.
    """
    began_s = time.monotonic() - _already_lived_s()
    plan = plan or Plan()
    output = Console(highlight=False)
    try:
        fork_server = ForkServer(plan.preload)
        with claimed(lab.directory, say=output.print) as identity:
            _clear_killed_run(lab.directory, say=output.print)
            ports.require_free(ports.wanted(lab, traffic=plan.traffic is not None), address=lab.bind)
            with guarding() as guard:
                whole = _Lab(
                    lab,
                    plan,
                    fork_server=fork_server,
                    guard=guard,
                    display=Display(output, log=lab.log("lab")),
                    identity=identity,
                    began_s=began_s,
                )
                return asyncio.run(whole.run())
    except LabError as error:
        Console(stderr=True, highlight=False).print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


class _Lab:
    """One run of the lab."""

    def __init__(
        self,
        lab: Settings,
        plan: Plan,
        *,
        fork_server: ForkServer,
        guard: Guard,
        display: Display,
        identity: Identity,
        began_s: float,
    ) -> None:
        self._lab = lab
        self._plan = plan
        self._guard = guard
        self._identity = identity
        self._began_s = began_s
        self._display = display
        self._fork_server = fork_server
        self._passwords = role_passwords(lab.user)
        self._server = (
            None
            if lab.external_database
            else Server(lab.directory / "postgres", port=lab.postgres_port, bind=lab.bind)
        )
        self._admin_url = self._server.url() if self._server else lab.external_database or ""
        self._shop: dict[str, str] = {}
        self._supervised: dict[str, Supervised] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._asked_to_stop = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        self._listen_for_signals()
        for folder in (self._lab.logs, self._lab.directory / "traffic", self._lab.directory / "dns"):
            folder.mkdir(parents=True, exist_ok=True)
        follower = logs.Follower(self._service_logs)
        try:
            await self._unless_stopped(self._start())
            if not self._asked_to_stop.is_set():
                self._in_background(self._narrate(follower))
                self._in_background(self._keep_logs_small())
                await self._unless_stopped(self._await_all_healthy())
            await self._asked_to_stop.wait()
        finally:
            self._display.close()
            await self._shut_down()
        return self._exit_code

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop.set)

    async def _unless_stopped(self, work: Awaitable[None]) -> None:
        """Do ``work``, or leave it as soon as somebody asks the lab to stop."""
        doing = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._asked_to_stop.wait())
        await asyncio.wait((doing, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if doing.done():
            doing.result()
            return
        doing.cancel()
        with suppress(asyncio.CancelledError):
            await doing

    # Starting

    async def _start(self) -> None:
        self._shop = shop_environment(self._lab, database_url=self._role_url("shop"))
        if self._plan.traffic:
            self._shop.setdefault("TRAFFIC_GENERATOR_URL", self._traffic_url())
        # The DNS service makes the live zone anew: a lab that starts is healthy, whatever it was killed in.
        await asyncio.to_thread(Path(self._shop["ZONE_FILE"]).unlink, missing_ok=True)
        self._declare()
        self._display.show_start([s.standing for s in self._supervised.values()])
        self._launch("postgres", "traffic-generator")
        if "postgres" in self._supervised:
            await self._await_postgres(self._supervised["postgres"])
        await self._prepare_database()
        self._launch(*(s.name for s in self._lab.services))
        self._in_background(self._start_schedule())

    def _declare(self) -> None:
        """Put every component on the list, in the order in which the table shows them."""
        components = [self._postgres(self._server)] if self._server else []
        components += [self._service(s) for s in self._lab.services]
        if self._plan.traffic:
            components.append(self._traffic(self._plan.traffic(self._lab)))
        if self._plan.schedule:
            components.append(self._schedule(self._plan.schedule))
        self._supervised = {c.name: Supervised(c, self, self._elapsed_s) for c in components}

    def _launch(self, *names: str) -> None:
        for name in names:
            if name in self._supervised:
                self._in_background(self._supervised[name].run())

    async def _await_postgres(self, postgres: Supervised) -> None:
        healthy = asyncio.ensure_future(postgres.healthy.wait())
        broken = asyncio.ensure_future(postgres.crash_looping.wait())
        await asyncio.wait((healthy, broken), return_when=asyncio.FIRST_COMPLETED)
        healthy.cancel()
        broken.cancel()
        if not postgres.healthy.is_set():
            raise LabError("PostgreSQL does not start: see above")

    async def _prepare_database(self) -> None:
        log = self._lab.log("database")
        environment = preparation_environment(
            self._lab,
            admin_url=self._admin_url,
            lab_url=lab_database_url(self._admin_url),
            passwords=self._passwords,
        )
        running = await start_program(
            self._plan.prepare_database, guard=self._guard, log=log, environment=environment
        )
        code = await running.wait()
        if code:
            raise LabError(f"the database could not be prepared; the end of {log}:\n{logs.last_lines(log)}")

    async def _start_schedule(self) -> None:
        if "schedule" not in self._supervised:
            return
        services = [asyncio.create_task(self._supervised[s.name].healthy.wait()) for s in self._lab.services]
        # Not for ever: a shop with one service missing is still to be broken on schedule.
        _, waiting = await asyncio.wait(services, timeout=_SERVICES_BEFORE_SCHEDULE_S)
        for task in waiting:
            task.cancel()
        await self._supervised["schedule"].run()

    async def _await_all_healthy(self) -> None:
        await asyncio.gather(*(s.healthy.wait() for s in self._supervised.values()))
        self._display.show_ready(self._elapsed_s(), hints=self._hints())

    def _hints(self) -> list[str]:
        hints = []
        if "web-ui" in self._lab.ports:
            hints.append(f"the console {self._lab.url('web-ui')}")
        if "gateway" in self._lab.ports:
            hints.append(f"a request   curl {self._lab.url('gateway')}/api/users/profile/1")
        if self._plan.traffic:
            hints.append(f"the load    {self._traffic_url()}")
        hints.append("look inside lab status, lab logs [SERVICE] -f, lab psql; Ctrl-C ends the lab")
        return hints

    # The components

    def _postgres(self, server: Server) -> Component:
        async def start() -> Running:
            for note in await asyncio.to_thread(server.prepare):
                self.say("postgres.prepared", note, component="postgres")
            log = self._lab.log("postgres")
            log.unlink(missing_ok=True)
            log.symlink_to(server.log)
            return await start_program(server.command(), guard=self._guard, log=log, options=server.options())

        async def is_healthy(running: Running) -> bool:
            return server.is_ready(running.pid)

        return Component(
            "postgres",
            start,
            is_healthy,
            self._lab.log("postgres"),
            url=f"postgresql://{self._lab.host}:{self._lab.postgres_port}/{DATABASE_NAME}",
            stop_signal=STOP_SIGNAL,
            last_resort=signal.SIGQUIT,
        )

    def _service(self, service: Service) -> Component:
        name = service.name
        url = self._lab.url(name)
        database_url = self._role_url(service.role)
        own = self._examiners_own() if name == EXAM else {}
        starts = itertools.count()

        async def start() -> Running:
            return await self._fork_server.start(
                name,
                call="services.common.serving:serve",
                arguments=(service.app, self._lab.bind, self._lab.ports[name], service.websockets),
                environment={
                    **self._shop,
                    **own,
                    "DATABASE_URL": database_url,
                    "LAB_RESUMES": "true" if next(starts) else "false",
                },
                log=self._lab.log(name),
            )

        return Component(name, start, _answers(f"{url}/health"), self._lab.log(name), url=url)

    def _examiners_own(self) -> dict[str, str]:
        """The exam's own variables. The examiner's token is left where the examiner's commands find it."""
        own = exam_environment(self._lab)
        write_private(self._lab.directory / EXAMINER_TOKEN_FILE, own["EXAMINER_TOKEN"])
        return own

    def _traffic_url(self) -> str:
        return f"http://{self._lab.host}:{self._lab.traffic_port}"

    def _traffic(self, command: list[str]) -> Component:
        url = self._traffic_url()
        log = self._lab.log("traffic-generator")
        environment = traffic_environment(self._lab, shop=self._shop)

        async def start() -> Running:
            return await start_program(command, guard=self._guard, log=log, environment=environment)

        return Component("traffic-generator", start, _answers(f"{url}/"), log, url=url)

    def _schedule(self, call: str) -> Component:
        log = self._lab.log("schedule")
        environment = schedule_environment(shop=self._shop, exam_database_url=self._role_url("examiner"))

        async def start() -> Running:
            return await self._fork_server.start("schedule", call=call, environment=environment, log=log)

        async def is_alive(_running: Running) -> bool:
            return True

        return Component("schedule", start, is_alive, log)

    # While it runs

    def changed(self, standing: Standing) -> None:
        """Write down how a component stands now, for the other commands, and show it."""
        self._write_state()
        self._display.changed(standing)

    def say(self, event: str, message: str, *, level: str = "info", component: str = "") -> None:
        """Show what happened."""
        self._display.say(event, message, level=level, component=component)

    async def _narrate(self, follower: logs.Follower) -> None:
        """Print what a person at the terminal should see of the services' logs."""
        repeats = logs.Repeats()
        while True:
            for line in follower.poll():
                if line.is_phase or (line.is_loud and repeats.add(line)):
                    self._display.show(line)
            for service, level, kind, count in repeats.due(time.monotonic()):
                self._display.show_repeats(service, level, kind, count)
            await asyncio.sleep(_LOG_POLL_S)

    async def _keep_logs_small(self) -> None:
        while True:
            for file in [*self._lab.logs.glob("*.log"), *self._json_logs()]:
                await asyncio.to_thread(logs.rotate, file)
            await asyncio.sleep(_ROTATE_EVERY_S)

    # Ending

    async def _shut_down(self) -> None:
        """End all in 2 s: the schedule first, while what it puts back still answers; the database last."""
        began_s = time.monotonic()
        if self._supervised:
            await self._stop("schedule", within_s=_SCHEDULE_GRACE_S)
            await self._stop(
                "traffic-generator", *(s.name for s in self._lab.services), within_s=_SERVICE_GRACE_S
            )
            left_s = _ALL_WITHIN_S - (time.monotonic() - began_s)
            await self._stop("postgres", within_s=max(left_s, _POSTGRES_GRACE_S))
        for task in self._tasks:
            task.cancel()
        self._fork_server.close()
        _kill_descendants(spare=self._guard.pid)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._write_state()
        self._display.say("lab.stopped", f"stopped in {time.monotonic() - began_s:.1f} s")

    async def _stop(self, *names: str, within_s: float) -> None:
        known = [self._supervised[name] for name in names if name in self._supervised]
        await asyncio.gather(*(one.stop(within_s=within_s) for one in known))

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.append(task)
        task.add_done_callback(self._say_failure)

    def _say_failure(self, task: "asyncio.Task[None]") -> None:
        """A part of the supervisor that fails must end the lab, not leave it half watched."""
        if task.cancelled() or task.exception() is None:
            return
        self._display.say("lab.failed", f"the supervisor failed: {task.exception()!r}", level="critical")
        self._exit_code = 1
        self._asked_to_stop.set()

    # Small facts

    def _role_url(self, role: str) -> str:
        return role_url(self._admin_url, role=role, password=self._passwords[role])

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def _service_logs(self) -> list[Path]:
        return [file for file in self._lab.logs.glob("*.log") if file != self._lab.log("lab")]

    def _json_logs(self) -> list[Path]:
        return [self._server.json_log] if self._server else []

    def _write_state(self) -> None:
        standings: list[Standing] = [s.standing for s in self._supervised.values()]
        state.write(self._lab.directory, supervisor=self._identity, components=standings)


def _answers(url: str) -> Callable[[Running], Awaitable[bool]]:
    async def is_healthy(_running: Running) -> bool:
        return (await health.ask(url)).is_ok

    return is_healthy


def _clear_killed_run(directory: Path, *, say: Callable[[str], None]) -> None:
    left = state.read(directory)
    if left is None:
        return
    killed = clear_leftovers(left.children())
    if killed:
        say(f"ended what an earlier lab had left: pid {', '.join(map(str, killed))}")


def _kill_descendants(*, spare: int) -> None:
    """The last sweep: a fork server in the middle of its imports does not listen to anything milder."""
    for process in psutil.Process().children(recursive=True):
        if process.pid != spare:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _already_lived_s() -> float:
    """How long ago the command was typed: `lab` turns into this process, which keeps its start time."""
    if sys.platform != "linux":
        return 0.0
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_ticks = int(after_name[19])
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK"))
