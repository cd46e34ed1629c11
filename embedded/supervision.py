"""Keeping one process running: start it, see it healthy, say when it dies, start it again."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from embedded.errors import LabError
from embedded.logs import last_lines
from embedded.processes import Running
from services.common.catalog import PROMETHEUS

State = Literal["waiting", "starting", "healthy", "restarting", "stopped"]
CRASH_LOOP_AFTER = 3
_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 5.0
_STEADY_AFTER_S = 10.0
_PATIENCE_S = 30.0
_POLL_S = 0.05
_WATCHED = frozenset({PROMETHEUS.name})
"""Ended when they hang. A monitoring that hangs pages nobody, and no scenario touches it; the others may be
slow or stuck because a scenario wants it so, or a person, and a restart would mend that."""
_WATCH_EVERY_S = 5.0
_HANGS_AFTER_S = 30.0
_HANGS_AFTER_MISSES = 5
"""In a row: a lab that was asleep itself has missed none."""


@dataclass(frozen=True)
class Component:
    """A part of the lab: how it is started, how it is seen to be healthy, how it is ended."""

    name: str
    start: Callable[[], Awaitable[Running]]
    is_healthy: Callable[[Running], Awaitable[bool]]
    log: Path
    url: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    last_resort: signal.Signals = signal.SIGKILL


@dataclass
class Standing:
    """How a component stands.

    ``created`` is in seconds since the epoch, ``healthy_after_s`` counts from
    the lab's start.
    """

    name: str
    url: str
    state: State = "waiting"
    pid: int | None = None
    created: float | None = None
    healthy_after_s: float | None = None
    restarts: int = 0


class Reporter(Protocol):
    """Who is told what happens."""

    def changed(self, standing: Standing) -> None:
        """A component stands differently now."""

    def say(self, event: str, message: str, *, level: str = "info", component: str = "") -> None:
        """Something happened that a person should know."""


@dataclass
class Backoff:
    """How long to wait before the next start: doubling, and short again after a steady life."""

    delay_s: float = _FIRST_DELAY_S

    def after(self, lived_s: float) -> float:
        """The delay in seconds after a life of ``lived_s`` seconds."""
        if lived_s >= _STEADY_AFTER_S:
            self.delay_s = _FIRST_DELAY_S
        delay_s = self.delay_s
        self.delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
        return delay_s


@dataclass
class Supervised:
    """One component that is kept running until ``stop``."""

    component: Component
    report: Reporter
    elapsed_s: Callable[[], float]
    """Seconds since the lab was started."""
    standing: Standing = field(init=False)
    healthy: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is healthy for the first time."""
    crash_looping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has ended several times without ever being healthy."""
    _running: Running | None = None
    _stopping: bool = False

    def __post_init__(self) -> None:
        self.standing = Standing(self.component.name, self.component.url)

    async def run(self) -> None:
        """Start, watch and restart for ever; ends after ``stop``."""
        backoff = Backoff()
        while not self._stopping:
            began_s = time.monotonic()
            end = await self._live()
            if self._stopping:
                return
            delay_s = backoff.after(time.monotonic() - began_s)
            self._say_ended(end, delay_s)
            await asyncio.sleep(delay_s)

    async def stop(self, *, within_s: float) -> None:
        """End it: politely at first, by ``last_resort`` when ``within_s`` has passed."""
        self._stopping = True
        running = self._running
        if running is not None:
            running.send(self.component.stop_signal)
            try:
                await asyncio.wait_for(running.wait(), within_s)
            except TimeoutError:
                running.send(self.component.last_resort)
                await running.wait()
        self._stand("stopped")

    async def _live(self) -> str:
        """One life of the process; how it ended, in words."""
        self._stand("starting")
        try:
            running = await self.component.start()
        except (OSError, EOFError, LabError) as error:
            return f"could not be started: {error or type(error).__name__}"
        self._running = running
        self.standing.pid, self.standing.created = running.pid, running.created
        if self._stopping:
            running.send(signal.SIGKILL)
        self._stand("starting")
        watcher = asyncio.create_task(self._watch(running))
        code = await running.wait()
        watcher.cancel()
        self._running = None
        self.standing.pid = self.standing.created = None
        return _in_words(code)

    async def _watch(self, running: Running) -> None:
        await self._await_health(running)
        if self.component.name in _WATCHED:
            await self._end_when_it_hangs(running)

    async def _await_health(self, running: Running) -> None:
        began_s = time.monotonic()
        complained = False
        while not await self.component.is_healthy(running):
            if not complained and time.monotonic() - began_s > _PATIENCE_S:
                complained = True
                self.report.say(
                    "process.unhealthy",
                    f"is running but not healthy after {_PATIENCE_S:.0f} s{self._log_end()}",
                    level="warning",
                    component=self.component.name,
                )
            await asyncio.sleep(_POLL_S)
        if self.standing.healthy_after_s is None:
            self.standing.healthy_after_s = self.elapsed_s()
        if self.standing.restarts:
            self.report.say(
                "process.back",
                f"is healthy again after {time.monotonic() - began_s:.1f} s",
                component=self.component.name,
            )
        self._stand("healthy")
        self.healthy.set()

    async def _end_when_it_hangs(self, running: Running) -> None:
        """Go on asking, and kill it when it has not been healthy for long: then ``run`` starts it again."""
        misses, healthy_at_s = 0, time.monotonic()
        while misses < _HANGS_AFTER_MISSES or time.monotonic() - healthy_at_s < _HANGS_AFTER_S:
            await asyncio.sleep(_WATCH_EVERY_S)
            if await self.component.is_healthy(running):
                misses, healthy_at_s = 0, time.monotonic()
            else:
                misses += 1
        self.report.say(
            "process.hangs",
            f"has not been healthy for {time.monotonic() - healthy_at_s:.0f} s; ending it",
            level="error",
            component=self.component.name,
        )
        running.send(signal.SIGKILL)

    def _say_ended(self, end: str, delay_s: float) -> None:
        self.standing.restarts += 1
        self._stand("restarting")
        never_healthy = not self.healthy.is_set()
        tail = self._log_end() if never_healthy and self.standing.restarts == CRASH_LOOP_AFTER else ""
        self.report.say(
            "process.died",
            f"{end}; starting it again in {delay_s:g} s{tail}",
            level="error",
            component=self.component.name,
        )
        if never_healthy and self.standing.restarts >= CRASH_LOOP_AFTER:
            self.crash_looping.set()

    def _log_end(self) -> str:
        lines = last_lines(self.component.log)
        return f"; the end of {self.component.log}:\n{lines}" if lines else f"; {self.component.log} is empty"

    def _stand(self, state: State) -> None:
        self.standing.state = state
        self.report.changed(self.standing)


def _in_words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"died of {signal.Signals(-code).name}"
    except ValueError:
        return f"died of signal {-code}"
